"""Recipes and grey ranges: how planes become features, and between which limits."""

import json
import re
import shutil
import threading

import numpy as np
import pandas as pd
import pytest
import tifffile
from screen_images import TAP, screen, write

import stratonet_cli
from stratonet import Recipe, StratoNet
from stratonet.crops import crop_square
from stratonet.extraction import (
    ImageSource,
    ObjectsFromCenters,
    Shard,
    extract,
    grey_limits,
)
from stratonet.extraction.destination import Destination
from stratonet.extraction.job import Job
from stratonet.files.images import read_plane
from stratonet.files.storage import Storage
from stratonet.limits import PlateLimits
from stratonet.tables import feature_columns, read_features
from stratonet.weights_file import read_card

DNA, ER = CHANNELS = ("OrigDNA", "OrigER")
# Small sides: what is tested is the road, not the network.
RECIPES = ["whole64/mean+sd", "tiles48/mean", "whole48+tiles32/mean+sd"]
LIMITS = {DNA: (100, 1500), ER: (50, 3000)}
PLATE = "whole48/mean"


@pytest.fixture
def plates(tmp_path):
    """A LoadData table of two plates of six image sets."""
    files, table = screen()
    write(tmp_path, files)
    table.to_csv(tmp_path / "load_data.csv", index=False)
    return tmp_path / "load_data.csv"


def run(plates, name, **options):
    """The features of a run, and the folder where they are."""
    options = {"taps": TAP, "recipe": PLATE, **options}
    out = plates.parent / name
    extract(plates, out, progress=False, **options)
    return read_features(out), out


def read_planes(plates, channel, plate=None):
    table = pd.read_csv(plates, dtype=str)
    if plate:
        table = table[table.Metadata_Plate == plate]
    names = table[f"PathName_{channel}"] + table[f"FileName_{channel}"]
    return [read_plane(plates.parent / name) for name in names]


def list_paths(plates, channel, plate):
    folder = plates.parent / "images" / plate / "Images"
    number = CHANNELS.index(channel) + 1
    return sorted(folder.glob(f"*_w{number}.tif"))


def take(frame, channel):
    names = [name for name in feature_columns(frame) if name.endswith(channel)]
    return frame[names].to_numpy()


def measure_percentiles(planes):
    """Worked out plainly: these planes are smaller than the grid of the sample."""
    pixels = np.concatenate([plane.ravel() for plane in planes])
    return tuple(np.percentile(pixels, (0.1, 99.9)))


@pytest.mark.parametrize("grey_range", ["plane", LIMITS], ids=["plane", "given"])
@pytest.mark.parametrize("text", RECIPES)
def test_features_are_those_of_the_network(text, grey_range, plates):
    taps = [TAP, "intensity"]
    frame, _ = run(plates, "out", taps=taps, recipe=text, grey_range=grey_range)
    recipe, limits = Recipe.parse(text), {}
    if grey_range is LIMITS:
        recipe, limits = recipe.with_limits(LIMITS), LIMITS
    net = StratoNet.load(taps=taps, recipe=recipe)
    assert set(frame.Metadata_StratoFeatures) == {net.feature_set_id}
    assert feature_columns(frame) == net.feature_names(CHANNELS)
    for channel in CHANNELS:
        expected = net.features(read_planes(plates, channel), limits.get(channel))
        np.testing.assert_array_equal(take(frame, channel), expected)


def write_pixel_sizes(plates, *sizes):
    """Write a table that says the size of pixels of each plate."""
    table = pd.read_csv(plates, dtype=str)
    repeats = [len(table) // len(sizes)] * len(sizes)
    table["Metadata_PixelSize"] = np.repeat(np.array(sizes, object), repeats)
    path = plates.with_name("sizes.csv")
    table.to_csv(path, index=False)
    return path


def test_plates_of_two_magnifications(plates):
    """One feature set; the size is taken from the table, or from the user."""
    recipe = "tiles32-20um/mean"
    net = StratoNet.load(taps=TAP, recipe=recipe)
    table = write_pixel_sizes(plates, "0.65", "0.325")
    frame, _ = run(table, "out", recipe=recipe)
    assert set(frame.Metadata_StratoFeatures) == {net.feature_set_id}
    for plate, size in (("P1", 0.65), ("P2", 0.325)):
        rows = frame[frame.Metadata_Plate == plate]
        for channel in CHANNELS:
            planes = read_planes(plates, channel, plate)
            expected = net.features(planes, pixel_size=size)
            np.testing.assert_array_equal(take(rows, channel), expected)
    source = ImageSource(str(plates), pixel_size=0.65)
    out = plates.parent / "given"
    extract(source, out, taps=TAP, recipe=recipe, progress=False)
    features = read_features(out)
    # It stands in the table, and so is known later.
    assert set(features.Metadata_PixelSize) == {0.65}
    first = features.Metadata_Plate == "P1"
    np.testing.assert_array_equal(
        take(features[first], DNA), take(frame[frame.Metadata_Plate == "P1"], DNA)
    )
    # A size that was corrected does not leave the old features as they are.
    with pytest.raises(ValueError, match="holds well A01.*or with other metadata"):
        extract(
            ImageSource(str(plates), pixel_size=0.5),
            out,
            taps=TAP,
            recipe=recipe,
            progress=False,
        )


@pytest.mark.parametrize(
    "sizes, flags, status, told",
    [
        (
            None,
            [],
            1,
            "is in micrometres.*Give --pixel-size.*column Metadata_PixelSize",
        ),
        (("0.65", ""), [], 1, "image set 7: .*the size of a pixel is not known"),
        (("0.65", "x"), [], 1, "image set 7: .*0.001 to 100.*Received there: x"),
        (("0,65", "0,65"), [], 1, "image set 1: .*Received there: 0,65"),
        (("0.65", "650"), [], 1, "image set 7: .*Received: 650"),
        (("0.65", "0.65"), ["--pixel-size", "0.65"], 1, "Leave one of them out"),
        (None, ["--pixel-size", "650"], 2, "--pixel-size is micrometres per pixel"),
        (None, ["--pixel-size", "nan"], 2, "--pixel-size is micrometres per pixel"),
        (None, ["--pixel-size", "small"], 2, "--pixel-size: invalid float"),
        (
            None,
            ["--pixel-size", "0.65", "--recipe", PLATE],
            2,
            "--pixel-size is used by recipes in micrometres",
        ),
        (None, ["--pixel-size", "1", "--centres", "c.csv"], 2, "objects are in pixels"),
    ],
)
def test_sizes_of_pixels_that_cannot_be_are_refused(
    sizes, flags, status, told, plates, capsys
):
    table = write_pixel_sizes(plates, *sizes) if sizes else plates
    arguments = ["--recipe", "tiles32-20um/mean", *flags]
    try:
        received = call(table, *arguments)
    except SystemExit as ended:
        received = ended.code
    assert received == status
    assert re.search(told, capsys.readouterr().err, re.DOTALL)
    assert not (plates.parent / "out").exists()


def test_a_plane_that_is_too_small_is_one_incomplete_image_set(plates):
    """At its scale nothing of it is left to show."""
    path = list_paths(plates, DNA, "P1")[0]
    tifffile.imwrite(path, np.arange(9 * 80, dtype=np.uint16).reshape(9, 80))
    source = ImageSource(str(plates), pixel_size=0.65)
    out = plates.parent / "out"
    options = {"taps": TAP, "recipe": "tiles32-20um/mean", "progress": False}
    assert extract(source, out, **options).incomplete == 1
    frame = read_features(out)
    (reason,) = frame.Metadata_Error.dropna()
    assert "makes 9 x 83 pixels of the plane's 9 x 80" in reason


def test_the_default_is_what_the_card_recommends(plates):
    out = plates.parent / "out"
    extract(plates, out, taps=TAP, progress=False)
    (identity,) = set(read_features(out).Metadata_StratoFeatures)
    assert identity == StratoNet.load(taps=TAP).feature_set_id


def test_limits_of_the_plate_are_kept_and_taken(plates):
    frame, out = run(plates, "out", grey_range="plate")
    net = StratoNet.load(taps=TAP, recipe=grey(PLATE))
    (identity,) = set(frame.Metadata_StratoFeatures)
    assert identity == net.feature_set_id and identity.endswith("-grey-plate")
    for plate in ("P1", "P2"):
        stored_limits = PlateLimits.read(
            out / "_grey_limits" / f"source_8/J3/{plate}.json"
        )
        for channel in CHANNELS:
            planes = read_planes(plates, channel, plate)
            limits = measure_percentiles(planes)
            assert stored_limits.choose(plate)[channel] == limits
            rows = frame[frame.Metadata_Plate == plate]
            expected = net.features(planes, limits)
            np.testing.assert_array_equal(take(rows, channel), expected)
    # Other readers pass over the files of limits.
    assert len(pd.read_parquet(out)) == len(frame)


def grey(text, grey_range="plate", crop=None):
    recipe = Recipe.parse(text)
    return Recipe(recipe.views, recipe.pooling, grey_range, crop)


def test_shards_and_later_runs_take_the_limits_that_are_kept(plates):
    run_at_once, files_at_once = run(plates, "whole", grey_range="plate")
    out = plates.parent / "out"
    options = {"taps": TAP, "recipe": PLATE, "grey_range": "plate", "progress": False}
    extract(plates, out, shard=Shard(1, 3), **options)
    files = sorted((out / "_grey_limits").rglob("*.json"))
    stored_limits = [file.read_text() for file in files]
    files_at_once = sorted((files_at_once / "_grey_limits").rglob("*.json"))
    assert (
        stored_limits == [file.read_text() for file in files_at_once]
        and len(files) == 2
    )
    # Measured now they would be others. This well was the first shard's.
    for path in list_paths(plates, DNA, "P1")[:2]:
        assert "_A01_" in path.name
        tifffile.imwrite(path, np.full((80, 80), 60_000, np.uint16))
    for number in (2, 3):
        extract(plates, out, shard=Shard(number, 3), **options)
    assert [file.read_text() for file in files] == stored_limits
    pd.testing.assert_frame_equal(read_features(out), run_at_once)


def test_two_runs_at_once_keep_one_of_their_limits(plates):
    job = Job(Storage(), CHANNELS, grey(PLATE), taps=(TAP,))
    destination = Destination(str(plates.parent / "out"), job)
    barrier = threading.Barrier(8)
    stored_limits = []

    def keep(number):
        limits = PlateLimits({"P1": {DNA: (0, number)}})
        barrier.wait()
        stored_limits.append(destination.keep_limits("P1", limits))

    threads = [threading.Thread(target=keep, args=[n]) for n in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(stored_limits) == 8 and all(
        limits == stored_limits[0] for limits in stored_limits
    )
    assert destination.read_limits("P1") == stored_limits[0]


def test_others_are_drawn_in_place_of_damaged_images(plates, monkeypatch):
    monkeypatch.setattr(grey_limits, "N_PLANES", 3)
    paths = list_paths(plates, DNA, "P1")
    paths[0].unlink()
    paths[1].write_bytes(b"nothing")
    tifffile.imwrite(paths[2], np.full((80, 80), np.nan, np.float32))
    _, out = run(plates, "out", grey_range="plate")
    stored_limits = PlateLimits.read(
        out / "_grey_limits" / "source_8/J3/P1.json"
    ).choose()
    assert stored_limits[DNA] == measure_percentiles(
        [read_plane(path) for path in paths[3:]]
    )


def test_a_sample_is_spread_over_the_plate(monkeypatch):
    assert sorted(grey_limits._spread_rows(range(384))) == list(range(384))
    for count in (8, 64):
        drawn = np.sort(grey_limits._spread_rows(range(384))[:count])
        gaps = np.diff([0, *drawn, 384])
        assert gaps.max() <= 2 * 384 / count


def test_a_plate_without_any_readable_image_is_named(plates, capsys):
    for path in list_paths(plates, ER, "P2"):
        path.write_bytes(b"nothing")
    out = plates.parent / "out"
    with pytest.raises(
        ValueError,
        match="^Plate source_8/J3/P2 has no limits .* 6 images of OrigER .*w2.tif",
    ):
        run(plates, "out", grey_range="plate")
    # What was measured before is kept.
    assert not (out / "_grey_limits" / "source_8/J3/P2.json").exists()


def test_empty_saturated_and_dim_plates(plates):
    """What docs/extraction.md says of them."""
    rng = np.random.default_rng(0)
    for path in list_paths(plates, DNA, "P1"):
        tifffile.imwrite(path, np.full((80, 80), 7, np.uint16))
    for path in list_paths(plates, ER, "P1"):
        plane = rng.integers(0, 100, (80, 80)).astype(np.uint16)
        plane[:40] = 65535
        tifffile.imwrite(path, plane)
    dim = list_paths(plates, DNA, "P2")[0]
    tifffile.imwrite(dim, read_plane(dim) // 50)
    frame, out = run(plates, "out", grey_range="plate")
    stored_limits = {}
    for plate in ("P1", "P2"):
        path = out / "_grey_limits" / f"source_8/J3/{plate}.json"
        stored_limits[plate] = PlateLimits.read(path).choose()
    net = StratoNet.load(taps=TAP, recipe=PLATE)

    first_plate = frame[frame.Metadata_Plate == "P1"]
    assert stored_limits["P1"][DNA] == (7, 7)
    black = net.features(np.zeros((80, 80)))
    assert (take(first_plate, DNA) == black).all()
    assert stored_limits["P1"][ER][1] == 65535

    # Scaled by itself, the dim plane would be as bright as the others.
    second_plate = frame[frame.Metadata_Plate == "P2"]
    dim_features = take(second_plate, DNA)[0]
    by_itself = net.features(read_plane(dim))[0]
    others = take(second_plate, DNA)[1:].mean(axis=0)
    assert np.abs(dim_features - black).mean() < 0.3 * np.abs(others - black).mean()
    assert np.abs(by_itself - black).mean() > 0.7 * np.abs(others - black).mean()


def test_objects_are_shown_between_the_limits_of_the_plate(plates):
    keys = ["Metadata_Plate", "Metadata_Well", "Metadata_Site"]
    table = pd.read_csv(plates, dtype=str)
    centres = table[keys].assign(Location_Center_X=30, Location_Center_Y=40)
    centres.to_csv(plates.parent / "centres.csv", index=False)
    objects = ObjectsFromCenters(plates.parent / "centres.csv", size=24)
    taps = [TAP, "intensity"]
    options = {"objects": objects, "grey_range": "plate", "taps": taps}
    frame, _ = run(plates, "out", recipe="tiles48/mean+sd", **options)
    net = StratoNet.load(taps=taps, recipe=grey("tiles48/mean+sd"), crop=24)
    assert set(frame.Metadata_StratoFeatures) == {net.feature_set_id}
    planes = read_planes(plates, ER, "P2")
    crops = [crop_square(plane, (40, 30), 24) for plane in planes]
    expected = net.features(crops, measure_percentiles(planes))
    rows = frame[frame.Metadata_Plate == "P2"]
    np.testing.assert_array_equal(take(rows, ER), expected)


def test_limits_are_those_of_corrected_images(plates):
    table = pd.read_csv(plates, dtype=str)
    function = np.linspace(1, 3, 6400, dtype=np.float32).reshape(80, 80)
    np.save(plates.parent / "illum.npy", function)
    for channel in CHANNELS:
        table[f"FileName_{channel.replace('Orig', 'Illum')}"] = "illum.npy"
        table[f"PathName_{channel.replace('Orig', 'Illum')}"] = ""
    table.to_csv(plates, index=False)
    _, out = run(plates, "out", grey_range="plate", illumination="divide")
    stored_limits = PlateLimits.read(
        out / "_grey_limits" / "source_8/J3/P1.json"
    ).choose()
    planes = read_planes(plates, DNA, "P1")
    corrected = [plane.astype(np.float32) / 65535 / function for plane in planes]
    assert stored_limits[DNA] == pytest.approx(measure_percentiles(corrected), rel=1e-5)


def test_limits_of_one_destination_serve_another(plates):
    taps = [TAP, "conv2_block2_out"]
    features, out = run(plates, "out", grey_range="plate")
    file = out / "_grey_limits" / "source_8/J3/P1.json"
    table = pd.read_csv(plates, dtype=str)
    table[table.Metadata_Plate == "P1"].to_csv(plates, index=False)
    again, _ = run(plates, "again", grey_range=PlateLimits.read(file), taps=taps)
    first_plate = features[features.Metadata_Plate == "P1"]
    assert set(again.Metadata_StratoFeatures) == set(features.Metadata_StratoFeatures)
    names = feature_columns(features)
    np.testing.assert_array_equal(again[names], first_plate[names])

    other = PlateLimits({"P1": {DNA: (0, 1), ER: (0, 1)}})
    with pytest.raises(ValueError, match="keeps other limits of grey values of plate"):
        shutil.rmtree(plates.parent / "again" / "source_8")
        run(plates, "again", grey_range=other, taps=taps)


def test_what_was_measured_by_another_recipe_is_refused(plates):
    _, out = run(plates, "out")
    message = "holds features that were measured in another way .*"
    with pytest.raises(ValueError, match=message + "recipe: 'whole48/mean' there"):
        run(plates, "out", recipe="whole48/mean+sd")
    with pytest.raises(ValueError, match=message + "grey_range: 'plane' there"):
        run(plates, "out", grey_range="plate")
    # A destination of version 1 says nothing of recipes.
    manifest = json.loads((out / "_stratonet.json").read_text())
    del manifest["recipe"], manifest["grey_range"]
    (out / "_stratonet.json").write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match=message + "recipe: None there"):
        run(plates, "out")


def test_given_limits_count_by_value(plates):
    as_floats = {channel: (float(a), float(b)) for channel, (a, b) in LIMITS.items()}
    first, out = run(plates, "out", grey_range=LIMITS)
    run(plates, "out", grey_range=as_floats)
    other, _ = run(plates, "other", grey_range={**LIMITS, ER: (50, 3001)})
    assert other.Metadata_StratoFeatures[0] != first.Metadata_StratoFeatures[0]
    manifest = json.loads((out / "_stratonet.json").read_text())
    assert manifest["grey_range"] == {DNA: [100, 1500], ER: [50, 3000]}


def call(plates, *options):
    arguments = ["extract", plates, "--output", plates.parent / "out", "--quiet"]
    return stratonet_cli.main([*map(str, arguments), "--taps", TAP, *options])


@pytest.mark.slow
def test_the_command_takes_recipes_and_grey_ranges(plates, capsys):
    limits = "OrigDNA=100:1500,OrigER=50:3000"
    flags = ["--recipe", "whole48+tiles32/mean+sd", "--grey-range", limits]
    assert call(plates, *flags) == 0
    net = StratoNet.load(recipe=Recipe.parse(flags[1]).with_limits(LIMITS))
    assert net.feature_set_id in capsys.readouterr().out

    name, text = list(read_card().recipes.items())[-1]
    shutil.rmtree(plates.parent / "out")
    assert call(plates, "--recipe", name, "--grey-range", "plate") == 0
    identity = StratoNet.load(recipe=grey(text)).feature_set_id
    assert identity in capsys.readouterr().out

    file = plates.parent / "limits.json"
    file.write_text(PlateLimits({"P1": LIMITS, "P2": LIMITS}).to_json())
    shutil.rmtree(plates.parent / "out")
    assert call(plates, "--recipe", name, "--grey-range", str(file)) == 0
    assert identity in capsys.readouterr().out


@pytest.mark.parametrize(
    "flags, expected_message",
    [
        (["--recipe", "large"], "A recipe is views and statistics"),
        (["--recipe", "large/mean"], "A view is whole or tiles"),
        (
            ["--grey-range", "OrigDNA=1:2"],
            "no grey range for OrigER. There are ranges for: OrigDNA",
        ),
        (["--grey-range", "OrigDNA=2:1,OrigER=1:2"], "the smaller first"),
        (["--grey-range", "DNA=1:2,OrigER=1:2"], "in --grey-range: DNA"),
        (["--grey-range", "none.json"], "none.json"),
        (["--grey-range", "other.json"], "other.json: These are not limits"),
        (["--grey-range", "wrong.json"], "limits of the plates P3. Received: P1"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    flags, expected_message, plates, capsys, monkeypatch
):
    monkeypatch.chdir(plates.parent)
    (plates.parent / "other.json").write_text("{}")
    wrong = PlateLimits({"P3": LIMITS}).to_json()
    (plates.parent / "wrong.json").write_text(wrong)
    # What no table is needed for is refused before one is read.
    is_early = flags[0] == "--recipe" or flags[1] in ("none.json", "other.json")
    assert call(plates, *flags) == (2 if is_early else 1)
    message = capsys.readouterr().err
    assert expected_message in message and len(message.splitlines()) == 1, message
    assert not list(plates.parent.glob("out/source_8"))


@pytest.mark.parametrize("text", ["all", "DNA=1", "DNA=a:b", "plate.csv"])
def test_a_flag_says_what_it_expects(text, plates, capsys):
    with pytest.raises(SystemExit, match="2"):
        call(plates, "--grey-range", text)
    assert f"Received: {text}" in capsys.readouterr().err


def test_a_recipe_and_the_parameter_do_not_contradict_each_other(plates):
    frame, _ = run(plates, "out", recipe=grey(PLATE), grey_range="plate")
    assert frame.Metadata_StratoFeatures[0].endswith("-grey-plate")
    with pytest.raises(ValueError, match="has the grey range plate. Received as"):
        run(plates, "other", recipe=grey(PLATE))
    with pytest.raises(ValueError, match="`grey_range` is plane, plate, or limits"):
        run(plates, "other", grey_range="well")

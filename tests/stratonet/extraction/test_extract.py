"""`stratonet extract` on local files, as its user calls it."""

import hashlib
import io
import pickle
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from pandas.testing import assert_frame_equal
from PIL import Image
from screen_images import CHANNELS, TAP, image, screen, values, write

import stratonet_cli
from stratonet import StratoNet, __version__
from stratonet.crops import crop_square
from stratonet.extraction import Shard, WholeImages, extract
from stratonet.extraction.command import INCOMPLETE
from stratonet.extraction.job import Job, ObjectsFromCenters
from stratonet.extraction.measure import measure_unit, prepare_unit, read_unit
from stratonet.extraction.sources.imagesets import ImageSource
from stratonet.extraction.sources.read import read_source
from stratonet.extraction.units import split_units
from stratonet.files.images import read_plane
from stratonet.files.storage import Storage
from stratonet.recipe import Recipe
from stratonet.tables import feature_columns, read_features
from stratonet.weights_file import read_card, read_feature_set_id


@pytest.fixture(scope="module")
def small():
    """A network that ends early."""
    return StratoNet.load(taps=TAP)


@pytest.fixture
def plates(tmp_path):
    """A LoadData table of two plates, and the folder of its images."""
    files, table = screen()
    write(tmp_path, files)
    table.to_csv(tmp_path / "load_data.csv", index=False)
    return tmp_path / "load_data.csv"


def command(*arguments):
    return [
        sys.executable,
        "-m",
        "stratonet_cli",
        "extract",
        *map(str, arguments),
        "--taps",
        TAP,
        "--quiet",
    ]


def run(*arguments):
    return subprocess.run(command(*arguments), capture_output=True, text=True)


def call(*arguments):
    """The command within this process: its exit status."""
    return stratonet_cli.main(command(*arguments)[3:])


def files(folder):
    return {
        str(path.relative_to(folder))
        for path in Path(folder).rglob("*")
        if path.is_file()
    }


def test_images_that_a_folder_has_beside_are_named(plates, tmp_path, capsys):
    images = plates.parent / "images"
    options = ("--output", tmp_path / "out", "--channels", "ER=w2")
    # Nobody misses thumbnails and hidden folders.
    (images / "P1" / "Images" / "HTS_A01_thumbnail.tif").write_bytes(image(0))
    (images / ".snapshot").mkdir()
    (images / ".snapshot" / "HTS_A01_s1_w2.tif").write_bytes(image(0))
    assert call(images, *options) == 0
    assert "Skipped" not in capsys.readouterr().out
    for number in range(7):
        name = f"HTS_A01_mask{number}.tif"
        (images / "P1" / "Images" / name).write_bytes(image(0))
    assert call(images, *options) == INCOMPLETE
    assert (
        "Skipped      7 image files, by name or format: P1/Images/HTS_A01_mask0.tif,"
        in (output := capsys.readouterr().out)
    )
    assert "mask4.tif, and 2 more" in output and "mask5" not in output
    assert len(read_features(tmp_path / "out")) == 12


@pytest.mark.slow
def test_one_row_an_image_set_with_its_metadata_and_the_features_of_the_network(
    plates, tmp_path, small
):
    done = run(
        plates, "--output", tmp_path / "out", "--channels", "DNA=OrigDNA,ER=OrigER"
    )
    assert done.returncode == 0, done.stderr
    assert (
        "2 complete" in done.stdout
        and "12 measured" in done.stdout
        and small.feature_set_id in done.stdout
    )

    table, frame = pd.read_csv(plates, dtype=str), pd.read_parquet(tmp_path / "out")
    metadata = [name for name in table if name.startswith("Metadata_")]
    assert_frame_equal(frame[metadata], table[metadata])
    assert frame.Metadata_Error.isna().all()
    assert set(frame.Metadata_StratoFeatures) == {small.feature_set_id}
    assert set(frame.Metadata_StratoNetVersion) == {__version__}
    names = small.feature_names(CHANNELS)
    assert (
        [name for name in frame if not name.startswith("Metadata_")]
        == names
        == feature_columns(frame)
    )
    assert set(frame[names].dtypes) == {np.dtype("float32")}
    planes = [
        read_plane(
            plates.parent
            / row[f"PathName_Orig{channel}"]
            / row[f"FileName_Orig{channel}"]
        )
        for _, row in table.iterrows()
        for channel in CHANNELS
    ]
    assert np.array_equal(
        frame[names].to_numpy(), small.features(planes).reshape(len(table), -1)
    )

    folder = tmp_path / "out" / "source_8" / "J3"
    assert [
        len(list((folder / plate).glob("*.parquet"))) for plate in ("P1", "P2")
    ] == [1, 1]
    assert not (tmp_path / "out" / "_units").exists()
    (resources,) = (tmp_path / "out" / "_runs").glob("*.csv")
    resources = pd.read_csv(resources).iloc[0]
    assert resources.image_sets == 12 and resources.images == 24 and resources.hours > 0
    assert 0 < resources.cpu_percent_mean <= resources.cpu_percent_max <= 100
    assert 0 < resources.memory_percent_mean <= resources.memory_percent_max <= 100


def test_the_same_command_again_measures_only_what_is_missing(plates, tmp_path, capsys):
    out = tmp_path / "out"
    assert call(plates, "--output", out) == 0
    first_features, content = (
        read_features(out),
        {path: (out / path).read_bytes() for path in files(out)},
    )
    assert call(plates, plates, "--output", out) == 0
    assert "0 measured; 6 wells already measured" in capsys.readouterr().out
    assert all((out / path).read_bytes() == before for path, before in content.items())

    shutil.rmtree(out / "source_8" / "J3" / "P2")
    assert call(plates, "--output", out) == 0
    assert "6 measured; 3 wells already measured" in capsys.readouterr().out
    assert_frame_equal(read_features(out), first_features)


# Kills the process at its n-th file, before or after it is in its place.
DIE = """
import os, signal, sys
replace, left = os.replace, int(sys.argv.pop(1))
def dying(source, target):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    replace(source, target)
    if left == -1:
        os.kill(os.getpid(), signal.SIGKILL)
    if left < 0:
        left -= 1
os.replace = dying
import stratonet_cli
sys.exit(stratonet_cli.main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_killed_at_any_file_it_resumes_and_ends_with_the_same_values(plates, tmp_path):
    complete, broken = tmp_path / "whole", tmp_path / "broken"
    assert call(plates, "--output", complete) == 0
    deaths = 0
    # Before its first file (what is measured and how); between wells; before the table
    # of a plate; ...
    for nth_file in (1, 3, 3, 2, 1, 1):
        script = [
            sys.executable,
            "-c",
            DIE,
            str(nth_file),
            *command(plates, "--output", broken)[3:],
        ]
        died = subprocess.run(script, capture_output=True, text=True)
        assert died.returncode in (0, -signal.SIGKILL), died.stderr
        deaths += died.returncode == -signal.SIGKILL
    assert deaths >= 5
    assert call(plates, "--output", broken) == 0
    assert_frame_equal(read_features(broken), read_features(complete))
    assert {name for name in files(broken) if not name.startswith("_runs")} == {
        name for name in files(complete) if not name.startswith("_runs")
    }


@pytest.mark.slow
def test_two_at_once_and_shards_give_the_same_table(plates, tmp_path):
    assert call(plates, "--output", tmp_path / "whole") == 0
    expected = values(read_features(tmp_path / "whole"))
    twice = [
        subprocess.Popen(command(plates, "--output", tmp_path / "twice"))
        for _ in range(2)
    ]
    assert [process.wait() for process in twice] == [0, 0]
    assert_frame_equal(values(read_features(tmp_path / "twice")), expected)

    first = extract(
        plates, tmp_path / "shards", taps=TAP, shard=Shard(1, 4), progress=False
    )
    assert first.image_sets == 4 and first.complete_plates == []
    assert len(first.waiting_plates) == 2
    for part in (4, 3, 2):
        last = extract(
            plates, tmp_path / "shards", taps=TAP, shard=Shard(part, 4), progress=False
        )
    assert (
        len(last.complete_plates) == 2 and not (tmp_path / "shards" / "_units").exists()
    )
    assert_frame_equal(values(read_features(tmp_path / "shards")), expected)


def damage(folder):
    """Damage an image in each of nine ways; return what its message says, by file."""
    images = folder / "images" / "P1" / "Images"
    paths = [
        images / f"HTS_{well}_s{site}_w{c}.tif"
        for well in ("A01", "A02", "B01")
        for site in (1, 2)
        for c in (1, 2)
    ]
    paths[0].unlink()
    paths[1].write_bytes(paths[1].read_bytes()[:3000])
    paths[2].write_text("Sorry, this page could not be found.")
    paths[3].write_bytes(b"")
    tifffile.imwrite(paths[4], np.zeros((40, 40, 3), np.uint8), photometric="rgb")
    tifffile.imwrite(paths[5], np.zeros((5, 40, 40), np.uint16))
    tifffile.imwrite(paths[6], np.full((40, 40), np.nan, np.float32))
    paths[7].unlink()
    paths[7].mkdir()
    Image.new("L", (20, 20)).save(paths[8], format="PNG")
    reasons = [
        "No such file",
        "damaged",
        "cannot be read",
        "0 bytes",
        "colour",
        "stack",
        "NaN",
        "directory",
        "cannot be read",
    ]
    return dict(zip(paths, reasons))


def test_what_cannot_be_measured_has_its_row_with_the_reason(plates, tmp_path, capsys):
    complete, out = tmp_path / "complete", tmp_path / "out"
    assert call(plates, "--output", complete) == 0
    broken = damage(tmp_path)
    table = pd.read_csv(plates, dtype=str)
    table.loc[11, "FileName_OrigER"] = None
    table.to_csv(plates, index=False)
    assert call(plates, "--output", out) == INCOMPLETE
    assert "Incomplete   6 image sets (see Metadata_Error)" in capsys.readouterr().out

    complete_frame, frame = read_features(complete), read_features(out)
    assert len(frame) == len(complete_frame)
    assert (
        frame.Metadata_Error.notna().sum() == 6
        and "names no file" in frame.Metadata_Error[11]
    )
    lost = {(11, "OrigER")}
    for number, (path, reason) in enumerate(broken.items()):
        row, channel = divmod(number, 2)
        lost.add((row, f"Orig{CHANNELS[channel]}"))
        (told,) = [
            text
            for text in frame.Metadata_Error[row].split("; ")
            if text.startswith(f"Orig{CHANNELS[channel]}")
        ]
        assert path.name in told and reason in told
    for row in range(12):
        for channel in ("OrigDNA", "OrigER"):
            names = [name for name in feature_columns(frame) if name.endswith(channel)]
            if (row, channel) in lost:
                assert frame.loc[row, names].isna().all()
            else:
                assert frame.loc[row, names].equals(complete_frame.loc[row, names])

    assert call(plates, "--output", out) == INCOMPLETE, (
        "what was measured before counts too"
    )
    strict = tmp_path / "strict"
    assert call(plates, "--output", strict, "--strict") == 1
    assert "HTS_A01_s1_w1.tif" in capsys.readouterr().err
    assert not list(strict.glob("source_8/**/*.parquet"))


def test_the_summary_has_one_reason_of_each_kind(plates, tmp_path, capsys):
    table = pd.read_csv(plates, dtype=str)
    # All twelve images of a channel are of a kind that is not read; two are lost.
    table["FileName_OrigER"] = table["FileName_OrigER"].str.replace(".tif", ".C01")
    for folder, name in zip(table["PathName_OrigER"], table["FileName_OrigER"]):
        (plates.parent / folder / name).write_bytes(b"Cellomics")
    for folder, name in zip(table["PathName_OrigDNA"], table["FileName_OrigDNA"][:2]):
        (plates.parent / folder / name).unlink()
    table.to_csv(plates, index=False)
    # Whoever runs the command again is told as well.
    for text in ("12 measured", "6 wells already measured"):
        assert call(plates, "--output", tmp_path / "out") == INCOMPLETE
        summary = capsys.readouterr().out
        assert text in summary
        reasons = [line[13:] for line in summary.splitlines() if " Orig" in line]
        assert len(reasons) == 2
        lost, unread = sorted(reasons)
        assert lost.startswith("OrigDNA: /") and "No such file" in lost
        assert "images are read from" in unread and unread.endswith("'.c01'")


def test_what_was_measured_in_another_way_is_refused_not_mixed(
    plates, tmp_path, capsys
):
    out = tmp_path / "out"
    assert call(plates, "--output", out, "--channels", "OrigDNA") == 0
    files_before = files(out)
    for other in (["--channels", "OrigER"], ["--channels", "DNA=OrigDNA"], []):
        assert call(plates, "--output", out, *other) == 1
        assert "measured in another way" in capsys.readouterr().err
    table = pd.read_csv(plates, dtype=str)
    table["Metadata_Compound"] = "DMSO"
    table.to_csv(tmp_path / "more.csv", index=False)
    assert call(tmp_path / "more.csv", "--output", out, "--channels", "OrigDNA") == 1
    told = capsys.readouterr().err
    assert "holds well A01 of plate source_8/J3/P1 already" in told
    # A corrected plate map needs no second extraction.
    assert "stratonet evaluate --metadata joins them to these features" in told
    assert files(out) == files_before


MANIFEST = """{{
 "feature_set": "{feature_set}",
 "taps": [
  "{tap}"
 ],
 "recipe": "{recipe}",
 "grey_range": "plane",
 "channels": [
  "OrigDNA",
  "OrigER"
 ],
 "illumination": null,
 "objects": {objects},
 "size": {size},
 "gallery": {gallery}
}}"""


@pytest.mark.parametrize(
    "options, objects, size, gallery",
    [
        ([], "null", "null", "false"),
        (["--gallery"], "null", "null", "true"),
        (["--centres", "centres.csv", "--size", 24], '"centres"', "24", "false"),
    ],
    ids=["plates", "gallery", "centres"],
)
def test_what_a_destination_says_of_itself_stays(
    options, objects, size, gallery, plates, tmp_path, monkeypatch
):
    """Byte for byte: destinations of earlier versions are resumed."""
    table = pd.read_csv(plates, dtype=str)
    keys = ["Metadata_Plate", "Metadata_Well", "Metadata_Site"]
    centres = table[keys].assign(Location_Center_X=30, Location_Center_Y=40)
    centres.to_csv(tmp_path / "centres.csv", index=False)
    monkeypatch.chdir(tmp_path)
    assert call(plates, "--output", tmp_path / "out", *options) == 0
    (path,) = (tmp_path / "out").rglob("_stratonet.json")
    crop = None if size == "null" else int(size)
    assert path.read_text() == MANIFEST.format(
        feature_set=read_feature_set_id(crop=crop),
        tap=TAP,
        recipe=read_card().choose_recipe(crop=crop).text,
        objects=objects,
        size=size,
        gallery=gallery,
    )


def test_the_name_of_a_unit_stays():
    """It tells whether a well was measured from the same: as in earlier versions."""
    frame = pd.DataFrame(
        {
            "Metadata_Plate": ["P1", "P1"],
            "Metadata_Well": ["A01", "A01"],
            "URL_DNA": ["/here/1.tif", "s3://there/2.tif?signed=1"],
            "Frame_DNA": [0, 1],
        }
    )
    centres = pd.DataFrame(
        {
            "Metadata_Well": ["A01"],
            "Metadata_Dose": ["x"],
            "Location_Center_Y": [1.5],
            "Location_Center_X": [2.5],
        }
    )
    frame["Metadata_Dose"] = ["x", "y"]
    names = [split_units(frame)[0].name, split_units(frame, centres)[0].name]
    assert names == ["A01.8806ce28d8f7", "A01.5c10f558dea5"]


@pytest.mark.slow
def test_a_plate_that_grows_gets_a_second_file(plates, tmp_path):
    table = pd.read_csv(plates, dtype=str)
    half = tmp_path / "half.csv"
    table[table.Metadata_Well != "B01"].to_csv(half, index=False)
    assert call(half, "--output", tmp_path / "out") == 0
    assert call(plates, "--output", tmp_path / "out") == 0
    assert call(plates, "--output", tmp_path / "whole") == 0
    assert (
        len(list((tmp_path / "out" / "source_8" / "J3" / "P1").glob("*.parquet"))) == 2
    )
    assert_frame_equal(
        values(read_features(tmp_path / "out")),
        values(read_features(tmp_path / "whole")),
    )


@pytest.mark.parametrize("object_source", ["labels", "centres"])
def test_one_row_an_object(object_source, plates, tmp_path, capsys):
    small = StratoNet.load(taps=TAP, crop=24)
    labels = np.zeros((80, 80), np.uint16)
    labels[10:20, 12:22], labels[50:60, 40:44], labels[70:80, 70:80] = 3, 5, 9
    centres = pd.DataFrame(
        {"ObjectNumber": [3, 5, 9], "Location_Center_X": [16.5, 41.5, 74.5]}
    )
    centres["Location_Center_Y"] = [14.5, 54.5, 74.5]
    table = pd.read_csv(plates, dtype=str)
    if object_source == "labels":
        for number in table.index:
            tifffile.imwrite(
                tmp_path / f"{number}.tif", labels if number else np.zeros_like(labels)
            )
            table.loc[number, "Image_ObjectsFileName_Nuclei"] = f"{number}.tif"
        table["Image_ObjectsPathName_Nuclei"] = ""
        table.loc[1, "Image_ObjectsFileName_Nuclei"] = "lost.tif"
        flags = ["--labels", "Nuclei"]
    else:
        keys = ["Metadata_Plate", "Metadata_Well", "Metadata_Site"]
        rows = table[keys].drop([0, 1]).merge(centres, how="cross")
        elsewhere = rows.tail(1).assign(Metadata_Plate="P9", Metadata_Site="7")
        pd.concat([rows, elsewhere]).to_csv(tmp_path / "centres.csv", index=False)
        flags = ["--centres", tmp_path / "centres.csv"]
    table.to_csv(tmp_path / "objects.csv", index=False)
    status = call(
        tmp_path / "objects.csv", "--output", tmp_path / "out", *flags, "--size", 24
    )
    frame = read_features(tmp_path / "out")
    if object_source == "labels":
        assert status == INCOMPLETE
        lost = frame[frame.Metadata_Error.notna()]
        assert (
            len(lost) == 1
            and lost.Metadata_ObjectNumber.isna().all()
            and "lost.tif" in lost.Metadata_Error.item()
        )
        frame = frame.drop(lost.index)
    else:
        assert status == 0
        assert "Left out     1 object in no image set, such as P9" in (
            capsys.readouterr().out
        )
    assert frame.Metadata_ObjectNumber.tolist() == [3, 5, 9] * 10, (
        "an image set without objects has no rows"
    )
    row = table.iloc[2]
    planes = [
        read_plane(tmp_path / row[f"PathName_{c}"] / row[f"FileName_{c}"])
        for c in ("OrigDNA", "OrigER")
    ]
    expected = small.features(
        [
            crop_square(planes[1], (14.5, 16.5), 24),
            crop_square(planes[0], (74.5, 74.5), 24),
        ]
    )
    er, dna = (
        [name for name in feature_columns(frame) if name.endswith(channel)]
        for channel in ("ER", "DNA")
    )
    assert np.array_equal(frame[er].to_numpy()[0], expected[0])
    assert np.array_equal(frame[dna].to_numpy()[2], expected[1])


@pytest.mark.parametrize(
    "objects",
    [WholeImages(), ObjectsFromCenters("centres.csv", size=24)],
    ids=["whole images", "objects"],
)
@pytest.mark.parametrize(
    "text, grey_range",
    [("whole64/mean", "plane"), ("whole48+tiles32/mean+sd", "plate")],
    ids=["whole plane", "tiles, sd, limits of the plate"],
)
def test_planes_prepared_on_another_machine_give_the_same(
    text, grey_range, objects, plates, tmp_path
):
    damage(tmp_path)
    frame = read_source(ImageSource(plates)).frame
    centres = frame[["Metadata_Plate", "Metadata_Well", "Metadata_Site"]].assign(
        Location_Center_X=30.0, Location_Center_Y=40.0
    )
    unit = split_units(frame, centres if objects.size else None)[0]
    recipe = replace(Recipe.parse(text), grey_range=grey_range, crop=objects.size)
    if grey_range == "plate":
        limits = {"OrigDNA": (100.0, 1500.0), "OrigER": (0.0, 2500.0)}
        unit = replace(unit, limits=limits)
    job = Job(
        Storage(),
        ("OrigDNA", "OrigER"),
        recipe,
        taps=(TAP, "intensity"),
        objects=objects,
    )
    with ThreadPoolExecutor(2) as pool:
        direct = list(measure_unit(job, unit, read_unit(job, unit, pool)))
        prepared = list(prepare_unit(job, unit, read_unit(job, unit, pool)))
    prepared_elsewhere = list(
        measure_unit(job, unit, pickle.loads(pickle.dumps(prepared)))
    )
    assert len(direct) == len(prepared_elsewhere) == 2
    for image_set, other in zip(direct, prepared_elsewhere):
        assert image_set.errors == other.errors and any(image_set.errors)
        assert np.array_equal(image_set.features, other.features, equal_nan=True)


def test_the_layout_of_the_gallery(plates, tmp_path, small):
    out = tmp_path / "workspace_dl"
    assert call(plates, "--output", out, "--gallery") == 0
    digest = hashlib.sha256(small.feature_set_id.encode()).hexdigest()[:7]
    network = f"{small.card.name}-{small.card.version}"
    embeddings = out / "embeddings" / f"{network}_imagenet-1k_{digest}".lower()
    frame = pd.read_parquet(embeddings / "J3" / "P2" / "A02-1" / "embedding.parquet")
    assert len(list(embeddings.rglob("embedding.parquet"))) == 12 and len(frame) == 1
    assert frame.loc[
        0, ["Metadata_Plate", "Metadata_Well", "Metadata_Site"]
    ].tolist() == ["P2", "A02", "1"]
    of_blocks = [f"StratoFeatures_{block.label}_OrigER" for block in small.blocks]
    assert np.array_equal(
        np.concatenate([frame[name][0] for name in of_blocks]),
        small.features(_plane(1, 1, 1, 1))[0],
    )
    assert call(plates, "--output", out, "--gallery") == 0


def _plane(*seed):
    return tifffile.imread(io.BytesIO(image(*seed)))


def test_frames_of_stacks_are_measured_one_by_one(tmp_path, small):
    stack = np.stack([_plane(number) for number in range(4)])
    tifffile.imwrite(tmp_path / "stack.tif", stack, photometric="minisblack")
    table = pd.DataFrame(
        {"Metadata_Plate": "P", "Metadata_Well": "A01", "Metadata_Frame": range(5)}
    )
    table["FileName_DNA"], table["Frame_DNA"] = "stack.tif", range(5)
    table.to_csv(tmp_path / "stacks.csv", index=False)
    assert call(tmp_path / "stacks.csv", "--output", tmp_path / "out") == INCOMPLETE
    frame = read_features(tmp_path / "out")
    assert np.array_equal(
        frame[feature_columns(frame)].to_numpy()[:4], small.features(stack)
    )
    assert "file holds 4" in frame.Metadata_Error[4]


def test_screens_and_options_that_cannot_be_are_refused_in_one_line(
    plates, tmp_path, capsys
):
    table = pd.read_csv(plates, dtype=str)
    elsewhere, taken = tmp_path / "elsewhere.csv", tmp_path / "taken.csv"
    table.assign(PathName_OrigDNA="nowhere").to_csv(elsewhere, index=False)
    table.assign(Metadata_Error="x").to_csv(taken, index=False)
    cases = {
        "None of the 12 images": [elsewhere],
        "with --images (where relative paths start) or --replace-path OLD=NEW.": [
            elsewhere
        ],
        "Rename the column": [taken],
        "Illumination_OrigDNA": [plates, "--illumination", "divide"],
        "Labels_Nuclei": [plates, "--labels", "Nuclei"],
        "can only be read": [plates, "--output", "https://localhost/out"],
    }
    refused_early = {
        "--shard K/N needs 1 ≤ K ≤ N. Received: 5/4": ["--shard", "5/4"],
        "--size only works with --labels or --centres": ["--size", 40],
        "--size is 8 to 4096 pixels. Received: 5": ["--labels", "Nuclei", "--size", 5],
        "--address only works with --engine ray": ["--address", "auto"],
        "Received both": ["--labels", "Nuclei", "--centres", plates],
        "No weights 'other'": ["--weights", "other"],
        "A recipe is views": ["--recipe", "large"],
        "This ONNX Runtime has": ["--provider", "Abacus"],
        "gone.json": ["--grey-range", "gone.json"],
    }
    # No table is read: there is none.
    for expected_message, arguments in refused_early.items():
        cases[expected_message] = [tmp_path / "gone.csv", *arguments]
    for expected_message, arguments in cases.items():
        status = call("--output", tmp_path / "out", *arguments)
        assert status == (2 if expected_message in refused_early else 1)
        message = capsys.readouterr().err
        assert expected_message in message and len(message.splitlines()) == 1, message
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "arguments, expected_message",
    [
        (["--shard", "x"], "--shard: expected K/N, for example 3/20. Received: x"),
        (["--replace-path", "x"], "--replace-path: expected OLD=NEW. Received: x"),
    ],
)
def test_flags_say_what_they_expect(arguments, expected_message, capsys):
    with pytest.raises(SystemExit, match="2"):
        call("load_data.csv", "--output", "out", *arguments)
    assert f"argument {expected_message}" in capsys.readouterr().err


def test_a_library_error_names_the_parameter(plates, tmp_path):
    with pytest.raises(ValueError, match="`size` is 8 to 4096 pixels. Received: 5"):
        ObjectsFromCenters("centres.csv", size=5)
    with pytest.raises(ValueError, match="`shard` needs 1 ≤ number ≤ count"):
        Shard(0, 4)
    with pytest.raises(ValueError, match="`illumination` is one of divide, subtract"):
        extract(plates, tmp_path / "out", illumination="add")
    with pytest.raises(ValueError, match="`sources` is empty"):
        extract([], tmp_path / "out")
    signed, public = ImageSource(plates), ImageSource(plates, anonymous=True)
    with pytest.raises(ValueError, match="the same endpoint, region and anonymous"):
        extract([signed, public], tmp_path / "out")


@pytest.mark.slow
def test_a_full_disk_ends_the_run_with_its_name(plates):
    done = run(plates, "--output", "/dev/full/out")
    assert (
        done.returncode == 1
        and "/dev/full" in done.stderr
        and "Traceback" not in done.stderr
    )


def test_a_part_that_measures_nothing_is_not_whole(plates, tmp_path, capsys):
    out = tmp_path / "out"
    assert call(plates, "--output", out, "--shard", "40/40") == INCOMPLETE
    assert "0 measured" in capsys.readouterr().out


def test_a_misspelt_channel_is_told(plates, tmp_path, capsys):
    assert call(plates, "--output", tmp_path / "out", "--channels", "origdna") == 1
    assert "Did you mean OrigDNA?" in capsys.readouterr().err

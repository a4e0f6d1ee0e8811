"""The recipes of MeasureStratoFeatures: the numbers are those of the network.

Headless CellProfiler measures by each; beside it stands what `StratoNet.load` gives for
the pixels of the files.
"""

import inspect
import json
import re
from dataclasses import replace

import numpy as np
import pytest
import tifffile

pytest.importorskip("cellprofiler", reason="CellProfiler is not installed")
pytest.importorskip("pyarrow", reason="pyarrow is not installed")

from cellprofiler_core.image import FileImage, ImageSetList
from cellprofiler_core.measurement import Measurements
from cellprofiler_core.object import ObjectSet
from cellprofiler_core.setting import ValidationError
from cellprofiler_core.workspace import Workspace
from cellprofiler_runs import (
    load_modules,
    module,
    pipeline_of,
    rows_of,
    run,
    words_of_recipe,
)  # before the others: no window
from pyarrow import parquet

from cellprofiler_plugin import pixels, recipes
from cellprofiler_plugin.forecast import SECONDS_PER_TILE, describe_run
from stratonet import StratoNet
from stratonet.crops import crop_square
from stratonet.limits import PlateLimits
from stratonet.recipe import OF_PLATE, Recipe

pytestmark = pytest.mark.stock_cellprofiler

CHANNELS = ["DNA", "ER"]
TAPS = ["low", "intensity"]
CENTERS, SIZE = [(60, 70), (200, 255)], 48
GIVEN = {"DNA": (150.0, 3000.0), "ER": (20.0, 200.5)}
PLATES = {
    "P1": {"DNA": (90.0, 4100.0), "ER": (0.0, 255.0)},
    "7": {"DNA": (300.0, 900.0), "ER": (10.0, 60.0)},
}
WAYS = [
    ("whole224/mean", "plane"),
    ("tiles224-across2/mean+sd", "plane"),
    ("tiles224/mean", "plane"),
    ("whole224+tiles224/mean+sd", "plane"),
    ("whole224/mean", "given"),
    ("tiles224/mean+sd", "given"),
    ("tiles224/mean+sd", "plate"),
    ("tiles224-150um/mean+sd", "plane"),
]
# Of the plates, in micrometres.
PIXEL_SIZES = {"P1": 0.65, "7": 0.325}
GREY_RANGES = {
    "plane": {"grey_range": recipes.OF_EACH_IMAGE},
    "given": {
        "grey_range": recipes.GIVEN_NUMBERS,
        "limits": "DNA: 150-3000, ER: 20 - 200.5",
    },
    "plate": {"grey_range": recipes.FROM_EXTRACT},
}


@pytest.fixture(scope="module", autouse=True)
def modules():
    load_modules()


def measure(recipe, **settings):
    step = module(
        "MeasureStratoFeatures",
        images="DNA, ER",
        taps="low,intensity",
        output="CellProfiler's tables",
    )
    return words_of_recipe(step, recipe, **{"crop_size": SIZE, **settings})


@pytest.fixture(scope="module")
def planes():
    """Planes of two plates, of 16 and of 8 bits; no side is a multiple of a tile's."""
    rng = np.random.default_rng(4)
    shape = (260, 300)
    made = []
    for plate in PLATES:
        dna = rng.integers(100, 4000, shape, dtype=np.uint16)
        er = rng.integers(0, 200, shape, dtype=np.uint8)
        made.append({"plate": plate, "DNA": dna, "ER": er})
    return made


@pytest.fixture(scope="module")
def limits_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("limits") / "limits.json"
    path.write_text(PlateLimits(PLATES).to_json())
    return path


@pytest.fixture(scope="module")
def measured(planes, limits_file, tmp_path_factory):
    """The folder of one run that measures by all recipes, images and objects."""
    folder = tmp_path_factory.mktemp("recipes")
    labels = np.zeros(planes[0]["DNA"].shape, np.uint8)
    for number, (row, column) in enumerate(CENTERS, start=1):
        labels[row - 9 : row + 10, column - 9 : column + 10] = number
    rows = []
    for number, plane in enumerate(planes):
        images = {f"s{number}_{name}": plane[name] for name in CHANNELS}
        row = rows_of(folder, **images, objects_Cells=labels)
        plate = plane["plate"]
        size = PIXEL_SIZES[plate]
        rows.append({"Metadata_Plate": plate, "Metadata_PixelSize": size, **row})
    steps = [
        measure(
            recipe,
            region_choice="Both",
            objects="Cells",
            output="A Parquet file",
            prefix=f"Way{number}",
            limits_file=str(limits_file),
            # Only read by recipes in micrometres.
            pixel_size=r"\g<PixelSize>",
            **GREY_RANGES[grey_range],
        )
        for number, (recipe, grey_range) in enumerate(WAYS)
    ]
    expected = [
        f"Way{number}_{kind}.parquet"
        for number in range(len(WAYS))
        for kind in ("Image", "Cells")
    ]
    export = module("ExportToSpreadsheet", wants_prefix=False)
    return run(folder, rows, *steps, export, expected=[*expected, "Experiment.csv"])


def load(recipe, grey_range, crop=None):
    recipe = Recipe.parse(recipe)
    if grey_range == "plate":
        recipe = replace(recipe, grey_range=OF_PLATE)
    if grey_range == "given":
        recipe = recipe.with_limits(GIVEN)
    return StratoNet.load(taps=TAPS, recipe=recipe, crop=crop)


def select_features(table, net):
    # Stock CellProfiler has no pandas.
    columns = table.select(net.feature_names(CHANNELS)).to_pydict()
    return np.array(list(columns.values()), np.float32).T


def choose_limits(grey_range, plate):
    ranges = {"given": GIVEN, "plate": PLATES[plate]}
    return ranges.get(grey_range, {})


def squares_of(plane):
    return [crop_square(plane, center, SIZE) for center in CENTERS]


def squares_recipe(recipe):
    """Squares are shown in one way, in pixels, also where images are shown in two."""
    views, statistics = recipe.split("/")
    return f"{'whole224' if views == 'whole224' else 'tiles224'}/{statistics}"


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(WAYS)), ids=lambda n: "-".join(WAYS[n]))
@pytest.mark.parametrize("kind", ["Image", "Cells"])
def test_the_features_are_those_of_the_network(kind, number, measured, planes):
    recipe, grey_range = WAYS[number]
    if kind == "Image":
        net, cut = load(recipe, grey_range), lambda plane: [plane]
    else:
        net, cut = load(squares_recipe(recipe), grey_range, SIZE), squares_of
    expected = []
    for plane in planes:
        limits = choose_limits(grey_range, plane["plate"])
        size = PIXEL_SIZES[plane["plate"]]
        by_channel = [
            net.features(cut(plane[name]), limits.get(name), size) for name in CHANNELS
        ]
        expected.append(np.hstack(by_channel))
    table = parquet.read_table(measured / f"Way{number}_{kind}.parquet")
    received = select_features(table, net)
    np.testing.assert_allclose(received, np.vstack(expected), rtol=1e-5, atol=1e-5)
    ids = set(table["Metadata_StratoFeatures"].to_pylist())
    assert ids == {net.feature_set_id}
    assert net.feature_set_id in (measured / "Experiment.csv").read_text()


@pytest.mark.everything
@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(WAYS)), ids=lambda n: "-".join(WAYS[n]))
def test_the_features_are_those_of_scikit_learn(number, measured, planes, limits_file):
    pandas = pytest.importorskip("pandas", reason="The transformer needs pandas")
    pytest.importorskip(
        "sklearn", minversion="1.6", reason="too old for the transformer"
    )
    from stratonet_sklearn import StratoFeatureTransformer as transformer

    if "grey_range" not in inspect.signature(transformer).parameters:
        pytest.skip("This transformer has no recipes")
    recipe, grey_range = WAYS[number]
    table = parquet.read_table(measured / f"Way{number}_Image.parquet")
    for row, plane in enumerate(planes):
        # The transformer takes the images of one plate.
        limits = choose_limits(grey_range, plane["plate"]) or "plane"
        size = PIXEL_SIZES[plane["plate"]] if "um" in recipe else None
        made = transformer(taps=TAPS, recipe=recipe, grey_range=limits, pixel_size=size)
        files = {
            name: [str(measured.parent / f"s{row}_{name}.tif")] for name in CHANNELS
        }
        expected = np.asarray(made.fit_transform(pandas.DataFrame(files)))[0]
        received = select_features(table, load(recipe, grey_range))[row]
        np.testing.assert_allclose(received, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("rescale", [True, False])
def test_units_are_those_of_the_file(rescale, tmp_path):
    """Of 12 bits, whose largest value is written in the file, or is not to count."""
    rng = np.random.default_rng(1)
    plane = rng.integers(100, 4000, (80, 90), dtype=np.uint16)
    row = rows_of(tmp_path, i_DNA=plane)
    largest = [(281, "H", 1, 4095, True)]
    tifffile.imwrite(tmp_path / "i_DNA.tif", plane, extratags=largest)
    invert = module("ImageMath", operation="Invert", output_image_name="ER")
    invert.images[0].image_name.value = "DNA"
    step = measure("whole224/mean", output="A Parquet file", taps="intensity")
    out = run(
        tmp_path,
        [row],
        invert,
        step,
        expected=["StratoFeatures_Image.parquet"],
        rescale=rescale,
    )
    net = StratoNet.load(taps="intensity")
    table = parquet.read_table(out / "StratoFeatures_Image.parquet")
    received = select_features(table, net)
    # An image that was made of one of a file has its units.
    inverted = (4095 if rescale else 65535) - plane.astype(float)
    expected = net.features([plane, inverted]).ravel()
    np.testing.assert_allclose(received[0], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("largest, unit", [(1000.0, 1000), (True, 1), (False, 1)])
def test_units_of_a_range_that_the_user_has_given(largest, unit, tmp_path):
    """NamesAndTypes may divide by any number; floating point files stay as they are."""
    plane = np.random.default_rng(2).random((20, 30), np.float32)
    np.save(tmp_path / "i.npy", plane)
    image_sets = ImageSetList()
    image_set = image_sets.get_image_set(0)
    image_set.providers.append(
        FileImage("DNA", str(tmp_path), "i.npy", rescale=largest)
    )
    workspace = Workspace(
        pipeline_of(), None, image_set, ObjectSet(), Measurements(), image_sets
    )
    loaded = image_set.get_image("DNA").pixel_data
    np.testing.assert_allclose(loaded, plane / unit, rtol=1e-6)
    received = pixels.get_plane(workspace, "DNA").pixels
    np.testing.assert_allclose(received, plane, rtol=1e-6)


@pytest.mark.slow
def test_a_plate_without_a_grey_range_stops_the_run_before_it_begins(
    limits_file, tmp_path, planes
):
    images = {f"i_{name}": planes[0][name] for name in CHANNELS}
    rows = [
        {"Metadata_Plate": plate, **rows_of(tmp_path, **images)}
        for plate in ("P1", "P9")
    ]
    step = measure(
        "whole224/mean", limits_file=str(limits_file), **GREY_RANGES["plate"]
    )
    told = r"(?s)limits\.json: There are limits of the plates 7, P1\. Received: P9"
    with pytest.raises(RuntimeError, match=told):
        run(tmp_path, rows, step, expected=["none.csv"])
    assert "Image # 1" not in (tmp_path / "out" / "cellprofiler.log").read_text()


def loading(step):
    source = module("NamesAndTypes", assignment_method="Images matching rules")
    source.add_assignment()
    for assignment, name in zip(source.assignments, CHANNELS):
        assignment.image_name.value = name
    return pipeline_of(source, step)


@pytest.mark.parametrize(
    "limits, told",
    [
        ("", "no grey range for DNA, ER"),
        ("DNA: 100-4000", "no grey range for ER. There are ranges for: DNA"),
        ("DNA: 100-4000, ER 50-900", "DNA: 100-4000, ER: 50-900. Received: 'ER 50-900"),
        ("DNA: 1.2.3-4, ER: 1-2", "Received: 'DNA: 1.2.3-4'"),
        ("DNA: 100-4000, ER: 900-50", "the smaller first. Received for ER"),
        ("DNA: 1-2, ER: 1-2, AGP: 1-2", "for AGP, not among"),
    ],
)
def test_grey_ranges_that_cannot_be_read_are_refused(limits, told):
    step = measure(
        "whole224/mean", grey_range=recipes.GIVEN_NUMBERS, limits=limits, taps="low"
    )
    with pytest.raises(ValidationError, match=told) as caught:
        step.validate_module(loading(step))
    assert caught.value.setting is step.limits
    assert describe_run(step) in str(caught.value)


@pytest.mark.parametrize(
    "content, told",
    [
        (None, "No such file"),
        ({}, r"limits\.json.*not limits of grey values"),
        (
            {"grey_limits": {"P1": {"DNA": [0, 1]}}},
            r"limits\.json, plate P1: There is no grey range for ER",
        ),
    ],
)
def test_a_file_of_grey_ranges_that_does_not_fit_is_refused(content, told, tmp_path):
    path = tmp_path / "limits.json"
    if content is not None:
        path.write_text(json.dumps(content))
    step = measure("whole224/mean", limits_file=str(path), **GREY_RANGES["plate"])
    with pytest.raises(ValidationError, match=told) as caught:
        step.validate_module(loading(step))
    assert caught.value.setting is step.limits_file


@pytest.mark.parametrize(
    "size, told",
    [
        ("", "micrometres, such as 0.65, or metadata.*Received: none"),
        ("0,65", "a number of micrometres, such as 0.65.*Received: 0,65"),
        ("650", "from 0.001 to 100. Received: 650"),
        ("20", "makes 29867 x 29867 pixels of the plane's 1000 x 1000"),
        ("0.65", None),
        (r"\g<PixelSize>", None),
        (r"\g<Plate>\g<Well>", None),
    ],
)
def test_sizes_of_pixels_that_cannot_be_are_refused(size, told):
    step = measure("tiles224-150um/mean", pixel_size=size, region_choice="Whole images")
    shown = set(map(id, step.visible_settings()))
    assert {id(step.tile_width), id(step.pixel_size)} <= shown
    if told is None:
        step.validate_module(loading(step))
        assert "features for each of: Image" in describe_run(step)
        return
    assert re.search(told, describe_run(step))
    if size != "20":  # How large images are is not known before the run.
        with pytest.raises(ValidationError, match=told) as caught:
            step.validate_module(loading(step))
        assert caught.value.setting is step.pixel_size
    # Squares are in pixels, and nothing else asks for the size.
    step.region_choice.value, step.objects.value = "Objects", "Nuclei"
    step.validate_module(loading(step))


def test_an_image_set_without_the_size_of_its_pixels_stops_the_run(tmp_path, planes):
    images = {f"i_{name}": planes[0][name] for name in CHANNELS}
    rows = [
        {"Metadata_PixelSize": size, **rows_of(tmp_path, **images)}
        for size in ("0.65", "unknown")
    ]
    step = measure("tiles224-150um/mean", pixel_size=r"\g<PixelSize>")
    with pytest.raises(RuntimeError, match=r"(?s)Image set 2: .*Received: unknown"):
        run(tmp_path, rows, step, expected=["none.csv"])
    step.pixel_size.value = r"\g<Scale>"
    with pytest.raises(RuntimeError, match=r"(?s)Image set 1: It lacks the metadata"):
        run(tmp_path, rows, step, expected=["none.csv"])
    assert "Image # 1" not in (tmp_path / "out" / "cellprofiler.log").read_text()


def test_a_network_without_deviations_is_refused(tmp_path, monkeypatch):
    step = measure("whole224/mean+sd")
    card = step.get_card()
    taps = tuple(replace(tap, sd=None) for tap in card.taps)
    poor = replace(card, taps=taps, recipes={})
    monkeypatch.setattr(type(step), "get_card", lambda self: poor)
    with pytest.raises(ValidationError, match="the mean of its maps only") as caught:
        step.validate_module(loading(step))
    assert caught.value.setting is step.statistics


def test_new_modules_start_with_what_the_network_recommends():
    step = module(
        "MeasureStratoFeatures",
        images="DNA",
        region_choice="Both",
        objects="Nuclei",
        output="A Parquet file",
    )
    card = step.get_card()
    assert step.get_recipe("Image") == card.choose_recipe()
    assert step.get_recipe("Nuclei") == card.choose_recipe(crop=96)
    step.validate_module_warnings(loading(step))
    assert "recommends" not in describe_run(step)


def test_another_recipe_than_the_recommended_is_said(monkeypatch):
    step = measure("whole224/mean", region_choice="Both", objects="Nuclei", taps="low")
    card = replace(
        step.get_card(),
        recipes={"cells": "tiles224/mean+sd", "objects": "whole224/mean"},
    )
    monkeypatch.setattr(type(step), "get_card", lambda self: card)
    told = (
        "For whole images, stratonet50 now recommends: Tiles at the cells' scale, Mean"
        " and standard deviation."
    )
    assert told in describe_run(step) and "For objects" not in describe_run(step)
    with pytest.raises(ValidationError, match=told) as caught:
        step.validate_module_warnings(loading(step))
    assert caught.value.setting is step.view
    words_of_recipe(step, "tiles224/mean+sd")
    assert step.get_recipe("Image") == card.choose_recipe()
    assert "For whole images" not in describe_run(step)


def test_a_recommended_recipe_without_words_is_named(monkeypatch):
    step = measure("whole224/mean")
    card = replace(step.get_card(), recipes={"cells": "tiles224-overlap50/mean"})
    monkeypatch.setattr(type(step), "get_card", lambda self: card)
    told = "For whole images, stratonet50 now recommends: tiles224-overlap50, Mean."
    assert told in describe_run(step)


def test_columns_and_seconds_are_said_before_the_run():
    step = measure(
        "whole224+tiles224/mean+sd",
        region_choice="Both",
        objects="Nuclei",
        crop_size=112,
    )
    said = describe_run(step)
    assert "4,116 features for each of: Image; 2,068 features for each of: Nuclei" in (
        said
    )
    # Two channels; 5 x 5 tiles beside the whole image; a quarter of a tile per object.
    image, objects = 2 * 26 * SECONDS_PER_TILE, 2 * 100 / 4 * SECONDS_PER_TILE
    assert f"{image:.2g} s of one core for an image set of 1,000 x 1,000 pixels" in said
    assert f"{objects:.2g} s of one core for 100 Nuclei" in said
    assert step.column_count.content == said


def test_other_columns_of_images_than_of_objects_are_declared():
    step = measure("whole224+tiles224/mean", region_choice="Both", objects="Nuclei")
    pipeline = loading(step)
    declared = step.get_measurement_columns(pipeline)
    for kind, label in (("Image", "TilesLow0511"), ("Nuclei", "Low0511")):
        picked = step.get_measurements(pipeline, kind, "StratoFeatures")
        assert label in picked and "Intensity0009" in picked
        names = {name for owner, name, _ in declared if owner == kind}
        assert names == {
            f"StratoFeatures_{one}_{image}" for one in picked for image in CHANNELS
        }


def test_settings_of_another_choice_are_hidden():
    step = measure("whole224/mean", region_choice="Whole images")
    assert step.view in step.visible_settings()
    hidden = [step.square_view, step.limits, step.limits_file]
    assert not set(map(id, hidden)) & set(map(id, step.visible_settings()))
    step.region_choice.value, step.grey_range.value = "Objects", recipes.FROM_EXTRACT
    shown = set(map(id, step.visible_settings()))
    assert {id(step.square_view), id(step.limits_file)} <= shown
    assert id(step.view) not in shown and id(step.limits) not in shown

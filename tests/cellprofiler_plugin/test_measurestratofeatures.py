"""The CellProfiler module, in headless CellProfiler.

``cellprofiler -c -r`` on pipelines built by CellProfiler itself.
"""

import csv
import re
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

pytest.importorskip("cellprofiler", reason="CellProfiler is not installed")
pytest.importorskip("pyarrow", reason="pyarrow is not installed")

from cellprofiler_core.image import Image, ImageSetList
from cellprofiler_core.measurement import Measurements
from cellprofiler_core.object import Objects, ObjectSet
from cellprofiler_core.pipeline import Pipeline
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
from cellprofiler_server import quick_starts
from figure_window import Window
from pyarrow import parquet

from cellprofiler_plugin import headless, pixels
from cellprofiler_plugin.forecast import describe_run
from cellprofiler_plugin.plugins.measurestratofeatures import MeasureStratoFeatures
from stratonet import StratoNet
from stratonet.crops import blank_outside, crop_square
from stratonet.files.images import read_plane
from stratonet.projection import Projection
from stratonet.recipe import Recipe
from stratonet.weights_file import read_feature_set_id

pytestmark = pytest.mark.stock_cellprofiler

TABLES, PARQUET, BOTH = "CellProfiler's tables", "A Parquet file", "Both"
# Whatever is recommended: other recipes are tested in test_recipes.py.
RECIPE = "whole224/mean"
# Those in the pipeline of revision 3.
LIMITS = {"DNA": (100, 4000), "GFP": (50, 900.5)}
SAVED = Path(__file__).with_name("pipelines")
CHANNELS = ["DNA", "ER", "RNA", "AGP", "Mito"]


@pytest.fixture(scope="module", autouse=True)
def modules():
    load_modules()


def measure(images="DNA", **settings):
    made = module("MeasureStratoFeatures", images=images, output=TABLES)
    return words_of_recipe(made, RECIPE, **settings)


def features_of(path):
    table = parquet.read_table(path).to_pydict()
    names = [name for name in table if name.startswith("StratoFeatures_")]
    return table, names, np.array([table[name] for name in names], np.float32).T


def agree(received, expected):
    np.testing.assert_allclose(received, expected, rtol=1e-5, atol=1e-6)


@pytest.fixture(scope="module")
def field():
    rng = np.random.default_rng(3)
    return rng.integers(100, 4000, (120, 160), dtype=np.uint16)


@pytest.mark.slow
def test_same_features_as_from_python_on_a_real_plate(tmp_path, data):
    wells = {"A01": "01-A-01", "A12": "12-A-12"}
    rows = [
        {"Metadata_Well": well, "Metadata_Dose": dose}
        | {
            f"FileName_{c}": f"Channel{i}-{number}.tif"
            for i, c in ((1, "GFP"), (2, "DNA"))
        }
        | {f"PathName_{c}": str(data / "bbbc013") for c in ("GFP", "DNA")}
        for dose, (well, number) in enumerate(wells.items())
    ]
    out = run(
        tmp_path,
        rows,
        measure("DNA, GFP", output=PARQUET),
        expected=["StratoFeatures_Image.parquet"],
    )
    net = StratoNet.load(recipe=RECIPE)
    table, names, received = features_of(out / "StratoFeatures_Image.parquet")
    assert names == net.feature_names(["DNA", "GFP"])
    assert table["ImageNumber"] == [1, 2] and table["Metadata_Well"] == list(wells)
    assert set(table["Metadata_StratoFeatures"]) == {net.feature_set_id}
    paths = [
        [data / "bbbc013" / f"Channel{i}-{number}.tif" for i in (2, 1)]
        for number in wells.values()
    ]
    expected = [np.concatenate(list(net.stream(row, read=read_plane))) for row in paths]
    agree(received, expected)
    assert not list(out.glob("*.unfinished"))
    schema = parquet.read_schema(out / "StratoFeatures_Image.parquet")
    assert str(schema.field(names[0]).type) == "float"


@pytest.mark.slow
def test_objects_of_every_kind(tmp_path, field):
    crowd = np.zeros(field.shape, np.uint16)
    crowd[40:60, 50:70], crowd[40:60, 72:80], crowd[0:6, 150:160], crowd[100, 20] = (
        1,
        2,
        3,
        4,
    )
    alone = np.zeros_like(crowd)
    alone[60, 80] = 1
    rows = []
    for number, labels in enumerate((crowd, np.zeros_like(crowd), alone)):
        row = rows_of(
            tmp_path, **{f"i{number}_DNA": field, f"i{number}_GFP": field[::-1].copy()}
        )
        row.update(rows_of(tmp_path, objects_Cells=labels))
        renamed = tmp_path / f"objects{number}.tif"
        (tmp_path / "objects_Cells.tif").rename(renamed)
        rows.append(
            {
                **row,
                "ObjectsFileName_Cells": renamed.name,
                "Metadata_Well": f"A{number}",
            }
        )
    kinds = [f"StratoFeatures_{kind}.parquet" for kind in ("Image", "Cells")]
    settings = dict(objects="Cells", crop_size="32", taps="low", output=BOTH)
    out = run(
        tmp_path,
        rows,
        measure("DNA", region_choice="Both", hide_neighbors=False, **settings),
        measure(
            "GFP",
            region_choice="Objects",
            hide_neighbors=True,
            prefix="Hidden",
            **settings,
        ),
        module("ExportToSpreadsheet"),
        expected=kinds
        + [
            "Hidden_Cells.parquet",
            "MyExpt_Image.csv",
            "MyExpt_Cells.csv",
            "MyExpt_Experiment.csv",
        ],
    )
    net = StratoNet.load(taps="low", recipe=RECIPE)
    table, names, received = features_of(out / "StratoFeatures_Cells.parquet")
    assert table["ImageNumber"] == [1, 1, 1, 1, 3] and table["ObjectNumber"] == [
        1,
        2,
        3,
        4,
        1,
    ]
    assert table["Metadata_Well"] == ["A0"] * 4 + ["A2"]

    def crop(image, row, column, size=32):
        padded = np.pad(image.astype(float), size, constant_values=-1)
        window = padded[row + size // 2 :, column + size // 2 :][:size, :size]
        return np.where(window < 0, window[window >= 0].min(), window)

    middles = [
        (round(49.5), round(59.5)),
        (round(49.5), round(75.5)),
        (2, 154),
        (100, 20),
    ]
    agree(received[:4], net.features([crop(field, *middle) for middle in middles]))
    agree(received[4:], net.features(crop(field, 60, 80)))

    _, hidden_names, hidden = features_of(out / "Hidden_Cells.parquet")
    flipped = field[::-1]
    seen = np.where(
        crowd == 2, 65535, flipped
    )  # what hides the second object from the crop around the first
    window = crop(seen, *middles[0])
    window[window == 65535] = window.min()
    agree(hidden[:1], net.features(window))

    with open(out / "MyExpt_Cells.csv", newline="") as file:
        cells = list(csv.DictReader(file))
    agree([[float(row[name]) for name in names] for row in cells], received)
    agree([[float(row[name]) for name in hidden_names] for row in cells], hidden)
    with open(out / "MyExpt_Image.csv", newline="") as file:
        images = list(csv.DictReader(file))
    agree(
        [[float(row[name]) for name in names] for row in images],
        features_of(out / kinds[0])[2],
    )
    ids = {read_feature_set_id(recipe=RECIPE, crop=crop) for crop in (None, 32)}
    assert ", ".join(sorted(ids)) in (out / "MyExpt_Experiment.csv").read_text()
    assert set(table["Metadata_StratoFeatures"]) == ids - {net.feature_set_id}


@pytest.mark.slow
def test_masked_and_cropped_images_and_a_database(tmp_path, field):
    masking = np.zeros(field.shape, np.uint16)
    masking[20:100, 30:120] = 1
    row = rows_of(tmp_path, i_DNA=field, objects_Cells=masking)
    empty = rows_of(tmp_path, j_DNA=field)
    tifffile.imwrite(tmp_path / "none.tif", np.zeros_like(masking))
    empty.update(
        {"ObjectsFileName_Cells": "none.tif", "ObjectsPathName_Cells": str(tmp_path)}
    )
    crop = module(
        "Crop",
        image_name="DNA",
        cropped_image_name="Cropped",
        shape="Rectangle",
        crop_method="Coordinates",
    )
    crop.horizontal_limits.value, crop.vertical_limits.value = "30,120", "20,100"
    crop.remove_rows_and_columns.value = "All"
    out = run(
        tmp_path,
        [row, empty],
        module(
            "MaskImage",
            image_name="DNA",
            masked_image_name="Masked",
            source_choice="Objects",
            object_name="Cells",
        ),
        crop,
        measure("Masked, Cropped", taps="low", output=BOTH),
        module(
            "ExportToDatabase",
            db_type="SQLite",
            wants_agg_mean=False,
            wants_properties_image_url_prepend=False,
        ),
        expected=["StratoFeatures_Image.parquet", "DefaultDB.db"],
    )
    net = StratoNet.load(taps="low", recipe=RECIPE)
    _, names, received = features_of(out / "StratoFeatures_Image.parquet")
    inside = blank_outside(field, masking > 0)
    assert inside.min() == field[20:100, 30:120].min()
    agree(received[0], np.concatenate(net.features([inside, field[20:100, 30:120]])))
    assert np.isnan(received[1, :512]).all(), "nothing is left of a wholly masked image"
    agree(received[1, 512:], net.features(field[20:100, 30:120])[0])
    assert (
        "Image 1 has no pixel to measure in Masked"
        in (out / "cellprofiler.log").read_text()
    )
    database = sqlite3.connect(out / "DefaultDB.db")
    (stored,) = database.execute(
        f"SELECT Image_{names[600]} FROM MyExpt_Per_Image WHERE ImageNumber = 1"
    ).fetchone()
    assert stored == pytest.approx(received[0, 600], rel=1e-5)


@pytest.mark.slow
def test_images_that_cannot_be_measured_lose_their_own_features(tmp_path, field):
    good = rows_of(
        tmp_path,
        i_DNA=field,
        i_Actin=field // 2,
        objects_Cells=(field > 3900).astype(np.uint16),
    )
    colour = np.stack([field, field // 2, field // 3], axis=-1).astype(np.uint8)
    bad = [
        ({**good, **rows_of(tmp_path, bad_DNA=colour)}, "Use ColorToGray first"),
        ({**good, **rows_of(tmp_path, small_DNA=field[:90])}, "objects Cells have sh"),
    ]
    out = run(
        tmp_path,
        [good, *(row for row, _ in bad)],
        measure(
            "DNA, Actin", taps="low", output=BOTH, region_choice="Both", objects="Cells"
        ),
        module("ExportToSpreadsheet", wants_prefix=False),
        expected=["StratoFeatures_Image.parquet", "Image.csv"],
    )
    log = (out / "cellprofiler.log").read_text()
    for kind, damaged in (("Image", (2,)), ("Cells", (2, 3))):
        table, names, received = features_of(out / f"StratoFeatures_{kind}.parquet")
        half = len(names) // 2
        numbers, reasons = table["ImageNumber"], table["Metadata_Error"]
        is_damaged = np.isin(numbers, damaged)
        np.testing.assert_array_equal(np.isnan(received[:, 0]), is_damaged)
        np.testing.assert_array_equal(
            np.isnan(received[:, :half]).all(axis=1), is_damaged
        )
        assert np.isfinite(received[:, half:]).all(), "the other image is measured"
        assert [reason is not None for reason in reasons] == is_damaged.tolist()
        for number in damaged:
            reason = reasons[numbers.index(number)]
            told = bad[number - 2][1]
            assert re.search(told, reason) and re.search(told, log)
    with open(out / "Image.csv", newline="") as file:
        cells = [row[names[0]] for row in csv.DictReader(file)]
    assert [cell == "nan" for cell in cells] == [False, True, False]


def test_in_test_mode_an_image_that_cannot_be_measured_stops(field):
    image_sets = ImageSetList()
    image_set = image_sets.get_image_set(0)
    image_set.add("DNA", Image(np.full(field.shape, np.nan, np.float32)))
    pipeline = pipeline_of()
    pipeline.test_mode = True
    workspace = Workspace(
        pipeline, None, image_set, ObjectSet(), Measurements(), image_sets
    )
    with pytest.raises(RuntimeError, match="Image DNA .*NaN"):
        pixels.get_planes(workspace, ["DNA"])
    pipeline.test_mode = False
    planes = pixels.get_planes(workspace, ["Gone", "DNA"])
    told = {"Gone": "Image Gone .* missing or cannot be read", "DNA": "DNA .* NaN"}
    for name, plane in planes.items():
        assert re.search(told[name], plane.fault) and not plane.mask.any()


def workspace_of(pipeline, **images):
    """What CellProfiler hands to a module for one image set."""
    measurements, image_sets = Measurements(), ImageSetList()
    image_set = image_sets.get_image_set(0)
    for name, image in images.items():
        image_set.add(name, image)
    return Workspace(
        pipeline,
        pipeline.modules()[-1],
        image_set,
        ObjectSet(),
        measurements,
        image_sets,
    )


@pytest.mark.slow
def test_overlapping_objects_keep_what_they_share(field):
    step = measure(
        "DNA",
        region_choice="Objects",
        objects="Cells",
        crop_size="32",
        taps="low",
        hide_neighbors=True,
    )
    plane = field / np.float32(65535)
    workspace = workspace_of(pipeline_of(step), DNA=Image(plane))
    inside = np.zeros((2, *field.shape), bool)
    inside[0, 40:60, 50:70] = inside[1, 44:64, 64:74] = True
    cells = Objects()
    pixels = [
        np.insert(np.argwhere(one), 2, number, axis=1)
        for number, one in enumerate(inside, start=1)
    ]
    cells.set_ijv(np.concatenate(pixels))
    cells.parent_image = Image(plane)
    workspace.object_set.add_objects(cells, "Cells")
    step.run(workspace)
    windows = [np.s_[34:66, 44:76], np.s_[38:70, 52:84]]
    others = [~inside[0] & inside[1], ~inside[1] & inside[0]]
    expected = [
        blank_outside(plane[window], ~other[window])
        for window, other in zip(windows, others)
    ]
    measured = workspace.measurements
    received = np.array(
        [
            measured.get_measurement("Cells", name)
            for name in step.make_column_names("Cells")
        ]
    ).T
    net = StratoNet.load(taps="low", recipe=RECIPE)
    agree(received, net.features(expected))
    assert measured.get_measurement("Cells", "ObjectNumber").tolist() == [1, 2]
    assert measured.get_measurement("Cells", "ImageNumber").tolist() == [1, 1]


@pytest.mark.slow
def test_the_figure_is_drawn_from_what_the_run_has_kept(field):
    step = measure(
        "DNA", region_choice="Both", objects="Cells", crop_size="32", taps="low"
    )
    step.show_window = True
    plane = field / np.float32(65535)
    workspace = workspace_of(pipeline_of(step), DNA=Image(plane))
    workspace.measurements.add_experiment_measurement("Run_Timestamp", "now")
    cells = Objects()
    cells.segmented = (np.arange(plane.size).reshape(plane.shape) < 800).astype(int)
    workspace.object_set.add_objects(cells, "Cells")
    step.run(workspace)
    window = Window()
    step.display(workspace, window)
    assert window.subplot(0, 0).get_title() == "DNA"
    assert "stratonet evaluate FOLDER" in window.figure._supxlabel.get_text()
    assert window.subplot(0, 2).get_title() == "1 Cells"
    assert list(window.strato_features) == [1]


@pytest.mark.slow
def test_stacks_are_refused(tmp_path, field):
    (tmp_path / "in").mkdir()
    stack = np.stack([field] * 4)
    tifffile.imwrite(
        tmp_path / "in" / "stack.tif", stack, imagej=True, metadata={"axes": "ZYX"}
    )
    headers, names = (
        module("Metadata", wants_metadata=True),
        module("NamesAndTypes", process_as_3d=True),
    )
    headers.extraction_methods[
        0
    ].extraction_method.value = "Extract from image file headers"
    names.single_image_provider.value = "DNA"
    step = measure("DNA", taps="low", output=PARQUET)
    with open(tmp_path / "run.cppipe", "w") as file:
        pipeline_of(module("Images"), headers, names, module("Groups"), step).dump(file)
    with (
        pytest.raises(
            RuntimeError,
            match="measures 2D images, but the pipeline loads its images as 3D stacks",
        ),
        quick_starts(),
    ):
        headless.run_pipeline(
            tmp_path / "run.cppipe",
            tmp_path / "out",
            ["StratoFeatures_Image.parquet"],
            f"-i{tmp_path / 'in'}",
        )
    workspace = workspace_of(pipeline_of(step), DNA=Image(stack / 65535, dimensions=3))
    with pytest.raises(
        RuntimeError,
        match=(
            r"DNA of image set 1 is a 3D stack of shape \(4, 120, 160\).*MakeProjection"
        ),
    ):
        step.run(workspace)


@pytest.mark.slow
def test_an_image_that_is_not_there_is_refused_before_the_run(tmp_path, field):
    with pytest.raises(RuntimeError, match="GFP not in DNA"):
        run(
            tmp_path,
            [rows_of(tmp_path, i_DNA=field)],
            measure("DNA, GFP"),
            expected=["none.csv"],
        )


def loading(*made):
    """A pipeline that knows of images DNA and GFP, without files."""
    source = module("NamesAndTypes", assignment_method="Images matching rules")
    source.add_assignment()
    for assignment, name in zip(source.assignments, ("DNA", "GFP")):
        assignment.image_name.value = name
    return pipeline_of(source, *made)


@pytest.mark.parametrize(
    "settings, told",
    [
        ({"images": ""}, "Select images to measure.*select at least one"),
        ({"images": "DNA, DNA"}, "Select images to measure.*twice"),
        ({"taps": ""}, "Select taps.*at least one"),
        ({"region_choice": "Objects"}, "Select objects to measure.*at least one"),
        ({"output": PARQUET, "prefix": "a/b"}, "without a folder"),
        (
            {"network": "From a file", "weights": "nowhere.onnx"},
            "No weights 'nowhere.onnx'",
        ),
        ({"images": "DNA-1"}, "letters, digits and underscores"),
        ({"images": "A" * 40}, "at most 64 characters"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, told):
    step = measure(**{"images": "DNA", **settings})
    with pytest.raises(ValidationError, match=told):
        step.validate_module(loading(step))


def test_unknown_taps_are_refused_with_those_there_are():
    step = measure(taps="low,top")
    with pytest.raises(ValidationError, match="top is not one of.*low.*medium.*high"):
        step.test_valid(loading(step))


@pytest.mark.parametrize("exporter", ["SQLite", "MySQL"])
def test_a_database_that_is_too_narrow_is_refused(exporter):
    wide = measure("DNA, GFP")
    pipeline = loading(wide, module("ExportToDatabase", db_type=exporter))
    with pytest.raises(ValidationError, match=r"Per_Image would have 5,1\d\d"):
        wide.validate_module(pipeline)
    for setting, value in (("output", PARQUET), ("taps", "low")):
        narrow = measure("DNA", **{setting: value})
        narrow.validate_module(
            loading(narrow, module("ExportToDatabase", db_type=exporter))
        )


@pytest.mark.parametrize(
    "settings, told",
    [
        ({}, "module number 2.*makes the same measurements"),
        ({"output": BOTH, "taps": "high"}, None),
        ({"output": PARQUET}, None),
        ({"images": "GFP"}, None),
    ],
)
def test_two_modules_do_not_write_over_each_other(settings, told):
    first, second = (
        measure("DNA", taps="low"),
        measure(**{"images": "DNA", "taps": "low", **settings}),
    )
    pipeline = loading(first, second)
    if told:
        with pytest.raises(ValidationError, match=told):
            second.validate_module(pipeline)
    else:
        second.validate_module(pipeline)
    first.output.value = second.output.value = PARQUET
    with pytest.raises(
        ValidationError, match="module number 2.*writes to the same Parquet file"
    ):
        second.validate_module(pipeline)
    first.validate_module(pipeline)


def test_columns_are_counted_before_the_run():
    step = measure("DNA, GFP", region_choice="Both", objects="Nuclei", taps="low,high")
    assert "3,072 features for each of: Image, Nuclei." in describe_run(step)
    assert (
        step.column_count in step.visible_settings()
        and step.column_count.content == describe_run(step)
    )


def test_the_fast_network_is_chosen_by_its_name():
    """Its columns are those of the other, and its id is its own."""
    step, fast = measure("DNA"), measure("DNA", network="stratonet50-int8")
    assert step.network.choices[:2] == ["stratonet50", "stratonet50-int8"]
    assert fast.weights not in fast.visible_settings()
    columns = fast.get_measurement_columns(loading(fast))
    assert len(columns) == len(step.get_measurement_columns(loading(step)))
    nets = [made.load_network("Image") for made in (step, fast)]
    assert [net.card.name for net in nets] == ["stratonet50", "stratonet50-int8"]
    assert nets[0].feature_set_id != nets[1].feature_set_id
    # How fast it is depends on the processor.
    assert "s of one core" in describe_run(step)
    assert "s of one core" not in describe_run(fast)


@pytest.mark.slow
def test_pickers_lead_to_the_declared_columns():
    step = measure(
        "DNA, GFP", region_choice="Both", objects="Nuclei", taps="low,conv2_block3_out"
    )
    pipeline = loading(step)
    picked = [
        (kind, f"{category}_{measurement}_{image}")
        for kind in ("Image", "Nuclei", "Cells")
        for category in step.get_categories(pipeline, kind)
        for measurement in step.get_measurements(pipeline, kind, category)
        for image in step.get_measurement_images(pipeline, kind, category, measurement)
    ]
    declared = [
        column[:2]
        for column in step.get_measurement_columns(pipeline)
        if column[0] != "Experiment"
    ]
    assert sorted(picked) == sorted(declared) and len(set(picked)) == 2 * 2 * (
        512 + 256
    )
    step.output.value = PARQUET
    assert (
        step.get_categories(pipeline, "Image") == []
        and len(step.get_measurement_columns(pipeline)) == 2
    )


@pytest.mark.parametrize(
    "revision", range(1, MeasureStratoFeatures.variable_revision_number + 1)
)
def test_saved_pipelines_of_every_revision_load(revision):
    pipeline = Pipeline()
    pipeline.load(str(SAVED / f"revision{revision}.cppipe"))
    step = pipeline.modules()[1]
    assert step.images.value == ["DNA", "GFP"] and step.get_object_names() == [
        "Image",
        "Nuclei",
    ]
    assert (
        step.crop_size == 64
        and step.hide_neighbors
        and step.taps.get_selections() == ["low", "high"]
    )
    assert (
        step.writes_tables
        and step.writes_parquet
        and step.prefix == "Run7"
        and step.network == "stratonet50"
    )
    assert step.reduce.value == (revision > 1) and step.projection.value == (
        "pilot.npz" if revision > 1 else ""
    )
    # Those saved before there were recipes keep theirs.
    recipes = [step.get_recipe(name).id for name in ("Image", "Nuclei")]
    if revision < 3:
        assert recipes == ["whole224-mean", "whole224-mean-crop64"]
    else:
        views = "whole224-tiles224" if revision == 3 else "tiles224-75um"
        digest = Recipe.parse("whole224/mean").with_limits(LIMITS).id.split("-", 2)[2]
        assert recipes == [
            f"{views}-mean-sd-{digest}",
            f"tiles224-mean-sd-{digest}-crop64",
        ]
    # Those saved before there were micrometres have none, but what a new module has.
    widths = {1: ("150.0", ""), 2: ("150.0", ""), 3: ("150.0", "")}
    told = (step.tile_width.value_text, step.pixel_size.value)
    assert told == widths.get(revision, ("75.0", r"\g<PixelSize>"))


def test_a_pipeline_from_before_there_were_recipes():
    pipeline = Pipeline()
    pipeline.load(str(SAVED / "revision2_whole.cppipe"))
    step = pipeline.modules()[1]
    assert step.get_recipe("Image").id == "whole224-mean"
    assert step.images.value == ["DNA", "GFP"] and step.writes_parquet


# What the projection of these tests fits.
REDUCED = dict(
    images="DNA", taps="low", region_choice="Objects", objects="Nuclei", reduce=True
)


@pytest.fixture(scope="module")
def projection(tmp_path_factory):
    """A projection of the low tap of five channels, fitted to 60 squares."""
    names = StratoNet.load(taps="low", recipe=RECIPE).feature_names(CHANNELS)
    scales = np.linspace(0.1, 2, len(names), dtype=np.float32)
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("projection") / "pilot.npz"
    made = {}
    for channel, columns, scale in zip(
        CHANNELS, np.split(np.array(names), 5), np.split(scales, 5)
    ):
        values = rng.normal(1, 1, (60, len(columns))) * scale
        _, _, axes = np.linalg.svd(values - values.mean(axis=0), full_matrices=False)
        made[channel] = (
            values.mean(axis=0).astype("f4"),
            axes[:20].astype("f4"),
            np.full(20, 0.05, "f4"),
        )
    parts = (
        {channel: part[number] for channel, part in made.items()} for number in range(3)
    )
    measured = read_feature_set_id(recipe=RECIPE, crop=96)
    Projection(measured, (("Low", 512),), *parts, rows=60).save(path)
    return path


@pytest.mark.slow
def test_components_fit_into_a_database(projection, tmp_path, field):
    labels = np.zeros(field.shape, np.uint8)
    labels[20:40, 30:50], labels[60:80, 90:110] = 1, 2
    planes = {
        channel: np.roll(field, 7 * number, axis=1)
        for number, channel in enumerate(CHANNELS)
    }
    row = rows_of(
        tmp_path,
        objects_Nuclei=labels,
        **{f"i_{channel}": plane for channel, plane in planes.items()},
    )
    step = measure(
        ", ".join(CHANNELS),
        region_choice="Objects",
        objects="Nuclei",
        taps="low",
        output=BOTH,
        reduce=True,
        projection=projection,
    )
    out = run(
        tmp_path,
        [row],
        step,
        module("ExportToSpreadsheet", wants_prefix=False),
        module("ExportToDatabase", db_type="SQLite", location_object="Nuclei"),
        expected=[
            "StratoFeatures_Nuclei.parquet",
            "DefaultDB.db",
            "Experiment.csv",
        ],
    )
    table, names, received = features_of(out / "StratoFeatures_Nuclei.parquet")
    assert names == [
        f"StratoFeatures_PC{n:04d}_{channel}"
        for channel in CHANNELS
        for n in range(1, 21)
    ]
    loaded = Projection.load(projection)
    net = StratoNet.load(taps="low", recipe=RECIPE, crop=96)
    expected = [
        loaded.transform(net.features(crop_square(plane, (29.5, 39.5), 96)), channel)
        for channel, plane in planes.items()
    ]
    np.testing.assert_allclose(received[:1], np.hstack(expected), rtol=1e-4, atol=1e-4)
    assert table["Metadata_StratoProjection"] == [loaded.id] * 2
    assert table["Metadata_StratoFeatures"] == [net.feature_set_id] * 2
    assert loaded.id in (out / "Experiment.csv").read_text()
    with closing(sqlite3.connect(out / "DefaultDB.db")) as database:
        columns = ", ".join(f"Nuclei_{name}" for name in names)
        stored = database.execute(f"SELECT {columns} FROM MyExpt_Per_Object").fetchall()
    np.testing.assert_allclose(stored, received, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "settings, told",
    [
        (
            {"images": "DNA, GFP"},
            "has the channels DNA, ER, RNA, AGP, Mito. Received: DNA, GFP",
        ),
        (
            {"taps": "low,high"},
            r"taps Low \(512\). Received: Low \(512\), High \(1024\)",
        ),
        (
            {"region_choice": "Whole images"},
            "fitted to features of .*-crop96, and the network",
        ),
        ({"crop_size": 64}, "the network makes .*-crop64"),
        ({"projection": "none.npz"}, "No projection file 'none.npz'"),
        ({"projection": __file__}, "is not a projection"),
    ],
)
def test_a_projection_that_does_not_fit_is_refused(settings, told, projection):
    step = measure(
        **{
            **REDUCED,
            "projection": projection,
            **settings,
        }
    )
    with pytest.raises(ValidationError, match=told) as caught:
        step.validate_module(loading(step))
    assert caught.value.setting is step.projection
    assert "column" not in describe_run(step) and describe_run(step) in str(
        caught.value
    )


def test_a_projection_of_another_network_is_refused(projection, tmp_path):
    replace(Projection.load(projection), feature_set_id="other-1-abc").save(
        tmp_path / "other.npz"
    )
    step = measure(**REDUCED, projection=tmp_path / "other.npz")
    told = (
        "features of other-1-abc, and the network makes"
        f" {read_feature_set_id(recipe=RECIPE, crop=96)}. Choose that network"
    )
    with pytest.raises(ValidationError, match=told) as caught:
        step.validate_module(loading(step))
    assert caught.value.setting is step.projection


def test_images_and_objects_are_not_reduced_by_one_projection(projection):
    step = measure(**{**REDUCED, "region_choice": "Both"}, projection=projection)
    with pytest.raises(ValidationError, match="Use a module for each") as caught:
        step.validate_module(loading(step))
    assert caught.value.setting is step.region_choice


def test_a_batch_file_has_the_paths_of_the_cluster():
    step = measure(
        "DNA",
        reduce=True,
        projection="/here/p.npz",
        network="From a file",
        weights="/here/w.onnx",
        grey_range="From a file of stratonet extract",
        limits_file="/here/l.json",
    )
    step.prepare_to_create_batch(None, lambda path: path.replace("/here", "/cluster"))
    assert (step.projection.value, step.weights.value, step.limits_file.value) == (
        "/cluster/p.npz",
        "/cluster/w.onnx",
        "/cluster/l.json",
    )


@pytest.mark.parametrize(
    "missing", [{"network": "From a file", "weights": "none.onnx"}, {"reduce": True}]
)
def test_a_missing_file_leaves_the_pickers_of_other_modules_alone(missing):
    step = measure("DNA", **missing)
    pipeline = loading(step)
    assert {kind for kind, *_ in step.get_measurement_columns(pipeline)} == {
        "Experiment"
    }
    assert step.get_measurements(pipeline, "Image", "StratoFeatures") == []
    assert step.taps.get_choices()


def test_components_are_what_the_pickers_show(projection):
    step = measure(**{**REDUCED, "images": "DNA, ER"}, projection=projection)
    pipeline = loading(step)
    declared = [
        name
        for kind, name, _ in step.get_measurement_columns(pipeline)
        if kind == "Nuclei"
    ]
    assert declared == [
        f"StratoFeatures_PC{n:04d}_{channel}"
        for channel in ("DNA", "ER")
        for n in range(1, 21)
    ]
    assert step.get_measurements(pipeline, "Nuclei", "StratoFeatures")[0] == "PC0001"
    assert step.get_measurement_images(
        pipeline, "Nuclei", "StratoFeatures", "PC0020"
    ) == ["DNA", "ER"]
    assert Projection.load(projection).id in describe_run(step)

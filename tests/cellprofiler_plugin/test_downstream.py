"""CellProfiler's own modules use what MeasureStratoFeatures has measured.

Headless, and through their pickers.
"""

import csv
import sqlite3
from contextlib import closing

import numpy as np
import pytest

pytest.importorskip("cellprofiler", reason="CellProfiler is not installed")

from cellprofiler_core.pipeline import Pipeline
from cellprofiler_core.setting import ValidationError
from cellprofiler_runs import (
    load_modules,
    module,
    rows_of,
    run,
    words_of_recipe,
)  # before the others: no window
from cellprofiler_server import quick_starts
from pyarrow import parquet

from cellprofiler_plugin import headless
from stratonet import StratoNet
from stratonet.crops import crop_square

pytestmark = pytest.mark.slow

SIZE, FEATURE, RECIPE = 32, "StratoFeatures_Low0007_DNA", "whole224/mean"
CENTRES = [(20, 24), (20, 72), (60, 24), (60, 72), (60, 110)]
WRITTEN = ["Image.csv", "Nuclei.csv", "Kept.csv", "DefaultDB.db"]


@pytest.fixture(scope="module", autouse=True)
def modules():
    load_modules()


@pytest.fixture(scope="module")
def fields(tmp_path_factory):
    """Two image sets with five objects each.

    Their rows for LoadData, and the feature of images and of objects.
    """
    folder = tmp_path_factory.mktemp("fields")
    rng = np.random.default_rng(5)
    labels = np.zeros((96, 128), np.uint8)
    for number, (row, column) in enumerate(CENTRES, start=1):
        labels[row - 6 : row + 7, column - 6 : column + 7] = number
    planes = [rng.integers(100, 4000, labels.shape, dtype=np.uint16) for _ in range(2)]
    for number, plane in enumerate(planes):  # textures that differ
        for object_number, (row, column) in enumerate(CENTRES):
            plane[
                row - 6 : row + 7, column - 6 : column + 7 : object_number + 2 + number
            ] = 4000
    rows = []
    for plane, well in zip(planes, ("A01", "A02")):
        made = rows_of(folder, **{f"{well}_DNA": plane, "objects_Nuclei": labels})
        rows.append({"Metadata_Plate": "P1", "Metadata_Well": well, **made})
    net = StratoNet.load(taps="low", recipe=RECIPE)
    column = net.feature_names("DNA").index(FEATURE)
    of_images = net.features(planes)[:, column]
    of_objects = np.array(
        [
            net.features([crop_square(p, c, SIZE) for c in CENTRES])[:, column]
            for p in planes
        ]
    )
    return rows, of_images, of_objects


def steps(limit, between):
    """The modules.

    ``limit`` divides the objects by their feature, ``between`` the images.
    """
    measure = module(
        "MeasureStratoFeatures",
        images="DNA",
        taps="low",
        region_choice="Both",
        objects="Nuclei",
        crop_size=SIZE,
    )
    words_of_recipe(measure, RECIPE, output="Both")

    kept = module(
        "FilterObjects", x_name="Nuclei", y_name="Kept", filter_choice="Limits"
    )
    (chosen,) = kept.measurements
    chosen.measurement.value, chosen.min_limit.value, chosen.wants_maximum.value = (
        FEATURE,
        limit,
        False,
    )

    classes = module("ClassifyObjects")
    (group,) = classes.single_measurements
    group.object_name.value, group.measurement.value = "Nuclei", FEATURE
    group.bin_choice.value, group.custom_thresholds.value = (
        "Custom-defined bins",
        str(limit),
    )
    group.wants_low_bin.value = group.wants_high_bin.value = (
        group.wants_custom_names.value
    ) = True
    group.bin_names.value = "Below,Above"

    ratio = module("CalculateMath", operation="Divide", output_feature_name="Relative")
    for operand, kind in zip(ratio.operands, ("Object", "Image")):
        operand.operand_choice.value = kind
        operand.operand_objects.value = "Nuclei"
        operand.operand_measurement.value = FEATURE

    flag = module("FlagImage")
    (flagged,) = flag.flags
    (criterion,) = flagged.measurement_settings
    criterion.source_choice.value, criterion.measurement.value = (
        "Whole-image measurement",
        FEATURE,
    )
    criterion.wants_minimum.value, criterion.wants_maximum.value = False, True
    criterion.maximum_value.value = between

    plate = module(
        "DisplayPlatemap", objects_or_image="Image", plot_measurement=FEATURE
    )
    tables = module("ExportToSpreadsheet", wants_prefix=False)
    database = module(
        "ExportToDatabase",
        db_type="SQLite",
        wants_agg_mean=False,
        location_object="Nuclei",
    )
    return measure, kept, classes, ratio, flag, plate, tables, database


@pytest.fixture(scope="module")
def limits(fields):
    _, of_images, of_objects = fields
    return float(np.median(of_objects)), float(of_images.mean())


@pytest.fixture(scope="module")
def direct(fields, limits, tmp_path_factory):
    """The output of one run of all modules."""
    return run(
        tmp_path_factory.mktemp("direct"), fields[0], *steps(*limits), expected=WRITTEN
    )


def read(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def stored(out, kind, columns):
    with closing(sqlite3.connect(out / "DefaultDB.db")) as database:
        return np.array(
            database.execute(
                f"SELECT {columns} FROM MyExpt_Per_{kind} ORDER BY 1, 2"
            ).fetchall()
        )


@pytest.mark.slow
def test_the_numbers_of_each_module(fields, limits, direct):
    _, of_images, of_objects = fields
    limit, between = limits
    images, nuclei, kept = (read(direct / name) for name in WRITTEN[:3])

    def of_nuclei(name):
        return np.array([row[name] for row in nuclei], float).reshape(of_objects.shape)

    np.testing.assert_allclose(of_nuclei(FEATURE), of_objects, rtol=1e-4)
    np.testing.assert_allclose(
        [float(row[FEATURE]) for row in images], of_images, rtol=1e-4
    )
    assert np.array_equal(of_nuclei("ObjectNumber"), [[1, 2, 3, 4, 5]] * 2)

    above = of_objects > limit
    assert 0 < above.sum() < above.size
    expected = [(str(image + 1), str(row + 1)) for image, row in np.argwhere(above)]
    assert [(row["ImageNumber"], row["Parent_Nuclei"]) for row in kept] == expected
    assert [float(row["Count_Kept"]) for row in images] == list(above.sum(axis=1))

    assert np.array_equal(of_nuclei("Classify_Above"), above)
    assert np.array_equal(of_nuclei("Classify_Below"), ~above)
    assert [float(row["Classify_Above_NumObjectsPerBin"]) for row in images] == list(
        above.sum(axis=1)
    )

    np.testing.assert_allclose(
        of_nuclei("Math_Relative"), of_objects / of_images[:, None], rtol=1e-4
    )
    assert [float(row["Metadata_QCFlag"]) for row in images] == list(
        of_images > between
    )

    per_object = stored(
        direct, "Object", f"ImageNumber, ObjectNumber, Nuclei_{FEATURE}"
    )
    assert per_object[:, :2].tolist() == [
        [image, number] for image in (1, 2) for number in (1, 2, 3, 4, 5)
    ]
    np.testing.assert_allclose(per_object[:, 2], of_objects.ravel(), rtol=1e-4)
    per_image = stored(direct, "Image", f"ImageNumber, Image_{FEATURE}")
    np.testing.assert_allclose(per_image[:, 1], of_images, rtol=1e-4)


@pytest.mark.slow
def test_a_batch_file_gives_what_the_pipeline_gives(fields, limits, direct, tmp_path):
    with pytest.raises(
        RuntimeError, match="missing: nothing"
    ):  # CellProfiler stops there, with exit code 1
        run(
            tmp_path,
            fields[0],
            *steps(*limits),
            module("CreateBatchFiles"),
            expected=["Batch_data.h5"],
        )
    out = (
        tmp_path / "out"
    )  # the same folder: ExportToDatabase has made its tables there
    with quick_starts():
        headless.run_pipeline(
            out / "Batch_data.h5",
            out,
            WRITTEN[:3],
            f"--data-file={tmp_path / 'load_data.csv'}",
            "-f1",
            "-l2",
        )
    for name in WRITTEN[1:3]:
        assert read(out / name) == read(direct / name)
    for name in ("StratoFeatures_Image.parquet", "StratoFeatures_Nuclei.parquet"):
        assert parquet.read_table(out / name).equals(parquet.read_table(direct / name))
    for ours, theirs in zip(read(out / "Image.csv"), read(direct / "Image.csv")):
        differ = {name for name in theirs if ours[name] != theirs[name]}
        assert all(name.startswith("ExecutionTime_") for name in differ), differ
    for kind, columns in (
        ("Object", f"Nuclei_{FEATURE}"),
        ("Image", f"Image_{FEATURE}"),
    ):
        columns = f"ImageNumber, {columns}"
        assert np.array_equal(stored(out, kind, columns), stored(direct, kind, columns))


@pytest.mark.parametrize(
    "name, setting_of",
    [
        ("FilterObjects", lambda made: made.measurements[0].measurement),
        ("ClassifyObjects", lambda made: made.single_measurements[0].measurement),
        ("CalculateMath", lambda made: made.operands[0].operand_measurement),
        ("FlagImage", lambda made: made.flags[0].measurement_settings[0].measurement),
        (
            "DisplayPlatemap",
            lambda made: made.plot_measurement,
        ),  # it draws in a window only
    ],
)
def test_the_pickers_of_a_module_lead_to_the_columns(name, setting_of, direct):
    pipeline = Pipeline()
    pipeline.load(str(direct.parent / "run.cppipe"))
    made = {one.module_name: one for one in pipeline.modules()}
    made["LoadData"].csv_directory.value = f"Elsewhere...|{direct.parent}"
    made["LoadData"].csv_file_name.value = "load_data.csv"
    measure, setting = made["MeasureStratoFeatures"], setting_of(made[name])
    kind = setting.get_measurement_object()
    declared = [
        column[1]
        for column in measure.get_measurement_columns(pipeline)
        if column[0] == kind
    ]
    assert "StratoFeatures" in setting.get_category_choices(pipeline)
    picked = [
        setting.construct_value("StratoFeatures", feature, image, None)
        for feature in setting.get_feature_name_choices(
            pipeline, category="StratoFeatures"
        )
        for image in setting.get_image_name_choices(
            pipeline, category="StratoFeatures", feature_name=feature
        )
    ]
    assert picked == declared and len(declared) == 512
    assert (
        setting.get_category(pipeline) == "StratoFeatures"
        and setting.get_image_name(pipeline) == "DNA"
    )
    for one in (measure, made[name]):
        one.test_valid(pipeline)
    setting.value = "StratoFeatures_Low0512_DNA"
    with pytest.raises(ValidationError, match="Low0512"):
        setting.test_valid(pipeline)

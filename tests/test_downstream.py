"""CellProfiler's own modules use what MeasureStratoFeatures has measured, headless and through their pickers."""

import csv
import sqlite3
from contextlib import closing

import numpy as np
import pytest

pytest.importorskip("cellprofiler", reason="CellProfiler is not installed")

from cellprofiler_runs import load_modules, module, pipeline_of, rows_of, run  # before the others: no window

from cellprofiler_core.setting import Measurement

from stratonet import StratoNet
from stratonet.crops import crop

SIZE, FEATURE = 32, "StratoFeatures_Low0007_DNA"
CENTRES = [(20, 24), (20, 72), (60, 24), (60, 72), (60, 110)]


@pytest.fixture(scope="module")
def fields(tmp_path_factory):
    """Two image sets with five objects each: their rows for LoadData, and the feature of images and of objects."""
    folder = tmp_path_factory.mktemp("fields")
    load_modules()
    rng = np.random.default_rng(5)
    labels = np.zeros((96, 128), np.uint8)
    for number, (row, column) in enumerate(CENTRES, start=1):
        labels[row - 6 : row + 7, column - 6 : column + 7] = number
    planes = [rng.integers(100, 4000, labels.shape, dtype=np.uint16) for _ in range(2)]
    for number, plane in enumerate(planes):  # textures that differ
        for object_number, (row, column) in enumerate(CENTRES):
            plane[row - 6 : row + 7, column - 6 : column + 7 : object_number + 2 + number] = 4000
    rows = []
    for number, (plane, well) in enumerate(zip(planes, ("A01", "A02"))):
        made = rows_of(folder, **{f"{well}_DNA": plane, "objects_Nuclei": labels})
        rows.append({"Metadata_Plate": "P1", "Metadata_Well": well, **made})
    net = StratoNet.load(taps="low")
    (column,) = [one for one, name in enumerate(net.feature_names("DNA")) if name == FEATURE]
    of_images = net.features(planes)[:, column]
    of_objects = np.array([net.features([crop(p, c, SIZE) for c in CENTRES])[:, column] for p in planes])
    return folder, rows, of_images, of_objects


def measuring():
    return module("MeasureStratoFeatures", images="DNA", taps="low", where="Both", objects="Nuclei", crop_size=SIZE)


def read(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_modules_use_the_features_in_one_run(fields):
    folder, rows, of_images, of_objects = fields
    limit, between = float(np.median(of_objects)), float(of_images.mean())

    kept = module("FilterObjects", x_name="Nuclei", y_name="Kept", filter_choice="Limits")
    (chosen,) = kept.measurements
    chosen.measurement.value, chosen.min_limit.value, chosen.wants_maximum.value = FEATURE, limit, False

    classes = module("ClassifyObjects")
    (group,) = classes.single_measurements
    group.object_name.value, group.measurement.value = "Nuclei", FEATURE
    group.bin_choice.value, group.custom_thresholds.value = "Custom-defined bins", str(limit)
    group.wants_low_bin.value = group.wants_high_bin.value = group.wants_custom_names.value = True
    group.bin_names.value = "Below,Above"

    ratio = module("CalculateMath", operation="Divide", output_feature_name="Relative")
    first, second = ratio.operands
    for operand, kind in ((first, "Object"), (second, "Image")):
        operand.operand_choice.value = kind
        operand.operand_objects.value = "Nuclei"
        operand.operand_measurement.value = FEATURE

    flag = module("FlagImage")
    (flagged,) = flag.flags
    (criterion,) = flagged.measurement_settings
    criterion.source_choice.value, criterion.measurement.value = "Whole-image measurement", FEATURE
    criterion.wants_minimum.value, criterion.wants_maximum.value = False, True
    criterion.maximum_value.value = between

    plate = module("DisplayPlatemap", plot_measurement=FEATURE, well_name="Metadata_Well", plate_name="Metadata_Plate")
    out = run(
        folder,
        rows,
        measuring(),
        kept,
        classes,
        ratio,
        flag,
        plate,
        module("ExportToSpreadsheet", wants_prefix=False),
        module("ExportToDatabase", db_type="SQLite", wants_agg_mean=False, location_object="Nuclei"),
        expected=["Image.csv", "Nuclei.csv", "Kept.csv", "DefaultDB.db"],
    )
    images, nuclei = read(out / "Image.csv"), read(out / "Nuclei.csv")
    measured = np.array([row[FEATURE] for row in nuclei], float).reshape(of_objects.shape)
    np.testing.assert_allclose(measured, of_objects, rtol=1e-4)
    np.testing.assert_allclose([float(row[FEATURE]) for row in images], of_images, rtol=1e-4)

    above = of_objects > limit
    assert 0 < above.sum() < above.size
    assert [float(row["Count_Kept"]) for row in images] == list((of_objects >= limit).sum(axis=1))
    classified = np.array([row["Classify_Above"] for row in nuclei], float).reshape(above.shape)
    assert np.array_equal(classified, above) or np.array_equal(classified, of_objects >= limit)
    relative = np.array([row["Math_Relative"] for row in nuclei], float).reshape(above.shape)
    np.testing.assert_allclose(relative, of_objects / of_images[:, None], rtol=1e-4)
    assert [float(row["Metadata_QCFlag"]) for row in images] == list((of_images > between).astype(int))
    with closing(sqlite3.connect(out / "DefaultDB.db")) as database:
        stored = database.execute(f"SELECT Nuclei_{FEATURE} FROM MyExpt_Per_Object ORDER BY 1").fetchall()
        assert len(stored) == above.size
        np.testing.assert_allclose([value for (value,) in stored], np.sort(of_objects, axis=None), rtol=1e-4)
        (of_image,) = database.execute(f"SELECT Image_{FEATURE} FROM MyExpt_Per_Image WHERE ImageNumber = 2").fetchone()
        assert of_image == pytest.approx(of_images[1], rel=1e-4)


@pytest.mark.parametrize("kind", ["Image", "Nuclei"])
def test_the_pickers_of_a_measurement_lead_to_the_column(kind):
    load_modules()
    pipeline = pipeline_of(measuring(), module("DisplayPlatemap"))
    setting = Measurement("Measurement", lambda: kind, FEATURE)
    assert "StratoFeatures" in setting.get_category_choices(pipeline)
    assert "Low0007" in setting.get_feature_name_choices(pipeline)
    assert setting.get_image_name_choices(pipeline) == ["DNA"]
    setting.test_valid(pipeline)
    setting.value = "StratoFeatures_Low0512_DNA"
    with pytest.raises(Exception, match="Low0512"):
        setting.test_valid(pipeline)

import os

import numpy as np
import pandas as pd
import pytest
import tifffile

from stratonet.extraction.job import (
    ObjectsFromCenters,
    ObjectsFromLabels,
)
from stratonet.extraction.sources.imagesets import ImageSource
from stratonet.preprocessing import to_grey
from stratonet.weights_file import read_card
from training.finetune_planes import (
    MOST_OBJECTS,
    list_lengths,
    prepare_planes,
)
from training.finetune_table import read_assay

CARD = read_card()


def write_image(folder, name, shape=(60, 80), seed=0):
    plane = np.random.default_rng(seed).integers(0, 4000, shape).astype(np.uint16)
    tifffile.imwrite(folder / name, plane)
    return plane


def write_table(folder, rows, name="labels.csv"):
    pd.DataFrame(rows).to_csv(folder / name, index=False)
    return ImageSource(folder / name)


def prepare(plane):
    """Return a plane as the network sees it, in the precision in which it is stored."""
    return to_grey(plane, CARD).astype(np.float16)


def test_plain_table_of_two_channels(tmp_path):
    planes = [write_image(tmp_path, f"{seed}.tif", seed=seed) for seed in range(4)]
    rows = [
        {
            "Plate": "1",
            "Well": f"A0{well}",
            "file_DNA": f"{2 * well - 2}.tif",
            "file_ER": f"{2 * well - 1}.tif",
            "Drug": drug,
        }
        for well, drug in ((1, "taxol"), (2, "none"))
    ]
    assay = read_assay(write_table(tmp_path, rows), "drug")
    assert assay.channels == ("DNA", "ER") and assay.label == "Metadata_Drug"
    examples = prepare_planes(assay, tmp_path / "kept", CARD)
    assert examples.rows.to_dict("list") == {
        "label": ["taxol", "none"],
        "plate": ["1", "1"],
        "well": ["A01", "A02"],
    }
    assert examples.planes.shape == (2, 2, 224, 224)
    for number, plane in enumerate(planes):
        received = examples.planes[number // 2, number % 2]
        np.testing.assert_array_equal(received, prepare(plane))


def test_planes_are_read_once(tmp_path):
    write_image(tmp_path, "0.tif")
    row = {"plate": "1", "well": "A01", "file": "0.tif", "drug": "taxol"}
    assay = read_assay(write_table(tmp_path, [row]), "drug")
    first = prepare_planes(assay, tmp_path / "kept", CARD)
    (tmp_path / "0.tif").unlink()
    again = prepare_planes(assay, tmp_path / "kept", CARD)
    np.testing.assert_array_equal(first.planes, again.planes)
    assert again.rows.equals(first.rows)


def test_a_row_per_object_is_a_square_around_it(tmp_path, capsys):
    planes = [write_image(tmp_path, f"{seed}.tif", seed=seed) for seed in range(2)]
    objects = [
        ("0.tif", 30, 20, "mitosis"),
        ("1.tif", 40, 33, "interphase"),
        ("0.tif", 50, 40, "interphase"),
        ("0.tif", 500, 40, "mitosis"),
        ("1.tif", 20, 20, ""),
    ]
    rows = [
        {
            "plate": "P1",
            "well": "A01",
            "file": file,
            "Location_Center_X": x,
            "Location_Center_Y": y,
            "phase": phase,
        }
        for file, x, y, phase in objects
    ]
    assay = read_assay(write_table(tmp_path, rows), "phase", size=16)
    assert len(assay.units) == 1 and len(assay.units[0].rows) == 2
    examples = prepare_planes(assay, tmp_path / "kept", CARD)
    # By image; objects without class or outside the image are left out.
    assert "labels: left out 1 objects whose centre" in capsys.readouterr().out
    assert examples.rows["label"].tolist() == ["mitosis", "interphase", "interphase"]
    expected = [planes[0][12:28, 22:38], planes[0][32:48, 42:58]]
    expected.append(planes[1][25:41, 32:48])
    for received, crop in zip(examples.planes[:, 0], expected):
        np.testing.assert_array_equal(received, prepare(crop))


def test_a_class_of_which_nothing_can_be_read_is_refused(tmp_path):
    write_image(tmp_path, "0.tif")
    rows = [
        {"plate": "P1", "well": "A01", "file": file, "phase": phase}
        for file, phase in (("0.tif", "a"), ("lost.tif", "b"), ("lost.tif", "a"))
    ]
    assay = read_assay(write_table(tmp_path, rows), "phase")
    with pytest.raises(ValueError, match="no image of the class b .*lost.tif"):
        prepare_planes(assay, tmp_path / "kept", CARD)
    assay = read_assay(write_table(tmp_path, rows[1:]), "phase")
    with pytest.raises(ValueError, match="no image could be read.*lost.tif"):
        prepare_planes(assay, tmp_path / "kept", CARD)


@pytest.mark.parametrize("spoiled", ["planes.f16", "examples.csv"])
@pytest.mark.parametrize("content", [0, 100, None])
def test_planes_that_are_not_whole_are_read_again(tmp_path, spoiled, content):
    write_image(tmp_path, "0.tif")
    rows = [
        {"plate": f"P{plate}", "well": "A01", "file": "0.tif", "phase": phase}
        for plate in range(9)
        for phase in "ab"
    ]
    assay = read_assay(write_table(tmp_path, rows), "phase")
    examples = prepare_planes(assay, tmp_path / "kept", CARD)
    expected = np.array(examples.planes)
    path = tmp_path / "kept" / spoiled
    if content is None:
        path.unlink()
    else:
        os.truncate(path, content)
    again = prepare_planes(assay, tmp_path / "kept", CARD)
    pd.testing.assert_frame_equal(again.rows, examples.rows)
    np.testing.assert_array_equal(again.planes, expected)


def test_lengths_of_files(tmp_path):
    (tmp_path / "a b.tif").write_bytes(b"123")
    frame = pd.DataFrame(
        {
            "URL_DNA": [str(tmp_path / "a b.tif"), f"file://{tmp_path}/a%20b.tif"],
            "Labels_Nuclei": ["s3://bucket/a.tif", str(tmp_path / "lost.tif")],
            "Metadata_Well": "A01",
        }
    )
    assert list_lengths(frame) == [3, -1, 3, -1]


def write_load_data(folder):
    """Write two wells of one image each, whose 120 objects are single pixels."""
    labels = np.zeros((60, 80), np.uint16)
    rows, columns = np.mgrid[5:55:5, 4:76:6]
    labels[rows.ravel(), columns.ravel()] = np.arange(rows.size) + 1
    tifffile.imwrite(folder / "labels.tif", labels)
    table = []
    for well in ("A01", "A02"):
        write_image(folder, f"{well}.tif", seed=int(well[1:]))
        table.append(
            {
                "Image_FileName_DNA": f"{well}.tif",
                "Image_ObjectsFileName_Nuclei": "labels.tif",
                "Metadata_Plate": "P1",
                "Metadata_Well": well,
                "treatment": f"drug{well}",
            }
        )
    return write_table(folder, table, "load_data.csv"), rows.size


def test_objects_of_label_images_have_the_class_of_their_image(tmp_path):
    source, count = write_load_data(tmp_path)
    assert count > MOST_OBJECTS
    assay = read_assay(source, "treatment", objects=ObjectsFromLabels("Nuclei", 16))
    examples = prepare_planes(assay, tmp_path / "kept", CARD)
    counts = examples.rows.groupby(["label", "well"]).size().to_dict()
    assert counts == {
        ("drugA01", "A01"): MOST_OBJECTS,
        ("drugA02", "A02"): MOST_OBJECTS,
    }
    again = prepare_planes(assay, tmp_path / "again", CARD)
    np.testing.assert_array_equal(examples.planes, again.planes)
    with pytest.raises(ValueError, match="label images Nuclei. Received: Cells"):
        read_assay(source, "treatment", objects=ObjectsFromLabels("Cells"))


def test_objects_of_a_table_of_centres(tmp_path):
    source, _ = write_load_data(tmp_path)
    centers = pd.DataFrame(
        {
            "Metadata_Plate": "P1",
            "Metadata_Well": ["A01", "A02", "A02"],
            "Location_Center_X": [20, 30, 40],
            "Location_Center_Y": [20, 30, 40],
        }
    )
    centers.to_csv(tmp_path / "centres.csv", index=False)
    objects = ObjectsFromCenters(str(tmp_path / "centres.csv"), 16)
    assay = read_assay(source, "treatment", objects=objects)
    examples = prepare_planes(assay, tmp_path / "kept", CARD)
    assert examples.rows["label"].tolist() == ["drugA01", "drugA02", "drugA02"]


def test_images_that_cannot_be_read_are_left_out_and_counted(tmp_path, capsys):
    write_image(tmp_path, "0.tif")
    row = {"plate": "1", "well": "A01", "file": "0.tif", "drug": "taxol"}
    source = write_table(tmp_path, [row, {**row, "file": "lost.tif"}])
    assay = read_assay(source, "drug")
    examples = prepare_planes(assay, tmp_path / "kept", CARD)
    assert len(examples.rows) == 1
    assert "left out 1 image sets that could not be read" in capsys.readouterr().out
    (tmp_path / "0.tif").unlink()
    with pytest.raises(ValueError, match="no image could be read.*lost.tif|0.tif"):
        prepare_planes(assay, tmp_path / "other", CARD)


@pytest.mark.parametrize(
    "rows, label, message",
    [
        ([{"plate": 1, "file": "a", "drug": "x"}], "drug", "lacks Metadata_Well"),
        ([{"plate": 1, "well": "A01", "drug": "x"}], "drug", "names no images"),
        (
            [{"plate": 1, "well": "A01", "file": "a", "drug": "x"}],
            "compound",
            "no column compound",
        ),
        (
            [{"plate": 1, "well": "A01", "file": "a", "drug": None}],
            "drug",
            "empty in every row",
        ),
    ],
)
def test_tables_that_cannot_be_learnt_from(tmp_path, rows, label, message):
    with pytest.raises(ValueError, match=message):
        read_assay(write_table(tmp_path, rows), label)


def test_channels_are_chosen_by_channel_or_column(tmp_path):
    row = {"plate": 1, "well": "A01", "dna": "a.tif", "file_ER": "b.tif", "drug": "x"}
    source = write_table(tmp_path, [row])
    assay = read_assay(source, "drug", {"DNA": "dna", "Other": "ER"})
    assert assay.channels == ("DNA", "Other")
    assert assay.units[0].rows["URL_DNA"].tolist() == [str(tmp_path / "a.tif")]
    with pytest.raises(ValueError, match="no column or channel Golgi"):
        read_assay(source, "drug", {"DNA": "Golgi"})


def test_objects_and_label_images_do_not_go_together(tmp_path):
    row = {"plate": 1, "well": "A01", "file": "a.tif", "drug": "x"}
    row.update({"Location_Center_X": 3, "Location_Center_Y": 4})
    with pytest.raises(ValueError, match="has a row per object"):
        read_assay(
            write_table(tmp_path, [row]), "drug", objects=ObjectsFromLabels("Nuclei")
        )

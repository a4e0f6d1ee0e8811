"""Image sets are named, and name each plane once."""

import pandas as pd
import pytest

from stratonet.extraction.sources.imagesets import ImageSource
from stratonet.extraction.sources.read import read_source
from stratonet.extraction.units import leave_out_placed_objects, split_units

HEAD = "Metadata_Plate,Metadata_Well"


@pytest.fixture
def read(tmp_path):
    def read(text, channels=None, name="t.csv"):
        (tmp_path / name).write_text(text)
        return read_source(ImageSource(tmp_path / name), channels).frame

    return read


@pytest.mark.parametrize("row", ["nan,A01", "P,nan", "nan,nan", ",A01"])
def test_a_plate_or_well_that_is_not_known_is_refused(read, row):
    with pytest.raises(ValueError, match="t.csv: row 2 .*has no .*Plate or .*nan"):
        read(f"{HEAD},FileName_DNA\nP,A02,a.tif\n{row},b.tif\n")


def test_genes_are_what_they_are_called(read):
    frame = read(
        f"{HEAD},Metadata_Gene,FileName_DNA\nP,A01,nan,a.tif\nP,A02,NA,b.tif\n"
        "P,A03,None,c.tif\nP,A04,,d.tif\n"
    )
    assert frame["Metadata_Gene"].tolist() == ["nan", "NA", "None", None]


def test_two_names_of_one_well_are_refused(read):
    with pytest.raises(ValueError, match="'A1' and 'A01', two names of one well"):
        read(f"{HEAD},FileName_DNA\nP,A1,a.tif\nP,A01,b.tif\n")


def test_tables_with_tabs_and_in_capitals(read):
    text = f"{HEAD},FileName_DNA\nP,A01,a.tif\n"
    expected = read(text).to_dict("records")
    tabs = text.replace(",", "\t")
    assert read(tabs, name="t.txt").to_dict("records") == expected
    assert read(text, name="T.CSV").to_dict("records") == expected


TWICE = f"{HEAD},FileName_DNA,FileName_ER\nP,A01,a.tif,b.tif\nP,A02,c.tif,c.tif\n"


def test_one_plane_under_two_names_is_refused(read):
    told = r"t.csv: DNA and ER are one plane in 1 of 2 .*c.tif in row 2"
    with pytest.raises(ValueError, match=told):
        read(TWICE)
    with pytest.raises(ValueError, match=told):
        read(TWICE, {"A": "DNA", "B": "ER"})


def test_one_plane_twice_can_be_asked_for(read):
    assert list(read(TWICE, {"DNA": "DNA"}))[-1] == "URL_DNA"
    frame = read(TWICE, {"A": "DNA", "B": "DNA"})
    assert frame["URL_A"].equals(frame["URL_B"])


@pytest.mark.parametrize("prefix", ["Frame", "Series"])
def test_planes_of_one_file_are_two(read, prefix):
    frame = read(
        f"{HEAD},FileName_DNA,FileName_ER,{prefix}_DNA,{prefix}_ER\nP,A01,a.tif,a.tif,,1\n"
    )
    assert frame[f"{prefix}_ER"].tolist() == [1]
    with pytest.raises(ValueError, match="one plane"):
        read(
            f"{HEAD},FileName_A,FileName_B,{prefix}_A,{prefix}_B\nP,A01,a.tif,a.tif,,0\n"
        )


IMAGE_SETS = pd.DataFrame(
    {
        "Metadata_Plate": "00149",
        "Metadata_Well": ["A01", "A02"],
        "URL_DNA": ["/a.tif", "/b.tif"],
    }
)


def make_centers(wells, numbers):
    return pd.DataFrame(
        {
            "Metadata_Plate": "149",
            "Metadata_Well": wells,
            "ObjectNumber": numbers,
            "Location_Center_Y": 3.0,
            "Location_Center_X": 4.0,
        }
    )


def test_objects_are_in_their_image_sets_however_wells_are_written():
    centers = make_centers(["a1", "r01c02", "a1"], [1, 1, 2])
    units = split_units(IMAGE_SETS, centers)
    assert [len(unit.centers[0]) for unit in units] == [2, 1]


@pytest.mark.parametrize(
    "wells, numbers, told",
    [
        (["A1", "A2", "A1"], [1, 1, 1], "1 twice in 149 A01, row 3"),
        (["A1", "A2", "A2"], [1, 1, None], "none in 149 A02, row 3"),
        (["A1", "A2", "A02"], [1, 1, 2], "'A2' and 'A02'"),
    ],
)
def test_objects_that_cannot_be_told_apart_are_refused(wells, numbers, told):
    with pytest.raises(ValueError, match=f"The table of centres.*{told}"):
        split_units(IMAGE_SETS, make_centers(wells, numbers))


def test_objects_of_no_image_set_are_told_from_the_others():
    centers = make_centers(["a1", "B07", "r01c02", "B08"], [1, 1, 1, 1])
    lost = leave_out_placed_objects(centers, IMAGE_SETS)
    assert list(lost["Metadata_Well"]) == ["B07", "B08"]
    assert leave_out_placed_objects(centers.iloc[::2], IMAGE_SETS).empty

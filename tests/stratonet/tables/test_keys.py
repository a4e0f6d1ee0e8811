"""Plates and wells, however they are written."""

import pandas as pd
import pytest

from stratonet.tables.keys import (
    check_names,
    check_plates,
    check_unique,
    drop_unnamed,
    name_key_columns,
    normalize_key,
)
from stratonet.tables.wells import locate_wells, parse_well, split_well_names

PLATE, WELL, SITE = "Metadata_Plate", "Metadata_Well", "Metadata_Site"


@pytest.mark.parametrize(
    "name", ["B03", "B3", "b03", "b3", "B-03", "b_3", "B 03", " B03 ", "r02c03", "R2C3"]
)
def test_a_well_has_one_form(name):
    assert parse_well(name) == (1, 2)
    assert normalize_key(WELL, name) == "B03"


@pytest.mark.parametrize("name", ["control", "A00", "00365", "r00c01", "", None, 3])
def test_other_names_are_no_places(name):
    assert parse_well(name) is None


@pytest.mark.parametrize("name", ["149", "00149", "149.0", " 149"])
def test_a_number_has_one_form(name):
    assert normalize_key(PLATE, name) == "149"
    assert normalize_key(SITE, name) == "149"


def test_names_of_plates_differ_by_case_and_wells_are_no_plates():
    assert normalize_key(PLATE, "a1") == "a1"
    assert normalize_key(PLATE, "P01") == "P01"


def test_rows_and_columns_of_all_forms():
    wells = pd.Series(["A01", "b2", "C-03", "r04c04", "AF48", "empty", None])
    rows, columns = locate_wells(wells)
    assert rows[:5].tolist() == [0, 1, 2, 3, 31]
    assert columns[:5].tolist() == [0, 1, 2, 3, 47]
    letters, numbers = split_well_names(wells)
    assert letters[:5].tolist() == ["A", "B", "C", "D", "AF"]
    assert numbers[:5].tolist() == [1, 2, 3, 4, 48]
    for values in (rows, columns, letters, numbers):
        assert values[5:].isna().all()


@pytest.mark.parametrize(
    "plates, wells, told",
    [
        (["P", "P"], ["A1", "A01"], "'A1' and 'A01', two names of one well"),
        (["P", "P"], ["r01c02", "A-02"], "'r01c02' and 'A-02'"),
        (["149", "00149"], ["A01", "A02"], "'149' and '00149', two names of one plate"),
    ],
)
def test_two_names_of_one_form_are_refused(plates, wells, told):
    frame = pd.DataFrame({PLATE: plates, WELL: wells})
    with pytest.raises(ValueError, match=f"t.csv: .*{told}"):
        check_names(frame, "t.csv")


def test_each_plate_may_write_wells_in_its_own_way():
    frame = pd.DataFrame({PLATE: ["P", "P", "Q"], WELL: ["A1", "A2", "A01"]})
    check_names(frame, "t.csv")


def test_repeated_keys_are_refused_with_an_example():
    frame = pd.DataFrame({PLATE: ["1", "2", "02"], WELL: ["A01", "B01", "b1"]})
    told = "t.csv must have one row for each .*has 2 for Metadata_Plate 2, .*Well B01"
    with pytest.raises(ValueError, match=told):
        check_unique(frame, [PLATE, WELL], "t.csv")
    check_unique(frame[:2], [PLATE, WELL], "t.csv")


def test_plates_of_one_name_in_two_batches_are_refused():
    frame = pd.DataFrame(
        {"Metadata_Batch": ["b1", "b2"], PLATE: ["P", "P"], WELL: ["A01", "A01"]}
    )
    with pytest.raises(ValueError, match="Plate P, well A01 is in b1 and in b2"):
        check_plates(frame, "t.csv")
    check_plates(frame.assign(**{WELL: ["A01", "A02"]}), "t.csv")


@pytest.mark.parametrize("empty", ["nan", "", None, float("nan")])
def test_rows_without_a_name_are_counted(empty):
    frame = pd.DataFrame({PLATE: ["P", empty, "P"], WELL: ["A01", "A02", "A03"]})
    named, (note,) = drop_unnamed(frame, "t.csv")
    assert named[WELL].tolist() == ["A01", "A03"]
    assert note.startswith("1 of 3 rows have no Metadata_Plate") and "row 2" in note
    with pytest.raises(ValueError, match="t.csv has no Metadata_Plate in any row"):
        drop_unnamed(frame[1:2], "t.csv")


def test_columns_are_found_by_their_usual_names():
    frame = pd.DataFrame(columns=["Assay_Plate_Barcode", "WELL_POSITION", "moa"])
    assert list(name_key_columns(frame)) == [PLATE, WELL, "moa"]
    both = pd.DataFrame(columns=[WELL, "Metadata_well_position"])
    assert list(name_key_columns(both)) == list(both)

"""Tables of metadata, joined by what names a row; and what they do not reach."""

import pandas as pd
import pytest

from stratonet.tables.reading import FeatureTable, read_metadata
from stratonet_sklearn.evaluation.columns import find_column, get_column
from stratonet_sklearn.evaluation.comparison import align_tables, join_metadata

PLATE, WELL = "Metadata_Plate", "Metadata_Well"
ROWS = pd.DataFrame(
    {PLATE: ["00149", "00149", "1150"], WELL: ["A01", "A02", "A01"], "Metadata_n": 1}
)


def join(tmp_path, text, rows=ROWS, name="map.csv"):
    (tmp_path / name).write_text(text)
    rows, changes, notes, losses = join_metadata(
        rows, read_metadata(tmp_path / name), name
    )
    return rows, [*changes, *notes], losses


@pytest.mark.parametrize(
    "text",
    [
        "Plate,Well,moa\n149,A1,x\n149,A2,y\n1150,A1,z\n",
        "Metadata_Plate,Metadata_Well,moa\n00149,a01,x\n00149,A-02,y\n1150,r01c01,z\n",
        "plate\twell_position\tmoa\n149\tA01\tx\n149\tA02\ty\n1150\tA01\tz\n",
        "Assay_Plate_Barcode;Well_Position;moa\n149;A1;x\n149;A2;y\n1150;A1;z\n",
    ],
)
def test_names_of_one_well_are_partners_and_stay_as_given(tmp_path, text):
    rows, notes, losses = join(tmp_path, text)
    assert rows["Metadata_moa"].tolist() == ["x", "y", "z"]
    assert rows[[PLATE, WELL]].equals(ROWS[[PLATE, WELL]])
    assert notes == ["map.csv: joined by plate, well, 3 of 3 rows."] and not losses


def test_a_map_of_wells_is_of_every_plate(tmp_path):
    rows, _, _ = join(tmp_path, "well_position\tmoa\nA1\tx\nA2\ty\n", name="m.txt")
    assert rows["Metadata_moa"].tolist() == ["x", "y", "x"]


def test_rows_without_a_partner_are_said_on_both_sides(tmp_path):
    text = "Plate,Well,moa,n\n149,A1,x,2\n1150,A1,None,1\n1150,H12,z,1\n,B01,z,1\n"
    rows, notes, losses = join(tmp_path, text)
    assert get_column(rows, "moa").tolist() == ["x", "", "None"]
    assert losses == [
        ("1 of 3 rows have no partner in map.csv by plate, well, such as 00149 A02.")
    ]
    told = " ".join(notes)
    assert "1 of 4 rows have no Metadata_Plate" in told
    assert "1 of its 3 rows match no measured row, such as 1150 H12" in told
    assert (
        "Metadata_n was replaced; 1 rows had another value, such as '1', now '2'."
        in told
    )
    # A row without a partner keeps what it has.
    assert get_column(rows, "n").tolist() == ["2", "1", "1"]


@pytest.mark.parametrize(
    "text, told",
    [
        ("Plate,Well,moa\n149,A1,x\n149,A01,y\n", "map.csv: .*'A1' and 'A01'"),
        ("Plate,Well,moa\n149,A1,x\n00149,A2,y\n", "map.csv: .*'149' and '00149'"),
        ("Plate,Well,moa\n149,A1,x\n149,A1,y\n", "map.csv must have .* has 2 for"),
        ("Well,moa\nA1,x\nA1,y\n", "map.csv must have .* has 2 for Metadata_Well A1"),
        ("Plate,Well,moa\n7,A1,x\n", "No row has a partner in map.csv.* 7 A1"),
        ("compound,moa\nx,y\n", "map.csv needs a column .*well_position.*compound"),
        ("Plate,Well,moa\nnan,nan,x\n", "map.csv has no .* in any row"),
    ],
)
def test_what_cannot_be_joined_is_refused(tmp_path, text, told):
    with pytest.raises(ValueError, match=told):
        join(tmp_path, text)


def make_table(name, wells, **columns):
    frame = pd.DataFrame({PLATE: "P", WELL: wells} | columns)
    frame["x"] = range(len(frame))
    return FeatureTable(name, f"{name}.csv", frame, ["x"])


def test_tables_are_partners_by_the_one_form_and_losses_are_named():
    first = make_table("a", ["A01", "A02", "A03"], Metadata_moa=["x", "y", "z"])
    second = make_table("b", ["a2", "a1", "a9"], Metadata_moa=["y", "other", "z"])
    aligned, rows = align_tables([first, second])
    assert rows[WELL].tolist() == ["A01", "A02"]
    assert [table.frame["x"].tolist() for table in aligned] == [[0, 1], [1, 0]]
    assert "1 of 3 rows are not in all tables, such as P A03" in aligned[0].losses[0]
    assert "such as P A09" in aligned[1].losses[0]
    assert "Metadata_moa is that of the first table; 1 rows of b" in aligned[1].notes[0]


def test_objects_of_one_number_are_refused():
    numbers = {"Metadata_Site": "1", "Metadata_ObjectNumber": [1, 1]}
    first = make_table("a", ["A01", "A01"], **numbers)
    second = make_table("b", ["A01", "A02"], **numbers)
    with pytest.raises(ValueError, match="a must have .*ObjectNumber, and has 2"):
        align_tables([first, second])


def test_a_name_of_two_columns_is_refused():
    rows = pd.DataFrame(columns=["Metadata_moa", "Metadata_MoA"])
    with pytest.raises(ValueError, match="several columns MOA: Metadata_moa, Meta"):
        find_column(rows, "MOA")
    assert find_column(rows, "MoA") == "Metadata_MoA"

"""Plate maps as tables and as grids, CSV and XLSX."""

import pandas as pd
import pytest

from stratonet.tables.reading import read_metadata

GRID = [
    ["Plate 7, my assay", None, None, None],
    [None, None, None, None],
    ["drug", 1, 2, 3],
    ["A", "taxol", "DMSO", None],
    ["B", "taxol", "DMSO", "00149"],
    [None, None, None, None],
    ["dose", 1, 2, 3],
    ["A", 2.5, 0, None],
    ["B", 10, 0, 1],
]


def write_workbook(path, sheets):
    with pd.ExcelWriter(path, engine="openpyxl") as writer:
        for name, cells in sheets.items():
            pd.DataFrame(cells).to_excel(
                writer, sheet_name=name, header=False, index=False
            )


def test_grids_of_a_sheet(tmp_path):
    write_workbook(tmp_path / "map.xlsx", {"Sheet1": GRID})
    found = read_metadata(tmp_path / "map.xlsx").set_index("Metadata_Well")
    assert list(found) == ["Metadata_drug", "Metadata_dose"]
    assert found.loc["B01"].tolist() == ["taxol", "10"]
    assert found.loc["A01"].tolist() == ["taxol", "2.5"]
    assert found.loc["B03"].tolist() == ["00149", "1"]
    # A well without anything is not in the map.
    assert "A03" not in found.index


def test_grids_of_several_sheets_are_named_by_these(tmp_path):
    cells = [["", "01", "02"], ["A", "x", "y"], ["B", "z", ""]]
    doses = [["", 1, 2], ["A", 1, 2], ["B", 3, 4]]
    write_workbook(
        tmp_path / "map.XLSX", {"compound": cells, "dose": doses, "note": [["hi"]]}
    )
    found = read_metadata(tmp_path / "map.XLSX").set_index("Metadata_Well")
    assert found.loc["B01"].tolist() == ["z", "3"]
    assert found.loc["B02"].tolist() == [None, "4"]


def test_a_long_table_of_a_workbook(tmp_path):
    frame = pd.DataFrame(
        {"Plate": ["00149", "00149"], "well_position": ["A1", "A2"], "moa": ["NA", ""]}
    )
    frame.to_excel(tmp_path / "map.xlsx", index=False)
    found = read_metadata(tmp_path / "map.xlsx")
    # How pandas writes what is missing depends on its version.
    assert found.fillna("missing").to_dict("list") == {
        "Metadata_Plate": ["00149", "00149"],
        "Metadata_Well": ["A1", "A2"],
        "Metadata_moa": ["NA", "missing"],
    }


@pytest.mark.parametrize("name, separator", [("drug.csv", ","), ("drug.tsv", "\t")])
def test_a_grid_of_a_text_file_is_named_by_it(tmp_path, name, separator):
    rows = [["", "1", "2"], ["A", "x", "y"], ["B", "", "z"]]
    text = "\n".join(separator.join(row) for row in rows)
    (tmp_path / name).write_text(text)
    found = read_metadata(tmp_path / name)
    assert found.values.tolist() == [["A01", "x"], ["A02", "y"], ["B02", "z"]]
    assert list(found) == ["Metadata_Well", "Metadata_drug"]


def test_a_table_with_a_row_called_a_is_no_grid(tmp_path):
    (tmp_path / "map.csv").write_text("Row,Well,drug\nA,A01,x\nB,B01,y\n")
    found = read_metadata(tmp_path / "map.csv")
    assert list(found) == ["Metadata_Row", "Metadata_Well", "Metadata_drug"]


@pytest.mark.parametrize(
    "write, told",
    [
        (
            lambda path: path.write_bytes(b"PK no workbook"),
            "cannot be read as a workbook",
        ),
        (lambda path: write_workbook(path, {"a": [["Well"]]}), "no table in its first"),
        (lambda path: write_workbook(path, {"a": []}), "no table in its first"),
        (
            lambda path: write_workbook(
                path, {"a": [["Well", "x", "x"], ["A1", 1, 2]]}
            ),
            "has x twice",
        ),
        (
            lambda path: write_workbook(
                path, {"a": [["d", 1, 2], ["A", 1, 2], ["d", 1, 2], ["A", 3, 4]]}
            ),
            "several grids called d",
        ),
    ],
)
def test_what_is_no_plate_map(tmp_path, write, told):
    write(tmp_path / "map.xlsx")
    with pytest.raises(ValueError, match=told):
        read_metadata(tmp_path / "map.xlsx")

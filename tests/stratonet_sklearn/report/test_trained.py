"""Wells that a network was fine-tuned on are no test of it."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import stratonet_cli
from stratonet.tables.reading import FeatureTable
from stratonet.tables.writing import write_wide_table
from stratonet_sklearn.report.data import Split, Treatments, read_data
from stratonet_sklearn.report.trained import drop_trained_rows

TRAINED = {"P1": {"A01", "A02"}, "P7": {"A03"}}


def make_rows(plates=("P1", "P2"), wells=("A01", "A02", "A03")):
    return pd.DataFrame(
        [
            {"Metadata_Plate": plate, "Metadata_Well": well, "Metadata_Drug": well}
            for plate in plates
            for well in wells
        ]
    )


def make_table(rows, name="tuned", trained=TRAINED):
    values = np.random.default_rng(0).normal(size=(len(rows), 3))
    frame = rows.assign(a=values[:, 0], b=values[:, 1], c=values[:, 2])
    return FeatureTable(name, "", frame, ["a", "b", "c"], trained_wells=trained)


def write_features(path, rows, trained=None):
    values = np.random.default_rng(0).normal(size=(4, len(rows))).astype(np.float32)
    columns = {name: rows[name].tolist() for name in rows}
    columns["Metadata_StratoFeatures"] = ["mine-1.0.0-0"] * len(rows)
    for number, value in enumerate(values):
        columns[f"StratoFeatures_High{number:04d}_DNA"] = value
    write_wide_table(path, [pa.table(columns)], trained_wells=trained)
    return path


def test_they_are_refused_with_their_names():
    rows = make_rows()
    with pytest.raises(ValueError) as raised:
        drop_trained_rows([make_table(rows)], rows, leave_out=False)
    message = str(raised.value)
    assert "tuned: its network was fine-tuned on 2 of these wells" in message
    assert "P1 A01, P1 A02" in message and "`leave_out_trained`" in message


def test_they_are_left_out_of_all_tables_and_counted():
    rows = make_rows()
    tables = [make_table(rows, "untuned", {}), make_table(rows)]
    (untuned, tuned), kept = drop_trained_rows(tables, rows, leave_out=True)
    assert kept["Metadata_Plate"].tolist() == ["P1", "P2", "P2", "P2"]
    assert kept["Metadata_Well"].tolist() == ["A03", "A01", "A02", "A03"]
    for table in (untuned, tuned):
        assert table.frame.index.tolist() == [0, 1, 2, 3]
        assert table.frame["Metadata_Well"].tolist() == kept["Metadata_Well"].tolist()
    assert untuned.notes == []
    assert tuned.notes[0].startswith("2 rows are left out: tuned: its network was")


def test_other_wells_of_the_same_plate_and_other_plates_stay():
    rows = make_rows(plates=("P2", "P3"))
    tables, kept = drop_trained_rows([make_table(rows)], rows, leave_out=False)
    assert kept.equals(rows) and tables[0].frame.equals(make_table(rows).frame)


def test_nothing_is_left_to_evaluate():
    rows = make_rows(plates=("P1",), wells=("A01", "A02"))
    with pytest.raises(ValueError, match="there are no others"):
        drop_trained_rows([make_table(rows)], rows, leave_out=True)


def test_a_file_that_tells_is_believed(tmp_path):
    rows = make_rows()
    path = write_features(tmp_path / "plate.parquet", rows, TRAINED)
    tables = {"mine": path}
    with pytest.raises(ValueError, match="fine-tuned on 2 of these wells"):
        read_data(tables, None, Treatments(), Split(), None)
    left_out = Split(leave_out_trained=True)
    data = read_data(tables, None, Treatments(label="drug"), left_out, None)
    assert len(data.rows) == len(data.labels) == len(data.tables[0].frame) == 4
    untuned = write_features(tmp_path / "untuned.parquet", rows)
    assert len(read_data({"a": untuned}, None, Treatments(), Split(), None).rows) == 6


def test_the_command_names_its_flag(tmp_path, capsys):
    path = write_features(tmp_path / "plate.parquet", make_rows(), TRAINED)
    output = tmp_path / "report"
    arguments = ["evaluate", str(path), "--output", str(output), "--quiet"]
    assert stratonet_cli.main(arguments) == 1
    message = capsys.readouterr().err
    assert "--leave-out-trained" in message and "leave_out_trained" not in message
    assert not output.exists()

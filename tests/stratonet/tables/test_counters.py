"""Columns that only count the rows are no features, and are named."""

import numpy as np
import pandas as pd
import pytest

from stratonet.tables.counters import find_row_counters, note_row_counters
from stratonet.tables.plain import list_measurements
from stratonet.tables.reading import read_feature_table

FEATURES = ["Cells_Area", "Cells_Mean"]


def make_profiles():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(24, 2)), columns=FEATURES)
    frame.insert(0, "Metadata_Well", [f"A{number:02d}" for number in range(1, 25)])
    return frame


def write_twice(frame, path):
    frame.to_csv(path)
    pd.read_csv(path).to_csv(path)


# What people do with a table, and what the column of row numbers is then called.
SAVED = {
    "csv": (lambda frame, path: frame.to_csv(path), ["Unnamed: 0"]),
    "csv twice": (write_twice, ["Unnamed: 0.1", "Unnamed: 0"]),
    "csv of chosen rows": (
        lambda frame, path: frame[frame.Cells_Area > 0].to_csv(path),
        ["Unnamed: 0"],
    ),
    "reset_index": (
        lambda frame, path: frame.reset_index().to_csv(path, index=False),
        ["index"],
    ),
    "sorted by a feature": (
        lambda frame, path: frame.sort_values("Cells_Area").to_csv(
            path, index_label="number"
        ),
        ["number"],
    ),
    "polars": (
        lambda frame, path: frame.to_csv(path, index_label="row_nr"),
        ["row_nr"],
    ),
    "two tables together": (
        lambda frame, path: pd.concat([frame, frame]).to_csv(path, index_label="nr"),
        ["nr"],
    ),
}


@pytest.mark.parametrize("how", SAVED)
def test_row_numbers_are_left_out_and_named(how, tmp_path):
    save, names = SAVED[how]
    save(make_profiles(), tmp_path / "profiles.csv")
    table = read_feature_table(tmp_path / "profiles.csv")
    assert table.features == FEATURES
    for name in names:
        assert any(name in note and "count" in note for note in table.notes)


@pytest.mark.parametrize("engine", ["index", "chosen", "no metadata"])
def test_row_numbers_in_parquet(engine, tmp_path):
    frame = make_profiles()
    if engine == "index":
        frame = frame.reset_index()
    elif engine == "chosen":
        frame = frame[frame.Cells_Area > 0]
    frame.to_parquet(tmp_path / "profiles.parquet")
    table = read_feature_table(tmp_path / "profiles.parquet")
    assert table.features == FEATURES
    assert len(table.frame) == len(frame)


def test_measurements_are_no_counters():
    n = np.arange(30)
    frame = pd.DataFrame(
        {
            "Count_Nuclei": [31, 28, 30] * 10,
            "Cells_Rank": n,
            "Index": n / 7,
            "steps": 2 * n,
            "constant": 1,
            "is_even": n % 2 == 0,
            "missing": np.where(n == 3, np.nan, n),
        }
    )
    assert find_row_counters(frame) == []
    assert note_row_counters(frame) == []
    # Five rows may be anything.
    assert list_measurements(pd.DataFrame({"Rank": [1, 2, 3, 4, 5]})) == ["Rank"]


def test_two_counters_are_one_note():
    frame = pd.DataFrame({"index": [0, 1], "level_0": [4, 9], "Area": [7, 7]})
    assert note_row_counters(frame) == ["index, level_0 only count the rows."]

"""Columns by the names that users give them, and what rows and features are called."""

import pandas as pd
import pytest

from stratonet.tables.wells import split_well_names
from stratonet_sklearn.evaluation.columns import name_feature_groups, name_rows


def test_wells_have_rows_and_columns():
    rows, columns = split_well_names(pd.Series(["A01", "AF48", "00365", "A00"]))
    assert rows.fillna("").tolist() == ["A", "AF", "", ""]
    assert columns.fillna(0).tolist() == [1, 48, 0, 0]


def test_parts_of_other_features():
    names = ["Cells_AreaShape_Area", "mean", "noise_12"]
    assert name_feature_groups(names).tolist() == ["Cells AreaShape", "mean", "noise"]


@pytest.mark.parametrize(
    ("column", "noun"),
    [
        ("Metadata_ObjectNumber", "objects"),
        ("ObjectNumber", "objects"),
        ("Metadata_Site", "image sets"),
        ("Metadata_Dose", "wells"),
    ],
)
def test_what_a_row_is(column, noun):
    assert name_rows(pd.DataFrame(columns=["Metadata_Well", column])) == noun

"""Numbers of every kind that pandas holds."""

from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from stratonet.tables.numbers import read_numbers

KINDS = {
    "numpy": lambda: pd.Series([0.5, np.nan]),
    "nullable": lambda: pd.Series([0.5, None], dtype="Float64"),
    "nullable float32": lambda: pd.Series([0.5, None], dtype="Float32"),
    "Arrow": lambda: pd.Series([0.5, None], dtype=pd.ArrowDtype(pa.float64())),
    "Arrow decimal": lambda: pd.Series(
        [Decimal("0.5"), None], dtype=pd.ArrowDtype(pa.decimal128(5, 2))
    ),
    "Decimal": lambda: pd.Series([Decimal("0.5"), None]),
    "objects": lambda: pd.Series([0.5, pd.NA], dtype=object),
}


@pytest.mark.parametrize("kind", KINDS)
def test_numbers_of_every_kind(kind):
    column = KINDS[kind]()
    # Alone, and beside columns of other types.
    for frame in (column.to_frame("a"), pd.DataFrame({"a": column, "b": [1, 2]})):
        values = read_numbers(frame)
        assert values.dtype == np.float32
        np.testing.assert_array_equal(values[:, 0], [0.5, np.nan])


def test_arrays_and_masks():
    masked = np.ma.array([[1, 2], [3, 4]], mask=[[False, True], [False, False]])
    np.testing.assert_array_equal(read_numbers(masked, float), [[1, np.nan], [3, 4]])
    objects = np.array([[Decimal(1), None], [True, pd.NA]], object)
    np.testing.assert_array_equal(read_numbers(objects), [[1, np.nan], [1, np.nan]])


def test_no_copy_of_features():
    values = np.zeros((3, 2), np.float32)
    assert np.shares_memory(read_numbers(values), values)
    frame = pd.DataFrame(values)
    assert np.shares_memory(read_numbers(frame), frame.to_numpy())


@pytest.mark.parametrize(
    "column",
    [
        ["0.5", "1"],
        pd.to_datetime(["2024-01-01", "2024-01-02"]),
        pd.Series(["a", "b"], dtype="category"),
        [b"1", None],
    ],
)
def test_what_is_no_number_is_named(column):
    with pytest.raises(ValueError, match="The column gene is not a feature"):
        read_numbers(pd.DataFrame({"area": [1.0, 2.0], "gene": column}))

"""Columns that only count the rows: no measurements, though they are numbers.

pandas saves its index as one. In a table that is sorted by class, the number of a row
tells its class.
"""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

# What pandas, polars and R call a column of row numbers that nobody has named.
_NAMES = re.compile(
    r"|unnamed: \d+(\.\d+|_level_\d+)?|index|level_\d+|__index_level_\d+__"
    r"|row[ _.]?(id|index|names?|number|nr)",
    re.IGNORECASE,
)
# Cells_Area: what is measured of an object says so, whatever its numbers are.
_MEASUREMENT = re.compile(r"[A-Z][A-Za-z]*_[A-Z]\w*")
# So many whole numbers in a row, each one more than the last, are no measurements.
FEWEST = 10
# The share of rows that count on: where tables were put together, it begins anew.
COUNTING = 0.9


def find_row_counters(frame: pd.DataFrame) -> list[str]:
    """Find the columns of numbers that only count the rows.

    Parameters
    ----------
    frame : pandas.DataFrame
        Of any program.

    Returns
    -------
    list of str
        Columns of whole numbers that are called like an index; and those not called
        like a measurement of an object that hold each number of a range once, or count
        on from row to row.

    Examples
    --------
    >>> find_row_counters(pd.DataFrame({"Unnamed: 0": [3, 5], "Area": [31, 32]}))
    ['Unnamed: 0']
    """
    counters = []
    for name in frame:
        column = frame[name]
        is_number = pd.api.types.is_numeric_dtype(column)
        if is_number and not pd.api.types.is_bool_dtype(column):
            values = column.to_numpy(float, na_value=np.nan)
            if _counts_rows(str(name), values):
                counters.append(name)
    return counters


def note_row_counters(frame: pd.DataFrame) -> list[str]:
    """Say which columns only count the rows.

    Parameters
    ----------
    frame : pandas.DataFrame
        Of any program.

    Returns
    -------
    list of str
        One sentence, or none.

    Examples
    --------
    >>> note_row_counters(pd.DataFrame({"index": [3, 5], "Area": [31, 32]}))
    ['index only counts the rows, and is no feature.']
    """
    names = find_row_counters(frame)
    if not names:
        return []
    verb = "counts the rows, and is no feature" if len(names) == 1 else "count the rows"
    return [f"{', '.join(map(str, names))} only {verb}."]


def _counts_rows(name: str, values: np.ndarray) -> bool:
    # Nearly all columns are told by their first numbers.
    if len(values) == 0 or not _are_whole(values[:2]) or not _are_whole(values):
        return False
    if _NAMES.fullmatch(name.strip()):
        return True
    if len(values) < FEWEST or _MEASUREMENT.match(name):
        return False
    steps = np.diff(values)
    if (steps == 1).mean() >= COUNTING:
        return True
    # In another order, each number of a range is there once.
    is_range = values.max() - values.min() == len(values) - 1
    return bool(is_range and len(np.unique(values)) == len(values))


def _are_whole(values: np.ndarray) -> bool:
    return bool(np.isfinite(values).all() and (values == np.floor(values)).all())

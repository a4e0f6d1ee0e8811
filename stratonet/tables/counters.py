"""Find columns that only count the rows: they are numbers, but no measurements.

pandas saves its index as such a column. In a table sorted by class, the number of a row
would reveal its class.
"""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

# Default names of columns of row numbers in pandas, polars and R.
_NAMES = re.compile(
    r"|unnamed: \d+(\.\d+|_level_\d+)?|index|level_\d+|__index_level_\d+__"
    r"|row[ _.]?(id|index|names?|number|nr)",
    re.IGNORECASE,
)
# Names such as Cells_Area are measurements of objects, whatever their numbers are.
_MEASUREMENT = re.compile(r"[A-Z][A-Za-z]*_[A-Z]\w*")
# Fewest whole numbers, each one more than the last, that are taken for a row counter.
FEWEST = 10
# The share of rows that must count on: in concatenated tables, counting starts again.
COUNTING = 0.9


def find_row_counters(frame: pd.DataFrame) -> list[str]:
    """Find the columns of numbers that only count the rows.

    Parameters
    ----------
    frame : pandas.DataFrame
        A table of any program.

    Returns
    -------
    list of str
        Columns of whole numbers whose names are those of an index; and columns whose
        names are not those of measurements of objects, and which contain each number of
        a range once or count on from row to row.

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
    """Write a sentence about the columns that only count the rows.

    Parameters
    ----------
    frame : pandas.DataFrame
        A table of any program.

    Returns
    -------
    list of str
        One sentence, or none if there are no such columns.

    Examples
    --------
    >>> note_row_counters(pd.DataFrame({"index": [3, 5], "Area": [31, 32]}))
    ['index only counts the rows, and is not a feature.']
    """
    names = find_row_counters(frame)
    if not names:
        return []
    verb = (
        "counts the rows, and is not a feature" if len(names) == 1 else "count the rows"
    )
    return [f"{', '.join(map(str, names))} only {verb}."]


def _counts_rows(name: str, values: np.ndarray) -> bool:
    # For nearly all columns, the first two numbers suffice.
    if (
        len(values) == 0
        or not _are_whole_numbers(values[:2])
        or not _are_whole_numbers(values)
    ):
        return False
    if _NAMES.fullmatch(name.strip()):
        return True
    if len(values) < FEWEST or _MEASUREMENT.match(name):
        return False
    steps = np.diff(values)
    if (steps == 1).mean() >= COUNTING:
        return True
    # In a shuffled table, each number of a range occurs once.
    is_range = values.max() - values.min() == len(values) - 1
    return bool(is_range and len(np.unique(values)) == len(values))


def _are_whole_numbers(values: np.ndarray) -> bool:
    return bool(np.isfinite(values).all() and (values == np.floor(values)).all())

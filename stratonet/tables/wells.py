"""How wells are named: A01 is row A and column 1 of a plate.

Wells are written and parsed here only. Rows and columns count from 0 in arrays.
"""

from __future__ import annotations

import re
from string import ascii_uppercase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

# Rows and columns of plates of 96, 384 and 1536 wells.
PLATE_FORMATS = ((8, 12), (16, 24), (32, 48))
# After row Z comes AA.
ROW_LETTERS = (
    *ascii_uppercase,
    *(first + second for first in ascii_uppercase for second in ascii_uppercase),
)
# A01, and as people and instruments write it: A1, a01, A-01, r01c01.
_WELL = re.compile(
    r"(?P<letters>[A-Za-z]{1,2})[ _-]?0*(?P<column>[1-9]\d*)"
    r"|[Rr]0*(?P<row>[1-9]\d*)[ _-]?[Cc]0*(?P<column_number>[1-9]\d*)"
)


def parse_well(name: object) -> tuple[int, int] | None:
    """Row and column of a well, from 0; None where the name is not such as A01.

    Parameters
    ----------
    name : str
        One or two letters and a number, or both numbers: A01, A1, a01, A-01, r01c01.

    Examples
    --------
    >>> parse_well("B03"), parse_well("b-3"), parse_well("r02c03")
    ((1, 2), (1, 2), (1, 2))
    >>> parse_well("control")
    """
    match = _WELL.fullmatch(name.strip()) if isinstance(name, str) else None
    if not match:
        return None
    if match["letters"]:
        row = ROW_LETTERS.index(match["letters"].upper())
        return row, int(match["column"]) - 1
    row = int(match["row"]) - 1
    return (row, int(match["column_number"]) - 1) if row < len(ROW_LETTERS) else None


def format_well(row: int, column: int) -> str:
    """Name of the well in a row and a column.

    Parameters
    ----------
    row, column : int
        From 0.

    Examples
    --------
    >>> format_well(1, 2)
    'B03'
    >>> format_well(26, 0)
    'AA01'
    """
    return f"{ROW_LETTERS[row]}{column + 1:02d}"


def make_well_name(row: str, column: str) -> str:
    """Name of a well whose row and column are written apart, both from 1.

    Parameters
    ----------
    row : str
        A number (``"1"``, ``"01"``) or letters (``"A"``, ``"a"``).
    column : str
        A number.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        Row or column is no number from 1, and the row no letters of a row.

    Examples
    --------
    >>> make_well_name("02", "3"), make_well_name("AA", "1")
    ('B03', 'AA01')
    """
    letters = row.upper()
    if letters in ROW_LETTERS:
        row_number = ROW_LETTERS.index(letters) + 1
    else:
        row_number = int(row) if row.isdecimal() else 0
    column_number = int(column) if column.isdecimal() else 0
    if not 1 <= row_number <= len(ROW_LETTERS) or column_number < 1:
        raise ValueError(
            "Row and column of a well are numbers from 1, or the row is letters."
            f" Received: {row!r} and {column!r}"
        )
    return format_well(row_number - 1, column_number - 1)


def split_well_names(wells: pd.Series) -> tuple[pd.Series, pd.Series]:
    """Row letters and column numbers of wells.

    Parameters
    ----------
    wells : pandas.Series of str
        Names of wells, as `parse_well` takes them.

    Returns
    -------
    letters, columns : pandas.Series
        Columns count from 1, as in the names. Both are missing for names not such as
        A01.
    """
    rows, columns = locate_wells(wells)
    letters = rows.map(dict(enumerate(ROW_LETTERS)), na_action="ignore")
    return letters.astype(object), columns + 1


def locate_wells(wells: pd.Series) -> tuple[pd.Series, pd.Series]:
    """Rows and columns of wells.

    Parameters
    ----------
    wells : pandas.Series of str
        Names of wells, as `parse_well` takes them.

    Returns
    -------
    rows, columns : pandas.Series of Int64
        From 0. Both are missing for names not such as A01.
    """
    # Each name once: a table of objects has thousands of rows per well.
    places = {name: parse_well(name) or (None, None) for name in wells.unique()}
    rows = wells.map({name: row for name, (row, _) in places.items()})
    columns = wells.map({name: column for name, (_, column) in places.items()})
    return rows.astype("Int64"), columns.astype("Int64")


def choose_plate_format(last_row: int, last_column: int) -> tuple[int, int]:
    """Choose the smallest plate that has a well.

    Parameters
    ----------
    last_row, last_column : int
        Of the well, from 0.

    Returns
    -------
    (int, int)
        Number of rows and of columns: of a plate of 96, 384 or 1536 wells, or just as
        many as are needed.

    Examples
    --------
    >>> choose_plate_format(7, 12)
    (16, 24)
    """
    for rows, columns in PLATE_FORMATS:
        if last_row < rows and last_column < columns:
            return rows, columns
    return last_row + 1, last_column + 1

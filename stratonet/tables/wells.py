"""Write and parse the names of wells: A01 is row A and column 1 of a plate.

Nothing else in StratoNet does so. In arrays, rows and columns count from 0.
"""

from __future__ import annotations

import re
from string import ascii_uppercase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

# Numbers of rows and columns of plates with 96, 384 and 1536 wells.
PLATE_FORMATS = ((8, 12), (16, 24), (32, 48))
# After row Z comes AA.
ROW_LETTERS = (
    *ascii_uppercase,
    *(first + second for first in ascii_uppercase for second in ascii_uppercase),
)
# A01, and the variants of people and instruments: A1, a01, A-01, r01c01.
_WELL = re.compile(
    r"(?P<letters>[A-Za-z]{1,2})[ _-]?0*(?P<column>[1-9]\d*)"
    r"|[Rr]0*(?P<row>[1-9]\d*)[ _-]?[Cc]0*(?P<column_number>[1-9]\d*)"
)


def parse_well(name: object) -> tuple[int, int] | None:
    """Return row and column of a well, from 0, or None if the name is no well's.

    Parameters
    ----------
    name : str
        One or two letters and a number, or two numbers: A01, A1, a01, A-01, r01c01.

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
    """Return the name of the well in a row and a column.

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
    """Return the name of a well from separate texts for row and column, from 1.

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
        The column is not a number from 1, or the row is neither that nor letters.

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
    """Return row letters and column numbers of wells.

    Parameters
    ----------
    wells : pandas.Series of str
        Names of wells, as in `parse_well`.

    Returns
    -------
    letters, columns : pandas.Series
        Columns count from 1, as in the names. Both are missing for names that are not
        those of wells.
    """
    rows, columns = locate_wells(wells)
    letters = rows.map(dict(enumerate(ROW_LETTERS)), na_action="ignore")
    return letters.astype(object), columns + 1


def locate_wells(wells: pd.Series) -> tuple[pd.Series, pd.Series]:
    """Return rows and columns of wells.

    Parameters
    ----------
    wells : pandas.Series of str
        Names of wells, as in `parse_well`.

    Returns
    -------
    rows, columns : pandas.Series of Int64
        From 0. Both are missing for names that are not those of wells.
    """
    # Parse each name once: a table of objects has thousands of rows per well.
    positions = {name: parse_well(name) or (None, None) for name in wells.unique()}
    rows = wells.map({name: row for name, (row, _) in positions.items()})
    columns = wells.map({name: column for name, (_, column) in positions.items()})
    return rows.astype("Int64"), columns.astype("Int64")


def choose_plate_format(last_row: int, last_column: int) -> tuple[int, int]:
    """Choose the smallest plate format that includes a row and a column.

    Parameters
    ----------
    last_row, last_column : int
        Row and column, from 0.

    Returns
    -------
    (int, int)
        Number of rows and columns: those of a plate with 96, 384 or 1536 wells, or as
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

"""Read plate maps: long tables, or grids as in a spreadsheet.

A grid has the letters of rows below its corner, and the numbers of columns to the right
of the corner. Its name is the text in the corner, or else the name of its sheet.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from stratonet.extras import name_missing_extra
from stratonet.files.storage import Storage
from stratonet.tables.columns import WELL
from stratonet.tables.csvfiles import is_csv_name
from stratonet.tables.keys import name_key_columns
from stratonet.tables.plain import read_plain_table
from stratonet.tables.wells import ROW_LETTERS, format_well

EXCEL = (".xlsx", ".xlsm")
# Fewest numbered columns of a grid: with fewer, it may be any other table.
FEWEST = 2


def read_plate_map(path: Path) -> pd.DataFrame:
    r"""Read a plate map.

    Parameters
    ----------
    path : pathlib.Path
        CSV, TSV, Parquet or XLSX. All grids of a workbook are read; if it has none,
        the long table of its first sheet.

    Returns
    -------
    pandas.DataFrame
        A row per well, all values as text, None for empty fields. Keys are called
        ``Metadata_Plate`` and ``Metadata_Well``; a grid becomes one column with its
        name, beside the well.

    Raises
    ------
    ValueError
        The file is of another kind, damaged, or has no table.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "drug.csv")
    ...     _ = path.write_text(",1,2\nA,taxol,DMSO\nB,taxol,DMSO\n")
    ...     read_plate_map(path).values.tolist()
    [['A01', 'taxol'], ['A02', 'DMSO'], ['B01', 'taxol'], ['B02', 'DMSO']]
    """
    if path.name.lower().endswith(EXCEL):
        return _read_workbook(path)
    # All names contain the empty text, so nothing becomes a number: 00149 stays text.
    frame = read_plain_table(path, text_columns="")
    if is_csv_name(path.name):
        header = pd.DataFrame([list(frame)]).replace(
            r"^Unnamed: \d+.*$", "", regex=True
        )
        cells = np.vstack([header.to_numpy(object), frame.to_numpy(object)])
        grids = find_grids(cells, path.name.split(".")[0])
        if grids:
            return _join_grids(grids, path)
    return frame


def _read_workbook(path: Path) -> pd.DataFrame:
    with name_missing_extra("Reading .xlsx files", "evaluate"):
        import openpyxl  # noqa: F401
    try:
        sheets = pd.read_excel(
            io.BytesIO(Storage().read(path)),
            sheet_name=None,
            header=None,
            dtype=object,
            keep_default_na=False,
            engine="openpyxl",
        )
    except Exception as error:  # openpyxl and zipfile raise errors of many types
        raise ValueError(
            f"{path} cannot be read as a workbook ({type(error).__name__}: {error}). Is"
            " it damaged?"
        ) from None
    grids: list[tuple[str, pd.Series]] = []
    for name, sheet in sheets.items():
        grids += find_grids(_write_cells(sheet), str(name))
    if grids:
        return _join_grids(grids, path)
    return _read_long(_write_cells(next(iter(sheets.values()))), path)


def _write_cells(sheet: pd.DataFrame) -> np.ndarray:
    """Write the cells of a sheet as text: a 2 that Excel stores as 2.0 becomes 2."""
    cells = np.empty(sheet.shape, object)
    for position, value in np.ndenumerate(sheet.to_numpy(object)):
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        text = "" if value is None or value is pd.NaT else str(value).strip()
        cells[position] = "" if text == "nan" else text
    return cells


def _read_long(cells: np.ndarray, path: Path) -> pd.DataFrame:
    filled_rows = cells[(cells != "").any(axis=1)] if cells.size else cells
    if len(filled_rows) < 2:
        raise ValueError(f"{path} has no table in its first sheet.")
    header = list(filled_rows[0])
    named_columns = [number for number, name in enumerate(header) if name]
    frame = pd.DataFrame(
        filled_rows[1:][:, named_columns], columns=[header[n] for n in named_columns]
    )
    repeated = frame.columns[frame.columns.duplicated()]
    if len(repeated):
        raise ValueError(
            f"{path} has {repeated[0]} twice, as names of columns. Give one of them"
            " another name."
        )
    return name_key_columns(frame.where(frame != "", None))


def find_grids(cells: np.ndarray, name: str) -> list[tuple[str, pd.Series]]:
    """Find the grids of wells in the cells of a sheet.

    Parameters
    ----------
    cells : numpy.ndarray (n rows, n columns), object
        Texts; empty cells are empty texts or None.
    name : str
        Name of the sheet, used for a grid whose corner is empty.

    Returns
    -------
    list of (str, pandas.Series)
        Name of each grid, and its contents by well; None for empty wells.

    Examples
    --------
    >>> cells = np.array([["dose", "1", "2"], ["A", "5", ""], ["B", "7", "9"]], object)
    >>> [(name, grid.tolist()) for name, grid in find_grids(cells, "Sheet1")]
    [('dose', ['5', None, '7', '9'])]
    """
    texts = np.empty(cells.shape, object)
    for position, cell in np.ndenumerate(cells):
        texts[position] = "" if cell is None else str(cell).strip()
    grids = []
    for row, column in np.argwhere(texts == ROW_LETTERS[0]):
        if row == 0:
            continue
        n_columns = _count_names(texts[row - 1, column + 1 :], _number_columns)
        n_rows = _count_names(texts[row:, column], _letter_rows)
        if n_columns >= FEWEST:
            contents = texts[row : row + n_rows, column + 1 : column + 1 + n_columns]
            corner = texts[row - 1, column]
            grids.append((corner or name, _list_wells(contents)))
    return grids


def _number_columns(number: int) -> tuple[str, ...]:
    return str(number + 1), f"{number + 1:02d}"


def _letter_rows(number: int) -> tuple[str, ...]:
    return (ROW_LETTERS[number],) if number < len(ROW_LETTERS) else ()


def _count_names(
    texts: np.ndarray, list_names: Callable[[int], tuple[str, ...]]
) -> int:
    """Count the leading texts that are the names of rows, or of columns, in order."""
    count = 0
    for number, text in enumerate(texts):
        if text not in list_names(number):
            break
        count += 1
    return count


def _list_wells(contents: np.ndarray) -> pd.Series:
    wells = {
        format_well(row, column): text or None
        for (row, column), text in np.ndenumerate(contents)
    }
    return pd.Series(wells, dtype=object)


def _join_grids(grids: list[tuple[str, pd.Series]], path: Path) -> pd.DataFrame:
    names = [name for name, _ in grids]
    repeated = [name for name in names if names.count(name) > 1]
    if repeated:
        raise ValueError(
            f"{path} has several grids called {repeated[0]}. Write a different name"
            " into the corner of each."
        )
    frame = pd.DataFrame(dict(grids)).dropna(how="all")
    return frame.rename_axis(WELL).reset_index()

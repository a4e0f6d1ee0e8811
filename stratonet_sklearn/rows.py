"""Check what has one value per row: labels, groups, wells, feature tables.

numpy would silently truncate, broadcast and convert them: a missing label becomes the
text ``nan``, and rows in another order stay in that order.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

import numpy as np
import pandas as pd

from stratonet.tables import keys


def read_frame(table: Any) -> Any:
    """Convert a frame of any library to pandas; return arrays and lists unchanged.

    Parameters
    ----------
    table : pandas.DataFrame, frame of polars or Arrow, array or list
        Column names are taken from ``columns`` (Arrow: ``column_names``), which frames
        of every library have.

    Examples
    --------
    >>> import pyarrow as pa
    >>> list(read_frame(pa.table({"DNA": ["a.tif"], "Actin": ["b.tif"]})))
    ['DNA', 'Actin']
    """
    if isinstance(table, pd.DataFrame):
        return table
    names = getattr(table, "column_names", None)
    if names is None:
        names = getattr(table, "columns", None)
    if names is None or not hasattr(table, "__getitem__"):
        return table
    # Column by column: an array of the whole table would have a single type.
    columns = [pd.Series(np.asarray(table[name])) for name in names]
    frame = pd.concat(columns, axis=1) if columns else pd.DataFrame()
    return frame.set_axis(list(names), axis=1)


def read_rows(
    columns: Mapping[str, Any], tables: Mapping[str, Any] | None = None
) -> dict[str, pd.Series]:
    """Read columns that have one value per row, and check them against each other.

    Parameters
    ----------
    columns : mapping of str to array (n rows,)
        By the name of the argument, which errors mention: lists, arrays, columns of
        frames of any library, and frames or arrays of one column.
    tables : mapping of str to pandas.DataFrame or array (n rows, ...), optional
        Other tables of the same rows, by the name that errors use. The first one sets
        the number of rows.

    Returns
    -------
    dict of str to pandas.Series (n rows,)
        Numbered from 0. Missing values stay missing; numbers mixed with text become
        text.

    Raises
    ------
    ValueError
        An argument does not have one value for each row, or two of them have the same
        index in different orders.

    Examples
    --------
    >>> read_rows({"labels": ["a", "b"], "groups": np.array([[1], [2]])})["groups"]
    0    1
    1    2
    dtype: int64
    """
    checked = {name: _read_column(name, values) for name, values in columns.items()}
    _check_lengths({**(tables or {}), **checked})
    _check_order({**(tables or {}), **columns})
    return {name: column.reset_index(drop=True) for name, column in checked.items()}


def find_missing(column: pd.Series) -> np.ndarray:
    """Find the rows that have no value: None, NaN, NA, or a text of nothing but spaces.

    Parameters
    ----------
    column : pandas.Series (n rows,)
        From `read_rows`.

    Returns
    -------
    numpy.ndarray (n rows,), bool

    Examples
    --------
    >>> find_missing(pd.Series(["a", None, "", "None"])).tolist()
    [False, True, True, False]
    """
    is_blank = [isinstance(value, str) and not value.strip() for value in column]
    return column.isna().to_numpy(bool) | np.array(is_blank, bool)


def write_texts(column: pd.Series) -> np.ndarray:
    """Write values as text, ``""`` where they are missing.

    Parameters
    ----------
    column : pandas.Series (n rows,)
        Values of any type.

    Returns
    -------
    numpy.ndarray (n rows,), str

    Examples
    --------
    pandas holds whole numbers as floats where one is missing:

    >>> write_texts(pd.Series([2, None, 10])).tolist()
    ['2', '', '10']
    """
    texts = keys.write_texts(column).to_numpy(object)
    return np.where(find_missing(column), "", texts).astype(str)


def list_values(values: Any) -> list[Any]:
    """List the values of an argument that takes one or several.

    Parameters
    ----------
    values : object
        One text is one value, not its letters; None is no value.

    Examples
    --------
    >>> list_values("DMSO"), list_values(np.array([2, 3])), list_values(None)
    (['DMSO'], [2, 3], [])
    """
    if values is None:
        return []
    if isinstance(values, (str, bytes)) or not hasattr(values, "__iter__"):
        return [values]
    if hasattr(values, "tolist"):
        values = values.tolist()
    return list(values) if hasattr(values, "__iter__") else [values]


def _read_column(name: str, values: Any) -> pd.Series:
    """Return one value per row, with the index if there is one."""
    values = read_frame(values)
    received = type(values).__name__
    if isinstance(values, (str, bytes, Mapping, Set)) or not hasattr(values, "__len__"):
        raise ValueError(
            f"`{name}` takes one value for each row, as a column or list. Received:"
            f" {'None' if values is None else received}"
        )
    if isinstance(values, pd.DataFrame) and values.shape[1] == 1:
        values = values.iloc[:, 0]
    if not isinstance(values, (pd.Series, np.ma.MaskedArray)):
        # As objects: numpy would turn a missing value among texts into text.
        is_list = isinstance(values, (list, tuple))
        values = np.asarray(values, object if is_list else None)
        if values.ndim == 2 and values.shape[1] == 1:
            values = values[:, 0]
    if np.ndim(values) != 1:
        raise ValueError(
            f"`{name}` takes one value for each row, one column. Received: {received}"
            f" of shape {np.shape(values)}"
        )
    return _simplify(name, pd.Series(values))


def _simplify(name: str, column: pd.Series) -> pd.Series:
    """Give a column of the same values the same type, however they were stored."""
    column = column.astype(object)
    for value in column:
        if isinstance(value, (list, tuple, np.ndarray, pd.Series)):
            raise ValueError(
                f"`{name}` takes one value for each row. Received for a row:"
                f" {type(value).__name__} of shape {np.shape(value)}"
            )
    value_type = pd.api.types.infer_dtype(column, skipna=True)
    # Numbers mixed with texts can be neither sorted nor told apart when written.
    if value_type.startswith("mixed") and value_type != "mixed-integer-float":
        column = column.map(str, na_action="ignore").astype(object)
    return column.infer_objects()


def _check_lengths(columns: Mapping[str, Any]) -> None:
    lengths = {name: len(values) for name, values in columns.items()}
    first, n_rows = next(iter(lengths.items()))
    for name, length in lengths.items():
        if length != n_rows:
            raise ValueError(
                f"`{name}` has {length} rows, and `{first}` has {n_rows}: each row"
                " needs one value of each. Were rows left out of one of them only?"
            )


def _check_order(columns: Mapping[str, Any]) -> None:
    """Refuse the same index in another order: only users know which is meant."""
    indexed = {
        name: values.index
        for name, values in columns.items()
        if isinstance(values, (pd.Series, pd.DataFrame))
    }
    if not indexed:
        return
    first, index = next(iter(indexed.items()))
    for name, other in indexed.items():
        if index.nlevels != other.nlevels or index.equals(other):
            continue
        if len(index.symmetric_difference(other, sort=False)):
            continue
        raise ValueError(
            f"`{name}` and `{first}` have the same index in another order"
            f" ({name} begins with {other[0]!r}, {first} with {index[0]!r}). Sort one"
            " by the other with .loc; or, if their rows belong together as they stand,"
            " give them a new index with .reset_index(drop=True)."
        )

"""One gate for all that goes by rows: labels, groups, wells, tables of features.

numpy would cut, stretch and rename them without a word: a missing label becomes the
text ``nan``, and rows in another order stay in that order.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

import numpy as np
import pandas as pd

from stratonet.tables import keys


def read_frame(table: Any) -> Any:
    """Return a frame of any make as one of pandas; arrays and lists as they are.

    Parameters
    ----------
    table : pandas.DataFrame, frame of polars or Arrow, array or list
        Its names are taken from ``columns`` (Arrow: ``column_names``): they are what
        frames of every make have.

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
    # Column by column: an array of the whole would have one type for all.
    columns = [pd.Series(np.asarray(table[name])) for name in names]
    frame = pd.concat(columns, axis=1) if columns else pd.DataFrame()
    return frame.set_axis(list(names), axis=1)


def read_rows(
    columns: Mapping[str, Any], tables: Mapping[str, Any] | None = None
) -> dict[str, pd.Series]:
    """Read columns that have a value for each row, and hold them against each other.

    Parameters
    ----------
    columns : mapping of str to array (n rows,)
        By the name of the argument, which errors tell: lists, arrays, columns of
        frames of any make, and frames or arrays of one column.
    tables : mapping of str to pandas.DataFrame or array (n rows, ...), optional
        What else has these rows, by what errors call it. The first says how many rows
        there are.

    Returns
    -------
    dict of str to pandas.Series (n rows,)
        Numbered from 0. Missing values are still missing; where numbers stand beside
        text, all are text.

    Raises
    ------
    ValueError
        An argument has not one value for each row, or its rows have the same index as
        those of another in another order.

    Examples
    --------
    >>> read_rows({"labels": ["a", "b"], "groups": np.array([[1], [2]])})["groups"]
    0    1
    1    2
    dtype: int64
    """
    read = {name: _read_column(name, values) for name, values in columns.items()}
    _check_lengths({**(tables or {}), **read})
    _check_order({**(tables or {}), **columns})
    return {name: column.reset_index(drop=True) for name, column in read.items()}


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
        Of any type.

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
    """Return one value a row, with the index if there is one."""
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
        # As objects: numpy would make text of a missing value beside texts.
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
    """Bring all ways to hold the same values to one."""
    column = column.astype(object)
    for value in column:
        if isinstance(value, (list, tuple, np.ndarray, pd.Series)):
            raise ValueError(
                f"`{name}` takes one value for each row. Received for a row:"
                f" {type(value).__name__} of shape {np.shape(value)}"
            )
    kind = pd.api.types.infer_dtype(column, skipna=True)
    # Numbers beside texts can neither be sorted nor told apart when written.
    if kind.startswith("mixed") and kind != "mixed-integer-float":
        column = column.map(str, na_action="ignore").astype(object)
    return column.infer_objects()


def _check_lengths(read: Mapping[str, Any]) -> None:
    lengths = {name: len(values) for name, values in read.items()}
    first, n_rows = next(iter(lengths.items()))
    for name, length in lengths.items():
        if length != n_rows:
            raise ValueError(
                f"`{name}` has {length} rows, and `{first}` has {n_rows}: each row"
                " needs one value of each. Were rows left out of one of them only?"
            )


def _check_order(given: Mapping[str, Any]) -> None:
    """Refuse the same index in another order: whether it counts, only users know."""
    indexed = {
        name: values.index
        for name, values in given.items()
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

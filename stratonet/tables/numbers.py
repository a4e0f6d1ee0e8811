"""Turn the columns of any frame into numbers, with NaN for missing values.

pandas holds numbers in many types: those of numpy, its own with a mask, Arrow's, and
Python's Decimal, which databases write. Each has a missing value of its own.
"""

from __future__ import annotations

import numbers
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import DTypeLike


def read_numbers(frame: Any, dtype: DTypeLike = np.float32) -> np.ndarray:
    """Turn a frame or an array of any numbers into an array of one type.

    Parameters
    ----------
    frame : pandas.DataFrame or array (n rows, n columns)
        Columns of bool, integer, float or Decimal of any type; also a masked array.
    dtype : dtype of floats
        Type of the result.

    Returns
    -------
    numpy.ndarray (n rows, n columns)
        Missing and masked values are NaN. It may share its memory with the frame.

    Raises
    ------
    ValueError
        A column holds text, dates or anything else; the message names it.

    Examples
    --------
    >>> frame = pd.DataFrame({"area": pd.array([1, None], "Int64"), "mean": [0.5, 2]})
    >>> read_numbers(frame).tolist()
    [[1.0, 0.5], [nan, 2.0]]
    """
    if isinstance(frame, np.ma.MaskedArray):
        frame = frame.astype(dtype).filled(np.nan)
    # No copy if all columns are of the same type already.
    if isinstance(frame, pd.DataFrame):
        if all(_is_numpy_number(column_dtype) for column_dtype in frame.dtypes):
            return frame.to_numpy(dtype)
    else:
        frame = np.asarray(frame)
        if _is_numpy_number(frame.dtype):
            return frame.astype(dtype, copy=False)
    columns = pd.DataFrame(frame)
    values = np.empty(columns.shape, dtype)
    for position, name in enumerate(columns):
        values[:, position] = _read_column(columns.iloc[:, position], name, dtype)
    return values


def _is_numpy_number(dtype: Any) -> bool:
    """Whether a type is one of numpy's numbers: bool, integer or float."""
    return isinstance(dtype, np.dtype) and dtype.kind in "buif"


def _read_column(column: pd.Series, name: object, dtype: DTypeLike) -> np.ndarray:
    if not pd.api.types.is_numeric_dtype(column):
        for value in column[column.notna()]:
            if not isinstance(value, (numbers.Real, Decimal)):
                raise ValueError(
                    f"The column {name} is not a feature: features are numbers."
                    f" Received: {value!r}. Leave it out, or turn it into numbers."
                )
    return column.to_numpy(dtype, na_value=np.nan)

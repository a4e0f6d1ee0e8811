"""Tables of any measurements.

Parquet and CSV files, which of their columns are features, and rows joined to one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from stratonet.naming import METADATA, metadata_columns
from stratonet.tables.counters import find_row_counters
from stratonet.tables.index import read_parquet_frame

# What CellProfiler writes beside measurements, and where in the image an object lies.
BOOKKEEPING = re.compile(
    r"([^_]+_)?"
    r"(FileName|PathName|URL|MD5Digest|Width|Height|Frame|Series|Channel|ChannelName"
    r"|Scaling|ExecutionTime|ModuleError|Group|ImageSet|ProcessingStatus|Location"
    r"|Parent|Children|Number|Metadata)(_.*)?"
    r"|.*(Location_\w+|AreaShape_(Center|BoundingBox)\w*|ImageNumber|ObjectNumber"
    r"|TableNumber)"
)


def read_plain_table(path: Path, text: str = METADATA) -> pd.DataFrame:
    """Read a Parquet or CSV file.

    Parameters
    ----------
    path : pathlib.Path
        Ends in ``.parquet``, ``.csv`` or ``.gz``.
    text : str
        Columns of a CSV file whose names hold this are kept as they are written: well
        00149 is not 149.

    Returns
    -------
    pandas.DataFrame
        ``Image_Metadata_Well`` of CellProfiler is called ``Metadata_Well``.

    Raises
    ------
    ValueError
        Another kind of file, or a damaged one.
    """
    if path.suffix not in (".parquet", ".csv", ".gz"):
        raise ValueError(
            f"{path}: tables are Parquet, CSV and SQLite files, and folders of them."
        )
    try:
        if path.suffix == ".parquet":
            frame = read_parquet_frame(path)
        else:
            names = pd.read_csv(path, nrows=0).columns
            types = {name: str for name in names if text in name}
            frame = pd.read_csv(path, dtype=types)
    except Exception as error:  # pandas and pyarrow raise what they meet
        raise ValueError(
            f"{path} cannot be read as a table ({type(error).__name__}: {error}). Is it"
            " damaged?"
        ) from None
    of_images = f"Image_{METADATA}"
    renamed = {
        name: name[len("Image_") :] for name in frame if name.startswith(of_images)
    }
    return frame.rename(columns=renamed)


def list_measurements(frame: pd.DataFrame) -> list[str]:
    """List the columns of measurements: numbers, but neither accounts nor row numbers.

    Parameters
    ----------
    frame : pandas.DataFrame
        Of CellProfiler or any other program.

    Examples
    --------
    >>> list_measurements(pd.DataFrame({"ImageNumber": [1], "Intensity_Mean": [0.5]}))
    ['Intensity_Mean']
    """
    measurements = []
    counters = find_row_counters(frame)
    for name in frame:
        is_number = pd.api.types.is_numeric_dtype(frame[name])
        is_metadata = name.startswith(METADATA)
        is_bookkeeping = name in counters or BOOKKEEPING.fullmatch(name)
        if is_number and not is_metadata and not is_bookkeeping:
            measurements.append(name)
    return measurements


def aggregate_rows(
    frame: pd.DataFrame, keys: Sequence[str], features: Sequence[str], operation: str
) -> pd.DataFrame:
    """Join the rows of each well, or what else the keys name, to one.

    Parameters
    ----------
    frame : pandas.DataFrame
        Metadata and features.
    keys : sequence of str
        Columns ``Metadata_*`` that name a row of the result.
    features : sequence of str
        Columns to aggregate.
    operation : {"mean", "median"}
        As pycytominer aggregates.

    Returns
    -------
    pandas.DataFrame
        The keys, the metadata that are the same in all rows of each, and the features.
    """
    import pycytominer

    keys, features = list(keys), list(features)
    # What CellProfiler wrote was put together column by column, which is slow to use.
    frame = frame.copy()
    values = pycytominer.aggregate(
        frame[[*keys, *features]], strata=keys, features=features, operation=operation
    )
    groups = frame[metadata_columns(frame)].groupby(keys, sort=True, dropna=False)
    counts = groups.nunique(dropna=False).max()
    same = [name for name, count in counts.items() if count == 1]
    return groups[same].first().reset_index().merge(values, on=keys)

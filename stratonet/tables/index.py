"""Restore columns that are kept in pandas' index or in the names of folders.

``frame.set_index(["Metadata_Plate", "Metadata_Well"])`` and ``partition_cols`` of
``to_parquet`` remove plates and wells from the columns; here they are put back.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pandas as pd

from stratonet.extras import name_missing_extra
from stratonet.files.urls import redact_url
from stratonet.tables.columns import FEATURE_SET

if TYPE_CHECKING:
    import pyarrow as pa

# Name of a column that pandas made from an index without a name.
UNNAMED = re.compile(r"__index_level_\d+__")
# Name of the folder of rows without a value.
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"


def keep_index(frame: pd.DataFrame) -> pd.DataFrame:
    """Turn the named levels of an index into columns.

    Parameters
    ----------
    frame : pandas.DataFrame
        Any frame.

    Returns
    -------
    pandas.DataFrame
        The levels come first, and rows are numbered from 0. If the index has no name,
        the frame itself.

    Raises
    ------
    ValueError
        A level has the same name as a column, but other values.

    Examples
    --------
    >>> frame = pd.DataFrame({"Metadata_Well": ["A01", "A02"], "Area": [1, 2]})
    >>> list(keep_index(frame.set_index("Metadata_Well")))
    ['Metadata_Well', 'Area']
    """
    named_levels = [name for name in frame.index.names if name is not None]
    if not named_levels:
        return frame
    levels = {name: frame.index.get_level_values(name) for name in named_levels}
    result = frame.reset_index(drop=True)
    for name in reversed(named_levels):
        values = pd.Series(levels[name]).reset_index(drop=True)
        if name not in result:
            result.insert(0, name, values)
        elif not result[name].astype(object).equals(values.astype(object)):
            raise ValueError(
                f"The index {name} and the column {name} hold different values. Drop"
                " one of them: frame.reset_index(drop=True) drops the index."
            )
    return result


def restore_index(table: pa.Table) -> pa.Table:
    """Restore the index of a table that pandas saved, as columns.

    Parameters
    ----------
    table : pyarrow.Table
        As it was read. An index of evenly spaced numbers is in its metadata only.

    Returns
    -------
    pyarrow.Table
        With a column for each level, and without pandas' metadata.

    Examples
    --------
    >>> import pyarrow as pa
    >>> index = pd.RangeIndex(1, 3, name="Metadata_Site")
    >>> table = pa.Table.from_pandas(pd.DataFrame({"Area": [1, 2]}, index))
    >>> restore_index(table).column_names
    ['Metadata_Site', 'Area']
    """
    import pyarrow as pa

    indices = (table.schema.pandas_metadata or {}).get("index_columns", ())
    table = table.replace_schema_metadata(None)
    for index in indices:
        if isinstance(index, dict) and index["name"] is not None:
            values = range(index["start"], index["stop"], index["step"])
            # If only some of the rows were read, the index does not fit them.
            if len(values) == len(table) and index["name"] not in table.column_names:
                table = table.add_column(0, str(index["name"]), pa.array(values))
    return table


def read_partitions(location: str | os.PathLike[str]) -> dict[str, str | None]:
    """Read the columns that are encoded in the names of a file's folders.

    Parameters
    ----------
    location : str or path
        Path or URL of a file, ``.../Metadata_Plate=P1/part-0.parquet``.

    Returns
    -------
    dict of str to str
        Values by column, as written: plate 00149 does not become 149. None for the
        folder of rows without a value.

    Examples
    --------
    >>> read_partitions("s3://lab/Metadata_Plate=00149/Metadata_Batch=b%202/0.parquet")
    {'Metadata_Plate': '00149', 'Metadata_Batch': 'b 2'}
    """
    folders = re.split(r"[/\\]", os.fspath(location))[:-1]
    columns: dict[str, str | None] = {}
    for folder in folders:
        name, separator, value = folder.partition("=")
        if separator and re.fullmatch(r"\w+", name):
            columns[name] = None if value == _NO_VALUE else unquote(value)
    return columns


def add_partitions(table: pa.Table, location: str | os.PathLike[str]) -> pa.Table:
    """Add the columns that are encoded in the names of a file's folders.

    Parameters
    ----------
    table : pyarrow.Table
        Content of the file.
    location : str or path
        Path or URL of the file.

    Returns
    -------
    pyarrow.Table
        With these columns in front, as text.

    Raises
    ------
    ValueError
        The file has such a column, but with other values.
    """
    import pyarrow as pa

    for name, value in read_partitions(location).items():
        if name not in table.column_names:
            values = pa.array([value] * len(table), pa.string())
            table = table.add_column(0, name, values)
            continue
        file_values = {str(entry) for entry in table[name].unique().to_pylist()}
        if file_values - {str(value)}:
            raise ValueError(
                f"{redact_url(os.fspath(location))}: the folder says {name} is {value},"
                f" but the file says {', '.join(sorted(file_values))}. Move the file,"
                " or drop the column."
            )
    return table


def list_profiles(folder: Path) -> list[Path]:
    """List the Parquet files of a folder of profiles from another program.

    Parameters
    ----------
    folder : pathlib.Path
        A folder such as pandas writes with ``partition_cols``.

    Returns
    -------
    list of pathlib.Path
        Empty if a file cannot be read or holds features of StratoNet, or if tables of
        CellProfiler lie beside them: such folders are read by other functions.
    """
    with name_missing_extra("Parquet", "extract", "sklearn"):
        import pyarrow as pa
        from pyarrow import parquet

    paths = []
    for path in sorted(folder.rglob("*.parquet")):
        if any(part[0] in "_." for part in path.relative_to(folder).parts):
            continue
        try:
            names = parquet.read_schema(path).names
        except (pa.ArrowInvalid, OSError):
            return []
        if FEATURE_SET in names:
            return []
        paths.append(path)
    return [] if list(folder.glob("*[Ii]mage.*")) else paths


def read_parquet_frames(paths: Sequence[Path]) -> pd.DataFrame:
    """Read Parquet files with the same columns, and concatenate their rows.

    Parameters
    ----------
    paths : sequence of pathlib.Path
        At least one.

    Returns
    -------
    pandas.DataFrame
        Rows are numbered from 0; see `read_parquet_frame`.

    Raises
    ------
    ValueError
        Two have different columns; the message names both.
    """
    frames = [read_parquet_frame(path) for path in paths]
    for path, frame in zip(paths, frames):
        differing = sorted(set(frame) ^ set(frames[0]))
        if differing:
            raise ValueError(
                f"{paths[0]} and {path} have different columns, such as {differing[0]}."
                " Give one of them."
            )
    return pd.concat(frames, ignore_index=True)


def read_parquet_frame(path: Path) -> pd.DataFrame:
    """Read a Parquet file with all its columns, including those of index and folders.

    Parameters
    ----------
    path : pathlib.Path
        Path of the file.

    Returns
    -------
    pandas.DataFrame
        Rows are numbered from 0. All numbers, including Decimals, have types of numpy;
        missing numbers are NaN.

    Raises
    ------
    pyarrow.ArrowInvalid, OSError
        It is not a Parquet file, or is damaged.
    """
    with name_missing_extra("Parquet", "extract", "sklearn"):
        import pyarrow as pa
        from pyarrow import parquet

    table = parquet.read_table(path, partitioning=None)
    table = add_partitions(restore_index(table), path)
    fields = [
        pa.field(field.name, pa.float64()) if pa.types.is_decimal(field.type) else field
        for field in table.schema
    ]
    return table.cast(pa.schema(fields)).to_pandas()

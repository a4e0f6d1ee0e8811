"""Tables of crops: pictures of the rows of a feature table, with the same keys."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import IO

import pyarrow as pa
from pyarrow import parquet

from stratonet.extraction.layouts import FEATURES
from stratonet.extraction.thumbnails import PREFIX
from stratonet.files.storage import Storage


def leave_out_crops(schema: pa.Schema) -> pa.Schema:
    """Return the columns of a unit's file without the crops.

    Examples
    --------
    >>> names = ["Metadata_Well", "features", "Crop_DNA"]
    >>> leave_out_crops(pa.schema([(name, pa.string()) for name in names])).names
    ['Metadata_Well', 'features']
    """
    return pa.schema([field for field in schema if not field.name.startswith(PREFIX)])


def fit_to_schema(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Give a table all columns of a schema, in the schema's order and types.

    Parameters
    ----------
    table : pyarrow.Table
        Some of its columns may be missing, or be empty and so have no type.
    schema : pyarrow.Schema
        The columns, and their types.

    Returns
    -------
    pyarrow.Table
    """
    tables = [schema.empty_table(), table]
    return pa.concat_tables(tables, promote_options="permissive")


def read_without_crops(file: IO[bytes]) -> pa.Table:
    """Read the file of a unit without its crops.

    Parameters
    ----------
    file : binary file
        Open for reading.
    """
    unit = parquet.ParquetFile(file)
    return unit.read(columns=leave_out_crops(unit.schema_arrow).names)


def write_crop_table(
    path: Path, schema: pa.Schema, urls: Iterable[str], storage: Storage
) -> None:
    """Write the crops of several units into one table.

    Parameters
    ----------
    path : pathlib.Path
        The file to write.
    schema : pyarrow.Schema
        Common schema of the files of all units.
    urls : iterable of str
        The files of the units, in the order of the rows to write.
    storage : Storage
        What reads the files.
    """
    crop_schema = _leave_out_features(schema)
    with parquet.ParquetWriter(path, crop_schema, compression="zstd") as writer:
        for url in urls:
            with storage.open(url) as file:
                unit = parquet.ParquetFile(file)
                names = _leave_out_features(unit.schema_arrow).names
                # Piece by piece, since a well of many objects is large.
                for number in range(unit.num_row_groups):
                    table = unit.read_row_group(number, columns=names)
                    writer.write_table(fit_to_schema(table, crop_schema))


def _leave_out_features(schema: pa.Schema) -> pa.Schema:
    return pa.schema([field for field in schema if field.name != FEATURES])

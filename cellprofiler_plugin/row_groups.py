"""Parquet files of features, read and written one row group at a time."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stratonet.tables.columns import IMAGE_NUMBER

if TYPE_CHECKING:
    import pyarrow as pa

# Key in the metadata of a Parquet file: digest of the image sets of the run.
SCREEN = b"stratonet screen"


def read_screen(path: Path) -> str | None:
    """Read which image sets the run that wrote a file was to measure.

    Parameters
    ----------
    path : pathlib.Path
        A Parquet file of the module.

    Returns
    -------
    str, optional
        A digest; empty if the file does not have one, None if it is not a Parquet file.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    """
    import pyarrow as pa
    from pyarrow import parquet

    try:
        metadata = parquet.read_metadata(path).metadata or {}
    except FileNotFoundError:
        raise
    except (OSError, pa.ArrowInvalid):
        return None
    return metadata.get(SCREEN, b"").decode()


def read_row_groups(
    paths: Sequence[Path],
    replace_paths: Callable[[str], str] | None = None,
    image_sets: Sequence[Collection[int] | None] | None = None,
) -> Iterator[pa.Table]:
    """Read row groups of Parquet files, one at a time, with the columns of all files.

    Parameters
    ----------
    paths : sequence of pathlib.Path
        At least one file.
    replace_paths : callable, optional
        Replaces paths in columns of text.
    image_sets : sequence of collection of int, or None
        For each file, the numbers of the image sets whose rows are read; None for all.

    Yields
    ------
    pyarrow.Table
        Possibly without rows.
    """
    import pyarrow as pa
    import pyarrow.compute
    from pyarrow import parquet

    schema = _unify_schemas([parquet.read_schema(path) for path in paths])
    for path, numbers in zip(paths, image_sets or [None] * len(paths)):
        file = parquet.ParquetFile(path)
        for index in range(file.num_row_groups):
            group = file.read_row_group(index)
            if numbers is not None:
                values = pa.array(
                    sorted(numbers), group.schema.field(IMAGE_NUMBER).type
                )
                group = group.filter(pa.compute.is_in(group[IMAGE_NUMBER], values))
            # Not group.column(name), which is slow with thousands of columns.
            columns = dict(zip(group.column_names, group.columns))
            cast_columns = [
                _cast_column(columns.get(field.name), field, len(group), replace_paths)
                for field in schema
            ]
            yield pa.table(cast_columns, schema=schema)


def _unify_schemas(schemas: Sequence[pa.Schema]) -> pa.Schema:
    """Make one schema for all files.

    Metadata that are numbers in one file and text in another become text, as they would
    in a single file.
    """
    import pyarrow as pa

    types: dict[str, set[pa.DataType]] = {}
    for schema in schemas:
        for field in schema:
            types.setdefault(field.name, set()).add(field.type)
    return pa.schema(
        [
            (name, column_types.pop() if len(column_types) == 1 else pa.string())
            for name, column_types in types.items()
        ]
    )


def _cast_column(
    column: pa.ChunkedArray | None,
    field: pa.Field,
    rows: int,
    replace_paths: Callable[[str], str] | None,
) -> pa.Array | pa.ChunkedArray:
    import pyarrow as pa

    if column is None:
        return pa.nulls(rows, field.type)
    is_text = field.type == pa.string()
    if column.type == field.type and not (is_text and replace_paths):
        return column
    # Not pyarrow's cast, which writes 0.5 and 1e+20 differently from Python.
    words = [None if value is None else str(value) for value in column.to_pylist()]
    if replace_paths:
        words = [None if word is None else replace_paths(word) for word in words]
    return pa.array(words, field.type)

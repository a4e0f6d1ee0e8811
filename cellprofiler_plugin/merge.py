"""What several CellProfiler processes have written, made into what one would write.

Each process has run a part of the image sets. Tables of image sets and objects (CSV,
SQLite, our Parquet files) are put one below the other. Any other file is taken from the
last part that has it, as a single process would have written over the earlier ones.
Paths of files in the folder of a part become paths in the output folder.
"""

from __future__ import annotations

import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stratonet.files.atomic import write_atomically
from stratonet.tables.columns import IMAGE_NUMBER

if TYPE_CHECKING:
    import pyarrow as pa

    # From text with paths of a part to the same with paths of the output folder.
    Move = Callable[[str], str]
    # From files of the parts to a file, with `Move`.
    Merger = Callable[[Sequence[Path], Path, Move], None]

# The column of CellProfiler's tables of relationships, which no other table has.
RELATED = "Module Number"
# Columns by number that tell one relationship from another: the module and its number,
# the relationship, and the names of the first and the second objects.
RELATIONSHIP = (0, 1, 2, 3, 6)
# Columns of a database's tables of image sets and objects, and of their relationships.
DATABASE_NUMBERS = {IMAGE_NUMBER, "image_number1"}
SQLITE_START = b"SQLite format 3\0"
# Where a CSV table has several objects, their names stand in a line above the columns.
MOST_HEADER_LINES = 2
# Characters of a line that are looked at for a header.
LONGEST_HEADER = 10**7
# A file of more bytes is no text with paths in it.
LARGE = 2**24


def merge_parts(parts: Sequence[Path], output: Path) -> None:
    """Merge the files of parts into a folder.

    Parameters
    ----------
    parts : sequence of pathlib.Path
        Their folders, in the order of the image sets. Tables stay there, other files
        are moved.
    output : pathlib.Path
        Files of the same name there are replaced.

    Raises
    ------
    RuntimeError
        A table cannot be made of the parts' tables; the message names it.
    """
    pattern = re.compile("|".join(re.escape(str(part)) for part in parts))

    def move(text: str) -> str:
        # A function: a backslash in a replacement text has a meaning of its own.
        return pattern.sub(lambda _: str(output), text)

    for name, paths in _list_files(parts).items():
        target = output / name
        target.parent.mkdir(parents=True, exist_ok=True)
        merge = find_merger(paths[0]) or _take_last
        try:
            with write_atomically(target) as unfinished:
                merge(paths, unfinished, move)
        except (RuntimeError, sqlite3.Error, ValueError) as error:
            raise RuntimeError(
                f"{name} cannot be put together from {len(parts)} parts: {error}"
            ) from error


def _list_files(parts: Sequence[Path]) -> dict[Path, list[Path]]:
    """The parts' files by their names, which are relative to the part's folder."""
    files: dict[Path, list[Path]] = {}
    for part in parts:
        for path in sorted(part.rglob("*")):
            if path.is_file():
                files.setdefault(path.relative_to(part), []).append(path)
    return files


def find_merger(path: Path) -> Merger | None:
    """Find the function that puts tables like this file one below the other.

    Parameters
    ----------
    path : pathlib.Path
        What CellProfiler has written for a part.

    Returns
    -------
    callable, optional
        Takes the parts' files, the file to write, and a function that replaces paths in
        a text. None if this is no table of image sets or objects.
    """
    if path.suffix == ".parquet":
        return _merge_parquet
    with open(path, "rb") as file:
        if file.read(len(SQLITE_START)) == SQLITE_START:
            return _merge_sqlite
    lines, _ = _read_csv_header(path)
    return _merge_csv if lines else None


def _read_csv_header(path: Path) -> tuple[int, str]:
    """How many lines the header has, and what separates cells.

    0 lines if this is none of CellProfiler's tables.
    """
    with open(path, encoding="utf-8", errors="replace") as file:
        for count in range(1, MOST_HEADER_LINES + 1):
            line = file.readline(LONGEST_HEADER).rstrip("\r\n")
            separator = "\t" if "\t" in line else ","
            cells = {cell.strip('"') for cell in line.split(separator)}
            if IMAGE_NUMBER in cells or RELATED in cells:
                return count, separator
    return 0, ""


def _merge_csv(paths: Sequence[Path], target: Path, move: Move) -> None:
    first_header: list[str] = []
    relationships: dict[tuple[str, ...], list[str]] = {}
    with open(target, "w", encoding="utf-8", newline="") as merged:
        for path in paths:
            count, separator = _read_csv_header(path)
            with open(path, encoding="utf-8", newline="") as file:
                header = [file.readline() for _ in range(count)]
                if path == paths[0]:
                    first_header = header
                    merged.writelines(header)
                for line in file:
                    if header != first_header:
                        raise RuntimeError(f"{path} has other columns than {paths[0]}.")
                    if RELATED in header[0]:
                        cells = line.split(separator)
                        key = tuple(cells[column] for column in RELATIONSHIP)
                        relationships.setdefault(key, []).append(line)
                    else:
                        merged.write(move(line))
        # A single process writes one relationship after the other, each of them with
        # all image sets.
        for lines in relationships.values():
            merged.writelines(lines)


def _merge_sqlite(paths: Sequence[Path], target: Path, move: Move) -> None:
    def move_cell(value: Any) -> Any:
        return move(value) if isinstance(value, str) else value

    shutil.copyfile(paths[0], target)
    with closing(sqlite3.connect(target, isolation_level=None)) as database:
        database.create_function("moved", 1, move_cell)
        names = database.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table'"
        ).fetchall()
        for (table,) in names:
            _merge_database_table(database, table, paths[1:])


def _merge_database_table(
    database: sqlite3.Connection, table: str, paths: Sequence[Path]
) -> None:
    """Append the rows of other parts, if they have rows of their own; replace paths."""
    info = database.execute(f'PRAGMA table_info("{table}")').fetchall()
    column_types = {name: column_type for _, name, column_type, *_ in info}
    # Tables of the experiment are the same in all parts.
    if DATABASE_NUMBERS & column_types.keys():
        for path in paths:
            database.execute("ATTACH ? AS part", [str(path)])
            database.execute(f'INSERT INTO main."{table}" SELECT * FROM part."{table}"')
            database.execute("DETACH part")
    for name, column_type in column_types.items():
        if re.search("char|text", column_type, re.IGNORECASE):
            database.execute(
                f'UPDATE "{table}" SET "{name}" = moved("{name}")'
                f' WHERE "{name}" != moved("{name}")'
            )


def _merge_parquet(paths: Sequence[Path], target: Path, move: Move) -> None:
    from pyarrow import parquet

    from stratonet.tables.trained import read_trained_wells
    from stratonet.tables.writing import write_wide_table

    # Columns of a part without rows have no type.
    filled = [path for path in paths if parquet.read_metadata(path).num_rows]
    footers = [parquet.read_metadata(path) for path in paths]
    write_wide_table(
        target,
        _read_row_groups(filled or paths[:1]),
        trained_wells=read_trained_wells(footer.metadata for footer in footers),
    )


def _read_row_groups(paths: Sequence[Path]) -> Iterator[pa.Table]:
    """Row groups of Parquet files, one at a time, with the columns of all of them."""
    import pyarrow as pa
    from pyarrow import parquet

    schema = _unify_schemas([parquet.read_schema(path) for path in paths])
    for path in paths:
        file = parquet.ParquetFile(path)
        for number in range(file.num_row_groups):
            group = file.read_row_group(number)
            # Not group.column(name): in thousands of columns each look takes long.
            columns = dict(zip(group.column_names, group.columns))
            cast = [
                _cast_column(columns.get(field.name), field, len(group))
                for field in schema
            ]
            yield pa.table(cast, schema=schema)


def _unify_schemas(schemas: Sequence[pa.Schema]) -> pa.Schema:
    """One schema for all parts.

    Metadata that are numbers in one part and text in another become text, as they would
    in a single file.
    """
    import pyarrow as pa

    types: dict[str, set[pa.DataType]] = {}
    for schema in schemas:
        for field in schema:
            types.setdefault(field.name, set()).add(field.type)
    return pa.schema(
        [
            (name, own.pop() if len(own) == 1 else pa.string())
            for name, own in types.items()
        ]
    )


def _cast_column(
    column: pa.ChunkedArray | None, field: pa.Field, rows: int
) -> pa.Array | pa.ChunkedArray:
    import pyarrow as pa

    if column is None:
        return pa.nulls(rows, field.type)
    if column.type == field.type:
        return column
    # Not pyarrow's cast, which writes 0.5 and 1e+20 in other words than Python.
    words = [None if value is None else str(value) for value in column.to_pylist()]
    return pa.array(words, field.type)


def _take_last(paths: Sequence[Path], target: Path, move: Move) -> None:
    text = _read_text(paths[-1])
    if text is None:
        shutil.move(str(paths[-1]), target)
    else:
        target.write_bytes(move(text).encode())


def _read_text(path: Path) -> str | None:
    """The content of a small text file, with its own ends of lines; else None."""
    if path.stat().st_size >= LARGE:
        return None
    try:
        return path.read_bytes().decode()
    except UnicodeDecodeError:
        return None

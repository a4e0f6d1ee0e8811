"""What several CellProfiler processes have written, each for a part of the image sets, made into what one would write.

Tables of image sets and objects (CSV, SQLite, our Parquet files) are put one below the
other. Any other file is taken from the last part that has it, as a single process would
have written over the earlier ones. Paths of files in the folder of a part become those
in the output folder.
"""

import re
import shutil
import sqlite3
from contextlib import closing

from stratonet.files.atomic import write_atomically

# Columns that only CellProfiler's tables have: those of image sets and objects, and those of their relationships.
NUMBERED, RELATED = "ImageNumber", "Module Number"
# Columns that tell one relationship from another.
RELATIONSHIP = (0, 1, 2, 3, 6)
# Columns of a database's tables of image sets and objects, and of their relationships.
IN_DATABASE = {"ImageNumber", "image_number1"}
# A larger file is no text with paths in it.
LARGE = 2**24


def merge(parts, output):
    """Merge the files of parts into a folder.

    Parameters
    ----------
    parts : list of pathlib.Path
        Their folders, in the order of the image sets. Tables stay there, other files
        are moved.
    output : pathlib.Path
        Files of the same name there are replaced.

    Raises
    ------
    RuntimeError
        A table cannot be made of the parts' tables; it is named.
    """
    having = {}
    for part in parts:
        for path in sorted(path for path in part.rglob("*") if path.is_file()):
            having.setdefault(path.relative_to(part), []).append(path)
    pattern = re.compile("|".join(re.escape(str(part)) for part in parts))
    for name, paths in having.items():
        target = output / name
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with write_atomically(target) as partial:
                (table_of(paths[0]) or _last)(
                    paths,
                    partial,
                    lambda text: pattern.sub(lambda _: str(output), text),
                )
        except (RuntimeError, sqlite3.Error, ValueError) as error:
            raise RuntimeError(
                f"{name} cannot be put together from {len(parts)} parts: {error}"
            ) from error


def table_of(path):
    """The function that puts tables like this file one below the other.

    None if it is no such table.
    """
    if path.suffix == ".parquet":
        return _parquet
    with open(path, "rb") as file:
        if file.read(16) == b"SQLite format 3\0":
            return _sqlite
    return _csv if _header(path)[0] else None


def _header(path):
    """How many lines it has, and what separates their cells.

    0 if this is none of CellProfiler's tables.
    """
    with open(path, encoding="utf-8", errors="replace") as file:
        for count in (
            1,
            2,
        ):  # where a table has several objects, their names stand above
            line = file.readline(10**7).rstrip("\r\n")
            separator = "\t" if "\t" in line else ","
            if {NUMBERED, RELATED} & {
                cell.strip('"') for cell in line.split(separator)
            }:
                return count, separator
    return 0, ""


def _csv(paths, target, moved):
    lines_of = {}
    with open(target, "w", encoding="utf-8", newline="") as merged:
        for path in paths:
            count, separator = _header(path)
            with open(path, encoding="utf-8", newline="") as file:
                header = [file.readline() for _ in range(count)]
                if path == paths[0]:
                    first = header
                    merged.writelines(first)
                for line in file:
                    if header != first:
                        raise RuntimeError(f"{path} has other columns than {paths[0]}.")
                    if (
                        RELATED in header[0]
                    ):  # one relationship after the other, each with all image sets
                        cells = line.split(separator)
                        lines_of.setdefault(
                            tuple(cells[column] for column in RELATIONSHIP), []
                        ).append(line)
                    else:
                        merged.write(moved(line))
        for lines in lines_of.values():
            merged.writelines(lines)


def _sqlite(paths, target, moved):
    shutil.copyfile(paths[0], target)
    with closing(sqlite3.connect(target, isolation_level=None)) as database:
        database.create_function(
            "moved", 1, lambda value: moved(value) if isinstance(value, str) else value
        )
        tables = [
            name
            for (name,) in database.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table'"
            )
        ]
        for table in tables:
            columns = {
                name: kind
                for _, name, kind, *_ in database.execute(
                    f'PRAGMA table_info("{table}")'
                )
            }
            if IN_DATABASE & columns.keys():
                for path in paths[1:]:
                    database.execute("ATTACH ? AS part", [str(path)])
                    database.execute(
                        f'INSERT INTO main."{table}" SELECT * FROM part."{table}"'
                    )
                    database.execute("DETACH part")
            for name, kind in columns.items():
                if re.search("char|text", kind, re.IGNORECASE):
                    changed = (
                        f'"{name}" = moved("{name}") WHERE "{name}" != moved("{name}")'
                    )
                    database.execute(f'UPDATE "{table}" SET {changed}')


def _parquet(paths, target, moved):
    import pyarrow as pa
    from pyarrow import parquet

    filled = [path for path in paths if parquet.read_metadata(path).num_rows] or paths[
        :1
    ]
    # Metadata that is a number in one part and text in another is text in all of them, as in a single file.
    types = {}
    for path in filled:
        for field in parquet.read_schema(path):
            types.setdefault(field.name, set()).add(field.type)
    schema = pa.schema(
        [
            (name, kinds.pop() if len(kinds) == 1 else pa.string())
            for name, kinds in types.items()
        ]
    )
    with parquet.ParquetWriter(target, schema, compression="zstd") as writer:
        for path in filled:
            file = parquet.ParquetFile(path)
            for number in range(file.num_row_groups):
                group = file.read_row_group(number)
                there = dict(zip(group.column_names, group.columns))
                columns = [
                    there.get(field.name, pa.nulls(len(group), field.type))
                    for field in schema
                ]
                for position, field in enumerate(schema):
                    if columns[position].type != field.type:
                        words = [
                            None if value is None else str(value)
                            for value in columns[position].to_pylist()
                        ]
                        columns[position] = pa.array(words, field.type)
                writer.write_table(pa.table(columns, schema=schema))


def _last(paths, target, moved):
    try:
        text = (
            paths[-1].read_bytes().decode()
            if paths[-1].stat().st_size < LARGE
            else None
        )
    except UnicodeDecodeError:
        text = None
    if text is None:
        shutil.move(str(paths[-1]), target)
    else:
        target.write_bytes(moved(text).encode())

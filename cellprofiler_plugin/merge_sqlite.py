"""Merge the SQLite databases of the parts of a run into one."""

from __future__ import annotations

import re
import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from cellprofiler_plugin.merge_csv import PathReplacer, has_image_numbers

START = b"SQLite format 3\0"
# In these tables each run that wrote to the database has its own number.
EXPERIMENTS = ("Experiment", "Experiment_Properties")
EXPERIMENT_ID = "experiment_id"


def merge_sqlite(
    paths: Sequence[Path], target: Path, replace_paths: PathReplacer
) -> None:
    """Concatenate the tables of several databases.

    Parameters
    ----------
    paths : sequence of pathlib.Path
        The databases, in the order of the image sets.
    target : pathlib.Path
        The database to write.
    replace_paths : callable
        Replaces paths in a text.

    Raises
    ------
    sqlite3.Error
        The databases do not have the same tables.
    """

    def replace_in_cell(value: Any) -> Any:
        return replace_paths(value) if isinstance(value, str) else value

    shutil.copyfile(paths[0], target)
    with closing(sqlite3.connect(target, isolation_level=None)) as database:
        database.create_function("replace_paths", 1, replace_in_cell)
        for table in list_database_tables(database):
            _merge_table(database, table, paths[1:])


def is_sqlite(path: Path) -> bool:
    """Whether a file is an SQLite database, whatever its name.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    """
    with open(path, "rb") as file:
        return file.read(len(START)) == START


def list_database_tables(
    database: sqlite3.Connection, schema: str = "main"
) -> list[str]:
    """List the tables of a database, without SQLite's own.

    Parameters
    ----------
    database : sqlite3.Connection
        An open connection.
    schema : str
        Name of one of the databases attached to it.
    """
    cursor = database.execute(
        f"SELECT name FROM {schema}.sqlite_master WHERE type = 'table'"
        " AND name NOT LIKE 'sqlite_%'"
    )
    return [name for (name,) in cursor.fetchall()]


def _merge_table(
    database: sqlite3.Connection, table: str, paths: Sequence[Path]
) -> None:
    """Append the rows of the other parts, unless all have the same; replace paths."""
    info = database.execute(f'PRAGMA table_info("{table}")').fetchall()
    column_types = {name: column_type for _, name, column_type, *_ in info}
    # Tables of the experiment are the same in all parts.
    if has_image_numbers(list(column_types)):
        for path in paths:
            database.execute("ATTACH ? AS part", [str(path)])
            database.execute(f'INSERT INTO main."{table}" SELECT * FROM part."{table}"')
            database.execute("DETACH part")
    for name, column_type in column_types.items():
        if not column_type or re.search("char|text", column_type, re.IGNORECASE):
            database.execute(
                f'UPDATE "{table}" SET "{name}" = replace_paths("{name}")'
                f' WHERE "{name}" != replace_paths("{name}")'
            )


def keep_other_tables(path: Path, earlier: Path) -> None:
    """Copy from an earlier database what a run of CellProfiler would leave in it.

    CellProfiler replaces the tables that it writes, keeps the others, and adds its run
    to the experiments.

    Parameters
    ----------
    path : pathlib.Path
        The database of the run.
    earlier : pathlib.Path
        The database that it will replace.
    """
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("ATTACH ? AS earlier", [str(earlier)])
        _number_experiments(database)
        own_names = {
            name for (name,) in database.execute("SELECT name FROM sqlite_master")
        }
        # Tables first, because views and indices refer to them.
        statements = database.execute(
            "SELECT type, name, sql FROM earlier.sqlite_master WHERE sql IS NOT NULL"
            " AND name NOT LIKE 'sqlite_%' ORDER BY type != 'table'"
        ).fetchall()
        for object_type, name, statement in statements:
            if name in own_names:
                continue
            database.execute(statement)
            if object_type == "table":
                database.execute(
                    f'INSERT INTO main."{name}" SELECT * FROM earlier."{name}"'
                )


def _number_experiments(database: sqlite3.Connection) -> None:
    """Number the run's experiments after the earlier ones, and add the earlier ones."""
    shared_tables = set(list_database_tables(database)) & set(
        list_database_tables(database, "earlier")
    )
    if not shared_tables.issuperset(EXPERIMENTS):
        return
    (last,) = database.execute(
        f"SELECT MAX({EXPERIMENT_ID}) FROM earlier.{EXPERIMENTS[0]}"
    ).fetchone()
    for table in EXPERIMENTS:
        database.execute(
            f"UPDATE main.{table} SET {EXPERIMENT_ID} = {EXPERIMENT_ID} + {last or 0}"
        )
        database.execute(f"INSERT INTO main.{table} SELECT * FROM earlier.{table}")

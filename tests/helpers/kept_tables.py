"""Tables of CellProfiler for environments in which it does not run.

`joined_run` makes them; ``joined_tables/`` keeps them.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

import pandas as pd

KEPT = Path(__file__).with_name("joined_tables")
NAMES = ("Image", "Nuclei", "Cells", "Cytoplasm")
DATABASE, DUMP = "DefaultDB.db", "DefaultDB.sql"
# What differs from run to run, and is no key.
VARYING = "ExecutionTime|PathName|URL"


def keep_tables(output):
    """Keep the tables of a run: as they are, but for the folder of its images."""
    KEPT.mkdir(exist_ok=True)
    texts = {f"{name}.csv": (output / f"{name}.csv").read_text() for name in NAMES}
    texts[DUMP] = _dump_database(output / DATABASE)
    for name, text in texts.items():
        (KEPT / name).write_text(text.replace(str(output.parent), "/images"))


def _dump_database(path):
    # The other tables of the database hold the pipeline, and nothing to be joined.
    beginnings = []
    for name in NAMES:
        beginnings += [f"CREATE TABLE Per_{name} ", f'INSERT INTO "Per_{name}"']
    with closing(sqlite3.connect(path)) as database:
        statements = list(database.iterdump())
    kept = [text for text in statements if text.startswith(tuple(beginnings))]
    return "\n".join(kept) + "\n"


def restore_database(path):
    """Make the database anew."""
    with closing(sqlite3.connect(path)) as database:
        database.executescript((KEPT / DUMP).read_text())


def read_csv_tables(folder):
    """Read ``Image.csv`` and the others, without what differs from run to run."""
    return [_drop_varying(pd.read_csv(folder / f"{name}.csv")) for name in NAMES]


def read_database_tables(path):
    """Read the same tables of a database."""
    with closing(sqlite3.connect(path)) as database:
        tables = [pd.read_sql(f"SELECT * FROM Per_{name}", database) for name in NAMES]
    return [_drop_varying(table) for table in tables]


def _drop_varying(table):
    return table.loc[:, ~table.columns.str.contains(VARYING)]

"""Tables that CellProfiler writes: folders of CSV files, and SQLite databases."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from stratonet.messages import shorten_list
from stratonet.naming import PREFIX, metadata_columns
from stratonet.tables.columns import IMAGE_NUMBER, PLATE, WELL
from stratonet.tables.plain import aggregate_rows, list_measurements, read_plain_table

# The table of image sets; all others are of objects.
IMAGES = "Image"
# The one table of all objects that a database may have.
ALL_OBJECTS = "Object"


@dataclass(frozen=True)
class Wells:
    """Measurements of CellProfiler by well.

    Attributes
    ----------
    frame : pandas.DataFrame
        One row per well: ``Metadata_*``, and features.
    features : list of str
        The columns of features.
    notes : list of str
        What was made of objects.
    """

    frame: pd.DataFrame
    features: list[str]
    notes: list[str]


def read_csv_folder(folder: Path) -> dict[str, pd.DataFrame]:
    """Read the tables of CellProfiler's ExportToSpreadsheet.

    Parameters
    ----------
    folder : pathlib.Path
        With ``Image.csv``, ``Nuclei.csv``, ..., perhaps all with the same prefix.

    Returns
    -------
    dict of str to pandas.DataFrame
        By their names without the prefix, ``Image`` first.

    Raises
    ------
    ValueError
        There is not one table of images, or a table is damaged.
    """
    images = sorted(folder.glob(f"*{IMAGES}.csv"))
    if len(images) != 1:
        raise ValueError(
            f"{folder} holds neither tables of features (Parquet) nor one Image.csv of"
            " CellProfiler. Received:"
            f" {shorten_list(sorted(path.name for path in folder.iterdir()))}"
        )
    prefix = images[0].name[: -len(f"{IMAGES}.csv")]
    paths = [
        path for path in sorted(folder.glob(f"{prefix}*.csv")) if path != images[0]
    ]
    tables = {}
    for path in (*images, *paths):
        tables[path.stem[len(prefix) :]] = read_plain_table(path)
    return _keep_numbered(tables)


def read_sqlite(path: Path) -> dict[str, pd.DataFrame]:
    """Read the tables of CellProfiler's ExportToDatabase.

    Parameters
    ----------
    path : pathlib.Path
        An SQLite database.

    Returns
    -------
    dict of str to pandas.DataFrame
        By what stands behind ``Per_`` in their names: ``Image``, ``Nuclei``, ...

    Raises
    ------
    ValueError
        No database, or none with a table of images.
    """
    tables = {}
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        names = _list_database_tables(path, database)
        for name in names:
            if re.search(r"Per_\w+$", name):
                table = pd.read_sql_query(f'select * from "{name}"', database)
                short = name.rpartition("Per_")[2]
                # A database says Image_Metadata_Well where CSV files say Metadata_Well.
                tables[short] = table.rename(
                    columns=lambda column: column.removeprefix("Image_")
                )
    if IMAGES not in tables:
        raise ValueError(
            f"{path} has no table Per_Image. Received: {shorten_list(names)}"
        )
    return _keep_numbered(tables)


def aggregate_wells(path: Path, tables: Mapping[str, pd.DataFrame]) -> Wells:
    """Make wells of the tables of images and of objects.

    Parameters
    ----------
    path : pathlib.Path
        What errors name.
    tables : mapping of str to pandas.DataFrame
        From `read_csv_folder` or `read_sqlite`.

    Returns
    -------
    Wells
        The mean of images and the median of objects. Features of StratoNet among them
        are left out: their Parquet file holds them whole.

    Raises
    ------
    ValueError
        The table of images does not name wells.
    """
    images = tables[IMAGES]
    if WELL not in images:
        raise ValueError(
            f"{path}: the image table has no {WELL}. Received:"
            f" {shorten_list(metadata_columns(images)) or 'no Metadata_*'}"
        )
    keys = [key for key in (PLATE, WELL) if key in images]
    metadata = images[[IMAGE_NUMBER, *metadata_columns(images)]]
    wells = _aggregate_images(images, keys)
    notes = []
    for name, objects in tables.items():
        if name != IMAGES:
            values = _aggregate_objects(name, objects, metadata, keys)
            wells = wells.merge(values, on=keys, how="left")
            notes.append(f"{len(objects):,} {name}: their median by well.")
    ours = [name for name in wells if f"{PREFIX}_" in name]
    if ours:
        notes.append(
            f"{len(ours):,} features of StratoNet beside them: give their Parquet file"
            " as another table."
        )
    frame = wells.drop(columns=ours)
    features = [name for name in frame if name not in metadata_columns(wells)]
    return Wells(frame, features, notes)


def _aggregate_images(images: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    # Objects have measurements of the same names.
    names = {name: f"{IMAGES}_{name}" for name in list_measurements(images)}
    return aggregate_rows(
        images.rename(columns=names), keys, list(names.values()), "mean"
    )


def _aggregate_objects(
    name: str, objects: pd.DataFrame, metadata: pd.DataFrame, keys: list[str]
) -> pd.DataFrame:
    # A database has all objects in one table, whose columns begin with their names.
    prefix = "" if name == ALL_OBJECTS else f"{name}_"
    renamed = {}
    for measurement in list_measurements(objects):
        renamed[measurement] = prefix + measurement.removeprefix(prefix)
    named = objects.rename(columns=renamed).merge(metadata, on=IMAGE_NUMBER)
    features = list_measurements(objects.rename(columns=renamed))
    values = aggregate_rows(named, keys, features, "median")
    return values[[*keys, *features]]


def _keep_numbered(tables: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Leave out tables of the experiment and of relationships."""
    return {name: table for name, table in tables.items() if IMAGE_NUMBER in table}


def _list_database_tables(path: Path, database: sqlite3.Connection) -> list[str]:
    query = "select name from sqlite_master where type = 'table'"
    try:
        return [name for (name,) in database.execute(query)]
    except sqlite3.DatabaseError as error:
        raise ValueError(f"{path} is not an SQLite database: {error}") from None

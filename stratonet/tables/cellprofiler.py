"""Tables that CellProfiler writes: folders of CSV files, and SQLite databases."""

import re
import sqlite3
from contextlib import closing

import pandas as pd

from stratonet.messages import shorten_list
from stratonet.naming import PREFIX, metadata_columns
from stratonet.tables.columns import IMAGE_NUMBER, PLATE, WELL
from stratonet.tables.plain import aggregate_rows, list_measurements, read_plain_table


def read_csv_folder(folder):
    """Tables of CellProfiler by their name, ``Image`` first."""
    images = sorted(folder.glob("*Image.csv"))
    if len(images) != 1:
        raise ValueError(
            f"{folder} holds neither tables of features (Parquet) nor one Image.csv of"
            " CellProfiler. Received:"
            f" {shorten_list(sorted(path.name for path in folder.iterdir()))}"
        )
    prefix = images[0].name[: -len("Image.csv")]
    others = [
        path for path in sorted(folder.glob(f"{prefix}*.csv")) if path != images[0]
    ]
    tables = {
        path.stem[len(prefix) :]: read_plain_table(path) for path in [*images, *others]
    }
    return {name: table for name, table in tables.items() if IMAGE_NUMBER in table}


def read_sqlite(path):
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        try:
            names = [
                name
                for (name,) in database.execute(
                    "select name from sqlite_master where type = 'table'"
                )
            ]
        except sqlite3.DatabaseError as error:
            raise ValueError(f"{path} is not an SQLite database: {error}") from None
        wanted = {
            name.rpartition("Per_")[2]: name
            for name in names
            if re.search(r"Per_\w+$", name)
        }
        tables = {
            short: pd.read_sql_query(f'select * from "{name}"', database)
            for short, name in wanted.items()
        }
    tables = {
        name: table.rename(columns=lambda column: column.removeprefix("Image_"))
        for name, table in tables.items()
    }
    if "Image" not in tables:
        raise ValueError(
            f"{path} has no table Per_Image. Received: {shorten_list(names)}"
        )
    return {name: table for name, table in tables.items() if IMAGE_NUMBER in table}


def aggregate_wells(table, path, tables):
    """Wells from the tables of images and of objects."""
    images = tables.pop("Image")
    metadata = images[[IMAGE_NUMBER, *metadata_columns(images)]]
    if WELL not in images:
        raise ValueError(
            f"{path}: the image table has no {WELL}. Received:"
            f" {shorten_list(metadata_columns(images)) or 'no Metadata_*'}"
        )
    keys = [key for key in (PLATE, WELL) if key in images]
    names = list_measurements(images)
    wells = aggregate_rows(
        images.rename(columns={name: f"Image_{name}" for name in names}),
        keys,
        [f"Image_{name}" for name in names],
        "mean",
    )
    for kind, objects in tables.items():
        # A database has all objects in one table, whose columns begin with their names.
        begin = "" if kind == "Object" else f"{kind}_"
        objects = objects.rename(
            columns={
                name: begin + name.removeprefix(begin)
                for name in list_measurements(objects)
            }
        )
        names = list_measurements(objects)
        of_wells = aggregate_rows(
            objects.merge(metadata, on=IMAGE_NUMBER), keys, names, "median"
        )
        wells = wells.merge(of_wells[[*keys, *names]], on=keys, how="left")
        table.notes.append(f"{len(objects):,} {kind}: their median by well.")
    ours = [name for name in wells if f"{PREFIX}_" in name]
    if ours:
        table.notes.append(
            f"{len(ours):,} features of StratoNet beside them: give their Parquet file"
            " as another table."
        )
    table.frame = wells.drop(columns=ours)
    table.features = [
        name for name in table.frame if name not in metadata_columns(wells)
    ]

"""Read the tables that CellProfiler writes: folders of CSV files, SQLite databases."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from stratonet.files.storage import Storage
from stratonet.messages import shorten_list
from stratonet.naming import PREFIX, metadata_columns
from stratonet.tables.columns import IMAGE_NUMBER, OBJECT_NUMBER, PLATE, WELL
from stratonet.tables.csvfiles import has_two_headers
from stratonet.tables.folders import (
    list_image_tables,
    list_object_tables,
    list_other_tables,
)
from stratonet.tables.keys import (
    check_names,
    check_plates,
    check_unique,
    drop_unnamed,
    write_texts,
)
from stratonet.tables.plain import (
    aggregate_rows,
    list_measurements,
    note_unused_columns,
    read_plain_table,
)

# The table of image sets; all other tables are of objects.
IMAGES = "Image"
# A database may have a single table of all objects, which is called so.
ALL_OBJECTS = "Object"


@dataclass(frozen=True)
class Tables:
    """The tables of one experiment, as CellProfiler wrote them.

    Attributes
    ----------
    images : pandas.DataFrame
        The table of image sets.
    objects : dict of str to pandas.DataFrame
        The tables of objects, by name. The names of measurements begin with the name
        of the objects: ``Nuclei_AreaShape_Area``.
    source : str
        Name of the table of image sets in error messages.
    notes : list of str
        Sentences about tables that were not used.
    """

    images: pd.DataFrame
    objects: dict[str, pd.DataFrame]
    source: str
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Wells:
    """Measurements of CellProfiler by well.

    Attributes
    ----------
    frame : pandas.DataFrame
        One row per well, with ``Metadata_*`` and features.
    features : list of str
        The columns of features.
    notes : list of str
        Sentences about how objects were aggregated, and what was not used.
    losses : list of str
        Sentences about rows without a partner when tables were joined.
    """

    frame: pd.DataFrame
    features: list[str]
    notes: list[str]
    losses: list[str]


def read_csv_folder(path: Path) -> Tables:
    """Read the tables of CellProfiler's ExportToSpreadsheet.

    Parameters
    ----------
    path : pathlib.Path
        A folder with ``Image.csv``, ``Nuclei.csv``, ..., perhaps all with the same
        prefix; or its ``Image.csv``.

    Raises
    ------
    ValueError
        There is no table of images, or more than one, or a table is damaged.
    """
    images = _find_image_table(path) if path.is_dir() else path
    objects, unused = {}, [other.name for other in list_other_tables(images)]
    for name, table in list_object_tables(images).items():
        frame = read_plain_table(table)
        if IMAGE_NUMBER not in frame:
            unused.append(f"{table.name} (no {IMAGE_NUMBER})")
        elif has_two_headers(Storage().read(table), str(table)):
            objects[name] = frame
        else:
            objects[name] = _name_measurements(name, frame)
    notes = _describe_unused(unused)
    return Tables(read_plain_table(images), objects, str(images), notes)


def _find_image_table(folder: Path) -> Path:
    images = list_image_tables(folder)
    if len(images) == 1:
        return images[0]
    if images:
        raise ValueError(
            f"{folder} holds several experiments of CellProfiler:"
            f" {shorten_list([path.name for path in images], most=5)}. Give one of"
            f" them, such as {images[0]}; the tables of its objects are read with it."
        )
    deeper_folders = sorted(path.parent for path in folder.rglob(f"*{IMAGES}.csv"))
    hint = f" Did you mean {deeper_folders[0]}?" if deeper_folders else ""
    names = sorted(path.name for path in folder.iterdir())
    raise ValueError(
        f"{folder} holds neither feature tables (Parquet) nor an Image.csv of"
        f" CellProfiler. Received: {shorten_list(names)}.{hint}"
    )


def _name_measurements(name: str, objects: pd.DataFrame) -> pd.DataFrame:
    """Prefix the names of measurements with the name of the objects."""
    prefix = f"{name}_"
    renamed = {}
    for measurement in list_measurements(objects):
        renamed[measurement] = prefix + measurement.removeprefix(prefix)
    return objects.rename(columns=renamed)


def _describe_unused(tables: Sequence[str]) -> list[str]:
    if not tables:
        return []
    words = "1 table was" if len(tables) == 1 else f"{len(tables)} tables were"
    return [f"{words} not used: {shorten_list(tables, most=5)}."]


def read_sqlite(path: Path) -> Tables:
    """Read the tables of CellProfiler's ExportToDatabase.

    Parameters
    ----------
    path : pathlib.Path
        An SQLite database.

    Raises
    ------
    ValueError
        The file is no database, or it has no table of images or several.
    """
    tables, unused = {}, []
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        names = _list_database_tables(path, database)
        images = _find_database_images(path, names)
        # Per_Image and Per_Nuclei of one experiment have the same prefix.
        prefix = images[: -len(IMAGES)]
        for name in names:
            if not name.startswith(prefix):
                unused.append(name)
                continue
            table = pd.read_sql_query(f'select * from "{name}"', database)
            if IMAGE_NUMBER in table:
                tables[name[len(prefix) :]] = table
            else:
                unused.append(f"{name} (no {IMAGE_NUMBER})")
    # Databases have Image_Metadata_Well where CSV files have Metadata_Well.
    image_table = tables.pop(IMAGES)
    image_table.columns = [name.removeprefix(f"{IMAGES}_") for name in image_table]
    objects = {}
    for name, table in tables.items():
        # In a single table of all objects, names of columns begin with the objects.
        has_all_objects = name == ALL_OBJECTS
        objects[name] = table if has_all_objects else _name_measurements(name, table)
    return Tables(image_table, objects, f"{path} ({images})", _describe_unused(unused))


def _find_database_images(path: Path, names: Sequence[str]) -> str:
    """Find the one table of image sets."""
    images = [name for name in names if re.search(rf"(^|_)Per_{IMAGES}$", name)]
    if not images:
        raise ValueError(
            f"{path} has no table Per_Image. Received: {shorten_list(names)}"
        )
    if len(images) > 1:
        raise ValueError(
            f"{path} holds several experiments of CellProfiler:"
            f" {shorten_list(images, most=5)}. Give a database of one experiment."
        )
    return images[0]


def _list_database_tables(path: Path, database: sqlite3.Connection) -> list[str]:
    query = "select name from sqlite_master where type = 'table'"
    try:
        return [name for (name,) in database.execute(query)]
    except sqlite3.DatabaseError as error:
        raise ValueError(f"{path} is not an SQLite database: {error}") from None


def aggregate_wells(tables: Tables) -> Wells:
    """Aggregate the tables of images and of objects to wells.

    Parameters
    ----------
    tables : Tables
        From `read_csv_folder` or `read_sqlite`.

    Returns
    -------
    Wells
        The mean of images and the median of objects. StratoNet's features among them
        are left out: their Parquet file has them all.

    Raises
    ------
    ValueError
        The table of images does not name wells, or two image sets or two objects have
        the same number.
    """
    images, notes = _name_wells(tables)
    keys = [key for key in (PLATE, WELL) if key in images]
    wells = _aggregate_images(images, keys)
    notes += [*tables.notes, *note_unused_columns(images, list_measurements(images))]
    losses: list[str] = []
    if tables.objects:
        numbers = _number_images(tables, images)
        for name, objects in tables.objects.items():
            _check_object_numbers(name, objects, tables.source)
            features = list_measurements(objects)
            _check_new_features(name, features, list(wells), tables.source)
            values, object_losses = _aggregate_objects(objects, features, numbers, keys)
            wells = wells.merge(values, on=keys, how="left")
            notes.append(f"{len(objects):,} {name}: their median by well.")
            unused = note_unused_columns(objects, features)
            notes += [f"{name}: {text}" for text in unused]
            losses += [f"{name}: {text}" for text in object_losses]
    return _drop_stratonet_features(wells, notes, losses)


def _name_wells(tables: Tables) -> tuple[pd.DataFrame, list[str]]:
    """Return the image sets that have a well, and notes on those left out."""
    images = tables.images
    if WELL not in images:
        raise ValueError(
            f"{tables.source}: the image table has no {WELL}. Received:"
            f" {shorten_list(metadata_columns(images)) or 'no Metadata_*'}"
        )
    images, notes = drop_unnamed(images, tables.source)
    check_names(images, tables.source)
    check_plates(images, tables.source)
    return images, notes


def _number_images(tables: Tables, images: pd.DataFrame) -> pd.DataFrame:
    """Return number, plate and well of image sets, to find the wells of objects."""
    names = ", ".join(tables.objects)
    if IMAGE_NUMBER not in images:
        raise ValueError(
            f"{tables.source} has no {IMAGE_NUMBER}, which links {names} to image sets."
            f" Received: {shorten_list(list(images), most=5)}"
        )
    # Check all image sets: those without a well have numbers, too.
    try:
        check_unique(tables.images, [IMAGE_NUMBER], tables.source)
    except ValueError as error:
        raise ValueError(
            f"{error} So it is not clear to which of them {names} belong. Give the"
            " output of one run of CellProfiler at a time."
        ) from None
    numbers = images[[key for key in (IMAGE_NUMBER, PLATE, WELL) if key in images]]
    return numbers.assign(**{IMAGE_NUMBER: _read_numbers(images[IMAGE_NUMBER])})


def _read_numbers(values: pd.Series) -> pd.Series:
    return pd.to_numeric(values, errors="coerce").astype("Float64")


def _check_object_numbers(name: str, objects: pd.DataFrame, source: str) -> None:
    """Refuse a table in which two objects of an image set have the same number."""
    keys = [IMAGE_NUMBER, OBJECT_NUMBER]
    # A quick check of the raw numbers first: there may be millions.
    if OBJECT_NUMBER in objects and objects.duplicated(keys).any():
        check_unique(objects, keys, f"{name} (beside {source})")


def _check_new_features(
    name: str, features: Sequence[str], existing_columns: Sequence[str], source: str
) -> None:
    repeated = sorted(set(features).intersection(existing_columns))
    if repeated:
        raise ValueError(
            f"{name} (beside {source}) has {shorten_list(repeated, most=3)}, which"
            " another table has, too. Remove one of them."
        )


def _aggregate_images(images: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    # Tables of objects have measurements of the same names.
    names = {name: f"{IMAGES}_{name}" for name in list_measurements(images)}
    return aggregate_rows(
        images.rename(columns=names), keys, list(names.values()), "mean"
    )


def _aggregate_objects(
    objects: pd.DataFrame, features: list[str], numbers: pd.DataFrame, keys: list[str]
) -> tuple[pd.DataFrame, list[str]]:
    """Return the median of each well, and sentences on rows without a partner."""
    rows = objects[[IMAGE_NUMBER, *features]].copy()
    rows[IMAGE_NUMBER] = _read_numbers(rows[IMAGE_NUMBER])
    # Two missing numbers do not match each other.
    numbered_rows = rows.dropna(subset=[IMAGE_NUMBER])
    joined = numbered_rows.merge(numbers.dropna(subset=[IMAGE_NUMBER]), on=IMAGE_NUMBER)
    losses = []
    is_unmatched = ~rows[IMAGE_NUMBER].isin(joined[IMAGE_NUMBER])
    if is_unmatched.any():
        (example,) = write_texts(objects.loc[[is_unmatched.idxmax()], IMAGE_NUMBER])
        losses.append(
            f"{is_unmatched.sum():,} of {len(rows):,} rows belong to no image set that"
            f" has a well, such as {IMAGE_NUMBER} {example}, and are left out."
        )
    if joined.empty or not features:
        return pd.DataFrame(columns=[*keys, *features], dtype=object), losses
    values = aggregate_rows(joined, keys, features, "median")
    return values[[*keys, *features]], losses


def _drop_stratonet_features(
    wells: pd.DataFrame, notes: list[str], losses: list[str]
) -> Wells:
    stratonet_features = [name for name in wells if f"{PREFIX}_" in name]
    if stratonet_features:
        notes.append(
            f"{len(stratonet_features):,} features of StratoNet were not used: give"
            " their Parquet file as another table."
        )
    frame = wells.drop(columns=stratonet_features)
    features = [name for name in frame if name not in metadata_columns(wells)]
    return Wells(frame, features, notes, losses)

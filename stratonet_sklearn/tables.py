"""Feature tables of StratoNet, of CellProfiler and of others, and the rows that they share."""

import re
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pycytominer
from pyarrow import parquet

from stratonet.extraction.loaddata import listed
from stratonet.extraction.profiles import feature_columns, feature_parts, metadata_columns, read_features
from stratonet.naming import FEATURE_SET, PREFIX

BATCH = "Metadata_Batch"
PLATE, WELL, SITE, OBJECT = KEYS = ("Metadata_Plate", "Metadata_Well", "Metadata_Site", "Metadata_ObjectNumber")
IMAGE = "ImageNumber"
# Share of rows in which a feature may be missing; pycytominer's `drop_na_columns` has the same.
MOST_MISSING = 0.05
# What CellProfiler writes beside measurements, and where in the image an object lies.
BOOKKEEPING = re.compile(
    r"([^_]+_)?(FileName|PathName|URL|MD5Digest|Width|Height|Frame|Series|Channel|ChannelName|Scaling|ExecutionTime|"
    r"ModuleError|Group|ImageSet|ProcessingStatus|Location|Parent|Children|Number|Metadata)(_.*)?|"
    r".*(Location_\w+|AreaShape_(Center|BoundingBox)\w*|ImageNumber|ObjectNumber|TableNumber)"
)


@dataclass
class FeatureTable:
    """Features of wells, image sets or objects.

    Attributes
    ----------
    name : str
    source : str
        Where it was read.
    frame : pandas.DataFrame
        ``Metadata_*``, and features without NaN.
    features : list of str
        The columns of features.
    feature_set_id : str
        Of StratoNet's features, else ``""``.
    notes : list of str
        What was left out, and what was made of objects.
    resources : pandas.DataFrame, optional
        Time and resources of the extraction.
    """

    name: str
    source: str
    frame: pd.DataFrame
    features: list
    feature_set_id: str = ""
    notes: list = field(default_factory=list)
    resources: pd.DataFrame = None


def read_table(source, name=None):
    """Read a table of features.

    Parameters
    ----------
    source : str or path
        What ``stratonet extract`` or the plug-in wrote (a folder or a Parquet file); any other Parquet or CSV file with
        ``Metadata_Well`` and features; a folder of CellProfiler's ``Image.csv``, ``Nuclei.csv``, ...; or the SQLite
        database (``.db``, ``.sqlite``) of CellProfiler's ExportToDatabase.
    name : str, optional
        Default: that of the file or folder.

    Returns
    -------
    FeatureTable
        Measurements of CellProfiler by well: the median of objects, the mean of images. Rows and features with NaN are
        left out, and ``notes`` counts them.

    Raises
    ------
    FileNotFoundError, ValueError
        There is no such table, it is damaged, or lacks ``Metadata_Well`` or features.
    """
    path = Path(source)
    table = FeatureTable(name or path.stem, str(source), None, [])
    if str(source).startswith("s3://") or _from_extract(path):
        table.frame = read_features(source)
        table.features = feature_columns(table.frame)
        runs = sorted((path / "_runs").glob("*.csv")) if path.is_dir() else []
        table.resources = pd.concat(map(pd.read_csv, runs)) if runs else None
    elif not path.exists():
        raise FileNotFoundError(f"{source} is not there: give a table of features, or a folder of them.")
    elif path.is_dir():
        _from_cellprofiler(table, path, _read_csvs(path))
    elif path.suffix in (".db", ".sqlite", ".sqlite3"):
        _from_cellprofiler(table, path, _read_sqlite(path))
    else:
        table.frame = _read_file(path)
        table.features = _measurements(table.frame)
    if table.frame.empty:
        raise ValueError(f"{source} has no rows.")
    if not table.features:
        raise ValueError(f"{source} has no features. Received the columns {listed(list(table.frame))}")
    if WELL not in table.frame:
        raise ValueError(
            f"{source} has no {WELL}. Received: {listed(metadata_columns(table.frame)) or 'no Metadata_*'}"
        )
    if PLATE not in table.frame:
        table.frame.insert(0, PLATE, "plate")
        table.notes.append(f"There is no {PLATE}: all wells are taken as those of one plate.")
    for key in (PLATE, WELL, SITE):
        if key in table.frame:
            table.frame[key] = table.frame[key].astype(str)
    if FEATURE_SET in table.frame:
        table.feature_set_id = table.frame[FEATURE_SET].iloc[0]
    _leave_out_nan(table)
    return table


def align(tables, metadata=None):
    """The rows that tables share, in one order.

    Parameters
    ----------
    tables : list of FeatureTable
    metadata : pandas.DataFrame, optional
        More ``Metadata_*``, by the columns of `KEYS` that it has.

    Returns
    -------
    pandas.DataFrame
        ``Metadata_*`` of the rows. Each table's ``frame`` then has the same rows, in the same order. Tables of objects or
        sites are brought to wells (by their mean) where another table knows wells only.

    Raises
    ------
    ValueError
        The tables share no row; rows of several tables cannot be told apart.
    """
    if len(tables) > 1:
        keys = [key for key in KEYS if all(key in table.frame for table in tables)]
        for table in tables:
            if table.frame.duplicated(keys).any():
                count = len(table.frame)
                table.frame = _by(table.frame, keys, table.features, "mean")
                table.notes.append(f"{count:,} rows became {len(table.frame):,}, the mean by {_words(keys)}.")
            table.frame = table.frame.set_index(pd.MultiIndex.from_frame(table.frame[keys].astype(str)))
        shared = tables[0].frame.index
        for table in tables[1:]:
            shared = shared[shared.isin(table.frame.index)]
        if not len(shared):
            raise ValueError(
                f"{' and '.join(table.name for table in tables)} share no row. By {_words(keys)}, "
                + ", ".join(f"{table.name} begins with {table.frame.index[0]}" for table in tables)
            )
        for table in tables:
            if len(table.frame) > len(shared):
                table.notes.append(
                    f"{len(table.frame) - len(shared):,} of {len(table.frame):,} rows are not in all tables."
                )
            table.frame = table.frame.loc[shared].reset_index(drop=True)
    joined = pd.concat([table.frame[metadata_columns(table.frame)] for table in tables], axis=1)
    joined = joined.loc[:, ~joined.columns.duplicated()]
    if metadata is None:
        return joined
    keys = [key for key in KEYS if key in metadata and key in joined]
    if not keys or metadata.duplicated(keys).any():
        raise ValueError(
            f"The table of metadata has one row for each of {_words(KEYS[:2])}. Received: {listed(list(metadata))}"
        )
    new = [name for name in metadata_columns(metadata) if name not in joined]
    more = metadata.assign(**{key: metadata[key].astype(str) for key in keys}).set_index(keys)[new]
    return joined.join(more, on=keys)


def read_metadata(source):
    """Read a table of metadata (CSV or Parquet): all its columns become ``Metadata_*``."""
    path = Path(source)
    if not path.is_file():
        raise FileNotFoundError(f"{source} is not there: give a table of metadata, CSV or Parquet.")
    frame = _read_file(path, text="")
    return frame.rename(columns={name: name if name.startswith("Metadata_") else f"Metadata_{name}" for name in frame})


def column_name(metadata, name):
    """The full name of a column of metadata, by its name with or without ``Metadata_``, in any case.

    Raises
    ------
    ValueError
        There is no such column.
    """
    wanted = name.lower().removeprefix("metadata_")
    for found in metadata_columns(metadata):
        if found.lower().removeprefix("metadata_") == wanted:
            return found
    raise ValueError(f"There is no column {name} in the metadata. Received: {_words(metadata_columns(metadata))}")


def column(metadata, name):
    """A column of metadata, found as by `column_name`, as text: ``""`` where it is missing."""
    # Whole numbers are floats where a row lacks one.
    values = metadata[column_name(metadata, name)].convert_dtypes().astype("string")
    return values.fillna("").astype(object)


def wells_of(metadata):
    """The well of each row, with its plate."""
    return metadata[PLATE] + " " + metadata[WELL]


def place(wells):
    """The row and the column of the plate of each well: A and 1 for A01; missing for other names."""
    found = wells.str.extract(r"^([A-Z]{1,2})(0*[1-9]\d*)$")
    return found[0], found[1].astype("Int64")


def part(features):
    """The part of each feature: channel and tap of StratoNet's, the first two words, without numbers, of others' names."""
    try:
        parts = feature_parts(features)
        return parts.channel + " " + parts.tap.str.lower()
    except ValueError:
        words = [[word for word in str(name).split("_") if not word.isdigit()] for name in features]
        return pd.Series([" ".join(one[:2]) for one in words], features)


def _from_extract(path):
    if path.is_dir():
        return any(path.rglob("*.parquet"))
    if path.suffix == ".parquet" and path.is_file():
        try:
            return FEATURE_SET in parquet.read_schema(path).names
        except (pa.ArrowInvalid, OSError):
            return False  # said when it is read
    return False


def _read_file(path, text="Metadata_"):
    """A table; the columns of a CSV file whose names hold ``text`` as they are written: well 00149 is not 149."""
    if path.suffix not in (".parquet", ".csv", ".gz"):
        raise ValueError(f"{path}: tables are Parquet, CSV and SQLite files, and folders of them.")
    try:
        if path.suffix == ".parquet":
            frame = pd.read_parquet(path)
        else:
            names = pd.read_csv(path, nrows=0).columns
            frame = pd.read_csv(path, dtype={name: str for name in names if text in name})
    except Exception as error:  # pandas and pyarrow raise what they meet
        raise ValueError(
            f"{path} cannot be read as a table ({type(error).__name__}: {error}). Is it damaged?"
        ) from None
    return frame.rename(columns={name: name[len("Image_") :] for name in frame if name.startswith("Image_Metadata_")})


def _measurements(frame):
    return [
        name
        for name in frame
        if pd.api.types.is_numeric_dtype(frame[name])
        and not name.startswith("Metadata_")
        and not BOOKKEEPING.fullmatch(name)
    ]


def _read_csvs(folder):
    """Tables of CellProfiler by their name, ``Image`` first."""
    images = sorted(folder.glob("*Image.csv"))
    if len(images) != 1:
        raise ValueError(
            f"{folder} holds neither tables of features (Parquet) nor one Image.csv of CellProfiler. "
            f"Received: {listed(sorted(path.name for path in folder.iterdir()))}"
        )
    prefix = images[0].name[: -len("Image.csv")]
    others = [path for path in sorted(folder.glob(f"{prefix}*.csv")) if path != images[0]]
    tables = {path.stem[len(prefix) :]: _read_file(path) for path in [*images, *others]}
    return {name: table for name, table in tables.items() if IMAGE in table}


def _read_sqlite(path):
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        try:
            names = [name for (name,) in database.execute("select name from sqlite_master where type = 'table'")]
        except sqlite3.DatabaseError as error:
            raise ValueError(f"{path} is not an SQLite database: {error}") from None
        wanted = {name.rpartition("Per_")[2]: name for name in names if re.search(r"Per_\w+$", name)}
        tables = {short: pd.read_sql_query(f'select * from "{name}"', database) for short, name in wanted.items()}
    tables = {
        name: table.rename(columns=lambda column: column.removeprefix("Image_")) for name, table in tables.items()
    }
    if "Image" not in tables:
        raise ValueError(f"{path} has no table Per_Image. Received: {listed(names)}")
    return {name: table for name, table in tables.items() if IMAGE in table}


def _from_cellprofiler(table, path, tables):
    """Wells from the tables of images and of objects."""
    images = tables.pop("Image")
    metadata = images[[IMAGE, *metadata_columns(images)]]
    if WELL not in images:
        raise ValueError(
            f"{path}: the image table has no {WELL}. Received: {listed(metadata_columns(images)) or 'no Metadata_*'}"
        )
    keys = [key for key in (PLATE, WELL) if key in images]
    names = _measurements(images)
    wells = _by(
        images.rename(columns={name: f"Image_{name}" for name in names}),
        keys,
        [f"Image_{name}" for name in names],
        "mean",
    )
    for kind, objects in tables.items():
        # A database has all objects in one table, whose columns begin with their names.
        begin = "" if kind == "Object" else f"{kind}_"
        objects = objects.rename(columns={name: begin + name.removeprefix(begin) for name in _measurements(objects)})
        names = _measurements(objects)
        of_wells = _by(objects.merge(metadata, on=IMAGE), keys, names, "median")
        wells = wells.merge(of_wells[[*keys, *names]], on=keys, how="left")
        table.notes.append(f"{len(objects):,} {kind}: their median by well.")
    ours = [name for name in wells if f"{PREFIX}_" in name]
    if ours:
        table.notes.append(
            f"{len(ours):,} features of StratoNet beside them: give their Parquet file as another table."
        )
    table.frame = wells.drop(columns=ours)
    table.features = [name for name in table.frame if name not in metadata_columns(wells)]


def _by(frame, keys, features, operation):
    """Rows by ``keys``: features aggregated by pycytominer, and the metadata that are the same in all rows."""
    frame = frame.copy()  # what CellProfiler wrote was put together column by column
    values = pycytominer.aggregate(frame[[*keys, *features]], strata=keys, features=features, operation=operation)
    groups = frame[metadata_columns(frame)].groupby(keys, sort=True, dropna=False)
    same = [name for name, most in groups.nunique(dropna=False).max().items() if most == 1]
    return groups[same].first().reset_index().merge(values, on=keys)


def _leave_out_nan(table):
    """Leave out features that many rows lack (never those of StratoNet, of which a row has all), and rows that lack any."""
    bad = ~np.isfinite(table.frame[table.features].to_numpy(float))
    sparse = (bad.mean(axis=0) > MOST_MISSING) & (not table.feature_set_id)
    rows = bad[:, ~sparse].any(axis=1)
    if sparse.any():
        table.notes.append(f"{sparse.sum():,} of {len(sparse):,} features are missing in many rows and are left out.")
    if rows.any():
        table.notes.append(f"{rows.sum():,} of {len(rows):,} rows have features that are missing, and are left out.")
    table.features = [name for name, left_out in zip(table.features, sparse) if not left_out]
    if rows.all() or not table.features:
        raise ValueError(f"{table.name}: features are missing in every row.")
    table.frame = table.frame.loc[~rows, [*metadata_columns(table.frame), *table.features]].reset_index(drop=True)


def _words(keys):
    return ", ".join(key.removeprefix("Metadata_").lower() for key in keys)

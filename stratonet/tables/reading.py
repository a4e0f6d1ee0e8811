"""Feature tables as one frame, and on to pycytominer and AnnData."""

import os
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import parquet

from stratonet.files.storage import Storage
from stratonet.files.urls import Unreachable, redact_url
from stratonet.messages import shorten_list
from stratonet.naming import feature_columns, metadata_columns, parse_feature_name
from stratonet.parallel import count_cores
from stratonet.tables.cellprofiler import aggregate_wells, read_csv_folder, read_sqlite
from stratonet.tables.columns import FEATURE_SET, PLATE, PROJECTION, SITE, WELL
from stratonet.tables.plain import list_measurements, read_plain_table


def read_features(location, storage=None, columns=None):
    """Read the feature tables of a whole destination, of one plate, or of one file.

    Parameters
    ----------
    location : str or path
        A folder or an S3 prefix that ``stratonet extract`` wrote, a folder in it, or
        one Parquet file. Files and folders whose names begin with ``_`` or ``.`` are
        passed over.
    storage : Storage, optional
        How to reach it, see `stratonet.files.storage.Storage`.
    columns : sequence of str, optional
        Columns to read, in this order. Default: all; metadata first, then features.

    Returns
    -------
    pandas.DataFrame
        The rows of all files, sorted by file, with a new index. Features are float32,
        in one block of memory; NaN where an image could not be measured. Metadata that
        only some files have are missing in the rows of the others.

    Raises
    ------
    FileNotFoundError
        There is no feature table.
    ValueError
        A file is damaged or not a feature table, files hold different features,
        features of different feature sets, which cannot be compared, or there is no
        such column.
    Unreachable
        The place cannot be reached.
    """
    location, storage = os.fspath(location), storage or Storage()
    urls = _list_tables(location, storage)

    def read(url):
        return _read_one_table(url, storage, columns)

    with ThreadPoolExecutor(count_cores()) as pool:
        parts = list(pool.map(read, urls))
    names = parts[0][1]
    for url, (_, others, _) in zip(urls, parts):
        if others != names:
            apart = set(names) ^ set(others)
            differing = [name for name in (*names, *others) if name in apart]
            raise ValueError(
                f"{redact_url(urls[0])} and {redact_url(url)} hold different features,"
                f" or in another order: {len(names)} and {len(others)}; not in both:"
                f" {', '.join(differing[:3]) or 'none'}. Read tables of the same"
                " channels and taps, or name the columns that both have."
            )
    try:
        metadata = pa.concat_tables(
            [part for part, _, _ in parts], promote_options="permissive"
        )
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise ValueError(
            f"{redact_url(location)}: the files' metadata do not fit together. Read"
            f" them apart. {error}"
        ) from None
    # pandas keeps an index in the file, such as that of a choice.
    metadata = metadata.to_pandas().reset_index(drop=True)
    features = np.concatenate([values for _, _, values in parts])
    del parts
    frame = pd.DataFrame(features, columns=names)
    for position, name in enumerate(metadata):  # pandas.concat would copy the features
        frame.insert(position, name, metadata[name])
    get_feature_set_id(frame, redact_url(location))
    if columns is None:
        return frame
    lacking = [name for name in columns if name not in frame]
    if lacking:
        raise ValueError(f"{redact_url(location)} has no column {', '.join(lacking)}.")
    return frame[list(columns)]


def feature_parts(names):
    """What the names of features say: a frame indexed by them, with ``channel``, ``tap`` and ``number`` (int).

    Raises
    ------
    ValueError
        A name is not of a feature of StratoNet.
    """
    others = [name for name in names if not parse_feature_name(name)]
    if others:
        raise ValueError(f"Not a feature of StratoNet: {others[0]}")
    parts = pd.DataFrame(
        [parse_feature_name(name).groupdict() for name in names],
        index=list(names),
        columns=["channel", "tap", "number"],
    )
    return parts.astype({"number": int})


def _list_tables(location, storage):
    """The URLs of the feature tables at a location."""
    if location.endswith(".parquet") and not storage.is_folder(location):
        return [location]
    below = len(location.rstrip("/")) + 1
    urls = [
        url
        for url in storage.list(location)
        if url.endswith(".parquet") and not re.search(r"(^|[/\\])[_.]", url[below:])
    ]
    if not urls:
        raise FileNotFoundError(
            f"{redact_url(location)} holds no feature tables (.parquet). Is it what was"
            " given as --output, or a folder in it? A plate has its table when all its"
            " wells are measured."
        )
    return urls


def _read_one_table(url, storage, columns):
    """A table of the metadata of one file, the names of its features, and these (n rows, n features)."""
    with storage.open(url) as file:
        try:
            opened = parquet.ParquetFile(file, pre_buffer=True)
            names = opened.schema_arrow.names
            if columns is not None:
                wanted = {FEATURE_SET, PROJECTION, *columns}
                names = [name for name in names if name in wanted]
            features = feature_columns(names)
            metadata = opened.read(
                [name for name in names if not parse_feature_name(name)]
            )
            values = np.empty((len(metadata), len(features)), np.float32)
            start = 0
            for group in range(opened.num_row_groups if features else 0):
                # Threads read files, not columns: these are short, and take several times the memory of their values.
                table = opened.read_row_group(group, features, use_threads=False)
                for number, column in enumerate(table.columns):
                    values[start : start + len(table), number] = column.to_numpy()
                start += len(table)
        except Unreachable:
            raise
        except (pa.ArrowInvalid, OSError) as error:
            raise ValueError(
                f"{redact_url(url)}: cannot be read as a Parquet file. Is it damaged?"
                f" {error}"
            ) from None
    return metadata, features, values


def get_feature_set_id(frame, where):
    """The one feature set id of a frame."""
    ids = frame[FEATURE_SET].unique().tolist() if FEATURE_SET in frame else []
    projections = frame[PROJECTION].unique().tolist() if PROJECTION in frame else []
    if len(projections) > 1:
        raise ValueError(
            f"{where} holds components of different projections, which cannot be"
            f" compared: {', '.join(map(str, projections))}."
        )
    if len(ids) == 1:
        return ids[0]
    if not ids:
        raise ValueError(
            f"{where} holds no features of StratoNet: {FEATURE_SET} is missing."
        )
    raise ValueError(
        f"{where} holds features of different feature sets, which cannot be compared:"
        f" {', '.join(map(str, ids))}. Measure all with one weights file."
    )


# Share of rows in which a feature may be missing; pycytominer's `drop_na_columns` has the same.
MOST_MISSING = 0.05


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


def read_feature_table(source, name=None):
    """Read a table of features.

    Parameters
    ----------
    source : str or path
        What ``stratonet extract`` or the plug-in wrote (a folder or a Parquet file);
        any other Parquet or CSV file with ``Metadata_Well`` and features; a folder of
        CellProfiler's ``Image.csv``, ``Nuclei.csv``, ...; or the SQLite database
        (``.db``, ``.sqlite``) of CellProfiler's ExportToDatabase.
    name : str, optional
        Default: that of the file or folder.

    Returns
    -------
    FeatureTable
        Measurements of CellProfiler by well: the median of objects, the mean of images.
        Rows and features with NaN are left out, and ``notes`` counts them.

    Raises
    ------
    FileNotFoundError, ValueError
        There is no such table, it is damaged, or lacks ``Metadata_Well`` or features.
    """
    path = Path(source)
    table = FeatureTable(name or path.stem, str(source), None, [])
    if str(source).startswith("s3://") or _is_from_extract(path):
        table.frame = read_features(source)
        table.features = feature_columns(table.frame)
        runs = sorted((path / "_runs").glob("*.csv")) if path.is_dir() else []
        table.resources = pd.concat(map(pd.read_csv, runs)) if runs else None
    elif not path.exists():
        raise FileNotFoundError(
            f"{source} is not there: give a table of features, or a folder of them."
        )
    elif path.is_dir():
        aggregate_wells(table, path, read_csv_folder(path))
    elif path.suffix in (".db", ".sqlite", ".sqlite3"):
        aggregate_wells(table, path, read_sqlite(path))
    else:
        table.frame = read_plain_table(path)
        table.features = list_measurements(table.frame)
    if table.frame.empty:
        raise ValueError(f"{source} has no rows.")
    if not table.features:
        raise ValueError(
            f"{source} has no features. Received the columns"
            f" {shorten_list(list(table.frame))}"
        )
    if WELL not in table.frame:
        raise ValueError(
            f"{source} has no {WELL}. Received:"
            f" {shorten_list(metadata_columns(table.frame)) or 'no Metadata_*'}"
        )
    if PLATE not in table.frame:
        table.frame.insert(0, PLATE, "plate")
        table.notes.append(
            f"There is no {PLATE}: all wells are taken as those of one plate."
        )
    for key in (PLATE, WELL, SITE):
        if key in table.frame:
            table.frame[key] = table.frame[key].astype(str)
    if FEATURE_SET in table.frame:
        table.feature_set_id = table.frame[FEATURE_SET].iloc[0]
    _drop_missing(table)
    return table


def read_metadata(source):
    """Read a table of metadata (CSV or Parquet).

    All its columns become ``Metadata_*``.
    """
    path = Path(source)
    if not path.is_file():
        raise FileNotFoundError(
            f"{source} is not there: give a table of metadata, CSV or Parquet."
        )
    frame = read_plain_table(path, text="")
    return frame.rename(
        columns={
            name: name if name.startswith("Metadata_") else f"Metadata_{name}"
            for name in frame
        }
    )


def _is_from_extract(path):
    if path.is_dir():
        return any(path.rglob("*.parquet"))
    if path.suffix == ".parquet" and path.is_file():
        try:
            return FEATURE_SET in parquet.read_schema(path).names
        except (pa.ArrowInvalid, OSError):
            return False  # said when it is read
    return False


def _drop_missing(table):
    """Leave out features that many rows lack (never those of StratoNet, of which a row has all), and rows that lack any."""
    bad = ~np.isfinite(table.frame[table.features].to_numpy(float))
    sparse = (bad.mean(axis=0) > MOST_MISSING) & (not table.feature_set_id)
    rows = bad[:, ~sparse].any(axis=1)
    if sparse.any():
        table.notes.append(
            f"{sparse.sum():,} of {len(sparse):,} features are missing in many rows and"
            " are left out."
        )
    if rows.any():
        table.notes.append(
            f"{rows.sum():,} of {len(rows):,} rows have features that are missing, and"
            " are left out."
        )
    table.features = [
        name for name, left_out in zip(table.features, sparse) if not left_out
    ]
    if rows.all() or not table.features:
        raise ValueError(f"{table.name}: features are missing in every row.")
    table.frame = table.frame.loc[
        ~rows, [*metadata_columns(table.frame), *table.features]
    ].reset_index(drop=True)

"""Feature tables as one frame, and on to pycytominer and AnnData."""

import os
import re
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import parquet

from ..naming import FEATURE_SET, PREFIX, PROJECTION
from ..network import threads
from .storage import Storage, Unreachable, shown

# Numbers have four digits (see `stratonet.naming`, in taps of up to 10,000 features), and labels may end in digits:
# Conv2Block30012 is number 12 of Conv2Block3.
_FEATURE = re.compile(rf"{PREFIX}_(?P<tap>.+?)(?P<number>\d{{4}})_(?P<channel>\w+)")


def read_features(location, storage=None, columns=None):
    """Read the feature tables of a whole destination, of one plate, or of one file.

    Parameters
    ----------
    location : str or path
        A folder or an S3 prefix that ``stratonet extract`` wrote, a folder in it, or one Parquet file. Files and
        folders whose names begin with ``_`` or ``.`` are passed over.
    storage : Storage, optional
        How to reach it, see `stratonet.extraction.storage.Storage`.
    columns : sequence of str, optional
        Columns to read, in this order. Default: all; metadata first, then features.

    Returns
    -------
    pandas.DataFrame
        The rows of all files, sorted by file, with a new index. Features are float32, in one block of memory; NaN where
        an image could not be measured. Metadata that only some files have are missing in the rows of the others.

    Raises
    ------
    FileNotFoundError
        There is no feature table.
    ValueError
        A file is damaged or not a feature table, files hold different features, features of different feature sets,
        which cannot be compared, or there is no such column.
    Unreachable
        The place cannot be reached.
    """
    location, storage = os.fspath(location), storage or Storage()
    urls = _tables(location, storage)

    def read(url):
        return _read(url, storage, columns)

    with ThreadPoolExecutor(threads()) as pool:
        parts = list(pool.map(read, urls))
    names = parts[0][1]
    for url, (_, others, _) in zip(urls, parts):
        if others != names:
            apart = set(names) ^ set(others)
            differing = [name for name in (*names, *others) if name in apart]
            raise ValueError(
                f"{shown(urls[0])} and {shown(url)} hold different features, or in another order: {len(names)} and "
                f"{len(others)}; not in both: {', '.join(differing[:3]) or 'none'}. Read tables of the same channels "
                "and taps, or name the columns that both have."
            )
    try:
        metadata = pa.concat_tables([part for part, _, _ in parts], promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise ValueError(
            f"{shown(location)}: the files' metadata do not fit together. Read them apart. {error}"
        ) from None
    # pandas keeps an index in the file, such as that of a choice.
    metadata = metadata.to_pandas().reset_index(drop=True)
    features = np.concatenate([values for _, _, values in parts])
    del parts
    frame = pd.DataFrame(features, columns=names)
    for position, name in enumerate(metadata):  # pandas.concat would copy the features
        frame.insert(position, name, metadata[name])
    _feature_set_id(frame, shown(location))
    if columns is None:
        return frame
    lacking = [name for name in columns if name not in frame]
    if lacking:
        raise ValueError(f"{shown(location)} has no column {', '.join(lacking)}.")
    return frame[list(columns)]


def feature_columns(frame):
    """The names of the columns of features, in the order of the frame.

    pycytominer does not find them by itself (`infer_cp_features` knows CellProfiler's compartments only): give this
    list as ``features=``.
    """
    return [name for name in frame if _parse(name)]


def feature_parts(names):
    """What the names of features say: a frame indexed by them, with ``channel``, ``tap`` and ``number`` (int).

    Raises
    ------
    ValueError
        A name is not of a feature of StratoNet.
    """
    others = [name for name in names if not _parse(name)]
    if others:
        raise ValueError(f"Not a feature of StratoNet: {others[0]}")
    parts = pd.DataFrame(
        [_parse(name).groupdict() for name in names], index=list(names), columns=["channel", "tap", "number"]
    )
    return parts.astype({"number": int})


def metadata_columns(frame):
    """The names of the columns ``Metadata_*``, in the order of the frame."""
    return [name for name in frame if str(name).startswith("Metadata_")]


def to_anndata(features):
    """Features as an `anndata.AnnData`, as scanpy and its relatives take them.

    Parameters
    ----------
    features : pandas.DataFrame, str or path
        A frame of `read_features`, or where to read one.

    Returns
    -------
    anndata.AnnData
        ``X`` (n rows, n features), float32, a copy; ``obs`` all other columns, texts and dates as categories; ``var``
        indexed by feature name, with ``channel``, ``tap`` and ``number``; ``uns["feature_set_id"]``.

    Raises
    ------
    ImportError
        anndata is not installed.
    ValueError
        No features, or of different feature sets; else as `read_features`.
    """
    try:
        from anndata import AnnData
    except ImportError:
        raise ImportError("AnnData needs the package anndata: pip install anndata") from None
    frame = features if isinstance(features, pd.DataFrame) else read_features(features)
    feature_set_id = _feature_set_id(frame, "The frame")
    names = feature_columns(frame)
    obs = frame.drop(columns=names)
    obs.index = obs.index.astype(str)
    for name in obs:
        if not pd.api.types.is_numeric_dtype(obs[name]):  # .h5ad files hold no dates, and no text beside missing text
            obs[name] = pd.Categorical(obs[name].map(str, na_action="ignore").astype(object))
    values = np.require(frame[names], np.float32, ["C", "W"])
    return AnnData(values, obs, feature_parts(names), uns={"feature_set_id": feature_set_id})


def _parse(name):
    return _FEATURE.fullmatch(name) if isinstance(name, str) else None


def _tables(location, storage):
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
            f"{shown(location)} holds no feature tables (.parquet). Is it what was given as --output, or a folder in "
            "it? A plate has its table when all its wells are measured."
        )
    return urls


def _read(url, storage, columns):
    """A table of the metadata of one file, the names of its features, and these (n rows, n features)."""
    with storage.open(url) as file:
        try:
            opened = parquet.ParquetFile(file, pre_buffer=True)
            names = opened.schema_arrow.names
            if columns is not None:
                wanted = {FEATURE_SET, PROJECTION, *columns}
                names = [name for name in names if name in wanted]
            features = feature_columns(names)
            metadata = opened.read([name for name in names if not _parse(name)])
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
            raise ValueError(f"{shown(url)}: cannot be read as a Parquet file. Is it damaged? {error}") from None
    return metadata, features, values


def _feature_set_id(frame, where):
    """The one feature set id of a frame."""
    ids = frame[FEATURE_SET].unique().tolist() if FEATURE_SET in frame else []
    projections = frame[PROJECTION].unique().tolist() if PROJECTION in frame else []
    if len(projections) > 1:
        raise ValueError(
            f"{where} holds components of different projections, which cannot be compared: {', '.join(map(str, projections))}."
        )
    if len(ids) == 1:
        return ids[0]
    if not ids:
        raise ValueError(f"{where} holds no features of StratoNet: {FEATURE_SET} is missing.")
    raise ValueError(
        f"{where} holds features of different feature sets, which cannot be compared: {', '.join(map(str, ids))}. "
        "Measure all with one weights file."
    )

"""Read the Parquet files that StratoNet writes, of one plate or many."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pandas as pd

from stratonet.extras import name_missing_extra
from stratonet.files.storage import Storage
from stratonet.files.urls import Unreachable, get_extension, redact_url
from stratonet.messages import suggest_name
from stratonet.naming import feature_columns, parse_feature_name
from stratonet.parallel import count_cores
from stratonet.tables import trained
from stratonet.tables.columns import (
    FEATURE_SET,
    IMAGE,
    IMAGE_NUMBER,
    OBJECT,
    OBJECT_NUMBER,
    PLATE_KEYS,
    PROJECTION,
    SITE,
    WELL,
    find_object_column,
)
from stratonet.tables.index import UNNAMED, add_partitions, restore_index

with name_missing_extra("Parquet", "extract", "sklearn"):
    import pyarrow as pa
    from pyarrow import parquet

# The columns that identify a row, in tables of all programs.
_ROW_KEYS = (*PLATE_KEYS, WELL, SITE, IMAGE, IMAGE_NUMBER, OBJECT, OBJECT_NUMBER)


@dataclass
class _File:
    """The content of one file."""

    metadata: pa.Table
    names: list[str]
    features: np.ndarray  # (n rows, n features), float32


def read_features(
    location: str | os.PathLike[str],
    storage: Storage | None = None,
    columns: str | Sequence[str] | None = None,
) -> pd.DataFrame:
    """Read the feature tables of a destination, of a plate, or of a single file.

    Parameters
    ----------
    location : str or path
        A folder or S3 prefix that ``stratonet extract`` wrote, a folder in it, or one
        Parquet file. Files and folders whose names begin with ``_`` or ``.`` are
        skipped.
    storage : Storage, optional
        How to access it, see `stratonet.files.storage.Storage`.
    columns : str or sequence of str, optional
        Columns to read, in this order. Default: all; metadata first, then features.

    Returns
    -------
    pandas.DataFrame
        The rows of all files, sorted by file, with a new index. Features are float32,
        in one block of memory; NaN if an image could not be measured. Metadata that
        only some files have are missing in the rows of the others. Named indices, and
        folders such as ``Metadata_Plate=P1``, become columns.

    Raises
    ------
    FileNotFoundError
        There is no feature table.
    ValueError
        A file is damaged or not a feature table; files hold different features,
        features of different feature sets, which cannot be compared, or the same rows;
        some hold image sets and some objects; or a column does not exist.
    Unreachable
        The folder or bucket cannot be reached.

    Examples
    --------
    >>> import os, tempfile
    >>> table = pd.DataFrame(
    ...     {
    ...         "Metadata_Well": ["A01", "A02"],
    ...         "Metadata_StratoFeatures": "stratonet50-1.0.0-9b08ec5a4d6a",
    ...         "StratoFeatures_High0000_DNA": np.array([0.5, 0.25], np.float32),
    ...     }
    ... )
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     table.to_parquet(os.path.join(folder, "plate.parquet"))
    ...     read_features(folder, columns=["Metadata_Well"])["Metadata_Well"].tolist()
    ['A01', 'A02']
    """
    location = os.fspath(location)
    storage = storage or Storage()
    # A string is the name of one column, not a sequence of letters.
    columns = [columns] if isinstance(columns, str) else columns
    urls = _list_tables(location, storage)

    def read_file(url: str) -> _File:
        return _read_file(url, storage, columns)

    with ThreadPoolExecutor(count_cores()) as pool:
        files = list(pool.map(read_file, urls))
    _check_same_features(urls, files)
    _check_same_rows(urls, files)
    names = files[0].names
    metadata = _join_metadata(location, files)
    _check_distinct_rows(urls, files, metadata)
    features = np.concatenate([file.features for file in files])
    # Free their memory for the frame.
    files.clear()
    frame = pd.DataFrame(features, columns=names)
    # Insert them one by one: pandas.concat would copy the features.
    for position, name in enumerate(metadata):
        frame.insert(position, name, metadata[name])
    get_feature_set_id(frame, redact_url(location))
    if columns is None:
        return frame
    missing_columns = [name for name in columns if name not in frame]
    if missing_columns:
        raise ValueError(
            f"{redact_url(location)} has no column {', '.join(missing_columns)}."
            f"{suggest_name(missing_columns[0], frame)}"
        )
    return frame[list(columns)]


def read_trained_wells(
    location: str | os.PathLike[str], storage: Storage | None = None
) -> dict[str, set[str]]:
    """Read on which wells the network that made feature tables was fine-tuned.

    Parameters
    ----------
    location, storage
        As in `read_features`.

    Returns
    -------
    dict of str to set of str
        Wells by plate; empty if the network was not fine-tuned.

    Raises
    ------
    FileNotFoundError
        There is no feature table.
    """
    location = os.fspath(location)
    storage = storage or Storage()

    def read_footer(url: str) -> trained.Metadata:
        with storage.open(url) as file:
            return parquet.ParquetFile(file).metadata.metadata

    with ThreadPoolExecutor(count_cores()) as pool:
        footers = pool.map(read_footer, _list_tables(location, storage))
        return trained.read_trained_wells(footers)


def feature_parts(names: Iterable[str]) -> pd.DataFrame:
    """Split the names of features into their parts.

    Parameters
    ----------
    names : iterable of str
        Names of StratoNet's features.

    Returns
    -------
    pandas.DataFrame
        Indexed by name, with ``channel``, ``tap`` and ``number`` (int).

    Raises
    ------
    ValueError
        A name is not that of a feature of StratoNet.

    Examples
    --------
    >>> feature_parts(["StratoFeatures_High0012_DNA"])["number"].item()
    12
    """
    names = list(names)
    groups = []
    for name in names:
        match = parse_feature_name(name)
        if match is None:
            raise ValueError(f"Not a feature of StratoNet: {name}")
        groups.append(match.groupdict())
    parts = pd.DataFrame(groups, index=names, columns=["channel", "tap", "number"])
    return parts.astype({"number": int})


def get_feature_set_id(frame: pd.DataFrame, source: str) -> str:
    """Return the feature set id that all rows of a frame share.

    Parameters
    ----------
    frame : pandas.DataFrame
        Features of StratoNet.
    source : str
        Name of the table in error messages.

    Raises
    ------
    ValueError
        The frame has no id or several, or components of several projections.
    """
    ids = frame[FEATURE_SET].unique().tolist() if FEATURE_SET in frame else []
    projections = frame[PROJECTION].unique().tolist() if PROJECTION in frame else []
    if len(projections) > 1:
        raise ValueError(
            f"{source} holds components of different projections, which cannot be"
            f" compared: {', '.join(map(str, projections))}."
        )
    if not ids:
        raise ValueError(
            f"{source} holds no features of StratoNet: {FEATURE_SET} is missing."
        )
    if len(ids) > 1:
        raise ValueError(
            f"{source} holds features of different feature sets, which cannot be"
            f" compared: {', '.join(map(str, ids))}. Measure all with one weights file."
        )
    return ids[0]


def _list_tables(location: str, storage: Storage) -> list[str]:
    """List the URLs of the feature tables at a location."""
    is_parquet = get_extension(location) == ".parquet"
    if is_parquet and not storage.is_folder(location):
        return [location]
    prefix_length = len(location.rstrip("/")) + 1
    urls = []
    for url in storage.list(location):
        is_hidden = re.search(r"(^|[/\\])[_.]", url[prefix_length:])
        if url.endswith(".parquet") and not is_hidden:
            urls.append(url)
    if not urls:
        raise FileNotFoundError(
            f"{redact_url(location)} holds no feature tables (.parquet). Give the"
            " folder that features were extracted to, or a folder in it. A plate has"
            " its table when all its wells are measured."
        )
    return urls


def _read_file(url: str, storage: Storage, columns: Sequence[str] | None) -> _File:
    with storage.open(url) as file:
        try:
            parquet_file = parquet.ParquetFile(file, pre_buffer=True)
            names = parquet_file.schema_arrow.names
            if columns is not None:
                # Ids and keys are always read, in order to refuse rows of different ids
                # and repeated rows.
                wanted_columns = {FEATURE_SET, PROJECTION, *_ROW_KEYS, *columns}
                names = [name for name in names if name in wanted_columns]
            features = feature_columns(names)
            metadata = parquet_file.read(
                [name for name in names if name not in features]
            )
            metadata = add_partitions(restore_index(metadata), url)
            return _File(metadata, features, _read_values(parquet_file, features))
        except Unreachable:
            raise
        except (pa.ArrowInvalid, OSError) as error:
            raise ValueError(
                f"{redact_url(url)}: cannot be read as a Parquet file. Is it damaged?"
                f" {error}"
            ) from None


def _read_values(parquet_file: parquet.ParquetFile, features: list[str]) -> np.ndarray:
    """Read features of a file, (n rows, n features), float32."""
    values = np.empty((parquet_file.metadata.num_rows, len(features)), np.float32)
    if not features:
        return values
    start = 0
    for group in range(parquet_file.num_row_groups):
        # Threads read files, not columns: columns are short, and reading them in
        # threads takes several times the memory of their values.
        table = parquet_file.read_row_group(group, features, use_threads=False)
        stop = start + len(table)
        for number, column in enumerate(table.columns):
            values[start:stop, number] = column.to_numpy()
        start = stop
    return values


def _check_same_features(urls: Sequence[str], files: Sequence[_File]) -> None:
    first = files[0].names
    for url, file in zip(urls, files):
        if file.names == first:
            continue
        unshared = set(first) ^ set(file.names)
        differing = [name for name in (*first, *file.names) if name in unshared]
        raise ValueError(
            f"{redact_url(urls[0])} and {redact_url(url)} hold different features, or"
            f" in another order: {len(first)} and {len(file.names)}; not in both:"
            f" {', '.join(differing[:3]) or 'none'}. Read tables of the same channels"
            " and taps, or name the columns that both have."
        )


def _check_same_rows(urls: Sequence[str], files: Sequence[_File]) -> None:
    """Refuse a table of image sets beside one of objects."""
    urls_by_type: dict[bool, str] = {}
    for url, file in zip(urls, files):
        of_objects = find_object_column(file.metadata.column_names) is not None
        urls_by_type.setdefault(of_objects, redact_url(url))
    if len(urls_by_type) > 1:
        raise ValueError(
            f"{urls_by_type[False]} holds image sets, and {urls_by_type[True]} objects:"
            " they cannot be one table. Give one of them."
        )


def _check_distinct_rows(
    urls: Sequence[str], files: Sequence[_File], metadata: pd.DataFrame
) -> None:
    """Refuse two files that hold the same row, such as object 1 of an image set."""
    keys = [key for key in _ROW_KEYS if key in metadata]
    well_keys = [key for key in keys if key in (*PLATE_KEYS, WELL)]
    if len(files) < 2 or not well_keys:
        return
    numbers = np.repeat(np.arange(len(files)), [len(file.metadata) for file in files])
    rows = metadata[keys].assign(file=numbers)
    # Most wells are in one file only: just the others are compared row by row.
    wells_by_file = rows[[*well_keys, "file"]].drop_duplicates()
    shared = wells_by_file[wells_by_file.duplicated(well_keys, keep=False)]
    if shared.empty:
        return
    wells = pd.MultiIndex.from_frame(shared[well_keys])
    candidates = rows[pd.MultiIndex.from_frame(rows[well_keys]).isin(wells)]
    candidates = candidates.drop_duplicates()
    repeated = candidates.duplicated(keys, keep=False)
    if repeated.any():
        first_row = candidates[repeated].iloc[0]
        is_same = (
            candidates[repeated][keys].eq(first_row[keys]) | first_row[keys].isna()
        )
        first_file, second_file = candidates[repeated][is_same.all(axis=1)][
            "file"
        ].iloc[:2]
        row_name = ", ".join(f"{key} {first_row[key]}" for key in keys)
        raise ValueError(
            f"{redact_url(urls[first_file])} and {redact_url(urls[second_file])} both"
            f" hold {row_name}: they cannot be one table. Give one of them."
        )


def _join_metadata(location: str, files: Sequence[_File]) -> pd.DataFrame:
    tables = [file.metadata for file in files]
    try:
        joined = pa.concat_tables(tables, promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise ValueError(
            f"{redact_url(location)}: the files' metadata do not fit together. Read"
            f" the files separately. {error}"
        ) from None
    # pandas writes an index to the file, for example after rows were selected.
    unnamed = [name for name in joined.column_names if UNNAMED.fullmatch(name)]
    return joined.drop_columns(unnamed).to_pandas()

"""Read all kinds of feature tables that `evaluate` compares."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from stratonet.messages import shorten_list
from stratonet.naming import METADATA, feature_columns, metadata_columns
from stratonet.tables.anndata import is_anndata, read_anndata, refuse_store
from stratonet.tables.cellprofiler import (
    Tables,
    aggregate_wells,
    read_csv_folder,
    read_sqlite,
)
from stratonet.tables.columns import (
    ERROR,
    FEATURE_SET,
    IMAGE,
    IMAGE_NUMBER,
    OBJECT,
    OBJECT_NUMBER,
    PLATE,
    SITE,
    WELL,
    find_object_column,
)
from stratonet.tables.counters import find_row_counters, note_row_counters
from stratonet.tables.fetching import take_urls
from stratonet.tables.folders import DATABASES, is_from_stratonet, is_image_table
from stratonet.tables.index import list_profiles, read_parquet_frames
from stratonet.tables.keys import check_names, check_plates, drop_unnamed, write_texts
from stratonet.tables.parquet import (
    feature_parts,
    get_feature_set_id,
    read_features,
    read_trained_wells,
)
from stratonet.tables.plain import (
    list_measurements,
    note_unused_columns,
    read_plain_table,
)
from stratonet.tables.platemaps import read_plate_map

__all__ = [
    "FeatureTable",
    "feature_parts",
    "get_feature_set_id",
    "read_feature_table",
    "read_features",
    "read_metadata",
]

# Share of rows in which a feature may be missing, as in pycytominer's
# `drop_na_columns`.
MOST_MISSING = 0.05


@dataclass
class FeatureTable:
    """Features of wells, image sets or objects.

    Attributes
    ----------
    name : str
        Name of the table in the report.
    source : str
        Path or URL of the table.
    frame : pandas.DataFrame
        ``Metadata_*``, and features without NaN.
    features : list of str
        The columns of features.
    feature_set_id : str
        Id of the feature set of StratoNet's features, else ``""``.
    notes : list of str
        Sentences about what was left out, and how objects were aggregated.
    losses : list of str
        Sentences about rows without a partner when tables were joined: the report
        begins with them.
    resources : pandas.DataFrame, optional
        Time and resources of the extraction.
    trained_wells : dict of str to set of str
        The wells that the network was fine-tuned on, by plate, if the file records
        them: CSV files and databases do not.
    """

    name: str
    source: str
    frame: pd.DataFrame
    features: list[str]
    feature_set_id: str = ""
    notes: list[str] = field(default_factory=list)
    losses: list[str] = field(default_factory=list)
    resources: pd.DataFrame | None = None
    trained_wells: dict[str, set[str]] = field(default_factory=dict)


@take_urls
def read_feature_table(
    source: str | os.PathLike[str], name: str | None = None
) -> FeatureTable:
    r"""Read a feature table.

    Parameters
    ----------
    source : str or path
        Output of ``stratonet extract`` or the CellProfiler module (a folder or a
        Parquet file); any other Parquet or CSV file with ``Metadata_Well`` and
        features; AnnData (``.h5ad``) or a table of SpatialData
        (``store.zarr/tables/name``) with a column ``well`` in ``obs``; a folder with
        CellProfiler's ``Image.csv``, ``Nuclei.csv``, ...; or the SQLite database
        (``.db``, ``.sqlite``) of CellProfiler's ExportToDatabase. It may be local or a
        URL; folders must be local, or on S3 and written by ``stratonet extract``.
    name : str, optional
        Default: the name of the file or folder.

    Returns
    -------
    FeatureTable
        Measurements of CellProfiler are aggregated by well: the median of objects, the
        mean of images. Rows and features with NaN are left out and counted in
        ``notes``. The column of objects' numbers is always called
        ``Metadata_ObjectNumber``.

    Raises
    ------
    FileNotFoundError, ValueError
        The table does not exist, is damaged, or lacks ``Metadata_Well`` or features.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "intensity.csv")
    ...     _ = path.write_text("Metadata_Well,Mean\nA01,0.5\nA02,0.25\n")
    ...     table = read_feature_table(path)
    >>> table.name, table.features, len(table.frame)
    ('intensity', ['Mean'], 2)
    """
    table = _read_any(source, name)
    if table.frame.empty:
        raise ValueError(f"{source} has no rows.")
    if not table.features:
        raise ValueError(
            f"{source} has no features. Received the columns"
            f" {shorten_list(list(table.frame))}. {' '.join(table.notes)}".rstrip()
        )
    if WELL not in table.frame:
        raise ValueError(
            f"{source} has no {WELL}. Received:"
            f" {shorten_list(metadata_columns(table.frame)) or 'no Metadata_*'}"
        )
    table.frame = _name_objects(table.frame)
    # Plates are compared and left out by name, so there must be one.
    if PLATE not in table.frame:
        table.frame.insert(0, PLATE, "plate")
        table.notes.append(
            f"There is no {PLATE}: all wells are assumed to be on one plate."
        )
    table.frame, unnamed_notes = drop_unnamed(table.frame, str(source))
    table.notes += unnamed_notes
    if SITE in table.frame:
        table.frame[SITE] = write_texts(table.frame[SITE]).fillna("")
    check_names(table.frame, str(source))
    check_plates(table.frame, str(source))
    if FEATURE_SET in table.frame:
        table.feature_set_id = table.frame[FEATURE_SET].iloc[0]
    _drop_missing(table)
    return table


@take_urls
def read_metadata(source: str | os.PathLike[str]) -> pd.DataFrame:
    """Read a table of metadata.

    Parameters
    ----------
    source : str or path
        CSV, TSV, XLSX or Parquet, see `stratonet.tables.platemaps.read_plate_map`.

    Returns
    -------
    pandas.DataFrame
        All its columns, as ``Metadata_*``; those of CSV and XLSX files as text.
        ``plate``, ``well_position``, ... become ``Metadata_Plate``, ``Metadata_Well``.

    Raises
    ------
    FileNotFoundError, ValueError
        The file does not exist, or is not a table.
    """
    path = Path(source)
    if not path.is_file():
        raise FileNotFoundError(
            f"{source} is not there: give a table of metadata (CSV, XLSX, Parquet)."
        )
    frame = read_plate_map(path)
    names = {}
    for name in frame:
        names[name] = name if name.startswith(METADATA) else f"{METADATA}{name}"
    frame = frame.rename(columns=names)
    repeated = frame.columns[frame.columns.duplicated()]
    if len(repeated):
        raise ValueError(
            f"{source} has {repeated[0]} twice, with and without {METADATA}. Remove one"
            " of the columns."
        )
    return frame


def _read_any(source: str | os.PathLike[str], name: str | None) -> FeatureTable:
    """Read a table of any kind, without checking it."""
    path = Path(source)
    name = name or path.stem
    if is_anndata(path):
        return _take_measurements(name, source, read_anndata(path))
    profiles = list_profiles(path) if path.is_dir() else []
    if profiles:
        return _take_measurements(name, source, read_parquet_frames(profiles))
    if str(source).startswith("s3://") or is_from_stratonet(path):
        return _read_stratonet(source, name)
    if not path.exists():
        raise FileNotFoundError(
            f"{source} is not there: give a table of features, or a folder of them."
        )
    if path.is_dir():
        refuse_store(path)
    if path.is_dir() or is_image_table(path):
        return _make_wells(source, name, read_csv_folder(path))
    if path.suffix.lower() in DATABASES:
        return _make_wells(source, name, read_sqlite(path))
    return _take_measurements(name, source, read_plain_table(path))


def _take_measurements(
    name: str, source: str | os.PathLike[str], frame: pd.DataFrame
) -> FeatureTable:
    """Return the measurements of any program as features."""
    features = list_measurements(frame)
    explained_columns = [*features, *find_row_counters(frame)]
    notes = [*note_row_counters(frame), *note_unused_columns(frame, explained_columns)]
    return FeatureTable(name, str(source), frame, features, notes=notes)


def _read_stratonet(source: str | os.PathLike[str], name: str) -> FeatureTable:
    frame = read_features(source)
    features = feature_columns(frame)
    return FeatureTable(
        name,
        str(source),
        frame,
        features,
        notes=note_unused_columns(frame, features),
        resources=_read_resources(Path(source)),
        trained_wells=read_trained_wells(source),
    )


def _make_wells(
    source: str | os.PathLike[str], name: str, tables: Tables
) -> FeatureTable:
    wells = aggregate_wells(tables)
    return FeatureTable(
        name,
        str(source),
        wells.frame,
        wells.features,
        notes=wells.notes,
        losses=wells.losses,
    )


def _read_resources(path: Path) -> pd.DataFrame | None:
    """Read how much time and resources runs of `stratonet extract` took."""
    if not path.is_dir():
        return None
    runs = sorted((path / "_runs").glob("*.csv"))
    return pd.concat(map(pd.read_csv, runs)) if runs else None


def _name_objects(frame: pd.DataFrame) -> pd.DataFrame:
    """Rename the columns that identify objects as in `stratonet extract`."""
    if find_object_column(frame) != OBJECT_NUMBER:
        return frame
    # In the same well, object 1 of one image set is not object 1 of another.
    return frame.rename(columns={OBJECT_NUMBER: OBJECT, IMAGE_NUMBER: IMAGE})


def _drop_missing(table: FeatureTable) -> None:
    """Leave out features that many rows lack, and then rows that lack any.

    Features of StratoNet are never left out: a row has all, or was not measured.
    """
    missing = ~np.isfinite(table.frame[table.features].to_numpy(float))
    # Rows that were not measured at all say nothing about single features.
    measured = missing[~missing.all(axis=1)]
    if not len(measured):
        raise ValueError(f"{table.name}: features are missing in every row.")
    sparse = measured.mean(axis=0) > MOST_MISSING
    stratonet_features = set(feature_columns(table.features))
    sparse &= [name not in stratonet_features for name in table.features]
    is_lacking = missing[:, ~sparse].any(axis=1)
    if is_lacking.all() or sparse.all():
        worst = int(missing.mean(axis=0).argmax())
        raise ValueError(
            f"{table.name}: each of {len(is_lacking):,} rows lacks some features;"
            f" {table.features[worst]} is missing in {missing[:, worst].sum():,}."
        )
    if sparse.any():
        first_sparse = table.features[int(sparse.argmax())]
        table.notes.append(
            f"{sparse.sum():,} of {len(sparse):,} features are missing in many rows and"
            f" are left out, such as {first_sparse}."
        )
    if is_lacking.any():
        table.notes.append(
            f"{is_lacking.sum():,} of {len(is_lacking):,} rows have features that are"
            " missing, and are left out, such as"
            f" {_name_row(table.frame[is_lacking].iloc[0])}."
        )
    table.features = [
        name for name, is_sparse in zip(table.features, sparse) if not is_sparse
    ]
    # All other columns are left out, such as CellProfiler's names of files and times.
    columns = [*metadata_columns(table.frame), *table.features]
    table.frame = table.frame.loc[~is_lacking, columns].reset_index(drop=True)


def _name_row(row: pd.Series) -> str:
    """Name a row by plate and well, and say why it could not be measured."""
    reason = row.get(ERROR)
    text = f"{row[PLATE]} {row[WELL]}"
    return f"{text} ({reason})" if isinstance(reason, str) and reason else text

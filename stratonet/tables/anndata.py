"""Convert features to AnnData, as scanpy uses it, and read tables of AnnData."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from stratonet.extras import name_missing_extra
from stratonet.files.microscopes.opening import OF_ZARR
from stratonet.messages import shorten_list
from stratonet.naming import METADATA, feature_columns
from stratonet.tables.columns import IMAGE_NUMBER, OBJECT, OBJECT_NUMBER, REGION
from stratonet.tables.index import keep_index
from stratonet.tables.keys import name_key_columns
from stratonet.tables.numbers import read_numbers
from stratonet.tables.parquet import feature_parts, get_feature_set_id, read_features

if TYPE_CHECKING:
    from anndata import AnnData

H5AD = ".h5ad"
# The key in ``uns`` that says what a table of SpatialData annotates, and its own keys.
ATTRIBUTES = "spatialdata_attrs"
REGION_KEY, INSTANCE_KEY = "region_key", "instance_key"


def to_anndata(features: pd.DataFrame | str | os.PathLike[str]) -> AnnData:
    """Turn features into an `anndata.AnnData`, for scanpy and similar packages.

    Parameters
    ----------
    features : pandas.DataFrame, str or path
        A frame from `read_features`, or the location to read one from. A named index
        is kept in ``obs``.

    Returns
    -------
    anndata.AnnData
        ``X`` (n rows, n features), float32, a copy; ``obs`` with all other columns,
        text and dates as categories; ``var`` indexed by feature name, with ``channel``,
        ``tap`` and ``number``; ``uns["feature_set_id"]``.

    Raises
    ------
    ImportError
        anndata is not installed.
    ValueError
        There are no features, or they are of different feature sets; also as in
        `read_features`.

    Examples
    --------
    >>> frame = pd.DataFrame(
    ...     {
    ...         "Metadata_Well": ["A01", "A02"],
    ...         "Metadata_StratoFeatures": "stratonet50-1.0.0-9b08ec5a4d6a",
    ...         "StratoFeatures_High0000_DNA": np.array([0.5, 0.25], np.float32),
    ...     }
    ... )
    >>> to_anndata(frame).shape
    (2, 1)
    """
    with name_missing_extra("AnnData", "profiles"):
        from anndata import AnnData
    if isinstance(features, pd.DataFrame):
        frame = keep_index(features)
    else:
        frame = read_features(features)
    feature_set_id = get_feature_set_id(frame, "The frame")
    names = feature_columns(frame)
    values = np.require(read_numbers(frame[names]), np.float32, ["C", "W"])
    observations = _make_observations(frame.drop(columns=names))
    return AnnData(
        values,
        observations,
        feature_parts(names),
        uns={"feature_set_id": feature_set_id},
    )


def is_anndata(path: Path) -> bool:
    """Whether a path is a table of AnnData: an ``.h5ad`` file or a Zarr folder.

    Parameters
    ----------
    path : pathlib.Path
        A file or a folder; of a folder, the file that describes it is read.

    Raises
    ------
    ValueError
        The file that describes a Zarr folder is damaged.
    """
    if path.is_file():
        return path.suffix.lower() == H5AD
    for name in OF_ZARR:
        file = path / name
        if file.is_file():
            return _read_attributes(file).get("encoding-type") == "anndata"
    return False


def _read_attributes(file: Path) -> dict[str, Any]:
    """Read the attributes of a Zarr group, of version 2 or 3."""
    try:
        content = json.loads(file.read_bytes())
        return dict(content.get("attributes", content))
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(
            f"{file} does not describe a Zarr folder ({error}). Is it damaged?"
        ) from None


def refuse_store(folder: Path) -> None:
    """Refuse a SpatialData store, or its folder of tables, instead of one table.

    Parameters
    ----------
    folder : pathlib.Path
        Any folder.

    Raises
    ------
    ValueError
        The folder holds tables of AnnData in Zarr; the message names them.
    """
    tables = sorted(filter(is_anndata, {*folder.glob("tables/*"), *folder.glob("*")}))
    zarr_tables = [str(table) for table in tables if table.is_dir()]
    if zarr_tables:
        raise ValueError(
            f"{folder} holds tables of AnnData. Give one of them:"
            f" {shorten_list(zarr_tables)}"
        )


def read_anndata(path: Path) -> pd.DataFrame:
    """Read a table of AnnData, such as a table in a SpatialData store.

    Parameters
    ----------
    path : pathlib.Path
        A path for which `is_anndata` is true.

    Returns
    -------
    pandas.DataFrame
        ``obs`` as ``Metadata_*``, and ``X`` under the names in ``var``. The label image
        and the number of an object, as stored by SpatialData, are ``Metadata_Region``
        and ``Metadata_ObjectNumber``.

    Raises
    ------
    ImportError
        anndata is not installed.
    ValueError
        The table cannot be read, has no ``X``, or has two columns of the same name.
    """
    with name_missing_extra(f"{path}: reading AnnData", "profiles"):
        import anndata
    is_file = path.is_file()
    try:
        table = anndata.read_h5ad(path) if is_file else anndata.read_zarr(path)
    except Exception as error:  # h5py, zarr and anndata raise errors of many types
        zarr_hint = (
            "" if is_file else ", or of Zarr 3, which needs Python 3.11 or later"
        )
        raise ValueError(
            f"{path} cannot be read as AnnData ({type(error).__name__}: {error}). Is it"
            f" damaged{zarr_hint}?"
        ) from None
    if table.X is None:
        raise ValueError(f"{path} has no X, which holds the features.")
    values = table.X if isinstance(table.X, np.ndarray) else table.X.toarray()
    observations = _name_observations(table)
    names = [*observations, *map(str, table.var_names)]
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise ValueError(f"{path} has {repeated[0]} twice, as names in obs or var.")
    features = pd.DataFrame(values, columns=names[observations.shape[1] :])
    return pd.concat([observations, features], axis=1)


def _name_observations(table: AnnData) -> pd.DataFrame:
    """Return the metadata of a table, under StratoNet's names."""
    observations = table.obs.reset_index(drop=True)
    for name, column in observations.items():
        if isinstance(column.dtype, pd.CategoricalDtype):
            observations[name] = column.astype(object)
    attributes = table.uns.get(ATTRIBUTES, {})
    standard_names = {REGION_KEY: REGION, INSTANCE_KEY: OBJECT}
    renamed = {
        attributes[key]: name
        for key, name in standard_names.items()
        if key in attributes and name not in observations
    }
    observations = name_key_columns(observations.rename(columns=renamed))
    # The numbers that the CellProfiler module writes keep their names.
    kept_columns = (IMAGE_NUMBER, OBJECT_NUMBER)
    return observations.rename(
        columns=lambda name: (
            name
            if name.startswith(METADATA) or name in kept_columns
            else f"{METADATA}{name}"
        )
    )


def _make_observations(metadata: pd.DataFrame) -> pd.DataFrame:
    observations = metadata.copy()
    observations.index = observations.index.astype(str)
    for name in observations:
        column = observations[name]
        # .h5ad files hold no dates, and no text beside missing text.
        if pd.api.types.is_numeric_dtype(column):
            observations[name] = _simplify_numbers(column)
        else:
            texts = column.map(str, na_action="ignore").astype(object)
            observations[name] = pd.Categorical(texts)
    return observations


def _simplify_numbers(column: pd.Series) -> np.ndarray:
    """Return numbers in a type of numpy, since .h5ad files hold no others."""
    if column.isna().any():
        return column.to_numpy(float, na_value=np.nan)
    return column.to_numpy()

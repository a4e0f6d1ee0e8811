"""Features as scanpy and its relatives take them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from stratonet.extras import name_missing_extra
from stratonet.naming import feature_columns
from stratonet.tables.index import keep_index
from stratonet.tables.numbers import read_numbers
from stratonet.tables.parquet import feature_parts, get_feature_set_id, read_features

if TYPE_CHECKING:
    from anndata import AnnData


def to_anndata(features: pd.DataFrame | str | os.PathLike[str]) -> AnnData:
    """Turn features into an `anndata.AnnData`, as scanpy and its relatives take them.

    Parameters
    ----------
    features : pandas.DataFrame, str or path
        A frame of `read_features`, or where to read one. An index that has a name is
        kept in ``obs``.

    Returns
    -------
    anndata.AnnData
        ``X`` (n rows, n features), float32, a copy; ``obs`` all other columns, texts
        and dates as categories; ``var`` indexed by feature name, with ``channel``,
        ``tap`` and ``number``; ``uns["feature_set_id"]``.

    Raises
    ------
    ImportError
        anndata is not installed.
    ValueError
        No features, or of different feature sets; else as `read_features`.

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
    """Return numbers in a type of numpy, which .h5ad files hold."""
    if column.isna().any():
        return column.to_numpy(float, na_value=np.nan)
    return column.to_numpy()

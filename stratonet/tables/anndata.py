"""Features as scanpy and its relatives take them."""

import numpy as np
import pandas as pd

from stratonet.naming import feature_columns
from stratonet.tables.reading import feature_parts, get_feature_set_id, read_features


def to_anndata(features):
    """Features as an `anndata.AnnData`, as scanpy and its relatives take them.

    Parameters
    ----------
    features : pandas.DataFrame, str or path
        A frame of `read_features`, or where to read one.

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
    """
    try:
        from anndata import AnnData
    except ImportError:
        raise ImportError(
            "AnnData needs the package anndata: pip install anndata"
        ) from None
    frame = features if isinstance(features, pd.DataFrame) else read_features(features)
    feature_set_id = get_feature_set_id(frame, "The frame")
    names = feature_columns(frame)
    obs = frame.drop(columns=names)
    obs.index = obs.index.astype(str)
    for name in obs:
        if not pd.api.types.is_numeric_dtype(
            obs[name]
        ):  # .h5ad files hold no dates, and no text beside missing text
            obs[name] = pd.Categorical(
                obs[name].map(str, na_action="ignore").astype(object)
            )
    values = np.require(frame[names], np.float32, ["C", "W"])
    return AnnData(
        values, obs, feature_parts(names), uns={"feature_set_id": feature_set_id}
    )

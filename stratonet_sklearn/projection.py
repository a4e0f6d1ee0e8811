"""Fit the projection that makes tables narrow, see `stratonet.projection`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from stratonet.naming import feature_columns
from stratonet.projection import Projection
from stratonet.tables.columns import FEATURE_SET, PROJECTION
from stratonet.tables.index import keep_index
from stratonet.tables.numbers import read_numbers
from stratonet.tables.reading import feature_parts, read_features

# Share of the variance below which a component is mere rounding of features: its
# direction would be arbitrary.
NO_VARIANCE = 1e-10

# Label and width of each tap, in the order of the columns.
Taps = tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class _Channel:
    """The projection of one channel."""

    means: np.ndarray  # (n features,), float32
    components: np.ndarray  # (n components, n features), float32
    explained: np.ndarray  # (n components,), float32


def fit_projection(
    features: pd.DataFrame | str | os.PathLike[str], n_components: int = 50
) -> Projection:
    """Fit principal components to the features of each channel.

    Features are scaled to unit variance. Each channel is projected separately, so its
    components do not depend on which other channels there are.

    Parameters
    ----------
    features : pandas.DataFrame, str or path
        A table as `stratonet.tables.read_features` returns it, or a path that it reads.
        Rows with NaN are left out.
    n_components : int
        Number of components of each channel.

    Returns
    -------
    stratonet.projection.Projection

    Raises
    ------
    ValueError
        The table has no features, features of several feature sets, only some features
        of a tap, or components instead of features; or too few rows differ.

    Examples
    --------
    Twenty rows of a network with one tap of four features, two of them independent:

    >>> import numpy as np
    >>> import pandas as pd
    >>> from stratonet_sklearn import fit_projection
    >>> values = np.random.default_rng(0).normal(size=(20, 2))
    >>> names = [f"StratoFeatures_Low{number:04d}_DNA" for number in range(4)]
    >>> table = pd.DataFrame(np.hstack([values, -values]), columns=names)
    >>> table.insert(0, "Metadata_StratoFeatures", "small-1-abc")
    >>> projection = fit_projection(table, n_components=2)
    >>> projection.transform(table[names], "DNA").shape
    (20, 2)
    >>> round(float(projection.explained["DNA"].sum()), 3)
    1.0
    """
    if isinstance(features, pd.DataFrame):
        return _fit_frame(keep_index(features), "The frame", n_components)
    return _fit_frame(read_features(features), os.fspath(features), n_components)


def write_projection(
    features: str | os.PathLike[str],
    output: str | os.PathLike[str],
    n_components: int = 50,
) -> str:
    """Fit a projection to a table and write it to a file.

    Parameters
    ----------
    features : str or path
        What `stratonet.tables.read_features` reads.
    output : str or path
        The file; its folder is created if missing.
    n_components : int
        Number of components of each channel.

    Returns
    -------
    str
        What was done, in lines for the user to read.

    Raises
    ------
    ValueError
        See `fit_projection`.
    """
    frame = read_features(features)
    projection = _fit_frame(frame, os.fspath(features), n_components)
    projection.save(output)
    shares = ", ".join(
        f"{channel} {values.sum():.0%}"
        for channel, values in projection.explained.items()
    )
    left_out = len(frame) - projection.rows
    lines = [
        f"Projection   {projection.id}",
        f"Fitted to    {projection.rows:,} rows of {projection.feature_set_id};"
        f" {left_out:,} with NaN are left out",
        f"Components   {projection.width} of each channel, with this share of its"
        f" variance in these rows: {shares}",
        f"File         {output}",
    ]
    return "\n".join(lines)


def _fit_frame(frame: pd.DataFrame, source: str, n_components: int) -> Projection:
    """Fit a projection to the rows without NaN; ``source`` names the frame."""
    feature_set_id = _get_feature_set_id(frame, source)
    names = feature_columns(frame)
    columns = {
        channel: part
        for channel, part in feature_parts(names).groupby("channel", sort=False)
    }
    taps = _find_taps(columns, source)
    is_complete = frame[names].notna().all(axis=1).to_numpy()
    n_rows = int(is_complete.sum())
    _check_count(n_components, n_rows, taps, source)
    channels = {}
    for channel, part in columns.items():
        # Channel by channel: a copy of all features may not fit into memory.
        values = read_numbers(frame.loc[is_complete, part.index], np.float64)
        channels[channel] = _fit_channel(values, n_components, channel, source)
    return Projection(
        feature_set_id,
        taps,
        {name: channel.means for name, channel in channels.items()},
        {name: channel.components for name, channel in channels.items()},
        {name: channel.explained for name, channel in channels.items()},
        n_rows,
    )


def _get_feature_set_id(frame: pd.DataFrame, source: str) -> str:
    """Return the one feature set id of a table of features."""
    if PROJECTION in frame:
        raise ValueError(
            f"{source} already holds components of {frame[PROJECTION].iloc[0]}. Give a"
            " table of features."
        )
    if not feature_columns(frame) or FEATURE_SET not in frame:
        raise ValueError(
            f"{source} holds no features of StratoNet with their {FEATURE_SET}."
        )
    ids = frame[FEATURE_SET].unique()
    if len(ids) > 1:
        raise ValueError(
            f"{source} holds features of {', '.join(map(str, ids))}. Give those of one"
            " feature set."
        )
    return str(ids[0])


def _find_taps(columns: Mapping[str, pd.DataFrame], source: str) -> Taps:
    """Find the taps, which all channels share."""
    taps = {channel: _list_taps(part, source) for channel, part in columns.items()}
    different = set(taps.values())
    if len(different) > 1:
        raise ValueError(
            f"{source} has different taps for {', '.join(taps)}: {list(taps.values())}."
        )
    return different.pop()


def _list_taps(part: pd.DataFrame, source: str) -> Taps:
    """List the taps of a channel, from the names of its features."""
    taps = []
    # The projection takes features by position, so that none may be missing.
    for tap, numbers in part.groupby("tap", sort=False).number:
        if list(numbers) != list(range(len(numbers))):
            raise ValueError(
                f"{source} does not hold all features of {tap}, in their order. Give"
                " the table as it was measured."
            )
        taps.append((tap, len(numbers)))
    return tuple(taps)


def _check_count(n_components: int, n_rows: int, taps: Taps, source: str) -> None:
    width = sum(tap_width for _, tap_width in taps)
    # Of n rows, centred, only n - 1 are independent.
    most = min(n_rows - 1, width)
    if not 1 <= n_components <= most:
        raise ValueError(
            f"n_components must be at least 1, less than the number of rows, and no"
            f" more than {width:,} features per channel. Received: {n_components}."
            f" {source} has {n_rows:,} rows without NaN."
        )


def _fit_channel(
    values: np.ndarray, n_components: int, channel: str, source: str
) -> _Channel:
    """Fit components to features (n rows, n features), float64."""
    # In place: `values` is a copy already.
    scaler = StandardScaler(copy=False)
    scaled = scaler.fit_transform(values)
    # The one solver that is both exact and quick for many rows.
    pca = PCA(n_components, svd_solver="covariance_eigh").fit(scaled)
    varied = int((pca.explained_variance_ratio_ > NO_VARIANCE).sum())
    if varied < n_components:
        raise ValueError(
            f"{n_components} components need rows that vary in as many directions. The"
            f" {len(values):,} rows without NaN in {source} vary in {varied}, for"
            f" {channel}. Give more rows, or ask for {varied or 'no'} components."
        )
    return _Channel(
        scaler.mean_.astype(np.float32),
        # The scale of each feature is included, so that there is one product to
        # compute.
        (pca.components_ / scaler.scale_).astype(np.float32),
        pca.explained_variance_ratio_.astype(np.float32),
    )

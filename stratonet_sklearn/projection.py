"""Fitting the projection that makes tables narrow, see `stratonet.projection`."""

import os

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from stratonet.naming import feature_columns
from stratonet.projection import Projection
from stratonet.tables.columns import FEATURE_SET, PROJECTION
from stratonet.tables.reading import feature_parts, read_features

# Share of the variance below which a component is the rounding of features: its direction would be arbitrary.
NO_VARIANCE = 1e-10


def fit_projection(features, n_components=50):
    """Fit principal components to the features of each channel, scaled to unit variance.

    Channels are projected one by one, so that a channel has the same components
    whichever others are beside it.

    Parameters
    ----------
    features : pandas.DataFrame, str or path
        What `stratonet.extraction.read_features` returns, or what it reads. Rows with
        NaN are left out.
    n_components : int
        Of each channel.

    Returns
    -------
    stratonet.projection.Projection

    Raises
    ------
    ValueError
        No features, those of several feature sets, not all features of a tap,
        components in place of features, or too few rows that differ.
    """
    if isinstance(features, pd.DataFrame):
        return _fit(features, "The frame", n_components)[0]
    return _fit(read_features(features), os.fspath(features), n_components)[0]


def project(features, output, n_components=50):
    """Fit a projection to what `read_features` reads and write it to a file.

    What was done, in words.
    """
    made, left_out = _fit(read_features(features), os.fspath(features), n_components)
    made.save(output)
    shares = ", ".join(
        f"{channel} {values.sum():.0%}" for channel, values in made.explained.items()
    )
    return (
        f"Projection   {made.id}\nFitted to    {made.rows:,} rows of"
        f" {made.feature_set_id}; {left_out:,} with NaN are left out\nComponents  "
        f" {made.width} of each channel, with this share of its variance in these rows:"
        f" {shares}\nFile         {output}"
    )


def _fit(frame, where, n_components):
    """The projection, and how many rows were left out."""
    if PROJECTION in frame:
        raise ValueError(
            f"{where} holds components of {frame[PROJECTION].iloc[0]} already. Give a"
            " table of features."
        )
    names = feature_columns(frame)
    if not names or FEATURE_SET not in frame:
        raise ValueError(
            f"{where} holds no features of StratoNet with their {FEATURE_SET}."
        )
    ids = frame[FEATURE_SET].unique()
    if len(ids) > 1:
        raise ValueError(
            f"{where} holds features of {', '.join(map(str, ids))}. Give those of one"
            " feature set."
        )
    parts = feature_parts(names)
    taps = {
        channel: _taps(part, where)
        for channel, part in parts.groupby("channel", sort=False)
    }
    if len(set(taps.values())) > 1:
        raise ValueError(
            f"{where} has other taps for {', '.join(taps)}: {list(taps.values())}."
        )
    (widths,) = set(taps.values())
    whole = frame[names].notna().all(axis=1).to_numpy()
    rows, width = int(whole.sum()), sum(count for _, count in widths)
    if not 1 <= n_components < min(rows, width + 1):
        raise ValueError(
            f"{n_components} components need more rows than that, and no more than"
            f" {width:,} features a channel. {where} has {rows:,} rows without NaN."
        )
    means, components, explained = {}, {}, {}
    for channel, part in parts.groupby("channel", sort=False):
        values = frame.loc[whole, part.index].to_numpy(np.float64)
        scaler = StandardScaler(copy=False)
        found = PCA(n_components, svd_solver="covariance_eigh").fit(
            scaler.fit_transform(values)
        )
        varied = int((found.explained_variance_ratio_ > NO_VARIANCE).sum())
        if varied < n_components:
            raise ValueError(
                f"{n_components} components need rows that differ in as many. The"
                f" {rows:,} without NaN in {where} differ in {varied}, for {channel}."
                f" Give more rows, or ask for {varied or 'no'} components."
            )
        means[channel] = scaler.mean_.astype(np.float32)
        components[channel] = (found.components_ / scaler.scale_).astype(np.float32)
        explained[channel] = found.explained_variance_ratio_.astype(np.float32)
    return (
        Projection(str(ids[0]), widths, means, components, explained, rows),
        len(frame) - rows,
    )


def _taps(part, where):
    """Label and width of each tap of a channel, in the order of the columns."""
    taps = []
    for tap, numbers in part.groupby("tap", sort=False).number:
        if list(numbers) != list(range(len(numbers))):
            raise ValueError(
                f"{where} does not hold all features of {tap}, in their order. Give the"
                " table as it was measured."
            )
        taps.append((tap, len(numbers)))
    return tuple(taps)

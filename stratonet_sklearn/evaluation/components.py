"""What a feature table looks like without labels: its components and its map."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

N_COMPONENTS = 50
# UMAP looks for 15 neighbours. Fewer rows are shown by their first two components.
FEWEST_FOR_UMAP = 15
# More points hide each other, and UMAP takes minutes for them.
MOST_ON_MAP = 5000
# A feature's weight counts the first components only: the last ones are mostly noise.
N_WEIGHTED = 3


@dataclass(frozen=True)
class Components:
    """Principal components of a feature table.

    Attributes
    ----------
    positions : numpy.ndarray (n rows, n components)
        Each row in the coordinates of the components.
    variance_ratio : numpy.ndarray (n components,)
        The share of the variance that each component explains, the largest first.
    weights : pandas.Series (n features,)
        By feature: how much of its variance the first three components explain.
    """

    positions: np.ndarray
    variance_ratio: np.ndarray
    weights: pd.Series


def compute_components(features: pd.DataFrame, seed: int = 0) -> Components:
    """Compute the principal components of features scaled to unit variance.

    Parameters
    ----------
    features : pandas.DataFrame (n rows, n features)
        Numbers without NaN.
    seed : int
        For the randomized solver, which scikit-learn chooses for large tables.

    Returns
    -------
    Components
        At most 50, and fewer than there are rows.

    Examples
    --------
    >>> frame = pd.DataFrame({"a": [0.0, 1, 2, 3], "b": [0.0, 2, 4, 6]})
    >>> compute_components(frame).variance_ratio.round(3).tolist()
    [1.0, 0.0]
    """
    # Features have units of their own: unscaled, the largest numbers would win.
    values = StandardScaler().fit_transform(features)
    n_components = min(N_COMPONENTS, len(values) - 1, values.shape[1])
    pca = PCA(n_components, random_state=seed)
    positions = pca.fit_transform(values)
    squares = pca.components_[:N_WEIGHTED] ** 2
    weights = pca.explained_variance_[:N_WEIGHTED] @ squares
    return Components(
        positions, pca.explained_variance_ratio_, pd.Series(weights, features.columns)
    )


def choose_rows(n_rows: int, seed: int = 0) -> np.ndarray:
    """Choose the rows of a map: all, or a random 5,000 of more.

    Parameters
    ----------
    n_rows : int
        How many rows there are.
    seed : int
        For the random choice.

    Returns
    -------
    numpy.ndarray of int
        Row numbers in ascending order.

    Examples
    --------
    >>> choose_rows(4)
    array([0, 1, 2, 3])
    >>> len(choose_rows(20_000))
    5000
    """
    if n_rows <= MOST_ON_MAP:
        return np.arange(n_rows)
    rng = np.random.default_rng(seed)
    return np.sort(rng.choice(n_rows, MOST_ON_MAP, replace=False))


def compute_map(positions: np.ndarray, seed: int = 0) -> np.ndarray:
    """Place rows in two dimensions, so that similar rows lie together.

    Parameters
    ----------
    positions : numpy.ndarray (n rows, n components)
        Principal components of the rows.
    seed : int
        For UMAP. The same seed gives the same map, because one thread computes it.

    Returns
    -------
    numpy.ndarray (n rows, 2)
        A UMAP of the components; of fewer than 15 rows, the first two components.
    """
    if len(positions) >= FEWEST_FOR_UMAP:
        return _run_umap(positions, seed)
    if positions.shape[1] > 1:
        return positions[:, :2]
    # One feature, or two rows: there is no second axis.
    return np.pad(positions, ((0, 0), (0, 1)))


def _run_umap(positions: np.ndarray, seed: int) -> np.ndarray:
    # Imported when called: numba takes seconds to load. umap also imports TensorFlow
    # where it is installed, for its parametric variant, which is not used here; an
    # installation of stratonet[evaluate] has none.
    from numba.extending import is_jitted
    from umap import UMAP, umap_

    # Compiling these functions takes ten seconds in each process, unless the results
    # are cached, as those of pynndescent are.
    for function in (
        umap_.fast_knn_indices,
        umap_.smooth_knn_dist,
        umap_.compute_membership_strengths,
    ):
        # Not where users switched numba's compiler off.
        if is_jitted(function):
            function.enable_caching()
    return UMAP(random_state=seed, n_jobs=1, init="pca").fit_transform(positions)

"""Principal components against a second computation, and maps of few rows."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stratonet_sklearn.evaluation.components import (
    FEWEST_FOR_UMAP,
    MOST_ON_MAP,
    choose_rows,
    compute_components,
    compute_map,
)


@pytest.fixture
def frame(rng):
    units = [1, 100, 0.01, 1, 1]
    return pd.DataFrame(rng.normal(size=(30, 5)) * units, columns=list("abcde"))


def test_components_are_those_of_the_correlations(frame):
    components = compute_components(frame)
    eigenvalues, vectors = np.linalg.eigh(frame.corr())
    ratio = eigenvalues[::-1] / eigenvalues.sum()
    assert components.variance_ratio == pytest.approx(ratio)
    assert components.positions.shape == (30, 5)
    # Of the variance of each feature, scaled to 1, what three components explain; the
    # sample's variance is larger by one degree of freedom.
    explained = (vectors[:, :-4:-1] ** 2) @ eigenvalues[:-4:-1] * 30 / 29
    assert components.weights.to_numpy() == pytest.approx(explained)
    assert list(components.weights.index) == list(frame)


def test_there_are_fewer_components_than_rows(frame):
    assert compute_components(frame[:4]).positions.shape == (4, 3)


def test_rows_of_a_map_are_in_order_and_the_same_again():
    rows = choose_rows(3 * MOST_ON_MAP, seed=1)
    assert len(rows) == MOST_ON_MAP and (np.diff(rows) > 0).all()
    assert np.array_equal(rows, choose_rows(3 * MOST_ON_MAP, seed=1))
    assert not np.array_equal(rows, choose_rows(3 * MOST_ON_MAP, seed=2))


def test_few_rows_are_shown_by_their_components(rng):
    positions = rng.normal(size=(FEWEST_FOR_UMAP - 1, 3))
    assert np.array_equal(compute_map(positions), positions[:, :2])
    one = compute_map(positions[:, :1])
    assert np.array_equal(one[:, 0], positions[:, 0]) and not one[:, 1].any()


@pytest.mark.slow
def test_a_map_is_the_same_again(rng):
    positions = rng.normal(size=(FEWEST_FOR_UMAP + 5, 3))
    first = compute_map(positions, seed=3)
    assert first.shape == (FEWEST_FOR_UMAP + 5, 2) and np.isfinite(first).all()
    assert np.array_equal(first, compute_map(positions, seed=3))
    # What was compiled is kept for the next process.
    from umap import umap_

    assert list(Path(umap_.smooth_knn_dist.stats.cache_path).glob("umap_.smooth_knn*"))

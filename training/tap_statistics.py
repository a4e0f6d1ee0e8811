"""Measure how well features separate two groups of wells, with intervals over wells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.spatial.distance import pdist, squareform
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from stratonet_sklearn.evaluation.separation import average_pairs, compute_z_prime

RESAMPLES = 2000
PERMUTATIONS = 9999
# The concatenated features of all named taps, which are not ranked among single taps.
TOGETHER = "together"
# Prefixes of the columns of the table, in order.
MEASURES = ("features", "z_prime", "balanced_accuracy", "distance")

# Positions of the wells to train on and to test on.
Fold = tuple[np.ndarray, np.ndarray]


class Accuracy(NamedTuple):
    """A balanced accuracy and its 95 % interval.

    Attributes
    ----------
    value, lower, upper : float
        From 0 to 1.
    """

    value: float
    lower: float
    upper: float


@dataclass(frozen=True)
class _Draws:
    """Random draws of wells, shared by all sets of features.

    Attributes
    ----------
    negatives, positives : numpy.ndarray (resamples, n), int
        How often each well is drawn within its own role.
    permuted : numpy.ndarray (permutations, n), bool
        Which wells are positive when roles are permuted.
    """

    negatives: np.ndarray
    positives: np.ndarray
    permuted: np.ndarray


def compare_features(
    features: Mapping[str, np.ndarray],
    positive: np.ndarray,
    folds: Sequence[Fold],
    seed: int,
) -> pd.DataFrame:
    """Compare sets of features on the same wells, folds and resamples.

    Parameters
    ----------
    features : dict of str to numpy.ndarray (n, any width)
        The key ``together`` is not ranked among the others.
    positive : numpy.ndarray (n,), bool
        Which wells are positive controls; the others are negative.
    folds : list of (train, test)
        Positions of wells.
    seed : int
        Seed of resamples and permutations.

    Returns
    -------
    pandas.DataFrame
        Index ``tap``, and the columns

        - ``features``: number of features;
        - ``z_prime``: Z'-factor of the scores of `score_held_out`;
        - ``distance``, ``distance_p``: `compute_inhomogeneity` of the standardised
          features, and the share of permutations of the wells' roles that reach it;
        - for both: ``_lower`` and ``_upper``, the 95 % bootstrap interval over wells,
          without fitting the axes again; ``_rank`` among the single taps;
          ``_first``, the share of resamples in which the tap ranks first;
          ``_minus_best`` and ``_minus_together``, the difference to the best single tap
          and to ``together``, with its paired interval. The best is chosen on these
          same wells, which flatters it a little;
        - ``balanced_accuracy``: share of held-out wells on the correct side of 0.5,
          averaged over the roles; its interval is Jeffreys', because a bootstrap of
          1.00 has no width.
    """
    draws = _draw_wells(positive, seed)
    rows = {}
    z_primes, distances = {}, {}
    for name, values in features.items():
        scores = score_held_out(values, positive, folds)
        # Standardised, because otherwise the features of largest range would dominate.
        pairs = squareform(pdist(StandardScaler().fit_transform(values)))
        rows[name] = _measure(values, scores, pairs, positive, draws, seed)
        z_primes[name] = compute_z_prime(scores, draws.negatives, draws.positives)
        distances[name] = compute_inhomogeneity(pairs, draws.negatives, draws.positives)
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("tap")
    _add_comparisons(table, "z_prime", z_primes)
    _add_comparisons(table, "distance", distances)
    columns = [
        column for measure in MEASURES for column in table if column.startswith(measure)
    ]
    return table[columns]


def _draw_wells(positive: np.ndarray, seed: int) -> _Draws:
    rng = np.random.default_rng(seed)
    negatives, positives = (
        rng.multinomial(role.sum(), role / role.sum(), RESAMPLES)
        for role in (~positive, positive)
    )
    # The number of wells of each role stays the same.
    permuted = np.array([rng.permutation(positive) for _ in range(PERMUTATIONS)])
    return _Draws(negatives, positives, permuted)


def _measure(
    values: np.ndarray,
    scores: np.ndarray,
    pairs: np.ndarray,
    positive: np.ndarray,
    draws: _Draws,
    seed: int,
) -> dict[str, float]:
    distance = compute_inhomogeneity(pairs, ~positive, positive)
    permuted = compute_inhomogeneity(pairs, ~draws.permuted, draws.permuted)
    # Values equal except for rounding count as reaching the distance, and the original
    # roles as one permutation.
    reached = np.sum(~(permuted < distance - 1e-9))
    is_correct = (scores > 0.5) == positive
    accuracy = compute_balanced_accuracy(is_correct, positive, seed)
    return {
        "features": values.shape[1],
        "z_prime": compute_z_prime(scores, ~positive, positive),
        "distance": distance,
        "distance_p": (1 + reached) / (1 + PERMUTATIONS),
        "balanced_accuracy": accuracy.value,
        "balanced_accuracy_lower": accuracy.lower,
        "balanced_accuracy_upper": accuracy.upper,
    }


def _add_comparisons(
    table: pd.DataFrame, measure: str, resampled: Mapping[str, np.ndarray]
) -> None:
    """Add intervals, ranks and differences of a measure to a table, in place."""
    draws = pd.DataFrame(resampled).T
    # A resample that drew the same well every time has no spread.
    draws = draws.dropna(axis=1, how="all")
    single = table.index != TOGETHER
    table[f"{measure}_lower"], table[f"{measure}_upper"] = _compute_interval(draws)
    table[f"{measure}_rank"] = table[measure][single].rank(ascending=False)
    ranks = draws[single].rank(ascending=False)
    table[f"{measure}_first"] = ranks.eq(1).mean(axis=1)
    others = {"best": table[measure][single].idxmax()}
    if not single.all():
        others[TOGETHER] = TOGETHER
    for name, other in others.items():
        column = f"{measure}_minus_{name}"
        table[column] = table[measure] - table[measure][other]
        # Paired: both taps are measured on the same resample.
        lower, upper = _compute_interval(draws - draws.loc[other])
        table[f"{column}_lower"], table[f"{column}_upper"] = lower, upper


def _compute_interval(draws: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    return draws.quantile(0.025, axis=1), draws.quantile(0.975, axis=1)


def score_held_out(
    features: np.ndarray, positive: np.ndarray, folds: Sequence[Fold]
) -> np.ndarray:
    """Score wells on the axis of a linear SVM that has not seen them.

    Parameters
    ----------
    features : numpy.ndarray (n, width)
        Features of wells.
    positive : numpy.ndarray (n,), bool
        Which wells are positive controls.
    folds : list of (train, test)
        Positions of wells.

    Returns
    -------
    numpy.ndarray (n,)
        0 is the mean of the negative controls in the SVM's training set, 1 that of the
        positive ones: each fold has its own axis, and this gives all of them the same
        scale. NaN for features that do not vary.
    """
    scores = np.empty(len(features))
    for train, test in folds:
        # Linear, because there are thousands of features and few wells; balanced,
        # because plates often have twice as many negative controls (BBBC013 does).
        svm = SVC(kernel="linear", class_weight="balanced")
        model = make_pipeline(StandardScaler(), svm)
        model.fit(features[train], positive[train])
        train_scores = model.decision_function(features[train])
        low = train_scores[~positive[train]].mean()
        high = train_scores[positive[train]].mean()
        with np.errstate(invalid="ignore"):  # features that do not vary have no axis
            test_scores = model.decision_function(features[test])
            scores[test] = (test_scores - low) / (high - low)
    return scores


def compute_inhomogeneity(
    distances: np.ndarray, negative: np.ndarray, positive: np.ndarray
) -> float | np.ndarray:
    """Compute the energy distance of two groups as a share of their mean distance.

    ``(2 E|X-Y| - E|X-X'| - E|Y-Y'|) / (2 E|X-Y|)`` (Szekely and Rizzo 2013), without
    bias: the mean is 0 for equal distributions whatever the number of wells, so single
    values can be negative. It is 1 if the spread within groups is negligible compared
    with the distance between them.

    Parameters
    ----------
    distances : numpy.ndarray (n, n)
        Distances between wells.
    negative, positive : numpy.ndarray (n,) or (resamples, n), bool or int
        How often each well counts in its group.

    Returns
    -------
    float or numpy.ndarray (resamples,)

    Examples
    --------
    >>> from scipy.spatial.distance import pdist, squareform
    >>> distances = squareform(pdist([[0.0], [1.0], [4.0], [6.0]]))
    >>> negative = np.array([True, True, False, False])
    >>> round(float(compute_inhomogeneity(distances, negative, ~negative)), 3)
    0.667
    """
    total = np.sum(negative @ distances * positive, axis=-1)
    between = total / (negative.sum(-1) * positive.sum(-1))
    with np.errstate(invalid="ignore"):  # a resample of one well has no pairs
        within = average_pairs(distances, negative)
        within = within + average_pairs(distances, positive)
        return 1 - within / (2 * between)


def compute_balanced_accuracy(
    is_correct: np.ndarray, positive: np.ndarray, seed: int
) -> Accuracy:
    """Compute a balanced accuracy with Jeffreys' interval for each role.

    See Brown et al. (2001).

    Parameters
    ----------
    is_correct : numpy.ndarray (n,), bool
        Which wells are on the correct side.
    positive : numpy.ndarray (n,), bool
        Which wells are positive controls.
    seed : int
        Seed of the draws for the interval.

    Returns
    -------
    Accuracy
    """
    rng = np.random.default_rng(seed)
    value = 0.0
    draws = np.zeros(RESAMPLES)
    for role in (positive, ~positive):
        hits, misses = is_correct[role].sum(), (~is_correct)[role].sum()
        value += hits / role.sum() / 2
        draws += rng.beta(hits + 0.5, misses + 0.5, RESAMPLES) / 2
    lower, upper = np.percentile(draws, [2.5, 97.5])
    # Jeffreys' interval of 1.00 ends below 1.00.
    return Accuracy(value, min(lower, value), max(upper, value))

"""The axis from negative to positive controls, tested on wells that it has not seen."""

from __future__ import annotations

from math import comb

import numpy as np
from scipy.stats import mannwhitneyu
from sklearn import config_context
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.model_selection import GroupKFold, StratifiedKFold

from stratonet_sklearn.evaluation.wells import Wells

# Only the features that separate the training controls best are used: the noise of
# thousands of others would drown them. More than a few, as single ones differ between
# plates.
KEPT_SHARE = 0.05
FEWEST_KEPT = 20
# Half of the covariance is replaced by a sphere: a plate has fewer controls than
# features.
SHRINKAGE = 0.5
MOST_FOLDS = 10
# How often the wells of one plate are divided, as each division is random.
REPEATS = 5
# This share of axes through noise would be confirmed by chance.
CONFIRMED = 0.05
PERMUTATIONS = 39
Folds = list[tuple[np.ndarray, np.ndarray]]


def place_wells(wells: Wells, seed: int) -> tuple[np.ndarray, np.ndarray, str, float]:
    """Place each control on axes fitted without it, and other wells on the mean axis.

    Parameters
    ----------
    wells : Wells
        With two negative and two positive controls or more.
    seed : int
        For dividing the wells.

    Returns
    -------
    weights : numpy.ndarray (n features,)
        The mean of the axes.
    scores : numpy.ndarray (n wells,)
        About 0 for negative and 1 for positive controls.
    division : str
        How the controls were divided.
    p : float
        The probability that chance separates controls as well.
    """
    controls = np.flatnonzero(wells.negative | wells.positive)
    is_positive = wells.positive[controls]
    values = wells.values[controls]
    folds = _divide_plates(is_positive, wells.plates[controls])
    if folds:
        division = f"on other plates, in {len(folds)} parts"
        held_out, weights, offset = _hold_out_controls(values, is_positive, folds)
        p = _compare_scores(held_out, is_positive)[1]
    else:
        folds = _divide_wells(is_positive, seed, REPEATS)
        division = f"on other wells, in {len(folds) // REPEATS} parts, {REPEATS} times"
        held_out, weights, offset = _hold_out_controls(values, is_positive, folds)
        p = _permute_roles(values, is_positive, seed)
    scores = wells.values @ weights.astype(np.float32) - offset
    scores[controls] = held_out
    return weights, scores.astype(float), division, p


def _divide_plates(is_positive: np.ndarray, plates: np.ndarray) -> Folds:
    """Divide controls by plates; not at all if an axis would lack one of the roles."""
    n_plates = len(np.unique(plates))
    if n_plates < 2:
        return []
    splitter = GroupKFold(min(n_plates, MOST_FOLDS))
    folds = list(splitter.split(np.zeros((len(plates), 1)), groups=plates))
    has_both_roles = all(len(set(is_positive[train])) == 2 for train, _ in folds)
    return folds if has_both_roles else []


def _divide_wells(is_positive: np.ndarray, seed: int, n_repeats: int) -> Folds:
    """Divide controls at random, several times: how they are divided is chance."""
    n_folds = int(min(MOST_FOLDS, is_positive.sum(), (~is_positive).sum()))
    folds: Folds = []
    for repeat in range(n_repeats):
        splitter = StratifiedKFold(n_folds, shuffle=True, random_state=seed + repeat)
        folds += splitter.split(np.zeros((len(is_positive), 1)), is_positive)
    return folds


def _hold_out_controls(
    values: np.ndarray, is_positive: np.ndarray, folds: Folds
) -> tuple[np.ndarray, np.ndarray, float]:
    """Place each control on axes fitted without it; and return the mean of all axes."""
    weights, offsets = [], []
    sums, counts = np.zeros(len(values)), np.zeros(len(values))
    for train, test in folds:
        direction, offset = fit_axis(values[train], is_positive[train])
        sums[test] += values[test] @ direction - offset
        counts[test] += 1
        weights.append(direction)
        offsets.append(offset)
    return sums / counts, np.mean(weights, axis=0), float(np.mean(offsets))


def _compare_scores(scores: np.ndarray, is_positive: np.ndarray) -> tuple[float, float]:
    """Count how often positive controls lie above negative ones; also return p."""
    test = mannwhitneyu(
        scores[is_positive], scores[~is_positive], alternative="greater"
    )
    return float(test.statistic), float(test.pvalue)


def _permute_roles(values: np.ndarray, is_positive: np.ndarray, seed: int) -> float:
    """Return how often roles that are drawn at random separate controls as well.

    Wells of one plate that are held out in turn are not independent: by the
    Mann-Whitney test, one in four axes through noise was confirmed.
    """

    def separate(roles: np.ndarray) -> tuple[float, float]:
        held_out, *_ = _hold_out_controls(values, roles, _divide_wells(roles, seed, 1))
        positive, negative = held_out[roles], held_out[~roles]
        spread = np.sqrt(positive.var() + negative.var())
        # With few controls, many divisions leave no overlap: then the distance decides.
        distance = (positive.mean() - negative.mean()) / max(spread, 1e-12)
        return _compare_scores(held_out, roles)[0], float(distance)

    observed = separate(is_positive)
    drawn = [separate(roles) for roles in draw_roles(is_positive, seed)]
    n_above = sum(statistic >= observed for statistic in drawn)
    return (1 + n_above) / (1 + len(drawn))


def draw_roles(is_positive: np.ndarray, seed: int) -> list[np.ndarray]:
    """Draw divisions of controls other than the true one, each once.

    Of few controls, the true division would otherwise be drawn often.

    Parameters
    ----------
    is_positive : numpy.ndarray (n controls,), bool
        The true roles.
    seed : int
        For the random order.

    Returns
    -------
    list of numpy.ndarray (n controls,), bool
        39, or all that there are. With as many negative as positive controls,
        exchanging the two gives the same division.

    Examples
    --------
    >>> [roles.tolist() for roles in draw_roles(np.array([True, False, False]), 0)]
    [[False, True, False], [False, False, True]]
    """
    n_divisions = comb(len(is_positive), int(is_positive.sum()))
    if 2 * is_positive.sum() == len(is_positive):
        n_divisions //= 2
    rng = np.random.default_rng(seed)
    known_divisions = {is_positive.tobytes(), (~is_positive).tobytes()}
    drawn: list[np.ndarray] = []
    while len(drawn) < min(PERMUTATIONS, n_divisions - 1):
        roles = rng.permutation(is_positive)
        if roles.tobytes() not in known_divisions:
            known_divisions |= {roles.tobytes(), (~roles).tobytes()}
            drawn.append(roles)
    return drawn


def fit_axis(values: np.ndarray, is_positive: np.ndarray) -> tuple[np.ndarray, float]:
    """Fit the axis from negative to positive controls.

    Parameters
    ----------
    values : numpy.ndarray (n controls, n features)
        Scaled features.
    is_positive : numpy.ndarray (n controls,), bool
        With negative and positive controls.

    Returns
    -------
    direction : numpy.ndarray (n features,)
        Linear discriminant analysis, regularized, of the features that differ most.
    offset : float
        ``values @ direction - offset`` is 0 at the mean of the negative controls
        given, and 1 at that of the positive ones.
    """
    positive, negative = values[is_positive], values[~is_positive]
    difference = positive.mean(axis=0, dtype=float) - negative.mean(axis=0, dtype=float)
    kept_features = _choose_features(positive, negative, difference)
    chosen_values = values[:, kept_features].astype(float)
    # With fewer wells than features, projecting to the space of wells loses nothing.
    _, lengths, basis = np.linalg.svd(
        chosen_values - chosen_values.mean(axis=0), full_matrices=False
    )
    basis = basis[lengths > 1e-6 * lengths[0]]
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=SHRINKAGE)
    # A single control has no covariance: the difference of the means has to do.
    if min(len(positive), len(negative)) > 1 and len(basis):
        # Hundreds of axes are fitted: checks of input and settings take a third of the
        # time.
        with config_context(assume_finite=True, skip_parameter_validation=True):
            kept_direction = (
                model.fit(chosen_values @ basis.T, is_positive).coef_[0] @ basis
            )
    else:
        kept_direction = difference[kept_features]
    direction = np.zeros(values.shape[1])
    direction[kept_features] = kept_direction
    low, high = _project_means(negative, positive, direction)
    if high <= low:
        direction = difference
        low, high = _project_means(negative, positive, direction)
    width = max(high - low, 1e-12)
    return direction / width, low / width


def _project_means(
    negative: np.ndarray, positive: np.ndarray, direction: np.ndarray
) -> tuple[float, float]:
    return float(negative.mean(axis=0) @ direction), float(
        positive.mean(axis=0) @ direction
    )


def _choose_features(
    positive: np.ndarray, negative: np.ndarray, difference: np.ndarray
) -> np.ndarray:
    """Choose the features that differ most, by their t statistic."""
    n_kept = max(FEWEST_KEPT, int(np.ceil(KEPT_SHARE * len(difference))))
    if n_kept >= len(difference):
        return np.arange(len(difference))
    squares = positive.var(axis=0) * len(positive) + negative.var(axis=0) * len(
        negative
    )
    variance = squares / max(len(positive) + len(negative) - 2, 1)
    # Without this, features that happen to vary little among a few wells would be
    # chosen first.
    floor = max(0.1 * float(np.median(variance)), 1e-12)
    strength = np.abs(difference) / np.sqrt(variance + floor)
    return np.sort(np.argpartition(strength, -n_kept)[-n_kept:])

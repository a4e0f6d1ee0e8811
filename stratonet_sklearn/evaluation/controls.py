"""Whether an assay works: how far positive controls lie from negative ones.

Z' along an axis that is fitted to the controls would be as good as one likes where
there are more features than wells. Here each control is placed on an axis that was
fitted without it.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import (
    bootstrap,
    false_discovery_control,
    kruskal,
    mannwhitneyu,
    median_abs_deviation,
)
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.model_selection import GroupKFold, StratifiedKFold

from stratonet_sklearn.evaluation.distances import measure_distances
from stratonet_sklearn.evaluation.wells import Wells, prepare_wells

# The features that separate the training controls best are kept: noise of thousands of
# others would drown them. More than a few, as single ones differ between plates.
KEPT = 0.05
FEWEST_KEPT = 20
# Half of the covariance is replaced by a sphere: a plate has fewer controls than
# features.
SHRINKAGE = 0.5
MOST_FOLDS = 10
# Of the wells of one plate: how they are divided is chance.
REPEATS = 5
# By chance, this share of axes through noise would be confirmed.
CONFIRMED = 0.05
PERMUTATIONS = 39
Folds = list[tuple[np.ndarray, np.ndarray]]
# Zhang et al. (1999): excellent from here on, and no assay for screening below 0.
GOOD_Z_PRIME = 0.5
DRAWS = 1000
# Fewer values have no interval worth the name.
FEWEST_DRAWN = 4


@dataclass(frozen=True)
class Controls:
    """How the controls of an assay differ.

    Attributes
    ----------
    plates : pandas.DataFrame (n plates)
        ``plate``; ``n_negative``, ``n_positive``; ``z_prime`` with ``low`` and ``high``
        (95% interval, bootstrap of wells); ``robust_z_prime`` (medians and median
        absolute deviations); ``ssmd``; ``negative_mean``, ``negative_sd``,
        ``positive_mean``, ``positive_sd`` on the axis; ``shift``, how far along the
        axis the plate lies from the mean of all, in distances between the controls;
        ``note``, why there is no number.
    wells : pandas.DataFrame (n wells)
        ``plate``, ``well``, ``role``, ``axis``: 0 is the mean of the negative controls
        of the plate, 1 that of the positive ones; NaN without an axis.
    drift : pandas.DataFrame
        Whether negative controls differ between ``factor`` (row, column, edge):
        ``n_wells``, ``n_groups``, ``range`` (between the medians of the groups, in
        units of the axis, or of distances without one), ``p`` (Kruskal-Wallis) and
        ``corrected_p``.
    weights : numpy.ndarray (n features,)
        The axis.
    p : float
        That held-out controls would be separated as well by chance (Mann-Whitney; of
        one plate, by permutation of their roles); NaN without an axis.
    note : str
        How the axis was held against wells that it had not seen, or why there is none.
    """

    plates: pd.DataFrame
    wells: pd.DataFrame
    drift: pd.DataFrame
    weights: np.ndarray
    p: float
    note: str

    @property
    def confirmed(self) -> bool:
        """Whether held-out controls confirm the axis."""
        return bool(self.p < CONFIRMED)


def measure_controls(
    metadata: pd.DataFrame,
    features: pd.DataFrame | np.ndarray,
    negative: ArrayLike,
    positive: ArrayLike,
    seed: int = 0,
) -> Controls:
    """Measure whether an assay works: Z', its robust form, and SSMD, per plate.

    Parameters
    ----------
    metadata : pandas.DataFrame (n rows)
        With ``Metadata_Plate`` and ``Metadata_Well``.
    features : pandas.DataFrame or array (n rows, n features)
        Numbers without NaN, in the same order.
    negative, positive : array (n rows,), bool
        Which rows are controls.
    seed : int
        Of the division of wells, and of the draws of the intervals.

    Returns
    -------
    Controls

    Raises
    ------
    ValueError
        As `prepare_wells`.

    References
    ----------
    Zhang et al., J Biomol Screen 4, 67 (1999): Z'. Zhang, Genomics 89, 552 (2007):
    SSMD.

    Examples
    --------
    >>> names = [f"A{number:02d}" for number in range(1, 25)]
    >>> rows = pd.DataFrame({"Metadata_Plate": "P1", "Metadata_Well": names})
    >>> values = np.random.default_rng(0).normal(size=(24, 200))
    >>> values[16:, :20] += 6
    >>> negative = np.arange(24) < 16
    >>> measure_controls(rows, values, negative, ~negative).confirmed
    True

    Features in which nothing differs are not overfitted:

    >>> noise = np.random.default_rng(1).normal(size=(24, 200))
    >>> measure_controls(rows, noise, negative, ~negative).plates.z_prime[0] < 0
    True
    """
    return judge_controls(prepare_wells(metadata, features, negative, positive), seed)


def judge_controls(wells: Wells, seed: int = 0) -> Controls:
    """Do what `measure_controls` does, of wells that are prepared.

    Parameters
    ----------
    wells : Wells
        From `prepare_wells`.
    seed : int
        As `measure_controls` takes it.

    Returns
    -------
    Controls
    """
    reason = _explain_no_axis(wells)
    scores = np.full(len(wells.rows), np.nan)
    weights, p = np.zeros(len(wells.features)), np.nan
    note = reason
    if not reason:
        weights, scores, how, p = _place_wells(wells, seed)
        note = _word_check(how, p)
    axis = _calibrate(wells, scores)
    plates = _describe_plates(wells, axis, weights, seed)
    described = wells.rows[["plate", "well"]].assign(role=name_roles(wells), axis=axis)
    drift = measure_drift(wells, measure_distances(wells) if reason else axis)
    return Controls(plates, described, drift, weights, p, note)


def name_roles(wells: Wells) -> np.ndarray:
    """Name what each well is.

    Parameters
    ----------
    wells : Wells
        Any.

    Returns
    -------
    numpy.ndarray (n wells,), str
        ``negative control``, ``positive control``, ``treatment`` or ``other``.
    """
    return np.select(
        [wells.negative, wells.positive, wells.treated],
        ["negative control", "positive control", "treatment"],
        "other",
    )


def _explain_no_axis(wells: Wells) -> str:
    n_negative, n_positive = int(wells.negative.sum()), int(wells.positive.sum())
    if not n_negative or not n_positive:
        lacking = "negative" if not n_negative else "positive"
        if not n_negative and not n_positive:
            lacking = "negative and no positive"
        return f"No {lacking} controls are known."
    if min(n_negative, n_positive) < 2:
        return (
            "An axis needs two negative and two positive controls or more. Received:"
            f" {n_negative} and {n_positive}."
        )
    return ""


def _word_check(how: str, p: float) -> str:
    result = "confirm it" if p < CONFIRMED else "do not confirm it"
    return (
        f"Each control was placed on an axis fitted without it ({how}); these held-out"
        f" controls {result} (p {p:.2g})."
    )


def _place_wells(wells: Wells, seed: int) -> tuple[np.ndarray, np.ndarray, str, float]:
    """Place each control on axes fitted without it, and other wells on their mean."""
    controls = np.flatnonzero(wells.negative | wells.positive)
    is_positive = wells.positive[controls]
    values = wells.values[controls]
    folds = _divide_plates(is_positive, wells.plates[controls])
    if folds:
        how = f"on other plates, {len(folds)} parts"
        held_out, weights, offset = _hold_out(values, is_positive, folds)
        p = _compare(held_out, is_positive)[1]
    else:
        folds = _divide_wells(is_positive, seed, REPEATS)
        how = f"on other wells, {len(folds) // REPEATS} parts, {REPEATS} times"
        held_out, weights, offset = _hold_out(values, is_positive, folds)
        p = _permute_roles(values, is_positive, seed)
    scores = wells.values @ weights.astype(np.float32) - offset
    scores[controls] = held_out
    return weights, scores.astype(float), how, p


def _divide_plates(is_positive: np.ndarray, plates: np.ndarray) -> Folds:
    """Divide controls by plates; not at all where an axis would lack a kind of them."""
    n_plates = len(np.unique(plates))
    if n_plates < 2:
        return []
    splitter = GroupKFold(min(n_plates, MOST_FOLDS))
    folds = list(splitter.split(np.zeros((len(plates), 1)), groups=plates))
    is_whole = all(len(set(is_positive[train])) == 2 for train, _ in folds)
    return folds if is_whole else []


def _divide_wells(is_positive: np.ndarray, seed: int, n_repeats: int) -> Folds:
    """Divide controls at random, several times: how they are divided is chance."""
    n_folds = int(min(MOST_FOLDS, is_positive.sum(), (~is_positive).sum()))
    folds: Folds = []
    for repeat in range(n_repeats):
        splitter = StratifiedKFold(n_folds, shuffle=True, random_state=seed + repeat)
        folds += splitter.split(np.zeros((len(is_positive), 1)), is_positive)
    return folds


def _hold_out(
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


def _compare(scores: np.ndarray, is_positive: np.ndarray) -> tuple[float, float]:
    """How often a positive control lies above a negative one, and p (Mann-Whitney)."""
    found = mannwhitneyu(
        scores[is_positive], scores[~is_positive], alternative="greater"
    )
    return float(found.statistic), float(found.pvalue)


def _permute_roles(values: np.ndarray, is_positive: np.ndarray, seed: int) -> float:
    """How often controls are separated as well when their roles are drawn at random.

    Wells of one plate that are held out in turn are not independent: by Mann-Whitney,
    one in four axes through noise was confirmed.
    """

    def separate(roles: np.ndarray) -> float:
        held_out, *_ = _hold_out(values, roles, _divide_wells(roles, seed, 1))
        return _compare(held_out, roles)[0]

    rng = np.random.default_rng(seed)
    observed = separate(is_positive)
    drawn = [separate(rng.permutation(is_positive)) for _ in range(PERMUTATIONS)]
    n_above = sum(statistic >= observed for statistic in drawn)
    return (1 + n_above) / (1 + PERMUTATIONS)


def fit_axis(values: np.ndarray, is_positive: np.ndarray) -> tuple[np.ndarray, float]:
    """Fit the axis from negative to positive controls.

    Parameters
    ----------
    values : numpy.ndarray (n controls, n features)
        Scaled features.
    is_positive : numpy.ndarray (n controls,), bool
        Both kinds are there.

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
    kept = _choose_features(positive, negative, difference)
    chosen = values[:, kept].astype(float)
    # Where there are fewer wells than features, nothing is lost in the space of wells.
    _, lengths, basis = np.linalg.svd(chosen - chosen.mean(axis=0), full_matrices=False)
    basis = basis[lengths > 1e-6 * lengths[0]]
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=SHRINKAGE)
    # A single control of a kind has no covariance: the difference has to do.
    if min(len(positive), len(negative)) > 1:
        along = model.fit(chosen @ basis.T, is_positive).coef_[0] @ basis
    else:
        along = difference[kept]
    direction = np.zeros(values.shape[1])
    direction[kept] = along
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
    n_kept = max(FEWEST_KEPT, int(np.ceil(KEPT * len(difference))))
    if n_kept >= len(difference):
        return np.arange(len(difference))
    squares = positive.var(axis=0) * len(positive) + negative.var(axis=0) * len(
        negative
    )
    variance = squares / max(len(positive) + len(negative) - 2, 1)
    # Features that happen to vary little among a few wells would be chosen first.
    floor = max(0.1 * float(np.median(variance)), 1e-12)
    strength = np.abs(difference) / np.sqrt(variance + floor)
    return np.sort(np.argpartition(strength, -n_kept)[-n_kept:])


def _calibrate(wells: Wells, scores: np.ndarray) -> np.ndarray:
    """Put the mean of held-out negative controls at 0 and of positive ones at 1."""
    axis = scores.copy()
    plates = wells.plates
    overall = _find_ends(scores[wells.negative], scores[wells.positive])
    for plate in range(plates.max() + 1):
        of_plate = plates == plate
        ends = _find_ends(
            scores[of_plate & wells.negative], scores[of_plate & wells.positive]
        )
        low, high = ends or overall or (0.0, 1.0)
        axis[of_plate] = (scores[of_plate] - low) / (high - low)
    return axis


def _find_ends(
    negative: np.ndarray, positive: np.ndarray
) -> tuple[float, float] | None:
    """Means of both kinds of controls; None where these cannot be used as a scale."""
    if min(len(negative), len(positive)) < 2:
        return None
    low, high = float(negative.mean()), float(positive.mean())
    return (low, high) if high > low else None


def _describe_plates(
    wells: Wells, axis: np.ndarray, weights: np.ndarray, seed: int
) -> pd.DataFrame:
    shifts = wells.centres @ weights
    described = []
    plates = wells.plates
    for plate, name in enumerate(wells.rows["plate"].unique()):
        of_plate = plates == plate
        negative = axis[of_plate & wells.negative]
        positive = axis[of_plate & wells.positive]
        row = {"plate": name, "n_negative": len(negative), "n_positive": len(positive)}
        row.update(compare_controls(negative, positive, seed))
        row["shift"] = float(shifts[plate]) if weights.any() else np.nan
        row["note"] = _explain_plate(negative, positive)
        described.append(row)
    return pd.DataFrame(described)


def _explain_plate(negative: np.ndarray, positive: np.ndarray) -> str:
    for kind, values in (("negative", negative), ("positive", positive)):
        if len(values) < 2:
            return f"{len(values)} {kind} controls: Z' needs two or more of each."
    if np.isnan(negative).any():
        return "There is no axis."
    return ""


def compare_controls(
    negative: np.ndarray, positive: np.ndarray, seed: int = 0
) -> dict[str, float]:
    """Compare the controls of a plate along one axis.

    Parameters
    ----------
    negative, positive : numpy.ndarray
        One number per well.
    seed : int
        Of the draws of the interval.

    Returns
    -------
    dict of str to float
        ``z_prime``, ``low``, ``high``, ``robust_z_prime``, ``ssmd`` and the means and
        standard deviations; NaN where there are fewer than two of a kind.

    Examples
    --------
    >>> values = compare_controls(np.array([0.0, 0.2]), np.array([1.0, 1.2]))
    >>> round(values["z_prime"], 3), round(values["ssmd"], 3)
    (0.151, 5.0)
    """
    names = ["z_prime", "low", "high", "robust_z_prime", "ssmd"]
    names += ["negative_mean", "negative_sd", "positive_mean", "positive_sd"]
    if min(len(negative), len(positive)) < 2 or np.isnan([*negative, *positive]).any():
        return dict.fromkeys(names, np.nan)
    difference = positive.mean() - negative.mean()
    spreads = negative.std(ddof=1), positive.std(ddof=1)
    low, high = _draw_interval(negative, positive, seed)
    values = [
        float(_compute_z_prime(negative, positive)),
        low,
        high,
        _compute_robust_z_prime(negative, positive),
        float(difference / max(np.hypot(*spreads), 1e-12)),
        float(negative.mean()),
        float(spreads[0]),
        float(positive.mean()),
        float(spreads[1]),
    ]
    return dict(zip(names, values))


def _compute_z_prime(
    negative: np.ndarray, positive: np.ndarray, axis: int = -1
) -> np.ndarray:
    spread = negative.std(axis=axis, ddof=1) + positive.std(axis=axis, ddof=1)
    difference = np.abs(positive.mean(axis=axis) - negative.mean(axis=axis))
    return 1 - 3 * spread / np.maximum(difference, 1e-12)


def _compute_robust_z_prime(negative: np.ndarray, positive: np.ndarray) -> float:
    spread = median_abs_deviation(negative, scale="normal")
    spread += median_abs_deviation(positive, scale="normal")
    difference = abs(np.median(positive) - np.median(negative))
    return float(1 - 3 * spread / max(difference, 1e-12))


def _draw_interval(
    negative: np.ndarray, positive: np.ndarray, seed: int
) -> tuple[float, float]:
    if min(len(negative), len(positive)) < FEWEST_DRAWN:
        return np.nan, np.nan
    # Draws of few wells vary less than wells do: BCa corrects for this.
    with warnings.catch_warnings():
        # Where all are the same there is no interval, which is NaN then.
        warnings.simplefilter("ignore", RuntimeWarning)
        drawn = bootstrap(
            (negative, positive),
            _compute_z_prime,
            n_resamples=DRAWS,
            method="BCa",
            random_state=seed,
            vectorized=True,
        ).confidence_interval
    return float(drawn.low), float(drawn.high)


def measure_drift(wells: Wells, response: np.ndarray) -> pd.DataFrame:
    """Measure whether negative controls differ between rows, columns and the edge.

    Parameters
    ----------
    wells : Wells
        Any.
    response : numpy.ndarray (n wells,)
        Along the axis, or a distance.

    Returns
    -------
    pandas.DataFrame
        As `Controls.drift`; a factor with one group, or whose groups have one well
        each, is left out.
    """
    rows = wells.rows.assign(response=response)[wells.negative]
    rows = rows[np.isfinite(rows["response"])]
    middles = rows.groupby("plate")["response"].transform("median")
    rows = rows.assign(response=rows["response"] - middles)
    found = []
    for factor in ("row", "column", "edge"):
        groups = [part["response"] for _, part in rows.groupby(factor)]
        groups = [group for group in groups if len(group) > 1]
        if len(groups) > 1 and rows["response"].nunique() > 1:
            medians = [group.median() for group in groups]
            found.append(
                {
                    "factor": factor,
                    "n_wells": sum(map(len, groups)),
                    "n_groups": len(groups),
                    "range": max(medians) - min(medians),
                    "p": float(kruskal(*groups).pvalue),
                }
            )
    names = ["factor", "n_wells", "n_groups", "range", "p"]
    drift = pd.DataFrame(found, columns=names)
    corrected = false_discovery_control(drift["p"]) if len(drift) else []
    return drift.assign(corrected_p=corrected)

"""Whether an assay works: how far positive controls lie from negative ones.

With more features than wells, Z' along an axis that is fitted to the controls could be
made as good as one likes. Here each control is placed on an axis that was fitted
without it.
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
    median_abs_deviation,
)

from stratonet.messages import count_things
from stratonet_sklearn.evaluation.distances import measure_distances
from stratonet_sklearn.evaluation.heldout_axis import CONFIRMED, place_wells
from stratonet_sklearn.evaluation.wells import Wells, prepare_wells

# Zhang et al. (1999): excellent from here upwards, and unfit for screening below 0.
GOOD_Z_PRIME = 0.5
DRAWS = 1000
# Smaller p are as good as 0, and are written as smaller than this.
SMALLEST_P = 1e-10
# Fewer values give no interval worth the name.
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
        axis the plate lies from the mean of all plates, in units of the distance
        between the controls; ``note``, why there is no number.
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
        The probability that chance separates held-out controls as well (Mann-Whitney;
        on one plate, by permutation of their roles); NaN without an axis.
    note : str
        How the axis was tested on wells that it had not seen, or why there is none.
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
        For dividing the wells, and for the draws of the intervals.

    Returns
    -------
    Controls

    Raises
    ------
    ValueError
        See `prepare_wells`.

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
    """Do what `measure_controls` does, for wells that are already prepared.

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
        weights, scores, division, p = place_wells(wells, seed)
        note = _word_check(division, p)
    axis = _calibrate(wells, scores)
    plates = _describe_plates(wells, axis, weights, seed)
    described = wells.rows[["plate", "well"]].assign(role=name_roles(wells), axis=axis)
    drift = measure_drift(wells, measure_distances(wells) if reason else axis)
    return Controls(plates, described, drift, weights, p, note)


def name_roles(wells: Wells) -> np.ndarray:
    """Name the role of each well.

    Parameters
    ----------
    wells : Wells
        The wells of a screen.

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
            "An axis needs at least two negative and two positive controls. Received:"
            f" {n_negative} and {n_positive}."
        )
    return ""


def _word_check(division: str, p: float) -> str:
    result = "confirm the axis" if p < CONFIRMED else "do not confirm the axis"
    p_text = f"p < {SMALLEST_P:.0e}" if p < SMALLEST_P else f"p = {p:.2g}"
    return (
        f"Each control was placed on an axis fitted without it ({division}); the"
        f" held-out controls {result} ({p_text})."
    )


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
    """Return the mean of negative and of positive controls; None if no scale."""
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
    for role, values in (("negative", negative), ("positive", positive)):
        if len(values) < 2:
            number = count_things(len(values), f"{role} control")
            return f"{number}: Z' needs two or more of each."
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
        For the draws of the interval.

    Returns
    -------
    dict of str to float
        ``z_prime``, ``low``, ``high``, ``robust_z_prime``, ``ssmd`` and the means and
        standard deviations; NaN where there are fewer than two negative or positive
        controls.

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
        # If all values are the same, there is no interval: it becomes NaN.
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
        The wells of a screen.
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
    plate_medians = rows.groupby("plate")["response"].transform("median")
    rows = rows.assign(response=rows["response"] - plate_medians)
    results = []
    for factor in ("row", "column", "edge"):
        groups = [part["response"] for _, part in rows.groupby(factor)]
        groups = [group for group in groups if len(group) > 1]
        if len(groups) > 1 and rows["response"].nunique() > 1:
            medians = [group.median() for group in groups]
            results.append(
                {
                    "factor": factor,
                    "n_wells": sum(map(len, groups)),
                    "n_groups": len(groups),
                    "range": max(medians) - min(medians),
                    "p": float(kruskal(*groups).pvalue),
                }
            )
    names = ["factor", "n_wells", "n_groups", "range", "p"]
    drift = pd.DataFrame(results, columns=names)
    corrected = false_discovery_control(drift["p"]) if len(drift) else []
    return drift.assign(corrected_p=corrected)

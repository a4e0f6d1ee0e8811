"""Bring profiles of different plates to one scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pycytominer
from pycytominer.operations import variance_threshold
from scipy.stats import median_abs_deviation, norm, rankdata

from stratonet.tables.columns import PLATE
from stratonet_sklearn.evaluation.steps import CONTROL, FEWEST, Step, list_others

WORDS = {
    "standardize": "standardized",
    "mad_robustize": "scaled by its median and median absolute deviation",
}
CONSTANT = {
    "standardize": "do not vary there",
    "mad_robustize": "have one value there, or in half of the wells",
}
# Blom (1958): ranks become the normal scores that a sample of this size would have.
BLOM = 3 / 8


@dataclass(frozen=True)
class _Reference:
    """The wells on which features are scaled."""

    parts: list[pd.DataFrame]  # each scaled by itself
    samples: str  # wells of a part, as pycytominer's `samples` names them
    words: str

    def select(self, part: pd.DataFrame) -> pd.DataFrame:
        """Select the wells of a part from which its scale is taken."""
        return part if self.samples == "all" else part[part[CONTROL]]


def normalize_plates(frame: pd.DataFrame, features: list[str], method: str) -> Step:
    """Scale features, and leave out those that do not vary where the scale is taken.

    Parameters
    ----------
    frame : pandas.DataFrame (n wells)
        Metadata with plates, ``is_control`` and features.
    features : list of str
        The columns of features.
    method : str
        ``standardize`` or ``mad_robustize``, as pycytominer names them.

    Returns
    -------
    profiles : pandas.DataFrame (n wells)
    steps : list of str

    Raises
    ------
    ValueError
        No feature varies.
    """
    # Plates differ in staining and exposure, which must not look like an effect.
    reference = _choose_reference(frame)
    kept_features = features
    if method == "mad_robustize":
        kept_features = _keep_spread(reference, features)
    parts = _normalize_parts(reference, kept_features, method) if kept_features else []
    constant = _find_constant(parts, kept_features, reference.samples)
    kept_features = [name for name in kept_features if name not in constant]
    if not kept_features:
        raise ValueError(
            f"No feature can be used: of {len(features)}, none varies"
            f" {reference.words}. Are all images the same?"
        )
    steps = [f"Each feature was {WORDS[method]} {reference.words}."]
    n_constant = len(features) - len(kept_features)
    if n_constant:
        steps.append(
            f"{n_constant:,} of {len(features):,} features {CONSTANT[method]}, and are"
            " left out."
        )
    normalized = pd.concat(parts, ignore_index=True)
    return normalized[[*list_others(frame, features), *kept_features]], steps


def _choose_reference(frame: pd.DataFrame) -> _Reference:
    """Choose the negative controls of each plate, if every plate has enough."""
    plates = [plate for _, plate in frame.groupby(PLATE)]
    n_controls = min(plate[CONTROL].sum() for plate in plates)
    n_wells = min(len(plate) for plate in plates)
    if n_controls >= FEWEST:
        words = f"on the negative controls of its plate, {n_controls} or more"
        return _Reference(plates, CONTROL, words)
    if n_wells >= FEWEST:
        words = (
            f"on all wells of its plate, since not every plate has {FEWEST} negative"
            " controls"
        )
        return _Reference(plates, "all", words)
    words = f"on all wells of all plates, since not every plate has {FEWEST} wells"
    return _Reference([frame], "all", words)


def _keep_spread(reference: _Reference, features: list[str]) -> list[str]:
    """List the features whose median absolute deviation is not 0 on any plate."""
    spread = np.ones(len(features), bool)
    for part in reference.parts:
        deviations = median_abs_deviation(reference.select(part)[features], axis=0)
        spread &= deviations > 0
    return [name for name, varies in zip(features, spread) if varies]


def _normalize_parts(
    reference: _Reference, features: list[str], method: str
) -> list[pd.DataFrame]:
    return [
        pycytominer.normalize(
            part,
            features=features,
            meta_features=list_others(part, features),
            samples=reference.samples,
            method=method,
            # Features with a deviation of 0 are left out: nothing needs to be added.
            mad_robustize_epsilon=0,
        )
        for part in reference.parts
    ]


def _find_constant(
    parts: Sequence[pd.DataFrame], features: list[str], samples: str
) -> set[str]:
    """Find the features that do not vary in one of the parts."""
    # One plate is enough: on it, the feature cannot be compared.
    constant: set[str] = set()
    for part in parts:
        try:
            constant.update(variance_threshold(part, features, samples))
        except ValueError:
            # scikit-learn's selector, which this calls, refuses to select none.
            return set(features)
    return constant


def rank_profiles(frame: pd.DataFrame, features: list[str]) -> Step:
    """Replace each feature by the normal scores of its ranks among all wells.

    Parameters
    ----------
    frame : pandas.DataFrame (n wells)
        Metadata and features.
    features : list of str
        The columns of features.

    Returns
    -------
    profiles : pandas.DataFrame (n wells)
    steps : list of str

    References
    ----------
    Blom, G. (1958). Statistical Estimates and Transformed Beta-Variables. Wiley.
    """
    # Not pycytominer's inverse_normal: it puts the highest and the lowest well of every
    # feature 5.2 standard deviations away, however few wells there are.
    ranks = rankdata(frame[features], axis=0)
    scores = norm.ppf((ranks - BLOM) / (len(frame) + 1 - 2 * BLOM))
    ranked = frame.copy()
    ranked[features] = scores
    return ranked, [
        "Each feature was replaced by the normal scores of its ranks among all wells"
        " (rank-based inverse normal, by scipy)."
    ]

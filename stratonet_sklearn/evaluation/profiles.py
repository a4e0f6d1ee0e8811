"""Profiles of wells: aggregated, normalised, selected and sphered by pycytominer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np
import pandas as pd
import pycytominer
from numpy.typing import ArrayLike
from pycytominer.operations import variance_threshold

from stratonet.messages import shorten_list
from stratonet.tables.columns import PLATE, WELL

FEWEST = 4  # wells to take a feature's mean and scale from
# pycytominer takes half a minute for half a million correlated pairs, and pairs grow
# with the square of the features.
MOST_CORRELATED = 3000
CONTROLS_PER_FEATURE = 2  # below, sphering fits the controls' noise
# The column that marks negative controls on the way through pycytominer.
CONTROL = "is_control"
# pycytominer's operations, in this order, and why a feature is left out by each.
SELECTION = {
    "blocklist": "are on pycytominer's blocklist of CellProfiler's features",
    "drop_outliers": "go beyond 500 standard deviations",
    "correlation_threshold": "correlate above 0.9 with others",
}
# What a step returns: the profiles, and sentences on what it did.
Step = tuple[pd.DataFrame, list[str]]


@dataclass(frozen=True)
class Profiles:
    """Profiles of wells.

    Attributes
    ----------
    frame : pandas.DataFrame (n wells)
        ``Metadata_*`` and features (float64).
    features : list of str
        The columns of features.
    control : numpy.ndarray (n wells,), bool, or None
        Which wells are negative controls; None if this is not known.
    steps : list of str
        How they were made: sentences.
    """

    frame: pd.DataFrame
    features: list[str]
    control: np.ndarray | None
    steps: list[str]


def make_profiles(
    metadata: pd.DataFrame,
    features: pd.DataFrame,
    control: ArrayLike | None = None,
) -> Profiles:
    """Make profiles of wells: aggregate, normalise, select features and sphere.

    Parameters
    ----------
    metadata : pandas.DataFrame (n rows)
        ``Metadata_*`` of wells, sites or objects, with ``Metadata_Plate`` and
        ``Metadata_Well``.
    features : pandas.DataFrame (n rows, n features)
        Numbers without NaN, in the same order.
    control : array (n rows,), bool, optional
        Which rows are of negative controls. No other label is used.

    Returns
    -------
    Profiles

    Raises
    ------
    ValueError
        Columns are missing, rows do not match, features have NaN, none can be used, a
        well is a control in some rows.

    Notes
    -----
    All steps are pycytominer's. Each plate is standardized on its negative controls.
    Constant features are the trap: ``mad_robustize`` divides by nearly zero where most
    controls have one value, and ``standardize`` leaves unscaled what is the same in
    all. So features that do not vary there are left out, and those that go beyond 500
    standard deviations.

    Profiles are sphered on the controls, regularized by one standard deviation, where
    there are twice as many controls as features. Sphering wide tables, on components of
    all wells, made simulated treatments without an effect look alike.

    References
    ----------
    Caicedo et al., Nature Methods 14, 849 (2017); Serrano et al., Nature Methods 22,
    677 (2025).

    Examples
    --------
    A plate of six wells with two sites each; the first four are negative controls.

    >>> import numpy as np
    >>> import pandas as pd
    >>> from stratonet_sklearn.evaluation import make_profiles
    >>> wells = np.repeat(["A01", "A02", "A03", "A04", "A05", "A06"], 2)
    >>> metadata = pd.DataFrame({"Metadata_Plate": "P1", "Metadata_Well": wells})
    >>> values = np.random.default_rng(0).normal(size=(12, 3))
    >>> features = pd.DataFrame(values, columns=["area", "round", "bright"])
    >>> profiles = make_profiles(metadata, features, control=wells < "A05")
    >>> profiles.frame.shape
    (6, 5)
    >>> profiles.steps[0]
    '12 rows became 6 wells, their median, on 1 plates.'
    """
    _check_rows(metadata, features, control)
    columns = list(features)
    frame, aggregated = _aggregate_wells(metadata, features, control)
    frame, normalized = _normalize_plates(frame, columns)
    frame, selected = _select_features(frame, _keep_present(columns, frame))
    columns = _keep_present(columns, frame)
    frame, sphered = _sphere_profiles(frame, columns)
    steps = [
        *aggregated,
        *normalized,
        *selected,
        *sphered,
        f"All by pycytominer {version('pycytominer')}.",
    ]
    is_control = frame.pop(CONTROL).to_numpy()
    return Profiles(frame, columns, None if control is None else is_control, steps)


def _check_rows(
    metadata: pd.DataFrame, features: pd.DataFrame, control: ArrayLike | None
) -> None:
    absent = [name for name in (PLATE, WELL) if name not in metadata]
    if absent:
        raise ValueError(
            f"The metadata have no {' and no '.join(absent)}. Received:"
            f" {shorten_list(list(metadata))}"
        )
    lengths = {len(metadata), len(features)}
    if control is not None:
        lengths.add(len(np.asarray(control)))
    if len(lengths) > 1 or not len(metadata) or not features.shape[1]:
        received = (
            f"{len(metadata)} rows of metadata, {len(features)} of {features.shape[1]}"
            " features"
        )
        if control is not None:
            received += f", {len(np.asarray(control))} of controls"
        raise ValueError(
            "Metadata, features and controls must be of the same rows, one or more."
            f" Received: {received}"
        )
    bad = ~np.isfinite(features.to_numpy(float))
    if bad.any():
        raise ValueError(
            f"{bad.any(axis=1).sum()} rows and {bad.any(axis=0).sum()} features have"
            " NaN or infinite values. Leave out the rows that could not be measured, or"
            " these."
        )


def _keep_present(columns: Sequence[str], frame: pd.DataFrame) -> list[str]:
    return [name for name in columns if name in frame]


def _list_others(frame: pd.DataFrame, features: Sequence[str]) -> list[str]:
    """List the columns that are no features."""
    # A set: wide tables have thousands of features.
    known = set(features)
    return [name for name in frame if name not in known]


def _aggregate_wells(
    metadata: pd.DataFrame, features: pd.DataFrame, control: ArrayLike | None
) -> Step:
    """Take the median of each well."""
    keys, columns = [PLATE, WELL], list(features)
    rows = metadata.reset_index(drop=True)
    rows[CONTROL] = False if control is None else np.asarray(control, bool)
    n_different = rows.groupby(keys).nunique(dropna=False).max()
    differ = n_different > 1
    if differ[CONTROL]:
        raise ValueError(
            "A well is a negative control in all of its rows, or in none. Received:"
            " wells of both."
        )
    medians = pycytominer.aggregate(
        pd.concat([rows[keys], features.reset_index(drop=True)], axis=1),
        strata=keys,
        features=columns,
        operation="median",
    )
    # A site's number, or an object's, says nothing of the well.
    within_wells = differ.index[differ]
    of_wells = rows.drop_duplicates(keys).drop(columns=within_wells)
    frame = of_wells.merge(medians, on=keys)
    steps = [
        f"{len(rows):,} rows became {len(frame):,} wells, their median, on"
        f" {frame[PLATE].nunique():,} plates."
    ]
    if len(within_wells):
        names = ", ".join(within_wells)
        steps.append(f"Left out, since it differs within wells: {names}.")
    return frame, steps


@dataclass(frozen=True)
class _Reference:
    """The wells on which features are standardized."""

    parts: list[pd.DataFrame]  # each standardized by itself
    samples: str  # of a part, as pycytominer's `samples` names them
    words: str


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


def _normalize_plates(frame: pd.DataFrame, features: list[str]) -> Step:
    """Standardize, and leave out features that do not vary where the scale is taken."""
    # Plates differ in staining and exposure, which must not look like an effect.
    reference = _choose_reference(frame)
    others = _list_others(frame, features)
    parts = [
        pycytominer.normalize(
            part,
            features=features,
            meta_features=others,
            samples=reference.samples,
            method="standardize",
        )
        for part in reference.parts
    ]
    constant = _find_constant(parts, features, reference.samples)
    if len(constant) == len(features):
        raise ValueError(
            f"No feature can be used: of {len(features)}, none varies"
            f" {reference.words}. Are the images different?"
        )
    steps = [f"Each feature was standardized {reference.words}."]
    if constant:
        steps.append(
            f"{len(constant):,} of {len(features):,} features do not vary there, and"
            " are left out."
        )
    kept = [name for name in features if name not in constant]
    normalized = pd.concat(parts, ignore_index=True)
    return normalized[[*others, *kept]], steps


def _find_constant(
    parts: Sequence[pd.DataFrame], features: list[str], samples: str
) -> set[str]:
    """Find the features that do not vary in one of the parts."""
    # One plate is enough: there, the feature cannot be compared.
    constant: set[str] = set()
    for part in parts:
        try:
            constant.update(variance_threshold(part, features, samples))
        except ValueError:
            # scikit-learn's selector, which this calls, refuses to select none.
            return set(features)
    return constant


def _select_features(frame: pd.DataFrame, features: list[str]) -> Step:
    """Leave out features that are unreliable, or say what others say."""
    steps = []
    for operation, reason in SELECTION.items():
        if operation == "correlation_threshold" and len(features) > MOST_CORRELATED:
            steps.append(
                "Correlated features were kept, since there are more than"
                f" {MOST_CORRELATED:,}."
            )
            continue
        frame = pycytominer.feature_select(
            frame, features=features, operation=operation
        )
        kept = _keep_present(features, frame)
        if len(kept) < len(features):
            steps.append(
                f"{len(features) - len(kept):,} of {len(features):,} features"
                f" {reason}, and are left out."
            )
        features = kept
        if not features:
            raise ValueError(f"No feature can be used. {' '.join(steps)}")
    steps.append(f"Profiles have {len(features):,} features.")
    return frame, steps


def _sphere_profiles(frame: pd.DataFrame, features: list[str]) -> Step:
    """Remove the correlations that the negative controls have, if these are many."""
    n_controls = frame[CONTROL].sum()
    needed = CONTROLS_PER_FEATURE * len(features)
    if n_controls < needed:
        return frame, [
            f"They were not sphered: this takes {needed:,} negative controls or more."
            f" Known: {n_controls:,}."
        ]
    sphered = pycytominer.normalize(
        frame,
        features=features,
        meta_features=_list_others(frame, features),
        samples=CONTROL,
        method="spherize",
        spherize_method="ZCA-cor",
        # Added to singular values, which are standard deviations times this.
        spherize_epsilon=np.sqrt(n_controls),
    )
    return sphered, [
        f"They were sphered (ZCA-cor) on {n_controls:,} negative controls, one standard"
        " deviation added."
    ]

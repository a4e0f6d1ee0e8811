"""Profiles of wells: aggregated, normalised, selected, sphered and aligned."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version

import numpy as np
import pandas as pd
import pycytominer
from numpy.typing import ArrayLike

from stratonet.messages import count_things, shorten_list
from stratonet.tables.columns import PLATE, WELL
from stratonet.tables.numbers import read_numbers
from stratonet_sklearn.evaluation.correction import harmonize_profiles, sphere_profiles
from stratonet_sklearn.evaluation.normalization import normalize_plates, rank_profiles
from stratonet_sklearn.evaluation.recipe import ProfileRecipe
from stratonet_sklearn.evaluation.selection import select_features
from stratonet_sklearn.evaluation.steps import CONTROL, Step, keep_present
from stratonet_sklearn.rows import read_rows


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
    recipe: ProfileRecipe | None = None,
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
    recipe : ProfileRecipe, optional
        What is done after aggregation. Default: standardize, select, and sphere where
        there are many controls.

    Returns
    -------
    Profiles

    Raises
    ------
    ImportError
        The recipe asks for Harmony, and harmonypy is missing.
    ValueError
        Columns are missing, rows do not match, features have NaN, no feature can be
        used, or a well is a control in only some of its rows; or the recipe needs
        controls or batches that are missing.

    Notes
    -----
    The steps are pycytominer's, except ranks and Harmony. Each plate is scaled on its
    negative controls. Constant features are a trap: ``mad_robustize`` divides by nearly
    zero where most controls have one value, and ``standardize`` leaves features
    unscaled that are the same in all controls. So features that do not vary in the
    controls are left out, and the selection removes those that go beyond 500 standard
    deviations.

    Profiles are sphered on the controls, regularized by one standard deviation, where
    there are twice as many controls as features. Sphering wide tables, on components of
    all wells, made simulated treatments without an effect look alike.

    Scale, ranks, selection and Harmony depend on all wells that are passed. If profiles
    are to be classified, pass as controls only those in the training part.

    References
    ----------
    Caicedo et al., Nature Methods 14, 849 (2017); Arevalo et al., Nature Communications
    15, 6516 (2024); Serrano et al., Nature Methods 22, 677 (2025).

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
    'The 12 rows of the feature table became 6 wells on 1 plate, by taking medians.'
    """
    recipe = recipe or ProfileRecipe()
    features, control = _check_rows(metadata, features, control)
    frame, steps = _aggregate_wells(metadata, features, control)
    frame, followed = _follow_recipe(frame, list(features), recipe)
    is_control = frame.pop(CONTROL).to_numpy()
    return Profiles(
        frame,
        keep_present(list(features), frame),
        None if control is None else is_control,
        [*steps, *followed],
    )


def _follow_recipe(
    frame: pd.DataFrame, features: list[str], recipe: ProfileRecipe
) -> Step:
    """Take the steps of a recipe."""
    frame, steps = normalize_plates(frame, features, recipe.normalize)
    features = keep_present(features, frame)
    if recipe.transform == "rank":
        frame, ranked = rank_profiles(frame, features)
        steps += ranked
    if recipe.select:
        frame, selected = select_features(frame, features)
        steps += selected
    features = keep_present(features, frame)
    steps.append(f"Profiles have {len(features):,} features.")
    frame, sphered = sphere_profiles(frame, features, recipe.sphere)
    steps += sphered
    if recipe.harmonize is not None:
        frame, harmonized = harmonize_profiles(frame, features, recipe.harmonize)
        steps += harmonized
    everything = "All" if _is_of_pycytominer(recipe) else "All else"
    steps.append(f"{everything} by pycytominer {version('pycytominer')}.")
    return frame, steps


def _is_of_pycytominer(recipe: ProfileRecipe) -> bool:
    """Whether no step is of another library."""
    return recipe.transform is None and recipe.harmonize is None


def _check_rows(
    metadata: pd.DataFrame, features: pd.DataFrame, control: ArrayLike | None
) -> tuple[pd.DataFrame, np.ndarray | None]:
    """Check the rows; return features as float64, and which rows are controls."""
    absent = [name for name in (PLATE, WELL) if name not in metadata]
    if absent:
        raise ValueError(
            f"The metadata have no {' and no '.join(absent)}. Received:"
            f" {shorten_list(list(metadata))}"
        )
    if not len(metadata) or not features.shape[1]:
        raise ValueError(
            "Profiles need at least one row, and features. Received:"
            f" {len(metadata)} rows of metadata, {features.shape[1]} features"
        )
    arguments = {} if control is None else {"control": control}
    rows = read_rows(arguments, {"metadata": metadata, "features": features})
    is_control = None
    if "control" in rows:
        is_control = _read_control(rows["control"])
    values = read_numbers(features, float)
    bad = ~np.isfinite(values)
    if bad.any():
        raise ValueError(
            f"{bad.any(axis=1).sum()} rows and {bad.any(axis=0).sum()} features have"
            " NaN or infinite values. Leave out the rows that could not be measured, or"
            " these features."
        )
    return pd.DataFrame(values, columns=list(features)), is_control


def _read_control(control: pd.Series) -> np.ndarray:
    """Return which rows are controls, as bool."""
    is_known = control.isin([True, False]).to_numpy()
    if not is_known.all():
        raise ValueError(
            "`control` must be True or False for each row. Received other values in"
            f" {int((~is_known).sum())} of {len(control)} rows, the first:"
            f" {control[~is_known].iloc[0]!r}"
        )
    return control.to_numpy(bool)


def _aggregate_wells(
    metadata: pd.DataFrame, features: pd.DataFrame, control: np.ndarray | None
) -> Step:
    """Take the median of each well."""
    keys, columns = [PLATE, WELL], list(features)
    rows = metadata.reset_index(drop=True)
    rows[CONTROL] = False if control is None else control
    n_different = rows.groupby(keys).nunique(dropna=False).max()
    differ = n_different > 1
    if differ[CONTROL]:
        raise ValueError(
            "A well must be a negative control in all of its rows, or in none."
            " Received: wells that are both."
        )
    medians = pycytominer.aggregate(
        pd.concat([rows[keys], features.reset_index(drop=True)], axis=1),
        strata=keys,
        features=columns,
        operation="median",
    )
    # The number of a site or an object says nothing about the well.
    within_wells = differ.index[differ]
    of_wells = rows.drop_duplicates(keys).drop(columns=within_wells)
    frame = of_wells.merge(medians, on=keys)
    steps = [
        f"The {count_things(len(rows), 'row')} of the feature table became"
        f" {count_things(len(frame), 'well')} on"
        f" {count_things(frame[PLATE].nunique(), 'plate')}, by taking medians."
    ]
    if len(within_wells):
        names = ", ".join(within_wells)
        steps.append(f"Left out, since it differs within wells: {names}.")
    return frame, steps

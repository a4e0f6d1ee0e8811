"""What active treatments are like: groups, neighbours, mechanisms and channels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import fcluster, leaves_list, linkage
from scipy.spatial.distance import squareform
from scipy.stats import false_discovery_control, fisher_exact
from sklearn.metrics.pairwise import cosine_similarity

from stratonet_sklearn.evaluation.columns import name_feature_groups
from stratonet_sklearn.evaluation.hits import name_treatments
from stratonet_sklearn.evaluation.wells import Wells

# Treatments of a group are, on average, more alike than this (cosine similarity).
ALIKE = 0.5
N_NEIGHBOURS = 3


@dataclass(frozen=True)
class Likeness:
    """What active treatments are like.

    Attributes
    ----------
    groups : pandas.DataFrame (n active)
        ``treatment``, ``group`` (from 1; treatments beside each other are alike, and
        rows are in this order).
    neighbours : pandas.DataFrame
        ``treatment``, ``rank`` (from 1), ``neighbour`` (of another compound, if there
        is one), ``similarity`` (cosine).
    effects : pandas.DataFrame (n active, n groups of features)
        How far each treatment changes the features of a channel and tap: the root mean
        square, relative to that of single negative controls. Indexed by treatment, in
        the order of ``groups``.
    mechanisms : pandas.DataFrame
        ``group``, ``mechanism``; numbers of compounds: ``n_in_group`` (of the
        mechanism), ``n_group``, ``n_mechanism`` and ``n_all``; ``p`` (Fisher) and
        ``corrected_p``: whether a mechanism is in a group more often than among all
        compounds.
    """

    groups: pd.DataFrame
    neighbours: pd.DataFrame
    effects: pd.DataFrame
    mechanisms: pd.DataFrame


def compare_hits(wells: Wells, hits: pd.DataFrame) -> Likeness:
    """Compare active treatments with each other.

    Parameters
    ----------
    wells : Wells
        The wells in which the hits were found.
    hits : pandas.DataFrame
        From `stratonet_sklearn.evaluation.hits.list_hits`.

    Returns
    -------
    Likeness
        With empty frames if no treatment is active.
    """
    names = name_treatments(wells)
    active = hits.loc[hits["active"], "treatment"].tolist()
    # A copy of all features: made once for both uses.
    changes = subtract_controls(wells)
    profiles = average_treatments(wells, changes, names, active)
    groups = group_profiles(profiles)
    compounds = hits.set_index("treatment")["compound"]
    return Likeness(
        groups,
        find_neighbours(profiles, compounds),
        measure_effects(wells, changes, names, groups["treatment"].tolist()),
        enrich_mechanisms(wells, groups, compounds),
    )


def average_treatments(
    wells: Wells, changes: np.ndarray, names: np.ndarray, treatments: list[str]
) -> pd.DataFrame:
    """Average the wells of treatments.

    Parameters
    ----------
    wells : Wells
        The wells of a screen.
    changes : numpy.ndarray (n wells, n features)
        From `subtract_controls`.
    names : numpy.ndarray (n wells,), str
        The treatment of each.
    treatments : list of str
        Which to average.

    Returns
    -------
    pandas.DataFrame (n treatments, n features)
        Means, less the mean of the negative controls of their plates.
    """
    chosen = np.isin(names, treatments)
    frame = pd.DataFrame(changes[chosen], columns=wells.features)
    return frame.groupby(names[chosen]).mean().reindex(treatments)


def subtract_controls(wells: Wells) -> np.ndarray:
    """Subtract the mean of the plate's negative controls from each well.

    Returns
    -------
    numpy.ndarray (n wells, n features), float32
        Unchanged where a plate has no negative controls.
    """
    values = wells.values.copy()
    plates = wells.plates
    for plate in range(plates.max() + 1):
        controls = (plates == plate) & wells.negative
        if controls.any():
            values[plates == plate] -= values[controls].mean(axis=0)
    return values


def group_profiles(profiles: pd.DataFrame) -> pd.DataFrame:
    """Group profiles by average linkage of their cosine similarity.

    Parameters
    ----------
    profiles : pandas.DataFrame (n treatments, n features)
        Indexed by treatment.

    Returns
    -------
    pandas.DataFrame
        As `Likeness.groups`.

    Examples
    --------
    >>> profiles = pd.DataFrame([[1, 0], [0, 1], [1, 0.1]], index=["a", "b", "c"])
    >>> group_profiles(profiles).values.tolist()
    [['b', 1], ['a', 2], ['c', 2]]
    """
    names = profiles.index.to_numpy()
    if len(names) < 2:
        return pd.DataFrame({"treatment": names, "group": np.ones(len(names), int)})
    distance = np.clip(1 - cosine_similarity(profiles), 0, 2)
    np.fill_diagonal(distance, 0)
    tree = linkage(squareform(distance, checks=False), "average")
    order = leaves_list(tree)
    groups = fcluster(tree, 1 - ALIKE, "distance")[order]
    # From 1, in the order in which they are shown.
    numbers = pd.factorize(groups)[0] + 1
    return pd.DataFrame({"treatment": names[order], "group": numbers})


def find_neighbours(profiles: pd.DataFrame, compounds: pd.Series) -> pd.DataFrame:
    """Find the treatments that look most like each treatment.

    Parameters
    ----------
    profiles : pandas.DataFrame (n treatments, n features)
        Indexed by treatment.
    compounds : pandas.Series of str
        The compound of each treatment.

    Returns
    -------
    pandas.DataFrame
        As `Likeness.neighbours`.
    """
    names = profiles.index.to_numpy()
    columns = ["treatment", "rank", "neighbour", "similarity"]
    if len(names) < 2:
        return pd.DataFrame(columns=columns)
    similarity = cosine_similarity(profiles)
    own_compounds = compounds.reindex(names).to_numpy()
    has_several = len(set(own_compounds)) > 1
    rows = []
    for number, name in enumerate(names):
        others = (
            own_compounds != own_compounds[number]
            if has_several
            else np.arange(len(names)) != number
        )
        order = np.argsort(-similarity[number], kind="stable")
        nearest = [other for other in order if others[other]][:N_NEIGHBOURS]
        for rank, other in enumerate(nearest, start=1):
            rows.append((name, rank, names[other], similarity[number, other]))
    return pd.DataFrame(rows, columns=columns)


def measure_effects(
    wells: Wells, changes: np.ndarray, names: np.ndarray, treatments: list[str]
) -> pd.DataFrame:
    """Measure how far treatments change the features of each channel and tap.

    Parameters
    ----------
    wells : Wells
        The wells of a screen.
    changes : numpy.ndarray (n wells, n features)
        From `subtract_controls`.
    names : numpy.ndarray (n wells,), str
        The treatment of each.
    treatments : list of str
        Which to describe.

    Returns
    -------
    pandas.DataFrame
        As `Likeness.effects`.
    """
    feature_groups = name_feature_groups(wells.features)
    group_lengths = {}
    for group in feature_groups.unique():
        chosen = (feature_groups == group).to_numpy()
        group_lengths[group] = np.sqrt(np.square(changes[:, chosen]).mean(axis=1))
    lengths = pd.DataFrame(group_lengths)
    of_controls = lengths[wells.negative].median()
    chosen = np.isin(names, treatments)
    medians = lengths[chosen].groupby(names[chosen]).median()
    return medians.reindex(treatments) / of_controls.where(of_controls > 0)


def enrich_mechanisms(
    wells: Wells, groups: pd.DataFrame, compounds: pd.Series
) -> pd.DataFrame:
    """Find the mechanisms that are frequent in a group of active treatments.

    Parameters
    ----------
    wells : Wells
        With labels.
    groups : pandas.DataFrame
        From `group_profiles`.
    compounds : pandas.Series of str
        The compound of each treatment.

    Returns
    -------
    pandas.DataFrame
        As `Likeness.mechanisms`: those with at least two compounds in a group.
        Compounds are counted, not doses, which are not independent.
    """
    rows = wells.rows[wells.treated & (wells.rows["label"] != "")]
    mechanisms = rows.groupby("compound")["label"].first()
    of_group = groups.assign(compound=groups["treatment"].map(compounds))
    common = mechanisms.value_counts()
    results = []
    for group, members in of_group.groupby("group"):
        inside = mechanisms.index.isin(members["compound"])
        # All that could be enriched are tested, not only those that look enriched.
        for mechanism in common.index[common > 1] if inside.sum() > 1 else ():
            is_of = (mechanisms == mechanism).to_numpy()
            sizes = ((inside & is_of).sum(), inside.sum(), is_of.sum(), len(mechanisms))
            p = _test_overlap(*map(int, sizes))
            results.append((group, mechanism, *map(int, sizes), p))
    columns = ["group", "mechanism", "n_in_group", "n_group", "n_mechanism", "n_all"]
    frame = pd.DataFrame(results, columns=[*columns, "p"])
    corrected = false_discovery_control(frame["p"]) if len(frame) else []
    frame = frame.assign(corrected_p=corrected)
    return frame[frame["n_in_group"] > 1].reset_index(drop=True)


def _test_overlap(n_in_group: int, n_group: int, n_mechanism: int, n_all: int) -> float:
    """Return how often so many of a mechanism would be in a group by chance."""
    inside = [n_in_group, n_group - n_in_group]
    outside = [n_mechanism - n_in_group, n_all - n_group - n_mechanism + n_in_group]
    return float(fisher_exact([inside, outside], alternative="greater").pvalue)

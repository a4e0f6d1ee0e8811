"""Mean average precision of replicates, mechanisms and positions, by copairs."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pycytominer
from copairs.map import average_precision, mean_average_precision
from copairs.map.normalization import expected_ap
from copairs.matching import UnpairedException
from sklearn.metrics.pairwise import cosine_similarity

from stratonet_sklearn.evaluation.consensus import (
    Score,
    compare_consensus,
    explain_mechanisms,
    report_unscored,
)

# Share of false discoveries among the treatments that are called retrieved.
SIGNIFICANT = 0.05
# Permutations per number of pairs.
NULL_SIZE = 10_000
# Of the permutations: the same profiles give the same scores.
SEED = 0


@dataclass(frozen=True)
class Pairs:
    """Which rows form a pair: the columns that are the same, and those that differ.

    Attributes
    ----------
    same, different : list of str
        Columns of the rows' metadata.
    """

    same: list[str]
    different: list[str]


@dataclass(frozen=True)
class _Task:
    """What a mean average precision is computed for, and how it is described.

    Attributes
    ----------
    measure : str
        What is found: ``replicate``, ``mechanism`` or ``position``.
    find, among : Pairs
        The pairs to find, and the pairs that these are found among.
    of : int
        How many items there are. The mean is over items: the first column of ``find``.
    items : str
        What the items are called, in the plural.
    note : str
        The beginning of the note, up to the colon.
    lacking : str
        What is needed, for the note if nothing can be computed.
    """

    measure: str
    find: Pairs
    among: Pairs
    of: int
    items: str
    note: str
    lacking: str

    @property
    def measures(self) -> list[str]:
        """Names of the mean average precision and of the share that is significant."""
        return [f"{self.measure} mAP", f"{self.measure} retrieved"]


def score_replicates(
    wells: pd.DataFrame, values: pd.DataFrame, is_treated: np.ndarray
) -> list[Score]:
    """Score how well wells of a treatment find each other, on other plates or on one.

    By chance alone, the pairs to find must be as alike as those they are found among.
    Wells of a plate share the error of its normalisation, but the controls on which it
    was normalised do not. In simulations, this alone made as many as all of the
    treatments without an effect look different from 8 or 16 controls of their plate.

    Parameters
    ----------
    wells : pandas.DataFrame (n wells)
        Wells of treatments and negative controls, with the columns ``treatment``,
        ``plate`` and ``control``.
    values : pandas.DataFrame (n wells, n features)
        Their profiles, with the same index.
    is_treated : numpy.ndarray (n wells,), bool
        Which wells have a treatment.

    Returns
    -------
    list of Score
    """
    spread = (
        wells[is_treated]
        .groupby("treatment")["plate"]
        .agg([("plates", "nunique"), ("wells", "size")])
    )
    # How many treatments have replicates on other plates, and on one plate: the more
    # frequent layout of the screen decides.
    n_across = (spread["plates"] > 1).sum()
    n_within = (spread["wells"] > spread["plates"]).sum()
    across = n_across >= n_within
    knows_controls = wells["control"].any()
    if not across:
        values = _standardize_plates(values, wells["plate"])
    # Controls are not replicates of each other: each gets a treatment of its own.
    own_treatments = -1 - np.arange(len(wells))
    treatments = wells["treatment"].where(is_treated, own_treatments)
    wells = wells.assign(treatment=treatments)
    # Wells without a compound are neither found nor found among.
    is_used = is_treated | wells["control"].to_numpy()
    task = _plan_replicates(across, knows_controls, len(spread))
    return _score_precision(task, wells[is_used], cosine_similarity(values[is_used]))


def _standardize_plates(values: pd.DataFrame, plates: pd.Series) -> pd.DataFrame:
    """Standardize on all wells of each plate, so that controls are not set apart."""
    parts = [
        pycytominer.normalize(
            plate, features=list(values), meta_features=[], method="standardize"
        )
        for _, plate in values.groupby(plates)
    ]
    return pd.concat(parts).sort_index()


def _plan_replicates(across: bool, knows_controls: bool, n_treatments: int) -> _Task:
    among = "other treatments, as no negative controls are known,"
    apart_by = "treatment"
    if knows_controls:
        among, apart_by = "negative controls", "control"
    if across:
        find = Pairs(["treatment"], ["plate"])
        others = Pairs([], ["plate", apart_by])
        plates = "on other plates: "
    else:
        find = Pairs(["treatment", "plate"], [])
        others = Pairs(["plate"], [apart_by])
        plates = (
            "on the same plate, all standardized on all wells of the plate once more: "
        )
    return _Task(
        measure="replicate",
        find=find,
        among=others,
        of=n_treatments,
        items="treatments",
        note=f"Wells of a treatment find each other among {among} {plates}",
        lacking=(
            "This needs treatments with two wells or more, and negative controls or"
            " other treatments."
        ),
    )


def score_mechanisms(wells: pd.DataFrame, values: pd.DataFrame) -> list[Score]:
    """Score how well compounds of a mechanism find each other among all.

    Parameters
    ----------
    wells : pandas.DataFrame (n wells)
        Wells of treatments, with the columns ``compound`` and ``label``.
    values : pandas.DataFrame (n wells, n features)
        Their profiles, with the same index.

    Returns
    -------
    list of Score
    """
    labels = wells["label"]
    task = _Task(
        measure="mechanism",
        find=Pairs(["label"], []),
        among=Pairs([], ["label"]),
        of=labels[labels != ""].nunique(),
        items="mechanisms",
        note=(
            f"{wells.loc[labels != '', 'compound'].nunique():,} compounds (the median"
            " of all their wells) find those of their mechanism among all: "
        ),
        lacking=(
            "This needs a mechanism with two compounds or more, and another mechanism."
        ),
    )
    obstacle = explain_mechanisms(wells, "compound")
    if obstacle:
        return report_unscored(task.measures, task.of, obstacle)
    compounds, similarity = compare_consensus(wells, values, "compound")
    return _score_precision(task, compounds, similarity)


def score_positions(controls: pd.DataFrame, values: pd.DataFrame) -> list[Score]:
    """Score how well negative controls of one well find each other on other plates.

    They were all treated alike: if they find each other, what is seen is the position.

    Parameters
    ----------
    controls : pandas.DataFrame (n wells)
        With the columns ``well`` and ``plate``.
    values : pandas.DataFrame (n wells, n features)
        Their profiles, with the same index.

    Returns
    -------
    list of Score
    """
    task = _Task(
        measure="position",
        find=Pairs(["well"], ["plate"]),
        among=Pairs([], ["well", "plate"]),
        of=controls["well"].nunique(),
        items="positions",
        note=(
            "Negative controls find those in the same well of other plates among all of"
            " other plates: "
        ),
        lacking=(
            "This needs negative controls in the same wells of two plates or more, and"
            " in two wells or more."
        ),
    )
    if controls.empty:
        note = f"{task.lacking} Received: no negative controls."
        return report_unscored(task.measures, task.of, note)
    if controls["plate"].nunique() < 2:
        note = f"{task.lacking} Received: negative controls on one plate."
        return report_unscored(task.measures, task.of, note)
    return _score_precision(task, controls, cosine_similarity(values))


def _score_precision(
    task: _Task, rows: pd.DataFrame, similarity: np.ndarray
) -> list[Score]:
    """Compute mean average precision by copairs, and the share that is significant."""
    precisions = compute_precisions(task.find, task.among, rows, similarity)
    if precisions.empty:
        return report_unscored(task.measures, task.of, task.lacking)
    by = task.find.same[:1]
    # Not the cache in the user's home: what it holds depends on what was computed
    # first.
    with tempfile.TemporaryDirectory() as cache:
        means = mean_average_precision(
            precisions,
            by,
            NULL_SIZE,
            SIGNIFICANT,
            SEED,
            progress_bar=False,
            cache_dir=cache,
        )
    # Chance depends on how many there are to find, which differs between items: the
    # score alone says little.
    by_chance = [
        expected_ap(n_positive, n_total - n_positive)
        for n_positive, n_total in zip(
            precisions["n_pos_pairs"], precisions["n_total_pairs"]
        )
    ]
    precisions = precisions.assign(by_chance=by_chance)
    chances = precisions.groupby(by)["by_chance"].mean()
    left_out = ""
    n_without = task.of - len(means)
    if n_without > 0:
        left_out = f" Left out, with nothing to find: {n_without:,}."
    note = (
        f"{task.note}mean over {task.items}; by chance {chances.mean():.3f}.{left_out}"
    )
    note_of_share = (
        f"Share of {task.items} for which this is significant (permutations;"
        f" {SIGNIFICANT:.0%} false discoveries).{left_out}"
    )
    value, share = task.measures
    mean, significant = means["mean_average_precision"], means["below_corrected_p"]
    return [
        Score(value, mean.mean(), len(means), task.of, note),
        Score(share, significant.mean(), len(means), task.of, note_of_share),
    ]


def compute_precisions(
    find: Pairs, among: Pairs, rows: pd.DataFrame, similarity: np.ndarray
) -> pd.DataFrame:
    """Compute the average precision of each row that has pairs to find, and others.

    Parameters
    ----------
    find, among : Pairs
        The pairs to find, and the pairs that these are found among.
    rows : pandas.DataFrame (n rows)
        With the columns that these name.
    similarity : numpy.ndarray (n rows, n rows)
        Similarity of each row to each.

    Returns
    -------
    pandas.DataFrame
        As copairs gives it: ``average_precision``, ``n_pos_pairs``, ``n_total_pairs``.
        Empty where no row has both.
    """

    def look_up(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return similarity[first[:, 0], second[:, 0]]

    # copairs takes features and a distance. The similarities are known already: each
    # row's only feature is its number.
    numbers = np.arange(len(rows))[:, None]
    try:
        precisions = average_precision(
            rows,
            numbers,
            find.same,
            find.different,
            among.same,
            among.different,
            distance=look_up,
            progress_bar=False,
        )
    except UnpairedException:
        return pd.DataFrame()
    has_pairs = precisions["n_pos_pairs"] > 0
    has_others = precisions["n_total_pairs"] > precisions["n_pos_pairs"]
    return precisions[has_pairs & has_others]

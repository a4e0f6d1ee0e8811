"""Retrieval scores as the field reports them: whether like treatments look alike."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pycytominer
from copairs.map import average_precision, mean_average_precision
from copairs.map.normalization import expected_ap
from copairs.matching import UnpairedException
from sklearn.metrics.pairwise import cosine_similarity

from stratonet.messages import shorten_list
from stratonet.naming import metadata_columns
from stratonet.tables.columns import PLATE, WELL
from stratonet_sklearn.evaluation.profiles import Profiles

SIGNIFICANT = 0.05
NULL_SIZE = 10_000


@dataclass(frozen=True)
class _Score:
    """A row of the table of scores, see `score_retrieval`."""

    measure: str
    value: float
    n: int
    of: int
    note: str


@dataclass(frozen=True)
class _Pairs:
    """Which rows form a pair: the columns that are the same, and those that differ."""

    same: list[str]
    different: list[str]


@dataclass(frozen=True)
class _Task:
    """What a mean average precision is asked of.

    ``find`` are the pairs to find, ``among`` those that they are found among. The mean
    is over the first column of ``find``, whose values are ``of`` many ``items``.
    """

    measure: str
    find: _Pairs
    among: _Pairs
    of: int
    items: str
    note: str
    lacking: str  # what is needed where nothing can be computed

    @property
    def measures(self) -> list[str]:
        return [f"{self.measure} mAP", f"{self.measure} retrieved"]


def score_retrieval(
    profiles: Profiles,
    label: str | None,
    compound: str,
    dose: str | None = None,
    batch: str = PLATE,
) -> pd.DataFrame:
    """Score how well profiles find those of the same treatment or mechanism.

    Profiles are compared by cosine similarity.

    Parameters
    ----------
    profiles : Profiles
        Of wells, as `make_profiles` returns them.
    label : str or None
        The column of mechanisms.
    compound : str
        The column of compounds. Wells without one, and negative controls, are not of a
        treatment.
    dose : str, optional
        The column of doses: a treatment is a compound at a dose.
    batch : str
        The column of batches.

    Returns
    -------
    pandas.DataFrame
        One row per measure: ``measure``; ``value``, NaN if it cannot be computed;
        ``n``, on how many treatments (mechanisms, positions), ``of`` how many;
        ``note``, what it is and by chance, or why there is none.

        - ``NSC`` (not the same compound): treatments, the median of their wells, whose
          nearest neighbour among those of other compounds has the same mechanism.
          ``NSCB`` (nor batch): neighbours share no batch either.
        - ``replicate mAP``: mean average precision with which the wells of a treatment
          find each other among negative controls on other plates; on the same, if most
          treatments are on one plate. ``replicate retrieved``: the share of treatments
          for which it is significant (permutations, corrected).
        - ``mechanism mAP``, ``mechanism retrieved``: the same for compounds of a
          mechanism among other compounds.
        - ``position mAP``, ``position retrieved``: negative controls in the same well
          of other plates, among those in other wells of other plates. High means that
          the layout of the plates is seen.

    Raises
    ------
    ValueError
        There is no such column.

    References
    ----------
    Ljosa et al., J Biomol Screen 18, 1321 (2013); Ando et al., bioRxiv 161422 (2017);
    Kalinin et al., Nature Communications 16, 5181 (2025).
    """
    _check_columns(profiles, (label, compound, dose, batch))
    wells = _describe_wells(profiles, label, compound, dose, batch)
    values = profiles.frame[profiles.features].reset_index(drop=True)
    is_control = wells["control"].to_numpy()
    is_treated = ~is_control & (wells["compound"] != "").to_numpy()
    scores = [
        *_score_neighbours(wells[is_treated], values[is_treated], batch),
        *_score_replicates(wells, values, is_treated),
        *_score_mechanisms(wells[is_treated], values[is_treated]),
        *_score_positions(wells[is_control], values[is_control]),
    ]
    return pd.DataFrame(scores, columns=["measure", "value", "n", "of", "note"])


def _check_columns(profiles: Profiles, columns: Sequence[str | None]) -> None:
    known = metadata_columns(profiles.frame)
    absent = [name for name in columns if name is not None and name not in known]
    if absent:
        raise ValueError(
            f"The profiles have no column {', '.join(absent)}. Metadata that differ"
            f" within a well are left out. Received: {', '.join(known)}"
        )


def _describe_wells(
    profiles: Profiles,
    label: str | None,
    compound: str,
    dose: str | None,
    batch: str,
) -> pd.DataFrame:
    """Return what is known of each well, under names of our own; ``""`` if missing."""
    frame = profiles.frame
    columns = {
        "compound": compound,
        "dose": dose,
        "label": label,
        "batch": batch,
        "plate": PLATE,
        "well": WELL,
    }
    wells = pd.DataFrame(index=pd.RangeIndex(len(frame)))
    for name, column in columns.items():
        wells[name] = "" if column is None else frame[column].fillna("").to_numpy()
    wells["control"] = False if profiles.control is None else profiles.control
    wells["treatment"] = wells.groupby(["compound", "dose"]).ngroup()
    return wells


def _report_unscored(measures: Sequence[str], of: int, note: str) -> list[_Score]:
    return [_Score(measure, np.nan, 0, of, note) for measure in measures]


def _explain_mechanisms(wells: pd.DataFrame, by: str) -> str:
    """Say why treatments or compounds cannot be compared by mechanism, or ``""``."""
    if not (wells["label"] != "").any():
        return f"No {by} has a mechanism: no column of them was named, or it is empty."
    has_several = wells.groupby(by)["label"].transform("nunique") > 1
    if has_several.any():
        names = list(wells.loc[has_several, "compound"].unique())
        return (
            f"Each {by} has one mechanism, the same in all its wells. Received several"
            f" for {shorten_list(names)}."
        )
    return ""


def _compare_consensus(
    wells: pd.DataFrame, values: pd.DataFrame, by: str
) -> tuple[pd.DataFrame, np.ndarray]:
    """Compare the medians of treatments or compounds that have a mechanism.

    Returns
    -------
    items : pandas.DataFrame (n items)
        What is known of each, by treatment or compound.
    similarity : numpy.ndarray (n items, n items)
    """
    wells = wells[wells["label"] != ""]
    medians = pycytominer.consensus(
        pd.concat([wells[[by]], values.loc[wells.index]], axis=1),
        replicate_columns=[by],
        operation="median",
        features=list(values),
    )
    return wells.groupby(by).first(), cosine_similarity(medians[list(values)])


def _score_neighbours(
    wells: pd.DataFrame, values: pd.DataFrame, batch: str
) -> list[_Score]:
    """Compute NSC and NSCB."""
    n_treatments = wells["treatment"].nunique()
    obstacle = _explain_mechanisms(wells, "treatment")
    if obstacle:
        return _report_unscored(["NSC", "NSCB"], n_treatments, obstacle)
    treatments, similarity = _compare_consensus(wells, values, "treatment")
    compounds = treatments["compound"].to_numpy()
    other_compound = compounds[:, None] != compounds
    batches = pd.crosstab(wells["treatment"], wells["batch"])
    wells_in_batches = batches.loc[treatments.index].to_numpy()
    # A product of counts is 0 where no batch has wells of both.
    apart = wells_in_batches @ wells_in_batches.T == 0
    among = "among those of other compounds"
    batch_name = batch.removeprefix("Metadata_").lower()
    among_apart = f"{among} that share no {batch_name} with them"
    labels = treatments["label"].to_numpy()
    return [
        _score_nearest("NSC", similarity, labels, other_compound, n_treatments, among),
        _score_nearest(
            "NSCB",
            similarity,
            labels,
            other_compound & apart,
            n_treatments,
            among_apart,
        ),
    ]


def _score_nearest(
    measure: str,
    similarity: np.ndarray,
    labels: np.ndarray,
    allowed: np.ndarray,
    of: int,
    among: str,
) -> _Score:
    """Count treatments whose nearest allowed neighbour has their mechanism.

    ``similarity`` and ``allowed`` are (n, n), ``labels`` (n,); ``of`` also counts
    treatments without a mechanism.
    """
    right = (labels[:, None] == labels) & allowed
    # Without a neighbour of its mechanism a treatment cannot succeed.
    judged = right.any(axis=1)
    n_judged = int(judged.sum())
    if not n_judged:
        note = f"No treatment has one of its mechanism {among}."
        return _Score(measure, np.nan, 0, of, note)
    nearest = np.where(allowed, similarity, -np.inf).argmax(axis=1)
    value = (labels[nearest] == labels)[judged].mean()
    chances = right.sum(axis=1)[judged] / allowed.sum(axis=1)[judged]
    note = (
        f"Share of treatments whose nearest neighbour {among} has their mechanism; by"
        f" chance {chances.mean():.3f}."
    )
    if n_judged < of:
        note += (
            f" Left out: {of - len(labels):,} without a mechanism,"
            f" {len(labels) - n_judged:,} with none of their mechanism {among}."
        )
    return _Score(measure, value, n_judged, of, note)


def _score_replicates(
    wells: pd.DataFrame, values: pd.DataFrame, is_treated: np.ndarray
) -> list[_Score]:
    """Score replicates on other plates, or all on one plate.

    What is to be found stands on the same footing as what it is found among. Wells of a
    plate share the error of its normalisation, but the controls that were normalised on
    do not. By this alone, up to all simulated treatments that did nothing were told
    from 8 or 16 controls of their plate.
    """
    spread = (
        wells[is_treated]
        .groupby("treatment")["plate"]
        .agg([("plates", "nunique"), ("wells", "size")])
    )
    n_across = (spread["plates"] > 1).sum()
    n_within = (spread["wells"] > spread["plates"]).sum()
    across = n_across >= n_within
    knows_controls = wells["control"].any()
    if not across:
        values = _standardize_plates(values, wells["plate"])
    # Controls are nobody's replicates: each has a treatment of its own.
    own = -1 - np.arange(len(wells))
    wells = wells.assign(treatment=wells["treatment"].where(is_treated, own))
    kept = is_treated | wells["control"].to_numpy()
    task = _plan_replicates(across, knows_controls, len(spread))
    return _score_precision(task, wells[kept], cosine_similarity(values[kept]))


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
        find = _Pairs(["treatment"], ["plate"])
        others = _Pairs([], ["plate", apart_by])
        where = "on other plates: "
    else:
        find = _Pairs(["treatment", "plate"], [])
        others = _Pairs(["plate"], [apart_by])
        where = (
            "on the same plate, all standardized on all wells of the plate once more: "
        )
    return _Task(
        measure="replicate",
        find=find,
        among=others,
        of=n_treatments,
        items="treatments",
        note=f"Wells of a treatment find each other among {among} {where}",
        lacking=(
            "This needs treatments with two wells or more, and negative controls or"
            " other treatments."
        ),
    )


def _score_mechanisms(wells: pd.DataFrame, values: pd.DataFrame) -> list[_Score]:
    """Score how compounds of a mechanism find each other among all."""
    labels = wells["label"]
    task = _Task(
        measure="mechanism",
        find=_Pairs(["label"], []),
        among=_Pairs([], ["label"]),
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
    obstacle = _explain_mechanisms(wells, "compound")
    if obstacle:
        return _report_unscored(task.measures, task.of, obstacle)
    compounds, similarity = _compare_consensus(wells, values, "compound")
    return _score_precision(task, compounds, similarity)


def _score_positions(controls: pd.DataFrame, values: pd.DataFrame) -> list[_Score]:
    """Score how negative controls of the same well of other plates find each other."""
    task = _Task(
        measure="position",
        find=_Pairs(["well"], ["plate"]),
        among=_Pairs([], ["well", "plate"]),
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
        return _report_unscored(task.measures, task.of, note)
    if controls["plate"].nunique() < 2:
        note = f"{task.lacking} Received: negative controls on one plate."
        return _report_unscored(task.measures, task.of, note)
    return _score_precision(task, controls, cosine_similarity(values))


def _score_precision(
    task: _Task, rows: pd.DataFrame, similarity: np.ndarray
) -> list[_Score]:
    """Compute mean average precision by copairs, and the share that is significant."""
    precisions = _compute_precisions(task, rows, similarity)
    if precisions.empty:
        return _report_unscored(task.measures, task.of, task.lacking)
    by = task.find.same[:1]
    # Not the cache in the user's home: what it holds depends on what was computed
    # first.
    with tempfile.TemporaryDirectory() as cache:
        means = mean_average_precision(
            precisions,
            by,
            NULL_SIZE,
            SIGNIFICANT,
            0,  # the seed of the permutations
            progress_bar=False,
            cache_dir=cache,
        )
    by_chance = [
        expected_ap(n_positive, n_total - n_positive)
        for n_positive, n_total in zip(
            precisions["n_pos_pairs"], precisions["n_total_pairs"]
        )
    ]
    chances = precisions.assign(by_chance=by_chance).groupby(by)["by_chance"].mean()
    left_out = ""
    if len(means) < task.of:
        left_out = f" Left out, with nothing to find: {task.of - len(means):,}."
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
        _Score(value, mean.mean(), len(means), task.of, note),
        _Score(share, significant.mean(), len(means), task.of, note_of_share),
    ]


def _compute_precisions(
    task: _Task, rows: pd.DataFrame, similarity: np.ndarray
) -> pd.DataFrame:
    """Compute the average precision of each row that has something to find.

    Also something else to find it among. Empty where there is none.
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
            task.find.same,
            task.find.different,
            task.among.same,
            task.among.different,
            distance=look_up,
            progress_bar=False,
        )
    except UnpairedException:
        return pd.DataFrame()
    has_pairs = precisions["n_pos_pairs"] > 0
    has_others = precisions["n_total_pairs"] > precisions["n_pos_pairs"]
    return precisions[has_pairs & has_others]

"""NSC and NSCB: whether the nearest neighbour of a treatment has its mechanism."""

from __future__ import annotations

import numpy as np
import pandas as pd

from stratonet_sklearn.evaluation.consensus import (
    Score,
    compare_consensus,
    explain_mechanisms,
    report_unscored,
)


def score_neighbors(
    wells: pd.DataFrame, values: pd.DataFrame, batch: str
) -> list[Score]:
    """Compute NSC (not same compound) and NSCB (not same compound or batch).

    Parameters
    ----------
    wells : pandas.DataFrame (n wells)
        Wells of treatments, with the columns ``treatment``, ``compound``, ``label``
        (the mechanism, ``""`` if unknown) and ``batch``.
    values : pandas.DataFrame (n wells, n features)
        Their profiles, with the same index.
    batch : str
        Name of the column of batches, for the notes.

    Returns
    -------
    list of Score

    References
    ----------
    Ljosa et al., J Biomol Screen 18, 1321 (2013); Ando et al., bioRxiv 161422 (2017).
    """
    n_treatments = wells["treatment"].nunique()
    obstacle = explain_mechanisms(wells, "treatment")
    if obstacle:
        return report_unscored(["NSC", "NSCB"], n_treatments, obstacle)
    treatments, similarity = compare_consensus(wells, values, "treatment")
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
) -> Score:
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
        return Score(measure, np.nan, 0, of, note)
    # Treatments themselves are never allowed: they are of the same compound.
    among_allowed = np.where(allowed, similarity, -np.inf)
    nearest = among_allowed.argmax(axis=1)
    value = (labels[nearest] == labels)[judged].mean()
    # By chance, a neighbour is any of the allowed ones.
    n_right = right[judged].sum(axis=1)
    chances = n_right / allowed[judged].sum(axis=1)
    note = (
        f"Share of treatments whose nearest neighbour {among} has their mechanism; by"
        f" chance {chances.mean():.3f}."
    )
    if n_judged < of:
        note += (
            f" Left out: {of - len(labels):,} without a mechanism,"
            f" {len(labels) - n_judged:,} with none of their mechanism {among}."
        )
    return Score(measure, value, n_judged, of, note)

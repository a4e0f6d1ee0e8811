"""Consensus profiles of treatments and compounds, and the form of their scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pycytominer
from sklearn.metrics.pairwise import cosine_similarity

from stratonet.messages import shorten_list


@dataclass(frozen=True)
class Score:
    """A row of the table of scores, see `stratonet_sklearn.evaluation.retrieval`.

    Attributes
    ----------
    measure : str
        Such as ``NSC`` or ``replicate mAP``.
    value : float
        NaN if it cannot be computed.
    n, of : int
        On how many treatments (mechanisms, positions) it is computed, and of how many.
    note : str
        What the value is and what chance gives, or why there is no value.
    """

    measure: str
    value: float
    n: int
    of: int
    note: str


def report_unscored(measures: Sequence[str], of: int, note: str) -> list[Score]:
    """Return scores without a value, and say why.

    Parameters
    ----------
    measures : sequence of str
        Each becomes a row, so that tables of different runs have the same rows.
    of : int
        How many treatments (mechanisms, positions) there are.
    note : str
        Why there is no value.

    Returns
    -------
    list of Score
    """
    return [Score(measure, np.nan, 0, of, note) for measure in measures]


def explain_mechanisms(wells: pd.DataFrame, by: str) -> str:
    """Explain why treatments or compounds cannot be compared by mechanism.

    Parameters
    ----------
    wells : pandas.DataFrame (n wells)
        With the columns ``label`` (the mechanism, ``""`` if unknown) and ``compound``.
    by : str
        ``treatment`` or ``compound``.

    Returns
    -------
    str
        ``""`` where they can be compared.
    """
    if not (wells["label"] != "").any():
        return f"No {by} has a mechanism: no column of them was named, or it is empty."
    n_labels = wells.groupby(by)["label"].transform("nunique")
    has_several = n_labels > 1
    if has_several.any():
        names = list(wells.loc[has_several, "compound"].unique())
        return (
            f"Each {by} has one mechanism, the same in all its wells. Received several"
            f" for {shorten_list(names)}."
        )
    return ""


def compare_consensus(
    wells: pd.DataFrame, values: pd.DataFrame, by: str
) -> tuple[pd.DataFrame, np.ndarray]:
    """Compare the medians of treatments or compounds that have a mechanism.

    Parameters
    ----------
    wells : pandas.DataFrame (n wells)
        As `explain_mechanisms` takes it.
    values : pandas.DataFrame (n wells, n features)
        Their profiles, with the same index.
    by : str
        ``treatment`` or ``compound``.

    Returns
    -------
    items : pandas.DataFrame (n items)
        The metadata of each, by treatment or compound.
    similarity : numpy.ndarray (n items, n items)
    """
    wells = wells[wells["label"] != ""]
    # The median: a single bad well does not move it. pycytominer gives the items in
    # sorted order, as does groupby below.
    medians = pycytominer.consensus(
        pd.concat([wells[[by]], values.loc[wells.index]], axis=1),
        replicate_columns=[by],
        operation="median",
        features=list(values),
    )
    items = wells.groupby(by).first()
    return items, cosine_similarity(medians[list(values)])

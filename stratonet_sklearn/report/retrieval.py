"""Section: whether treatments that work alike look alike."""

from __future__ import annotations

import pandas as pd

from stratonet.tables.columns import BATCH, PLATE
from stratonet_sklearn.evaluation.profiles import make_profiles
from stratonet_sklearn.evaluation.retrieval import score_retrieval
from stratonet_sklearn.report.data import ReportData
from stratonet_sklearn.report.section import (
    Block,
    Content,
    Numbers,
    Omission,
    Paragraph,
    Table,
)

TITLE = "Do treatments with the same mechanism look alike?"


def build_retrieval(data: ReportData) -> Content | None:
    """Score how well profiles find those of the same treatment or mechanism.

    Parameters
    ----------
    data : ReportData
        With a column of compounds.

    Returns
    -------
    Content or None
        None without compounds.
    """
    if data.treatments.compound is None:
        return None
    # If no batches are known, replicates must be found across plates.
    batch = BATCH if BATCH in data.rows else PLATE
    scores: dict[str, pd.DataFrame] = {}
    steps: dict[str, str] = {}
    blocks: list[Block] = []
    for table in data.tables:
        try:
            features = table.frame[table.features]
            profiles = make_profiles(data.rows, features, data.controls, data.recipe)
            scores[table.name] = score_retrieval(
                profiles,
                data.treatments.label,
                data.treatments.compound,
                data.treatments.dose,
                batch,
            )
            steps[table.name] = " ".join(profiles.steps)
        except ValueError as error:
            # The classification took long, and is worth showing without profiles.
            text = f"Profiles of {table.name} could not be made: {error}"
            blocks.append(Omission(text))
    if scores:
        blocks += _show_scores(scores, steps)
    return Content(TITLE, blocks)


def _show_scores(scores: dict[str, pd.DataFrame], steps: dict[str, str]) -> list[Block]:
    # The file has full precision, unlike the table on the page.
    frame = pd.concat(scores, names=["features"]).reset_index(level="features")
    blocks: list[Block] = [Numbers("retrieval", frame)]
    # The treatments decide which measures can be computed, so the first table stands
    # for all.
    first = next(iter(scores.values()))
    computed = first[first["value"].notna()]
    if len(computed):
        blocks.append(
            Table(
                tabulate_measures(scores, computed),
                "1 is perfect. Profiles of wells are compared by cosine similarity.",
            )
        )
    missing = first[first["value"].isna()]
    for note, rows in missing.groupby("note", sort=False):
        blocks.append(Omission(f"{', '.join(rows['measure'])}: {note}"))
    if len(computed):
        blocks += [
            Paragraph(f"Profiles of {name}: {text}") for name, text in steps.items()
        ]
    return blocks


def tabulate_measures(
    scores: dict[str, pd.DataFrame], computed: pd.DataFrame
) -> pd.DataFrame:
    """Write the measures as texts.

    Parameters
    ----------
    scores : dict of str to pandas.DataFrame
        What `stratonet_sklearn.evaluation.retrieval.score_retrieval` returns, by table.
    computed : pandas.DataFrame
        The rows of the first of them that have a value.

    Returns
    -------
    pandas.DataFrame
        One row per measure, with headings for readers.
    """
    measures = computed["measure"].tolist()
    columns = {"Measure": measures}
    for name, frame in scores.items():
        values = frame.set_index("measure")["value"][measures]
        columns[name] = [f"{value:.3f}" for value in values]
    columns["Computed on"] = [
        f"{n:,} of {total:,}" for n, total in zip(computed["n"], computed["of"])
    ]
    columns["What it is"] = computed["note"].tolist()
    return pd.DataFrame(columns)

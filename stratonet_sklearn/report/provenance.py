"""Sections: what the numbers of a report are based on, and what was left out."""

from __future__ import annotations

import platform
from importlib.metadata import version

import pandas as pd

from stratonet import __version__
from stratonet.messages import count_things
from stratonet.tables.columns import PLATE
from stratonet.tables.reading import FeatureTable
from stratonet_sklearn.evaluation.columns import name_wells
from stratonet_sklearn.report.data import ReportData
from stratonet_sklearn.report.section import (
    Answer,
    Block,
    Caution,
    Content,
    Fact,
    Omission,
)
from stratonet_sklearn.rows import list_values

# The packages whose versions affect the numbers.
PACKAGES = (
    "numpy",
    "pandas",
    "scikit-learn",
    "imbalanced-learn",
    "pycytominer",
    "copairs",
    "umap-learn",
)


def build_provenance(data: ReportData) -> Content:
    """State what was evaluated, at the top of the page.

    Parameters
    ----------
    data : ReportData
        Any.

    Returns
    -------
    Content
        Without a heading of its own.
    """
    blocks: list[Block] = []
    if data.evaluation is None:
        blocks.append(
            Answer(
                "No column of classes was given (label), so the features are described"
                " and compared, but nothing is classified."
            )
        )
    blocks += [Caution(text) for text in list_losses(data)]
    blocks.append(Fact("Data", _word_rows(data)))
    blocks += [Fact(table.name, _word_table(table)) for table in data.tables]
    if data.evaluation is not None:
        blocks += [
            Fact("Classes", _word_classes(data)),
            Fact("Split", _word_split(data)),
        ]
    # Other versions may give other numbers, so the report names those that it used.
    versions = [f"{name} {version(name)}" for name in PACKAGES]
    python = f"stratonet {__version__}, Python {platform.python_version()}"
    blocks += [
        Fact("Seed", str(data.split.seed)),
        Fact("Versions", ", ".join([python, *versions])),
    ]
    return Content("Provenance", blocks)


def _word_rows(data: ReportData) -> str:
    n_wells = name_wells(data.rows).nunique()
    n_plates = data.rows[PLATE].nunique()
    plates = count_things(n_plates, "plate")
    # A table may have several rows per well without saying what they are.
    if data.row_noun == "wells" and len(data.rows) == n_wells:
        return f"{n_wells:,} wells on {plates}"
    return f"{len(data.rows):,} {data.row_noun} of {n_wells:,} wells on {plates}"


def _word_table(table: FeatureTable) -> str:
    text = f"{len(table.features):,} features"
    if table.feature_set_id:
        text += f", feature set {table.feature_set_id}"
    return f"{text}; from {table.source}"


def _word_classes(data: ReportData) -> str:
    assert data.evaluation is not None and data.labels is not None
    counts = pd.Series(data.evaluation.labels).value_counts()
    text = ", ".join(f"{name} ({count:,})" for name, count in counts.items())
    left_out = list_values(data.split.leave_out)
    if left_out:
        text += f"; left out: {', '.join(map(str, left_out))}"
    # Rows without a label are described, but neither trained on nor tested.
    n_without = int((data.labels == "").sum())
    if n_without:
        text += f"; {n_without:,} {data.row_noun} have no label"
    return text


def _word_split(data: ReportData) -> str:
    assert data.evaluation is not None
    group = data.split.group
    n_folds = data.evaluation.folds.max() + 1
    n_groups = len(set(data.evaluation.groups))
    return (
        f"{n_folds} folds by {group}: all {data.row_noun} of one {group} (of"
        f" {n_groups:,}) are tested together, by models that were trained on none of"
        " them. Each training set is balanced and scaled on its own."
    )


def build_left_out(data: ReportData) -> Content | None:
    """List the rows and features that were left out.

    Parameters
    ----------
    data : ReportData
        Any.

    Returns
    -------
    Content or None
        None if nothing was left out.
    """
    omissions = [Omission(text) for text in list_left_out(data)]
    return Content("What was left out", omissions) if omissions else None


def list_losses(data: ReportData) -> list[str]:
    """List what had no match when tables were joined, in sentences.

    Parameters
    ----------
    data : ReportData
        Any.
    """
    of_tables = [
        f"{table.name}: {loss}" for table in data.tables for loss in table.losses
    ]
    return [*of_tables, *data.losses]


def list_left_out(data: ReportData) -> list[str]:
    """List all that was left out or skipped, in sentences; losses first.

    Parameters
    ----------
    data : ReportData
        Any.
    """
    of_tables = [
        f"{table.name}: {note}" for table in data.tables for note in table.notes
    ]
    notes = [*list_losses(data), *of_tables, *data.notes]
    if data.labels is None:
        return notes
    wells = name_wells(data.rows)[data.labels.to_numpy() == ""]
    if len(wells):
        notes.append(
            f"{len(wells):,} of {len(data.rows):,} {data.row_noun} have no"
            f" {data.treatments.label}, such as {wells.iloc[0]}: they are not"
            " classified."
        )
    return notes

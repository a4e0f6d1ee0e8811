"""The input of a report: its options, and the data that every section reads."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from stratonet.arguments import RefusedOption
from stratonet.tables.reading import FeatureTable, read_feature_table, read_metadata
from stratonet_sklearn.evaluation.classification import evaluate
from stratonet_sklearn.evaluation.columns import (
    find_column,
    find_groups,
    get_column,
    name_rows,
    name_wells,
)
from stratonet_sklearn.evaluation.comparison import align_tables, join_metadata
from stratonet_sklearn.evaluation.components import Components, compute_components
from stratonet_sklearn.evaluation.correction import import_harmonypy
from stratonet_sklearn.evaluation.recipe import ProfileRecipe
from stratonet_sklearn.evaluation.roles import find_roles
from stratonet_sklearn.evaluation.scores import Evaluation
from stratonet_sklearn.evaluation.screen import Screen, read_screen
from stratonet_sklearn.evaluation.wells import find_counts
from stratonet_sklearn.report.trained import drop_trained_rows

if TYPE_CHECKING:
    from stratonet.extraction.sources.imagesets import ImageSource

# The classifier that the answer reports, chosen before any result is seen.
HEADLINE = "SVM"


@dataclass(frozen=True)
class Treatments:
    """Which columns of the metadata say what was done to the cells.

    Columns are named with or without ``Metadata_``, in upper or lower case.

    Attributes
    ----------
    label : str, optional
        The class. Without it nothing is classified; rows where it is empty are left
        out of the classification.
    compound, dose : str, optional
        The treatment: a compound at two doses is two treatments.
    control, positive : (str, str) or str, optional
        Column and value of the negative and of the positive controls, or wells such as
        ``"A01:H01,A12"``. By default, controls are recognised by the words that JUMP
        and CellProfiler use, see `find_roles`.

    Examples
    --------
    >>> Treatments(label="mechanism", control=("compound", "DMSO")).control
    ('compound', 'DMSO')
    """

    label: str | None = None
    compound: str | None = None
    dose: str | None = None
    control: tuple[str, str] | str | None = None
    positive: tuple[str, str] | str | None = None


@dataclass(frozen=True)
class Split:
    """How rows are divided into training and test.

    Attributes
    ----------
    group : str
        What is never divided: ``well`` (of one plate), ``row`` or ``column`` (of all
        plates), or a ``Metadata_*`` column such as ``plate``.
    n_folds : int
        The number of parts, each of which is tested once.
    seed : int
        Of the folds, the intervals and the map.
    leave_out : sequence of str
        Classes to leave out of the classification.
    leave_out_trained : bool
        Leave out the rows of wells that a network was fine-tuned on, instead of
        refusing them.
    """

    group: str = "well"
    n_folds: int = 10
    seed: int = 0
    leave_out: Sequence[str] = ()
    leave_out_trained: bool = False


@dataclass(frozen=True)
class ReportData:
    """The data that every section reads and none changes.

    Attributes
    ----------
    tables : sequence of FeatureTable
        Aligned: all have the same rows in the same order. The first is compared with
        the others.
    rows : pandas.DataFrame (n rows)
        Their ``Metadata_*``.
    treatments : Treatments
        With the full names of columns.
    split : Split
        As the user chose it.
    labels : pandas.Series (n rows,) or None
        The class of each row, ``""`` where there is none.
    controls, positive, empty : numpy.ndarray (n rows,), bool, or None
        Which rows are negative controls, which are positive controls, and which are of
        wells without a treatment.
    control_notes : sequence of str
        How the controls were recognised.
    evaluation : Evaluation or None
        Predictions and importance. None without labels.
    images : ImageSource or None
        Where the images of the rows are.
    recipe : ProfileRecipe
        How profiles are made for retrieval, with the full name of its column.
    changes, notes, losses : sequence of str
        How metadata were joined and what they replaced, which of them were not used,
        and for which rows there are none.
    """

    tables: Sequence[FeatureTable]
    rows: pd.DataFrame
    treatments: Treatments = field(default_factory=Treatments)
    split: Split = field(default_factory=Split)
    labels: pd.Series | None = None
    controls: np.ndarray | None = None
    positive: np.ndarray | None = None
    empty: np.ndarray | None = None
    control_notes: Sequence[str] = ()
    evaluation: Evaluation | None = None
    images: ImageSource | None = None
    recipe: ProfileRecipe = field(default_factory=ProfileRecipe)
    changes: Sequence[str] = ()
    notes: Sequence[str] = ()
    losses: Sequence[str] = ()

    @property
    def names(self) -> list[str]:
        """The names of the feature tables."""
        return [table.name for table in self.tables]

    @property
    def row_noun(self) -> str:
        """What a row is: objects, image sets or wells."""
        return name_rows(self.rows)

    @property
    def tested_rows(self) -> pd.DataFrame:
        """The metadata of the rows that were classified, numbered from 0."""
        if self.evaluation is None:
            return self.rows.iloc[:0]
        return self.rows.iloc[self.evaluation.rows].reset_index(drop=True)

    # Cached: two sections need the scores, and 2,000 draws take seconds.
    @cached_property
    def scores(self) -> pd.DataFrame:
        """The scores of the evaluation, with intervals."""
        assert self.evaluation is not None
        return self.evaluation.scores(self.split.seed)

    # Cached: six sections need the screen. It is that of the first table.
    @cached_property
    def screen_or_reason(self) -> Screen | str:
        """Controls, hits and doses, or the reason why they cannot be computed."""
        first, treatments = self.tables[0], self.treatments
        counts = None
        # Each row of objects would repeat the count of its image.
        if self.row_noun != "objects":
            counts = find_counts([table.frame for table in self.tables])
        try:
            return read_screen(
                self.rows,
                first.frame[first.features],
                self.controls,
                self.positive,
                treatments.compound,
                treatments.dose,
                treatments.label,
                counts,
                self.empty,
                self.split.seed,
            )
        except ValueError as error:
            # A well may have two compounds: the other sections are worth showing.
            return str(error)

    @property
    def screen(self) -> Screen | None:
        """Controls, hits and doses; None if they cannot be computed."""
        screen = self.screen_or_reason
        return None if isinstance(screen, str) else screen

    @property
    def compound_screen(self) -> Screen | None:
        """The screen, with hits, doses and likeness; None if no compounds are known."""
        return self.screen if self.treatments.compound else None

    # Cached: three sections need the components, and computing them takes seconds.
    @cached_property
    def components(self) -> Mapping[str, Components]:
        """Principal components of each table, by its name."""
        return {
            table.name: compute_components(table.frame[table.features], self.split.seed)
            for table in self.tables
        }


def read_data(
    tables: Mapping[str, str | os.PathLike[str]],
    metadata: str | os.PathLike[str] | None,
    treatments: Treatments,
    split: Split,
    images: ImageSource | None,
    recipe: ProfileRecipe | None = None,
) -> ReportData:
    """Read and align the tables of a report, and check that its columns exist.

    Parameters
    ----------
    tables : mapping of str to path
        Feature tables by their name in the report.
    metadata : path or None
        A table of more ``Metadata_*`` columns.
    treatments : Treatments
        Column names as users write them.
    split : Split
        Passed on to the sections.
    images : ImageSource or None
        Passed on to the sections.
    recipe : ProfileRecipe, optional
        As users write it. Default: the default recipe.

    Returns
    -------
    ReportData
        Without an evaluation, see `classify_rows`.

    Raises
    ------
    FileNotFoundError, ValueError
        A table, a column or a value is missing, or rows are of wells that a network was
        fine-tuned on.
    ImportError
        The recipe asks for Harmony, but harmonypy is missing.
    """
    if not tables:
        raise ValueError("`tables` is empty: give at least one feature table.")
    # Checked before the tables are read, which takes minutes if they are large.
    if recipe is not None:
        _check_recipe(recipe, treatments)
    unaligned = [read_feature_table(source, name) for name, source in tables.items()]
    more_metadata = None if metadata is None else read_metadata(metadata)
    aligned, rows = align_tables(unaligned)
    changes: list[str] = []
    notes: list[str] = []
    losses: list[str] = []
    if more_metadata is not None:
        rows, changes, notes, losses = join_metadata(rows, more_metadata, str(metadata))
    aligned, rows = drop_trained_rows(aligned, rows, split.leave_out_trained)
    # One row has neither a variance nor a neighbour.
    if len(rows) < 2:
        raise ValueError("There is nothing to compare: the tables have one row.")
    full_names = _find_columns(rows, treatments)
    recipe = recipe or ProfileRecipe()
    # Look up all columns now: fitting the models may take an hour.
    labels = None
    if full_names.label is not None:
        labels = get_column(rows, full_names.label)
    roles = find_roles(rows, treatments.control, treatments.positive)
    return ReportData(
        tables=tuple(aligned),
        rows=rows,
        treatments=full_names,
        split=split,
        labels=labels,
        controls=roles.negative if roles.negative.any() else None,
        positive=roles.positive if roles.positive.any() else None,
        empty=roles.empty if roles.empty.any() else None,
        control_notes=roles.notes,
        images=images,
        recipe=replace(recipe, harmonize=_find_optional_column(rows, recipe.harmonize)),
        changes=changes,
        notes=notes,
        losses=losses,
    )


def _check_recipe(recipe: ProfileRecipe, treatments: Treatments) -> None:
    """Refuse a recipe that could not be followed, or would change nothing."""
    if treatments.compound is None:
        raise RefusedOption(
            "`recipe` only works with `compound`: profiles are made for retrieval."
        )
    if recipe.sphere is True and treatments.control is None:
        raise RefusedOption(
            "`sphere` only works with `control`: profiles are sphered on negative"
            " controls."
        )
    if recipe.harmonize is not None:
        import_harmonypy()


def _find_columns(rows: pd.DataFrame, treatments: Treatments) -> Treatments:
    """Return the treatments with the full names of their columns."""
    return replace(
        treatments,
        label=_find_optional_column(rows, treatments.label),
        compound=_find_optional_column(rows, treatments.compound),
        dose=_find_optional_column(rows, treatments.dose),
    )


def _find_optional_column(rows: pd.DataFrame, name: str | None) -> str | None:
    return None if name is None else find_column(rows, name)


def classify_rows(data: ReportData, progress: bool = False) -> Evaluation:
    """Classify the rows that have a label, on a split that does not leak.

    Parameters
    ----------
    data : ReportData
        With labels.
    progress : bool
        Show a bar.

    Returns
    -------
    Evaluation
        Its ``rows`` are numbers of rows of the data.

    Raises
    ------
    ValueError
        Rows with a label have no group, or the split would leak.
    """
    assert data.labels is not None
    wells = name_wells(data.rows)
    group = data.split.group
    groups = find_groups(data.rows, group)
    n_without = int(((groups == "") & (data.labels != "")).sum())
    if n_without:
        raise ValueError(
            f"{n_without} rows with a label have no {group}. Fill it in, or leave their"
            " label empty."
        )
    # Rows without a label are included: `evaluate` leaves them out and counts them.
    features = {table.name: table.frame[table.features] for table in data.tables}
    return evaluate(
        features,
        data.labels,
        groups=groups,
        wells=wells,
        leave_out=data.split.leave_out,
        n_folds=data.split.n_folds,
        seed=data.split.seed,
        progress=progress,
    )


def select_balanced_accuracy(scores: pd.DataFrame, classifier: str) -> pd.DataFrame:
    """Select the balanced accuracy of each feature table.

    Parameters
    ----------
    scores : pandas.DataFrame
        `Evaluation.scores`.
    classifier : str
        One of those evaluated.

    Returns
    -------
    pandas.DataFrame
        ``value``, ``low`` and ``high`` by the name of the feature table.
    """
    wanted = (
        (scores["classifier"] == classifier)
        & (scores["metric"] == "accuracy")
        & (scores["test"] == "balanced")
    )
    return scores[wanted].set_index("features")[["value", "low", "high"]]

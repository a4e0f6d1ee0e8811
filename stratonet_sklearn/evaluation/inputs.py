"""Check what `evaluate` receives: feature tables, labels, groups and wells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from stratonet.messages import shorten_list, suggest_name
from stratonet.tables.numbers import read_numbers
from stratonet_sklearn.evaluation.splits import split
from stratonet_sklearn.rows import find_missing, read_frame, write_texts

# Rows of fewer features may be the same by chance: they are not searched for copies.
FEWEST_TO_COMPARE = 10
# Frames of any library, see `read_frame`.
Features = Any


@dataclass(frozen=True)
class Rows:
    """The rows that are evaluated; all arrays are (n rows,)."""

    numbers: np.ndarray  # among the rows given, from 0
    labels: np.ndarray  # str
    groups: np.ndarray  # str
    wells: np.ndarray | None
    folds: np.ndarray


@dataclass(frozen=True)
class Matrix:
    """The features of the rows that are evaluated."""

    names: list[str]
    values: np.ndarray  # (n rows, n features), float32


def name_tables(features: Features | Mapping[str, Features]) -> dict[str, Features]:
    """Name feature tables, and convert frames of any library to pandas.

    Parameters
    ----------
    features : frame or array (n rows, n features), or dict of them
        As `evaluate` takes them.

    Returns
    -------
    dict of str to pandas.DataFrame or array
        A single table is called ``features``.

    Raises
    ------
    ValueError
        There is no table, or one does not have two dimensions.

    Examples
    --------
    >>> list(name_tables(np.zeros((3, 2))))
    ['features']
    """
    if not isinstance(features, Mapping):
        features = {"features": features}
    if not features:
        raise ValueError("There is no feature table to evaluate.")
    tables = {str(name): read_frame(table) for name, table in features.items()}
    for name, table in tables.items():
        if np.ndim(table) != 2:
            raise ValueError(
                f"{name}: a feature table has one row per label and one column per"
                f" feature. Received: {type(table).__name__} of shape {np.shape(table)}"
            )
    return tables


def _find_left_out(labels: pd.Series, leave_out: Sequence[Any]) -> np.ndarray:
    """Find the rows of classes to leave out, which may be given as text or as numbers.

    A class that does not occur is refused: it may be misspelt.
    """
    names = write_texts(labels)
    classes = sorted(set(names) - {""})
    left_out = np.zeros(len(labels), bool)
    for wanted in leave_out:
        is_match = (labels == wanted).to_numpy(bool, na_value=False)
        is_match |= names == str(wanted)
        if not is_match.any():
            raise ValueError(
                f"There is no class {wanted} to leave out (`leave_out`)."
                f"{suggest_name(str(wanted), classes)} Received the classes:"
                f" {shorten_list(classes)}"
            )
        left_out |= is_match
    return left_out


def select_rows(
    columns: Mapping[str, pd.Series],
    leave_out: Sequence[Any],
    n_folds: int,
    seed: int,
) -> Rows:
    """Select the rows that have a label and are not left out, and make folds.

    Parameters
    ----------
    columns : mapping of str to pandas.Series (n,)
        ``labels``, ``groups`` and perhaps ``wells``, from `read_rows`.
    leave_out : sequence
        Classes to leave out, as text or as they are among the labels.
    n_folds, seed : int
        As `split` takes them.

    Returns
    -------
    Rows

    Raises
    ------
    ValueError
        There is no such class, or see `split`.
    """
    labels = columns["labels"]
    left_out = find_missing(labels) | _find_left_out(labels, leave_out)
    numbers = np.flatnonzero(~left_out)
    selected = {name: column.iloc[numbers] for name, column in columns.items()}
    # Not yet as text: where each group is a fold, folds are in the order of groups,
    # and 10 comes after 2.
    folds = split(
        selected["labels"],
        selected["groups"],
        n_folds,
        seed,
        wells=selected.get("wells"),
    )
    # All rows are written as text before some are selected: 1.0 becomes 1 only if no
    # other class has a fraction.
    return Rows(
        numbers,
        write_texts(labels)[numbers],
        write_texts(columns["groups"])[numbers],
        selected["wells"].to_numpy() if "wells" in selected else None,
        folds,
    )


def select_features(name: str, table: Features, numbers: np.ndarray) -> Matrix:
    """Select the features of rows.

    Parameters
    ----------
    name : str
        Name of the table, for messages.
    table : pandas.DataFrame or array (n, n features)
        From `name_tables`.
    numbers : numpy.ndarray (n rows,), int
        Numbers of the rows.

    Returns
    -------
    Matrix
        All finite.

    Raises
    ------
    ValueError
        Features are missing, infinite or not numbers.
    """
    # StratoNet's own precision, and half the memory of what pandas reads from CSV.
    try:
        values = np.ascontiguousarray(read_numbers(table)[numbers])
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    bad = ~np.isfinite(values)
    if bad.any():
        raise ValueError(
            f"{name}: {bad.any(axis=1).sum()} rows and {bad.any(axis=0).sum()} features"
            " have NaN or infinite values. Leave out the rows that could not be"
            " measured, or the features."
        )
    if isinstance(table, pd.DataFrame):
        return Matrix(list(map(str, table)), values)
    n_features = values.shape[1]
    names = [f"{name}{number}" for number in range(n_features)]
    return Matrix(names, values)


def check_copies(name: str, values: np.ndarray, rows: Rows) -> None:
    """Refuse rows that are copies of each other in different groups.

    Parameters
    ----------
    name : str
        Name of the table, for messages.
    values : numpy.ndarray (n rows, n features)
        Tables of few features are not checked: rows may be the same by chance.
    rows : Rows
        Their groups.

    Raises
    ------
    ValueError
        There are such rows.
    """
    if values.shape[1] < FEWEST_TO_COMPARE:
        return
    # The same image measured twice has the same bytes: to compare all pairs of rows
    # would take too long.
    contents = [row.tobytes() for row in values]
    groups_of_copies = pd.Series(rows.groups).groupby(contents, sort=False)
    in_several = groups_of_copies.transform("nunique") > 1
    if not in_several.any():
        return
    row = int(in_several.idxmax())
    row_name = f"row {rows.numbers[row]} (counted from 0)"
    if rows.wells is not None:
        row_name = f"a row of well {rows.wells[row]}"
    raise ValueError(
        f"{name}: this split would leak: {row_name} occurs again in another group,"
        " with the same features. Is it the same image, or an empty one? Leave such"
        " rows out (give them no label)."
    )

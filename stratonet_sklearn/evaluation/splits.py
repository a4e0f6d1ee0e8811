"""Splits that do not leak, and how strongly classes are associated with plates."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats.contingency import association
from sklearn.model_selection import StratifiedGroupKFold

from stratonet_sklearn.rows import find_missing, read_rows, write_texts

# How often folds are drawn until every training set has every class.
ATTEMPTS = 100
# What Cohen (1988) calls a medium association.
CONFOUNDED = 0.3
# Random layouts to compare an association with, and how many of them it must exceed.
LAYOUTS = 200
RARE = 0.99
# Classes that a message names.
SHOWN = 5


def split(
    labels: ArrayLike,
    groups: ArrayLike,
    n_folds: int = 10,
    seed: int = 0,
    wells: ArrayLike | None = None,
) -> np.ndarray:
    """Divide rows into folds that keep groups together and classes equally frequent.

    Parameters
    ----------
    labels, groups : array (n,)
        Class and group of each row: lists, arrays, or columns of frames of any library.
    n_folds : int
        If there are no more groups than that, each group is a fold. There are never
        more folds than the class with the most groups has.
    seed : int
        The same seed gives the same folds.
    wells : array (n,), optional
        The well of each row. Default: nothing is checked; the groups must then be no
        smaller than wells.

    Returns
    -------
    numpy.ndarray (n,), int
        The fold in which each row is tested.

    Raises
    ------
    ValueError
        The split would leak, or cannot be made: rows of one well in different groups,
        one class, a class in one group alone, classes that are the same as groups; or
        labels, groups and wells do not have the same rows, or some are missing. The
        message says which.

    Examples
    --------
    Six wells with two sites each. Both sites of a well are in the same fold, and each
    fold has a well of each class:

    >>> import numpy as np
    >>> from stratonet_sklearn import split
    >>> wells = np.repeat(["A01", "A02", "A03", "B01", "B02", "B03"], 2)
    >>> labels = np.repeat(["control", "treated"], 6)
    >>> folds = split(labels, groups=wells, n_folds=3)
    >>> folds.tolist()
    [0, 0, 2, 2, 1, 1, 2, 2, 0, 0, 1, 1]
    """
    if n_folds < 2:
        raise ValueError(f"n_folds must be at least 2. Received: {n_folds}")
    arguments = {"labels": labels, "groups": groups}
    if wells is not None:
        arguments["wells"] = wells
    rows = read_rows(arguments)
    _check_missing(rows)
    labels, groups = rows["labels"], rows["groups"]
    if wells is not None:
        _check_wells(groups, rows["wells"])
    _check_classes(labels, groups)
    if n_folds >= groups.nunique():
        # Each group is left out once. Every class is in at least two groups, so each
        # training set has it.
        return pd.factorize(groups, sort=True)[0]
    return _draw_folds(labels, groups, n_folds, seed)


def _check_missing(rows: Mapping[str, pd.Series]) -> None:
    for name, values in rows.items():
        n_missing = int(find_missing(values).sum())
        if n_missing:
            raise ValueError(
                f"{n_missing} of {len(values)} rows have no {name[:-1]} (`{name}` is"
                " None, NaN or empty there). Fill it in, or leave these rows out first."
            )


def _check_wells(groups: pd.Series, wells: pd.Series) -> None:
    """Refuse groups that divide a well: its sites are too much alike."""
    groups_of_wells = groups.groupby(wells).nunique()
    divided = groups_of_wells > 1
    if divided.any():
        raise ValueError(
            f"This split would leak: rows of {divided.sum()} wells, the first"
            f" {groups_of_wells.idxmax()}, are in different groups, so that sites of"
            " one well would be in both training and test. Group by well, or by"
            " something larger."
        )


def _check_classes(labels: pd.Series, groups: pd.Series) -> None:
    """Refuse classes that cannot be tested on other groups than they are trained on."""
    if labels.nunique() < 2:
        only_class = labels.iloc[0] if len(labels) else "missing"
        raise ValueError(
            f"There is nothing to classify: the class of all rows is {only_class}. At"
            " least two classes are needed."
        )
    groups_of_classes = groups.groupby(labels).nunique()
    alone = groups_of_classes.index[groups_of_classes < 2]
    if len(alone):
        names = ", ".join(map(str, alone[:SHOWN]))
        if len(alone) > SHOWN:
            names += " and others"
        raise ValueError(
            f"{names}: all rows of the class are in one group. A group that is tested"
            " is not trained on, so the class cannot be learned. Leave it out, or group"
            " by something smaller."
        )


def _draw_folds(
    labels: pd.Series, groups: pd.Series, n_folds: int, seed: int
) -> np.ndarray:
    """Draw folds until every training set has every class."""
    groups_of_classes = groups.groupby(labels).nunique()
    # With more folds, there would be no class that all of them can test.
    n_folds = min(n_folds, groups_of_classes.max())
    rng = np.random.default_rng(seed)
    numbers = pd.factorize(groups)[0]
    for _ in range(ATTEMPTS):
        # Not the splitter's own shuffle: up to scikit-learn 1.7 it spoils the
        # stratification.
        order = rng.permutation(numbers.max() + 1)
        shuffled = order[numbers]
        folds = _make_folds(labels, shuffled, n_folds)
        if _has_all_classes(labels, folds, n_folds):
            return folds
    rarest = groups_of_classes.idxmin()
    raise ValueError(
        f"{rarest} is in {groups_of_classes.min()} of {groups.nunique()} groups, and"
        f" {n_folds} folds always leave a training set without it. Ask for fewer folds,"
        " leave it out, or group by something smaller."
    )


def _make_folds(labels: pd.Series, groups: np.ndarray, n_folds: int) -> np.ndarray:
    folds = np.full(len(labels), -1)
    with warnings.catch_warnings():
        # A class may have fewer groups than folds, if all training sets have it.
        warnings.filterwarnings("ignore", message="The least populated class")
        # As numbers: scikit-learn does not recognise some types of labels as classes.
        classes = pd.factorize(labels, sort=True)[0]
        divided = StratifiedGroupKFold(n_folds).split(classes, classes, groups)
        for number, (_, tested) in enumerate(divided):
            folds[tested] = number
    return folds


def _has_all_classes(labels: pd.Series, folds: np.ndarray, n_folds: int) -> bool:
    """Whether no fold is empty, and every training set has all classes."""
    if len(np.unique(folds)) < n_folds:
        return False
    n_classes = labels.nunique()
    return all(
        labels[folds != number].nunique() == n_classes for number in range(n_folds)
    )


def measure_confounding(labels: ArrayLike, metadata: pd.DataFrame) -> pd.DataFrame:
    """Measure how well plates, batches and the like predict the class by themselves.

    Parameters
    ----------
    labels : array (n,)
        The class of each row.
    metadata : pandas.DataFrame (n rows)
        The columns to look at. Those with one value are skipped.

    Returns
    -------
    pandas.DataFrame
        One row per column (the index, ``column``): ``values``, how many there are;
        ``cramers_v``, from 0 (no association) to 1 (the column tells the class);
        ``pure``, the share of rows whose value occurs with one class only;
        ``confounded``, whether ``cramers_v`` is 0.3 or more, and above that of 99 in
        100 random layouts with the same counts.

    References
    ----------
    Cramér, H. (1946). Mathematical Methods of Statistics. Princeton. Cohen, J. (1988).
    Statistical Power Analysis for the Behavioral Sciences. Erlbaum.
    """
    texts = write_texts(read_rows({"labels": labels}, {"metadata": metadata})["labels"])
    # As numbers they are counted much faster, in hundreds of random layouts.
    labels, n_labels = _number_texts(texts)
    # One stream for all columns, whatever the seed of the evaluation: a warning must
    # not come and go with it.
    rng = np.random.default_rng(0)
    rows = []
    for name in metadata:
        values, n_values = _number_texts(write_texts(metadata[name]))
        if n_values < 2 or n_labels < 2:
            continue
        strength = _associate(values, labels)
        # With many values of few rows each, chance alone gives an association.
        by_chance = [
            _associate(rng.permutation(values), labels) for _ in range(LAYOUTS)
        ]
        unlikely = strength > np.quantile(by_chance, RARE)
        classes_of_values = pd.Series(labels).groupby(values).transform("nunique")
        rows.append(
            {
                "column": name,
                "values": n_values,
                "cramers_v": strength,
                "pure": (classes_of_values == 1).mean(),
                "confounded": strength >= CONFOUNDED and unlikely,
            }
        )
    columns = ["column", "values", "cramers_v", "pure", "confounded"]
    return pd.DataFrame(rows, columns=columns).set_index("column")


def _number_texts(texts: np.ndarray) -> tuple[np.ndarray, int]:
    """Number texts from 0, in their order; also return how many distinct ones."""
    distinct_texts, numbers = np.unique(texts, return_inverse=True)
    return numbers, len(distinct_texts)


def _associate(values: np.ndarray, labels: np.ndarray) -> float:
    """Compute Cramér's V of values and labels that are numbered from 0."""
    counts = np.zeros((values.max() + 1, labels.max() + 1), int)
    np.add.at(counts, (values, labels), 1)
    return association(counts, method="cramer")

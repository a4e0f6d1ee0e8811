"""Splits that do not leak, and how far labels hang together with plates and batches."""

import warnings

import numpy as np
import pandas as pd
from scipy.stats.contingency import association
from sklearn.model_selection import StratifiedGroupKFold

# Draws of folds until every training part has every class.
ATTEMPTS = 100
# What Cohen (1988) calls a medium association.
CONFOUNDED = 0.3


def split(labels, groups, n_folds=10, seed=0, wells=None):
    """Divide rows into folds: those of one group stay together, and classes are as frequent in each fold as in all.

    Parameters
    ----------
    labels, groups : array (n,)
        Class and group of each row.
    n_folds : int
        Where there are no more groups than that, each group is a fold. There are no
        more folds than groups of the class that has most.
    seed : int
    wells : array (n,), optional
        The well of each row. Default: the groups are no larger than wells, and nothing
        needs to be checked.

    Returns
    -------
    numpy.ndarray (n,), int
        The fold in which each row is tested.

    Raises
    ------
    ValueError
        The split would leak, or cannot be made: rows of one well in different groups,
        one class, a class in one group alone, classes that are the same as groups. The
        message says which.
    """
    labels, groups = pd.Series(np.asarray(labels)), pd.Series(np.asarray(groups))
    if n_folds < 2:
        raise ValueError(f"There are at least 2 folds. Received: {n_folds}")
    if len(labels) != len(groups):
        raise ValueError(
            f"Each row has a label and a group. Received: {len(labels)} labels,"
            f" {len(groups)} groups"
        )
    for what, values in (("label", labels), ("group", groups)):
        if values.isna().any():
            raise ValueError(
                f"{values.isna().sum()} of {len(values)} rows have no {what}. Leave"
                " them out first."
            )
    if wells is not None:
        spread = groups.groupby(np.asarray(wells)).nunique()
        if (spread > 1).any():
            raise ValueError(
                f"This split would leak: rows of {(spread > 1).sum()} wells, the first"
                f" {spread.idxmax()}, are in different groups, so that fields of one"
                " well would stand on both sides. Group by well, or by something"
                " larger."
            )
    if labels.nunique() < 2:
        raise ValueError(
            "There is nothing to tell apart: all rows are"
            f" {labels.iloc[0] if len(labels) else 'missing'}."
        )
    spread = groups.groupby(labels).nunique()
    if (spread < 2).any():
        alone = spread.index[spread < 2]
        raise ValueError(
            f"{', '.join(map(str, alone[:5]))}{' and others' * (len(alone) > 5)}: all"
            " rows of the class are in one group. What is tested must not be trained"
            " on, so that the class cannot be learned. Leave it out, or group by"
            " something smaller."
        )
    if n_folds >= groups.nunique():
        return pd.factorize(groups, sort=True)[0]
    n_folds = min(n_folds, spread.max())
    rng, codes = np.random.default_rng(seed), pd.factorize(groups)[0]
    for _ in range(ATTEMPTS):
        folds = np.full(len(labels), -1)
        # Not the splitter's own shuffle: up to scikit-learn 1.7 it costs the stratification.
        shuffled = rng.permutation(codes.max() + 1)[codes]
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The least populated class")
            for number, (_, test) in enumerate(
                StratifiedGroupKFold(n_folds).split(labels, labels, shuffled)
            ):
                folds[test] = number
        parts = [
            labels[folds != number].nunique()
            for number in range(n_folds)
            if (folds == number).any()
        ]
        if parts == n_folds * [labels.nunique()]:
            return folds
    raise ValueError(
        f"{spread.idxmin()} is in {spread.min()} of {groups.nunique()} groups, and"
        f" {n_folds} folds always leave a training part without it. Ask for fewer"
        " folds, leave it out, or group by something smaller."
    )


def confounding(labels, metadata):
    """How well plates, batches and the like tell the label by themselves.

    Parameters
    ----------
    labels : array (n,)
    metadata : pandas.DataFrame (n rows)
        The columns to look at. Those with one value are passed over.

    Returns
    -------
    pandas.DataFrame
        One row a column: ``values``, how many there are; ``cramers_v``, from 0 (no
        association) to 1 (the column tells the label); ``pure``, the share of rows
        whose value goes with one label only; ``confounded``, whether ``cramers_v`` is
        0.3 or more, and above what a random layout of the same numbers has in 99 of 100
        cases.
    """
    labels = np.asarray(labels)
    rng = np.random.default_rng(0)
    found = []
    for name in metadata:
        values = metadata[name].astype(str).to_numpy()
        if len(np.unique(values)) < 2 or len(np.unique(labels)) < 2:
            continue
        strength = association(pd.crosstab(values, labels).to_numpy(), method="cramer")
        by_chance = [
            association(
                pd.crosstab(rng.permutation(values), labels).to_numpy(), method="cramer"
            )
            for _ in range(200)
        ]
        pure = pd.Series(labels).groupby(values).transform("nunique").eq(1).mean()
        found.append(
            (
                name,
                len(np.unique(values)),
                strength,
                pure,
                strength >= CONFOUNDED and strength > np.quantile(by_chance, 0.99),
            )
        )
    return pd.DataFrame(
        found, columns=["column", "values", "cramers_v", "pure", "confounded"]
    ).set_index("column")

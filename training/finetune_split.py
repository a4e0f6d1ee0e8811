"""Choose which plates or wells are learnt from, and which are held out."""

from __future__ import annotations

from collections.abc import Collection
from itertools import permutations

import numpy as np
import pandas as pd

from stratonet.messages import shorten_list
from stratonet_sklearn.evaluation.splits import split

# The roles of examples: training, deciding when to stop, testing. Examples of different
# roles never share a plate or well: the result must not be measured on examples that
# decided when to stop.
TRAIN, STOP, TEST = "train", "stop", "test"
# Examples are split into this many parts: two are tested, one decides when to stop.
PARTS = 10
TESTED, STOPPING = 0.2, 0.1
# A class on fewer plates cannot have all three roles: then wells are held out.
FEWEST_PLATES = 3
GROUPS = ("plate", "well")


def choose_groups(
    rows: pd.DataFrame, group: str | None = None
) -> tuple[str, pd.Series]:
    """Choose whether whole plates or whole wells are held out.

    Parameters
    ----------
    rows : pandas.DataFrame (n,)
        ``label``, ``plate`` and ``well`` of each example.
    group : {"plate", "well"}, optional
        Default: plates if most examples belong to classes on three or more plates, else
        wells.

    Returns
    -------
    group : str
        The choice.
    groups : pandas.Series (n,)
        The group of each example. A well's name is preceded by that of its plate.

    Raises
    ------
    ValueError
        The group is unknown.

    Examples
    --------
    >>> rows = pd.DataFrame({"label": "a", "plate": "P1", "well": ["A01", "A02"]})
    >>> choose_groups(rows)[1].tolist()
    ['P1 A01', 'P1 A02']
    """
    if group not in (None, *GROUPS):
        raise ValueError(
            f"group must be one of {', '.join(GROUPS)}. Received: {group!r}"
        )
    wells = rows["plate"] + " " + rows["well"]
    if group is None:
        n_plates = rows.groupby("label")["plate"].transform("nunique")
        group = "plate" if (n_plates >= FEWEST_PLATES).mean() > 0.5 else "well"
    return group, (rows["plate"] if group == "plate" else wells)


def assign_roles(
    labels: pd.Series,
    groups: pd.Series,
    tested: Collection[str] = (),
    seed: int = 0,
) -> pd.Series:
    """Assign a role to each example: training, deciding when to stop, or testing.

    Parameters
    ----------
    labels, groups : pandas.Series (n,)
        Class and group of each example.
    tested : collection of str
        The groups to test on. Default: a random fifth of them.
    seed : int
        Seed of the draws.

    Returns
    -------
    pandas.Series (n,) of str
        ``"train"``, ``"stop"`` or ``"test"``, the same for all examples of a group;
        ``""`` for examples of classes in too few groups to be learnt.

    Raises
    ------
    ValueError
        Fewer than two classes are in enough groups, or a tested group does not exist.

    Examples
    --------
    >>> labels = pd.Series(["a", "b"] * 4)
    >>> groups = pd.Series(["P1", "P1", "P2", "P2", "P3", "P3", "P4", "P4"])
    >>> roles = assign_roles(labels, groups, tested=["P2"])
    >>> roles.groupby(groups).nunique().max(), roles.value_counts().to_dict()
    (1, {'train': 4, 'test': 2, 'stop': 2})
    """
    unknown = sorted(set(tested) - set(groups))
    if unknown:
        raise ValueError(
            f"tested must name plates or wells of the table. Received: {unknown}. There"
            f" are {shorten_list(sorted(set(groups)))}"
        )
    roles = pd.Series("", labels.index)
    is_tested = groups.isin(tested)
    n_groups = groups[~is_tested].groupby(labels[~is_tested]).nunique()
    # One group for each role.
    needed = 2 if tested else 3
    learnt = n_groups.index[n_groups >= needed]
    if len(learnt) < 2:
        raise ValueError(
            f"At least two classes must be in {needed} plates or wells each that are"
            " not chosen to be tested. Received the number of plates or wells by class:"
            f" {n_groups.to_dict()}"
        )
    is_learnt = labels.isin(learnt)
    roles[is_tested & is_learnt] = TEST
    drawn = ~is_tested & is_learnt
    parts = split(labels[drawn], groups[drawn], PARTS, seed)
    share = 0 if tested else TESTED
    roles[drawn] = _choose_roles_of_parts(labels[drawn], parts, share, seed)[parts]
    return roles


def _choose_roles_of_parts(
    labels: pd.Series, parts: np.ndarray, tested: float, seed: int
) -> np.ndarray:
    """Choose a role for each part, so that as many classes as possible have all."""
    has_class = pd.crosstab(parts, labels.to_numpy()).to_numpy() > 0
    numbers = np.random.default_rng(seed).permutation(len(has_class))
    n_test = max(1, round(tested * len(numbers))) if tested else 0
    n_stop = max(1, round(STOPPING * len(numbers)))
    best = (-1, -1, -1)
    chosen = np.full(len(numbers), TRAIN, object)
    # 10 parts taken three at a time, in order: 720 ways, few enough to try all.
    for drawn_parts in permutations(numbers, n_test + n_stop):
        roles = np.full(len(numbers), TRAIN, object)
        roles[list(drawn_parts[:n_test])] = TEST
        roles[list(drawn_parts[n_test:])] = STOP
        n_train, n_tested, n_stopping = (
            has_class[roles == role].any(axis=0).sum() for role in (TRAIN, TEST, STOP)
        )
        if (n_train, n_tested, n_stopping) > best:
            best, chosen = (n_train, n_tested, n_stopping), roles
    return chosen

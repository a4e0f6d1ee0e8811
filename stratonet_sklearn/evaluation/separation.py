"""How far two groups of wells lie apart, judged on wells that were left out.

The controls of a plate are the usual groups: a classifier is fitted to the controls of
all rows but one and scores the row that it has not seen, since wells of one row share
pipetting, drying and illumination.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from sklearn.metrics import balanced_accuracy_score

from stratonet.tables.wells import locate_wells

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator
    from sklearn.pipeline import Pipeline

# Labels of the two kinds of controls, as in the Cell Painting Gallery.
NEGATIVE, POSITIVE = "negcon", "poscon"


def leave_rows_out(wells: pd.Series) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Split wells into training and test, with each row of the plate left out once.

    Parameters
    ----------
    wells : pandas.Series of str, n rows
        Names such as A01 or AB12, one per sample; the index does not matter.

    Yields
    ------
    train, test : numpy.ndarray of int
        Positions in ``wells``, row by row from the top of the plate.

    Raises
    ------
    ValueError
        A name is not that of a well.

    Examples
    --------
    >>> for train, test in leave_rows_out(pd.Series(["A01", "AA01", "A02"])):
    ...     print(train, test)
    [1] [0 2]
    [0 2] [1]
    """
    rows, _ = locate_wells(wells.astype(str))
    unnamed = wells[rows.isna()]
    if len(unnamed):
        raise ValueError(
            f"wells must have names such as A01. Received: {unnamed.iloc[0]!r}"
        )
    numbers = rows.to_numpy(int)
    for number in np.unique(numbers):
        left_out = numbers == number
        yield np.flatnonzero(~left_out), np.flatnonzero(left_out)


def separate_controls(
    model: BaseEstimator,
    features: pd.DataFrame | np.ndarray,
    labels: pd.DataFrame,
) -> tuple[np.ndarray, float]:
    """Score samples by a classifier that has seen the controls of other rows only.

    Parameters
    ----------
    model : scikit-learn classifier or Pipeline
        With ``decision_function``. It is fitted again for every row of the plate.
    features : pandas.DataFrame or numpy.ndarray, n rows
        What ``model`` takes.
    labels : pandas.DataFrame, n rows
        With the columns ``well`` and ``role`` (``negcon``, ``poscon`` or another).

    Returns
    -------
    scores : numpy.ndarray (n,), float64
        Above 0 where a sample is like the positive controls.
    accuracy : float
        Balanced accuracy on the controls, from 0 to 1.

    Raises
    ------
    ValueError
        A well has no name such as A01, or there are not controls of both kinds in at
        least two rows.

    Examples
    --------
    >>> from sklearn.svm import SVC
    >>> labels = pd.DataFrame(
    ...     {
    ...         "well": ["A01", "A02", "B01", "B02"],
    ...         "role": ["negcon", "poscon", "negcon", "poscon"],
    ...     }
    ... )
    >>> features = np.array([[0.0], [8.0], [1.0], [9.0]])
    >>> scores, accuracy = separate_controls(SVC(kernel="linear"), features, labels)
    >>> scores.round(2).tolist(), accuracy
    ([-1.25, 0.75, -0.75, 1.25], 1.0)
    """
    roles = labels["role"].to_numpy()
    controls = np.isin(roles, [NEGATIVE, POSITIVE])
    positive = roles == POSITIVE
    # Rows are taken by position, from frames and arrays alike, whatever the index is.
    is_frame = isinstance(features, pd.DataFrame)
    rows = features.iloc if is_frame else np.asarray(features)
    scores = np.full(len(labels), np.nan)
    for others, left_out in leave_rows_out(labels["well"]):
        train = others[controls[others]]
        model.fit(rows[train], positive[train])
        scores[left_out] = model.decision_function(rows[left_out])
    accuracy = balanced_accuracy_score(positive[controls], scores[controls] > 0)
    return scores, float(accuracy)


def compute_z_prime(
    scores: np.ndarray, negative: np.ndarray, positive: np.ndarray
) -> float | np.ndarray:
    """Compute the Z'-factor: 1 - 3 (sd+ + sd-) / abs(mean+ - mean-).

    Zhang, Chung and Oldenburg (1999). Standard deviations are over pairs of different
    wells, that is, with n - 1: a well that a resample draws twice does not count as
    two wells without spread.

    Parameters
    ----------
    scores : numpy.ndarray (n,)
        One number per well.
    negative, positive : numpy.ndarray (n,) or (resamples, n), bool or int
        How often each well counts in its group.

    Returns
    -------
    float or numpy.ndarray (resamples,)
        1 is perfect, above 0.5 an excellent assay; below 0 the groups overlap. NaN
        where a group has fewer than two wells.

    Examples
    --------
    >>> scores = np.array([-1.0, 0, 1, 9, 10, 11])
    >>> round(float(compute_z_prime(scores, scores < 5, scores > 5)), 3)
    0.4
    """
    # The mean over pairs of half the squared difference is the variance.
    half_squares = (scores[:, None] - scores) ** 2 / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        mean_positive = (positive @ scores) / positive.sum(-1)
        mean_negative = (negative @ scores) / negative.sum(-1)
        spread = np.sqrt(average_pairs(half_squares, negative))
        spread = spread + np.sqrt(average_pairs(half_squares, positive))
        return 1 - 3 * spread / np.abs(mean_positive - mean_negative)


def average_pairs(pairs: np.ndarray, counts: np.ndarray) -> float | np.ndarray:
    """Average a value of pairs over all pairs of different wells of a group.

    Parameters
    ----------
    pairs : numpy.ndarray (n, n)
        Symmetric, with zeros in the diagonal.
    counts : numpy.ndarray (n,) or (resamples, n), bool or int
        How often each well counts. A well drawn twice makes no pair with itself, which
        would hide the spread.

    Returns
    -------
    float or numpy.ndarray (resamples,)

    Examples
    --------
    >>> distances = np.array([[0.0, 2, 4], [2, 0, 6], [4, 6, 0]])
    >>> float(average_pairs(distances, np.array([1, 1, 1])))
    4.0
    """
    counts = counts.astype(float)
    total = np.sum(counts @ pairs * counts, axis=-1)
    number = counts.sum(-1) ** 2 - (counts**2).sum(-1)
    return total / number


def fit_probe(features: np.ndarray, classes: np.ndarray) -> Pipeline:
    """Fit a linear probe: logistic regression on standardised features.

    Parameters
    ----------
    features : numpy.ndarray (n, width)
        Any scale: they are standardised first.
    classes : numpy.ndarray (n,)
        Of any type that scikit-learn takes for classes.

    Returns
    -------
    sklearn.pipeline.Pipeline
        With ``predict``, ``predict_proba`` and ``classes_``.

    Examples
    --------
    >>> probe = fit_probe(np.array([[0.0], [1], [8], [9]]), np.array([0, 0, 1, 1]))
    >>> probe.predict([[2.0], [7.0]]).tolist()
    [0, 1]
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    # Thousands of features on a few hundred images per class need this much shrinkage.
    regression = LogisticRegression(C=0.01, max_iter=1000)
    return make_pipeline(StandardScaler(), regression).fit(features, classes)

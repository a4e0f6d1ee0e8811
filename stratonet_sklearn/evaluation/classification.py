"""How well feature tables separate classes, on splits that do not leak.

The thesis's evaluation (section 5.3).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Union

import joblib
import numpy as np
import pandas as pd
from imblearn.pipeline import Pipeline
from numpy.typing import ArrayLike
from sklearn.base import ClassifierMixin, clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler
from tqdm.auto import tqdm

from stratonet_sklearn.evaluation.linear_svm import LinearSVM
from stratonet_sklearn.evaluation.scores import Evaluation
from stratonet_sklearn.evaluation.splits import split
from stratonet_sklearn.resampling import StratifiedResampler

# Their settings are fixed: tuned on the data that they are to judge, they would favour
# the feature table for which more was tried.
CLASSIFIERS = {
    "SVM": LinearSVM(C=0.01, random_state=0),
    "RF": RandomForestClassifier(200, random_state=0),
    "MLP": MLPClassifier((128,), max_iter=100, random_state=0),
}
# Rows of a balanced training set (thesis, section 5.3).
BALANCED_SET = 3000
# Rows of fewer features may be the same by chance: they are not searched for copies.
FEWEST_TO_COMPARE = 10

Features = Union[pd.DataFrame, np.ndarray]


@dataclass(frozen=True)
class _Rows:
    """The rows that are evaluated; all arrays are (n rows,)."""

    numbers: np.ndarray  # among the rows given, from 0
    labels: np.ndarray  # str
    groups: np.ndarray  # str
    wells: np.ndarray | None
    folds: np.ndarray


@dataclass(frozen=True)
class _Matrix:
    """The features of the rows that are evaluated."""

    names: list[str]
    values: np.ndarray  # (n rows, n features), float32


@dataclass(frozen=True)
class _Job:
    """One model to fit."""

    classifier: str
    features: str
    fold: int


@dataclass(frozen=True)
class _Answer:
    """What the model of a job says of the rows of its fold."""

    predicted: np.ndarray  # (n rows,), str
    votes: np.ndarray | None  # (n rows, n classes), of a random forest
    importance: np.ndarray | None  # (n features,)


def evaluate(
    features: Features | Mapping[str, Features],
    labels: ArrayLike,
    *,
    groups: ArrayLike,
    wells: ArrayLike | None = None,
    leave_out: Sequence[str] = (),
    classifiers: Sequence[str] | None = None,
    n_folds: int = 10,
    seed: int = 0,
    progress: bool = False,
) -> Evaluation:
    """Classify rows by their features, each by models trained without its group.

    In each fold the training set is balanced by `StratifiedResampler` and scaled to
    unit variance, and a support vector machine, a random forest and a multilayer
    perceptron of fixed settings (`CLASSIFIERS`) are fitted to it.

    Parameters
    ----------
    features : pandas.DataFrame or array (n rows, n features), or dict of them
        Feature tables by name; all are evaluated on the same folds.
    labels : array (n rows,)
        The class of each row. Rows without one (None, NaN or ``""``) are left out.
    groups : array (n rows,)
        Rows of one group are never divided: wells, plates, batches or compounds.
    wells : array (n rows,), optional
        The well of each row, to refuse groups that divide wells.
    leave_out : sequence of str
        Classes to leave out of training and test.
    classifiers : sequence of str, optional
        Among `CLASSIFIERS`. Default: all.
    n_folds, seed : int
        See `stratonet_sklearn.split`; the seed also draws the training sets.
    progress : bool
        Show a progress bar.

    Returns
    -------
    Evaluation
        Its ``rows`` are the numbers of the rows that were evaluated.

    Raises
    ------
    ValueError
        The split would leak, see `stratonet_sklearn.split`; features are NaN or
        infinite; tables have different lengths; the same row is in two groups.

    References
    ----------
    van Elswijk, M. (2024). StratoNet, a deep learning approach to high content
    screening feature extraction. Master's thesis, Leiden University. Section 5.3.

    Examples
    --------
    Thirty wells with two sites each; the treatment raises all four features.

    >>> import joblib
    >>> import numpy as np
    >>> from stratonet_sklearn import evaluate
    >>> rng = np.random.default_rng(0)
    >>> wells = np.repeat(np.arange(30), 2)
    >>> labels = np.where(wells % 2 == 0, "control", "treated")
    >>> features = rng.normal(size=(60, 4))
    >>> features[labels == "treated"] += 5
    >>> with joblib.parallel_config("sequential"):  # few rows need no processes
    ...     evaluation = evaluate(
    ...         features, labels, groups=wells, classifiers=["SVM"], n_folds=3
    ...     )
    >>> evaluation.confusion("features", "SVM")
             control  treated
    control       30        0
    treated        0       30
    """
    tables = _name_tables(features)
    classifiers = _check_classifiers(classifiers)
    labels = np.asarray(labels)
    _check_lengths(tables, len(labels))
    rows = _select_rows(labels, np.asarray(groups), wells, leave_out, n_folds, seed)
    matrices = {}
    for name, table in tables.items():
        matrices[name] = _select_features(name, table, rows.numbers)
        _check_copies(name, matrices[name].values, rows)
    used_folds = range(rows.folds.max() + 1)
    jobs = [_Job(*job) for job in product(classifiers, matrices, used_folds)]
    answers = _run_jobs(jobs, matrices, rows, seed)
    shown = tqdm(answers, total=len(jobs), unit=" models", disable=not progress)
    return _collect_answers(zip(jobs, shown), matrices, rows)


def _name_tables(features: Features | Mapping[str, Features]) -> dict[str, Features]:
    if not isinstance(features, Mapping):
        return {"features": features}
    if not features:
        raise ValueError("There is no feature table to evaluate.")
    return dict(features)


def _check_classifiers(classifiers: Sequence[str] | None) -> list[str]:
    """Return the classifiers asked for, all by default."""
    classifiers = list(classifiers or CLASSIFIERS)
    unknown = set(classifiers) - set(CLASSIFIERS)
    if unknown:
        raise ValueError(
            f"Classifiers are {', '.join(CLASSIFIERS)}. Received:"
            f" {', '.join(sorted(unknown))}"
        )
    return classifiers


def _write_labels(labels: np.ndarray) -> np.ndarray:
    """Return labels as text, ``""`` where they are missing."""
    # As text None and NaN would become classes of these names.
    return np.where(pd.isna(labels), "", labels.astype(str))


def _check_classes(labels: np.ndarray, leave_out: Sequence[str]) -> None:
    """Refuse to leave out a class that is not there: it may be misspelt."""
    classes = set(labels) - {""}
    absent = set(map(str, leave_out)) - classes
    if absent:
        raise ValueError(
            f"There is no class {', '.join(sorted(absent))}. Received:"
            f" {', '.join(sorted(classes))}"
        )


def _select_rows(
    labels: np.ndarray,
    groups: np.ndarray,
    wells: ArrayLike | None,
    leave_out: Sequence[str],
    n_folds: int,
    seed: int,
) -> _Rows:
    """Return the rows that have a label and are not left out, divided into folds."""
    names = _write_labels(labels)
    _check_classes(names, leave_out)
    left_out = np.isin(names, ["", *leave_out])
    numbers = np.flatnonzero(~left_out)
    if wells is not None:
        wells = np.asarray(wells)[numbers]
    # Not yet as text: where each group is a fold, folds are in the order of groups,
    # and 10 comes after 2.
    folds = split(labels[numbers], groups[numbers], n_folds, seed, wells)
    groups_as_text = groups[numbers].astype(str)
    return _Rows(numbers, names[numbers], groups_as_text, wells, folds)


def _check_lengths(tables: Mapping[str, Features], n_rows: int) -> None:
    lengths = {name: len(table) for name, table in tables.items()}
    if set(lengths.values()) != {n_rows}:
        raise ValueError(
            f"Every feature table needs a row for each of {n_rows} labels."
            f" Received: {lengths}"
        )


def _select_features(name: str, table: Features, numbers: np.ndarray) -> _Matrix:
    """Return the features of the rows of these numbers, all finite."""
    values = np.asarray(table)
    if values.ndim != 2:
        raise ValueError(
            f"{name}: a feature table has one row per label and one column per feature."
            f" Received: shape {values.shape}"
        )
    # StratoNet's own precision, and half the memory of what pandas reads from CSV.
    values = np.ascontiguousarray(values[numbers], np.float32)
    bad = ~np.isfinite(values)
    if bad.any():
        raise ValueError(
            f"{name}: {bad.any(axis=1).sum()} rows and {bad.any(axis=0).sum()} features"
            " have NaN or infinite values. Leave out the rows that could not be"
            " measured, or the features."
        )
    if isinstance(table, pd.DataFrame):
        return _Matrix(list(map(str, table)), values)
    n_features = values.shape[1]
    names = [f"{name}{number}" for number in range(n_features)]
    return _Matrix(names, values)


def _check_copies(name: str, values: np.ndarray, rows: _Rows) -> None:
    """Refuse rows that are copies of each other in different groups."""
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
    where = f"row {rows.numbers[row]} (counted from 0)"
    if rows.wells is not None:
        where = f"a row of well {rows.wells[row]}"
    raise ValueError(
        f"{name}: this split would leak: {where} is in another group once more, with"
        " the same features. Is it the same image, or an empty one? Leave such rows out"
        " (give them no label)."
    )


def _run_jobs(
    jobs: Sequence[_Job],
    matrices: Mapping[str, _Matrix],
    rows: _Rows,
    seed: int,
) -> Iterator[_Answer]:
    """Fit the models on all cores, and give their answers in the order of the jobs."""
    # A generator, so that the progress bar moves with each model that is finished.
    # Arrays of more than 1 MB are shared by the processes, not copied to each.
    parallel = joblib.Parallel(-1, return_as="generator", max_nbytes="1M")
    return parallel(
        joblib.delayed(_test_model)(
            matrices[job.features].values,
            rows.labels,
            rows.folds == job.fold,
            CLASSIFIERS[job.classifier],
            seed,
        )
        for job in jobs
    )


def _test_model(
    values: np.ndarray,
    labels: np.ndarray,
    tested: np.ndarray,
    classifier: ClassifierMixin,
    seed: int,
) -> _Answer:
    """Fit a model to the rows that are not tested, and ask it about those that are."""
    trained = ~tested
    model = build_model(labels[trained], classifier, seed)
    with warnings.catch_warnings():
        # The perceptron stops after a fixed number of iterations.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(values[trained], labels[trained])
    fitted = model["classify"]
    votes, importance = None, None
    # Of the three, the forest alone gives shares of votes without being fitted again.
    if isinstance(fitted, RandomForestClassifier):
        votes = model.predict_proba(values[tested])
        importance = fitted.feature_importances_
    elif hasattr(fitted, "coef_"):
        # One row per pair of classes.
        importance = np.abs(fitted.coef_).mean(axis=0)
    if importance is not None:
        # The sum is 0 where no feature varies.
        importance = importance / max(importance.sum(), 1e-12)
    return _Answer(model.predict(values[tested]), votes, importance)


def build_model(labels: np.ndarray, classifier: ClassifierMixin, seed: int) -> Pipeline:
    """Build the steps from features to classes, for training rows of these labels.

    Parameters
    ----------
    labels : numpy.ndarray (n,), str
        Classes of the training rows.
    classifier : scikit-learn classifier
        One of `CLASSIFIERS`.
    seed : int
        Of the balanced training set.

    Returns
    -------
    imblearn.pipeline.Pipeline
        Not fitted: balances, scales to unit variance, classifies.
    """
    _, counts = np.unique(labels, return_counts=True)
    # Small training sets are not blown up: each class becomes as large as the largest.
    n_samples = min(BALANCED_SET, len(counts) * counts.max())
    return Pipeline(
        [
            ("balance", StratifiedResampler(n_samples, random_state=seed)),
            # Fitted to training rows only: the scale must not know the tested rows.
            ("scale", StandardScaler()),
            # A clone: the settings of `CLASSIFIERS` are shared by all models.
            ("classify", clone(classifier)),
        ]
    )


def _collect_answers(
    answers: Iterator[tuple[_Job, _Answer]],
    matrices: Mapping[str, _Matrix],
    rows: _Rows,
) -> Evaluation:
    """Put the answers of all folds together."""
    n_rows = len(rows.labels)
    classes = sorted(set(rows.labels))
    predicted: dict[tuple[str, str], np.ndarray] = {}
    votes: dict[str, np.ndarray] = {}
    importance: dict[tuple[str, str], list[np.ndarray]] = {}
    for job, answer in answers:
        key = (job.features, job.classifier)
        tested = rows.folds == job.fold
        if key not in predicted:
            predicted[key] = np.empty(n_rows, object)
        predicted[key][tested] = answer.predicted
        if answer.votes is not None:
            if job.features not in votes:
                votes[job.features] = np.empty((n_rows, len(classes)))
            votes[job.features][tested] = answer.votes
        if answer.importance is not None:
            importance.setdefault(key, []).append(answer.importance)
    means = {}
    for (features, classifier), of_folds in importance.items():
        mean = np.mean(of_folds, axis=0)
        names = matrices[features].names
        means[features, classifier] = pd.Series(mean, names)
    return Evaluation(
        classes=classes,
        labels=rows.labels,
        groups=rows.groups,
        rows=rows.numbers,
        folds=rows.folds,
        predicted=predicted,
        probabilities=votes,
        importance=means,
    )

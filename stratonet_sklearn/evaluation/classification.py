"""How well feature tables separate classes, on splits that do not leak.

The thesis's evaluation (section 5.3).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

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

from stratonet.messages import suggest_name
from stratonet_sklearn.evaluation.inputs import (
    Features,
    Matrix,
    Rows,
    check_copies,
    name_tables,
    select_features,
    select_rows,
)
from stratonet_sklearn.evaluation.linear_svm import LinearSVM
from stratonet_sklearn.evaluation.scores import Evaluation
from stratonet_sklearn.resampling import StratifiedResampler
from stratonet_sklearn.rows import list_values, read_rows

# Their settings are fixed: tuned on the data that they judge, they would favour the
# feature table for which more was tried.
CLASSIFIERS = {
    "SVM": LinearSVM(C=0.01, random_state=0),
    "RF": RandomForestClassifier(200, random_state=0),
    "MLP": MLPClassifier((128,), max_iter=100, random_state=0),
}
# Rows of a balanced training set (thesis, section 5.3).
BALANCED_SET = 3000


@dataclass(frozen=True)
class _Job:
    """One model to fit."""

    classifier: str
    features: str
    fold: int


@dataclass(frozen=True)
class _Answer:
    """The predictions of a job's model for the rows of its fold."""

    predicted: np.ndarray  # (n rows,), str
    votes: np.ndarray | None  # (n rows, n classes), of a random forest
    importance: np.ndarray | None  # (n features,)


def evaluate(
    features: Features | Mapping[str, Features],
    labels: ArrayLike,
    *,
    groups: ArrayLike,
    wells: ArrayLike | None = None,
    leave_out: ArrayLike = (),
    classifiers: str | Sequence[str] | None = None,
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
        Feature tables by name; all are evaluated on the same folds. Frames of polars
        and Arrow work, too.
    labels : array (n rows,)
        The class of each row. Rows without one (None, NaN or ``""``) are left out.
        Labels, groups and wells are lists, arrays or columns; where they and the
        features are pandas objects, they must not have the same index in different
        orders.
    groups : array (n rows,)
        The group of each row, such as its well, plate, batch or compound. Groups are
        never divided between training and test.
    wells : array (n rows,), optional
        The well of each row, to refuse groups that divide wells.
    leave_out : str, number, or array of them
        Classes to leave out of training and test.
    classifiers : str or sequence of str, optional
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
        infinite; tables, labels, groups and wells do not have the same rows; the same
        row is in two groups.

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
    tables = name_tables(features)
    classifiers = _check_classifiers(classifiers)
    arguments = {"labels": labels, "groups": groups}
    if wells is not None:
        arguments["wells"] = wells
    columns = read_rows(arguments, tables)
    rows = select_rows(columns, list_values(leave_out), n_folds, seed)
    matrices = {}
    for name, table in tables.items():
        matrices[name] = select_features(name, table, rows.numbers)
        check_copies(name, matrices[name].values, rows)
    used_folds = range(rows.folds.max() + 1)
    jobs = [_Job(*job) for job in product(classifiers, matrices, used_folds)]
    answers = _run_jobs(jobs, matrices, rows, seed)
    counted_answers = tqdm(
        answers, total=len(jobs), unit=" models", disable=not progress
    )
    # `zip` must ask the bar first: it ends at 100% only when asked for one answer more.
    job_answers = ((job, answer) for answer, job in zip(counted_answers, jobs))
    return _collect_answers(job_answers, matrices, rows)


def _check_classifiers(classifiers: str | Sequence[str] | None) -> list[str]:
    """Return the classifiers asked for, all by default."""
    classifiers = list_values(classifiers) or list(CLASSIFIERS)
    unknown = set(classifiers) - set(CLASSIFIERS)
    if unknown:
        names = sorted(map(str, unknown))
        raise ValueError(
            f"Classifiers are {', '.join(CLASSIFIERS)}. Received: {', '.join(names)}."
            f"{suggest_name(names[0], CLASSIFIERS)}"
        )
    return classifiers


def _run_jobs(
    jobs: Sequence[_Job],
    matrices: Mapping[str, Matrix],
    rows: Rows,
    seed: int,
) -> Iterator[_Answer]:
    """Fit the models on all cores, and yield their answers in the order of the jobs."""
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
    """Fit a model to the rows that are not tested, and predict those that are."""
    trained = ~tested
    model = build_model(labels[trained], classifier, seed)
    with warnings.catch_warnings():
        # The perceptron stops after a fixed number of iterations.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(values[trained], labels[trained])
    fitted = model["classify"]
    votes, importance = None, None
    # Of the three, only the forest gives shares of votes without being fitted again.
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
        For drawing the balanced training set.

    Returns
    -------
    imblearn.pipeline.Pipeline
        Not fitted: balances, scales to unit variance, classifies.
    """
    _, counts = np.unique(labels, return_counts=True)
    # Small training sets are not inflated: each class becomes as large as the largest.
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
    matrices: Mapping[str, Matrix],
    rows: Rows,
) -> Evaluation:
    """Combine the answers of all folds."""
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
    for (features, classifier), fold_values in importance.items():
        mean = np.mean(fold_values, axis=0)
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

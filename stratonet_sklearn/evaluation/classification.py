"""How well classes are told apart by sets of features.

The thesis's evaluation (section 5.3), on splits that do not leak.
"""

import warnings
from dataclasses import dataclass

import joblib
import numpy as np
import pandas as pd
from imblearn.pipeline import Pipeline
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import confusion_matrix
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from tqdm.auto import tqdm

from stratonet_sklearn.evaluation.splits import split
from stratonet_sklearn.resampling import StratifiedResampler

CLASSIFIERS = {
    "SVM": SVC(kernel="linear", C=0.01, random_state=0),
    "RF": RandomForestClassifier(200, random_state=0),
    "MLP": MLPClassifier((128,), max_iter=100, random_state=0),
}
BALANCED_SET = 3000
DRAWS = 2000
TESTS = ("as found", "balanced")
METRICS = ("accuracy", "precision", "recall", "F1")


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found.

    Attributes
    ----------
    classes : list of str
    labels, groups : numpy.ndarray (n,), str
        Class and group of each row that was evaluated.
    rows : numpy.ndarray (n,), int
        Their numbers among the rows that were given.
    folds : numpy.ndarray (n,), int
        The fold in which each row was tested, the same for all sets of features.
    predicted : dict of (features, classifier) to numpy.ndarray (n,), str
        The class of each row, as told by a model that has seen nothing of its group.
    probabilities : dict of features to numpy.ndarray (n, n classes)
        The share of the random forest's votes for each class.
    importance : dict of (features, classifier) to pandas.Series
        For SVM and RF, of each feature, mean over folds, with sum 1: the size of the
        coefficients for features of unit variance, and the decrease in impurity.
    """

    classes: list
    labels: np.ndarray
    groups: np.ndarray
    rows: np.ndarray
    folds: np.ndarray
    predicted: dict
    probabilities: dict
    importance: dict

    def confusion(self, features, classifier):
        """Rows tested, by true class (rows) and predicted class.

        A frame of whole numbers.
        """
        matrix = confusion_matrix(
            self.labels, self.predicted[features, classifier], labels=self.classes
        )
        return pd.DataFrame(matrix, self.classes, self.classes)

    def scores(self, seed=0):
        """Metrics with intervals.

        Returns
        -------
        pandas.DataFrame
            One row a set of features, classifier, test set (``as found``; ``balanced``:
            each class counts the same), metric and average: ``value`` on the
            predictions of all folds together, ``low`` and ``high``: what 95 of 100
            draws of groups, with replacement, give. The models stay the same, so that
            the interval tells how far the tested wells matter, not the training.
        """
        draws = self._draws(seed)
        rows = []
        for (features, classifier), of_groups in self._by_group().items():
            whole, drawn = of_groups.sum(axis=0), np.tensordot(draws, of_groups, 1)
            for test in TESTS:
                values, samples = (
                    _metrics(whole, test == "balanced"),
                    _metrics(drawn, test == "balanced"),
                )
                for (metric, average), value in values.items():
                    low, high = np.quantile(samples[metric, average], (0.025, 0.975))
                    rows.append(
                        (
                            features,
                            classifier,
                            test,
                            metric,
                            average,
                            float(value),
                            low,
                            high,
                        )
                    )
        return pd.DataFrame(
            rows,
            columns=[
                "features",
                "classifier",
                "test",
                "metric",
                "average",
                "value",
                "low",
                "high",
            ],
        )

    def differences(self, metric="F1", average="macro", test="balanced", seed=0):
        """Differences between sets of features, paired: on the same folds, with the same draws of groups.

        Returns
        -------
        pandas.DataFrame
            One row a classifier and pair of sets: ``first``, ``second``, ``value``
            (first minus second), ``low``, ``high``.
        """
        draws, rows = self._draws(seed), []
        by_group = self._by_group()
        for classifier in dict.fromkeys(name for _, name in by_group):
            sets = [features for features, name in by_group if name == classifier]
            for number, first in enumerate(sets):
                for second in sets[number + 1 :]:
                    pair = [by_group[name, classifier] for name in (first, second)]
                    values = [
                        _metrics(one.sum(axis=0), test == "balanced")[metric, average]
                        for one in pair
                    ]
                    samples = [
                        _metrics(np.tensordot(draws, one, 1), test == "balanced")[
                            metric, average
                        ]
                        for one in pair
                    ]
                    low, high = np.quantile(samples[0] - samples[1], (0.025, 0.975))
                    rows.append(
                        (
                            classifier,
                            first,
                            second,
                            float(values[0] - values[1]),
                            low,
                            high,
                        )
                    )
        return pd.DataFrame(
            rows, columns=["classifier", "first", "second", "value", "low", "high"]
        )

    def by_fold(self):
        """The metrics of each fold by itself, as found.

        One row a set of features, classifier, fold, metric and average.
        """
        rows = []
        for (features, classifier), predicted in self.predicted.items():
            for fold in range(self.folds.max() + 1):
                test = self.folds == fold
                matrix = confusion_matrix(
                    self.labels[test], predicted[test], labels=self.classes
                )
                for (metric, average), value in _metrics(matrix, False).items():
                    rows.append(
                        (features, classifier, fold, metric, average, float(value))
                    )
        return pd.DataFrame(
            rows,
            columns=["features", "classifier", "fold", "metric", "average", "value"],
        )

    def _by_group(self):
        """For each set of features and classifier, the confusion of each group (n groups, n classes, n classes)."""
        _, groups = np.unique(self.groups, return_inverse=True)
        place = {name: number for number, name in enumerate(self.classes)}
        true = [place[label] for label in self.labels]
        matrices = {}
        for key, predicted in self.predicted.items():
            matrices[key] = np.zeros(
                (groups.max() + 1, len(self.classes), len(self.classes)), int
            )
            np.add.at(
                matrices[key], (groups, true, [place[label] for label in predicted]), 1
            )
        return matrices

    def _draws(self, seed):
        """How often each group is drawn (`DRAWS`, n groups).

        Where groups have one class each, by class.
        """
        rng = np.random.default_rng(seed)
        frame = (
            pd.DataFrame({"group": self.groups, "label": self.labels})
            .groupby("group")
            .label
        )
        strata = (
            frame.first()
            if (frame.nunique() == 1).all()
            else frame.first().map(lambda _: "")
        )
        draws = np.zeros((DRAWS, len(strata)), int)
        for members in (
            strata.reset_index(drop=True).groupby(strata.to_numpy()).groups.values()
        ):
            draws[:, members] = rng.multinomial(
                len(members), np.full(len(members), 1 / len(members)), DRAWS
            )
        return draws


def evaluate(
    features,
    labels,
    *,
    groups,
    wells=None,
    leave_out=(),
    classifiers=None,
    n_folds=10,
    seed=0,
    progress=False,
):
    """Tell classes apart by features: each row by models that have seen nothing of its group.

    In each fold the training part is balanced by `StratifiedResampler` and scaled to
    unit variance, and a support vector machine, a random forest and a multilayer
    perceptron of fixed settings (`CLASSIFIERS`) are fitted to it.

    Parameters
    ----------
    features : pandas.DataFrame or array (n rows, n features), or dict of them
        Sets of features by name; all are evaluated on the same folds.
    labels : array (n,)
        The class of each row.
    groups : array (n,)
        Rows of one group are never divided: wells, plates, batches or compounds.
    wells : array (n,), optional
        The well of each row, to refuse groups that divide wells.
    leave_out : sequence of str
        Classes to leave out, of training and test.
    classifiers : sequence of str, optional
        Among `CLASSIFIERS`. Default: all.
    n_folds, seed : int
    progress : bool
        Show a bar.

    Returns
    -------
    Evaluation

    Raises
    ------
    ValueError
        The split would leak, see `stratonet_sklearn.evaluation.splits.split`; NaN or
        infinite features; sets of different length; the same row in two groups.
    """
    if not isinstance(features, dict):
        features = {"features": features}
    classifiers = list(classifiers or CLASSIFIERS)
    unknown = set(classifiers) - set(CLASSIFIERS)
    if unknown:
        raise ValueError(
            f"Classifiers are {', '.join(CLASSIFIERS)}. Received:"
            f" {', '.join(sorted(unknown))}"
        )
    labels, groups = np.asarray(labels), np.asarray(groups)
    if not features:
        raise ValueError("There is no set of features to evaluate.")
    absent = set(map(str, leave_out)) - set(labels.astype(str))
    if absent:
        classes = ", ".join(sorted(set(labels.astype(str))))
        raise ValueError(
            f"There is no class {', '.join(sorted(absent))}. Received: {classes}"
        )
    lengths = {name: len(values) for name, values in features.items()}
    if set(lengths.values()) != {len(labels)}:
        raise ValueError(
            f"Every set of features has a row for each of {len(labels)} labels."
            f" Received: {lengths}"
        )
    kept = np.flatnonzero(~np.isin(labels.astype(str), list(leave_out)))
    wells = None if wells is None else np.asarray(wells)[kept]
    folds = split(labels[kept], groups[kept], n_folds, seed, wells)
    labels, groups = labels[kept].astype(str), groups[kept].astype(str)
    sets = {
        name: _checked(name, values, kept, groups, wells)
        for name, values in features.items()
    }

    classes = sorted(set(labels))
    jobs = [
        (name, classifier, fold)
        for classifier in classifiers
        for name in sets
        for fold in range(folds.max() + 1)
    ]
    work = joblib.Parallel(-1, return_as="generator", max_nbytes="1M")(
        joblib.delayed(_fit)(
            sets[name][1], labels, folds == fold, CLASSIFIERS[classifier], seed
        )
        for name, classifier, fold in jobs
    )
    predicted, probabilities, importance = {}, {}, {}
    for (name, classifier, fold), (told, shares, weights) in zip(
        jobs, tqdm(work, total=len(jobs), unit=" models", disable=not progress)
    ):
        test = folds == fold
        predicted.setdefault((name, classifier), np.empty(len(labels), object))[
            test
        ] = told
        if shares is not None:
            probabilities.setdefault(name, np.empty((len(labels), len(classes))))[
                test
            ] = shares
        if weights is not None:
            importance.setdefault((name, classifier), []).append(weights)
    importance = {
        key: pd.Series(np.mean(weights, axis=0), sets[key[0]][0])
        for key, weights in importance.items()
    }
    return Evaluation(
        classes, labels, groups, kept, folds, predicted, probabilities, importance
    )


def _checked(name, features, kept, groups, wells):
    """Names and values of the rows kept, if they can be evaluated."""
    names = list(map(str, features)) if isinstance(features, pd.DataFrame) else None
    values = np.asarray(features)
    if values.ndim != 2:
        raise ValueError(
            f"{name}: features have one row a label and one column a feature. Received:"
            f" shape {values.shape}"
        )
    values = np.ascontiguousarray(values[kept], np.float32)
    bad = ~np.isfinite(values)
    if bad.any():
        raise ValueError(
            f"{name}: {bad.any(axis=1).sum()} rows and {bad.any(axis=0).sum()} features"
            " have NaN or infinite values. Leave out the rows that could not be"
            " measured, or the features."
        )
    # Few numbers may be the same by chance.
    if values.shape[1] >= 10:
        spread = (
            pd.Series(groups)
            .groupby([row.tobytes() for row in values], sort=False)
            .agg(["nunique", lambda group: group.index[0]])
        )
        if (spread["nunique"] > 1).any():
            row = spread.iloc[:, 1][spread["nunique"] > 1].iloc[0]
            where = (
                f"row {kept[row]} (counted from 0)"
                if wells is None
                else f"a row of well {wells[row]}"
            )
            raise ValueError(
                f"{name}: this split would leak: {where} is in another group once more,"
                " with the same features. Is it the same image, or an empty one? Leave"
                " such rows out (give them no label)."
            )
    return names or [f"{name}{number}" for number in range(values.shape[1])], values


def _fit(values, labels, test, classifier, seed):
    """What a model of the other rows says of the rows tested.

    Classes, shares of votes, importance of features.
    """
    _, counts = np.unique(labels[~test], return_counts=True)
    model = Pipeline(
        [
            (
                "balance",
                StratifiedResampler(
                    min(BALANCED_SET, len(counts) * counts.max()), random_state=seed
                ),
            ),
            ("scale", StandardScaler()),
            ("classify", clone(classifier)),
        ]
    )
    with warnings.catch_warnings():
        # The perceptron stops after a fixed number of iterations.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(values[~test], labels[~test])
    fitted, shares, weights = model["classify"], None, None
    if isinstance(fitted, RandomForestClassifier):
        shares, weights = model.predict_proba(values[test]), fitted.feature_importances_
    elif hasattr(fitted, "coef_"):
        weights = np.abs(fitted.coef_).mean(axis=0)
    return (
        model.predict(values[test]),
        shares,
        None if weights is None else weights / max(weights.sum(), 1e-12),
    )


def _metrics(confusion, balanced):
    """Accuracy, precision, recall and F1 of confusion matrices (..., n classes, n classes), true classes in rows.

    Classes without a row do not count. Precision is 0 where nothing was called so, as
    in scikit-learn.
    """
    confusion = np.asarray(confusion, float)
    support = confusion.sum(axis=-1)
    if balanced:
        confusion = confusion / np.maximum(support, 1)[..., None]
        support = confusion.sum(axis=-1)
    hits, called = np.diagonal(confusion, axis1=-2, axis2=-1), confusion.sum(axis=-2)
    recall = hits / np.where(support, support, 1)
    precision = hits / np.where(called, called, 1)
    f1 = 2 * hits / np.where(support + called, support + called, 1)
    weights = {"macro": support > 0, "weighted": support}
    values = {("accuracy", ""): hits.sum(axis=-1) / support.sum(axis=-1)}
    for average, weight in weights.items():
        for metric, of_classes in zip(METRICS[1:], (precision, recall, f1)):
            values[metric, average] = (of_classes * weight).sum(axis=-1) / weight.sum(
                axis=-1
            )
    return values

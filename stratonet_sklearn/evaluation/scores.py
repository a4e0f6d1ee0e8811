"""Scores of predicted classes, with intervals from resampling groups of rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from sklearn.metrics import confusion_matrix

# Draws of groups behind each interval.
DRAWS = 2000
# The bounds of 95 % of the draws.
QUANTILES = (0.025, 0.975)
# The test sets: rows as they are, and each class counting the same. If classes differ
# in size, the first mostly reflects the largest one.
TESTS = ("as found", "balanced")
METRICS = ("accuracy", "precision", "recall", "F1")
# A metric and its average over classes; accuracy has none: ("accuracy", "").
Metric = tuple[str, str]


@dataclass(frozen=True)
class Estimate:
    """A metric, and its values when groups are resampled.

    Attributes
    ----------
    value : float
        On all rows.
    drawn : numpy.ndarray (n draws,), float
        On each draw of groups.
    """

    value: float
    drawn: np.ndarray

    def subtract(self, other: Estimate) -> Estimate:
        """Subtract draw by draw, so that what both share cancels out.

        Parameters
        ----------
        other : Estimate
            From the same draws.

        Returns
        -------
        Estimate
        """
        value = self.value - other.value
        return Estimate(value, self.drawn - other.drawn)

    def describe(self) -> dict[str, float]:
        """Return the columns ``value``, ``low`` and ``high`` of a table."""
        low, high = np.quantile(self.drawn, QUANTILES)
        return {"value": self.value, "low": low, "high": high}


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` computes.

    Attributes
    ----------
    classes : list of str
    labels, groups : numpy.ndarray (n,), str
        Class and group of each row that was evaluated.
    rows : numpy.ndarray (n,), int
        Their numbers, from 0, among the rows that were passed to `evaluate`: rows
        without a label, or of a class left out, are not among them.
    folds : numpy.ndarray (n,), int
        The fold in which each row was tested, the same for all feature tables.
    predicted : dict of (features, classifier) to numpy.ndarray (n,), str
        The class of each row, by a model that was trained without its group.
        ``features`` is the name of the feature table.
    probabilities : dict of features to numpy.ndarray (n, n classes)
        The share of the random forest's votes for each class.
    importance : dict of (features, classifier) to pandas.Series
        For SVM and RF: the importance of each feature, as the mean over folds, with sum
        1. It is the size of the coefficients for features of unit variance (SVM), or
        the decrease in impurity (RF).
    """

    classes: list[str]
    labels: np.ndarray
    groups: np.ndarray
    rows: np.ndarray
    folds: np.ndarray
    predicted: dict[tuple[str, str], np.ndarray]
    probabilities: dict[str, np.ndarray]
    importance: dict[tuple[str, str], pd.Series]

    def confusion(self, features: str, classifier: str) -> pd.DataFrame:
        """Count rows by true and predicted class.

        Parameters
        ----------
        features, classifier : str
            A key of `predicted`.

        Returns
        -------
        pandas.DataFrame (n classes, n classes), int
            True classes in rows, predicted classes in columns.
        """
        matrix = confusion_matrix(
            self.labels, self.predicted[features, classifier], labels=self.classes
        )
        return pd.DataFrame(matrix, self.classes, self.classes)

    def scores(self, seed: int = 0) -> pd.DataFrame:
        """Compute all metrics with intervals.

        Parameters
        ----------
        seed : int
            For the draws of groups.

        Returns
        -------
        pandas.DataFrame
            One row per feature table (``features``), ``classifier``, ``test`` set (``as
            found``; ``balanced``: each class counts the same), ``metric`` and
            ``average``: ``value`` on the predictions of all folds together; ``low`` and
            ``high``: the interval that holds 95 of 100 draws of groups with
            replacement. The models stay the same, so the interval shows how far the
            choice of tested wells matters, not the training.
        """
        draws = _draw_groups(self.groups, self.labels, seed)
        rows = []
        for (features, classifier), confusions in self._count_by_group().items():
            for test in TESTS:
                estimates = _estimate_metrics(confusions, draws, test)
                for (metric, average), estimate in estimates.items():
                    rows.append(
                        {
                            "features": features,
                            "classifier": classifier,
                            "test": test,
                            "metric": metric,
                            "average": average,
                            **estimate.describe(),
                        }
                    )
        return pd.DataFrame(rows)

    def differences(
        self,
        metric: str = "F1",
        average: str = "macro",
        test: str = "balanced",
        seed: int = 0,
    ) -> pd.DataFrame:
        """Compare feature tables in pairs: on the same folds, with the same draws.

        Parameters
        ----------
        metric, average, test : str
            As `scores` names them. Accuracy has the average ``""``.
        seed : int
            For the draws of groups.

        Returns
        -------
        pandas.DataFrame
            One row per ``classifier`` and pair of feature tables (``first``,
            ``second``): ``value`` (first minus second), ``low``, ``high``.
        """
        draws = _draw_groups(self.groups, self.labels, seed)
        # By classifier, then by feature table. The draws are the same for all, so that
        # differences are paired.
        estimates: dict[str, dict[str, Estimate]] = {}
        for (features, classifier), confusions in self._count_by_group().items():
            of_metrics = _estimate_metrics(confusions, draws, test)
            of_tables = estimates.setdefault(classifier, {})
            of_tables[features] = of_metrics[metric, average]
        rows = []
        for classifier, of_tables in estimates.items():
            for first, second in combinations(of_tables, 2):
                difference = of_tables[first].subtract(of_tables[second])
                names = {"classifier": classifier, "first": first, "second": second}
                rows.append({**names, **difference.describe()})
        columns = ["classifier", "first", "second", "value", "low", "high"]
        return pd.DataFrame(rows, columns=columns)

    def by_fold(self) -> pd.DataFrame:
        """Compute the metrics of each fold by itself, as found.

        Returns
        -------
        pandas.DataFrame
            One row per feature table (``features``), ``classifier``, ``fold``,
            ``metric`` and ``average``: ``value``.
        """
        rows = []
        n_folds = self.folds.max() + 1
        for (features, classifier), predicted in self.predicted.items():
            for fold in range(n_folds):
                tested = self.folds == fold
                matrix = confusion_matrix(
                    self.labels[tested], predicted[tested], labels=self.classes
                )
                metrics = compute_metrics(matrix, balanced=False)
                for (metric, average), value in metrics.items():
                    rows.append(
                        {
                            "features": features,
                            "classifier": classifier,
                            "fold": fold,
                            "metric": metric,
                            "average": average,
                            "value": float(value),
                        }
                    )
        return pd.DataFrame(rows)

    def _count_by_group(self) -> dict[tuple[str, str], np.ndarray]:
        """Count the confusion of each group, (n groups, n classes, n classes)."""
        names, groups = np.unique(self.groups, return_inverse=True)
        true = self._number_classes(self.labels)
        n_classes = len(self.classes)
        confusions = {}
        for key, labels in self.predicted.items():
            predicted = self._number_classes(labels)
            counts = np.zeros((len(names), n_classes, n_classes), int)
            # Not `counts[...] += 1`, which counts rows of the same cell once.
            np.add.at(counts, (groups, true, predicted), 1)
            confusions[key] = counts
        return confusions

    def _number_classes(self, labels: Iterable[str]) -> list[int]:
        numbers = {name: number for number, name in enumerate(self.classes)}
        return [numbers[label] for label in labels]


def compute_metrics(confusion: np.ndarray, balanced: bool) -> dict[Metric, np.ndarray]:
    """Compute accuracy, precision, recall and F1 of confusion matrices.

    Parameters
    ----------
    confusion : array (..., n classes, n classes)
        True classes in rows. Classes without a row do not count.
    balanced : bool
        Each class counts the same, however many rows it has.

    Returns
    -------
    dict of (metric, average) to numpy.ndarray (...)
        Averages are ``macro`` and ``weighted``, and ``""`` for the accuracy. Precision
        is 0 for a class that was never predicted, as in scikit-learn.
    """
    confusion = np.asarray(confusion, float)
    support = confusion.sum(axis=-1)
    if balanced:
        # Rows of a class become shares of it; a class without rows stays empty.
        sizes = np.maximum(support, 1)
        confusion = confusion / sizes[..., None]
        support = confusion.sum(axis=-1)
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)
    n_predicted = confusion.sum(axis=-2)
    # 0 of 0 is 0: as in scikit-learn, whose scores the tests compare with.
    of_classes = {
        "precision": hits / _replace_zeros(n_predicted),
        "recall": hits / _replace_zeros(support),
        "F1": 2 * hits / _replace_zeros(support + n_predicted),
    }
    n_rows = support.sum(axis=-1)
    metrics = {("accuracy", ""): hits.sum(axis=-1) / n_rows}
    # A class that no drawn group has must not pull the mean down as if it were missed.
    weights = {"macro": support > 0, "weighted": support}
    for average, weight in weights.items():
        total_weight = weight.sum(axis=-1)
        for metric, values in of_classes.items():
            weighted = values * weight
            metrics[metric, average] = weighted.sum(axis=-1) / total_weight
    return metrics


def _replace_zeros(counts: np.ndarray) -> np.ndarray:
    """Replace 0 by 1 in divisors, so that 0 hits of 0 rows are 0."""
    return np.where(counts, counts, 1)


def _estimate_metrics(
    confusions: np.ndarray, draws: np.ndarray, test: str
) -> dict[Metric, Estimate]:
    """Compute metrics on all groups, and on each draw of groups."""
    balanced = test == "balanced"
    values = compute_metrics(confusions.sum(axis=0), balanced)
    # A group that is drawn twice counts twice: models need not be fitted again.
    confusions_of_draws = np.tensordot(draws, confusions, 1)
    drawn = compute_metrics(confusions_of_draws, balanced)
    estimates = {}
    for key, value in values.items():
        estimates[key] = Estimate(float(value), drawn[key])
    return estimates


def _draw_groups(groups: np.ndarray, labels: np.ndarray, seed: int) -> np.ndarray:
    """Draw groups with replacement: how often each is drawn, (n draws, n groups).

    Where groups have one class each, they are drawn within classes, so that every draw
    has as many groups of a class as the data: a screen's layout is fixed, not random.
    """
    rng = np.random.default_rng(seed)
    labels_of_groups = pd.Series(labels).groupby(groups)
    strata = labels_of_groups.first()
    if (labels_of_groups.nunique() > 1).any():
        strata[:] = ""
    draws = np.zeros((DRAWS, len(strata)), int)
    # By sorted class: another order would give another stream of random numbers.
    for stratum in sorted(set(strata)):
        members = np.flatnonzero(strata == stratum)
        n_members = len(members)
        chances = np.full(n_members, 1 / n_members)
        draws[:, members] = rng.multinomial(n_members, chances, DRAWS)
    return draws

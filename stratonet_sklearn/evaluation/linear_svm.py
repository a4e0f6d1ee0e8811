"""A linear support vector machine for tables with more columns than rows."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics.pairwise import linear_kernel
from sklearn.svm import SVC


class LinearSVM(SVC):
    """Like ``SVC(kernel="linear")``, but several times as fast.

    The products of all pairs of rows are computed at once. With thousands of features,
    most of the time goes into computing them one by one.

    Parameters
    ----------
    C, class_weight, random_state
        As for `sklearn.svm.SVC`.

    Examples
    --------
    >>> import numpy as np
    >>> values = np.array([[0.0, 1], [0, 3], [4, 1], [4, 3]])
    >>> svm = LinearSVM().fit(values, ["left", "left", "right", "right"])
    >>> svm.predict([[3.0, 9]]), np.abs(svm.coef_).round(3)
    (array(['right'], dtype='<U5'), array([[0.5, 0. ]]))
    """

    def __init__(
        self,
        C: float = 1.0,
        class_weight: str | Mapping[str, float] | None = None,
        random_state: int | None = None,
    ) -> None:
        super().__init__(
            kernel=linear_kernel,
            C=C,
            class_weight=class_weight,
            random_state=random_state,
        )

    def fit(
        self, X: np.ndarray, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> LinearSVM:
        """Fit to rows and their classes; see `sklearn.svm.SVC.fit`."""
        super().fit(X, y, sample_weight)
        # The base class sees products instead of rows, and does not keep the vectors.
        self._vectors = X[self.support_]
        return self

    @property
    def coef_(self) -> np.ndarray:
        """Weights of the features, a row for each pair of classes."""
        ends = np.cumsum(self.n_support_)
        # Support vectors are in the order of classes.
        class_slices = [slice(end - n, end) for end, n in zip(ends, self.n_support_)]
        pairs = []
        for first, second in combinations(range(len(class_slices)), 2):
            # The row of a class lacks the class itself.
            of_first = self.dual_coef_[second - 1, class_slices[first]]
            of_second = self.dual_coef_[first, class_slices[second]]
            pairs.append(
                of_first @ self._vectors[class_slices[first]]
                + of_second @ self._vectors[class_slices[second]]
            )
        return np.array(pairs)

"""The thesis's balanced training set."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
from imblearn.base import BaseSampler
from imblearn.over_sampling import RandomOverSampler
from imblearn.under_sampling import RandomUnderSampler
from numpy.typing import ArrayLike
from sklearn.utils import Tags, check_random_state
from sklearn.utils._param_validation import Interval

from stratonet_sklearn.rows import find_missing


class StratifiedResampler(BaseSampler):
    """Draw the same number of rows of each class: a balanced training set.

    Rows of larger classes are drawn without replacement, rows of smaller classes with
    replacement (thesis, section 5.3). In an `imblearn.pipeline.Pipeline` it resamples
    the rows that the pipeline is fitted to, and never those that are predicted.

    Parameters
    ----------
    n_samples : int, default=3000
        Number of rows of the balanced set. If it is not a multiple of the number of
        classes, the first classes get one row more.

    random_state : int, RandomState instance or None, default=None
        With an int, every call draws the same rows.

    Attributes
    ----------
    sample_indices_ : ndarray of shape (n_samples,)
        The rows that were drawn.

    See Also
    --------
    imblearn.under_sampling.RandomUnderSampler : Draws the rows of large classes.
    imblearn.over_sampling.RandomOverSampler : Draws the rows of small classes.

    Examples
    --------
    >>> import numpy as np
    >>> from stratonet_sklearn import StratifiedResampler
    >>> X = np.arange(8).reshape(-1, 1)
    >>> y = np.array(["control"] * 6 + ["treated"] * 2)
    >>> resampler = StratifiedResampler(n_samples=6, random_state=0)
    >>> X_balanced, y_balanced = resampler.fit_resample(X, y)
    >>> y_balanced.tolist()
    ['control', 'control', 'control', 'treated', 'treated', 'treated']

    In a pipeline:

    >>> from imblearn.pipeline import make_pipeline
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.svm import SVC
    >>> X, y = load_iris(return_X_y=True)
    >>> resampler = StratifiedResampler(n_samples=90, random_state=0)
    >>> pipeline = make_pipeline(resampler, SVC()).fit(X[:120], y[:120])
    >>> pipeline.score(X, y) > 0.9
    True
    """

    # Neither over- nor under-sampling: imbalanced-learn then checks no strategy.
    _sampling_type = "bypass"
    _parameter_constraints: dict[str, list[Any]] = {
        "n_samples": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    }

    # The base class reads this, too; which rows are drawn is decided below.
    sampling_strategy = "auto"
    # Not the base class's check of X, which refuses NaN and text.
    _check_X_y = RandomUnderSampler._check_X_y

    def __init__(
        self,
        n_samples: int = 3000,
        *,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_samples = n_samples
        self.random_state = random_state

    def fit_resample(
        self, X: ArrayLike, y: ArrayLike, **params: Any
    ) -> tuple[ArrayLike, ArrayLike]:
        """Draw rows.

        Parameters
        ----------
        X : array-like (n rows, ...)
            Anything that has rows.
        y : array-like (n rows,)
            The class of each row.
        **params : dict
            As the base class takes them.

        Returns
        -------
        X, y : array-like (n_samples, ...), array-like (n_samples,)

        Raises
        ------
        ValueError
            Rows have no class, or there are more classes than ``n_samples``.
        """
        # Before numpy turns missing classes into text, which would be balanced, too.
        if isinstance(y, (list, tuple, pd.Series)):
            n_missing = int(find_missing(pd.Series(y, dtype=object)).sum())
            if n_missing:
                raise ValueError(
                    f"{n_missing} of {len(y)} rows have no class (`y` is None, NaN or"
                    " empty there). Leave them out first."
                )
        return super().fit_resample(X, y, **params)

    def _fit_resample(self, X: ArrayLike, y: ArrayLike) -> tuple[ArrayLike, ArrayLike]:
        wanted, available = self._count_rows(y)
        # One stream of random numbers for both samplers.
        random_state = check_random_state(self.random_state)
        fewer = {}
        for label, count in wanted.items():
            fewer[label] = min(count, available[label])
        under = RandomUnderSampler(sampling_strategy=fewer, random_state=random_state)
        over = RandomOverSampler(sampling_strategy=wanted, random_state=random_state)
        # Large classes first, so that the second sampler has less to copy.
        X, y = under.fit_resample(X, y)
        X, y = over.fit_resample(X, y)
        self.sample_indices_ = under.sample_indices_[over.sample_indices_]
        return X, y

    def _count_rows(self, y: ArrayLike) -> tuple[dict[Any, int], dict[Any, int]]:
        """Count the rows of each class that are wanted, and that are available."""
        classes, counts = np.unique(y, return_counts=True)
        if self.n_samples < len(classes):
            raise ValueError(
                f"n_samples must be at least {len(classes)}, one per class. Received:"
                f" {self.n_samples}"
            )
        share, remainder = divmod(self.n_samples, len(classes))
        wanted = {
            label: share + (number < remainder) for number, label in enumerate(classes)
        }
        return wanted, dict(zip(classes, counts))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.sampler_tags.sample_indices = True
        return tags

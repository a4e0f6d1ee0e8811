"""The thesis's balanced training set."""

from numbers import Integral

import numpy as np
from imblearn.base import BaseSampler
from imblearn.over_sampling import RandomOverSampler
from imblearn.under_sampling import RandomUnderSampler
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval


class StratifiedResampler(BaseSampler):
    """Draw the same number of rows of each class: a balanced training set of ``n_samples`` rows (thesis, section 5.3).

    Classes that have more rows are drawn from without replacement, classes that have
    fewer with replacement. In an `imblearn.pipeline.Pipeline` it acts on what the
    pipeline is fitted to, and never on what is predicted.

    Parameters
    ----------
    n_samples : int, default=3000
        Rows of the balanced set. Where classes do not divide it, the first classes get
        one row more.
    random_state : int, RandomState instance or None, default=None

    Attributes
    ----------
    sample_indices_ : numpy.ndarray (n_samples,)
        The rows that were drawn.

    See Also
    --------
    imblearn.under_sampling.RandomUnderSampler, imblearn.over_sampling.RandomOverSampler

    Examples
    --------
    >>> from imblearn.pipeline import make_pipeline
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.svm import SVC
    >>> from stratonet_sklearn import StratifiedResampler
    >>> X, y = load_iris(return_X_y=True)
    >>> make_pipeline(StratifiedResampler(n_samples=90, random_state=0),
    SVC()).fit(X[:120], y[:120]).score(X, y) > 0.9 True
    """

    _sampling_type = "bypass"
    _parameter_constraints = {
        "n_samples": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(self, n_samples=3000, *, random_state=None):
        self.n_samples = n_samples
        self.random_state = random_state

    # What the base class reads; which rows are drawn is decided below.
    sampling_strategy = "auto"
    _check_X_y = RandomUnderSampler._check_X_y

    def _fit_resample(self, X, y):
        classes, counts = np.unique(y, return_counts=True)
        if self.n_samples < len(classes):
            raise ValueError(
                f"n_samples is at least 1 a class, {len(classes)}. Received:"
                f" {self.n_samples}"
            )
        share, more = divmod(self.n_samples, len(classes))
        wanted = {one: share + (number < more) for number, one in enumerate(classes)}
        random_state = check_random_state(self.random_state)
        under = RandomUnderSampler(
            sampling_strategy={
                one: min(wanted[one], count) for one, count in zip(classes, counts)
            },
            random_state=random_state,
        )
        over = RandomOverSampler(sampling_strategy=wanted, random_state=random_state)
        X, y = over.fit_resample(*under.fit_resample(X, y))
        self.sample_indices_ = under.sample_indices_[over.sample_indices_]
        return X, y

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = tags.input_tags.string = True
        tags.sampler_tags.sample_indices = True
        return tags

import doctest

import numpy as np
import pandas as pd
import pytest
from imblearn.pipeline import make_pipeline
from imblearn.utils.estimator_checks import parametrize_with_checks
from sklearn.dummy import DummyClassifier
from sklearn.model_selection import cross_validate

from stratonet_sklearn import StratifiedResampler, resampling


@parametrize_with_checks([StratifiedResampler(n_samples=90, random_state=0)])
def test_imbalanced_learns_checks(estimator, check):
    check(estimator)


@pytest.fixture
def rows(rng):
    """100 rows of a, 10 of b, 2 of c; the first feature is the number of the row."""
    return np.column_stack([np.arange(112), rng.normal(size=112)]), np.repeat(
        ["a", "b", "c"], [100, 10, 2]
    )


def test_classes_become_equal(rows):
    X, y = StratifiedResampler(32, random_state=0).fit_resample(*rows)
    assert len(X) == 32
    assert dict(zip(*np.unique(y, return_counts=True))) == {"a": 11, "b": 11, "c": 10}
    assert np.array_equal(rows[1][X[:, 0].astype(int)], y)


def test_rows_are_repeated_only_where_there_are_too_few(rows):
    X, y = StratifiedResampler(30, random_state=0).fit_resample(*rows)
    distinct = {one: len(np.unique(X[y == one, 0])) for one in "abc"}
    assert distinct == {"a": 10, "b": 10, "c": 2}


def test_rows_drawn_are_told(rows):
    sampler = StratifiedResampler(60, random_state=1)
    X, y = sampler.fit_resample(*rows)
    assert np.array_equal(X, rows[0][sampler.sample_indices_])
    assert np.array_equal(y, rows[1][sampler.sample_indices_])


def test_the_default_is_the_thesis_set(rows):
    assert len(StratifiedResampler().fit_resample(*rows)[0]) == 3000


def test_the_same_seed_draws_the_same(rows):
    first, again, other = (
        StratifiedResampler(30, random_state=seed).fit_resample(*rows)[0]
        for seed in (0, 0, 1)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_frames_stay_frames(rows):
    frame = pd.DataFrame(rows[0], columns=["number", "noise"])
    X, y = StratifiedResampler(9, random_state=0).fit_resample(
        frame, pd.Series(rows[1], name="class")
    )
    assert list(X) == ["number", "noise"]
    assert y.name == "class"


def test_fewer_rows_than_classes(rows):
    with pytest.raises(ValueError, match="at least 3, one per class. Received: 2"):
        StratifiedResampler(2).fit_resample(*rows)


def test_in_a_pipeline_only_training_rows_are_drawn(rows):
    X, y = rows
    seen = []

    class Recorder(DummyClassifier):
        def fit(self, X, y):
            seen.append(dict(zip(*np.unique(y, return_counts=True))))
            return super().fit(X, y)

        def predict(self, X):
            seen.append(len(X))
            return super().predict(X)

    cross_validate(
        make_pipeline(StratifiedResampler(30, random_state=0), Recorder()), X, y, cv=2
    )
    assert seen == 2 * [{"a": 10, "b": 10, "c": 10}, 56]


def test_the_example_runs():
    assert doctest.testmod(resampling) == (0, 14)


def test_missing_classes_are_no_class():
    for y in (["a", "b", np.nan, None], ["a", "b", "", "b"]):
        with pytest.raises(ValueError, match=r"[12] of 4 rows have no class"):
            StratifiedResampler(n_samples=4).fit_resample(np.zeros((4, 1)), y)

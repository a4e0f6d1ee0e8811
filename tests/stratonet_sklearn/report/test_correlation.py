"""Correlations between features of two tables."""

import numpy as np
import pandas as pd
from drawings import LONG_NAMES, assert_readable, tick_labels
from matplotlib.collections import PathCollection

from stratonet_sklearn.report.correlation import (
    correlate_features,
    draw_correlation,
)


def test_correlation_is_put_in_order():
    """Two groups of features, shuffled.

    In the figure each lies together again, and dots stay with their pairs.
    """
    rng = np.random.default_rng(0)
    group = rng.permutation(50) % 2
    names = [
        [f"{kind}_of_a_feature_with_a_long_name_{n}" for n in range(50)]
        for kind in ("Strato", "Nuclei")
    ]
    matrix = pd.DataFrame(
        np.where(group[:, None] == group, 0.8, -0.5) + rng.normal(0, 0.02, (50, 50)),
        *names,
    )
    significant = matrix > 0.8
    figure = draw_correlation(matrix, significant, *LONG_NAMES[:2])
    assert_readable(figure)
    axes = figure.axes[0]
    rows, columns = (
        [int(label.split("_")[-1]) for label in tick_labels(axis)]
        for axis in (axes.yaxis, axes.xaxis)
    )
    assert sorted(rows) == sorted(columns) == list(range(50))
    assert (
        (np.diff(group[rows]) != 0).sum() == (np.diff(group[columns]) != 0).sum() == 1
    )
    np.testing.assert_array_equal(
        axes.images[0].get_array(), matrix.to_numpy()[np.ix_(rows, columns)]
    )
    (dots,) = axes.findobj(PathCollection)
    marked = {(rows[int(y)], columns[int(x)]) for x, y in dots.get_offsets()}
    assert marked == set(zip(*np.nonzero(significant.to_numpy())))


def test_a_correlation_of_one_feature():
    one = pd.DataFrame([[0.5]], ["a"], ["b"])
    assert_readable(draw_correlation(one, one > 1, "A", "B"))


def test_two_features_alone_and_one_that_is_constant():
    x = np.arange(8.0)[:, None]
    alone = correlate_features(x, -x)
    assert alone.rho.tolist() == [[-1]] and alone.significant.all()
    constant = correlate_features(x, np.hstack([x, np.ones((8, 1))]))
    assert np.isnan(constant.rho[0, 1])
    assert constant.significant.tolist() == [[True, False]]

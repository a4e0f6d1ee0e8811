"""The variance that components explain."""

import numpy as np
import pytest
from drawings import LONG_NAMES, assert_readable

from stratonet_sklearn.report.variance import draw_variance


def test_variance_of_each_component_and_together():
    variances = {
        name: np.random.default_rng(n).dirichlet(np.ones(8 * (n + 1)))
        for n, name in enumerate(LONG_NAMES)
    }
    figure = draw_variance(variances)
    assert_readable(figure)
    each, together = figure.axes
    for ratio, one, both in zip(
        variances.values(), each.get_lines(), together.get_lines()
    ):
        assert one.get_xdata()[0] == 1 and np.array_equal(one.get_ydata(), ratio)
        assert both.get_ydata() == pytest.approx(
            [ratio[: n + 1].sum() for n in range(len(ratio))]
        )
    assert (
        len({(line.get_color(), line.get_marker()) for line in each.get_lines()}) == 6
    )
    held = {name: ratio[:8].sum() for name, ratio in variances.items()}
    assert (
        f"8 components explain {min(held.values()):.0%}" in figure._suptitle.get_text()
    )

"""The weight of features and of their groups."""

import numpy as np
import pandas as pd
import pytest
from drawings import LONG_NAMES, assert_readable, tick_labels

from stratonet_sklearn.report.importance import draw_groups, draw_importance


@pytest.mark.slow
def test_importance_shows_the_most(evaluation):
    figure = draw_importance(evaluation.importance, n_bars=5)
    sets = list(evaluation.probabilities)
    assert_readable(figure)
    for axes, (features, classifier) in zip(
        figure.axes, [(s, c) for s in sets for c in ("SVM", "RF")]
    ):
        weights = evaluation.importance[features, classifier].sort_values(
            ascending=False
        )
        assert [bar.get_width() for bar in axes.patches] == weights.iloc[:5].tolist()
        number = [label.split("_")[-3] for label in tick_labels(axes.yaxis)]
        assert number == [name.split("_")[-3] for name in weights.index[:5]]
        assert (
            f"{classifier}: 5 of 12 hold {weights.iloc[:5].sum():.1%}"
            in axes.get_title(loc="right")
        )


@pytest.mark.slow
@pytest.mark.parametrize(("n_sets", "n_parts"), [(1, 3), (6, 40)])
def test_parts_that_do_not_fit_are_drawn_as_one(n_sets, n_parts):
    rng = np.random.default_rng(0)
    rows = [
        (s, c, f"Cytoplasm RadialDistribution of {n}")
        for s in LONG_NAMES[:n_sets]
        for c in ("SVM", "RF")
        for n in range(n_parts)
    ]
    frame = pd.DataFrame(rows, columns=["features", "classifier", "part"])
    frame["share"] = rng.dirichlet(np.ones(n_parts), 2 * n_sets).ravel()
    figure = draw_groups(frame)
    assert_readable(figure)
    for features, axes in zip(LONG_NAMES[:n_sets], figure.axes):
        table = frame[frame.features == features].pivot(
            index="part", columns="classifier", values="share"
        )
        table = table.loc[table.sum(axis=1).sort_values(ascending=False).index]
        for bars, classifier in zip(axes.containers, ("SVM", "RF")):
            widths = [bar.get_width() for bar in bars]
            assert len(widths) == min(n_parts, 20) and sum(widths) == pytest.approx(1)
            assert widths[: min(n_parts, 19)] == pytest.approx(
                table[classifier].iloc[: min(n_parts, 19)]
            )
        if n_parts > 20:
            assert tick_labels(axes.yaxis)[-1] == "21 others"

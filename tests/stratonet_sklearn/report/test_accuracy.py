"""Scores and differences: what is drawn and worded is what the numbers say."""

import numpy as np
import pandas as pd
import pytest
from drawings import assert_readable, tick_labels

from stratonet_sklearn.report.accuracy import compute_chances, draw_scores
from stratonet_sklearn.report.differences import draw_differences

METRICS = ["accuracy", "precision", "recall", "F1"]


def list_names(evaluation):
    return (list(dict.fromkeys(names)) for names in zip(*evaluation.predicted))


@pytest.mark.slow
def test_bars_are_the_scores(evaluation):
    scores = evaluation.scores()
    largest = pd.Series(evaluation.labels).value_counts(normalize=True).max()
    chances = {"as found": largest, "balanced": 1 / len(evaluation.classes)}
    assert compute_chances(evaluation.labels) == pytest.approx(chances)
    figure = draw_scores(scores, chances)
    assert_readable(figure)
    sets, classifiers = list_names(evaluation)
    table = (
        scores[scores.average != "weighted"]
        .set_index(["test", "classifier", "features", "metric"])
        .sort_index()
    )
    panels = {axes.get_title(): axes for axes in figure.axes}
    assert len(panels) == 2 * len(classifiers)
    for test in ("as found", "balanced"):
        for classifier in classifiers:
            axes = panels[f"{classifier}, {test}"]
            # In matplotlib's order: the bars of a table, then its intervals.
            for features, drawn, intervals in zip(
                sets, axes.containers[::2], axes.containers[1::2]
            ):
                rows = table.loc[(test, classifier, features)].loc[METRICS]
                assert [bar.get_height() for bar in drawn] == rows.value.tolist()
                ends = [line[:, 1] for line in intervals.lines[2][0].get_segments()]
                assert np.array(ends) == pytest.approx(rows[["low", "high"]].to_numpy())
            # By chance, across the bars of the accuracy alone.
            line = axes.get_lines()[-1]
            assert line.get_ydata() == pytest.approx([chances[test]] * 2)
            assert list(line.get_xdata()) == [-0.5, 0.5]
    assert all(
        tick_labels(axes.xaxis) == METRICS for axes in figure.axes[len(classifiers) :]
    )
    assert len(figure.legends[0].get_texts()) == len(sets) + 1
    hatches = {bars[0].get_hatch() for bars in axes.containers[::2]}
    assert len(hatches) == len(sets)


@pytest.mark.slow
@pytest.mark.parametrize("evaluation", ["small"], indirect=True)
def test_a_value_outside_of_its_interval(evaluation):
    scores = evaluation.scores()
    scores["low"] = scores.value + 0.01
    draw_scores(scores, {"as found": 0.2, "balanced": 0.1}).canvas.draw()


@pytest.mark.slow
def test_differences_are_drawn_with_their_intervals(evaluation):
    frame = evaluation.differences()
    sets, classifiers = list_names(evaluation)
    figure = draw_differences(frame)
    assert_readable(figure)
    for axes, classifier in zip(figure.axes, classifiers):
        rows = frame[frame.classifier == classifier]
        intervals, points = axes.get_lines()[:-1:2], axes.get_lines()[1:-1:2]
        assert [list(line.get_xdata()) for line in intervals] == rows[
            ["low", "high"]
        ].to_numpy().tolist()
        assert [point.get_xdata()[0] for point in points] == rows.value.tolist()
        assert [line.get_ydata()[0] for line in intervals] == list(range(len(rows)))
        assert list(axes.get_lines()[-1].get_xdata()) == [0, 0]
    svm = frame[frame.classifier == "SVM"]
    title = " ".join(figure._suptitle.get_text().split())
    assert f"{svm.value.iloc[0]:+.2f} (95% interval {svm.low.iloc[0]:+.2f} to" in title
    if len(svm) > 1:
        n_clear = ((svm.low > 0) | (svm.high < 0)).sum()
        assert f"In {n_clear} of {len(svm)} comparisons by the SVM" in title
    assert tick_labels(figure.axes[0].yaxis)[0].count("\n") == 1


def test_differences_say_which_is_better():
    rows = [
        ("SVM", "a", "b", 0.2, 0.1, 0.3),
        ("SVM", "a", "c", -0.2, -0.3, -0.1),
        ("SVM", "b", "c", 0.1, -0.1, 0.3),
    ]
    figure = draw_differences(
        pd.DataFrame(
            rows, columns=["classifier", "first", "second", "value", "low", "high"]
        )
    )
    said = [text.get_text() for text in figure.axes[0].texts]
    assert said == ["a is better", "c is better", "no difference shown"]
    assert tick_labels(figure.axes[0].yaxis) == [
        "a\nminus b",
        "a\nminus c",
        "b\nminus c",
    ]
    assert "2 of 3" in figure._suptitle.get_text()

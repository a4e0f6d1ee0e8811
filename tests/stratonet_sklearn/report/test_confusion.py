"""Confusion matrices."""

import numpy as np
import pandas as pd
import pytest
from drawings import assert_readable, tick_labels
from sklearn.metrics import confusion_matrix

from stratonet_sklearn.report.confusion import draw_confusions, word_confusion


@pytest.mark.slow
def test_confusions_are_shares_of_true_classes(evaluation):
    figure = draw_confusions(evaluation, "SVM")
    assert_readable(figure)
    sets = list(evaluation.probabilities)
    panels = [axes for axes in figure.axes if axes.get_title()]
    counts = pd.Series(evaluation.labels).value_counts()[evaluation.classes]
    for axes, features in zip(panels, sets):
        expected = confusion_matrix(
            evaluation.labels, evaluation.predicted[features, "SVM"], normalize="true"
        )
        np.testing.assert_allclose(axes.images[0].get_array(), expected)
        if axes.texts:
            assert [text.get_text() for text in axes.texts] == [
                f"{100 * share:.0f}" for share in expected.ravel()
            ]
    assert len(panels) == len(sets)
    # Classes are named at the left and below.
    assert [label.split("(")[-1] for label in tick_labels(panels[0].yaxis)] == [
        f"{count})" for count in counts
    ]
    assert len(set(tick_labels(panels[-1].xaxis))) == len(evaluation.classes)
    # The numbers must fit their cells.
    cell = panels[0].bbox.width / len(evaluation.classes)
    assert all(text.get_window_extent().width < cell for text in panels[0].texts)


def test_no_misclassification_is_said():
    counts = pd.DataFrame([[8, 0], [0, 5]], ["a", "b"], ["a", "b"])
    assert word_confusion(counts, "Deep") == (
        "No misclassifications by the SVM with Deep features."
    )

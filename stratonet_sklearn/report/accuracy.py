"""Section: how well the classes are recognised (thesis, figures 7, 9 and 10)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from stratonet.drawing import (
    get_bar_style,
    new_figure,
    shorten_name,
    shorten_names,
    strip_axes,
)
from stratonet_sklearn.evaluation.scores import METRICS, TESTS, Evaluation
from stratonet_sklearn.report.data import (
    HEADLINE,
    ReportData,
    select_balanced_accuracy,
)
from stratonet_sklearn.report.section import (
    Answer,
    Block,
    Content,
    Numbers,
    Plot,
    Table,
)

# The bars of one metric fill this share of the space between two metrics.
BARS_WIDTH = 0.84


def build_accuracy(data: ReportData) -> Content | None:
    """Show the scores of the classifications.

    Parameters
    ----------
    data : ReportData
        With an evaluation.

    Returns
    -------
    Content or None
        None if nothing was classified.
    """
    evaluation = data.evaluation
    if evaluation is None:
        return None
    blocks: list[Block] = [
        Answer(word_accuracy(data.scores, evaluation, data.row_noun))
    ]
    if len(data.tables) == 1:
        blocks.append(Answer(word_classifiers(data.scores)))
    blocks += _show_scores(data.scores, evaluation, data.split.group, data.row_noun)
    return Content("Classification accuracy", blocks)


def _show_scores(
    scores: pd.DataFrame, evaluation: Evaluation, group: str, noun: str
) -> list[Block]:
    return [
        Numbers("scores", scores),
        Numbers("folds", evaluation.by_fold()),
        Plot(
            "scores",
            draw_scores(scores, compute_chances(evaluation.labels)),
            "Scores of each classifier and feature table, with 95% intervals: how much"
            f" they would vary with other {group}s of the same kind. As found: all"
            f" {noun} count equally. Balanced: all classes count equally. Dashed line:"
            " the accuracy of always predicting the largest class. Precision, recall"
            " and F1 are means over the classes. SVM: linear support vector machine;"
            " RF: random forest; MLP: multilayer perceptron.",
        ),
        Table(
            tabulate_scores(scores),
            "Balanced accuracy and macro F1 score, with 95% intervals.",
        ),
    ]


def tabulate_scores(scores: pd.DataFrame) -> pd.DataFrame:
    """Write balanced accuracy and macro F1 as texts with their intervals.

    Parameters
    ----------
    scores : pandas.DataFrame
        `Evaluation.scores`.

    Returns
    -------
    pandas.DataFrame
        One row per feature table and classifier, with headings for readers.
    """
    # The page shows two metrics. All of them are in scores.csv.
    balanced = scores[scores["test"] == "balanced"]
    accuracy = balanced[balanced["metric"] == "accuracy"]
    is_macro_f1 = (balanced["metric"] == "F1") & (balanced["average"] == "macro")
    return pd.DataFrame(
        {
            "Features": accuracy["features"].to_numpy(),
            "Classifier": accuracy["classifier"].to_numpy(),
            "Balanced accuracy": _format_intervals(accuracy),
            "Macro F1, balanced": _format_intervals(balanced[is_macro_f1]),
        }
    )


def _format_intervals(scores: pd.DataFrame) -> list[str]:
    return [
        f"{score.value:.3f} ({score.low:.3f} to {score.high:.3f})"
        for score in scores.itertuples()
    ]


def compute_chances(labels: np.ndarray) -> dict[str, float]:
    """Compute the accuracy of always predicting the largest class.

    Parameters
    ----------
    labels : numpy.ndarray (n,)
        The true class of each row.

    Returns
    -------
    dict of str to float
        By test set: ``as found`` and ``balanced``.

    Examples
    --------
    >>> compute_chances(np.array(["a", "a", "a", "b"]))
    {'as found': 0.75, 'balanced': 0.5}
    """
    counts = np.unique(labels, return_counts=True)[1]
    largest = float(counts.max() / counts.sum())
    # In a mean over classes, one class is always right, and all others never.
    return {"as found": largest, "balanced": 1 / len(counts)}


def word_accuracy(scores: pd.DataFrame, evaluation: Evaluation, row_noun: str) -> str:
    """Describe the accuracy of the first feature table.

    Parameters
    ----------
    scores : pandas.DataFrame
        `Evaluation.scores`.
    evaluation : Evaluation
        What they were computed from.
    row_noun : str
        What a row is: wells, image sets or objects.

    Returns
    -------
    str
        Sentences: balanced accuracy, and the share of all rows.
    """
    accuracy = select_balanced_accuracy(scores, HEADLINE)
    name, score = accuracy.index[0], accuracy.iloc[0]
    low, high = 100 * score["low"], 100 * score["high"]
    labels = evaluation.labels
    n_right = int((evaluation.predicted[name, HEADLINE] == labels).sum())
    chances = compute_chances(labels)
    # If classes differ in size, the two numbers differ, and so do their chance levels.
    return (
        f"With {name} features, the {HEADLINE} has a balanced accuracy of"
        f" {score['value']:.1%}: the share of each class that is classified correctly,"
        f" averaged over the {len(evaluation.classes)} classes (95% interval"
        f" {low:.1f} to {high:.1f}%; by chance {chances['balanced']:.1%}). Of all"
        f" {row_noun}, it classifies {n_right:,} of {len(labels):,}"
        f" ({n_right / len(labels):.1%}) correctly; always predicting the largest class"
        f" would be correct for {chances['as found']:.1%}."
    )


def word_classifiers(scores: pd.DataFrame) -> str:
    """Describe how the other classifiers do with the first feature table.

    Parameters
    ----------
    scores : pandas.DataFrame
        `Evaluation.scores`.

    Returns
    -------
    str
        A sentence.
    """
    words = []
    for classifier in scores["classifier"].unique():
        if classifier != HEADLINE:
            accuracy = select_balanced_accuracy(scores, classifier)["value"].iloc[0]
            words.append(f"{classifier} {accuracy:.1%}")
    return f"Balanced accuracy of the other classifiers: {', '.join(words)}."


def draw_scores(scores: pd.DataFrame, chances: Mapping[str, float]) -> Figure:
    """Draw accuracy and macro precision, recall and F1 as bars with intervals.

    Parameters
    ----------
    scores : pandas.DataFrame
        `Evaluation.scores`. Bars are its ``value``, error bars go from ``low`` to
        ``high``.
    chances : mapping of str to float
        By test set: the accuracy of always predicting the largest class, from 0 to 1,
        drawn as a line across the bars of the accuracy.

    Returns
    -------
    matplotlib.figure.Figure
        A panel per test set (rows) and classifier (columns).
    """
    # Accuracy has no average. Weighted averages are in the CSV file only: where most
    # wells are controls, they say little about the treatments.
    scores = scores[scores["average"].isin(["", "macro"])]
    names = list(scores["features"].unique())
    classifiers = list(scores["classifier"].unique())
    # A long legend gets space of its own, not that of the panels.
    n_legend_lines = np.ceil((len(names) + 1) / 4)
    figure = new_figure(_word_headline(scores), 6.2 + 0.25 * n_legend_lines)
    panels = figure.subplots(
        len(TESTS), len(classifiers), sharex=True, sharey=True, squeeze=False
    )
    for row, test in zip(panels, TESTS):
        row[0].set_ylabel(f"score, {test} (0 to 1)")
        for axes, classifier in zip(row, classifiers):
            wanted = (scores["test"] == test) & (scores["classifier"] == classifier)
            _draw_score_bars(axes, scores[wanted], names)
            axes.set_title(f"{classifier}, {test}", fontsize=10)
            # Only at the accuracy: other metrics have other values by chance.
            (line,) = axes.plot(
                [-0.5, 0.5], [chances[test]] * 2, color="black", linestyle="--"
            )
    by_chance = ", ".join(f"{test} {chances[test]:.2f}" for test in TESTS)
    # A legend made from the bars would have one entry per panel.
    keys = [Patch(**get_bar_style(number)) for number in range(len(names))]
    figure.legend(
        [*keys, line],
        [*shorten_names(names), f"accuracy by chance ({by_chance})"],
        loc="outside lower center",
        ncol=min(4, len(names) + 1),
        fontsize=8,
        frameon=False,
    )
    return figure


def _word_headline(scores: pd.DataFrame) -> str:
    # To report the best of several classifiers and tables would flatter them.
    accuracy = select_balanced_accuracy(scores, HEADLINE)
    name, score = accuracy.index[0], accuracy.iloc[0]
    return (
        f"With {shorten_name(name)} features, the {HEADLINE} has a balanced accuracy"
        f" of {score['value']:.2f} (95% interval {score['low']:.2f} to"
        f" {score['high']:.2f})."
    )


def _draw_score_bars(axes: Axes, scores: pd.DataFrame, names: Sequence[str]) -> None:
    """Draw one panel: a group of bars per metric, a bar per feature table."""
    width = BARS_WIDTH / len(names)
    for number, name in enumerate(names):
        of_table = scores[scores["features"] == name].set_index("metric")
        values = of_table.loc[list(METRICS)]
        offset = (number - (len(names) - 1) / 2) * width
        x = np.arange(len(METRICS)) + offset
        axes.bar(x, values["value"], width, **get_bar_style(number))
        # Drawn from the middle of the interval: the value may lie outside it, and its
        # distances to the ends would then be negative, which matplotlib refuses.
        middles = (values["low"] + values["high"]) / 2
        axes.errorbar(
            x,
            middles,
            (values["high"] - values["low"]) / 2,
            fmt="none",
            ecolor="black",
            elinewidth=0.9,
            capsize=min(3, 9 * width),
        )
    axes.set_xticks(range(len(METRICS)), METRICS)
    # The full scale: on a cut axis, small differences look large.
    axes.set_ylim(0, 1.02)
    strip_axes(axes, "y")

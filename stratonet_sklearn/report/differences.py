"""Section: which feature table separates the classes better."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from stratonet.drawing import get_color, new_figure, shorten_names, strip_axes
from stratonet_sklearn.report.data import (
    HEADLINE,
    ReportData,
    select_balanced_accuracy,
)
from stratonet_sklearn.report.section import Answer, Content, Numbers, Plot


def build_differences(data: ReportData) -> Content | None:
    """Compare the feature tables in pairs, on the same folds and random draws.

    Parameters
    ----------
    data : ReportData
        With an evaluation, and two tables or more.

    Returns
    -------
    Content or None
        None if nothing was classified, or there is nothing to compare.
    """
    if data.evaluation is None or len(data.tables) < 2:
        return None
    differences = data.evaluation.differences("accuracy", "", seed=data.split.seed)
    first = data.names[0]
    # All pairs would be too many to read. The first table is the one of interest.
    of_first = differences[differences["first"] == first]
    return Content(
        "Differences between the feature tables",
        [
            Answer(word_comparison(data.scores, differences)),
            Numbers("differences", differences),
            Plot(
                "differences",
                draw_differences(of_first),
                "Differences in balanced accuracy, on the same folds and with paired"
                " intervals. Where an interval excludes zero, one feature table is"
                " better on these data. Each line is a separate comparison; the"
                " intervals are not corrected for the number of comparisons. All pairs"
                " of feature tables are in numbers/differences.csv.",
            ),
        ],
    )


def word_comparison(scores: pd.DataFrame, differences: pd.DataFrame) -> str:
    """Describe how the other feature tables do, compared with the first.

    Parameters
    ----------
    scores : pandas.DataFrame
        `Evaluation.scores`.
    differences : pandas.DataFrame
        `Evaluation.differences` of balanced accuracy.

    Returns
    -------
    str
        A sentence.
    """
    # The classifier of the first sentence: to report the best of several would flatter.
    accuracy = select_balanced_accuracy(scores, HEADLINE)
    first = accuracy.index[0]
    pairs = differences[
        (differences["classifier"] == HEADLINE) & (differences["first"] == first)
    ]
    words = [
        f"minus {pair.second} ({accuracy['value'][pair.second]:.1%})"
        f" is {word_difference(pair.value, pair.low, pair.high)}:"
        f" {word_verdict(pair.low, pair.high, first, pair.second)}"
        for pair in pairs.itertuples()
    ]
    return f"Balanced accuracy of the {HEADLINE}, {first} {'; '.join(words)}."


def word_difference(value: float, low: float, high: float) -> str:
    """Describe a difference of two shares, in percentage points.

    Parameters
    ----------
    value, low, high : float
        The first minus the second, from -1 to 1, with its interval.

    Returns
    -------
    str

    Examples
    --------
    >>> word_difference(0.139, 0.081, 0.19)
    '+13.9 points (95% interval +8.1 to +19.0)'
    """
    points, lowest, highest = (f"{100 * each:+.1f}" for each in (value, low, high))
    return f"{points} points (95% interval {lowest} to {highest})"


def word_verdict(low: float, high: float, first: str, second: str) -> str:
    """Say which of two feature tables is better, if their interval excludes zero.

    Parameters
    ----------
    low, high : float
        The interval of the first minus the second.
    first, second : str
        Their names.

    Returns
    -------
    str

    Examples
    --------
    >>> word_verdict(0.1, 0.3, "StratoNet", "CellProfiler")
    'StratoNet is better'
    >>> word_verdict(-0.1, 0.3, "StratoNet", "CellProfiler")
    'no difference shown'
    """
    if low > 0:
        return f"{first} is better"
    if high < 0:
        return f"{second} is better"
    return "no difference shown"


def draw_differences(differences: pd.DataFrame) -> Figure:
    """Draw differences between feature tables, and say which is better.

    Parameters
    ----------
    differences : pandas.DataFrame
        `Evaluation.differences`.

    Returns
    -------
    matplotlib.figure.Figure
        A panel per classifier, a line per pair of feature tables.
    """
    classifiers = differences["classifier"].unique()
    pairs = differences[["first", "second"]].drop_duplicates().to_numpy().tolist()
    # In the order of the comparisons, each name once.
    names = list(dict.fromkeys(name for pair in pairs for name in pair))
    short_names = dict(zip(names, shorten_names(names, 20)))
    figure = new_figure(
        _word_headline(differences, short_names),
        1.6 + 0.55 * len(pairs),
    )
    panels = figure.subplots(
        1, len(classifiers), sharex=True, sharey=True, squeeze=False
    )[0]
    for axes, classifier in zip(panels, classifiers):
        of_classifier = differences[differences["classifier"] == classifier]
        for row in of_classifier.itertuples():
            y = pairs.index([row.first, row.second])
            verdict = word_verdict(
                row.low, row.high, short_names[row.first], short_names[row.second]
            )
            _draw_difference(axes, y, (row.low, row.value, row.high), verdict)
        axes.axvline(0, color="black", linestyle="--", linewidth=1)
        axes.set_title(classifier, fontsize=10)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        # The first pair is at the top, with space for the words above it.
        axes.set_ylim(len(pairs) - 0.5, -0.6)
        strip_axes(axes, "x")
    panels[0].set_yticks(
        range(len(pairs)),
        [
            f"{short_names[first]}\nminus {short_names[second]}"
            for first, second in pairs
        ],
    )
    figure.supxlabel(
        "difference in balanced accuracy (scale of 0 to 1), with its 95% interval",
        fontsize=9,
    )
    return figure


def _word_headline(differences: pd.DataFrame, names: Mapping[str, str]) -> str:
    of_headline = differences[differences["classifier"] == HEADLINE]
    row = of_headline.iloc[0]
    first, second = names[row["first"]], names[row["second"]]
    interval = (row["low"], row["value"], row["high"])
    low, value, high = (f"{each:+.2f}" for each in interval)
    text = (
        f"Balanced accuracy of the {HEADLINE}, {first} minus {second}: {value} (95%"
        f" interval {low} to {high}); {word_verdict(*interval[::2], first, second)}."
    )
    if len(of_headline) == 1:
        return text
    # An interval that touches zero shows no difference, in words and marks alike.
    n_clear = int(((of_headline["low"] > 0) | (of_headline["high"] < 0)).sum())
    return (
        f"{text} In {n_clear} of {len(of_headline)} comparisons by the {HEADLINE} one"
        " feature table is better."
    )


def _draw_difference(
    axes: Axes, y: int, interval: tuple[float, float, float], verdict: str
) -> None:
    """Draw one line: the interval, its value, and the verdict in words above."""
    low, value, high = interval
    is_clear = low > 0 or high < 0
    axes.plot([low, high], [y, y], color="black", linewidth=1.4 if is_clear else 0.8)
    # Shape and filling differ, too: not everyone sees colours.
    axes.plot(
        value,
        y,
        color=get_color(0),
        marker="o" if is_clear else "D",
        markersize=7,
        markerfacecolor=get_color(0) if is_clear else "white",
    )
    text = axes.text(
        0.5,
        y - 0.2,
        verdict,
        transform=axes.get_yaxis_transform(),
        ha="center",
        va="bottom",
        fontsize=7.5,
        fontweight="bold" if is_clear else "normal",
        backgroundcolor="white",
    )
    # The white background hides only the zero line, not the interval below.
    text.get_bbox_patch().set_boxstyle("square", pad=0.1)

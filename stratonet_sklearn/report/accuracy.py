"""Section: how well the classes are recognised (thesis, figures 7, 9 and 10)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from stratonet.drawing import (
    get_bar_style,
    get_color,
    new_figure,
    shorten_name,
    shorten_names,
    strip_axes,
)
from stratonet.tables.columns import BATCH, PLATE, WELL
from stratonet.tables.wells import split_well_names
from stratonet_sklearn.evaluation.columns import name_wells
from stratonet_sklearn.evaluation.scores import METRICS, TESTS, Evaluation
from stratonet_sklearn.evaluation.splits import measure_confounding
from stratonet_sklearn.report.data import HEADLINE, ReportData
from stratonet_sklearn.report.section import (
    Answer,
    Block,
    Caution,
    Content,
    Numbers,
    Plot,
    Table,
)

# All bars of one metric take this share of the room between two metrics.
BARS_WIDTH = 0.84


def build_accuracy(data: ReportData) -> Content | None:
    """Score the classifications, and compare the feature tables.

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
    scores = evaluation.scores(data.split.seed)
    differences = evaluation.differences("accuracy", "", seed=data.split.seed)
    blocks: list[Block] = [
        Answer(word_accuracy(scores, len(evaluation.classes), data.row_noun)),
        Answer(word_comparison(scores, differences)),
    ]
    blocks += _show_scores(scores, evaluation, data.split.group)
    if len(data.tables) > 1:
        blocks += _show_differences(differences, data.names[0])
    blocks += _check_confounding(data.tested_rows, evaluation.labels)
    return Content("Classification accuracy", blocks)


def _show_scores(
    scores: pd.DataFrame, evaluation: Evaluation, group: str
) -> list[Block]:
    chance = 1 / len(evaluation.classes)
    return [
        Numbers("scores", scores),
        Numbers("folds", evaluation.by_fold()),
        Plot(
            "scores",
            draw_scores(scores, chance),
            "Scores of each classifier and feature table, with 95% intervals: how much"
            f" they would vary with other {group}s of the same kind. As found: every"
            " row counts the same. Balanced: every class counts the same. SVM: linear"
            " support vector machine; RF: random forest; MLP: multilayer perceptron.",
        ),
        Table(
            tabulate_scores(scores),
            "Balanced accuracy and macro F1 score, with 95% intervals.",
        ),
    ]


def _show_differences(differences: pd.DataFrame, first: str) -> list[Block]:
    of_first = differences[differences["first"] == first]
    return [
        Numbers("differences", differences),
        Plot(
            "differences",
            draw_differences(of_first),
            "Differences in balanced accuracy, on the same folds and with paired"
            " intervals. Where an interval excludes zero, one feature table is better"
            " on these data. Each line is a comparison of its own; the intervals are"
            " not corrected for their number. All pairs of feature tables:"
            " numbers/differences.csv.",
        ),
    ]


def _check_confounding(rows: pd.DataFrame, labels: np.ndarray) -> list[Block]:
    associations = measure_confounding(*list_layout(rows, labels))
    blocks: list[Block] = [Caution(text) for text in word_confounding(associations)]
    if len(associations):
        blocks.append(Numbers("confounding", associations.reset_index()))
    return blocks


def list_layout(
    rows: pd.DataFrame, labels: np.ndarray
) -> tuple[pd.Series, pd.DataFrame]:
    """List the class of each well, and where the well lies.

    Its plate, batch, row or column may give the class away without any image.

    Parameters
    ----------
    rows : pandas.DataFrame (n rows)
        ``Metadata_*`` of the rows that were classified.
    labels : numpy.ndarray (n rows,)
        Their classes.

    Returns
    -------
    labels : pandas.Series (n wells,)
        A well with two classes is two.
    layout : pandas.DataFrame (n wells)
        ``plate``, ``batch``, ``row of the plate``, ``column of the plate``: those that
        are known of all wells.
    """
    frame = pd.DataFrame(
        {"label": labels, "well": name_wells(rows), "plate": rows[PLATE]}
    )
    if BATCH in rows:
        frame["batch"] = rows[BATCH]
    letters, columns = split_well_names(rows[WELL])
    frame["row of the plate"] = letters
    frame["column of the plate"] = columns
    # Sites of a well are no independent observations of the layout.
    frame = frame.drop_duplicates(["label", "well"]).dropna(axis=1)
    return frame["label"], frame.drop(columns=["label", "well"])


def select_balanced_accuracy(scores: pd.DataFrame, classifier: str) -> pd.DataFrame:
    """Select the balanced accuracy of each feature table.

    Parameters
    ----------
    scores : pandas.DataFrame
        `Evaluation.scores`.
    classifier : str
        One of those evaluated.

    Returns
    -------
    pandas.DataFrame
        ``value``, ``low`` and ``high`` by the name of the feature table.
    """
    wanted = (
        (scores["classifier"] == classifier)
        & (scores["metric"] == "accuracy")
        & (scores["test"] == "balanced")
    )
    return scores[wanted].set_index("features")[["value", "low", "high"]]


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


def word_accuracy(scores: pd.DataFrame, n_classes: int, row_noun: str) -> str:
    """Word the accuracy of the first feature table.

    Parameters
    ----------
    scores : pandas.DataFrame
        `Evaluation.scores`.
    n_classes : int
        How many there are, for what guessing would give.
    row_noun : str
        What a row is: wells, image sets or objects.

    Returns
    -------
    str
        A sentence.
    """
    accuracy = select_balanced_accuracy(scores, HEADLINE)
    name, score = accuracy.index[0], accuracy.iloc[0]
    low, high = 100 * score["low"], 100 * score["high"]
    # Balanced accuracy is not the share of all rows: the sentence must not say so.
    return (
        f"With {name} features, the {HEADLINE} classifies {score['value']:.1%} of the"
        f" {row_noun} correctly, as a mean over the {n_classes} classes (balanced"
        f" accuracy; 95% interval {low:.1f} to {high:.1f}%; chance level"
        f" {1 / n_classes:.1%})."
    )


def word_comparison(scores: pd.DataFrame, differences: pd.DataFrame) -> str:
    """Word how the other feature tables do; of one table, how other classifiers do.

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
    accuracy = select_balanced_accuracy(scores, HEADLINE)
    first, *others = accuracy.index
    if not others:
        classifiers = [
            name for name in scores["classifier"].unique() if name != HEADLINE
        ]
        words = []
        for classifier in classifiers:
            value = select_balanced_accuracy(scores, classifier)["value"].iloc[0]
            words.append(f"{classifier} {value:.1%}")
        return f"Other classifiers: {', '.join(words)}."
    pairs = differences[
        (differences["classifier"] == HEADLINE) & (differences["first"] == first)
    ]
    words = [
        f"{pair.second} features reach {accuracy['value'][pair.second]:.1%}"
        f" ({word_difference(pair.value, pair.low, pair.high)})"
        for pair in pairs.itertuples()
    ]
    return f"In comparison, {'; '.join(words)}."


def word_difference(value: float, low: float, high: float) -> str:
    """Word how much less or more the second of two feature tables reaches.

    Parameters
    ----------
    value, low, high : float
        The first minus the second, from -1 to 1, with its interval.

    Returns
    -------
    str
        In percentage points.

    Examples
    --------
    >>> word_difference(0.139, 0.081, 0.19)
    '13.9 points less, 95% interval 8.1 to 19.0'
    >>> word_difference(0.01, -0.02, 0.04)
    'no difference shown, 95% interval -4.0 to 2.0 points'
    """
    points = f"{100 * abs(value):.1f} points"
    if low > 0:
        return f"{points} less, 95% interval {100 * low:.1f} to {100 * high:.1f}"
    # Seen from the second table, signs and ends of the interval change places.
    interval = f"95% interval {-100 * high:.1f} to {-100 * low:.1f}"
    if high < 0:
        return f"{points} more, {interval}"
    return f"no difference shown, {interval} points"


def word_verdict(low: float, high: float, first: str, second: str) -> str:
    """Word which of two feature tables is better, if their interval excludes zero.

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


def word_confounding(associations: pd.DataFrame) -> list[str]:
    """Word which parts of the layout are associated with the class.

    Parameters
    ----------
    associations : pandas.DataFrame
        What `stratonet_sklearn.evaluation.splits.measure_confounding` gives.

    Returns
    -------
    list of str
        Two sentences per confounded column.
    """
    warnings = []
    for name, row in associations[associations["confounded"]].iterrows():
        warnings.append(
            f"Class and {name} are associated (Cramér's V {row['cramers_v']:.2f} on a"
            f" scale from 0, none, to 1, complete; for {row['pure']:.0%} of the wells,"
            f" all wells of the same {name} have the same class). Differences between"
            f" the classes may reflect the {name} instead of the treatment."
        )
    return warnings


def draw_scores(scores: pd.DataFrame, chance: float) -> Figure:
    """Draw accuracy and macro precision, recall and F1 as bars with intervals.

    Parameters
    ----------
    scores : pandas.DataFrame
        `Evaluation.scores`. Bars are its ``value``, error bars go from ``low`` to
        ``high``.
    chance : float
        The accuracy of guessing, from 0 to 1, drawn as a line.

    Returns
    -------
    matplotlib.figure.Figure
        A panel per test set (rows) and classifier (columns).
    """
    scores = scores[scores["average"].isin(["", "macro"])]
    names = list(scores["features"].unique())
    classifiers = list(scores["classifier"].unique())
    n_legend_lines = np.ceil((len(names) + 1) / 4)
    figure = new_figure(_word_best_score(scores), 6.2 + 0.25 * n_legend_lines)
    panels = figure.subplots(
        len(TESTS), len(classifiers), sharex=True, sharey=True, squeeze=False
    )
    for row, test in zip(panels, TESTS):
        row[0].set_ylabel(f"score, {test} (0 to 1)")
        for axes, classifier in zip(row, classifiers):
            wanted = (scores["test"] == test) & (scores["classifier"] == classifier)
            _draw_score_bars(axes, scores[wanted], names)
            axes.set_title(f"{classifier}, {test}", fontsize=10)
            line = axes.axhline(chance, color="black", linestyle="--", linewidth=1)
    keys = [Patch(**get_bar_style(number)) for number in range(len(names))]
    figure.legend(
        [*keys, line],
        [*shorten_names(names), f"chance ({chance:.2f})"],
        loc="outside lower center",
        ncol=min(4, len(names) + 1),
        fontsize=8,
        frameon=False,
    )
    return figure


def _word_best_score(scores: pd.DataFrame) -> str:
    is_balanced_f1 = (scores["test"] == "balanced") & (scores["metric"] == "F1")
    best = scores[is_balanced_f1].nlargest(1, "value").iloc[0]
    return (
        f"The highest balanced F1 score is {best['value']:.2f} (95% interval"
        f" {best['low']:.2f} to {best['high']:.2f}): {best['classifier']} with"
        f" {shorten_name(best['features'])} features."
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
        # Around their own middle: the value may lie outside of its interval, and then
        # distances from the value would be negative, which matplotlib refuses.
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
    axes.set_ylim(0, 1.02)
    strip_axes(axes, "y")


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
    names = list(dict.fromkeys(name for pair in pairs for name in pair))
    short_names = dict(zip(names, shorten_names(names, 20)))
    n_clear = int(((differences["low"] > 0) | (differences["high"] < 0)).sum())
    figure = new_figure(
        f"In {n_clear} of {len(differences)} comparisons one feature table is better:"
        " the interval excludes zero.",
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
        # The first pair is at the top, with room for the words above it.
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


def _draw_difference(
    axes: Axes, y: int, interval: tuple[float, float, float], verdict: str
) -> None:
    """Draw one line: the interval, its value, and the verdict in words above."""
    low, value, high = interval
    is_clear = low > 0 or high < 0
    axes.plot([low, high], [y, y], color="black", linewidth=1.4 if is_clear else 0.8)
    # Shape and filling differ too: colour alone is not seen by everyone.
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
    # The white ground hides the zero line only, not the interval below.
    text.get_bbox_patch().set_boxstyle("square", pad=0.1)

"""Section: which features the classifiers rely on (thesis, figure 16)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, PercentFormatter

from stratonet.drawing import (
    get_bar_style,
    new_figure,
    shorten_name,
    shorten_names,
    strip_axes,
)
from stratonet_sklearn.evaluation.columns import name_feature_groups
from stratonet_sklearn.report.data import HEADLINE, ReportData
from stratonet_sklearn.report.section import Content, Numbers, Plot

# Most bars of one panel, and of the whole figure.
MOST_BARS = 20
MOST_BARS_IN_ALL = 80
BARS_WIDTH = 0.84

# By feature table and classifier: the importance of each feature, with sum 1.
Importance = Mapping[tuple[str, str], pd.Series]


def build_importance(data: ReportData) -> Content | None:
    """Show which features, and which groups of them, have the largest weight.

    Parameters
    ----------
    data : ReportData
        With an evaluation.

    Returns
    -------
    Content or None
        None if nothing was classified, or no classifier has weights.
    """
    if data.evaluation is None or not data.evaluation.importance:
        return None
    importance = data.evaluation.importance
    features = list_importance(importance)
    groups = sum_groups(features)
    # With many tables each has fewer bars, so that the figure still fits a screen.
    n_bars = min(MOST_BARS, MOST_BARS_IN_ALL // len(importance))
    return Content(
        "Which features separate the classes",
        [
            Plot(
                "importance",
                draw_importance(importance, n_bars),
                "The features with the largest weight: the size of the SVM's"
                " coefficients (features have unit variance), and the decrease in"
                " impurity in the random forest. Means over folds; the weights of all"
                " features of a table sum to 1.",
            ),
            Numbers("importance", features),
            Numbers("importance_by_part", groups),
            Plot(
                "importance_by_part",
                draw_groups(groups),
                "The same weights, summed by channel and tap, or by compartment and"
                " kind of measurement. Groups of more features sum more weights.",
            ),
        ],
    )


def list_importance(importance: Importance) -> pd.DataFrame:
    """List the importance of all features.

    Parameters
    ----------
    importance : mapping of (features, classifier) to pandas.Series
        `Evaluation.importance`.

    Returns
    -------
    pandas.DataFrame
        One row per feature: ``features`` (the table), ``classifier``, ``feature``,
        ``part`` (its group) and ``importance``.
    """
    frames = [
        pd.DataFrame(
            {
                "features": name,
                "classifier": classifier,
                "feature": weights.index,
                # Other programs read this column as ``part``.
                "part": name_feature_groups(weights.index).to_numpy(),
                "importance": weights.to_numpy(),
            }
        )
        for (name, classifier), weights in importance.items()
    ]
    return pd.concat(frames)


def sum_groups(features: pd.DataFrame) -> pd.DataFrame:
    """Sum the importance of groups of features.

    Parameters
    ----------
    features : pandas.DataFrame
        What `list_importance` gives.

    Returns
    -------
    pandas.DataFrame
        One row per group: ``features``, ``classifier``, ``part`` and ``share``.
    """
    groups = features.groupby(["features", "classifier", "part"], sort=False)
    return groups["importance"].sum().rename("share").reset_index()


def draw_importance(importance: Importance, n_bars: int = MOST_BARS) -> Figure:
    """Draw the features with the largest weight.

    Parameters
    ----------
    importance : mapping of (features, classifier) to pandas.Series
        `Evaluation.importance`: of each feature, by name, with sum 1.
    n_bars : int
        Features per panel.

    Returns
    -------
    matplotlib.figure.Figure
        A panel per feature table (rows) and classifier (columns).
    """
    names = list(dict.fromkeys(name for name, _ in importance))
    classifiers = list(dict.fromkeys(classifier for _, classifier in importance))
    # The heaviest of each classifier: SVM and forest often disagree.
    tops = {key: weights.nlargest(n_bars) for key, weights in importance.items()}
    figure = new_figure(
        _word_headline(tops, n_bars),
        0.8 + len(names) * (0.6 + 0.165 * n_bars),
    )
    panels = figure.subplots(len(names), len(classifiers), squeeze=False)
    for (name, classifier), top in tops.items():
        number = names.index(name)
        axes = panels[number, classifiers.index(classifier)]
        axes.barh(range(len(top)), top, **get_bar_style(number))
        axes.set_yticks(range(len(top)), shorten_names(top.index, 34))
        # Upside down: the heaviest is at the top.
        axes.set_ylim(n_bars - 0.4, -0.6)
        n_features = len(importance[name, classifier])
        # On the right: long names of features leave no space on the left.
        axes.set_title(
            f"{shorten_name(name)}, {classifier}: {len(top)} of {n_features:,} hold"
            f" {top.sum():.1%}",
            fontsize=9,
            loc="right",
        )
        axes.xaxis.set_major_locator(MaxNLocator(4))
        strip_axes(axes, "x")
        axes.tick_params(labelsize=7)
    figure.supxlabel(
        "share of the weight of all features of the table (they sum to 1)", fontsize=9
    )
    return figure


def draw_groups(groups: pd.DataFrame) -> Figure:
    """Draw the weight of groups of features, such as a channel at a tap.

    Parameters
    ----------
    groups : pandas.DataFrame
        Columns ``features``, ``classifier``, ``part`` and ``share``. If a table has
        more than 20 groups, those with the least weight are drawn as one.

    Returns
    -------
    matplotlib.figure.Figure
        A panel per feature table.
    """
    classifiers = groups["classifier"].unique().tolist()
    pivots = {
        name: _pivot_groups(frame, classifiers)
        for name, frame in groups.groupby("features", sort=False)
    }
    tables = {name: _merge_smallest(table) for name, table in pivots.items()}
    n_columns = min(2, len(tables))
    n_rows = -(-len(tables) // n_columns)
    most_bars = max(map(len, tables.values()))
    figure = new_figure(
        _word_groups(pivots),
        1.3 + n_rows * (0.5 + 0.2 * most_bars),
    )
    panels = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    for axes, (name, table) in zip(panels, tables.items()):
        _draw_group_bars(axes, table)
        axes.set_title(shorten_name(name, 40), fontsize=10)
    for axes in panels[len(tables) :]:
        axes.axis("off")
    figure.supxlabel("share of the weight of all features of the table", fontsize=9)
    figure.legend(
        [Patch(**get_bar_style(number)) for number in range(len(classifiers))],
        classifiers,
        loc="outside lower right",
        ncol=len(classifiers),
        fontsize=8,
        frameon=False,
    )
    return figure


def _word_headline(tops: Importance, n_bars: int) -> str:
    """Describe the weight of the first features, for the classifier of the answer."""
    words = [
        f"{top.sum():.1%} ({shorten_name(name)})"
        for (name, classifier), top in tops.items()
        if classifier == HEADLINE
    ]
    return (
        f"The {n_bars} features with the largest weight in the {HEADLINE} hold"
        f" {', '.join(words)} of the weight of all."
    )


def _word_groups(pivots: Mapping[str, pd.DataFrame]) -> str:
    words = []
    for name, table in pivots.items():
        shares = table[HEADLINE]
        group = shorten_name(shares.idxmax())
        words.append(f"{group} in {shorten_name(name)} ({shares.max():.0%})")
    return f"The group with the largest weight in the {HEADLINE}: {', '.join(words)}."


def _pivot_groups(frame: pd.DataFrame, classifiers: list[str]) -> pd.DataFrame:
    """Return shares by group (rows, the heaviest first) and classifier (columns)."""
    table = frame.pivot(index="part", columns="classifier", values="share")
    table = table.fillna(0)[classifiers]
    # A stable sort: groups of the same weight keep their order from run to run.
    order = table.mean(axis=1).sort_values(ascending=False, kind="stable")
    return table.loc[order.index]


def _merge_smallest(table: pd.DataFrame) -> pd.DataFrame:
    if len(table) <= MOST_BARS:
        return table
    n_kept = MOST_BARS - 1
    others = table.iloc[n_kept:]
    merged = table.iloc[:n_kept].copy()
    merged.loc[f"{len(others):,} others"] = others.sum()
    return merged


def _draw_group_bars(axes: Axes, table: pd.DataFrame) -> None:
    n_bars = table.shape[1]
    width = BARS_WIDTH / n_bars
    for number, classifier in enumerate(table):
        y = np.arange(len(table)) + (number - (n_bars - 1) / 2) * width
        axes.barh(y, table[classifier], width, **get_bar_style(number))
    axes.set_yticks(range(len(table)), shorten_names(table.index, 28))
    # Upside down: the heaviest is at the top.
    axes.set_ylim(len(table) - 0.4, -0.6)
    strip_axes(axes, "x")
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.xaxis.set_major_locator(MaxNLocator(5))

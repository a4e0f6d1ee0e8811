"""Section: how many independent directions the features have (thesis, figure 17)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from stratonet.drawing import (
    get_color,
    get_marker,
    new_figure,
    shorten_name,
    shorten_names,
    strip_axes,
)
from stratonet_sklearn.report.data import ReportData
from stratonet_sklearn.report.section import Content, Numbers, Plot

# Components that the title counts.
N_FIRST = 10
# With more components, only every third point has a mark.
MOST_MARKS = 12


def build_variance(data: ReportData) -> Content:
    """Show the share of the variance that each principal component explains.

    Parameters
    ----------
    data : ReportData
        Any.

    Returns
    -------
    Content
    """
    ratios = {
        name: components.variance_ratio for name, components in data.components.items()
    }
    frames = [
        pd.DataFrame(
            {
                "features": name,
                "component": np.arange(1, len(ratio) + 1),
                "variance": ratio,
            }
        )
        for name, ratio in ratios.items()
    ]
    return Content(
        "How much the features vary together",
        [
            Numbers("variance", pd.concat(frames)),
            Plot(
                "variance",
                draw_variance(ratios),
                "The share of the variance that each principal component explains, and"
                " that the first ones explain together. The fewer components explain"
                " most of it, the more the features repeat each other. Features are"
                " scaled to unit variance.",
            ),
        ],
    )


def draw_variance(ratios: Mapping[str, np.ndarray]) -> Figure:
    """Draw the variance explained by each component, and by the first ones together.

    Parameters
    ----------
    ratios : mapping of str to numpy.ndarray (n components,)
        Shares of the variance, by the name of the feature table.

    Returns
    -------
    matplotlib.figure.Figure
        Two panels, a line per feature table.
    """
    n_first = min(N_FIRST, *map(len, ratios.values()))
    # Tables are compared on as many components as all of them have.
    explained = {name: ratio[:n_first].sum() for name, ratio in ratios.items()}
    in_order = sorted(explained, key=lambda name: explained[name])
    # A single table is both the lowest and the highest.
    ends = dict.fromkeys((in_order[0], in_order[-1]))
    words = " to ".join(f"{explained[end]:.0%} ({shorten_name(end)})" for end in ends)
    figure = new_figure(
        f"The first {n_first} components explain {words} of the variance.",
        4.2 + 0.2 * np.ceil(len(ratios) / 3),
    )
    each, together = figure.subplots(1, 2)
    labels = shorten_names(ratios, 34)
    for number, (ratio, label) in enumerate(zip(ratios.values(), labels)):
        _draw_line(each, ratio, number, label)
        _draw_line(together, np.cumsum(ratio), number, label)
    each.set(title="each component", ylabel="share of the variance")
    # A cut axis would make the first components look larger.
    each.set_ylim(bottom=0)
    together.set(
        title="the first components together",
        ylabel="share of the variance, cumulative",
        ylim=(0, 1.02),
    )
    for axes in (each, together):
        axes.set_xlabel("principal component (number)")
        axes.title.set_size(10)
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        axes.xaxis.set_major_locator(MaxNLocator(10, integer=True))
        strip_axes(axes, "y")
    figure.legend(
        *each.get_legend_handles_labels(),
        loc="outside lower center",
        ncol=3,
        fontsize=8,
        frameon=False,
    )
    return figure


def _draw_line(axes: Axes, values: np.ndarray, number: int, label: str) -> None:
    # Marks of different lines begin at different points, so that they do not cover
    # each other where lines overlap.
    marked = (number % 3, 3) if len(values) > MOST_MARKS else None
    axes.plot(
        range(1, len(values) + 1),
        values,
        color=get_color(number),
        marker=get_marker(number),
        markersize=4,
        markevery=marked,
        label=label,
    )

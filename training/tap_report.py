"""Describe a table of taps in words and as a plot."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from training.tap_statistics import TOGETHER

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Colours of Okabe and Ito, which colour-blind readers can tell apart.
GREY, BLUE, RED = "#6b6b6b", "#0072B2", "#D55E00"


@dataclass(frozen=True)
class _Panel:
    """A panel of the plot, which shows one measure.

    Attributes
    ----------
    measure : str
        Column of the measure.
    label : str
        Label of the axis.
    landmark : float
        A reference value, drawn as a dotted line.
    """

    measure: str
    label: str
    landmark: float


PANELS = (
    _Panel(
        "z_prime",
        "Z'-factor of held-out wells, cut at −1\n"
        "(1 = perfect, above 0.5 = excellent assay)",
        0.5,
    ),
    _Panel(
        "balanced_accuracy",
        "Balanced accuracy\nof held-out wells\n(0.5 = chance)",
        0.5,
    ),
    _Panel(
        "distance",
        "Distance between controls\n(0 = one distribution, 1 = no spread within)",
        0,
    ),
)


def describe_table(table: pd.DataFrame) -> str:
    """Describe the table of `tap_statistics.compare_features` in words.

    Parameters
    ----------
    table : pandas.DataFrame
        The table, with the column ``alias`` added.

    Returns
    -------
    str
        Several lines: the numbers with their intervals, and what they mean.
    """
    shown = pd.DataFrame(
        {
            "alias": table.alias.fillna(""),
            "features": table.features,
            "Z' of held-out wells": _format_column(table, "z_prime"),
            "balanced accuracy": _format_column(table, "balanced_accuracy"),
            "distance": _format_column(table, "distance", digits=3),
            "p": table.distance_p.map("{:.4f}".format),
        }
    )
    lines = [shown.to_string(), "", "In brackets: 95 % intervals over wells."]
    lines += _describe_best(table, "z_prime", "Z'")
    lines += _describe_best(table, "distance", "Distance")
    perfect = _count_perfect(table)
    # Which of many blocks at 1.00 ranks first would be chance.
    if perfect > 1:
        lines.append(
            f"Balanced accuracy is 1.00 in {perfect} of {len(table)} rows: it cannot"
            " rank them."
        )
    return "\n".join(lines)


def _format_column(table: pd.DataFrame, column: str, digits: int = 2) -> list[str]:
    return [_format_interval(row, column, digits) for _, row in table.iterrows()]


def _format_interval(row: pd.Series, column: str, digits: int) -> str:
    value, lower, upper = (
        f"{row[f'{column}{end}']:.{digits}f}" for end in ("", "_lower", "_upper")
    )
    return f"{value} [{lower}, {upper}]"


def _describe_best(table: pd.DataFrame, measure: str, name: str) -> Iterator[str]:
    single = table[table.index != TOGETHER]
    best = single[measure].idxmax()
    first = single[f"{measure}_first"][best]
    sentence = (
        f"{name}: {best} is the best single tap, and ranks first in {first:.0%} of"
        " resamples."
    )
    named = single[single.alias.notna()]
    if len(named):
        ranks = zip(named.alias, named[f"{measure}_rank"])
        listed = ", ".join(f"{alias} {rank:.0f}" for alias, rank in ranks)
        sentence += f" Ranks of {len(single)}: {listed}."
    yield sentence
    if TOGETHER in table.index:
        row = table.loc[TOGETHER]
        difference = _format_interval(row, f"{measure}_minus_best", 3)
        verdict = _judge(row, f"{measure}_minus_best")
        yield f"    together - {best}: {difference}, {verdict}."


def _judge(row: pd.Series, column: str) -> str:
    # Judged by the interval alone, since the best tap was chosen on the same wells.
    if row[f"{column}_lower"] > 0:
        return "better"
    if row[f"{column}_upper"] < 0:
        return "worse"
    return "no clear difference"


def _count_perfect(table: pd.DataFrame) -> int:
    return int((table.balanced_accuracy == 1).sum())


def draw_table(table: pd.DataFrame, title: str, path: Path) -> None:
    """Draw the three measures by tap, in the order of the network, as a PNG.

    Parameters
    ----------
    table : pandas.DataFrame
        As `describe_table` takes it.
    title : str
        Title above the panels.
    path : pathlib.Path
        The file to write.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import FixedLocator

    single = table.index != TOGETHER
    # All taps together are drawn a little apart, after the last tap.
    x = np.arange(len(table)) + np.where(single, 0, 0.3)
    figure = Figure(figsize=(11.6, 9.6), layout="constrained")
    panels = figure.subplots(len(PANELS), 1, sharex=True, height_ratios=[3, 2, 3])
    for axes, panel in zip(panels, PANELS):
        _draw_measure(axes, table, x, panel)
    accuracy, last = panels[1], panels[-1]
    accuracy.yaxis.set_major_locator(FixedLocator(np.linspace(0, 1, 5)))
    perfect = _count_perfect(table)
    if perfect > 1:
        note = f"{perfect} of {len(table)} at 1.00: accuracy cannot rank them"
        accuracy.text(x[0], 0.54, note)
    # The names of the many blocks of deeper networks do not fit side by side.
    last.set_xticks(x, _shorten_taps(table), rotation=90 if len(table) > 16 else 0)
    last.set_xlabel(
        "block, in the order of the network (bars: 95 % intervals over wells; dashed:"
        " named taps together)"
    )
    # Labels of two and three lines would otherwise not be aligned.
    figure.align_ylabels(panels)
    figure.suptitle(title)
    figure.savefig(path, dpi=110, format="png")


def _draw_measure(
    axes: Axes, table: pd.DataFrame, x: np.ndarray, panel: _Panel
) -> None:
    # Below -1 a Z'-factor only says that the controls are not separated, and it has no
    # lower limit.
    value, lower, upper = (
        table[f"{panel.measure}{end}"].clip(lower=-1)
        for end in ("", "_lower", "_upper")
    )
    single, named = table.index != TOGETHER, table.alias.notna()
    axes.axhline(panel.landmark, color="#b0b0b0", linewidth=1, linestyle=":", zorder=0)
    styles = (
        (single & ~named, "o", GREY),
        (named, "s", BLUE),
        (~single, "D", RED),
    )
    for rows, marker, color in styles:
        axes.vlines(x[rows], lower[rows], upper[rows], color=color, linewidth=2)
        axes.plot(x[rows], value[rows], marker, color=color, markersize=8)
    for position in np.flatnonzero(named):
        axes.annotate(
            table.alias.iloc[position],
            (x[position], upper.iloc[position]),
            (0, 9),
            textcoords="offset points",
            ha="center",
            color=BLUE,
            weight="bold",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
        )
    # A line for comparison; NaN draws none if there are no taps together.
    together = value.get(TOGETHER, np.nan)
    axes.axhline(together, color=RED, linewidth=1, linestyle="--", zorder=0)
    axes.margins(x=0.03, y=0.2)
    axes.set_ylabel(panel.label)
    axes.spines[["top", "right"]].set_visible(False)


def _shorten_taps(table: pd.DataFrame) -> list[str]:
    """Shorten conv3_block4_out to conv3.4; list the aliases of all taps together."""
    names = [
        tap.removesuffix("_out").replace("_block", ".")
        for tap in table.index
        if tap != TOGETHER
    ]
    if TOGETHER in table.index:
        # One below the other: side by side they would overlap the neighbouring label.
        names.append("\n+ ".join(table.alias.dropna()))
    return names

"""Section: which treatments are active."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from stratonet.drawing import get_color, new_figure, shorten_names, strip_axes
from stratonet.messages import count_things, shorten_list
from stratonet_sklearn.evaluation.hits import TREATED
from stratonet_sklearn.evaluation.screen import Screen
from stratonet_sklearn.report.data import ReportData
from stratonet_sklearn.report.section import (
    Block,
    Caution,
    Content,
    Numbers,
    Paragraph,
    Plot,
    Table,
    format_numbers,
)
from stratonet_sklearn.report.thumbnails import (
    MOST_ROWS,
    list_pictured_wells,
)

TITLE = "Which treatments are active?"
MOST_NAMED = 12
# Size of a name in the figure, as shares of the width and height of the figure.
NAME_WIDTH, NAME_HEIGHT = 0.16, 0.05
X_LABEL = "distance from the negative controls (1: a typical control)"
Y_LABEL = "mean average precision (0 to 1)"
# Fewer objects than this share of the controls': a sign of toxicity.
TOXIC = 0.5
SIGNIFICANT = 0.05


def build_hits(data: ReportData) -> Content | None:
    """List the treatments, the active ones first.

    Parameters
    ----------
    data : ReportData
        With compounds.

    Returns
    -------
    Content or None
        None without a column of compounds.
    """
    screen = data.compound_screen
    if screen is None or screen.hits.empty:
        return None
    hits = screen.hits
    blocks: list[Block] = [Caution(text) for text in screen.warnings]
    blocks += [Caution(text) for text in warn_of_counts(hits)]
    blocks += [Paragraph(text) for text in word_limits(hits)]
    blocks += [Numbers("hits", hits), Numbers("compounds", screen.compounds)]
    if hits["mean_average_precision"].notna().any() and hits["distance"].notna().any():
        blocks.append(_show_scatter(screen))
    blocks.append(
        Table(
            tabulate_hits(hits),
            f"Treatments, the active ones first ({min(len(hits), MOST_ROWS)} of"
            f" {len(hits):,}; all are in numbers/hits.csv). mAP: mean average precision"
            " with which the wells of a treatment find each other among negative"
            " controls; in brackets, the value expected by chance. p: from random"
            " ranks, corrected for comparing many treatments (5% false discoveries)."
            " Distance: from the negative controls; 1 is that of a typical control."
            " Objects: their number, relative to the controls.",
            list_pictured_wells(screen),
        )
    )
    return Content(TITLE, blocks)


def warn_of_counts(hits: pd.DataFrame) -> list[str]:
    """Warn of active treatments with few objects.

    Parameters
    ----------
    hits : pandas.DataFrame
        From `stratonet_sklearn.evaluation.hits.list_hits`.

    Returns
    -------
    list of str
    """
    few = hits[hits["active"] & (hits["relative_count"] < TOXIC)]
    if few.empty:
        return []
    have = "has" if len(few) == 1 else "have"
    return [
        f"{count_things(len(few), 'active treatment')} {have} less than {TOXIC:.0%} of"
        " the objects of the negative controls:"
        f" {shorten_list(few['treatment'].tolist(), 3)}. The effect may be toxicity."
    ]


def word_limits(hits: pd.DataFrame) -> list[str]:
    """Describe what the replicates and controls allow, and what was not tested.

    Parameters
    ----------
    hits : pandas.DataFrame
        From `stratonet_sklearn.evaluation.hits.list_hits`.

    Returns
    -------
    list of str
    """
    treated = hits[hits["role"] == TREATED]
    tested = treated[treated["p"].notna()]
    texts = []
    if len(tested):
        smallest = tested["smallest_p"]
        text = (
            f"With {_word_range(tested['n_wells'])} wells per treatment, the smallest"
            f" possible p is {smallest.min():.2g}"
        )
        if smallest.max() > 1.05 * smallest.min():
            text += f" to {smallest.max():.2g}"
        # Benjamini and Hochberg: none is active unless this many share the smallest p.
        needed = int(np.ceil(len(tested) * smallest.min() / SIGNIFICANT))
        if needed > len(tested):
            text += ": no treatment can be called active"
        elif needed > 1:
            text += (
                f": corrected for {len(tested):,} comparisons, no treatment is called"
                f" active unless {needed:,} reach it"
            )
        texts.append(f"{text}.")
    untested = treated[treated["p"].isna()]
    for reason, rows in untested.groupby("note"):
        names = shorten_list(rows["treatment"].tolist(), 3)
        number = count_things(len(rows), "treatment")
        texts.append(f"Not tested ({reason}): {number} ({names}).")
    return texts


def _word_range(numbers: pd.Series) -> str:
    low, high = numbers.min(), numbers.max()
    return f"{low}" if low == high else f"{low} to {high}"


def tabulate_hits(hits: pd.DataFrame) -> pd.DataFrame:
    """Write the first treatments as texts.

    Parameters
    ----------
    hits : pandas.DataFrame
        From `stratonet_sklearn.evaluation.hits.list_hits`.

    Returns
    -------
    pandas.DataFrame
        With headings for readers.
    """
    shown = hits.head(MOST_ROWS)
    frame = pd.DataFrame(
        {
            "Treatment": shown["treatment"],
            "Active": np.where(shown["active"], "yes", ""),
            "Wells": [_word_wells(row) for row in shown.to_dict("records")],
            "mAP (by chance)": [_word_map(row) for row in shown.to_dict("records")],
            "p, corrected": format_numbers(shown["corrected_p"], ".2g"),
            "Distance": format_numbers(shown["distance"], ".2f"),
            "Axis": format_numbers(shown["axis"], ".2f"),
            "Objects": format_numbers(shown["relative_count"], ".0%"),
            "Position": shown["position"],
        }
    )
    # Leave out empty columns.
    return frame.loc[:, (frame != "").any()]


def _word_wells(row: dict[str, Any]) -> str:
    wells = row["wells"].split(" ")
    text = " ".join(wells[:4])
    if len(wells) > 4:
        text += f" and {len(wells) - 4} more"
    return text if row["n_plates"] == 1 else f"{text}, on {row['n_plates']} plates"


def _word_map(row: dict[str, Any]) -> str:
    value = row["mean_average_precision"]
    return "" if np.isnan(value) else f"{value:.2f} ({row['by_chance']:.2f})"


def _show_scatter(screen: Screen) -> Plot:
    return Plot(
        "hits",
        draw_hits(screen.hits),
        "Each treatment by its distance from the negative controls (1 is that of a"
        " typical control) and by the mean average precision with which its wells find"
        " each other among these. Active treatments are far from the controls, and"
        " their wells are alike. Some of the farthest are named. Point at a dot to see"
        " the treatment's well of median distance.",
        wells=list_middle_wells(screen),
        labels=(X_LABEL, Y_LABEL),
    )


def list_middle_wells(screen: Screen) -> pd.DataFrame:
    """List treatments for `Plot.wells`, each by its well of median distance.

    Parameters
    ----------
    screen : Screen
        With treatments.

    Returns
    -------
    pandas.DataFrame
        One row per treatment with a distance and a mean average precision.
    """
    hits = screen.hits.dropna(subset=["mean_average_precision", "distance"])
    points = hits.join(screen.middle_wells, on="treatment")
    activity = np.where(points["active"], "active", "not active")
    return pd.DataFrame(
        {
            "plate": points["plate"],
            "well": points["well"],
            "x": points["distance"],
            "y": points["mean_average_precision"],
            "activity": np.where(points["role"] == TREATED, activity, points["role"]),
            "distance": points["distance"],
            "mAP": points["mean_average_precision"],
            "p, corrected": points["corrected_p"],
        }
    )


def _choose_named(active: pd.DataFrame, drawn: pd.DataFrame) -> pd.DataFrame:
    """Choose the farthest active treatments whose names do not cover each other."""
    points = drawn[["distance", "mean_average_precision"]]
    extent = (points.max() - points.min()).clip(lower=1e-9).to_numpy()
    chosen: list[int] = []
    taken_positions: list[np.ndarray] = []
    for number, point in active.nlargest(len(active), "distance")[
        list(points)
    ].iterrows():
        position = point.to_numpy() / extent
        gaps = [np.abs(position - taken) for taken in taken_positions]
        if all(gap[0] > NAME_WIDTH or gap[1] > NAME_HEIGHT for gap in gaps):
            chosen.append(int(number))
            taken_positions.append(position)
    return active.loc[chosen[:MOST_NAMED]]


def draw_hits(hits: pd.DataFrame) -> Figure:
    """Draw treatments by distance and mean average precision.

    Parameters
    ----------
    hits : pandas.DataFrame
        From `stratonet_sklearn.evaluation.hits.list_hits`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    drawn = hits.dropna(subset=["mean_average_precision", "distance"])
    treated = drawn[drawn["role"] == TREATED]
    n_active = int(treated["active"].sum())
    figure = new_figure(
        f"{n_active:,} of {count_things(len(treated), 'treatment')}"
        f" {'differs' if n_active == 1 else 'differ'} from the negative controls.",
        4.6,
    )
    axes = figure.subplots()
    groups = {
        "not active": (treated[~treated["active"]], "0.6", "o"),
        "active": (treated[treated["active"]], get_color(0), "o"),
        "positive control": (drawn[drawn["role"] != TREATED], get_color(3), "^"),
    }
    for label, (rows, color, marker) in groups.items():
        if len(rows):
            axes.scatter(
                rows["distance"],
                rows["mean_average_precision"],
                s=22,
                color=color,
                marker=marker,
                label=f"{label} ({len(rows):,})",
            )
    named = _choose_named(groups["active"][0], drawn)
    for name, row in zip(shorten_names(named["treatment"]), named.itertuples()):
        point = (row.distance, row.mean_average_precision)
        axes.annotate(name, point, (3, 3), textcoords="offset points", fontsize=7)
    axes.axvline(1, color="0.4", linestyle="--", linewidth=0.8)
    axes.set_xlabel(X_LABEL)
    axes.set_ylabel(Y_LABEL)
    axes.set_ylim(0, 1.08)
    strip_axes(axes)
    axes.legend(fontsize=8, frameon=False, loc="lower right")
    return figure

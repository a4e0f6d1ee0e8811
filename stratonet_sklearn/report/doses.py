"""Section: at which dose compounds act."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stratonet.drawing import get_color, new_figure, shorten_name, strip_axes
from stratonet.messages import count_things
from stratonet_sklearn.evaluation.doses import Curve, parse_doses
from stratonet_sklearn.evaluation.headline import format_number
from stratonet_sklearn.evaluation.screen import AXIS, Screen
from stratonet_sklearn.report.data import ReportData
from stratonet_sklearn.report.section import (
    Block,
    Content,
    Numbers,
    Paragraph,
    Plot,
    Table,
    format_numbers,
)

TITLE = "At which dose?"
MOST_PANELS = 12
MOST_ROWS = 40
PANELS_PER_ROW = 3
# Negative controls are drawn at the lowest dose divided by this.
ZERO_DOSE_DIVISOR = 5
RESPONSES = {
    "axis": "along the axis of the controls (0: negative, 1: positive)",
    "distance": "distance from the negative controls (1: a typical control)",
}


def build_doses(data: ReportData) -> Content | None:
    """Show the response to doses, and at which dose half of it is reached.

    Parameters
    ----------
    data : ReportData
        With columns of compounds and doses.

    Returns
    -------
    Content or None
        None without doses.
    """
    screen = data.compound_screen if data.treatments.dose else None
    if screen is None or screen.doses.empty:
        return None
    doses = _order_doses(screen)
    shown = doses[doses["response"] == screen.dose_response]
    blocks: list[Block] = [Numbers("doses", doses)]
    drawn = shown[shown["bottom"].notna()].head(MOST_PANELS)
    if len(drawn):
        blocks.append(_show_curves(screen, drawn, len(shown)))
    blocks.append(
        Table(
            tabulate_doses(doses.head(MOST_ROWS)),
            "Half-maximal doses (EC50) with 95% intervals, from four-parameter curves"
            " fitted to all wells, with negative controls as dose 0"
            f" ({count_things(len(doses), 'curve')}, all in numbers/doses.csv). If"
            " there is no EC50, the last column says why.",
        )
    )
    if (doses["unit"] == "").all():
        blocks.append(
            Paragraph(
                "The doses have no unit. Add it to the values (10 nM) or to the name of"
                " their column (Metadata_Dose_nM)."
            )
        )
    return Content(TITLE, blocks)


def _order_doses(screen: Screen) -> pd.DataFrame:
    """Sort doses: active compounds first, then by EC50, the lowest first."""
    active = screen.compounds.loc[screen.compounds["active"], "compound"]
    doses = screen.doses.assign(
        inactive=~screen.doses["compound"].isin(active),
        other=screen.doses["response"] != screen.dose_response,
    )
    order = ["other", "inactive", "ec50", "compound"]
    doses = doses.sort_values(order, na_position="last", ignore_index=True)
    return doses.drop(columns=["inactive", "other"])


def tabulate_doses(doses: pd.DataFrame) -> pd.DataFrame:
    """Write curves as texts.

    Parameters
    ----------
    doses : pandas.DataFrame
        From `stratonet_sklearn.evaluation.doses.fit_doses`.

    Returns
    -------
    pandas.DataFrame
        With headings for readers.
    """
    frame = pd.DataFrame(
        {
            "Compound": doses["compound"],
            "Response": doses["response"],
            "Doses, wells": [
                f"{row['n_doses']}, {row['n_wells']}"
                for row in doses.to_dict("records")
            ],
            "EC50 (95% interval)": [
                _word_ec50(row) for row in doses.to_dict("records")
            ],
            "Slope": format_numbers(doses["slope"], ".1f"),
            "R²": format_numbers(doses["r_squared"], ".2f"),
            "No EC50, because": doses["note"],
        }
    )
    return frame.loc[:, (frame != "").any()]


def _word_ec50(row: dict[str, Any]) -> str:
    if np.isnan(row["ec50"]):
        return ""
    middle, low, high = (format_number(row[name]) for name in ("ec50", "low", "high"))
    return f"{middle} ({low} to {high}) {row['unit']}".strip()


def _show_curves(screen: Screen, drawn: pd.DataFrame, n_compounds: int) -> Plot:
    response = screen.dose_response
    return Plot(
        "doses",
        draw_curves(screen, drawn),
        f"The response of each well, {RESPONSES[response]}, and the fitted curve; the"
        " dashed line is the EC50 with its 95% interval, if there is one. Negative"
        " controls are drawn apart, on the left. Shown:"
        f" {len(drawn)} of {count_things(n_compounds, 'compound')}, the active ones"
        " first.",
    )


def draw_curves(screen: Screen, doses: pd.DataFrame) -> Figure:
    """Draw dose-response curves, a panel per compound.

    Parameters
    ----------
    screen : Screen
        The screen of the curves.
    doses : pandas.DataFrame
        Rows of `fit_doses` with a curve, of one response.

    Returns
    -------
    matplotlib.figure.Figure
    """
    n_rows = -(-len(doses) // PANELS_PER_ROW)
    n_columns = min(PANELS_PER_ROW, len(doses))
    figure = new_figure(_word_curves(doses), 0.9 + 2.7 * n_rows)
    panels = figure.subplots(n_rows, n_columns, squeeze=False, sharey=True).ravel()
    response = screen.responses[screen.dose_response].to_numpy()
    for axes, row in zip(panels, doses.to_dict("records")):
        _draw_curve(axes, screen, row, response)
    for axes in panels[len(doses) :]:
        axes.axis("off")
    figure.supylabel(
        "along the axis" if screen.dose_response == AXIS else "distance", fontsize=9
    )
    figure.supxlabel("dose (logarithmic)", fontsize=9)
    return figure


def _word_curves(doses: pd.DataFrame) -> str:
    n_fitted = int(doses["ec50"].notna().sum())
    if not n_fitted:
        return "No compound shown has a curve between two plateaus."
    return (
        f"{n_fitted} of {count_things(len(doses), 'compound')} shown"
        f" {'has' if n_fitted == 1 else 'have'} an EC50 within the doses."
    )


def _draw_curve(
    axes: Axes, screen: Screen, row: dict[str, Any], response: np.ndarray
) -> None:
    wells = screen.wells
    chosen = wells.treated & (wells.rows["compound"] == row["compound"]).to_numpy()
    numbers, _ = parse_doses(wells.rows.loc[chosen, "dose"])
    axes.set_xscale("log")
    # A logarithmic axis has no dose 0.
    at_zero = np.full(int(wells.negative.sum()), row["lowest_dose"] / ZERO_DOSE_DIVISOR)
    axes.scatter(at_zero, response[wells.negative], s=12, color="0.6", marker="s")
    axes.scatter(numbers, response[chosen], s=14, color=get_color(0))
    curve = Curve(row["bottom"], row["top"], row["log_ec50"], row["slope"])
    grid = np.geomspace(row["lowest_dose"], row["highest_dose"], 100)
    axes.plot(grid, curve.predict(grid), color="black", linewidth=1.2)
    if np.isfinite(row["ec50"]):
        color = get_color(3)
        axes.axvline(row["ec50"], color=color, linestyle="--", linewidth=1)
        axes.axvspan(row["low"], row["high"], color=color, alpha=0.2, linewidth=0)
    unit = f" ({row['unit']})" if row["unit"] else ""
    axes.set_title(shorten_name(row["compound"], 30) + unit, fontsize=9)
    strip_axes(axes)

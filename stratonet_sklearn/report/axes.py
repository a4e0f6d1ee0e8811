"""Axes of a plate, which several sections use."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from stratonet.drawing import strip_axes
from stratonet.tables.wells import ROW_LETTERS

# Most ticks along rows and columns: those of a plate of 96 wells.
MOST_TICKS = (8, 12)


def label_plate_axes(axes: Axes, n_rows: int, n_columns: int) -> None:
    """Label the axes of a plate with letters and numbers.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Shows an image of one pixel per well.
    n_rows, n_columns : int
        Of the plate.
    """
    strip_axes(axes)
    row_step = -(-n_rows // MOST_TICKS[0])
    column_step = -(-n_columns // MOST_TICKS[1])
    axes.set_yticks(range(0, n_rows, row_step))
    axes.set_xticks(range(0, n_columns, column_step))
    axes.yaxis.set_major_formatter(FuncFormatter(_format_row))
    axes.xaxis.set_major_formatter(FuncFormatter(_format_column))
    axes.tick_params(labelsize=7)


def _format_row(row: float, position: int | None) -> str:
    return ROW_LETTERS[int(row)]


def _format_column(column: float, position: int | None) -> str:
    return f"{column + 1:.0f}"

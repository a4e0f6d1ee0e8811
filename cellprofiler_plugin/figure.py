"""The figure of MeasureStratoFeatures: what the network has seen, and what is odd.

It draws the result of `pictures.make_pictures`, in the process of the window.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cellprofiler_plugin.pictures import EXAMPLES, compute_image_unlikeness
from stratonet.drawing import get_color

if TYPE_CHECKING:
    from cellprofiler.gui.figure import Figure
    from matplotlib.axes import Axes

    from cellprofiler_plugin.pictures import (
        ObjectPictures,
        Pictures,
        PlanePicture,
        Strips,
    )

# Image sets that a window remembers.
MOST_IMAGE_SETS = 200
# The markers differ as well as the colours: square, diamond, dot.
TYPICAL, ODD, CENTER = get_color(0), get_color(3), get_color(6)
OTHERS = "#999999"
# With more tap labels than this in a row of charts, they would touch each other.
MOST_LEVEL_LABELS = 9
# Share of its cell that a crop fills; the rest is margin.
TILE_SIDE = 0.95


@dataclass(frozen=True)
class Dots:
    """Dots of a chart: how unlike the others each image set or object is.

    Attributes
    ----------
    unlikeness : numpy.ndarray (n, images, taps)
    numbers : sequence of int
        Numbers of the image sets or objects, as the user knows them.
    typical, odd : sequence of int
        Rows to mark.
    """

    unlikeness: np.ndarray
    numbers: Sequence[int]
    typical: Sequence[int]
    odd: Sequence[int]

    def list_marked_rows(self) -> list[tuple[Sequence[int], str, str]]:
        """List the rows to mark, with the colour and the marker of each."""
        return [(list(self.typical), TYPICAL, "s"), (list(self.odd), ODD, "D")]


def draw_pictures(
    window: Figure,
    pictures: Pictures,
    strips: Strips,
    run: Any,
    number: int,
) -> None:
    """Draw into a CellProfiler figure, with a column per image.

    From top to bottom: the planes; how unlike the others the image set is; and for the
    objects of each name, how unlike the others they are, and crops of some.

    Parameters
    ----------
    window : cellprofiler.gui.figure.Figure
        The figure, which remembers the image sets of this run for as long as it is
        open.
    pictures : dict
        From `make_pictures`.
    strips : mapping of str to sequence of slice
        For the features of images, from `pictures.list_strips`; each tap gets a strip.
    run : object
        What image sets must have in common to be compared.
    number : int
        Number of the image set.
    """
    images, objects = pictures["planes"], pictures["objects"]
    has_image_sets = pictures["features"] is not None
    rows = 1 + has_image_sets + 2 * len(objects)
    window.set_subplots((len(images), rows))
    for column, plane in enumerate(images):
        _draw_plane(window.subplot(column, 0), plane, len(images))
    row = 1
    if pictures["features"] is not None:
        history = _remember_image_set(window, run, number, pictures["features"])
        for column in range(len(images)):
            chart = window.subplot(column, row)
            _draw_image_sets(chart, history, number, column, strips)
        row += 1
    for group in objects:
        for column in range(len(images)):
            _draw_squares(window.subplot(column, 0), group, pictures["size"])
            _draw_objects(window.subplot(column, row), group, column, list(strips))
            _draw_tiles(window.subplot(column, row + 1), group, column)
        row += 2


def mark_functions(
    window: Figure, images: Sequence[str], functions: Sequence[str]
) -> None:
    """Mark images that are illumination functions in their titles.

    Parameters
    ----------
    window : cellprofiler.gui.figure.Figure
        The figure in which `draw_pictures` has drawn.
    images : sequence of str
        Names of the images, in the order of the columns.
    functions : sequence of str
        Names of the images to mark.
    """
    for column, name in enumerate(images):
        if name in functions:
            axes = window.subplot(column, 0)
            words = f"{axes.get_title()}\nillumination function"
            axes.set_title(words, fontsize=8, color=ODD)


def write_footer(window: Figure, words: str) -> None:
    """Write a line below the figure.

    Parameters
    ----------
    window : cellprofiler.gui.figure.Figure
        The figure in which `draw_pictures` has drawn.
    words : str
        The line.
    """
    window.figure.supxlabel(words, fontsize=8)


def _remember_image_set(
    window: Figure, run: Any, number: int, features: np.ndarray
) -> dict[int, np.ndarray]:
    """Add this image set; return the features (images, width) of all, by number."""
    if getattr(window, "strato_run", None) != run:
        # Kept in the window, because CellProfiler copies the module.
        window.strato_run, window.strato_features = run, {}
    history = window.strato_features
    # If measured again, it becomes the newest: the oldest are forgotten first.
    history.pop(number, None)
    history[number] = features
    for oldest in list(history)[:-MOST_IMAGE_SETS]:
        del history[oldest]
    return dict(sorted(history.items()))


def _draw_plane(axes: Axes, plane: PlanePicture, columns: int) -> None:
    axes.set_title(textwrap.fill(plane["name"], max(12, 80 // columns)), fontsize=8)
    axes.set_axis_off()
    if plane["grey"] is None:
        axes.text(0.5, 0.5, "no pixel to measure", ha="center", va="center", fontsize=8)
        return
    # The network sees a whole image as a square; people recognise it in its own shape.
    height, width = plane["shape"][:2]
    _draw_grey(axes, plane["grey"], (-0.5, width - 0.5, height - 0.5, -0.5))
    for left, top, across, down in plane["tiles"]:
        _draw_frame(axes, left - 0.5, top - 0.5, (across, down), CENTER, 0.5)
    # Frames must not make the picture smaller.
    axes.autoscale(False)


def _draw_grey(
    axes: Axes, grey: np.ndarray, extent: tuple[float, float, float, float]
) -> None:
    axes.imshow(grey, "gray", vmin=0, vmax=255, extent=extent)


def _draw_image_sets(
    chart: Axes,
    history: Mapping[int, np.ndarray],
    number: int,
    column: int,
    strips: Strips,
) -> None:
    chart.set_title(f"image set {number}", fontsize=8, color=ODD)
    if len(history) > 1:
        numbers = list(history)
        features = np.stack(list(history.values()))
        unlikeness = compute_image_unlikeness(features, strips)
        dots = Dots(unlikeness, numbers, [], [numbers.index(number)])
        _draw_strips(chart, dots, column, list(strips))
        return
    chart.set_axis_off()
    if column == 0:
        hint = "Go on to the next image set to compare."
        text = chart.text(0, 0.5, hint, fontsize=8)
        # It spans all columns: the layout must not widen the first one for it.
        text.set_in_layout(False)


def _draw_squares(axes: Axes, pictures: ObjectPictures, size: int) -> None:
    """Draw the positions of objects, and squares around those shown below."""
    centers = pictures["centers"]
    axes.plot(centers[:, 1], centers[:, 0], ".", color=CENTER, markersize=1)
    for rows, color in ((pictures["typical"], TYPICAL), (pictures["odd"], ODD)):
        for row in rows:
            # The same pixels as stratonet.crops.crop_square; edges lie between pixels.
            top, left = np.round(centers[row]) - size // 2 - 0.5
            _draw_frame(axes, left, top, (size, size), color)
    # Squares that reach over the border must not make the picture smaller.
    axes.autoscale(False)


def _draw_frame(
    axes: Axes,
    left: float,
    top: float,
    size: tuple[float, float],
    color: str,
    linewidth: float = 1.2,
) -> None:
    width, height = size
    across = left + width * np.array([0, 1, 1, 0, 0])
    down = top + height * np.array([0, 0, 1, 1, 0])
    axes.plot(across, down, color=color, linewidth=linewidth)


def _draw_objects(
    chart: Axes, pictures: ObjectPictures, column: int, taps: Sequence[str]
) -> None:
    unlikeness = pictures["unlikeness"]
    count = len(unlikeness)
    chart.set_title(f"{count:,} {pictures['name']}", fontsize=8)
    numbers = range(1, count + 1)
    dots = Dots(unlikeness, numbers, pictures["typical"], pictures["odd"])
    _draw_strips(chart, dots, column, taps)


def _draw_strips(chart: Axes, dots: Dots, column: int, taps: Sequence[str]) -> None:
    """Draw a strip of dots for each tap, in the order of the numbers."""
    values = dots.unlikeness[:, column]
    # Strips of neighbouring taps do not touch: 0.24 of the distance stays free.
    offsets = np.linspace(-0.38, 0.38, len(values))
    if len(values) == 1:
        offsets = np.zeros(1)
    for tap in range(len(taps)):
        _draw_strip(chart, dots, tap + offsets, values[:, tap])
    chart.set_xlim(-0.5, len(taps) - 0.5)
    # All columns have the same scale, so that channels can be compared. There is room
    # for the number above the highest dot. At least 0.1, or noise would fill the chart
    # if all are alike.
    chart.set_ylim(0, 1.25 * max(0.1, np.nanmax(dots.unlikeness, initial=0)))
    _label_taps(chart, taps, columns=dots.unlikeness.shape[1])
    chart.tick_params(labelsize=7, labelleft=column == 0, pad=1)
    if column == 0:
        chart.set_ylabel("unlike the median", fontsize=8)


def _draw_strip(
    chart: Axes, dots: Dots, positions: np.ndarray, values: np.ndarray
) -> None:
    """Draw the dots of one tap: all, the marked ones, and the number of the highest."""
    chart.plot(positions, values, "o", color=OTHERS, markersize=3, markeredgewidth=0)
    for rows, color, mark in dots.list_marked_rows():
        chart.plot(
            positions[rows],
            values[rows],
            mark,
            color=color,
            markersize=4,
            markeredgecolor="k",
        )
    if np.isfinite(values).any():
        highest = np.nanargmax(values)
        chart.annotate(
            dots.numbers[highest],
            (positions[highest], values[highest]),
            xytext=(0, 3),
            textcoords="offset points",
            ha="center",
            fontsize=7,
        )


def _label_taps(chart: Axes, taps: Sequence[str], columns: int) -> None:
    chart.set_xticks(range(len(taps)))
    if len(taps) * columns > MOST_LEVEL_LABELS:
        chart.set_xticklabels(taps, rotation=30, ha="right")
    else:
        chart.set_xticklabels(taps)


def _draw_tiles(axes: Axes, pictures: ObjectPictures, column: int) -> None:
    """Draw typical objects above odd ones, each with its number."""
    axes.set_axis_off()
    crops = list(pictures["crops"][column])
    typical, odd = pictures["typical"], pictures["odd"]
    _draw_tile_row(axes, 0, typical, crops[: len(typical)], TYPICAL)
    _draw_tile_row(axes, 1, odd, crops[len(typical) :], ODD)
    if column == 0:
        _label_tile_row(axes, 0, "typical", typical, TYPICAL)
        _label_tile_row(axes, 1, "odd", odd, ODD)
    axes.set_xlim(0, EXAMPLES)
    axes.set_ylim(2, 0)


def _draw_tile_row(
    axes: Axes,
    down: int,
    rows: Sequence[int],
    crops: Sequence[np.ndarray | None],
    color: str,
) -> None:
    box = {"facecolor": color, "pad": 0.5, "linewidth": 0}
    for across, (row, grey) in enumerate(zip(rows, crops)):
        if grey is not None:
            _draw_grey(axes, grey, (across, across + TILE_SIDE, down + TILE_SIDE, down))
        _draw_frame(axes, across, down, (TILE_SIDE, TILE_SIDE), color)
        axes.text(
            across + 0.03,
            down + 0.03,
            str(row + 1),
            va="top",
            fontsize=6,
            color="w",
            bbox=box,
        )


def _label_tile_row(
    axes: Axes, down: int, label: str, rows: Sequence[int], color: str
) -> None:
    if not rows:
        return
    axes.text(
        -0.1,
        down + 0.5,
        label,
        rotation=90,
        ha="right",
        va="center",
        fontsize=8,
        color=color,
    )

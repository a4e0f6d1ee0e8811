"""What the figures of the report and of CellProfiler share: size, colours, names."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from stratonet.extras import name_missing_extra

with name_missing_extra("Drawing", "evaluate"):
    from matplotlib.figure import Figure

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable

DPI = 110
# A few hot pixels would make everything else black.
SHOWN_PERCENTILES = (0.1, 99.9)
WIDTH = 10  # inches
TITLE_WIDTH = 115  # characters in a line of a figure's title
# Okabe and Ito's colours, which people who cannot tell red from green can distinguish
# (Color Universal Design, 2008).
COLORS = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#56B4E9",
    "#CC79A7",
    "#F0E442",
    "#000000",
)
# The numbers of colours and of marks have no common divisor, so 56 pairs differ.
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
HATCHES = ("", "///", "...", "\\\\\\", "xxx", "ooo", "---")


def new_figure(title: str, height: float) -> Figure:
    """Make a figure of the report's width with a title.

    Parameters
    ----------
    title : str
        A sentence that says what the figure shows.
    height : float
        In inches.

    Returns
    -------
    matplotlib.figure.Figure
    """
    # Not pyplot's: such a figure needs no window, and is freed when no longer used.
    figure = Figure((WIDTH, height), dpi=DPI, layout="constrained")
    lines = textwrap.fill(title, TITLE_WIDTH)
    figure.suptitle(lines, x=0.01, ha="left", fontsize=11)
    return figure


def get_color(number: int) -> str:
    """Return the colour of a number, from 0; the ninth is the first again.

    Examples
    --------
    >>> get_color(0), get_color(8)
    ('#0072B2', '#0072B2')
    """
    return COLORS[number % len(COLORS)]


def get_marker(number: int) -> str:
    """Return the mark of a number, from 0; the eighth is the first again.

    Examples
    --------
    >>> get_marker(0), get_marker(8)
    ('o', 's')
    """
    return MARKERS[number % len(MARKERS)]


def get_bar_style(number: int) -> dict[str, Any]:
    """Return the colour and hatch of a bar, as keywords of a matplotlib patch.

    Examples
    --------
    >>> get_bar_style(1)["hatch"]
    '///'
    """
    return {
        "facecolor": get_color(number),
        "hatch": HATCHES[number % len(HATCHES)],
        "edgecolor": "white",
        "linewidth": 0.3,
    }


def shorten_name(name: object, most: int = 24) -> str:
    """Shorten a name for a figure, with an ellipsis in its middle.

    Parameters
    ----------
    name : object
        Shown as a text.
    most : int
        Number of characters.

    Returns
    -------
    str
        The text for matplotlib, which may be some characters longer.

    Examples
    --------
    >>> shorten_name("aphidicolin, 3 µM", most=9)
    'aphi…3 µM'
    """
    name = str(name)
    if len(name) > most:
        begin = name[: most // 2]
        end = name[len(name) - (most - 1) // 2 :]
        name = f"{begin}…{end}"
    # Text between two dollars would be read as mathematics, and legends leave out names
    # that begin with an underscore.
    name = name.replace("$", r"\$")
    return f" {name}" if name.startswith("_") else name


def shorten_names(names: Iterable[object], most: int = 24) -> list[str]:
    """Shorten names for a figure, and number those that become the same.

    Parameters
    ----------
    names : iterable
        Each is shown as a text.
    most : int
        Number of characters.

    Examples
    --------
    >>> shorten_names(["plate A of monday", "plate B of monday", "x"], most=12)
    ['plat…day (1)', 'plat…day (2)', 'x']
    """
    names = list(names)
    shown = [shorten_name(name, most) for name in names]
    numbered = []
    for number, (name, short) in enumerate(zip(names, shown), start=1):
        if shown.count(short) > 1:
            # Four characters fewer leave room for the number.
            count = shown[:number].count(short)
            short = f"{shorten_name(name, most - 4)} ({count})"
        numbered.append(short)
    return numbered


def add_color_scale(
    image: ScalarMappable, panels: Iterable[Axes], label: str, **options: Any
) -> None:
    """Draw the colour scale of an image beside the panels that share it.

    Parameters
    ----------
    image : matplotlib.cm.ScalarMappable
        As `imshow` returns it.
    panels : iterable of matplotlib.axes.Axes
        All in the figure of the image.
    label : str
        What the colours mean, with its unit.
    **options
        Of matplotlib's ``colorbar``.
    """
    bar = image.figure.colorbar(
        image, ax=list(panels), shrink=0.7, aspect=30, **options
    )
    bar.set_label(label, fontsize=9)
    bar.ax.tick_params(labelsize=8)


def strip_axes(axes: Axes, grid: str | None = None) -> None:
    """Remove the frame at the top and the right, and make ticks and labels small.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Modified in place.
    grid : {"x", "y"}, optional
        Draw a grid along this axis.
    """
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    axes.xaxis.label.set_size(9)
    axes.yaxis.label.set_size(9)
    if grid:
        axes.grid(axis=grid, color="0.88", linewidth=0.6)
        axes.set_axisbelow(True)


def get_grey_range(pixels: np.ndarray) -> tuple[float, float]:
    """Return the grey values that are shown as black and as white.

    Parameters
    ----------
    pixels : numpy.ndarray
        Of any shape.

    Returns
    -------
    tuple of float

    Examples
    --------
    >>> low, high = get_grey_range(np.arange(1001))
    >>> round(low), round(high)
    (1, 999)
    """
    low, high = np.percentile(pixels, SHOWN_PERCENTILES)
    return float(low), float(high)

"""What the report's figures share: size, colours, marks and names."""

import textwrap

from matplotlib.figure import Figure

DPI = 110
WIDTH = 10  # inches
# Okabe and Ito's colours, which those who cannot tell red from green see apart (Color Universal Design, 2008).
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
# Numbers of colours and of marks have no common divisor: 56 pairs of them differ.
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
HATCHES = ("", "///", "...", "\\\\\\", "xxx", "ooo", "---")


def new_figure(title, height):
    """A figure of the report's width under a title.

    Parameters
    ----------
    title : str
        A sentence that says what is seen.
    height : float
        In inches.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = Figure((WIDTH, height), dpi=DPI, layout="constrained")
    figure.suptitle(textwrap.fill(title, 115), x=0.01, ha="left", fontsize=11)
    return figure


def get_color(number):
    return COLORS[number % len(COLORS)]


def get_marker(number):
    return MARKERS[number % len(MARKERS)]


def get_bar_style(number):
    """How a bar is filled: colour and hatch, as keywords of a patch."""
    return {
        "facecolor": get_color(number),
        "hatch": HATCHES[number % len(HATCHES)],
        "edgecolor": "white",
        "linewidth": 0.3,
    }


def shorten_name(name, most=24):
    """A name of at most so many characters, with an ellipsis in its middle, as matplotlib is to show it."""
    name = str(name)
    if len(name) > most:
        name = f"{name[: most // 2]}…{name[len(name) - (most - 1) // 2 :]}"
    # Text between two dollars would be read as mathematics, and legends leave out what begins with an underscore.
    name = name.replace("$", r"\$")
    return f" {name}" if name.startswith("_") else name


def shorten_names(names, most=24):
    """Names made `short`; those that become the same are numbered."""
    shown = [shorten_name(name, most) for name in names]
    return [
        (
            f"{shorten_name(name, most - 4)} ({shown[: number + 1].count(one)})"
            if shown.count(one) > 1
            else one
        )
        for number, (name, one) in enumerate(zip(names, shown))
    ]


def add_color_scale(image, panels, label, **options):
    """The scale of colours of an image, beside the panels that share it."""
    bar = image.figure.colorbar(
        image, ax=list(panels), shrink=0.7, aspect=30, **options
    )
    bar.set_label(label, fontsize=9)
    bar.ax.tick_params(labelsize=8)


def strip_axes(axes, grid=None):
    """Without frame at the top and the right, with small ticks, and with a grid along ``grid``, ``x`` or ``y``."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    axes.xaxis.label.set_size(9)
    axes.yaxis.label.set_size(9)
    if grid:
        axes.grid(axis=grid, color="0.88", linewidth=0.6)
        axes.set_axisbelow(True)

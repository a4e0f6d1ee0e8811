"""Figures of plates and wells.

Maps of many rows, heat maps of plates, and pictures of wells.
"""

import textwrap
from string import ascii_uppercase

import numpy as np
import pandas as pd
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_rgba
from matplotlib.lines import Line2D
from matplotlib.markers import MarkerStyle
from matplotlib.ticker import FuncFormatter

from stratonet.drawing import (
    WIDTH,
    add_color_scale,
    get_color,
    get_marker,
    new_figure,
    shorten_name,
    shorten_names,
    strip_axes,
)
from stratonet.tables.wells import split_well_names

FORMATS = (
    (8, 12),
    (16, 24),
    (32, 48),
)  # rows and columns of plates of 96, 384 and 1536 wells
LETTERS = [
    *ascii_uppercase,
    *(first + second for first in ascii_uppercase for second in ascii_uppercase),
]
PANELS = 12  # of a figure of plates
NAMED = 20  # values with a mark of their own
# The corners of a plate, A01 to the last well: rows from blue to orange, columns from dark to light.
CORNERS = np.array(
    [[[0.0, 0.2, 0.42], [0.55, 0.8, 0.97]], [[0.48, 0.24, 0.0], [1.0, 0.82, 0.25]]]
)


def maps(places, labels, plates, wells):
    """The same maps of rows, coloured by class, by plate and by the position of the well (thesis, figure 12).

    Parameters
    ----------
    places : dict of str to numpy.ndarray (n, 2)
        For each set of features where the rows lie.
    labels, plates, wells : array (n,) of str
        Class, plate and well. Without any class (all ``""``) and where a well is not
        named by row and column, such as A01, that column of panels is left out.

    Returns
    -------
    matplotlib.figure.Figure
        A row a set of features. Up to 20 classes or plates have a colour and a mark
        each; more are coloured in their order.
    """
    labels, plates = np.asarray(labels, str), np.asarray(plates, str)
    rows, columns = _positions(pd.Series(np.asarray(wells, str)))
    shown = {"class": labels} if (labels != "").any() else {}
    shown["plate"] = plates
    if not rows.isna().any():
        shown["position on the plate"] = None
    named = {
        what: np.unique(values) for what, values in shown.items() if values is not None
    }
    n_lines = max(
        [-(-len(names) // 2) for names in named.values() if len(names) <= NAMED],
        default=0,
    )
    foot = max(1.4, 0.19 * n_lines)  # inches, of the keys
    figure = new_figure(
        f"{len(plates):,} rows, placed by their features: do those of one"
        f" {' or one '.join(shown)} lie together?"
        + " Wells are not named by row and column, so that their position is not shown."
        * bool(rows.isna().any()),
        0.8 + 2.7 * len(places) + foot,
    )
    panels = figure.subplots(
        len(places) + 1,
        len(shown),
        squeeze=False,
        height_ratios=[2.7] * len(places) + [foot],
    )
    size = np.clip(20000 / len(plates), 6, 18)  # points squared
    order = np.random.default_rng(0).permutation(
        len(plates)
    )  # else the last class would lie on top
    for number, (what, values) in enumerate(shown.items()):
        key = panels[-1, number]
        if values is None:
            colours, marks = (
                _plate_key(key, rows.to_numpy(int), columns.to_numpy(int)),
                None,
            )
        else:
            colours, marks = _value_key(key, what, values, named[what])
        for axes, (features, xy) in zip(panels[:, number], places.items()):
            points = axes.scatter(
                *xy[order].T,
                s=size,
                c=colours[order],
                edgecolors="0.2",
                linewidths=0.15,
            )
            if marks is not None:
                points.set_paths([marks[one] for one in order])
            axes.set(xticks=[], yticks=[])
            strip_axes(axes)
            if number == 0:
                axes.set_ylabel(f"{shorten_name(features, 30)}\nsecond axis (no unit)")
        panels[0, number].set_title(f"by {what}", fontsize=10)
        panels[-2, number].set_xlabel("first axis (no unit)")
    return figure


def plate_maps(frame):
    """Heat maps of plates: a panel a plate and class, in the order of the rows.

    Parameters
    ----------
    frame : pandas.DataFrame
        Columns ``plate``, ``well`` (such as A01), ``name`` (the class) and ``value``
        (its share of votes). Wells without a value are hatched.

    Returns
    -------
    matplotlib.figure.Figure
        Plates are drawn as those of 96, 384 or 1536 wells, by the last row and column
        of all.

    Raises
    ------
    ValueError
        More than 12 panels; a well that is not named by row and column, or beyond row
        AF and column 48; a well twice in a panel.
    """
    panels = frame[["plate", "name"]].drop_duplicates().to_numpy().tolist()
    if not 1 <= len(panels) <= PANELS:
        raise ValueError(
            f"A figure has 1 to {PANELS} panels, one a plate and class. Received:"
            f" {len(panels)}. Choose some of the plates."
        )
    twice = frame.duplicated(["plate", "name", "well"])
    if twice.any():
        raise ValueError(
            "A well has one value in a panel. Received twice:"
            f" {frame.well[twice].iloc[0]}"
        )
    rows, columns = _positions(frame.well)
    bad = rows.isna() | (rows >= FORMATS[-1][0]) | (columns >= FORMATS[-1][1])
    if bad.any():
        raise ValueError(
            f"Wells are A01 to AF48. Received: {frame.well[bad].iloc[0]!r}"
        )
    shape = _format(rows, columns)
    n_names = frame.name.nunique()
    n_columns = n_names if n_names in (2, 3, 4) else min(3, len(panels))
    n_rows = -(-len(panels) // n_columns)
    low, high = frame.value.min(), frame.value.max()
    side = (WIDTH - 1.9) / n_columns
    figure = new_figure(
        f"The share of votes for a class goes from {low:.2f} to {high:.2f}, on plates"
        f" of {shape[0] * shape[1]} wells: is it the layout of the wells that is seen,"
        " or edges and halves of a plate?",
        1.1 + n_rows * (0.5 + side * shape[0] / shape[1]),
    )
    grid = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    names = shorten_names(list(dict.fromkeys(name for _, name in panels)), 22)
    names = dict(zip(dict.fromkeys(name for _, name in panels), names))
    for axes, (plate, name) in zip(grid, panels):
        here = (frame.plate == plate) & (frame.name == name)
        values = np.full(shape, np.nan)
        values[rows[here].to_numpy(int), columns[here].to_numpy(int)] = frame.value[
            here
        ]
        image = axes.imshow(values, cmap="viridis", vmin=low, vmax=high)
        axes.patch.set(hatch="//////", edgecolor="0.7", facecolor="white")
        axes.set_title(f"{shorten_name(plate, 20)}: {names[name]}", fontsize=8)
        _plate_axes(axes, shape)
    for axes in grid[len(panels) :]:
        axes.axis("off")
    figure.supylabel("row of the plate", fontsize=9)
    figure.supxlabel("column of the plate (hatched: no value)", fontsize=9)
    add_color_scale(image, grid, "share of votes for the class (0 to 1)")
    return figure


def thumbnails(rows):
    """Pictures of wells: a row a class, with its most typical wells and its most mistaken ones.

    Parameters
    ----------
    rows : list of dict
        ``title``, the class; ``typical`` and ``mistaken``: lists of (uint8 array
        (height, width, 3), caption).

    Returns
    -------
    matplotlib.figure.Figure
    """
    n_each = max(
        1, *(len(row[kind]) for row in rows for kind in ("typical", "mistaken"))
    )
    without = sum(not row["mistaken"] for row in rows)
    ratio = max(
        image.shape[0] / image.shape[1]
        for row in rows
        for image, _ in row["typical"] + row["mistaken"]
    )
    side = (WIDTH - 0.7) / (2 * n_each) - 0.1
    figure = new_figure(
        f"The most typical wells of {len(rows)} classes, at the left, and the most"
        " clearly mistaken, at the right"
        + (f"; of {without} none was mistaken." if without else "."),
        0.8 + len(rows) * (ratio * side + 0.58),
    )
    grid = figure.subplots(len(rows), 2 * n_each, squeeze=False)
    for axes, title in ((grid[0, 0], "typical"), (grid[0, n_each], "mistaken")):
        axes.set_title(title, fontsize=10, loc="left", fontweight="bold")
    for panels, row in zip(grid, rows):
        panels[0].set_ylabel(
            textwrap.fill(shorten_name(row["title"], 36), 18), fontsize=9
        )
        for kind, half in (("typical", panels[:n_each]), ("mistaken", panels[n_each:])):
            for axes in half:
                axes.set(xticks=[], yticks=[])
                axes.spines[:].set_visible(False)
                axes.set_box_aspect(ratio)
            for axes, (image, caption) in zip(half, row[kind]):
                axes.imshow(image)
                axes.set_xlabel(
                    "\n".join(
                        textwrap.fill(shorten_name(part, 52), 26)
                        for part in caption.split(": ")
                    ),
                    fontsize=7,
                )
            if not row[kind]:
                half[0].text(
                    0.5,
                    0.5,
                    "none",
                    transform=half[0].transAxes,
                    ha="center",
                    va="center",
                    fontsize=9,
                )
    return figure


def _positions(wells):
    """Rows and columns of wells, from 0.

    Both missing for names that are not such as A01.
    """
    letters, columns = split_well_names(wells)
    rows = letters.map(
        {letter: number for number, letter in enumerate(LETTERS)}
    ).astype("Int64")
    return rows, columns - 1


def _format(rows, columns):
    """The smallest plate that has these wells."""
    return next(
        ((n, m) for n, m in FORMATS if rows.max() < n and columns.max() < m),
        (rows.max() + 1, columns.max() + 1),
    )


def _plate_axes(axes, shape):
    """Ticks as plates have them.

    Letters and numbers, some of them where there are many.
    """
    strip_axes(axes)
    axes.set_yticks(range(0, shape[0], -(-shape[0] // 8)))
    axes.set_xticks(range(0, shape[1], -(-shape[1] // 12)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: LETTERS[int(y)]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x + 1:.0f}"))
    axes.tick_params(labelsize=7)


def _value_key(axes, what, values, names):
    """Colours (n, 4) and marks of values, and their legend.

    Many values are coloured in order, without marks.
    """
    axes.axis("off")
    codes = np.searchsorted(names, values)
    if len(names) <= NAMED:
        colours = np.array([to_rgba(get_color(code)) for code in range(len(names))])
        styles = [MarkerStyle(get_marker(code)) for code in range(len(names))]
        paths = [
            style.get_path().transformed(style.get_transform()) for style in styles
        ]
        keys = [
            Line2D(
                [],
                [],
                linestyle="none",
                marker=get_marker(n),
                color=get_color(n),
                markersize=5,
            )
            for n in range(len(names))
        ]
        shown = shorten_names([name or f"no {what}" for name in names], 18)
        axes.legend(
            keys,
            shown,
            loc="upper center",
            ncol=2 if len(names) > 1 else 1,
            fontsize=7,
            frameon=False,
            handletextpad=0.2,
            columnspacing=0.8,
            borderaxespad=0,
        )
        return colours[codes], [paths[code] for code in codes]
    by_name = ScalarMappable(Normalize(0, len(names) - 1), "viridis")
    bar = axes.figure.colorbar(
        by_name, cax=axes.inset_axes((0.1, 0.8, 0.8, 0.12)), orientation="horizontal"
    )
    ends = [0, len(names) - 1]
    bar.set_ticks(
        ends, labels=[shorten_name(names[end] or f"no {what}", 18) for end in ends]
    )
    bar.ax.tick_params(labelsize=7)
    bar.set_label(f"{len(names)} values, by name", fontsize=8)
    return by_name.to_rgba(codes), None


def _plate_key(axes, rows, columns):
    """Colours (n, 3) of positions, and the plate that shows them."""
    shape = _format(rows, columns)
    down, along = (
        np.linspace(0, 1, shape[0])[:, None, None],
        np.linspace(0, 1, shape[1])[:, None],
    )
    upper, lower = ((1 - along) * left + along * right for left, right in CORNERS)
    plate = (1 - down) * upper + down * lower
    axes.imshow(plate, aspect="auto")
    _plate_axes(axes, shape)
    axes.set_xlabel("column of the plate")
    axes.set_ylabel("row")
    return plate[rows, columns]

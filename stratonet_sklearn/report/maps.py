"""Section: maps on which similar rows lie together (thesis, figure 12)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.markers import MarkerStyle
from matplotlib.path import Path

from stratonet.drawing import (
    get_color,
    get_marker,
    new_figure,
    shorten_name,
    shorten_names,
    strip_axes,
)
from stratonet.tables.columns import PLATE, WELL
from stratonet.tables.wells import (
    choose_plate_format,
    locate_wells,
    split_well_names,
)
from stratonet_sklearn.evaluation.components import (
    FEWEST_FOR_UMAP,
    choose_rows,
    compute_map,
)
from stratonet_sklearn.report.axes import label_plate_axes
from stratonet_sklearn.report.data import ReportData
from stratonet_sklearn.report.section import Content, Numbers, Plot

# With more values than this, a scale replaces marks and legend entries.
MOST_NAMED = 20
# Colours of the corners of a plate, A01 to the last well: rows go from blue to orange,
# columns from dark to light.
CORNERS = np.array(
    [
        [[0.0, 0.2, 0.42], [0.55, 0.8, 0.97]],
        [[0.48, 0.24, 0.0], [1.0, 0.82, 0.25]],
    ]
)


@dataclass(frozen=True)
class Coloring:
    """How the points of a column of panels look.

    Attributes
    ----------
    colors : numpy.ndarray (n, 3 or 4)
        The colour of each row, from 0 to 1.
    marks : list of matplotlib.path.Path, or None
        The outline of each row's mark; None if all are dots.
    """

    colors: np.ndarray
    marks: list[Path] | None = None


def build_maps(data: ReportData) -> Content:
    """Show the rows on a map, coloured by class, plate and position of the well.

    Parameters
    ----------
    data : ReportData
        Any. Without labels, there are no panels by class.

    Returns
    -------
    Content
    """
    chosen = choose_rows(len(data.rows), data.split.seed)
    positions = {
        name: compute_map(components.positions[chosen], data.split.seed)
        for name, components in data.components.items()
    }
    rows = data.rows.iloc[chosen].reset_index(drop=True)
    # Without classes, the column is written empty.
    labels = pd.Series("", data.rows.index)
    groupings, caution = ["plate"], ""
    if data.labels is not None:
        labels = data.labels
        groupings.insert(0, "class")
        caution = (
            " If plates or positions form the same groups as the classes, they may be"
            " what separates the classes."
        )
    labels = labels.iloc[chosen].reset_index(drop=True)
    if not locate_wells(rows[WELL])[0].isna().any():
        groupings.append("position on the plate")
    method = "The first two principal components"
    if len(data.rows) >= FEWEST_FOR_UMAP:
        method = "UMAP of the principal components"
    return Content(
        f"Map of the {data.row_noun}",
        [
            Numbers("map", list_positions(positions, rows, labels)),
            Plot(
                "map",
                draw_maps(positions, labels, rows[PLATE], rows[WELL], data.row_noun),
                f"{method}, for {len(rows):,} of {len(data.rows):,} {data.row_noun}:"
                f" the same map coloured by {', by '.join(groupings)}.{caution}",
                wells=list_points(positions, rows, labels),
            ),
        ],
    )


def list_positions(
    positions: Mapping[str, np.ndarray], rows: pd.DataFrame, labels: pd.Series
) -> pd.DataFrame:
    """List where each row lies on the map.

    Parameters
    ----------
    positions : mapping of str to numpy.ndarray (n rows, 2)
        By the name of the feature table.
    rows : pandas.DataFrame (n rows)
        ``Metadata_*``.
    labels : pandas.Series (n rows,)
        Classes, ``""`` where there is none.

    Returns
    -------
    pandas.DataFrame
        One row per feature table and row: plate, well, ``label``, ``features``, ``x``
        and ``y``.
    """
    frames = []
    for name, xy in positions.items():
        frame = rows[[PLATE, WELL]].copy()
        frame["label"] = labels
        frame["features"] = name
        frame["x"], frame["y"] = xy[:, 0], xy[:, 1]
        frames.append(frame)
    return pd.concat(frames)


def list_points(
    positions: Mapping[str, np.ndarray], rows: pd.DataFrame, labels: pd.Series
) -> pd.DataFrame:
    """List the points of the map for `Plot.wells`, to be explored on the page.

    Parameters
    ----------
    positions, rows, labels
        As `list_positions` takes them.

    Returns
    -------
    pandas.DataFrame
        Coloured by class, if there are any, and by row and column of the plate, if
        they are known.
    """
    frame = list_positions(positions, rows, labels).reset_index(drop=True)
    frame = frame.rename(
        columns={PLATE: "plate", WELL: "well", "features": "panel", "label": "class"}
    )
    if not (frame["class"] != "").any():
        frame = frame.drop(columns="class")
    letters, columns = split_well_names(frame["well"])
    if letters.notna().all():
        frame["row of the plate"] = letters
        frame["column of the plate"] = columns.astype(int)
    return frame


def draw_maps(
    positions: Mapping[str, np.ndarray],
    labels: Sequence[str],
    plates: Sequence[str],
    wells: Sequence[str],
    row_noun: str = "rows",
) -> Figure:
    """Draw the same maps coloured by class, by plate and by position of the well.

    Parameters
    ----------
    positions : mapping of str to numpy.ndarray (n, 2)
        Where the rows lie, by the name of the feature table.
    labels, plates, wells : sequence (n,) of str
        Class, plate and well of each row. The panels by class are left out if there are
        no classes (all ``""``), those by position if a well is not named by row and
        column, such as A01.
    row_noun : str
        What a row is: wells, image sets or objects.

    Returns
    -------
    matplotlib.figure.Figure
        A row of panels per feature table, and keys below. Up to 20 classes or plates
        have a colour and a mark each; more are coloured in the order of their names.
    """
    # As texts: names that are numbers are sorted and shown as names.
    values = {"class": np.asarray(labels, str), "plate": np.asarray(plates, str)}
    if not (values["class"] != "").any():
        del values["class"]
    rows, columns = locate_wells(pd.Series(np.asarray(wells, str)))
    has_positions = not rows.isna().any()
    n_columns = len(values) + has_positions
    # The keys have a row of panels of their own, below the maps.
    height = _measure_keys(values)
    figure = new_figure(
        _word_question(f"{len(plates):,} {row_noun}", list(values), has_positions),
        0.8 + 2.7 * len(positions) + height,
    )
    panels = figure.subplots(
        len(positions) + 1,
        n_columns,
        squeeze=False,
        height_ratios=[2.7] * len(positions) + [height],
    )
    for number, (name, column) in enumerate(values.items()):
        coloring = _draw_value_key(panels[-1, number], name, column)
        _draw_column(panels[:-1, number], name, positions, coloring)
    if has_positions:
        coloring = _draw_plate_key(
            panels[-1, -1], rows.to_numpy(int), columns.to_numpy(int)
        )
        _draw_column(panels[:-1, -1], "position on the plate", positions, coloring)
    for axes, name in zip(panels[:, 0], positions):
        axes.set_ylabel(f"{shorten_name(name, 30)}\nsecond axis (no unit)")
    return figure


def _word_question(rows: str, values: list[str], has_positions: bool) -> str:
    names = [*values, "position"] if has_positions else values
    text = (
        f"{rows}, arranged by their features: do those of the same"
        f" {' or the same '.join(names)} lie together?"
    )
    if has_positions:
        return text
    return f"{text} Positions are not shown: wells are not named by row and column."


def _measure_keys(values: Mapping[str, np.ndarray]) -> float:
    """Return the inches that the keys need below the panels."""
    n_values = [len(np.unique(column)) for column in values.values()]
    # Legends have two columns.
    n_lines = [-(-n // 2) for n in n_values if n <= MOST_NAMED]
    return max(1.4, 0.19 * max(n_lines, default=0))


def _draw_column(
    panels: Sequence[Axes],
    name: str,
    positions: Mapping[str, np.ndarray],
    coloring: Coloring,
) -> None:
    """Draw the maps of all feature tables in one colouring, from top to bottom."""
    n_rows = len(coloring.colors)
    # Points squared. Fewer rows are drawn larger.
    size = np.clip(20000 / n_rows, 6, 18)
    # Row by row, the last class would lie on top of the others.
    order = np.random.default_rng(0).permutation(n_rows)
    for axes, xy in zip(panels, positions.values()):
        points = axes.scatter(
            *xy[order].T,
            s=size,
            c=coloring.colors[order],
            edgecolors="0.2",
            linewidths=0.15,
        )
        if coloring.marks is not None:
            points.set_paths([coloring.marks[row] for row in order])
        # Numbers along the axes of a UMAP mean nothing.
        axes.set(xticks=[], yticks=[])
        strip_axes(axes)
    panels[0].set_title(f"by {name}", fontsize=10)
    panels[-1].set_xlabel("first axis (no unit)")


def _draw_value_key(axes: Axes, name: str, values: np.ndarray) -> Coloring:
    """Draw the key of classes or plates; many values get a scale in place of marks."""
    axes.axis("off")
    names, codes = np.unique(values, return_inverse=True)
    shown_names = [value or f"no {name}" for value in names]
    # Nobody can tell 30 colours apart: they only show which names are near.
    if len(names) > MOST_NAMED:
        return _draw_name_scale(axes, shown_names, codes)
    _draw_legend(axes, shown_names)
    colors = np.array([to_rgba(get_color(number)) for number in range(len(names))])
    paths = []
    for number in range(len(names)):
        style = MarkerStyle(get_marker(number))
        # A scatter draws the transformed outline, not the bare path.
        paths.append(style.get_path().transformed(style.get_transform()))
    return Coloring(colors[codes], [paths[code] for code in codes])


def _draw_legend(axes: Axes, names: Sequence[str]) -> None:
    keys = [
        Line2D(
            [],
            [],
            linestyle="none",
            marker=get_marker(number),
            color=get_color(number),
            markersize=5,
        )
        for number in range(len(names))
    ]
    axes.legend(
        keys,
        shorten_names(names, 18),
        loc="upper center",
        ncol=min(2, len(names)),
        fontsize=7,
        frameon=False,
        handletextpad=0.2,
        columnspacing=0.8,
        borderaxespad=0,
    )


def _draw_name_scale(axes: Axes, names: Sequence[str], codes: np.ndarray) -> Coloring:
    last = len(names) - 1
    scale = ScalarMappable(Normalize(0, last), "viridis")
    bar = axes.figure.colorbar(
        scale, cax=axes.inset_axes((0.1, 0.8, 0.8, 0.12)), orientation="horizontal"
    )
    bar.set_ticks([0, last], labels=[shorten_name(names[end], 18) for end in (0, last)])
    bar.ax.tick_params(labelsize=7)
    bar.set_label(f"{len(names)} values, by name", fontsize=8)
    return Coloring(scale.to_rgba(codes))


def _draw_plate_key(axes: Axes, rows: np.ndarray, columns: np.ndarray) -> Coloring:
    """Draw a plate that has a colour for each position."""
    n_rows, n_columns = choose_plate_format(rows.max(), columns.max())
    down = np.linspace(0, 1, n_rows)[:, None, None]
    along = np.linspace(0, 1, n_columns)[:, None]
    # Between the four corners, colours mix in proportion to the distance.
    top = (1 - along) * CORNERS[0, 0] + along * CORNERS[0, 1]
    bottom = (1 - along) * CORNERS[1, 0] + along * CORNERS[1, 1]
    plate = (1 - down) * top + down * bottom
    # As wide as the panels above it.
    axes.imshow(plate, aspect="auto")
    label_plate_axes(axes, n_rows, n_columns)
    axes.set_xlabel("column of the plate")
    axes.set_ylabel("row")
    return Coloring(plate[rows, columns])

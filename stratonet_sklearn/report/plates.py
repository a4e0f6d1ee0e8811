"""Section: predictions on maps of the plates, which reveal effects of the layout."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D

from stratonet.drawing import (
    WIDTH,
    add_color_scale,
    get_color,
    get_marker,
    new_figure,
    shorten_name,
    shorten_names,
)
from stratonet.messages import count_things
from stratonet.tables.columns import PLATE, WELL
from stratonet.tables.wells import (
    PLATE_FORMATS,
    choose_plate_format,
    format_well,
    locate_wells,
)
from stratonet_sklearn.report.axes import label_plate_axes
from stratonet_sklearn.report.data import ReportData
from stratonet_sklearn.report.section import (
    Block,
    Content,
    Numbers,
    Omission,
    Plot,
)

# More panels would be too small to see single wells.
MOST_PANELS = 12
# A key of more classes would be longer than the map.
MOST_NAMED = 20


def build_plates(data: ReportData) -> Content | None:
    """Show the true class of each well on its plate, and the shares of votes.

    Parameters
    ----------
    data : ReportData
        With an evaluation.

    Returns
    -------
    Content or None
        None if nothing was classified.
    """
    if data.evaluation is None or data.names[0] not in data.evaluation.probabilities:
        return None
    name, classes = data.names[0], data.evaluation.classes
    # Only a forest has votes. They rank wells, which predicted classes cannot.
    votes = pd.DataFrame(data.evaluation.probabilities[name], columns=classes)
    wells = average_votes(data.tested_rows, votes)
    layout = list_classes(data.tested_rows, data.evaluation.labels)
    blocks: list[Block] = [Numbers("plates", wells)]
    if locate_wells(wells["well"])[0].isna().any():
        blocks.append(
            Omission(
                "Maps of the plates: wells are not named by row and column, such as"
                f" A01. The first well is named {wells['well'].iloc[0]}."
            )
        )
    else:
        blocks.append(_show_maps(wells, layout, classes, name))
    return Content("Predictions on the plates", blocks)


def list_classes(rows: pd.DataFrame, labels: np.ndarray) -> pd.DataFrame:
    """List the true class of each well.

    Parameters
    ----------
    rows : pandas.DataFrame (n rows)
        ``Metadata_*`` of the rows that were classified.
    labels : numpy.ndarray (n rows,)
        Their classes.

    Returns
    -------
    pandas.DataFrame
        One row per well: ``plate``, ``well`` and ``name``, its class, or ``several``
        if its rows have several classes.
    """
    frame = rows[[PLATE, WELL]].set_axis(["plate", "well"], axis=1).assign(name=labels)
    of_wells = frame.groupby(["plate", "well"], as_index=False)["name"]
    classes = of_wells.first()
    classes.loc[of_wells.nunique()["name"] > 1, "name"] = "several"
    return classes


def average_votes(rows: pd.DataFrame, votes: pd.DataFrame) -> pd.DataFrame:
    """Average the shares of votes of each well.

    Parameters
    ----------
    rows : pandas.DataFrame (n rows)
        ``Metadata_*`` of the rows that were classified.
    votes : pandas.DataFrame (n rows, n classes)
        The share of votes for each class, by its name.

    Returns
    -------
    pandas.DataFrame
        One row per well: ``plate``, ``well``, and a column per class.
    """
    keys = rows[[PLATE, WELL]].set_axis(["plate", "well"], axis=1)
    # The sites of a well describe it together: their mean counts.
    frame = pd.concat([keys, votes], axis=1)
    return frame.groupby(["plate", "well"], as_index=False).mean()


def _show_maps(
    wells: pd.DataFrame, layout: pd.DataFrame, classes: list[str], name: str
) -> Plot:
    plates = wells["plate"].unique()
    # One panel of each plate is for the true classes.
    shown_classes = classes[: MOST_PANELS - 1]
    # As many complete plates as there is room for, at least one.
    shown_plates = plates[: max(1, MOST_PANELS // (len(shown_classes) + 1))]
    shown = wells[wells["plate"].isin(shown_plates)]
    shares = shown.melt(["plate", "well"], shown_classes, "name", "value")
    # Plate by plate, so that the panels of a class are below each other.
    shares = shares.sort_values("plate", kind="stable", ignore_index=True)
    return Plot(
        "plates",
        draw_plates(shares, layout[layout["plate"].isin(shown_plates)]),
        "The true classes, and the random forest's share of votes for each class, with"
        f" {name} features. Each well is predicted by trees not trained on it."
        f" Shown: {len(shown_plates):,} of {count_things(len(plates), 'plate')},"
        f" {len(shown_classes)} of {len(classes)} classes. Where votes follow the true"
        " classes, these are recognised. Where votes follow an edge or a half of the"
        " plate that no true class follows, they show an effect of position. Where a"
        " true class fills an edge or a half of the plate, this map cannot tell class"
        " and position apart.",
        wells=list_votes(wells, layout),
    )


def list_votes(wells: pd.DataFrame, layout: pd.DataFrame) -> pd.DataFrame:
    """List true classes and votes of all wells for `Plot.wells`, to be explored.

    Parameters
    ----------
    wells : pandas.DataFrame
        What `average_votes` gives.
    layout : pandas.DataFrame
        What `list_classes` gives.

    Returns
    -------
    pandas.DataFrame
    """
    votes = wells.set_index(["plate", "well"]).add_prefix("votes for ")
    classes = layout.set_index(["plate", "well"])["name"].rename("true class")
    return pd.concat([classes, votes], axis=1).reset_index()


def draw_plates(shares: pd.DataFrame, layout: pd.DataFrame | None = None) -> Figure:
    """Draw heat maps of plates, a panel per plate and class.

    Parameters
    ----------
    shares : pandas.DataFrame
        Columns ``plate``, ``well`` (such as A01), ``name`` (the class) and ``value``
        (its share of votes). Wells without a value are hatched.
    layout : pandas.DataFrame, optional
        Columns ``plate``, ``well`` and ``name`` (the true class): drawn in a panel of
        its own, before the others of each plate.

    Returns
    -------
    matplotlib.figure.Figure
        Panels in the order of the rows. Plates are drawn with 96, 384 or 1536 wells, as
        the last row and column of all wells require.

    Raises
    ------
    ValueError
        There are more than 12 panels; a well is not named by row and column, or lies
        beyond row AF or column 48; a well is in a panel twice.
    """
    panel_keys = _list_panels(shares, layout)
    rows, columns = _locate_wells_of_plates(shares)
    shape = choose_plate_format(rows.max(), columns.max())
    n_names = shares["name"].nunique() + (layout is not None)
    n_columns = _choose_columns(n_names, len(panel_keys))
    n_rows = -(-len(panel_keys) // n_columns)
    # One scale for all panels, so that plates can be compared.
    low, high = shares["value"].min(), shares["value"].max()
    figure = new_figure(
        f"The share of votes for a class ranges from {low:.2f} to {high:.2f} on plates"
        f" of {shape[0] * shape[1]} wells. Does it follow the true classes, or edges"
        " and halves of a plate?",
        1.2
        + 0.2 * -(-n_names // 4)
        + n_rows * (0.5 + (WIDTH - 1.9) / n_columns * shape[0] / shape[1]),
    )
    panels = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    names = shares["name"].unique()
    titles = {None: "true classes", **dict(zip(names, shorten_names(names, 22)))}
    for axes, (plate, name) in zip(panels, panel_keys):
        values = np.full(shape, np.nan)
        if name is not None:
            chosen = ((shares["plate"] == plate) & (shares["name"] == name)).to_numpy()
            values[rows[chosen], columns[chosen]] = shares["value"][chosen]
        image = _draw_plate(axes, values, low, high)
        title = f"{shorten_name(plate, 20)}: {titles[name]}"
        axes.set_title(title, fontsize=8)
    for axes in panels[len(panel_keys) :]:
        axes.axis("off")
    if layout is not None:
        _draw_layout(figure, dict(zip(panel_keys, panels)), layout)
    figure.supylabel("row of the plate", fontsize=9)
    # A label of the figure would overlap the key.
    for axes in panels[: len(panel_keys)][-n_columns:]:
        axes.set_xlabel("column (hatched: no value)", fontsize=8)
    add_color_scale(image, panels, "share of votes for the class (0 to 1)")
    return figure


def _list_panels(
    shares: pd.DataFrame, layout: pd.DataFrame | None
) -> list[tuple[str, str | None]]:
    """List the plate and class of each panel, without a class for the true classes."""
    names_of_plates = shares.groupby("plate", sort=False)["name"].unique()
    keys = []
    for plate, names in names_of_plates.items():
        keys += [(plate, name) for name in names]
        if layout is not None:
            keys.insert(len(keys) - len(names), (plate, None))
    if not 1 <= len(keys) <= MOST_PANELS:
        raise ValueError(
            f"A figure has 1 to {MOST_PANELS} panels, one per plate and class."
            f" Received: {len(keys)}. Choose some of the plates."
        )
    return keys


def _draw_layout(
    figure: Figure,
    panels: Mapping[tuple[str, str | None], Axes],
    layout: pd.DataFrame,
) -> None:
    """Draw the true classes as marks, with a key below the figure."""
    names = sorted(layout["name"].unique())
    wells_of_panels = {
        plate: layout[layout["plate"] == plate]
        for plate, name in panels
        if name is None
    }
    for number, name in enumerate(names):
        style = {"color": get_color(number), "marker": get_marker(number)}
        for plate, wells in wells_of_panels.items():
            of_class = wells["well"][wells["name"] == name]
            rows, columns = locate_wells(of_class)
            panels[plate, None].scatter(columns, rows, s=12, linewidths=0, **style)
    keys = [
        Line2D([], [], linestyle="", color=get_color(number), marker=get_marker(number))
        for number in range(len(names))
    ]
    if len(names) <= MOST_NAMED:
        figure.legend(
            keys,
            shorten_names(names, 22),
            loc="outside lower center",
            ncol=4,
            fontsize=8,
            frameon=False,
        )


def _locate_wells_of_plates(shares: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows and columns of wells, from 0, if all of them can be drawn."""
    repeated = shares.duplicated(["plate", "name", "well"])
    if repeated.any():
        raise ValueError(
            "A well may have only one value in a panel. Received twice:"
            f" {shares['well'][repeated].iloc[0]}"
        )
    # Other names of wells, such as numbers, have no position on a plate.
    rows, columns = locate_wells(shares["well"])
    most_rows, most_columns = PLATE_FORMATS[-1]
    bad = rows.isna() | (rows >= most_rows) | (columns >= most_columns)
    if bad.any():
        last = format_well(most_rows - 1, most_columns - 1)
        raise ValueError(
            f"Wells must be A01 to {last}. Received: {shares['well'][bad].iloc[0]!r}"
        )
    return rows.to_numpy(int), columns.to_numpy(int)


def _choose_columns(n_classes: int, n_panels: int) -> int:
    # A row of panels per plate, where its classes fit beside each other.
    return n_classes if n_classes in (2, 3, 4) else min(3, n_panels)


def _draw_plate(axes: Axes, values: np.ndarray, low: float, high: float) -> AxesImage:
    image = axes.imshow(values, cmap="viridis", vmin=low, vmax=high)
    # Hatched where there is no value, so that no colour is mistaken for one.
    axes.patch.set(hatch="//////", edgecolor="0.7", facecolor="white")
    label_plate_axes(axes, *values.shape)
    return image

"""Section: wells of the strongest hits beside a negative control."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from stratonet.drawing import WIDTH, new_figure, shorten_name
from stratonet.extraction.sources.imagesets import ImageSource
from stratonet.extraction.sources.read import read_source
from stratonet.messages import count_things
from stratonet.tables.columns import PLATE, WELL
from stratonet_sklearn.evaluation.screen import Screen
from stratonet_sklearn.report.data import ReportData
from stratonet_sklearn.report.planes import (
    choose_channels,
    color_planes,
    read_planes,
    word_colors,
)
from stratonet_sklearn.report.section import Block, Content, Paragraph, Plot

TITLE = "Active treatments beside a control"
MOST_HITS = 6

# A treatment, the plate and well of it, and those of its control.
Pair = tuple[str, tuple[str, str], tuple[str, str]]


def build_hit_pictures(data: ReportData) -> Content | None:
    """Show a well of each of the strongest hits, and a control of its plate.

    Parameters
    ----------
    data : ReportData
        With compounds, negative controls and a source of images.

    Returns
    -------
    Content or None
        None without images, or where no treatment is active.
    """
    source = data.images
    if source is None or data.controls is None:
        return None
    screen = data.compound_screen
    if screen is None or not screen.hits["active"].any():
        return None
    pairs = choose_wells(screen)
    if not pairs:
        return None
    block: Block
    try:
        block = _show_pictures(data, pairs, source)
    except (OSError, ValueError) as error:
        # The numbers are worth showing without pictures.
        block = Paragraph(f"The images cannot be shown: {error}")
    return Content(TITLE, [block])


def _show_pictures(data: ReportData, pairs: list[Pair], source: ImageSource) -> Plot:
    keys = data.rows[[PLATE, WELL]].astype(str).agg(tuple, axis=1)
    wanted = [name for _, hit, control in pairs for name in (hit, control)]
    # The first image set of each well.
    numbers = [int((keys == name).to_numpy().argmax()) for name in wanted]
    rows = data.rows.iloc[sorted(set(numbers))]
    image_sets = read_source(source).frame
    planes = read_planes(image_sets, source.storage, rows)
    colored = color_planes(planes)
    pictures = [colored[data.rows.index[number]] for number in numbers]
    titles = [title for name, *_ in pairs for title in (name, "negative control")]
    return Plot(
        "hit_wells",
        draw_pairs(pictures, titles, wanted),
        "The strongest active treatments: of each the well of median distance, and"
        " beside it the most typical negative control of its plate."
        f" {word_colors(choose_channels(image_sets))} Brightness can be compared"
        " between pictures.",
    )


def choose_wells(screen: Screen) -> list[Pair]:
    """Choose a well of each of the strongest hits, and a control of its plate.

    Parameters
    ----------
    screen : Screen
        With an active treatment.

    Returns
    -------
    list of (treatment, (plate, well), (plate, well))
        The farthest treatments, one per compound; those without a control on their
        plates are left out.
    """
    active = screen.hits[screen.hits["active"]]
    strongest = active.sort_values("distance", ascending=False)
    strongest = strongest.drop_duplicates("compound").head(MOST_HITS)
    chosen = strongest[["treatment"]].join(screen.middle_wells, on="treatment")
    chosen = chosen[chosen["control"].notna()]
    return [
        (str(row.treatment), (row.plate, row.well), (row.plate, row.control))
        for row in chosen.itertuples()
    ]


def draw_pairs(
    pictures: list[np.ndarray], titles: list[str], wells: list[tuple[str, str]]
) -> Figure:
    """Draw pictures in pairs, two pairs in a row.

    Parameters
    ----------
    pictures : list of numpy.ndarray (height, width, 3)
        A treatment, its control, the next treatment, ...
    titles : list of str
        Of each picture.
    wells : list of (plate, well)
        Of each picture.

    Returns
    -------
    matplotlib.figure.Figure
    """
    n_rows = -(-len(pictures) // 4)
    n_pairs = len(pictures) // 2
    height, width = pictures[0].shape[:2]
    figure = new_figure(
        f"{count_things(n_pairs, 'active treatment')}"
        f"{',' if n_pairs == 1 else ', each'} beside a negative control of its plate.",
        0.8 + n_rows * (0.45 + WIDTH / 4 * height / width),
    )
    panels = figure.subplots(n_rows, 4, squeeze=False).ravel()
    for axes, picture, title, (plate, well) in zip(panels, pictures, titles, wells):
        axes.imshow(picture)
        axes.set_title(
            f"{shorten_name(title, 26)}\n{shorten_name(plate, 18)} {well}", fontsize=8
        )
    for axes in panels:
        axes.axis("off")
    return figure

"""Section: a small picture of each well, grouped by treatment.

Figures and tables of other sections use these wells and pictures, too.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
from PIL import Image

from stratonet.extraction.sources.imagesets import ImageSource
from stratonet.extraction.sources.read import read_source
from stratonet.messages import count_things
from stratonet.tables.columns import PLATE, WELL
from stratonet_sklearn.evaluation.columns import get_column
from stratonet_sklearn.report.data import ReportData
from stratonet_sklearn.report.planes import (
    choose_channels,
    color_planes,
    find_image_sets,
    read_small_planes,
    word_colors,
)
from stratonet_sklearn.report.section import (
    Block,
    Content,
    Omission,
    Paragraph,
    Wells,
)
from stratonet_sklearn.report.thumbnails import list_pictured_wells

# All wells of a plate of 384 are shown, and the page stays small enough to send.
MOST_PICTURES = 384
# The longer side of a picture, in pixels.
SIDE = 128
# JPEG qualities, tried in turn until the pictures of a page fit.
QUALITIES = (82, 65, 45, 25)
MOST_BYTES = 6_000_000
# Threads, which wait for files of a bucket at the same time.
READERS = 8

Pictures = Mapping[tuple[str, str], bytes]


def build_gallery(data: ReportData) -> Content:
    """List the wells with their treatments, and show a picture of each.

    Parameters
    ----------
    data : ReportData
        Any. Without a source of images, wells have no pictures.

    Returns
    -------
    Content
    """
    wells = list_wells(data)
    blocks: list[Block] = []
    pictures: Pictures = {}
    key = ""
    if data.images is not None:
        chosen = choose_wells(wells, MOST_PICTURES, list_first_wells(data))
        try:
            pictures, key = read_pictures(data.images, chosen)
        except (OSError, ValueError) as error:
            blocks.append(Omission(f"Pictures of the wells: {error}"))
        if pictures:
            blocks.insert(0, Paragraph(_word_pictures(len(pictures), len(wells), key)))
            n_lacking = len(chosen) - len(pictures)
            if n_lacking:
                text = f"{count_things(n_lacking, 'well')} without an image."
                blocks.append(Omission(f"Pictures of the wells: {text}"))
    return Content("The wells", [*blocks, Wells(wells, pictures, key)])


def _word_pictures(n_pictures: int, n_wells: int, key: str) -> str:
    return (
        f"{n_pictures:,} of {count_things(n_wells, 'well')}, each shown by its first"
        f" image set. {key} Brightness can be compared between pictures."
    )


def list_wells(data: ReportData) -> pd.DataFrame:
    """List the wells and their treatments.

    Parameters
    ----------
    data : ReportData
        Any.

    Returns
    -------
    pandas.DataFrame
        One row per well, as `Wells` takes them. A treatment is a compound at a dose or,
        where no compounds are known, a class.
    """
    rows = data.rows[[PLATE, WELL]].set_axis(["plate", "well"], axis=1).astype(str)
    rows["treatment"] = name_treatments(data)
    rows["negative"] = False if data.controls is None else data.controls
    return rows.drop_duplicates(["plate", "well"]).reset_index(drop=True)


def name_treatments(data: ReportData) -> np.ndarray:
    """Name the treatment of each row.

    Parameters
    ----------
    data : ReportData
        Any.

    Returns
    -------
    numpy.ndarray (n rows,), str
        ``""`` where it is not known.
    """
    names = pd.Series("", data.rows.index)
    if data.treatments.compound is not None:
        names = get_column(data.rows, data.treatments.compound)
        if data.treatments.dose is not None:
            doses = get_column(data.rows, data.treatments.dose)
            names = names.str.cat(doses, sep=" ").str.strip()
    elif data.labels is not None:
        names = data.labels
    names = names.astype(str)
    if data.controls is not None:
        names = names.mask(data.controls, names + " (negative control)")
    return names.to_numpy(object)


def list_first_wells(data: ReportData) -> set[tuple[str, str]]:
    """List the wells that other sections show.

    Parameters
    ----------
    data : ReportData
        Any.

    Returns
    -------
    set of (plate, well)
        Those of the first hits and of the controls beside them.
    """
    screen = data.compound_screen if data.tables else None
    if screen is None or screen.hits.empty:
        return set()
    shown = list_pictured_wells(screen)
    controls = shown.dropna(subset="control")
    return {*zip(shown["plate"], shown["well"])} | {
        *zip(controls["plate"], controls["control"])
    }


def choose_wells(
    wells: pd.DataFrame, most: int, first: Collection[tuple[str, str]] = ()
) -> pd.DataFrame:
    """Choose wells so that every treatment on every plate has some.

    Parameters
    ----------
    wells : pandas.DataFrame
        With ``plate`` and ``treatment``.
    most : int
        How many to choose at most.
    first : collection of (plate, well)
        Wells to choose before others.

    Returns
    -------
    pandas.DataFrame
        In their original order.

    Examples
    --------
    >>> wells = pd.DataFrame({"plate": "P", "treatment": ["a", "a", "b", "a"]})
    >>> choose_wells(wells, 3).index.tolist()
    [0, 1, 2]
    """
    # The first well of each treatment and plate, then the second of each, and so on.
    turn = wells.groupby(["treatment", "plate"], sort=False).cumcount()
    if first:
        keys = zip(wells["plate"], wells["well"])
        turn = turn.where([key not in first for key in keys], -1)
    chosen = turn.sort_values(kind="stable").index[:most]
    return wells.loc[chosen.sort_values()]


def read_pictures(source: ImageSource, wells: pd.DataFrame) -> tuple[Pictures, str]:
    """Read a small picture of each well.

    Parameters
    ----------
    source : ImageSource
        Where the images are.
    wells : pandas.DataFrame
        ``plate`` and ``well``.

    Returns
    -------
    pictures : dict of (plate, well) to bytes
        JPEG files, without wells that have no readable image.
    key : str
        Which channel has which colour.

    Raises
    ------
    OSError, ValueError
        The source cannot be read.
    """
    image_sets = read_source(source).frame
    channels = choose_channels(image_sets)
    keys = wells[["plate", "well"]].set_axis([PLATE, WELL], axis=1)
    wanted = find_image_sets(image_sets, keys)

    def read(row: int) -> list[np.ndarray] | None:
        try:
            return read_small_planes(wanted[row], channels, source.storage, SIDE)
        except (OSError, ValueError):
            # If one image is damaged, the others are still worth showing.
            return None

    with ThreadPoolExecutor(READERS) as readers:
        stacks = dict(zip(wanted, readers.map(read, wanted)))
    colored = color_planes({row: planes for row, planes in stacks.items() if planes})
    written = write_pictures(list(colored.values()))
    names = [(wells["plate"][row], wells["well"][row]) for row in colored]
    return dict(zip(names, written)), word_colors(channels)


def write_pictures(pictures: Sequence[np.ndarray]) -> list[bytes]:
    """Write pictures as JPEG files that fit on the page together.

    Parameters
    ----------
    pictures : sequence of numpy.ndarray (height, width, 3), uint8
        In colour.

    Returns
    -------
    list of bytes
        All in the best of four qualities with which they take 6 MB or less together.
    """
    for quality in QUALITIES:
        written = [_write_jpeg(pixels, quality) for pixels in pictures]
        if sum(map(len, written)) <= MOST_BYTES:
            break
    return written


def _write_jpeg(pixels: np.ndarray, quality: int) -> bytes:
    file = io.BytesIO()
    # Without subsampling: neighbouring pixels keep their colours, the channels.
    Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling=0)
    return file.getvalue()

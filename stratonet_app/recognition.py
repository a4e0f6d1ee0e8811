"""What is recognised in a folder or table, by the same code that ``extract`` uses.

All of this runs in a separate process, see `stratonet_app.apart`, so it returns plain
texts and numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from stratonet.arguments import name_flags
from stratonet.extraction.command import FLAGS
from stratonet.extraction.preflight import probe_images
from stratonet.extraction.sources.imagesets import (
    ImageSets,
    ImageSource,
    list_channels,
)
from stratonet.extraction.sources.read import read_source
from stratonet.extraction.units import split_units
from stratonet.messages import redact_text
from stratonet.naming import URL, image_column, metadata_columns
from stratonet.tables.columns import PLATE, SITE, WELL
from stratonet.tables.keys import write_keys
from stratonet_app.choices import Choices

# How many rows of the table, and how many names of skipped files, the page shows.
N_ROWS, N_SKIPPED = 8, 20


@dataclass(frozen=True)
class SourceContent:
    """What a source holds.

    Attributes
    ----------
    plates, wells, sites, channels : list of str
        Each name once, in order.
    n_image_sets, n_wells, n_images : int
        Wells of different plates count separately.
    n_without : int
        Image sets that lack an image of one channel or more.
    header : list of str
        Names of the columns of the table.
    rows : list of list of str
        Its first rows; of each path, only the name of the file.
    skipped : list of str
        The first files that were skipped because of their names or types.
    n_skipped : int
        Number of all skipped files.
    metadata : list of str
        Columns of metadata other than plate, well and site.
    """

    plates: list[str]
    wells: list[str]
    sites: list[str]
    channels: list[str]
    n_image_sets: int
    n_wells: int
    n_images: int
    n_without: int
    header: list[str]
    rows: list[list[str]]
    skipped: list[str]
    n_skipped: int
    metadata: list[str]


@dataclass(frozen=True)
class Refused:
    """Why a source, or an image of it, cannot be used, with what to do."""

    reason: str


# The source that was read last: a preview needs the same one.
_last: dict[ImageSource, ImageSets] = {}


def recognize(choices: Choices) -> SourceContent | Refused:
    """Read what a source holds.

    Parameters
    ----------
    choices : Choices
        Where the images are, and how they are found there.

    Returns
    -------
    SourceContent or Refused
    """
    _last.clear()
    try:
        source = choices.image_source
        image_sets = read_image_sets(source)
        # A table may name images on another machine.
        for channel in list_channels(image_sets.frame)[:1]:
            probe_images(image_sets.frame, channel, source)
        # Refuses what would be refused later, such as a plate without a name.
        n_wells = len(split_units(image_sets.frame))
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        return Refused(explain_error(error))
    return _describe(image_sets, n_wells)


def read_image_sets(source: ImageSource) -> ImageSets:
    """Read the image sets of a source, or return those that were read last."""
    if source not in _last:
        _last.clear()
        _last[source] = read_source(source)
    return _last[source]


def explain_error(error: BaseException) -> str:
    """Word an error of the library as the command words it."""
    return redact_text(name_flags(str(error), FLAGS))


def _describe(image_sets: ImageSets, n_wells: int) -> SourceContent:
    frame = image_sets.frame
    channels = list_channels(frame)
    images = frame[[image_column(URL, channel) for channel in channels]]
    metadata = metadata_columns(frame)
    return SourceContent(
        plates=_list_names(frame, PLATE),
        wells=_list_names(frame, WELL),
        sites=_list_names(frame, SITE),
        channels=channels,
        n_image_sets=len(frame),
        n_wells=n_wells,
        n_images=int(images.notna().to_numpy().sum()),
        n_without=int(images.isna().any(axis=1).sum()),
        header=[*(name.partition("_")[2] for name in metadata), *channels],
        rows=_write_rows(frame.head(N_ROWS), metadata, list(images)),
        skipped=list(image_sets.skipped[:N_SKIPPED]),
        n_skipped=len(image_sets.skipped),
        metadata=[name for name in metadata if name not in (PLATE, WELL, SITE)],
    )


def _list_names(frame: pd.DataFrame, column: str) -> list[str]:
    if column not in frame:
        return []
    return list(write_keys(frame[column]).dropna().unique())


def _write_rows(
    frame: pd.DataFrame, metadata: Sequence[str], images: Sequence[str]
) -> list[list[str]]:
    rows = []
    for row in frame.to_dict("records"):
        texts = ["" if row[name] is None else str(row[name]) for name in metadata]
        paths = [redact_text(row[name] or "no image") for name in images]
        rows.append([*texts, *(path.rpartition("/")[2] for path in paths)])
    return rows

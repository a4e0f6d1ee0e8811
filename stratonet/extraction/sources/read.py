"""Reading image sets from a source of any type."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations

import pandas as pd

from stratonet.extraction.sources.columbus import ColumbusSource
from stratonet.extraction.sources.folders import FolderSource
from stratonet.extraction.sources.gallery import PREFIX, GallerySource
from stratonet.extraction.sources.imagesets import (
    ImageSets,
    ImageSource,
    NotMine,
    Source,
    choose_channels,
    list_channels,
)
from stratonet.extraction.sources.loaddata import TableSource
from stratonet.extraction.sources.microscopes import MicroscopeSource
from stratonet.files.microscopes.opening import forget_open_files
from stratonet.files.urls import redact_url
from stratonet.naming import FRAME, SERIES, URL, image_column, metadata_columns
from stratonet.tables.columns import PIXEL_SIZE, STACK_PROJECTION

# All sources, in the order in which they are tried. A name such as jump:... is not a
# path, so its source comes first.
SOURCES: tuple[Source, ...] = (
    GallerySource(),
    MicroscopeSource(),
    ColumbusSource(),
    FolderSource(),
    TableSource(),
)


# Columns with the height of a plane, if it comes from the names of files.
PLANE_COLUMNS = ("Metadata_Z", "Metadata_Plane")


def read_source(
    source: ImageSource, channels: Mapping[str, str] | None = None
) -> ImageSets:
    r"""Read the image sets of one source.

    Parameters
    ----------
    source : ImageSource
        Where they are.
    channels : mapping of str to str, optional
        The channels to use, in this order: names in the features to names in the
        source. Default: all.

    Returns
    -------
    ImageSets
        In normal form, see `stratonet.extraction.sources.imagesets`.

    Raises
    ------
    FileNotFoundError
        There is no such table, folder or plate.
    Unreachable
        The server, bucket or disk of the source cannot be reached.
    ValueError
        The source cannot be understood, names no image sets or one of them twice, lacks
        a requested channel, names the same plane for two channels, or has a size of
        pixels or a projection although the user gives one, too.

    Examples
    --------
    >>> import os, tempfile
    >>> folder = tempfile.mkdtemp()
    >>> path = os.path.join(folder, "load_data.csv")
    >>> table = "Metadata_Plate,Metadata_Well,URL_DNA\nP1,A01,/data/1.tif\n"
    >>> with open(path, "w") as file:
    ...     _ = file.write(table)
    >>> read_source(ImageSource(path)).frame.to_dict("records")
    [{'Metadata_Plate': 'P1', 'Metadata_Well': 'A01', 'URL_DNA': '/data/1.tif'}]
    """
    forget_open_files()
    image_sets = _try_sources(source)
    if source.pixel_size is not None:
        frame = _add_pixel_size(image_sets.frame, source.pixel_size, source.path)
        image_sets = replace(image_sets, frame=frame)
    if source.project is not None:
        frame = _add_projection(image_sets.frame, source.project, source.path)
        image_sets = replace(image_sets, frame=frame)
    chosen_channels = None if channels is None else set(channels.values())
    _check_planes(image_sets.frame, chosen_channels, source.path)
    if channels is None:
        return image_sets
    frame = choose_channels(image_sets.frame, channels, source.path)
    return replace(image_sets, frame=frame)


def _try_sources(source: ImageSource) -> ImageSets:
    # The first source that accepts the location is used, even if it raises an error.
    for reader in SOURCES:
        try:
            return reader.read(source)
        except NotMine:
            continue
    raise FileNotFoundError(
        f"{redact_url(source.path)} is not there: give a table, a folder of images, or"
        f" {PREFIX}<source>/<batch>/<plate>."
    )


def _add_pixel_size(frame: pd.DataFrame, pixel_size: float, path: str) -> pd.DataFrame:
    """Add the user's pixel size to each image set.

    So it is stored beside the features, and wells measured with another pixel size
    count as different wells.
    """
    if PIXEL_SIZE in frame:
        raise ValueError(
            f"{redact_url(path)} has a column {PIXEL_SIZE}. Received also a"
            f" `pixel_size`: {pixel_size}. Leave one of them out."
        )
    position = len(metadata_columns(frame))
    frame = frame.copy()
    frame.insert(position, PIXEL_SIZE, pixel_size)
    return frame


def _add_projection(frame: pd.DataFrame, project: str, path: str) -> pd.DataFrame:
    """Add the user's choice of how stacks become planes to each image set.

    So it is stored beside the features, and wells with another projection count as
    different wells.
    """
    if STACK_PROJECTION in frame:
        raise ValueError(
            f"{redact_url(path)} has a column {STACK_PROJECTION}. Received also a"
            f" `project`: {project}. Leave one of them out."
        )
    for name in PLANE_COLUMNS:
        if name in frame and frame[name].nunique() > 1:
            raise ValueError(
                f"{redact_url(path)}: the planes of a stack are separate files"
                f" ({name}), and each is an image set. Received a `project`: {project},"
                " which only works for a stack in one file. Leave it out."
            )
    position = len(metadata_columns(frame))
    frame = frame.copy()
    frame.insert(position, STACK_PROJECTION, project)
    return frame


def _check_planes(
    frame: pd.DataFrame, chosen_channels: set[str] | None, path: str
) -> None:
    """Refuse image sets in which two channels are the same plane.

    A user may still choose the same channel of the source twice.
    """
    channels = list_channels(frame)
    if chosen_channels is not None:
        channels = [name for name in channels if name in chosen_channels]
    for first, second in combinations(channels, 2):
        urls = frame[image_column(URL, first)]
        is_same = urls.notna() & (urls == frame[image_column(URL, second)])
        for prefix in (FRAME, SERIES):
            numbers = [
                frame.get(image_column(prefix, name), pd.Series(0, frame.index))
                for name in (first, second)
            ]
            is_same &= numbers[0] == numbers[1]
        if is_same.any():
            row = int(is_same.to_numpy().argmax())
            raise ValueError(
                f"{redact_url(path)}: {first} and {second} are one plane in"
                f" {is_same.sum():,} of {len(frame):,} image sets, such as"
                f" {redact_url(urls.iloc[row])} in row {row + 1} (counted from 1)."
                " Correct the table, or name the `channels` to measure."
            )

"""Tables of image sets in *normal form*, and the contract of sources, which read them.

A table in normal form has one row per image set, and these columns in this order::

    Metadata_*        as the source gives them, always with Metadata_Plate and
                      Metadata_Well. Metadata_PixelSize, in micrometres, and
                      Metadata_StackProjection, how stacks become planes, may come from
                      the user instead
    URL_<X>           for each channel X, the location of its image: an absolute path or
                      a URL; None if no file is named
    Frame_<X>         the plane in a stack, and the image in a file that holds several,
    Series_<X>        from 0; only if the source gives them
    Illumination_<X>  the location of the illumination function of X; only if the source
                      gives it
    Labels_<N>        for each label image N, its location
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from stratonet.files.images import Content, decode_plane, read_content
from stratonet.files.projections import check_projection
from stratonet.files.storage import Storage
from stratonet.files.urls import is_url, redact_url, to_local_path
from stratonet.messages import suggest_name
from stratonet.naming import (
    FRAME,
    ILLUMINATION,
    LABELS,
    SERIES,
    URL,
    image_column,
    list_image_channels,
    metadata_columns,
)
from stratonet.tables.columns import PIXEL_SIZE, STACK_PROJECTION

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


class NotMine(Exception):
    """Raised by a `Source` that does not read this type of location."""


@dataclass(frozen=True)
class ImageSource:
    """Where images are, and how they are found there.

    Attributes
    ----------
    location : str or path
        A table (CellProfiler's LoadData as ``.csv``, ``.csv.gz`` or ``.parquet``; the
        image table of BBBC021), a folder or S3 prefix of images, or
        ``jump:<source>/<batch>/<plate>``, a plate of the cellpainting-gallery.
    pattern : str, optional
        For folders: how their files are named, see
        `stratonet.extraction.sources.folders.read_folder`.
    base : str or path, optional
        For tables: folder or URL to which the paths of images are relative. Default:
        the folder of the table.
    replace : sequence of (str, str)
        For tables: pairs of the beginning of a path and its replacement. The first pair
        that fits is used.
    endpoint, region, anonymous
        See `stratonet.files.storage.Storage`.
    pixel_size : float, optional
        Side of a pixel of these images in micrometres, for recipes in micrometres.
        Default: the column ``Metadata_PixelSize`` of the table.
    project : {"max", "mean", "middle"}, optional
        How the z-planes of a file become one plane. Default: the column
        ``Metadata_StackProjection`` of the table; without it, stacks are refused.

    Examples
    --------
    >>> ImageSource("s3://bucket/plates", pattern="phenix", anonymous=True).pattern
    'phenix'
    """

    location: str
    pattern: str | None = None
    base: str | None = None
    replace: tuple[tuple[str, str], ...] = ()
    endpoint: str | None = None
    region: str | None = None
    anonymous: bool = False
    pixel_size: float | None = None
    project: str | None = None

    def __repr__(self) -> str:
        return f"ImageSource({redact_url(self.location)!r})"

    def __post_init__(self) -> None:
        # Paths of any type are stored as text, so that equal sources compare equal.
        object.__setattr__(self, "location", to_local_path(os.fspath(self.location)))
        if self.base is not None:
            object.__setattr__(self, "base", to_local_path(os.fspath(self.base)))
        check_projection(self.project)
        # Tuples, so that a source can be hashed and sent to other machines.
        pairs = tuple((str(old), str(new)) for old, new in self.replace)
        object.__setattr__(self, "replace", pairs)

    @property
    def storage(self) -> Storage:
        """The storage that reads the files of this source."""
        return Storage(self.endpoint, self.region, self.anonymous)

    @property
    def path(self) -> str:
        """The location as an absolute path or URL."""
        # Absolute, since a run may be resumed from another working directory.
        if is_url(self.location):
            return self.location
        return os.path.abspath(self.location)


@dataclass(frozen=True, eq=False)
class ImageSets:
    """The image sets of a source.

    Attributes
    ----------
    frame : pandas.DataFrame
        In normal form, see `stratonet.extraction.sources.imagesets`.
    skipped : tuple of str
        Images that belong to no image set, because their names do not match the
        pattern or their format is not read.
    """

    frame: pd.DataFrame
    skipped: tuple[str, ...] = ()


class Source(Protocol):
    """Reads image sets from one type of location: the contract of a source.

    A source keeps no state between calls.
    `stratonet.extraction.checks.check_source` checks a source, and
    `stratonet.extraction.sources.read.SOURCES` lists all sources.
    """

    def read(self, source: ImageSource) -> ImageSets:
        """Read the image sets that a location holds.

        Parameters
        ----------
        source : ImageSource
            All files are read through ``source.storage``, so that local paths, S3 and
            the web work alike.

        Returns
        -------
        ImageSets
            One row per image set, in normal form: every row has a plate and a well
            (text), no two rows name the same planes, and paths are absolute. The rows
            of the feature table have the same order. Reading the same files again gives
            the same table.

        Raises
        ------
        NotMine
            This source does not read this type of location. It decides this by the
            location's form, or by whether the location is a file or a folder.
        FileNotFoundError
            The location has the right form, but does not exist.
        ValueError
            There are no image sets, an image set occurs twice, or the content cannot be
            understood. The message says what was received and what to do.
        """
        ...


def get_pixel_size(row: Mapping[str, Any]) -> float | None:
    """Get the side of a pixel of an image set, in micrometres.

    Parameters
    ----------
    row : mapping
        The image set in normal form.

    Returns
    -------
    float or None
        None if it is not given; NaN if it is not a number.

    Examples
    --------
    >>> get_pixel_size({"Metadata_PixelSize": "0.65"})
    0.65
    """
    value = row.get(PIXEL_SIZE)
    if value is None or value == "":
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def make_sort_key(*texts: str | None) -> list[list[str | int]]:
    """Make a sort key that puts A2 before A10.

    Parameters
    ----------
    *texts : str, optional
        What is sorted by: first by the first text, then by the second, ...

    Returns
    -------
    list of list of str or int

    Examples
    --------
    >>> sorted(["A10", "A2"], key=make_sort_key)
    ['A2', 'A10']
    """
    # Letters and numbers alternate, letters first, so that only letters are compared
    # with letters, and numbers with numbers.
    pieces = [re.split(r"(\d+)", text or "") for text in texts]
    return [[int(x) if x.isdecimal() else x for x in split] for split in pieces]


def list_channels(frame: pd.DataFrame) -> list[str]:
    """List the names of the channels of a table in normal form.

    Parameters
    ----------
    frame : pandas.DataFrame
        In normal form.
    """
    return list_image_channels(frame)


def choose_channels(
    frame: pd.DataFrame, channels: Mapping[str, str], source: str
) -> pd.DataFrame:
    """Keep some channels of a table in normal form, under other names.

    Parameters
    ----------
    frame : pandas.DataFrame
        In normal form.
    channels : mapping of str to str
        New names to old ones. The result has the channels in this order.
    source : str
        Name of the table in error messages.

    Returns
    -------
    pandas.DataFrame
        In normal form.

    Raises
    ------
    ValueError
        A channel does not exist.
    """
    source_channels = list_channels(frame)
    unknown_channels = [
        name for name in channels.values() if name not in source_channels
    ]
    if unknown_channels:
        raise ValueError(
            f"{redact_url(source)} has the channels {', '.join(source_channels)}."
            f" Received: {', '.join(unknown_channels)}. Choose among them."
            f"{suggest_name(unknown_channels[0], source_channels)}"
        )
    # The order of normal form, with the channels in the requested order.
    old_names = metadata_columns(frame)
    new_names = list(old_names)
    for new, old in channels.items():
        for prefix in (URL, FRAME, SERIES, ILLUMINATION):
            if image_column(prefix, old) in frame:
                old_names.append(image_column(prefix, old))
                new_names.append(image_column(prefix, new))
    # Label images belong to image sets, not to channels, so they stay.
    labels = [image_column(LABELS, name) for name in list_image_channels(frame, LABELS)]
    # Assigned by position: a new name may be the old name of another channel.
    chosen_columns = frame[[*old_names, *labels]]
    chosen_columns.columns = [*new_names, *labels]
    return chosen_columns


def read_image(row: Mapping[str, Any], channel: str, storage: Storage) -> np.ndarray:
    """Read the plane of one channel of an image set.

    Parameters
    ----------
    row : mapping
        An image set in normal form, as ``frame.to_dict("records")`` gives it, or a row
        of the frame.
    channel : str
        Its name in the row.
    storage : Storage
        What reads the file, see `ImageSource.storage`.

    Returns
    -------
    numpy.ndarray (height, width)
        As stored in the file, with the same dtype.

    Raises
    ------
    FileNotFoundError, PermissionError
        The file cannot be read.
    Unreachable
        The server, bucket or disk of the images cannot be reached.
    ValueError
        No file is named, or it holds no grey plane, see
        `stratonet.files.images.decode_plane`.
    """
    return decode_image(row, channel, read_image_content(row, channel, storage))


def read_image_content(
    row: Mapping[str, Any], channel: str, storage: Storage
) -> Content:
    """Read the file of one channel of an image set, or its plane in a large file.

    Parameters
    ----------
    row, channel, storage
        See `read_image`.

    Returns
    -------
    bytes or ReadPixels
    """
    url = row[image_column(URL, channel)]
    # A row that lacks one of its files is still an image set.
    if url is None:
        raise ValueError("the table names no file")
    return read_content(url, storage, *_list_plane_numbers(row, channel))


def _list_plane_numbers(
    row: Mapping[str, Any], channel: str
) -> tuple[int | None, int | None, str | None]:
    """Return frame and series of a channel in its file, and the projection."""
    frame = row.get(image_column(FRAME, channel))
    series = row.get(image_column(SERIES, channel))
    # The column may have gaps.
    projection = row.get(STACK_PROJECTION)
    return frame, series, projection if isinstance(projection, str) else None


def decode_image(row: Mapping[str, Any], channel: str, content: Content) -> np.ndarray:
    """Decode the plane of one channel from the bytes of its file.

    Reading and decoding are separate: files are read in threads of their own, which
    wait for S3, while the thread that measures a plane also decodes it, so that it
    stays in the cache of its core.

    Parameters
    ----------
    row, channel
        See `read_image`.
    content : bytes or ReadPixels
        What `read_image_content` returns.

    Returns
    -------
    numpy.ndarray (height, width)
    """
    # Messages begin with this name, and the query of a URL may be a signature.
    name = redact_url(row[image_column(URL, channel)])
    return decode_plane(content, name, *_list_plane_numbers(row, channel))

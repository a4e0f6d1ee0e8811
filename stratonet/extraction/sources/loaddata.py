"""Tables of image sets: CellProfiler's LoadData, BBBC021's, and labelled plates'."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Sequence
from dataclasses import dataclass, field

import pandas as pd

from stratonet.extraction.sources.bbbc021 import convert_bbbc021, is_bbbc021
from stratonet.extraction.sources.filepaths import FileLocator
from stratonet.extraction.sources.imagesets import ImageSets, ImageSource, NotMine
from stratonet.extraction.sources.labels import convert_labels, is_labels
from stratonet.extraction.sources.tablefiles import FILE_COLUMN, read_image_set_table
from stratonet.files.spelling import find_file
from stratonet.files.storage import Storage
from stratonet.files.urls import drop_query, is_url, redact_url
from stratonet.messages import shorten_list
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
from stratonet.tables.columns import PLATE, WELL
from stratonet.tables.keys import check_names

# The names of illumination functions in LoadData tables begin with this.
FUNCTION_PREFIX = "Illum"


class TableSource:
    """Tables of image sets as CellProfiler's LoadData takes them.

    A channel X has a column ``FileName_X``, with or without ``PathName_X``, or a column
    ``URL_X``, which has priority where it is filled in. ``Frame_X`` and ``Series_X``
    name a plane of its file. Such columns of ``IllumX`` name the illumination functions
    of the channel ``OrigX`` or ``X``, if there is one. Columns of label images are
    named like those of channels, with ``Objects`` or ``Objects_`` in front. All names
    may begin with ``Image_``; other columns are dropped, except ``Metadata_*``.
    """

    def read(self, source: ImageSource) -> ImageSets:
        """Read the image sets of a table, see `Source.read`.

        Parameters
        ----------
        source : ImageSource
            A table, and optionally base and replacements for its paths.
        """
        path = find_file(source.path, source.storage)
        if path is None:
            raise NotMine
        frame = read_loaddata(path, source.storage, source.base, source.replace)
        return ImageSets(frame)


def read_loaddata(
    path: str,
    storage: Storage,
    base: str | None = None,
    replace: Sequence[tuple[str, str]] = (),
) -> pd.DataFrame:
    """Read a table of image sets, see `TableSource`.

    Parameters
    ----------
    path : str
        Absolute path, or URL.
    storage : Storage
        What reads the file.
    base, replace
        See `stratonet.extraction.sources.imagesets.ImageSource`.

    Returns
    -------
    pandas.DataFrame
        In normal form.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        The file cannot be read as a table; there is no plate, well, channel or row; two
        rows name the same files; or frames are not numbers.
    """
    table = read_image_set_table(path, storage)
    # Messages show the column names that the user wrote.
    received = list(table)
    folder = _find_folder(path)
    if is_bbbc021(table):
        table = convert_bbbc021(table, folder, storage)
    elif is_labels(table):
        table = convert_labels(table, folder)
    files = _find_file_columns(table)
    _check_table(path, table, files, received)
    frame = _build_frame(path, table, files, FileLocator(base or folder, replace))
    _check_duplicates(path, frame)
    return frame


# For each image name, the names of its columns in the table, by their prefix (FileName,
# PathName, URL, Frame and Series).
_Images = dict[str, dict[str, str]]


@dataclass
class _FileColumns:
    """Columns that name files: of channels, illumination functions, label images."""

    channels: _Images = field(default_factory=dict)
    illumination: _Images = field(default_factory=dict)
    labels: _Images = field(default_factory=dict)


def _find_folder(path: str) -> str:
    if is_url(path):
        return posixpath.dirname(drop_query(path))
    return os.path.dirname(path)


def _find_file_columns(table: pd.DataFrame) -> _FileColumns:
    files = _FileColumns()
    for column in table:
        match = FILE_COLUMN.fullmatch(column)
        if match:
            images = files.labels if match["labels"] else files.channels
            images.setdefault(match["name"], {})[match["kind"]] = column
    files.channels = _drop_nameless(files.channels)
    files.labels = _drop_nameless(files.labels)
    # LoadData loads illumination functions like channels. Only the name tells them
    # apart, and only if there is a channel that they correct.
    for name in list(files.channels):
        if name.startswith(FUNCTION_PREFIX):
            channel = _find_corrected_channel(name, files)
            if channel is not None:
                files.illumination[channel] = files.channels.pop(name)
    return files


def _drop_nameless(images: _Images) -> _Images:
    """Drop images for which the table names only the folder or the frame."""
    return {
        name: columns
        for name, columns in images.items()
        if "FileName" in columns or "URL" in columns
    }


def _find_corrected_channel(name: str, files: _FileColumns) -> str | None:
    """Find the channel that an illumination function belongs to."""
    # JUMP calls the raw images OrigDNA, and the corrected ones DNA.
    short_name = name.removeprefix(FUNCTION_PREFIX)
    for channel in (f"Orig{short_name}", short_name):
        if channel in files.channels:
            return channel
    return None


def _check_table(
    path: str, table: pd.DataFrame, files: _FileColumns, received: Sequence[str]
) -> None:
    """Refuse a table without plate, well, channel or rows."""
    location = redact_url(path)
    lacking = [name for name in (PLATE, WELL) if name not in table]
    if not files.channels:
        lacking.append("FileName_<channel> or URL_<channel>")
    if lacking:
        raise ValueError(
            f"{location} lacks {', '.join(lacking)}. Received the columns"
            f" {shorten_list(received)}. Add these columns, or rename yours."
        )
    if table.empty:
        raise ValueError(
            f"{location} has no rows. Received the columns"
            f" {shorten_list(received)}. Is it the right table?"
        )
    # All else may be missing; without these, a row cannot be stored in the destination.
    is_empty = table[[PLATE, WELL]].isna().any(axis=1)
    if is_empty.any():
        row = _name_row(is_empty.idxmax())
        raise ValueError(
            f"{location}: row {row} has no {PLATE} or {WELL}: it is empty, or nan. Fill"
            " them in."
        )
    check_names(table, location)


def _build_frame(
    path: str, table: pd.DataFrame, files: _FileColumns, locator: FileLocator
) -> pd.DataFrame:
    """Build the table in normal form."""
    columns = {name: _redact_urls(table[name]) for name in metadata_columns(table)}
    for channel, source_columns in files.channels.items():
        urls = locator.locate_files(table, source_columns)
        columns[image_column(URL, channel)] = urls
        for prefix in (FRAME, SERIES):
            if prefix in source_columns:
                numbers = _parse_frame_numbers(path, table[source_columns[prefix]])
                columns[image_column(prefix, channel)] = numbers
        if channel in files.illumination:
            functions = locator.locate_files(table, files.illumination[channel])
            columns[image_column(ILLUMINATION, channel)] = functions
    for name, source_columns in files.labels.items():
        urls = locator.locate_files(table, source_columns)
        columns[image_column(LABELS, name)] = urls
    return pd.DataFrame(columns)


def _redact_urls(values: pd.Series) -> pd.Series:
    """Remove the signatures of URLs from metadata, which may be shared in tables."""
    if values.dtype != object:
        return values
    # Not with map, for which pandas 3 turns None in a column of texts into NaN.
    texts = [redact_url(text) if isinstance(text, str) else text for text in values]
    return pd.Series(texts, values.index, dtype=object)


def _name_row(index: int) -> str:
    return f"{index + 1} (counted from 1, without the header)"


def _parse_frame_numbers(path: str, values: pd.Series) -> pd.Series:
    """Parse numbers from 0; 0 where nothing is filled in."""
    numbers = pd.to_numeric(values, errors="coerce")
    # A gap is no mistake: files without stacks need no frame.
    is_count = (numbers >= 0) & (numbers % 1 == 0)
    is_wrong = values.notna() & ~is_count
    if is_wrong.any():
        index = is_wrong.idxmax()
        raise ValueError(
            f"{redact_url(path)}: {values.name} counts from 0. Received:"
            f" {values[index]!r} in row {_name_row(index)}. Correct it."
        )
    return numbers.fillna(0).astype(int)


def _check_duplicates(path: str, frame: pd.DataFrame) -> None:
    """Refuse a table in which two rows name the same planes."""
    urls = [image_column(URL, channel) for channel in list_image_channels(frame)]
    numbers = []
    for prefix in (FRAME, SERIES):
        for channel in list_image_channels(frame, prefix):
            numbers.append(image_column(prefix, channel))
    planes = frame[[*urls, *numbers]]
    # Image sets without any file cannot be told apart.
    has_file = planes[urls].notna().any(axis=1)
    repeated = planes[has_file & planes.duplicated(keep=False)]
    if repeated.empty:
        return
    # The first two are enough: they show what to look for.
    rows = list(repeated.itertuples(index=False, name=None))
    first = repeated.index[0] + 1
    second = repeated.index[rows.index(rows[0], 1)] + 1
    raise ValueError(
        f"{redact_url(path)} has one image set twice: rows {first} and {second}"
        " (counted from 1, without the header) name the same files for all"
        " channels. Remove one of them."
    )

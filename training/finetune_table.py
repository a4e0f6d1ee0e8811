"""Read tables of labelled images, on which a network is fine-tuned."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from stratonet.extraction.job import (
    SIZE,
    Objects,
    ObjectsFromCenters,
    ObjectsFromLabels,
    WholeImages,
)
from stratonet.extraction.sources.filepaths import FileLocator
from stratonet.extraction.sources.imagesets import ImageSource, list_channels
from stratonet.extraction.sources.read import read_source
from stratonet.extraction.sources.tablefiles import FILE_COLUMN, read_image_set_table
from stratonet.extraction.units import Unit, read_centers, split_units
from stratonet.messages import shorten_list
from stratonet.naming import (
    LABELS,
    METADATA,
    URL,
    check_channel,
    image_column,
    list_image_channels,
)
from stratonet.tables.columns import CENTER, OBJECT_NUMBER, PLATE, WELL
from stratonet_sklearn.evaluation.columns import find_column, get_column

# Columns of plain tables that name files: `file`, or `file_DNA` for a channel.
_PLAIN = re.compile(r"(?:file|image|path)(?:_(?P<channel>\w+))?", re.IGNORECASE)
# Name of the channel if a table has one column of files.
ONLY_CHANNEL = "Image"


@dataclass(frozen=True, eq=False)
class Assay:
    """The labelled images of one table.

    Attributes
    ----------
    name : str
        Name of the table's file, without its suffix.
    source : ImageSource
        The table.
    channels : tuple of str
    units : list of Unit
        The image sets by well; their rows have the column ``label``.
    label : str
        The column of classes, ``Metadata_...``.
    objects : WholeImages, ObjectsFromLabels or ObjectsFromCenters
        Whether whole images or objects are the examples.
    object_labels : pandas.Series or None
        Class by object number, if the table has a row per object; otherwise all objects
        of an image have the class of the image.
    """

    name: str
    source: ImageSource
    channels: tuple[str, ...]
    units: list[Unit]
    label: str
    objects: Objects
    object_labels: pd.Series | None = None


def read_assay(
    source: ImageSource,
    label: str,
    channels: Mapping[str, str] | None = None,
    objects: Objects | None = None,
    size: int = SIZE,
) -> Assay:
    r"""Read a table of labelled images.

    Parameters
    ----------
    source : ImageSource
        A table as `stratonet.extraction.extract` takes it, with a column of classes;
        or a plain table, with a row per image and the columns ``file`` (or
        ``file_<channel>`` for each channel), plate and well. A plain table that also
        has ``Location_Center_X`` and ``Location_Center_Y`` has a row per object.
    label : str
        The column of classes, with or without ``Metadata_``; case does not matter. Rows
        without a class are left out.
    channels : mapping of str to str, optional
        Channels to take: maps new names to channels of the table, or to columns of a
        plain table. Default: all.
    objects : WholeImages, ObjectsFromLabels or ObjectsFromCenters, optional
        What to take as an example. Default: whole images, or the objects of a plain
        table with a row per object.
    size : int
        Side of the square around each object of a plain table, in pixels.

    Returns
    -------
    Assay

    Raises
    ------
    FileNotFoundError
        There is no such table.
    ValueError
        Columns are missing, or no row has a class.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "mitosis.csv")
    >>> _ = path.write_text("file,plate,well,phase\n1.png,P1,A01,metaphase\n")
    >>> assay = read_assay(ImageSource(path), "phase")
    >>> assay.name, assay.channels, assay.units[0].rows["Metadata_phase"].tolist()
    ('mitosis', ('Image',), ['metaphase'])
    """
    objects = objects or WholeImages()
    table = read_image_set_table(source.path, source.storage)
    name = Path(source.path).name.partition(".")[0]
    if _is_load_data(table):
        frame = read_source(source, channels).frame
        # read_source drops columns without Metadata_, but keeps the order of rows.
        if f"{METADATA}{label}" not in frame and label in table:
            frame.insert(0, f"{METADATA}{label}", table[label])
    else:
        frame = _convert_plain(table, source, channels)
    column = find_column(frame, label)
    frame = _select_labelled(frame, column, source)
    channel_names = tuple(list_channels(frame))
    if set(CENTER).issubset(frame):
        if not isinstance(objects, WholeImages):
            raise ValueError(
                f"{source.location} has a row per object ({', '.join(CENTER)}), but"
                " `labels` and `centres` are for tables with a row per image."
            )
        return _make_assay_of_objects(name, source, channel_names, frame, column, size)
    if isinstance(objects, ObjectsFromLabels):
        _check_label_image(frame, objects.label, source)
    centers = None
    if isinstance(objects, ObjectsFromCenters):
        centers = read_centers(objects.table, source.storage)
    units = split_units(frame, centers)
    return Assay(name, source, channel_names, units, column, objects)


def _is_load_data(table: pd.DataFrame) -> bool:
    matches = [FILE_COLUMN.fullmatch(name) for name in table]
    return any(match and match["kind"] in ("FileName", "URL") for match in matches)


def _convert_plain(
    table: pd.DataFrame, source: ImageSource, channels: Mapping[str, str] | None
) -> pd.DataFrame:
    """Convert a plain table to normal form, with the centres of objects if present."""
    files = _find_files(table, source, channels)
    columns = {}
    for name in table:
        if name in CENTER:
            columns[name] = pd.to_numeric(table[name])
        elif name not in files.values():
            columns[_name_metadata(name)] = table[name]
    lacking = [name for name in (PLATE, WELL) if name not in columns]
    if lacking:
        raise ValueError(
            f"{source.location} lacks {', '.join(lacking)} (plate, well). Received the"
            f" columns {shorten_list(list(table))}. Add them: the test needs plates"
            " or wells that were not used for training."
        )
    folder = source.base or os.path.dirname(source.path)
    locator = FileLocator(folder, source.replace)
    for channel, column in files.items():
        urls = locator.locate_files(table, {"FileName": column})
        columns[image_column(URL, channel)] = urls
    frame = pd.DataFrame(columns)
    for name in (PLATE, WELL):
        if frame[name].isna().any():
            raise ValueError(f"{source.location}: rows have no {name}. Fill them in.")
        frame[name] = frame[name].astype(str)
    return frame


def _find_files(
    table: pd.DataFrame, source: ImageSource, channels: Mapping[str, str] | None
) -> dict[str, str]:
    """Return the column of each channel's files."""
    file_columns: dict[str, str] = {}
    for column in table:
        match = _PLAIN.fullmatch(column)
        if match:
            file_columns.setdefault(match["channel"] or ONLY_CHANNEL, column)
    if channels is not None:
        choices = {**{column: column for column in table}, **file_columns}
        unknown = [old for old in channels.values() if old not in choices]
        if unknown:
            raise ValueError(
                f"{source.location} has no column or channel {', '.join(unknown)}."
                f" Received the columns {shorten_list(list(table))}"
            )
        file_columns = {new: choices[old] for new, old in channels.items()}
    if not file_columns:
        raise ValueError(
            f"{source.location} names no images. Received the columns"
            f" {shorten_list(list(table))}. Name the column of files `file`, or"
            " `file_DNA` for a channel DNA, or choose columns by `channels`."
        )
    for channel in file_columns:
        check_channel(channel)
    return file_columns


def _name_metadata(column: str) -> str:
    for name in (PLATE, WELL):
        if column.lower() == name.removeprefix(METADATA).lower():
            return name
    return column if column.startswith(METADATA) else f"{METADATA}{column}"


def _select_labelled(
    frame: pd.DataFrame, column: str, source: ImageSource
) -> pd.DataFrame:
    labels = get_column(frame, column)
    frame = frame.assign(**{column: labels})[labels != ""].reset_index(drop=True)
    if frame.empty:
        raise ValueError(f"{source.location}: {column} is empty in every row.")
    return frame


def _check_label_image(frame: pd.DataFrame, label: str, source: ImageSource) -> None:
    label_images = list_image_channels(frame, LABELS)
    if label not in label_images:
        raise ValueError(
            f"{source.location} has the label images"
            f" {', '.join(label_images) or '(none)'}."
            f" Received: {label}"
        )


def _make_assay_of_objects(
    name: str,
    source: ImageSource,
    channels: tuple[str, ...],
    frame: pd.DataFrame,
    column: str,
    size: int,
) -> Assay:
    """Make the assay of a table with a row per object."""
    urls = [image_column(URL, channel) for channel in channels]
    # Each image is read once for all of its objects.
    image_sets = frame.drop_duplicates([PLATE, WELL, *urls]).drop(columns=list(CENTER))
    # Objects are numbered by the rows of the table.
    centers = frame[list(CENTER)].copy()
    centers.insert(0, OBJECT_NUMBER, frame.index)
    by_image = centers.groupby([frame[key] for key in (PLATE, WELL, *urls)])
    tables = dict(iter(by_image))
    units = []
    for unit in split_units(image_sets):
        keys = unit.rows[[PLATE, WELL, *urls]].itertuples(index=False, name=None)
        units.append(replace(unit, centers=[tables[key] for key in keys]))
    return Assay(
        name,
        source,
        channels,
        units,
        column,
        ObjectsFromCenters(source.path, size),
        object_labels=frame[column],
    )

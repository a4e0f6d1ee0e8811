"""Plates with an index file, which Columbus and Harmony write beside their images."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Mapping, Sequence
from xml.etree import ElementTree

import pandas as pd

from stratonet.extraction.sources.imagesets import (
    ImageSets,
    ImageSource,
    NotMine,
    make_sort_key,
)
from stratonet.files.images import TIFF
from stratonet.files.spelling import find_file, find_folder
from stratonet.files.urls import get_extension, is_url, redact_url
from stratonet.naming import FRAME, METADATA, URL, image_column
from stratonet.tables.wells import make_well_name

# In folders exported by Columbus. It names the channels and the page of each plane.
COLUMBUS_INDEX = "ImageIndex.ColumbusIDX.xml"
# Harmony's index has the same elements. It is only read if the user gives its path: the
# names of its files give everything except the names of channels.
_INDEX = re.compile(
    r"(ImageIndex\.ColumbusIDX|Index(\.idx|\.ref)?)\.xml", re.IGNORECASE
)
# Elements of an image that identify its image set. The others, here with the names of
# their metadata, are only used if their values differ.
_SITE_ELEMENTS = ("Row", "Col", "FieldID")
_OPTIONAL_ELEMENTS = {"PlaneID": "Plane", "TimepointID": "Time"}


class ColumbusSource:
    """Folders exported by Columbus, and index files of Columbus and Harmony."""

    def read(self, source: ImageSource) -> ImageSets:
        """Read the image sets of a plate, see `Source.read`.

        Parameters
        ----------
        source : ImageSource
            A folder with ``ImageIndex.ColumbusIDX.xml``, or an index file.
        """
        path = _find_index(source)
        folder = posixpath.dirname(path)
        images = _list_images(path, source.storage.read(path))
        channels = _name_channels(images)
        rows: dict[tuple[str, ...], dict[str, object]] = {}
        differing_elements = [
            name
            for name in _OPTIONAL_ELEMENTS
            if len({image.get(name) for image in images}) > 1
        ]
        for image in images:
            key = tuple(image[name] for name in (*_SITE_ELEMENTS, *differing_elements))
            row = rows.setdefault(key, _make_metadata(image, differing_elements))
            channel = channels[image["ChannelID"]]
            if image_column(URL, channel) in row:
                raise ValueError(
                    f"{redact_url(path)} names two images for channel {channel} of row"
                    f" {key[0]}, column {key[1]}, field {key[2]}: {image['URL']} is the"
                    " second. Remove one of them."
                )
            row[image_column(URL, channel)] = _locate_image(image["URL"], folder)
            row[image_column(FRAME, channel)] = int(image["BufferNo"])
        return ImageSets(_build_frame(rows, list(channels.values())))


def _find_index(source: ImageSource) -> str:
    path = source.path.rstrip("/")
    if _INDEX.fullmatch(posixpath.basename(path)):
        index_path = find_file(path, source.storage)
        if index_path is None:
            raise FileNotFoundError(f"{redact_url(path)} is not there.")
        return index_path
    # With a pattern, image sets are found by the names of files instead.
    if source.pattern is None and not os.path.splitext(path)[1]:
        folder = find_folder(path, source.storage)
        index = None if folder is None else f"{folder.rstrip('/')}/{COLUMBUS_INDEX}"
        if index is not None and source.storage.exists(index):
            return index
    raise NotMine


def _list_images(path: str, content: bytes) -> list[dict[str, str]]:
    """List the elements of each image by name, together with the name of the plate."""
    name = redact_url(path)
    try:
        root = ElementTree.fromstring(content)
    except ElementTree.ParseError as error:
        raise ValueError(
            f"{name} cannot be read as XML ({error}). Received: {len(content)} bytes."
            " Is the file damaged, or only partly copied?"
        ) from None
    plate = _find_plate(root) or posixpath.basename(posixpath.dirname(path))
    images = []
    for element in root.iter():
        if _get_name(element) == "Image" and len(element):
            image = {_get_name(child): (child.text or "").strip() for child in element}
            for child in element:
                if _get_name(child) == "URL":
                    image["BufferNo"] = child.get("BufferNo", "0")
            image["Plate"] = plate
            images.append(image)
    _check_images(name, images)
    return images


def _find_plate(root: ElementTree.Element) -> str | None:
    plates = [element for element in root.iter() if _get_name(element) == "Plate"]
    if len(plates) != 1:
        return None
    texts = {_get_name(child): (child.text or "").strip() for child in plates[0]}
    return texts.get("Name") or texts.get("PlateID")


def _check_images(name: str, images: Sequence[Mapping[str, str]]) -> None:
    needed = {*_SITE_ELEMENTS, "URL", "ChannelID"}
    lacking = needed.difference(*images[:1]) if images else needed
    if any(needed - set(image) for image in images) or not images:
        raise ValueError(
            f"{name} is not an index of images: it lists {len(images)} images, which"
            f" lack {', '.join(sorted(lacking)) or 'an element'}. Give the folder"
            " instead, with a `pattern` for the names of files."
        )
    other_formats = {get_extension(image["URL"]) for image in images} - set(TIFF)
    if other_formats:
        raise ValueError(
            f"{name} names files of other formats"
            f" ({', '.join(sorted(other_formats))}). Export the plate as TIFF."
        )


def _get_name(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _name_channels(images: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Make names for columns, by the number of the channel."""
    channels: dict[str, str] = {}
    for image in images:
        number = image["ChannelID"]
        if number not in channels:
            text = image.get("ChannelName", "")
            name = re.sub(r"\W+", "_", text, flags=re.ASCII).strip("_") or f"ch{number}"
            is_taken = name in channels.values()
            channels[number] = f"{name}_{number}" if is_taken else name
    return channels


def _make_metadata(
    image: Mapping[str, str], differing_elements: Sequence[str]
) -> dict[str, object]:
    row: dict[str, object] = {
        f"{METADATA}Plate": image["Plate"],
        f"{METADATA}Well": make_well_name(image["Row"], image["Col"]),
        f"{METADATA}Site": image["FieldID"],
    }
    for name in differing_elements:
        row[f"{METADATA}{_OPTIONAL_ELEMENTS[name]}"] = image.get(name)
    return row


def _locate_image(url: str, folder: str) -> str:
    return url if is_url(url) or os.path.isabs(url) else posixpath.join(folder, url)


def _build_frame(
    rows: Mapping[tuple[str, ...], Mapping[str, object]], channels: Sequence[str]
) -> pd.DataFrame:
    """Build the table in normal form, sorted by row, column and field."""
    sorted_rows = [
        rows[key] for key in sorted(rows, key=lambda key: make_sort_key(*key))
    ]
    names = [name for name in sorted_rows[0] if name.startswith(METADATA)]
    frame = pd.DataFrame(
        [[row[name] for name in names] for row in sorted_rows], columns=names
    )
    frame = frame.astype(object)
    for channel in channels:
        url, number = image_column(URL, channel), image_column(FRAME, channel)
        frame[url] = pd.Series([row.get(url) for row in sorted_rows], dtype=object)
        frame[number] = [row.get(number, 0) for row in sorted_rows]
    return frame

"""Plates of the cellpainting-gallery, by their names."""

from __future__ import annotations

import re

from stratonet.extraction.sources.imagesets import (
    ImageSets,
    ImageSource,
    NotMine,
    choose_channels,
    list_channels,
)
from stratonet.extraction.sources.loaddata import read_loaddata
from stratonet.files.storage import Storage
from stratonet.tables.columns import BATCH, SOURCE

BUCKET = "s3://cellpainting-gallery"
# The gallery's tables name paths on the machines on which they were made.
MOUNTED_BUCKET = "/home/ubuntu/bucket"
PREFIX = "jump:"
# The tables that a plate may have, most complete first.
LOAD_DATA_FILES = (
    "load_data_with_illum.parquet",
    "load_data_with_illum.csv",
    "load_data.csv.gz",
    "load_data.csv",
)


class GallerySource:
    """Plates of JUMP in the cellpainting-gallery: ``jump:<source>/<batch>/<plate>``.

    The plate's LoadData table is read from the bucket. ``OrigDNA`` becomes the channel
    ``DNA``, and ``Metadata_Source`` and ``Metadata_Batch`` are added if the table lacks
    them.
    """

    def read(self, source: ImageSource) -> ImageSets:
        """Read the image sets of a plate, see `Source.read`.

        Parameters
        ----------
        source : ImageSource
            A name such as ``jump:source_8/J3/A1170384``.
        """
        name = source.location
        # A name with the prefix that does not match is a mistake, not another source.
        if not name.startswith(PREFIX):
            raise NotMine
        match = re.fullmatch(rf"{PREFIX}(source_\w+)/([^/]+)/([^/]+)", name)
        if not match:
            raise ValueError(
                f"The name of a JUMP plate is {PREFIX}<source>/<batch>/<plate>, for"
                f" example {PREFIX}source_8/J3/A1170384. Received: {name!r}"
            )
        laboratory, batch, plate = match.groups()
        workspace = f"{BUCKET}/cpg0016-jump/{laboratory}/workspace"
        folder = f"{workspace}/load_data_csv/{batch}/{plate}"
        table = _find_table(name, folder, source.storage)
        # The user's replacements come first, since the first that fits is used.
        replace = (*source.replace, (MOUNTED_BUCKET, BUCKET))
        frame = read_loaddata(table, source.storage, source.base, replace)
        for column, value in ((BATCH, batch), (SOURCE, laboratory)):
            if column not in frame:
                frame.insert(0, column, value)
        channels = _shorten_channels(list_channels(frame))
        return ImageSets(choose_channels(frame, channels, name))


def _find_table(name: str, folder: str, storage: Storage) -> str:
    """Find the URL of the LoadData table of a plate."""
    for file in LOAD_DATA_FILES:
        url = f"{folder}/{file}"
        if storage.exists(url):
            return url
    raise FileNotFoundError(
        f"{name}: {folder} has none of {', '.join(LOAD_DATA_FILES)}. Is the name of the"
        " plate right?"
    )


def _shorten_channels(names: list[str]) -> dict[str, str]:
    """Map names of channels without ``Orig`` to their names in the table."""
    channels = {}
    for name in names:
        short_name = name.removeprefix("Orig")
        # If a table has both DNA and OrigDNA, they keep their names.
        channels[name if short_name in names else short_name] = name
    return channels

"""Read LIF files, as Leica's LAS X writes them."""

from __future__ import annotations

from typing import Any

import liffile
import numpy as np

from stratonet.files.microscopes.scenes import (
    PlaneIndex,
    Scene,
    SceneFile,
    refuse_colors,
)
from stratonet.files.refusal import Refused
from stratonet.files.storage import Storage
from stratonet.files.urls import is_url

# liffile's names of axes: mosaic tiles, time, z, channels, colours.
TILES, TIME, HEIGHT, CHANNEL, COLORS = "M", "T", "Z", "C", "S"


class LifFile(SceneFile):
    """A LIF file, whose images are in folders as LAS X shows them.

    Parameters
    ----------
    url : str
        Local path.
    storage : Storage
        Not used: LIF files are read from disks only.
    """

    def __init__(self, url: str, storage: Storage) -> None:
        super().__init__()
        refuse_remote(url, "LIF")
        self._file = liffile.LifFile(url, squeeze=False)
        self._images = list(self._file.images)
        if not self._images:
            raise Refused("it holds no image")
        self.scenes = [
            _describe_image(url, series, image)
            for series, image in enumerate(self._images)
        ]

    def read_plane(self, scene: Scene, index: PlaneIndex) -> np.ndarray:
        """Read one plane from the memory-mapped file, see `SceneFile.read_plane`."""
        image = self._images[scene.series]
        numbers = {CHANNEL: index.channel, HEIGHT: index.z, TIME: index.time}
        selection: list[Any] = []
        for axis in image.sizes:
            selection.append(slice(None) if axis in "YX" else numbers.get(axis, 0))
        with self.lock:
            stack = image.asarray(out="memmap")
            return np.array(stack[tuple(selection)])

    def close(self) -> None:
        """Close the file."""
        if hasattr(self, "_file"):
            self._file.close()


def refuse_remote(url: str, format_name: str) -> None:
    """Refuse a URL of a format whose library reads local files only.

    Parameters
    ----------
    url : str
        Path or URL.
    format_name : str
        Name of the format, for the message.

    Raises
    ------
    Refused
    """
    if is_url(url):
        raise Refused(
            f"{format_name} files can only be read from a disk. Copy it to one, or save"
            " it as OME-Zarr, which is read from S3 plane by plane."
        )


def _describe_image(url: str, series: int, image: Any) -> Scene:
    sizes = image.sizes
    if sizes.get(COLORS, 1) > 1:
        refuse_colors(f"{image.path}: {dict(sizes)}")
    other_axes = [
        axis
        for axis, count in sizes.items()
        if axis not in (TIME, HEIGHT, CHANNEL, COLORS, "Y", "X") and count > 1
    ]
    if other_axes:
        raise Refused(
            f"{image.path} has the axes {', '.join(sizes)}. Only time (T), z (Z) and"
            " channels (C) can be read; merge tiles (M) in LAS X first."
        )
    count = sizes.get(CHANNEL, 1)
    names = _name_channels(image, count)
    return Scene(
        url,
        series,
        image.path,
        names,
        tuple(range(count)),
        sizes.get(HEIGHT, 1),
        sizes.get(TIME, 1),
        (sizes["Y"], sizes["X"]),
    )


def _name_channels(image: Any, count: int) -> tuple[str, ...]:
    """Name channels by their dyes if LAS X stored them, else by display colours."""
    descriptions = image.xml_element.findall(
        "./Data/Image/ImageDescription/Channels/ChannelDescription"
    )
    names = []
    for channel in descriptions[:count]:
        dyes = [
            entry.findtext("Value") or ""
            for entry in channel.findall("ChannelProperty")
            if entry.findtext("Key") == "DyeName"
        ]
        names.append("".join(dyes) or channel.get("LUTName", ""))
    return tuple(names + [""] * (count - len(names)))

"""Read CZI files, as Zeiss's ZEN writes them."""

from __future__ import annotations

from collections.abc import Mapping
from xml.etree import ElementTree

import numpy as np
from pylibCZIrw import czi

from stratonet.files.microscopes.lif import refuse_remote
from stratonet.files.microscopes.scenes import (
    PlaneIndex,
    Scene,
    SceneFile,
    refuse_colors,
)
from stratonet.files.refusal import Refused
from stratonet.files.storage import Storage

IMAGE = "./Metadata/Information/Image/Dimensions"


class CziFile(SceneFile):
    """A CZI file, whose images are its scenes; the tiles of a scene are stitched.

    Parameters
    ----------
    url : str
        Local path.
    storage : Storage
        Not used: CZI files are read from disks only.
    """

    def __init__(self, url: str, storage: Storage) -> None:
        super().__init__()
        refuse_remote(url, "CZI")
        self._reader = czi.CziReader(url)
        for pixel_type in self._reader.pixel_types.values():
            if pixel_type.startswith("Bgr"):
                refuse_colors(f"pixels {pixel_type}")
        self._list_rectangles()
        self.scenes = self._list_scenes(url)

    def _list_rectangles(self) -> None:
        """Find the rectangle of each scene; the numbers of scenes may have gaps."""
        rectangles = self._reader.scenes_bounding_rectangle_no_pyramid
        self._numbers: list[int | None] = list(rectangles) or [None]
        total_rectangle = self._reader.total_bounding_rectangle_no_pyramid
        self._rectangles = list(rectangles.values()) or [total_rectangle]

    def _list_scenes(self, url: str) -> list[Scene]:
        box = self._reader.total_bounding_box_no_pyramid
        sizes = {axis: end - start for axis, (start, end) in box.items()}
        _check_axes(sizes)
        count = sizes.get("C", 1)
        root = ElementTree.fromstring(self._reader.raw_metadata)
        names = _name_channels(root, count)
        scene_elements = {
            int(scene.get("Index", -1)): scene
            for scene in root.findall(f"{IMAGE}/S/Scenes/Scene")
        }
        scenes = []
        for series, number in enumerate(self._numbers):
            element = scene_elements.get(-1 if number is None else number)
            rectangle = self._rectangles[series]
            scenes.append(
                Scene(
                    url,
                    series,
                    "" if element is None else element.get("Name", ""),
                    names,
                    tuple(range(count)),
                    sizes.get("Z", 1),
                    sizes.get("T", 1),
                    (rectangle.h, rectangle.w),
                    well=None if element is None else _find_well(element),
                )
            )
        return scenes

    def read_plane(self, scene: Scene, index: PlaneIndex) -> np.ndarray:
        """Read one plane, see `SceneFile.read_plane`."""
        plane = {"C": index.channel, "Z": index.z, "T": index.time}
        rectangle = self._rectangles[scene.series]
        with self.lock:
            pixels = self._reader.read(
                roi=(rectangle.x, rectangle.y, rectangle.w, rectangle.h),
                plane=plane,
                scene=self._numbers[scene.series],
            )
        return pixels[..., 0]

    def close(self) -> None:
        """Close the file."""
        if hasattr(self, "_reader"):
            self._reader.close()


def _check_axes(sizes: Mapping[str, int]) -> None:
    other_axes = [axis for axis in sizes if axis not in "TZCYX" and sizes[axis] > 1]
    if other_axes:
        raise Refused(
            f"the axes {', '.join(sizes)} were received. Only time (T), z (Z) and"
            " channels (C) can be read."
        )


def _name_channels(root: ElementTree.Element, count: int) -> tuple[str, ...]:
    channels = root.findall(f"{IMAGE}/Channels/Channel")
    names = [channel.get("Name", "") for channel in channels[:count]]
    return tuple(names + [""] * (count - len(names)))


def _find_well(scene: ElementTree.Element) -> str | None:
    """Return the well of a scene: ZEN calls the positions of a carrier an array."""
    shape = scene.find("Shape")
    for text in (
        scene.findtext("ArrayName"),
        shape.get("Name") if shape is not None else None,
    ):
        if text:
            return text
    return None

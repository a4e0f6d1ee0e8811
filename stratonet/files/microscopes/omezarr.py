"""Read images and plates of OME-Zarr, in the layouts of NGFF 0.4 and 0.5."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np

from stratonet.files.microscopes.placements import read_placement
from stratonet.files.microscopes.scenes import PlaneIndex, Scene, SceneFile
from stratonet.files.microscopes.zarrchunks import read_array_plane
from stratonet.files.refusal import Refused
from stratonet.files.storage import Storage

# The file that describes a group: in NGFF 0.5, and in versions up to 0.4.
NEW_FILE, OLD_FILE = "zarr.json", ".zattrs"
OLD_ARRAY = ".zarray"
# Before version 0.4, axes had no names.
FIRST_AXES = ("t", "c", "z", "y", "x")
# Small files read in parallel, since each request to S3 is slow.
FILES_AT_ONCE = 16


class ZarrImage(SceneFile):
    """One image of OME-Zarr: a field of a plate, or an image by itself.

    Parameters
    ----------
    url : str
        Path or URL of the JSON file that describes it.
    storage : Storage
        Reads it.
    """

    def __init__(self, url: str, storage: Storage) -> None:
        super().__init__()
        self._storage = storage
        folder, _, file = url.rpartition("/")
        self._is_new = file == NEW_FILE
        metadata = _read_metadata(url, storage)
        if "multiscales" not in metadata:
            raise Refused(
                "no image was received: the metadata have no multiscales. Give the"
                " folder of a plate, or of one image."
            )
        multiscale = metadata["multiscales"][0]
        self._axes = _read_axes(multiscale)
        # The first has full size.
        self._array = posixpath.join(folder, multiscale["datasets"][0]["path"])
        self._shape = _read_shape(self._array, self._is_new, storage)
        if len(self._shape) != len(self._axes):
            raise ValueError(f"axes {self._axes}, and an array of {self._shape}")
        sizes = dict(zip(self._axes, self._shape))
        channels = _name_channels(metadata, sizes.get("c", 1))
        self.scenes = [
            Scene(
                url,
                0,
                posixpath.basename(folder),
                channels,
                tuple(range(len(channels))),
                sizes.get("z", 1),
                sizes.get("t", 1),
                (sizes["y"], sizes["x"]),
                placement=read_placement(multiscale),
            )
        ]

    def read_plane(self, scene: Scene, index: PlaneIndex) -> np.ndarray:
        """Read only the chunks of one plane, see `SceneFile.read_plane`."""
        numbers = {"c": index.channel, "z": index.z, "t": index.time}
        selection = tuple(numbers.get(axis, slice(None)) for axis in self._axes)
        return read_array_plane(self._array, selection, self._is_new, self._storage)

    def close(self) -> None:
        """Do nothing: no file is kept open."""


def find_metadata(folder: str, storage: Storage) -> str | None:
    """Find the JSON file that describes a Zarr group.

    Parameters
    ----------
    folder : str
        Path or URL.
    storage : Storage
        Looks for it.

    Returns
    -------
    str or None
        Its path or URL; None if the folder is not a group.
    """
    for file in (OLD_FILE, NEW_FILE):
        url = posixpath.join(folder, file)
        if storage.exists(url):
            return url
    return None


def list_zarr_scenes(url: str, storage: Storage) -> list[Scene]:
    """List the images of a plate, or the one image of a group.

    Parameters
    ----------
    url : str
        Path or URL of the JSON file that describes it, see `find_metadata`.
    storage : Storage
        Reads it.

    Returns
    -------
    list of Scene
        In the order of the wells in the plate, and of the fields in each well.

    Raises
    ------
    FileNotFoundError, KeyError, ValueError, Refused
        A part of it is missing, or its layout is not that of NGFF.
    """
    folder, _, file = url.rpartition("/")
    metadata = _read_metadata(url, storage)
    if "plate" not in metadata:
        if "well" in metadata:
            raise Refused("a well was received. Give the folder of its plate.")
        scenes = ZarrImage(url, storage).scenes
        return [_add_labels(scene, storage) for scene in scenes]
    plate = metadata["plate"]
    name = plate.get("name") or _strip_extension(posixpath.basename(folder))
    wells = [well["path"] for well in plate["wells"]]
    has_acquisitions = len(plate.get("acquisitions", ())) > 1

    def list_well(well: str) -> list[Scene]:
        try:
            fields = _list_fields(posixpath.join(folder, well), file, storage)
        except FileNotFoundError as error:
            raise Refused(
                f"the plate names well {well}, but a part of the well is missing"
                f" ({error}). Is it only partly copied?"
            ) from None
        return [
            replace(
                scene,
                plate=name,
                # Row and column: A/1.
                well=well.strip("/").replace("/", ""),
                acquisition=scene.acquisition if has_acquisitions else None,
            )
            for scene in fields
        ]

    with ThreadPoolExecutor(FILES_AT_ONCE) as pool:
        return [scene for scenes in pool.map(list_well, wells) for scene in scenes]


def _list_fields(well: str, file: str, storage: Storage) -> list[Scene]:
    scenes = []
    for field in _read_metadata(f"{well}/{file}", storage)["well"]["images"]:
        url = posixpath.join(well, field["path"], file)
        (scene,) = ZarrImage(url, storage).scenes
        scene = replace(
            scene, site=field["path"], acquisition=str(field.get("acquisition", 0))
        )
        scenes.append(_add_labels(scene, storage))
    return scenes


def _add_labels(scene: Scene, storage: Storage) -> Scene:
    """Add the names of a scene's label images, if it has any."""
    folder, _, file = scene.url.rpartition("/")
    try:
        metadata = _read_metadata(f"{folder}/labels/{file}", storage)
    except FileNotFoundError:
        return scene
    labels = [
        (name, f"{folder}/labels/{name}/{file}") for name in metadata.get("labels", ())
    ]
    return replace(scene, labels=tuple(labels))


def _read_metadata(url: str, storage: Storage) -> Mapping[str, Any]:
    metadata = json.loads(storage.read(url))
    if posixpath.basename(url) == NEW_FILE:
        return metadata.get("attributes", {}).get("ome", {})
    return metadata


def _read_axes(multiscale: Mapping[str, Any]) -> tuple[str, ...]:
    axes = multiscale.get("axes", FIRST_AXES)
    names = tuple(axis if isinstance(axis, str) else axis["name"] for axis in axes)
    unknown = set(names) - set(FIRST_AXES)
    if unknown or names[-2:] != ("y", "x"):
        raise Refused(
            f"axes {', '.join(names)} were received. Images can be read whose axes are"
            " some of t, c, z, followed by y, x."
        )
    return names


def _read_shape(array: str, is_new: bool, storage: Storage) -> tuple[int, ...]:
    file = NEW_FILE if is_new else OLD_ARRAY
    return tuple(json.loads(storage.read(f"{array}/{file}"))["shape"])


def _name_channels(metadata: Mapping[str, Any], count: int) -> tuple[str, ...]:
    # The first versions of SpatialData used another name.
    channel_metadata = metadata.get("omero") or metadata.get("channels_metadata") or {}
    channels: Sequence[Mapping[str, Any]] = channel_metadata.get("channels", ())
    labels = [channel.get("label") for channel in channels[:count]]
    # SpatialData numbers channels without a name, from 0.
    names = ["" if label is None else str(label) for label in labels]
    return tuple(names + [""] * (count - len(names)))


def _strip_extension(name: str) -> str:
    return name.removesuffix(".zarr").removesuffix(".ome")

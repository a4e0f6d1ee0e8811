"""Files that hold several images: ND2, CZI, LIF, OME-TIFF, OME-Zarr, SpatialData."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pandas as pd

from stratonet.extraction.sources.filenames import READY_PATTERNS
from stratonet.extraction.sources.imagesets import (
    ImageSets,
    ImageSource,
    NotMine,
    make_sort_key,
)
from stratonet.extraction.sources.scenewells import (
    PlacedScene,
    compile_scene_pattern,
    place_scenes,
)
from stratonet.extras import name_missing_extra
from stratonet.files.microscopes.opening import (
    OF_MICROSCOPES,
    OME_TIFF,
    find_format,
    list_scenes,
    name_damage,
)
from stratonet.files.microscopes.scenes import Scene, describe_stack
from stratonet.files.spelling import find_file, find_folder
from stratonet.files.storage import Storage
from stratonet.files.urls import drop_query, redact_url
from stratonet.naming import FRAME, LABELS, METADATA, SERIES, URL, image_column

ZARR = ".zarr"
# Headers read at once, since each request to S3 is slow.
FILES_AT_ONCE = 16
# The path of one image in a SpatialData store.
_STORE_IMAGE = re.compile(r"(?P<store>.+\.zarr)/images/(?P<image>[^/]+)", re.IGNORECASE)
# A pattern with a group for the channel is meant for files of single planes.
_CHANNEL_GROUP = "(?P<Channel"


class MicroscopeSource:
    """Microscope files, OME-Zarr plates and SpatialData stores.

    The files themselves describe their content: each image is a site of a well, and
    channels have the names given in the file.
    """

    def read(self, source: ImageSource) -> ImageSets:
        """Read the image sets of a file, see `Source.read`.

        Parameters
        ----------
        source : ImageSource
            An ND2, CZI, LIF or OME-TIFF file, an OME-Zarr folder, a SpatialData store,
            or one image of a store: ``store.zarr/images/name``.
        """
        path = source.path.rstrip("/")
        if find_format(path) in (*OF_MICROSCOPES, *OME_TIFF):
            file_path = find_file(path, source.storage)
            if file_path is None:
                raise FileNotFoundError(f"{redact_url(path)} is not there.")
            scenes = list(list_scenes(file_path, source.storage))
            return make_image_sets(
                scenes, source, posixpath.dirname(file_path), file_path
            )
        store_match = _STORE_IMAGE.fullmatch(path)
        if store_match:
            path = store_match["store"]
        elif not path.lower().endswith(ZARR):
            raise NotMine
        image = store_match and store_match["image"]
        scenes = _list_zarr(path, image, source.storage)
        return make_image_sets(scenes, source, posixpath.dirname(path), path)


def _list_zarr(path: str, image: str | None, storage: Storage) -> list[Scene]:
    """List the images of an OME-Zarr plate or a SpatialData store, or one of them."""
    with name_missing_extra(f"{redact_url(path)}: reading OME-Zarr", "microscopes"):
        from stratonet.files.microscopes.omezarr import find_metadata, list_zarr_scenes
        from stratonet.files.microscopes.spatialstores import (
            list_store_scenes,
            open_store,
        )
    folder = find_folder(path, storage) or path
    metadata = find_metadata(folder, storage)
    with name_damage(folder):
        store = open_store(folder, metadata, storage)
        if store is not None:
            return list_store_scenes(store, storage, image)
    if metadata is None:
        raise FileNotFoundError(
            f"{redact_url(path)} is not an OME-Zarr folder: it has neither .zattrs nor"
            " zarr.json."
        )
    if image is not None:
        raise ValueError(
            f"{redact_url(path)} is not a SpatialData store. Received the name of an"
            f" image in it: {image!r}. Give the folder itself."
        )
    with name_damage(metadata):
        return list_zarr_scenes(metadata, storage)


def choose_scene_files(files: Sequence[str], pattern: str | None) -> list[str]:
    """Choose those files of a folder that hold several images.

    Parameters
    ----------
    files : sequence of str
        All files of the folder.
    pattern : str, optional
        As given by the user.

    Returns
    -------
    list of str
        Empty if the folder holds files of single planes, to be told apart by name.
    """
    visible_files = [
        path for path in files if not posixpath.basename(path).startswith(".")
    ]
    scene_files = [
        path
        for path in visible_files
        if find_format(path) in (*OF_MICROSCOPES, *OME_TIFF)
    ]
    if not scene_files:
        return []
    if pattern is not None:
        # A pattern that finds the channel is meant for files of single planes.
        by_name = pattern in READY_PATTERNS or _CHANNEL_GROUP in pattern
        return [] if by_name else sorted(scene_files)
    # OME-TIFF files may hold single planes, too.
    planes = [path for path in visible_files if find_format(path) not in OF_MICROSCOPES]
    for ready in map(re.compile, READY_PATTERNS.values()):
        if any(ready.search(path) for path in planes):
            return []
    return sorted(scene_files)


def read_scene_files(
    folder: str, files: Sequence[str], source: ImageSource
) -> ImageSets:
    """Read the image sets of the files of a folder.

    Parameters
    ----------
    folder : str
        Path or URL.
    files : list of str
        The files that `choose_scene_files` has chosen.
    source : ImageSource
        Says the pattern and the projection.

    Returns
    -------
    ImageSets
    """
    if source.pattern is not None:
        # A mistake is reported before thousands of files are opened.
        compile_scene_pattern(source.pattern)
    list_file = partial(list_scenes, storage=source.storage)
    with ThreadPoolExecutor(FILES_AT_ONCE) as pool:
        scenes = [
            scene for file_scenes in pool.map(list_file, files) for scene in file_scenes
        ]
    return make_image_sets(scenes, source, folder, folder)


def make_image_sets(
    scenes: Sequence[Scene], source: ImageSource, folder: str, name: str
) -> ImageSets:
    """Make image sets of scenes.

    Parameters
    ----------
    scenes : sequence of Scene
        The scenes of one file, plate or folder.
    source : ImageSource
        Has the pattern and the projection.
    folder : str
        The pattern is searched for in paths relative to this folder.
    name : str
        Path or URL of the file or folder, for messages; it also names the plate if
        neither file nor pattern does.

    Returns
    -------
    ImageSets
        One image set for each scene, sorted by plate, well and site.

    Raises
    ------
    ValueError
        There is no scene, a scene without a well, a stack without a projection, a time
        series, or two scenes of the same site.
    """
    if not scenes:
        raise ValueError(f"{redact_url(name)} holds no images.")
    for scene in scenes:
        _check_scene(scene, source.project)
    # The query of a URL may be a signature, which must not get into tables.
    plate = _strip_extension(posixpath.basename(drop_query(name)))
    placed_scenes = place_scenes(scenes, folder, plate, source.pattern)
    placed_scenes = sorted(
        placed_scenes,
        key=lambda placed_scene: make_sort_key(*dict(placed_scene.metadata).values()),
    )
    _check_sites_differ(placed_scenes, name)
    return ImageSets(_build_frame(placed_scenes))


def _check_scene(scene: Scene, projection: str | None) -> None:
    name = redact_url(scene.url)
    if scene.name:
        name += f", image {scene.name!r}"
    if scene.n_times > 1:
        raise ValueError(
            f"{name}: a time series was received ({scene.describe()}). Save one time"
            " point as a separate file, or name its planes in a LoadData table, with"
            " Frame_<channel>."
        )
    if scene.n_z > 1 and projection is None:
        raise ValueError(f"{name}: {describe_stack(scene)}")


def _check_sites_differ(placed_scenes: Sequence[PlacedScene], name: str) -> None:
    scenes_by_metadata: dict[object, Scene] = {}
    for placed_scene in placed_scenes:
        other = scenes_by_metadata.setdefault(placed_scene.metadata, placed_scene.scene)
        if other is not placed_scene.scene:
            description = " ".join(str(text) for _, text in placed_scene.metadata)
            raise ValueError(
                f"{redact_url(name)} has two images for {description}:"
                f" {redact_url(other.url)} {other.name!r} and"
                f" {redact_url(placed_scene.scene.url)} {placed_scene.scene.name!r}."
                " Give a `pattern` with a group that tells them apart, such as"
                " (?P<Site>...)."
            )


def _build_frame(placed_scenes: Sequence[PlacedScene]) -> pd.DataFrame:
    """Build the table in normal form."""
    channels: dict[str, None] = {}
    for placed_scene in placed_scenes:
        channels.update(dict.fromkeys(_name_channels(placed_scene.scene)))
    labels: dict[str, None] = {}
    for placed_scene in placed_scenes:
        labels.update(dict.fromkeys(name for name, _ in placed_scene.scene.labels))
    rows = [
        _make_row(placed_scene, list(channels), list(labels))
        for placed_scene in placed_scenes
    ]
    frame = pd.DataFrame(rows, dtype=object).dropna(axis=1, how="all")
    for name in frame:
        if name.startswith((f"{FRAME}_", f"{SERIES}_")):
            frame[name] = frame[name].astype(int)
    return frame


def _make_row(
    placed_scene: PlacedScene, channels: Sequence[str], labels: Sequence[str]
) -> dict[str, Any]:
    scene = placed_scene.scene
    row: dict[str, Any] = {
        f"{METADATA}{name}": text for name, text in placed_scene.metadata
    }
    frames = dict(zip(_name_channels(scene), scene.frames))
    for channel in channels:
        has_channel = channel in frames
        row[image_column(URL, channel)] = scene.url if has_channel else None
        row[image_column(FRAME, channel)] = frames.get(channel, 0)
        row[image_column(SERIES, channel)] = scene.series if has_channel else 0
    label_urls = dict(scene.labels)
    for label in labels:
        row[image_column(LABELS, label)] = label_urls.get(label)
    return row


def _name_channels(scene: Scene) -> list[str]:
    """Make names for columns; a name that occurs twice gets a number."""
    names: list[str] = []
    for number, channel in enumerate(scene.channels, start=1):
        name = _make_name(channel) or f"Channel{number}"
        names.append(f"{name}_{number}" if name in names else name)
    return names


def _make_name(text: str) -> str:
    return re.sub(r"\W+", "_", text, flags=re.ASCII).strip("_")


def _strip_extension(name: str) -> str:
    for extension in (*OME_TIFF, ".ome.zarr", ZARR, *OF_MICROSCOPES):
        if name.lower().endswith(extension):
            return name[: -len(extension)]
    return name

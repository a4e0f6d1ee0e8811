"""Find images and label images in SpatialData stores, each an image of OME-Zarr.

A store is a Zarr folder with the groups ``images`` and ``labels`` (and ``tables``,
``points``, ``shapes``), as spatialdata writes it: up to version 0.4 in Zarr 2 with the
metadata of NGFF 0.4, later in Zarr 3 with those of NGFF 0.5.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace

from stratonet.files.microscopes.omezarr import (
    FILES_AT_ONCE,
    NEW_FILE,
    OLD_FILE,
    ZarrImage,
)
from stratonet.files.microscopes.scenes import Scene
from stratonet.files.refusal import Refused
from stratonet.files.storage import Storage

IMAGES, LABELS = "images", "labels"
OLD_GROUP = ".zgroup"
# The file in which Zarr 2 gathers the metadata of all groups.
OLD_CONSOLIDATED = ".zmetadata"
# Keys in the metadata of plates, wells and images of OME-Zarr, but not of stores.
_OME_ZARR_KEYS = ("plate", "well", "multiscales")
# Separators between the name of an image and the rest of a label image's name.
_SEPARATORS = "_-."
# Frequent ending of images' names, which their label images do not have.
_IMAGE_ENDING = "_image"


@dataclass(frozen=True)
class SpatialStore:
    """A store, and the names of its elements.

    Attributes
    ----------
    folder : str
        Path or URL.
    file : str
        Name of the files that describe groups, `OLD_FILE` or `NEW_FILE`.
    elements : tuple of (str, tuple of str)
        Groups, such as ``images``, and the names of their elements.
    """

    folder: str
    file: str
    elements: tuple[tuple[str, tuple[str, ...]], ...]

    def list_names(self, group: str) -> tuple[str, ...]:
        """List the names of the elements of a group; () if there is no such group."""
        return dict(self.elements).get(group, ())

    def describe(self) -> str:
        """Describe the content in words, for messages."""
        words = [f"{group} ({', '.join(names)})" for group, names in self.elements]
        return ", ".join(words) or "nothing"


def open_store(
    folder: str, metadata_file: str | None, storage: Storage
) -> SpatialStore | None:
    """Open a folder if it is a SpatialData store, and list its elements.

    Parameters
    ----------
    folder : str
        Path or URL.
    metadata_file : str or None
        The JSON file that describes it, see
        `stratonet.files.microscopes.omezarr.find_metadata`.
    storage : Storage
        Reads it.

    Returns
    -------
    SpatialStore or None
        None for any other folder, such as a plate of OME-Zarr.
    """
    content = {} if metadata_file is None else json.loads(storage.read(metadata_file))
    if metadata_file is not None and posixpath.basename(metadata_file) == NEW_FILE:
        if "spatialdata_attrs" not in content.get("attributes", {}):
            return None
        consolidated = (content.get("consolidated_metadata") or {}).get("metadata", ())
        names = [f"{name}/{NEW_FILE}" for name in consolidated]
        return _make_store(folder, NEW_FILE, names, storage)
    if any(name in content for name in _OME_ZARR_KEYS):
        return None
    # Stores of the first versions are not marked as such.
    groups = [f"{folder}/{group}/{OLD_GROUP}" for group in (IMAGES, LABELS)]
    if "spatialdata_attrs" not in content and not any(map(storage.exists, groups)):
        return None
    names = []
    with suppress(FileNotFoundError):
        names = list(
            json.loads(storage.read(f"{folder}/{OLD_CONSOLIDATED}"))["metadata"]
        )
    return _make_store(folder, OLD_FILE, names, storage)


def _make_store(
    folder: str, file: str, names: Sequence[str], storage: Storage
) -> SpatialStore:
    """Make a store from the names of the files that describe its groups and arrays."""
    # If these are not gathered in one file, all files are listed, including chunks.
    if not names:
        start = len(folder) + 1
        names = [path[start:].replace("\\", "/") for path in storage.list(folder)]
    elements: dict[str, set[str]] = {}
    for name in names:
        group, *parts = name.split("/")
        # Names with a dot in front describe the group itself, or are still incomplete.
        if len(parts) > 1 and not parts[0].startswith("."):
            elements.setdefault(group, set()).add(parts[0])
    groups = [
        (group, tuple(sorted(group_names))) for group, group_names in elements.items()
    ]
    return SpatialStore(folder, file, tuple(sorted(groups)))


def list_store_scenes(
    store: SpatialStore, storage: Storage, image: str | None = None
) -> list[Scene]:
    """List the images of a store.

    Parameters
    ----------
    store : SpatialStore
        From `open_store`.
    storage : Storage
        Reads it.
    image : str, optional
        Name of the only image to list. Default: all.

    Returns
    -------
    list of Scene
        Sorted by name; each with its label images, see `choose_labels`.

    Raises
    ------
    Refused
        There is no image, or none of this name.
    FileNotFoundError, KeyError, ValueError
        An image is missing, or its layout is not that of NGFF.
    """
    names = store.list_names(IMAGES)
    wanted_names = names if image is None else [name for name in names if name == image]
    if not wanted_names:
        missing = "images" if image is None else f"an image {image!r}"
        raise Refused(
            f"a SpatialData store without {missing} was received. It holds:"
            f" {store.describe()}"
        )

    def read_image(name: str) -> Scene:
        url = posixpath.join(store.folder, IMAGES, name, store.file)
        (scene,) = ZarrImage(url, storage).scenes
        chosen_labels = choose_labels(name, names, store.list_names(LABELS))
        labels = tuple(
            (label, posixpath.join(store.folder, LABELS, element, store.file))
            for label, element in chosen_labels
        )
        return replace(scene, element=name, labels=labels)

    with ThreadPoolExecutor(FILES_AT_ONCE) as pool:
        return list(pool.map(read_image, wanted_names))


def choose_labels(
    image: str, images: Sequence[str], labels: Iterable[str]
) -> list[tuple[str, str]]:
    """Choose the label images of a store that belong to an image.

    Stores do not record this. A label image whose name begins with the name of an image
    (perhaps without the ending ``_image``) belongs to that image, any other to all.

    Parameters
    ----------
    image : str
        Name of an image.
    images, labels : sequence of str
        The names of all images and label images of the store.

    Returns
    -------
    list of (str, str)
        Names by which a label image can be chosen, each with its name in the store:
        this name itself, and also the part that follows the name of the image.

    Examples
    --------
    >>> choose_labels("s1_image", ["s1_image", "s2_image"], ["s1_cells", "s2_cells"])
    [('s1_cells', 's1_cells'), ('cells', 's1_cells')]
    """
    chosen_labels = {}
    for label in labels:
        owner = max(images, key=lambda name: len(_find_stem(name, label)))
        stem = _find_stem(owner, label)
        if stem and owner != image:
            continue
        chosen_labels[label] = label
        if stem:
            chosen_labels.setdefault(label[len(stem) + 1 :], label)
    return list(chosen_labels.items())


def _find_stem(image: str, label: str) -> str:
    """Return the image's name if the label image's name begins with it, else ""."""
    for stem in (image, image.removesuffix(_IMAGE_ENDING)):
        separator = label[len(stem) : len(stem) + 1]
        if stem and label.startswith(stem) and separator and separator in _SEPARATORS:
            return stem
    return ""

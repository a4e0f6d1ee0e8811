"""Label images of OME-Zarr: whether they fit their images, and their names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import pandas as pd

from stratonet.files.microscopes.opening import (
    OF_ZARR,
    find_format,
    holds_scenes,
    list_scenes,
)
from stratonet.files.microscopes.placements import (
    describe_placement,
    have_same_placement,
)
from stratonet.files.microscopes.scenes import Scene
from stratonet.files.storage import Storage
from stratonet.files.urls import redact_url
from stratonet.naming import (
    LABELS,
    URL,
    image_column,
    list_image_channels,
    metadata_columns,
)
from stratonet.tables.columns import REGION

# The path of a label image in a SpatialData store.
_STORE_LABELS = re.compile(
    r"\.zarr/labels/(?P<name>[^/]+)/(?:\.zattrs|zarr\.json)$", re.I
)


def check_label_image(row: Mapping[str, Any], label: str, storage: Storage) -> None:
    """Refuse a label image of OME-Zarr that does not fit the image.

    Label images in other formats are single planes, whose shape is checked when objects
    are cut out.

    Parameters
    ----------
    row : mapping
        The image set in normal form. It names this label image.
    label : str
        Name of the label image.
    storage : Storage
        What reads the files that describe the label image and the image.

    Raises
    ------
    FileNotFoundError, PermissionError
        The label image does not exist.
    ValueError
        The label image is a stack, has another shape, or has another position in the
        coordinate systems of SpatialData; the message says what was found.
    """
    url = row[image_column(LABELS, label)]
    if not holds_scenes(url, None):
        return
    for scene in list_scenes(url, storage):
        # Objects of different heights may overlap.
        if scene.n_z > 1:
            raise ValueError(
                f"{redact_url(url)}: a label image must be one plane. Received:"
                f" {scene.describe()}. Project it in the program that made it."
            )
        for image in _list_zarr_images(row, storage):
            _check_alignment(scene, image)


def _check_alignment(labels: Scene, image: Scene) -> None:
    """Refuse a label image that differs from the image in shape or position."""
    url, image_url = redact_url(labels.url), redact_url(image.url)
    if image.shape != labels.shape:
        raise ValueError(
            f"{url}: the label image has shape {labels.shape}, the image {image.shape}"
            f" ({image_url}). Save a label image of the image's own pixels."
        )
    if not have_same_placement(image.placement, labels.placement):
        raise ValueError(
            f"{url}: the label image does not lie on the image. Received:"
            f" {describe_placement(labels.placement)}; and for the image ({image_url}):"
            f" {describe_placement(image.placement)}. Save a label image of the image's"
            " own pixels."
        )


def _list_zarr_images(row: Mapping[str, Any], storage: Storage) -> Iterator[Scene]:
    """Yield those OME-Zarr images of an image set that can be read."""
    urls = [row[image_column(URL, channel)] for channel in list_image_channels(row)]
    for url in dict.fromkeys(urls):
        if url is not None and find_format(url) in OF_ZARR:
            # Errors are reported when the image itself is read.
            with suppress(OSError, ValueError):
                yield from list_scenes(url, storage)


def name_regions(frame: pd.DataFrame, label: str) -> pd.DataFrame:
    """Add the name of its label image to each image set of a SpatialData store.

    A table of SpatialData refers to its objects by this name.

    Parameters
    ----------
    frame : pandas.DataFrame
        Image sets in normal form.
    label : str
        Name of the label image that is measured.

    Returns
    -------
    pandas.DataFrame
        With ``Metadata_Region`` after the other metadata; the frame itself if no label
        image is in a SpatialData store.

    Examples
    --------
    >>> url = "/data/s.zarr/labels/s1_nuclei/zarr.json"
    >>> frame = pd.DataFrame({"Metadata_Well": ["s1"], "Labels_nuclei": [url]})
    >>> name_regions(frame, "nuclei")["Metadata_Region"].tolist()
    ['s1_nuclei']
    """
    urls = frame[image_column(LABELS, label)]
    matches = [None if url is None else _STORE_LABELS.search(url) for url in urls]
    if REGION in frame or not any(matches):
        return frame
    regions = [match and match["name"] for match in matches]
    with_regions = frame.copy()
    position = len(metadata_columns(frame))
    with_regions.insert(position, REGION, pd.Series(regions, frame.index, dtype=object))
    return with_regions

"""Objects of an image set: their numbers, their centres and the squares around them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from stratonet.crops import crop_square
from stratonet.extraction.labelimages import check_label_image
from stratonet.files.images import read_plane_from
from stratonet.files.storage import Storage
from stratonet.files.urls import redact_url
from stratonet.naming import LABELS, image_column
from stratonet.tables.columns import CENTER, OBJECT_NUMBER

if TYPE_CHECKING:
    import pandas as pd


# Label images of whole slides are processed in bands, since the coordinates of a pixel
# take more bytes than the pixel.
PIXELS_AT_ONCE = 2**22


@dataclass(frozen=True, eq=False)
class SegmentedObjects:
    """The objects of one image set.

    Attributes
    ----------
    numbers : numpy.ndarray (n,)
        Their numbers in the label image or the table of centres.
    centers : numpy.ndarray (n, 2), float64
        Rows and columns of their centres, in pixels.
    shape : (int, int), optional
        Shape of the label image that they come from.
    """

    numbers: np.ndarray
    centers: np.ndarray
    shape: tuple[int, ...] | None = None

    def crop_plane(self, plane: np.ndarray, index: int, size: int) -> np.ndarray:
        """Cut the square around an object out of a plane.

        Parameters
        ----------
        plane : numpy.ndarray (height, width)
            Any channel of the image set.
        index : int
            Position of the object, from 0.
        size : int
            Side of the square, in pixels.

        Returns
        -------
        numpy.ndarray (size, size)

        Raises
        ------
        ValueError
            The plane and the label image differ in shape, or the object lies outside of
            the plane.
        """
        # Centres from a table come without a label image.
        if self.shape is not None and self.shape != plane.shape:
            raise ValueError(
                f"the label image has shape {self.shape}, the image {plane.shape}"
            )
        crop = crop_square(plane, self.centers[index], size)
        if crop is None:
            raise ValueError("the object has no pixel in the image")
        return crop


def read_label_image(
    row: Mapping[str, Any], label: str, storage: Storage
) -> SegmentedObjects:
    """Read the label image of an image set.

    Parameters
    ----------
    row : mapping
        The image set in normal form.
    label : str
        Name of the label image.
    storage : Storage
        What reads the file.

    Returns
    -------
    SegmentedObjects
        Sorted by number; pixels of 0 and below are background.

    Raises
    ------
    FileNotFoundError, PermissionError
        The file cannot be read.
    TypeError, ValueError
        The table names no file, or the file is not a label image, or does not belong to
        this image.
    """
    url = row[image_column(LABELS, label)]
    if url is None:
        raise ValueError("the table names no label image")
    name = redact_url(url)
    check_label_image(row, label, storage)
    labels = read_plane_from(url, storage)
    if labels.dtype.kind not in "bui":
        raise TypeError(
            f"{name}: a label image holds whole numbers. Received: dtype {labels.dtype}"
        )
    return SegmentedObjects(*_find_objects(labels), labels.shape)


def _find_objects(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the numbers of the objects of a label image, and their centres, (n, 2)."""
    height = max(1, PIXELS_AT_ONCE // max(1, labels.shape[1]))
    starts = range(0, len(labels), height)
    bands = [labels[start : start + height] for start in starts]
    numbers = np.unique(np.concatenate([np.unique(band) for band in bands]))
    # Signed label images may hold numbers below 0, which are not objects either.
    numbers = numbers[numbers > 0]
    counts, sums = np.zeros(len(numbers)), np.zeros((2, len(numbers)))
    for start, band in zip(starts, bands):
        # Only pixels of objects, since most of an image is background.
        rows, columns = np.nonzero(band > 0)
        # Numbers may have gaps and be large, so positions are counted instead.
        positions = np.searchsorted(numbers, band[rows, columns])
        counts += np.bincount(positions, minlength=len(numbers))
        for total, values in zip(sums, (rows + start, columns)):
            total += np.bincount(positions, values, len(numbers))
    return numbers, (sums / counts).T


def take_centers(table: pd.DataFrame) -> SegmentedObjects:
    """Take the objects of one image set from a table of centres.

    Parameters
    ----------
    table : pandas.DataFrame
        The rows of this image set, see `stratonet.extraction.units.Unit`.

    Returns
    -------
    SegmentedObjects
        Without a shape: centres from a table may lie outside of the image.
    """
    numbers = table[OBJECT_NUMBER].to_numpy()
    return SegmentedObjects(numbers, table[list(CENTER)].to_numpy(float))

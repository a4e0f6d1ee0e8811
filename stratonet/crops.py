"""Square crops around objects: planes like any other, each scaled by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def blank_outside(plane: np.ndarray, keep: np.ndarray) -> np.ndarray | None:
    """Set every pixel outside of ``keep`` to the darkest one inside.

    They then look like background and do not affect the scaling of the plane.

    Parameters
    ----------
    plane : numpy.ndarray (height, width)
        Grey values.
    keep : numpy.ndarray (height, width), bool
        Pixels to measure.

    Returns
    -------
    numpy.ndarray (height, width), or None
        The plane itself if nothing is blanked. None if ``keep`` holds no pixel, so that
        there is nothing to measure.

    Examples
    --------
    >>> blank_outside(np.array([[3, 5], [7, 9]]), np.array([[False, True]] * 2))
    array([[5, 5],
           [5, 9]])
    """
    if keep.all():
        return plane
    if not keep.any():
        return None
    return np.where(keep, plane, plane[keep].min())


def compute_centers(ijv: ArrayLike, count: int) -> np.ndarray:
    """Compute the mean row and column of the pixels of each label.

    Parameters
    ----------
    ijv : array (n, 3), int
        Row, column and label (1 to count) of every pixel of every object.
    count : int
        Number of labels.

    Returns
    -------
    numpy.ndarray (count, 2), float64
        NaN for a label without pixels.

    Examples
    --------
    >>> compute_centers([[0, 0, 1], [0, 4, 1], [7, 7, 3]], 3)
    array([[ 0.,  2.],
           [nan, nan],
           [ 7.,  7.]])
    """
    rows, columns, labels = np.asarray(ijv).reshape(-1, 3).T
    pixels = np.bincount(labels, minlength=count + 1)[1:].astype(float)
    # 0 / NaN is NaN, without a warning.
    pixels[pixels == 0] = np.nan
    sums = [
        np.bincount(labels, values, minlength=count + 1)[1:]
        for values in (rows, columns)
    ]
    return np.column_stack(sums) / pixels[:, None]


def crop_square(
    plane: np.ndarray,
    centre: Sequence[float] | np.ndarray,
    size: int,
    mask: np.ndarray | None = None,
    labels: np.ndarray | None = None,
    label: int | None = None,
) -> np.ndarray | None:
    """Cut a square around a point, and blank the pixels that are not to be measured.

    Parameters
    ----------
    plane : numpy.ndarray (height, width)
        Grey values.
    centre : (float, float)
        Row and column.
    size : int
        Side of the square, in pixels. The part beyond the border of the plane is blank.
    mask : numpy.ndarray (height, width), bool, optional
        Pixels to measure.
    labels : numpy.ndarray (height, width), int, optional
        0 is background. If given, pixels of objects other than ``label`` are blanked.
    label : int, optional
        The object's number in ``labels``.

    Returns
    -------
    numpy.ndarray (size, size), or None
        None where no pixel is left, or the centre is NaN.

    Examples
    --------
    >>> crop_square(np.arange(12).reshape(3, 4), centre=(1, 2), size=2)
    array([[1, 2],
           [5, 6]])
    """
    if not np.all(np.isfinite(centre)):
        return None
    starts = [int(round(value)) - size // 2 for value in centre]
    # The part of the square that lies in the plane, along rows and columns.
    spans = [
        (max(start, 0), min(start + size, length))
        for start, length in zip(starts, plane.shape)
    ]
    if any(stop <= start for start, stop in spans):
        return None
    window = tuple(slice(start, stop) for start, stop in spans)
    keep = _choose_pixels(window, spans, mask, labels, label)
    pixels = blank_outside(plane[window], keep)
    if pixels is None or pixels.shape == (size, size):
        return pixels
    borders = [
        (start - first, first + size - stop)
        for first, (start, stop) in zip(starts, spans)
    ]
    return np.pad(pixels, borders, constant_values=pixels.min())


def _choose_pixels(
    window: tuple[slice, ...],
    spans: Sequence[tuple[int, int]],
    mask: np.ndarray | None,
    labels: np.ndarray | None,
    label: int | None,
) -> np.ndarray:
    """Return which pixels of a window are measured, as bool."""
    if mask is None:
        keep = np.ones([stop - start for start, stop in spans], bool)
    else:
        keep = mask[window]
    if labels is None:
        return keep
    # Background stays: only other objects are blanked.
    inside = labels[window]
    return keep & ((inside == 0) | (inside == label))

"""Square crops around objects: planes like any others, each scaled by itself."""

import numpy as np


def blank_outside(plane, keep):
    """The plane with every pixel outside of ``keep`` set to the darkest one inside, so that it reads as background.

    Parameters
    ----------
    plane : numpy.ndarray (height, width)
    keep : numpy.ndarray (height, width), bool

    Returns
    -------
    numpy.ndarray (height, width), or None
        None where ``keep`` holds no pixel: there is nothing to measure.
    """
    if keep.all():
        return plane
    if not keep.any():
        return None
    return np.where(keep, plane, plane[keep].min())


def compute_centers(ijv, count):
    """Mean row and column of each label, (count, 2), float64; NaN for a label without pixels.

    Parameters
    ----------
    ijv : array (n, 3)
        Row, column and label (1 to count) of every pixel of every object.
    count : int
    """
    rows, columns, labels = np.asarray(ijv).reshape(-1, 3).T
    pixels = np.bincount(labels, minlength=count + 1)[1:].astype(float)
    pixels[pixels == 0] = np.nan
    sums = [
        np.bincount(labels, values, minlength=count + 1)[1:]
        for values in (rows, columns)
    ]
    return np.column_stack(sums) / pixels[:, None]


def crop_square(plane, centre, size, mask=None, labels=None, label=None):
    """A square around a point; what is not to be measured is blanked.

    Parameters
    ----------
    plane : numpy.ndarray (height, width)
    centre : (float, float)
        Row and column.
    size : int
        Side of the square, in pixels. Where it reaches over the border of the plane it
        is blank.
    mask : numpy.ndarray (height, width), bool, optional
        Pixels to measure.
    labels : numpy.ndarray (height, width), int, optional
        0 is background. With it, pixels of other objects than ``label`` are blanked.
    label : int, optional

    Returns
    -------
    numpy.ndarray (size, size), or None
        None where no pixel is left, or the centre is NaN.
    """
    if not np.all(np.isfinite(centre)):
        return None
    starts = [int(round(value)) - size // 2 for value in centre]
    spans = [
        (max(start, 0), min(start + size, length))
        for start, length in zip(starts, plane.shape)
    ]
    if any(stop <= start for start, stop in spans):
        return None
    window = tuple(slice(*span) for span in spans)
    keep = (
        np.ones([stop - start for start, stop in spans], bool)
        if mask is None
        else mask[window]
    )
    if labels is not None:
        keep = keep & ((labels[window] == 0) | (labels[window] == label))
    pixels = blank_outside(plane[window], keep)
    if pixels is None or pixels.shape == (size, size):
        return pixels
    borders = [
        (start - first, first + size - stop)
        for first, (start, stop) in zip(starts, spans)
    ]
    return np.pad(pixels, borders, constant_values=pixels.min())

"""The images that a transformer receives: arrays, or columns of paths.

Each plane, and each error, is identified by its image set and channel.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_array

from stratonet.axes import check_axes
from stratonet.files.images import read_plane
from stratonet.files.urls import redact_url
from stratonet.preprocessing import PreparedPlane
from stratonet_sklearn.rows import find_missing, read_frame

EXPECTED = (
    "X is an array (n, height, width) or (n, height, width, channels), a list of images"
    " (height, width) or (height, width, channels), or paths of images: a list or"
    " column for one channel, a DataFrame or 2-D array with one column per channel."
)
# Errors of a single image. Any other error concerns the disk or the server, and stops
# the run.
IMAGE_ERRORS = (
    FileNotFoundError,
    PermissionError,
    IsADirectoryError,
    NotADirectoryError,
    TypeError,
    ValueError,
)
# Number of reasons that a warning lists.
SHOWN = 10


@dataclass(frozen=True)
class Plane:
    """A channel of an image set: where its pixels are, and how a message names it."""

    number: int
    channel: int
    image: np.ndarray

    @property
    def is_path(self) -> bool:
        """Whether the image is a row of paths, not pixels."""
        return self.image.ndim == 1

    @property
    def path(self) -> str:
        """Path or URL of the file."""
        return os.fspath(self.image[self.channel])

    @property
    def name(self) -> str:
        """Name of the plane in messages."""
        if self.is_path:
            return redact_url(self.path)
        return f"Image {self.number}, channel {self.channel}"


def take_images(X: Any) -> Any:
    """Convert columns of paths, of any library, to a pandas DataFrame.

    Parameters
    ----------
    X : object
        What the transformer received.

    Returns
    -------
    object
        A DataFrame for columns of pandas, polars or Arrow; a 2-D array of one column
        for a list or array of paths; anything else unchanged.

    Examples
    --------
    >>> take_images(["a.tif", "b.tif"]).shape
    (2, 1)
    >>> list(take_images(pd.Series(["a.tif", "b.tif"], name="DNA")))
    ['DNA']
    """
    X = read_frame(X)
    if isinstance(X, pd.DataFrame) or not _holds_paths(X):
        return X
    name = getattr(X, "name", None)
    if isinstance(name, str):
        index = X.index if isinstance(X, pd.Series) else None
        return pd.DataFrame({name: np.asarray(X, object)}, index)
    paths = np.asarray(X, object)
    return paths[:, np.newaxis] if paths.ndim == 1 else paths


def read_images(X: Any) -> tuple[Sequence[np.ndarray], int]:
    """Return the images of X, and how many channels they have.

    Parameters
    ----------
    X : array, list or DataFrame
        What `take_images` returned.

    Returns
    -------
    images : sequence of numpy.ndarray
        Pixels, (height, width) or (height, width, channels), or paths, (channels,).
    n_channels : int
        Number of channels, the same for all images.

    Raises
    ------
    ValueError
        X holds no images; the message says what was received.

    Examples
    --------
    >>> read_images(np.zeros((3, 32, 32, 2)))[1]
    2
    """
    original, received = X, type(X).__name__
    if isinstance(X, np.ma.MaskedArray):
        received += f" of shape {X.shape} and dtype {X.dtype}"
    elif not isinstance(X, (list, tuple)):
        # Only those of scikit-learn's checks that make sense for images, too: no sparse
        # matrix, no complex numbers.
        X = check_array(
            X,
            dtype=None,
            ensure_2d=False,
            allow_nd=True,
            ensure_all_finite=False,
            ensure_min_samples=0,
        )
        received += f" of shape {X.shape} and dtype {X.dtype}"
        X = np.atleast_1d(X)
    if len(X) == 0:
        raise ValueError(
            "Found array with 0 sample(s) while a minimum of 1 is required."
            f" Received: {received}."
        )
    if isinstance(X, np.ndarray) and X.ndim == 2 and X.dtype.kind in "OU":
        return X, X.shape[1]
    # Masks are kept: masked pixels are refused when they are measured.
    images = [
        np.ma.asanyarray(image) if np.ma.isMA(image) else np.asarray(image)
        for image in X
    ]
    return images, _count_channels(images, received, advise(original))


def check_paths(X: Any, paths: Sequence[np.ndarray], may_lack: bool) -> None:
    """Refuse cells that are not paths, before any image is read; accept pixels.

    Parameters
    ----------
    X : object
        What `take_images` returned: messages name paths by its index and columns.
    paths : numpy.ndarray (n, n channels), or images
        What `read_images` returned.
    may_lack : bool
        Whether paths may be missing: None, NaN, or empty.

    Raises
    ------
    ValueError
        A path has another type, or is missing but may not be, or two channels of a row
        have the same file. The message gives row and column.
    """
    if not isinstance(paths, np.ndarray) or paths.ndim != 2:
        return
    missing = find_missing_paths(paths)
    for row, column in np.ndindex(paths.shape):
        path = paths[row, column]
        if missing[row, column] and not may_lack:
            raise ValueError(
                f"Image paths are strings. Received in {_name_cell(X, row, column)}:"
                f" {path!r} ({missing.sum()} of {missing.size} are missing). Leave such"
                " image sets out, or set on_error='nan' to give them NaN."
            )
        if not missing[row, column] and not isinstance(path, (str, os.PathLike)):
            raise ValueError(
                f"Image paths are strings. Received in {_name_cell(X, row, column)}:"
                f" {path!r}. Give the columns of paths only."
            )
    for row, cells in enumerate(paths):
        _check_one_file_each(X, row, list(map(str, cells[~missing[row]])))


def find_missing_paths(paths: np.ndarray) -> np.ndarray:
    """Find the paths that are missing: None, NaN, or nothing but spaces.

    Parameters
    ----------
    paths : numpy.ndarray (n, n channels)
        Of objects or text.

    Returns
    -------
    numpy.ndarray (n, n channels), bool
    """
    cells = pd.Series(paths.ravel(), dtype=object)
    return find_missing(cells).reshape(paths.shape)


def advise(X: Any) -> str:
    """Say what to do with something that holds no images.

    Parameters
    ----------
    X : object
        What was received.

    Returns
    -------
    str
        Begins with a space; ``""`` where nothing is known to help.

    Examples
    --------
    >>> advise("plate/A01.tif")
    " A single path is a list of one: ['plate/A01.tif']."
    """
    if isinstance(X, (str, os.PathLike)):
        return f" A single path is a list of one: [{os.fspath(X)!r}]."
    if isinstance(X, pd.DataFrame):
        return " This table has no column of paths."
    if isinstance(X, dict):
        return " Make a table of it: pandas.DataFrame(X)."
    if isinstance(X, (list, tuple)):
        shapes = {np.ndim(image) for image in X}
        if shapes == {4}:
            return " Join these arrays: numpy.concatenate(X)."
        return ""
    if isinstance(X, Iterator):
        return " Make a list of it: list(X)."
    n_axes = np.asarray(X).ndim
    if n_axes == 1:
        return " Reshape your data: an image has a height and a width."
    if n_axes == 2:
        return (
            " Reshape your data with X[np.newaxis] if it is one sample, a single image."
        )
    if n_axes > 4:
        return " Give one plane of each stack, or a projection: X.max(axis=1)."
    return ""


def list_planes(images: Sequence[np.ndarray], n_channels: int) -> Iterator[Plane]:
    """List planes in the order of the features: the channels of an image together.

    Parameters
    ----------
    images : sequence of numpy.ndarray
        Pixels, or rows of paths.
    n_channels : int
        Number of channels of each image.

    Yields
    ------
    Plane
    """
    for number, image in enumerate(images):
        for channel in range(n_channels):
            yield Plane(number, channel, image)


def prepare_image(
    plane: Plane, prepare: Callable[[np.ndarray], PreparedPlane]
) -> PreparedPlane:
    """Read a plane and turn it into what the network sees.

    Parameters
    ----------
    plane : Plane
        A path, or pixels.
    prepare : callable
        Takes pixels (height, width).

    Raises
    ------
    OSError, TypeError, ValueError
        It cannot be read or measured; the message begins with its name.
    """
    if plane.is_path:
        if find_missing_paths(plane.image)[plane.channel]:
            raise ValueError("there is no path")
        pixels = read_plane(plane.path)
    elif plane.image.ndim == 2:
        pixels = plane.image
    else:
        pixels = plane.image[..., plane.channel]
    try:
        return prepare(pixels)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{plane.name}: {error}") from None


def word_reasons(reasons: np.ndarray, channels: Sequence[str]) -> str:
    """Say which images could not be measured, and why.

    Parameters
    ----------
    reasons : numpy.ndarray (n, n channels) of str
        ``""`` where an image was measured.
    channels : sequence of str
        Their names.

    Returns
    -------
    str
        The first ten, one per line.

    Examples
    --------
    >>> print(word_reasons(np.array([["", "a.tif: damaged"]]), ["DNA", "Actin"]))
    1 of 2 images could not be measured and have NaN for features:
    row 0, Actin: a.tif: damaged
    """
    failed = np.argwhere(reasons != "")
    lines = [
        f"{len(failed):,} of {reasons.size:,} images could not be measured and have NaN"
        " for features:"
    ]
    for row, column in failed[:SHOWN]:
        lines.append(f"row {row}, {channels[column]}: {reasons[row, column]}")
    if len(failed) > SHOWN:
        lines.append(f"and {len(failed) - SHOWN:,} more")
    return "\n".join(lines)


def _holds_paths(X: Any) -> bool:
    """Whether a list, a column or an array holds paths rather than images."""
    if isinstance(X, np.ndarray) and X.dtype.kind in "OU":
        cells = X.ravel()
    elif isinstance(X, (list, tuple, pd.Series, pd.Index)) or hasattr(X, "to_frame"):
        rows = list(X)
        is_table = rows and all(isinstance(row, (list, tuple)) for row in rows)
        cells = [cell for row in rows for cell in row] if is_table else rows
    else:
        return False
    return any(isinstance(cell, (str, os.PathLike)) for cell in cells)


def _check_one_file_each(X: Any, row: int, paths: Sequence[str]) -> None:
    """Refuse a plane that would be measured twice, under two names."""
    if len(set(paths)) == len(paths):
        return
    duplicate = next(path for path in paths if paths.count(path) > 1)
    raise ValueError(
        f"Each channel needs a file of its own. Received {redact_url(duplicate)} for"
        f" two channels in {_name_row(X, row)}. Leave one of them out."
    )


def _name_row(X: Any, row: int) -> str:
    """Name a row by its number, and by its index label where that differs."""
    label = X.index[row] if isinstance(X, pd.DataFrame) else row
    return f"row {row}" + ("" if label == row else f" ({label})")


def _name_cell(X: Any, row: int, column: int) -> str:
    """Name a cell by its numbers, and by index label and column name if it has any."""
    name = f" ({X.columns[column]})" if isinstance(X, pd.DataFrame) else ""
    return f"{_name_row(X, row)}, column {column}{name}"


def _count_channels(images: Sequence[np.ndarray], received: str, advice: str) -> int:
    """Count the channels of images, which must all have the same."""
    for number, image in enumerate(images):
        if image.ndim not in (2, 3):
            raise ValueError(
                f"{EXPECTED} Received: {received}, image {number} of shape"
                f" {image.shape} and dtype {image.dtype}.{advice}"
            )
        if image.size:
            check_axes(image.shape, f"Image {number}")
    # An image (height, width) has one channel.
    counts = set()
    for image in images:
        counts.add(image.shape[2] if image.ndim == 3 else 1)
    if len(counts) > 1 or 0 in counts:
        raise ValueError(
            "All images need the same channels. Received images with"
            f" {sorted(counts)} channels."
        )
    return counts.pop()

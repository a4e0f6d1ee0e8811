"""A plane of an image set, from its file to pixels; and what is said of one that fails.

Both who measures image sets and who looks for the limits of a plate read so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from stratonet.extraction.illumination import correct_plane, decode_function
from stratonet.extraction.job import Job
from stratonet.extraction.sources.imagesets import decode_image
from stratonet.files.images import Content
from stratonet.files.spelling import read_file
from stratonet.files.storage import Storage
from stratonet.files.urls import redact_url
from stratonet.naming import ILLUMINATION, URL, image_column
from stratonet.preprocessing import check_plane

# Errors of a single file. Any other concerns the disk or server, and stops the run.
FILE_ERRORS = (
    FileNotFoundError,
    PermissionError,
    IsADirectoryError,
    NotADirectoryError,
    ValueError,
    TypeError,
)


class DamagedImage(ValueError):
    """An image cannot be measured, and the run is strict."""


@dataclass(frozen=True)
class Failure:
    """Why an image could not be measured, in words."""

    reason: str


def attempt(job: Job, name: str, function: Callable[[], Any]) -> Any:
    """Return what a function returns, or a `Failure` that begins with a name.

    Parameters
    ----------
    job : Job
        Says whether a run is strict.
    name : str
        Of the channel or of the objects.
    function : callable
        Reads or decodes one file.

    Raises
    ------
    DamagedImage
        The file cannot be measured, and the job is strict.
    """
    try:
        return function()
    except FILE_ERRORS as error:
        # Raised from here, it is not taken for an error of one file again: the run
        # stops.
        if job.strict:
            raise DamagedImage(f"{name}: {error}") from None
        return Failure(f"{name}: {error}")


def decode_plane(
    job: Job, row: Mapping[str, Any], channel: str, content: Content
) -> np.ndarray:
    """Decode the plane of one channel, and correct its illumination.

    Parameters
    ----------
    job : Job
        Says how to correct planes.
    row : mapping
        The image set in normal form.
    channel : str
        Its name in the row.
    content : bytes or ReadPixels
        Of the file.

    Returns
    -------
    numpy.ndarray (height, width)
        bool, integer or float; finite.

    Raises
    ------
    OSError, TypeError, ValueError
        Image or illumination function cannot be read, or do not fit each other.
    """
    plane = decode_image(row, channel, content)
    # Before the image is checked: a table without functions is wrong in every row.
    function_url = None
    if job.illumination:
        function_url = row[image_column(ILLUMINATION, channel)]
        if function_url is None:
            raise ValueError("the table names no illumination function")
    try:
        plane = check_plane(plane)
        if job.illumination and function_url:
            function = _read_function(job.storage, function_url)
            plane = correct_plane(plane, function, job.illumination)
    except (TypeError, ValueError) as error:
        name = redact_url(row[image_column(URL, channel)])
        raise type(error)(f"{name}: {error}") from None
    return plane


# One function serves all images of a channel of a plate.
@lru_cache(maxsize=16)
def _read_function(storage: Storage, url: str) -> np.ndarray:
    return decode_function(read_file(url, storage), redact_url(url))

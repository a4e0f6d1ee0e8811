"""Reading planes of image sets, and reporting those that cannot be read.

Used both for measuring image sets and for finding the grey limits of a plate.
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

# Errors of a single file. Any other error concerns the disk or the server, and stops
# the run.
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
    """Call a function and return its result, or a `Failure` if a file is at fault.

    Parameters
    ----------
    job : Job
        Says whether a run is strict.
    name : str
        Name of the channel or of the objects; the reason of the failure begins with it.
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
        # Raised outside of `try`, it is not caught as an error of a single file again,
        # and stops the run.
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
        Content of its file.

    Returns
    -------
    numpy.ndarray (height, width)
        bool, integer or float; finite.

    Raises
    ------
    OSError, TypeError, ValueError
        The image or its illumination function cannot be read, or they do not match.
    """
    plane = decode_image(row, channel, content)
    # Before the image is checked: if the table lacks functions, every row is affected.
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


# One function corrects all images of a channel on a plate.
@lru_cache(maxsize=16)
def _read_function(storage: Storage, url: str) -> np.ndarray:
    return decode_function(read_file(url, storage), redact_url(url))

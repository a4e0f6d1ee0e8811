"""Limits of the grey values of a plate, measured in a sample of its images.

They are found before anything else on the plate is measured, and stored in the
destination. All shards and all later runs use the stored limits, so that the features
of a plate can be compared.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from stratonet.extraction.destination import Destination
from stratonet.extraction.job import Job
from stratonet.extraction.measure import READERS_PER_CORE
from stratonet.extraction.planes import Failure, attempt, decode_plane
from stratonet.extraction.sources.imagesets import read_image_content
from stratonet.files.urls import redact_url
from stratonet.limits import PlateLimits, take_channels
from stratonet.parallel import count_cores
from stratonet.recipe import Limits
from stratonet.tables.columns import PLATE

Row = TypeVar("Row")
# How many planes of each channel are sampled, and about how many pixels of each plane:
# four million pixels in all, of which 4,000 lie beyond either limit.
N_PLANES = 64
N_PIXELS = 2**16
# The fractional parts of its multiples are evenly spread between 0 and 1.
GOLDEN_RATIO = (math.sqrt(5) - 1) / 2


def find_limits(destination: Destination, plate: str, frame: pd.DataFrame) -> Limits:
    """Find the limits of a plate: those stored or given, or else measure them now.

    Parameters
    ----------
    destination : Destination
        Stores the limits.
    plate : str
        Folder of the plate.
    frame : pandas.DataFrame
        All image sets of the plate, in normal form.

    Returns
    -------
    mapping of str to (float, float)
        By channel.

    Raises
    ------
    ValueError
        No image of a channel can be read, or the limits that the user gave differ from
        the stored ones; the message names the plate.
    """
    given_limits = destination.job.limits
    name = str(frame[PLATE].iloc[0])
    if isinstance(given_limits, PlateLimits):
        return _keep_given_limits(destination, plate, given_limits.choose(name), name)
    stored_limits = destination.read_limits(plate)
    if stored_limits is None:
        measured_limits = PlateLimits(
            {name: measure_limits(destination.job, plate, frame)}
        )
        stored_limits = destination.keep_limits(plate, measured_limits)
    return stored_limits


def measure_limits(
    job: Job, plate: str, frame: pd.DataFrame
) -> dict[str, tuple[float, float]]:
    """Measure the limits of a plate: percentiles of all pixels of a sample.

    Parameters
    ----------
    job : Job
        Says which channels to measure and how to correct them; its card says which
        percentiles to take.
    plate : str
        Folder of the plate, for the message.
    frame : pandas.DataFrame
        All image sets of the plate, in normal form.

    Returns
    -------
    dict of str to (float, float)
        By channel, in the units of the files, or of the corrected images if they are
        corrected. The same images give the same numbers.

    Raises
    ------
    ValueError
        No image of a channel can be read.
    """
    percents = (job.card.scaling.low, job.card.scaling.high)
    rows = frame.to_dict("records")
    limits = {}
    with ThreadPoolExecutor(READERS_PER_CORE * count_cores()) as readers:
        for channel in job.channels:
            pixels = _sample_pixels(job, plate, rows, channel, readers)
            low, high = np.percentile(pixels, percents)
            limits[channel] = (float(low), float(high))
    return limits


def _keep_given_limits(
    destination: Destination, plate: str, limits: Limits, name: str
) -> Limits:
    """Store limits that the user gave; refuse them if other limits are stored."""
    limits = take_channels(limits, destination.job.channels)
    stored_limits = destination.keep_limits(plate, PlateLimits({name: limits}))
    if stored_limits != limits:
        raise ValueError(
            f"{redact_url(destination.url)} keeps other limits of grey values of plate"
            f" {plate} ({stored_limits}) than those in `grey_range` ({limits}). Use the"
            " same, or choose another destination."
        )
    return stored_limits


def _sample_pixels(
    job: Job,
    plate: str,
    rows: Sequence[Mapping[str, Any]],
    channel: str,
    readers: Executor,
) -> np.ndarray:
    """Return pixels of planes that are spread over the plate."""
    remaining_rows = iter(_spread_rows(rows))
    sample = partial(_sample_plane, job, channel)
    samples: list[np.ndarray] = []
    failures: list[Failure] = []
    while len(samples) < N_PLANES:
        # Planes that cannot be read are replaced by others.
        sampled_rows = list(islice(remaining_rows, N_PLANES - len(samples)))
        if not sampled_rows:
            break
        for result in readers.map(sample, sampled_rows):
            if isinstance(result, Failure):
                failures.append(result)
            else:
                samples.append(result)
    if not samples:
        raise ValueError(
            f"Plate {plate} has no limits of grey values: none of its {len(rows)}"
            f" images of {channel} can be read. The first: {failures[0].reason}"
        )
    return np.concatenate(samples)


def _spread_rows(rows: Sequence[Row]) -> list[Row]:
    """Order the rows so that the first n, for any n, are spread over all of them."""
    positions = np.arange(len(rows)) * GOLDEN_RATIO % 1
    return [rows[number] for number in np.argsort(positions)]


def _sample_plane(
    job: Job, channel: str, row: Mapping[str, Any]
) -> np.ndarray | Failure:
    """Return some pixels of a plane, taken in a grid."""

    def read() -> np.ndarray:
        content = read_image_content(row, channel, job.storage)
        plane = decode_plane(job, row, channel, content)
        step = math.ceil(math.sqrt(plane.size / N_PIXELS))
        # A copy, so that the plane itself can be freed.
        pixels = plane[::step, ::step].flatten()
        # Percentiles of bool are not defined.
        return pixels.view(np.uint8) if pixels.dtype == bool else pixels

    return attempt(job, channel, read)

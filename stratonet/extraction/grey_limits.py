"""Limits of grey values of a plate: found in a sample of its images, and kept.

They are found before anything of the plate is measured. All shards and all later runs
take those that the destination keeps, so that the features of a plate can be compared.
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
# Planes of each channel in the sample, and about how many pixels of each: together four
# million, of which 4,000 lie beyond either limit.
N_PLANES = 64
N_PIXELS = 2**16
# Multiples of it, without their whole part, fall evenly between 0 and 1.
GOLDEN_RATIO = (math.sqrt(5) - 1) / 2


def find_limits(destination: Destination, plate: str, frame: pd.DataFrame) -> Limits:
    """Find the limits of a plate: those that are kept, given, or measured now.

    Parameters
    ----------
    destination : Destination
        Keeps them.
    plate : str
        Folder of the plate.
    frame : pandas.DataFrame
        All its image sets, in normal form.

    Returns
    -------
    mapping of str to (float, float)
        By channel.

    Raises
    ------
    ValueError
        Of a channel no image can be read, or other limits were given than are kept; the
        message names the plate.
    """
    given = destination.job.limits
    name = str(frame[PLATE].iloc[0])
    if isinstance(given, PlateLimits):
        return _keep_given(destination, plate, given.choose(name), name)
    kept = destination.read_limits(plate)
    if kept is None:
        measured = PlateLimits({name: measure_limits(destination.job, plate, frame)})
        kept = destination.keep_limits(plate, measured)
    return kept


def measure_limits(
    job: Job, plate: str, frame: pd.DataFrame
) -> dict[str, tuple[float, float]]:
    """Measure the limits of a plate: percentiles of all pixels of a sample.

    Parameters
    ----------
    job : Job
        Says which channels, how to correct them, and by its card which percentiles.
    plate : str
        Folder of the plate, for the message.
    frame : pandas.DataFrame
        All its image sets, in normal form.

    Returns
    -------
    dict of str to (float, float)
        By channel, in the units of the files; of corrected images, in their units. The
        same images give the same numbers.

    Raises
    ------
    ValueError
        Of a channel no image can be read.
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


def _keep_given(
    destination: Destination, plate: str, limits: Limits, name: str
) -> Limits:
    """Keep limits that were given, or refuse others than those that are kept."""
    limits = take_channels(limits, destination.job.channels)
    kept = destination.keep_limits(plate, PlateLimits({name: limits}))
    if kept != limits:
        raise ValueError(
            f"{redact_url(destination.url)} keeps other limits of grey values of plate"
            f" {plate} ({kept}) than those in `grey_range` ({limits}). Use the same, or"
            " choose another destination."
        )
    return kept


def _sample_pixels(
    job: Job,
    plate: str,
    rows: Sequence[Mapping[str, Any]],
    channel: str,
    readers: Executor,
) -> np.ndarray:
    """Pixels of planes that are spread over the plate."""
    waiting = iter(_spread(rows))
    sample = partial(_sample_plane, job, channel)
    samples: list[np.ndarray] = []
    failures: list[Failure] = []
    while len(samples) < N_PLANES:
        # Others are drawn in the place of those that cannot be read.
        drawn = list(islice(waiting, N_PLANES - len(samples)))
        if not drawn:
            break
        for result in readers.map(sample, drawn):
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


def _spread(rows: Sequence[Row]) -> list[Row]:
    """The rows in an order of which each beginning is spread over all of them."""
    places = np.arange(len(rows)) * GOLDEN_RATIO % 1
    return [rows[number] for number in np.argsort(places)]


def _sample_plane(
    job: Job, channel: str, row: Mapping[str, Any]
) -> np.ndarray | Failure:
    """Some pixels of a plane, in a grid."""

    def read() -> np.ndarray:
        content = read_image_content(row, channel, job.storage)
        plane = decode_plane(job, row, channel, content)
        step = math.ceil(math.sqrt(plane.size / N_PIXELS))
        # A copy: the rest of the plane is not kept.
        pixels = plane[::step, ::step].flatten()
        # There are no percentiles of bool.
        return pixels.view(np.uint8) if pixels.dtype == bool else pixels

    return attempt(job, channel, read)

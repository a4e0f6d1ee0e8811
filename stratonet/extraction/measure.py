"""One unit of work, from its files to its features.

Call `read_unit`, then `measure_unit`. If one machine reads and another measures, call
`prepare_unit` between them: the features are the same.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import Any, Union

import numpy as np

from stratonet.extraction.job import Job, ObjectsFromCenters, ObjectsFromLabels
from stratonet.extraction.objects import (
    SegmentedObjects,
    read_label_image,
    take_centers,
)
from stratonet.extraction.planes import Failure, attempt, decode_plane
from stratonet.extraction.sources.imagesets import get_pixel_size, read_image_content
from stratonet.extraction.units import Unit
from stratonet.files.images import Content
from stratonet.parallel import count_cores, map_ahead
from stratonet.preprocessing import PreparedPlane

# Waiting for a disk or S3 uses no core, so more threads read than compute.
READERS_PER_CORE = 4
# Stands for the number of a channel if a reason concerns the objects.
OBJECTS_NUMBER = -1


# The stages of a plane: the bytes of its file or the pixels read from a large file, the
# decoded plane, the plane prepared for the network, or why there is none.
Plane = Union[Content, np.ndarray, PreparedPlane, Failure]


@dataclass(frozen=True, eq=False)
class ReadImageSet:
    """The files of one image set, as they were read.

    Attributes
    ----------
    objects : SegmentedObjects, Failure or None
        None if whole images are measured.
    planes : list of bytes, ReadPixels, numpy.ndarray or Failure
        One per channel: the bytes of its file, or the pixels read from a large file;
        after `prepare_unit` the plane itself.
    """

    objects: SegmentedObjects | Failure | None
    planes: list[Plane]


@dataclass(frozen=True, eq=False)
class MeasuredImageSet:
    """One image set, measured.

    Attributes
    ----------
    numbers : numpy.ndarray (n,), or None
        Numbers of its objects; None for a whole image, where n is 1.
    features : numpy.ndarray (n, n channels, width), float32
        NaN where nothing could be measured.
    errors : list of n lists of (int, str)
        For each error, the number of the channel (-1: the objects) and the reason.
    crops : list of n channels lists of n crops, or None
        See `stratonet.extraction.thumbnails`: each uint8, or None where nothing could
        be read. None if the job keeps no crops.
    """

    numbers: np.ndarray | None
    features: np.ndarray
    errors: list[list[tuple[int, str]]]
    crops: list[list[np.ndarray | None]] | None = None

    def count_numbers(self) -> int:
        """Count the features and pixels that are written."""
        crops_by_channel = self.crops or []
        crops = [
            crop for crops in crops_by_channel for crop in crops if crop is not None
        ]
        return self.features.size + sum(crop.size for crop in crops)


@dataclass(frozen=True, eq=False)
class _QueuedPlane:
    """A plane for the network, and where its features belong."""

    measured: MeasuredImageSet
    index: int  # of the object
    channel: int
    row: Mapping[str, Any]
    plane: Plane


@dataclass(frozen=True, eq=False)
class _Step:
    """A plane of an image set, or (None) the end of the image set."""

    measured: MeasuredImageSet
    plane: _QueuedPlane | None


def read_unit(job: Job, unit: Unit, readers: Executor) -> Iterator[ReadImageSet]:
    """Read the image sets of a unit in order, and ahead of their use.

    Parameters
    ----------
    job : Job
        Names the channels and the objects.
    unit : Unit
        The image sets to read.
    readers : concurrent.futures.Executor
        The threads that read.

    Yields
    ------
    ReadImageSet
        With the bytes of files.

    Raises
    ------
    Unreachable
        The server, bucket or disk of the images cannot be reached.
    DamagedImage
        The job is strict, and an image is missing.
    """
    # In the order in which results are taken below: for each image set its objects,
    # then its channels.
    calls: list[Callable[[], Any]] = []
    for index, row in enumerate(unit.records):
        if job.objects.size:
            read_objects = partial(_read_objects, job, unit, index, row)
            calls.append(partial(attempt, job, job.objects.label, read_objects))
        for channel in job.channels:
            read_plane = partial(read_image_content, row, channel, job.storage)
            calls.append(partial(attempt, job, channel, read_plane))
    n_ahead = READERS_PER_CORE * count_cores()
    results = map_ahead(readers, _call_function, calls, n_ahead)
    # Few image sets are in memory at a time: a well of 9 sites and 5 channels is 90 MB.
    for _ in range(len(unit.rows)):
        objects = next(results) if job.objects.size else None
        yield ReadImageSet(objects, [next(results) for _ in job.channels])


def prepare_unit(
    job: Job, unit: Unit, image_sets: Iterable[ReadImageSet]
) -> Iterator[ReadImageSet]:
    """Decode the planes of a unit, and prepare whole images for the network.

    If another machine measures, the machine that reads does this, and so has less to
    send.

    Parameters
    ----------
    job : Job
        Says how to correct and scale planes.
    unit : Unit
        The unit that was read.
    image_sets : iterable of ReadImageSet
        What `read_unit` yields.

    Yields
    ------
    ReadImageSet
        With planes in place of bytes.
    """
    for row, image_set in zip(unit.records, image_sets):
        planes = []
        for channel, plane in zip(job.channels, image_set.planes):
            planes.append(_prepare_plane(job, unit, row, channel, plane))
        yield ReadImageSet(image_set.objects, planes)


def measure_unit(
    job: Job, unit: Unit, image_sets: Iterable[ReadImageSet]
) -> Iterator[MeasuredImageSet]:
    """Measure the image sets of a unit, in order.

    Parameters
    ----------
    job : Job
        Says how to correct and scale planes.
    unit : Unit
        The unit that was read.
    image_sets : iterable of ReadImageSet
        What `read_unit` or `prepare_unit` yields, here or on another machine.

    Yields
    ------
    MeasuredImageSet
    """
    if job.objects.size:
        # All objects are cut out of the same planes, which are decoded once.
        image_sets = prepare_unit(job, unit, image_sets)
    # The planes that the network has received, and their image sets.
    steps: deque[_Step] = deque()
    planes = _queue_planes(job, unit, image_sets, steps)
    features = job.network.stream(planes, read=partial(_take_plane, job, unit))
    for values in features:
        while steps[0].plane is None:
            yield steps.popleft().measured
        plane = steps.popleft().plane
        if plane is not None and values is not None:
            plane.measured.features[plane.index, plane.channel] = values
    # After the last plane, only ends of image sets remain.
    for step in steps:
        yield step.measured


def _call_function(function: Callable[[], Any]) -> Any:
    return function()


def _read_objects(
    job: Job, unit: Unit, index: int, row: Mapping[str, Any]
) -> SegmentedObjects:
    if isinstance(job.objects, ObjectsFromLabels):
        return read_label_image(row, job.objects.label, job.storage)
    assert isinstance(job.objects, ObjectsFromCenters) and unit.centers is not None
    return take_centers(unit.centers[index])


def _prepare_plane(
    job: Job, unit: Unit, row: Mapping[str, Any], channel: str, plane: Plane
) -> np.ndarray | PreparedPlane | Failure:
    """Decode a plane unless it is decoded already; a `Failure` is returned as it is."""
    if isinstance(plane, (Failure, np.ndarray, PreparedPlane)):
        return plane

    def decode() -> np.ndarray | PreparedPlane:
        decoded = decode_plane(job, row, channel, plane)
        # Objects are cut out before they are scaled.
        if job.objects.size:
            return decoded
        limits = unit.choose_limits(channel)
        return job.prepare(decoded, limits, get_pixel_size(row))

    return attempt(job, channel, decode)


def _queue_planes(
    job: Job,
    unit: Unit,
    image_sets: Iterable[ReadImageSet],
    steps: deque[_Step],
) -> Iterator[_QueuedPlane]:
    """Yield the planes for the network, and note them in ``steps``."""
    for row, image_set in zip(unit.records, image_sets):
        measured = _make_empty_result(job, image_set)
        for plane in _cut_planes(job, row, image_set, measured):
            steps.append(_Step(measured, plane))
            yield plane
        steps.append(_Step(measured, None))


def _make_empty_result(job: Job, image_set: ReadImageSet) -> MeasuredImageSet:
    """Make the result of an image set before measuring, with the errors so far."""
    reasons = []
    numbers = None
    if isinstance(image_set.objects, Failure):
        reasons.append((OBJECTS_NUMBER, image_set.objects.reason))
    elif image_set.objects is not None:
        numbers = image_set.objects.numbers
    for channel, plane in enumerate(image_set.planes):
        if isinstance(plane, Failure):
            reasons.append((channel, plane.reason))
    # If objects could not be read, there is a single row, which says why.
    n_rows = 1 if numbers is None else len(numbers)
    shape = (n_rows, len(job.channels), job.width)
    # Features that are not measured stay NaN.
    features = np.full(shape, np.nan, np.float32)
    errors = [list(reasons) for _ in range(n_rows)]
    crops = [[None] * n_rows for _ in job.channels] if job.crops else None
    return MeasuredImageSet(numbers, features, errors, crops)


def _cut_planes(
    job: Job,
    row: Mapping[str, Any],
    image_set: ReadImageSet,
    measured: MeasuredImageSet,
) -> Iterator[_QueuedPlane]:
    """Yield the planes of an image set, or the squares around its objects."""
    objects = image_set.objects
    size = job.objects.size
    if isinstance(objects, Failure):
        return
    for index in range(len(measured.errors)):
        for channel, plane in enumerate(image_set.planes):
            if isinstance(plane, Failure):
                continue
            if objects is not None and size is not None:
                # `prepare_unit` has decoded the planes of objects.
                assert isinstance(plane, np.ndarray)
                try:
                    plane = objects.crop_plane(plane, index, size)
                except ValueError as error:
                    reason = f"{job.channels[channel]}: {error}"
                    measured.errors[index].append((channel, reason))
                    continue
            yield _QueuedPlane(measured, index, channel, row, plane)


def _take_plane(job: Job, unit: Unit, queued: _QueuedPlane) -> PreparedPlane | None:
    """Prepare a queued plane for the network; return None if it cannot be read.

    The thread that measures the plane next calls this, so that the plane stays in the
    cache of its core.
    """
    channel = job.channels[queued.channel]
    plane = _prepare_plane(job, unit, queued.row, channel, queued.plane)
    if isinstance(plane, Failure):
        # Only whole images come as bytes, and they have one row.
        queued.measured.errors[0].append((queued.channel, plane.reason))
        return None
    if not isinstance(plane, PreparedPlane):
        plane = job.prepare(plane, unit.choose_limits(channel))
    if queued.measured.crops is not None:
        queued.measured.crops[queued.channel][queued.index] = plane.crop
    return plane

"""One unit of work, from its files to its features.

The same in a thread, a process or on another machine.
"""

from collections import deque
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from stratonet import crops
from stratonet.extraction import illumination
from stratonet.files.images import decode_plane
from stratonet.files.storage import Storage
from stratonet.files.urls import redact_url
from stratonet.naming import feature_names
from stratonet.network import StratoNet, read_card
from stratonet.parallel import count_cores, map_ahead
from stratonet.preprocessing import check_plane, to_grey
from stratonet.tables.columns import CENTER, OBJECT_NUMBER

# Waiting for a disk or S3 costs no core: more threads read than compute.
READERS_PER_CORE = 4
# What is wrong with one file. Anything else is wrong with the place, and stops the run.
OF_ONE_FILE = (
    FileNotFoundError,
    PermissionError,
    IsADirectoryError,
    NotADirectoryError,
    ValueError,
    TypeError,
)


@dataclass(frozen=True)
class Failure:
    """Why an image could not be measured, in words."""

    reason: str


@dataclass(frozen=True)
class Objects:
    """Objects of one image set: their numbers (n,), and the rows and columns of their centres (n, 2), in pixels.

    ``shape`` is that of the label image they come from.
    """

    numbers: np.ndarray
    centres: np.ndarray
    shape: tuple = None


@dataclass(frozen=True)
class Measured:
    """One image set, measured.

    Attributes
    ----------
    metadata : dict
        Its ``Metadata_*``.
    numbers : numpy.ndarray (n,), or None
        Those of its objects; None for a whole image, where n is 1.
    features : numpy.ndarray (n, n channels, width), float32
        NaN where nothing could be measured.
    errors : list of n lists of (int, str)
        What went wrong: the number of the channel (-1: the objects), and the reason.
    """

    metadata: dict
    numbers: np.ndarray
    features: np.ndarray
    errors: list


class DamagedImage(ValueError):
    """An image cannot be measured, and the run is strict."""


@dataclass(frozen=True)
class Recipe:
    """What is measured and how. Small and without credentials: it travels to other processes and machines.

    Attributes
    ----------
    storage : Storage
    channels : tuple of str
    weights, taps, provider
        See `stratonet.StratoNet.load`.
    illumination : {"divide", "subtract"}, optional
        Correct each image by its illumination function.
    labels : str, optional
        The label image whose objects are measured.
    size : int, optional
        Side of the square around each object, in pixels. None measures whole images.
    strict : bool
        Raise at the first image that cannot be measured.
    """

    storage: Storage
    channels: tuple
    weights: str = "stratonet50"
    taps: tuple = None
    provider: str = "CPUExecutionProvider"
    illumination: str = None
    labels: str = None
    size: int = None
    strict: bool = False

    @property
    def net(self):
        """The network, opened once a process."""
        return StratoNet.load(self.weights, self.taps, self.provider)

    @property
    def card(self):
        """The card of the weights, without the network."""
        return read_card(self.weights)

    @property
    def feature_names(self):
        """The names of all columns of features."""
        return _names(self)

    @property
    def manifest(self):
        """What decides the numbers, as JSON can hold it."""
        return {
            "feature_set": self.net.feature_set_id,
            "taps": [tap.layer for tap in self.card.choose_taps(self.taps)],
            "channels": list(self.channels),
            "illumination": self.illumination,
            "objects": self.size and (self.labels or "centres"),
            "size": self.size,
        }

    def read(self, unit, pool):
        """Yield for each image set of a unit what `measure` takes, read in order and ahead.

        Yields
        ------
        tuple
            `Objects`, a `Failure`, or None for a whole image; and a list with, for each
            channel, the content of its file as bytes, or a `Failure`.

        Raises
        ------
        Unreachable
            The place of the images cannot be reached.
        DamagedImage
            The recipe is strict, and an image is missing.
        """
        jobs = []
        for number, row in enumerate(unit.rows.to_dict("records")):
            if self.labels:
                jobs.append((self._labels, self.labels, row))
            elif self.size:
                jobs.append((_given, "centres", unit.centres[number]))
            jobs += [
                (self._content, channel, row, channel) for channel in self.channels
            ]
        results = map_ahead(pool, self._attempt, jobs, READERS_PER_CORE * count_cores())
        for _ in range(len(unit.rows)):
            objects = next(results) if self.size else None
            yield objects, [next(results) for _ in self.channels]

    def prepare(self, unit, fields):
        """Yield what `read` yields with planes in place of bytes, of whole images as the network sees them."""
        for row, (objects, channels) in zip(unit.rows.to_dict("records"), fields):
            yield (
                objects,
                [
                    self._prepared(row, *of_channel)
                    for of_channel in zip(self.channels, channels)
                ],
            )

    def measure(self, unit, fields):
        """Yield a `Measured` for each image set of a unit, in order.

        Parameters
        ----------
        unit : Unit
        fields : iterable
            What `read` or `prepare` yields, from this or another machine.
        """
        net, queue = self.net, deque()
        if self.size:
            fields = self.prepare(unit, fields)

        def planes():
            for row, (objects, channels) in zip(unit.rows.to_dict("records"), fields):
                measured = self._empty(row, objects, channels)
                for number, channel, plane in self._cut(
                    objects, channels, measured.errors
                ):
                    queue.append((measured, number, channel))
                    yield measured, row, channel, plane
                queue.append(measured)

        def prepared(item):
            """In the thread that embeds it next.

            A plane stays in the cache of its core.
            """
            measured, row, channel, plane = item
            plane = self._prepared(row, self.channels[channel], plane)
            if isinstance(plane, Failure):
                measured.errors[0].append((channel, plane.reason))
                return None
            return to_grey(plane, self.card) if self.size else plane

        for values in net.stream(planes(), read=prepared, prepared=True):
            while isinstance(queue[0], Measured):
                yield queue.popleft()
            measured, number, channel = queue.popleft()
            if values is not None:
                measured.features[number, channel] = values
        yield from queue

    def _attempt(self, job):
        function, name, *arguments = job
        try:
            return function(*arguments)
        except OF_ONE_FILE as error:
            if self.strict:
                raise DamagedImage(f"{name}: {error}") from None
            return Failure(f"{name}: {error}")

    def _content(self, row, channel):
        url = row[f"URL_{channel}"]
        if url is None:
            raise ValueError("the table names no file")
        return self.storage.read(url)

    def _prepared(self, row, channel, content):
        """The plane in the content of a file, or a `Failure`.

        What is one of them already stays what it is.
        """
        if isinstance(content, (Failure, np.ndarray)):
            return content
        return self._attempt((self._plane, channel, row, channel, content))

    def _plane(self, row, channel, content):
        name = redact_url(row[f"URL_{channel}"])
        frame, series = (row.get(f"{kind}_{channel}") for kind in ("Frame", "Series"))
        plane = decode_plane(content, name, frame, series)
        function = row[f"Illumination_{channel}"] if self.illumination else None
        if self.illumination and function is None:
            raise ValueError("the table names no illumination function")
        try:
            plane = check_plane(plane)
            if function:
                plane = illumination.correct(
                    plane, _function(self.storage, function), self.illumination
                )
        except (TypeError, ValueError) as error:
            raise type(error)(f"{name}: {error}") from None
        return plane if self.size else to_grey(plane, self.card)

    def _labels(self, row):
        url = row[f"Labels_{self.labels}"]
        if url is None:
            raise ValueError("the table names no label image")
        labels = decode_plane(self.storage.read(url), redact_url(url))
        if labels.dtype.kind not in "bui":
            raise TypeError(
                f"{redact_url(url)}: a label image holds whole numbers. Received: dtype"
                f" {labels.dtype}"
            )
        places = np.nonzero(labels)
        numbers, inverse = np.unique(labels[places], return_inverse=True)
        centres = crops.compute_centers(
            np.column_stack([*places, inverse + 1]), len(numbers)
        )
        return Objects(numbers[numbers > 0], centres[numbers > 0], labels.shape)

    def _empty(self, row, objects, channels):
        errors = [
            (number, plane.reason)
            for number, plane in enumerate(channels)
            if isinstance(plane, Failure)
        ]
        numbers = None
        if isinstance(objects, Failure):
            errors = [(-1, objects.reason), *errors]
        elif objects is not None:
            numbers = objects.numbers
        count = 1 if numbers is None else len(numbers)
        features = np.full(
            (count, len(self.channels), self.net.width), np.nan, np.float32
        )
        metadata = {
            name: value for name, value in row.items() if name.startswith("Metadata_")
        }
        return Measured(
            metadata, numbers, features, [list(errors) for _ in range(count)]
        )

    def _cut(self, objects, channels, errors):
        """Yield the number of the object, the number of the channel, and the plane to embed."""
        if isinstance(objects, Failure):
            return
        for number in range(len(errors)):
            for channel, plane in enumerate(channels):
                if isinstance(plane, Failure):
                    continue
                if objects is not None:
                    if objects.shape not in (None, plane.shape):
                        shapes = (
                            f"the label image has shape {objects.shape}, the image"
                            f" {plane.shape}"
                        )
                        errors[number].append(
                            (channel, f"{self.channels[channel]}: {shapes}")
                        )
                        continue
                    plane = crops.crop_square(plane, objects.centres[number], self.size)
                    if plane is None:
                        errors[number].append(
                            (
                                channel,
                                (
                                    f"{self.channels[channel]}: the object has no pixel"
                                    " in the image"
                                ),
                            )
                        )
                        continue
                yield number, channel, plane


@lru_cache(maxsize=4)
def _names(recipe):
    return feature_names(recipe.card.choose_taps(recipe.taps), recipe.channels)


def _given(table):
    return Objects(table[OBJECT_NUMBER].to_numpy(), table[list(CENTER)].to_numpy(float))


@lru_cache(maxsize=16)
def _function(storage, url):
    return illumination.read_function(storage.read(url), redact_url(url))

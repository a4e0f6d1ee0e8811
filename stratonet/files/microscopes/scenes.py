"""The images in a file of several, and the base class of the readers of such files."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stratonet.files.microscopes.placements import Placement
from stratonet.files.projections import project_planes
from stratonet.files.refusal import ONE_CHANNEL, Refused


@dataclass(frozen=True)
class Scene:
    """One image of a file, such as a field of a well: planes of channel, z and time.

    Attributes
    ----------
    url : str
        Path or URL of the file; for OME-Zarr, of the JSON file that describes the
        image.
    series : int
        Number of the image in the file, from 0.
    name : str
        Name of the image in the file; ``""`` if it has none.
    channels : tuple of str
        Names of the channels in the file; ``""`` for channels without a name.
    frames : tuple of int
        For each channel, the number of its first plane: in TIFF files the number of
        the page; in others, planes are counted over channels first, then z, then time.
    n_z, n_times : int
        Number of planes in z, and of time points.
    shape : (int, int)
        Height and width in pixels.
    plate, well, site, acquisition : str, optional
        As stored in the file.
    labels : tuple of (str, str)
        Names of label images, and their paths or URLs.
    element : str, optional
        Name of the image in a store of SpatialData.
    placement : Placement
        Position of the image, see `stratonet.files.microscopes.placements`.
    """

    url: str
    series: int
    name: str
    channels: tuple[str, ...]
    frames: tuple[int, ...]
    n_z: int
    n_times: int
    shape: tuple[int, int]
    plate: str | None = None
    well: str | None = None
    site: str | None = None
    acquisition: str | None = None
    labels: tuple[tuple[str, str], ...] = ()
    element: str | None = None
    placement: Placement = ()

    def describe(self) -> str:
        """Describe the shape in words, for messages.

        Examples
        --------
        >>> Scene("a.nd2", 0, "", ("DNA",), (0,), 5, 1, (64, 48)).describe()
        '5 planes in z, 1 channel, 64 x 48 pixels'
        """
        height, width = self.shape
        n_channels = len(self.channels)
        parts = [f"{n_channels} channel{'s' if n_channels > 1 else ''}"]
        parts.append(f"{height} x {width} pixels")
        if self.n_z > 1:
            parts.insert(0, f"{self.n_z} planes in z")
        if self.n_times > 1:
            parts.insert(0, f"{self.n_times} time points")
        return ", ".join(parts)


@dataclass(frozen=True)
class PlaneIndex:
    """The index of a plane in a scene; all numbers count from 0."""

    channel: int
    z: int
    time: int


class SceneFile(ABC):
    """An open file of several images.

    Several threads use it at once; ``lock`` guards the calls of libraries.

    Attributes
    ----------
    scenes : sequence of Scene
        The images, in the order of the file.
    """

    scenes: Sequence[Scene]

    def __init__(self) -> None:
        self.lock = threading.Lock()

    @abstractmethod
    def read_plane(self, scene: Scene, index: PlaneIndex) -> np.ndarray:
        """Read one plane, as it is stored.

        Parameters
        ----------
        scene : Scene
            One of `scenes`.
        index : PlaneIndex
            Index of the plane in the scene.

        Returns
        -------
        numpy.ndarray (height, width)
        """

    @abstractmethod
    def close(self) -> None:
        """Close the file."""

    def __del__(self) -> None:
        self.close()

    def find_plane(self, scene: Scene, frame: int) -> PlaneIndex:
        """Find the plane of a scene by its number.

        Parameters
        ----------
        scene : Scene
            One of `scenes`.
        frame : int
            See `Scene.frames`.
        """
        plane_number, channel = divmod(frame, len(scene.channels))
        time, z = divmod(plane_number, scene.n_z)
        if time >= scene.n_times:
            count = len(scene.channels) * scene.n_z * scene.n_times
            raise Refused(
                f"frame {frame} was asked for, but the file holds {count}, counted from"
                " 0"
            )
        return PlaneIndex(channel, z, time)

    def read(
        self, series: int | None, frame: int | None, projection: str | None
    ) -> np.ndarray:
        """Read the plane that a table names, or a projection of its stack.

        Parameters
        ----------
        series, frame : int, optional
            Number of the image, and of its plane. Without them, there must be only one.
        projection : {"max", "mean", "middle"}, optional
            How the planes in z are projected.

        Returns
        -------
        numpy.ndarray (height, width)

        Raises
        ------
        Refused
            There is no such plane, or there are several and none was chosen.
        """
        scene = self._choose_scene(series)
        if frame is None:
            self._check_single(scene, projection)
        index = self.find_plane(scene, frame or 0)
        if projection is None or scene.n_z == 1:
            return self.read_plane(scene, index)

        def read_z(z: int) -> np.ndarray:
            return self.read_plane(scene, PlaneIndex(index.channel, z, index.time))

        return project_planes(projection, read_z, range(scene.n_z))

    def _choose_scene(self, series: int | None) -> Scene:
        count = len(self.scenes)
        if series is None and count > 1:
            raise Refused(
                f"{count} images were received. Give the file to stratonet extract, or"
                " name the image by its series."
            )
        if (series or 0) >= count:
            raise Refused(
                f"series {series} was asked for, but the file holds {count}, counted"
                " from 0"
            )
        return self.scenes[series or 0]

    def _check_single(self, scene: Scene, projection: str | None) -> None:
        if len(scene.channels) > 1 or scene.n_times > 1:
            raise Refused(
                f"several planes were received ({scene.describe()}). Give the file to"
                " stratonet extract, or name one plane by its frame."
            )
        if scene.n_z > 1 and projection is None:
            raise Refused(describe_stack(scene))


def describe_stack(scene: Scene) -> str:
    """Return a message that says how to read a stack.

    Parameters
    ----------
    scene : Scene
        An image with several planes in z.
    """
    return (
        f"a stack was received ({scene.describe()}). Say how to project its planes:"
        " `project` is max, mean or middle."
    )


def refuse_colors(description: str) -> None:
    """Refuse an image in colour.

    Parameters
    ----------
    description : str
        The shape, or another description, for the message.

    Raises
    ------
    Refused
    """
    raise Refused(f"a colour image was received ({description}). {ONE_CHANNEL}")

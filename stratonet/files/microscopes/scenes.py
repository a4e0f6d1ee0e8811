"""What a file of several images holds, and the contract of those that read one."""

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
        Path or URL of the file; of OME-Zarr, of the JSON file that describes the image.
    series : int
        Which image of the file it is, from 0.
    name : str
        As the file calls it; ``""`` where it does not.
    channels : tuple of str
        As the file calls them; ``""`` where it does not.
    frames : tuple of int
        For each channel the number of its first plane. Of TIFF files it is the number
        of the page, else planes are counted over channels first, then z, then time.
    n_z, n_times : int
    shape : (int, int)
        Height and width in pixels.
    plate, well, site, acquisition : str, optional
        As the file says.
    labels : tuple of (str, str)
        Names of label images, and where they are.
    element : str, optional
        What a store of SpatialData calls it.
    placement : Placement
        Where it lies, see `stratonet.files.microscopes.placements`.
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
        """Its shape in words, for messages.

        Examples
        --------
        >>> Scene("a.nd2", 0, "", ("DNA",), (0,), 5, 1, (64, 48)).describe()
        '5 planes in z, 1 channel, 64 x 48 pixels'
        """
        height, width = self.shape
        n_channels = len(self.channels)
        words = [f"{n_channels} channel{'s' if n_channels > 1 else ''}"]
        words.append(f"{height} x {width} pixels")
        if self.n_z > 1:
            words.insert(0, f"{self.n_z} planes in z")
        if self.n_times > 1:
            words.insert(0, f"{self.n_times} time points")
        return ", ".join(words)


@dataclass(frozen=True)
class PlaneIndex:
    """Which plane of a scene: all counted from 0."""

    channel: int
    z: int
    time: int


class SceneFile(ABC):
    """An open file of several images.

    It is used by several threads at once; what libraries read is guarded by ``lock``.

    Attributes
    ----------
    scenes : sequence of Scene
        What the file holds, in its order.
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
            Within it.

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
        """Which plane of a scene a number stands for.

        Parameters
        ----------
        scene : Scene
            One of `scenes`.
        frame : int
            See `Scene.frames`.
        """
        rest, channel = divmod(frame, len(scene.channels))
        time, z = divmod(rest, scene.n_z)
        if time >= scene.n_times:
            count = len(scene.channels) * scene.n_z * scene.n_times
            raise Refused(
                f"frame {frame} was asked for, and it holds {count}, counted from 0"
            )
        return PlaneIndex(channel, z, time)

    def read(
        self, series: int | None, frame: int | None, projection: str | None
    ) -> np.ndarray:
        """Read the plane that a table names, or a projection of its stack.

        Parameters
        ----------
        series, frame : int, optional
            Which image, and which of its planes. Without them there must be one.
        projection : {"max", "mean", "middle"}, optional
            What becomes of the planes in z.

        Returns
        -------
        numpy.ndarray (height, width)

        Raises
        ------
        Refused
            There is no such plane, or several, none of which was named.
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
                f"series {series} was asked for, and it holds {count}, counted from 0"
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
    """Say what to do with a stack, for messages.

    Parameters
    ----------
    scene : Scene
        One with several planes in z.
    """
    return (
        f"a stack was received ({scene.describe()}). Say how its planes become one:"
        " `project` is max, mean or middle."
    )


def refuse_colors(what: str) -> None:
    """Refuse an image in colour.

    Parameters
    ----------
    what : str
        Its shape, or what else says it.

    Raises
    ------
    Refused
    """
    raise Refused(f"a colour image was received ({what}). {ONE_CHANNEL}")

"""Read ND2 files, as Nikon's NIS-Elements writes them."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

import nd2
import numpy as np

from stratonet.files.microscopes.ometiff import open_in_blocks
from stratonet.files.microscopes.scenes import (
    PlaneIndex,
    Scene,
    SceneFile,
    refuse_colors,
)
from stratonet.files.refusal import Refused
from stratonet.files.storage import Storage
from stratonet.files.urls import is_url

# nd2's names of axes: positions, time, z, channels.
POSITIONS, TIME, HEIGHT, CHANNEL = "P", "T", "Z", "C"


class Nd2File(SceneFile):
    """An ND2 file, whose images are the positions of its experiment.

    Parameters
    ----------
    url : str
        Path or URL.
    storage : Storage
        Reads it.
    """

    def __init__(self, url: str, storage: Storage) -> None:
        super().__init__()
        # nd2 maps local files into memory, and reads others in pieces.
        self._file = nd2.ND2File(open_in_blocks(url, storage) if is_url(url) else url)
        sizes = self._file.sizes
        if self._file.is_rgb:
            refuse_colors(f"{dict(sizes)}")
        loops = [axis for axis in sizes if axis not in ("C", "Y", "X")]
        if set(loops) - {POSITIONS, TIME, HEIGHT}:
            raise Refused(
                f"the axes {', '.join(sizes)} were received. Only positions (P), time"
                " (T), z (Z) and channels (C) can be read."
            )
        # Each frame holds all channels; frames are in the order of the loops.
        self._frames: dict[tuple[int, int, int], int] = {}
        for number, loop_indices in enumerate(
            product(*(range(sizes[a]) for a in loops))
        ):
            indices = dict(zip(loops, loop_indices))
            key = (
                indices.get(POSITIONS, 0),
                indices.get(TIME, 0),
                indices.get(HEIGHT, 0),
            )
            self._frames[key] = number
        self.scenes = self._list_scenes(url, sizes)

    def _list_scenes(self, url: str, sizes: Mapping[str, int]) -> list[Scene]:
        count = sizes.get(CHANNEL, 1)
        channels = self._file.metadata.channels or []
        names = [channel.channel.name or "" for channel in channels[:count]]
        names += [""] * (count - len(names))
        positions = self._name_positions(sizes.get(POSITIONS, 1))
        return [
            Scene(
                url,
                series,
                position,
                tuple(names),
                tuple(range(count)),
                sizes.get(HEIGHT, 1),
                sizes.get(TIME, 1),
                (sizes["Y"], sizes["X"]),
            )
            for series, position in enumerate(positions)
        ]

    def _name_positions(self, count: int) -> list[str]:
        for loop in self._file.experiment:
            if loop.type == "XYPosLoop":
                names = [point.name or "" for point in loop.parameters.points]
                return (names + [""] * count)[:count]
        return [""] * count

    def read_plane(self, scene: Scene, index: PlaneIndex) -> np.ndarray:
        """Read one plane from its frame, see `SceneFile.read_plane`."""
        number = self._frames[scene.series, index.time, index.z]
        with self.lock:
            # A copy, since the memory map ends when the file is closed.
            frame = np.array(self._file.read_frame(number))
        # nd2 shows frames that were never written as zeros, which no camera gives.
        if not frame.any():
            raise Refused(
                f"frame {number} is missing or empty. Was the experiment stopped?"
            )
        return frame.reshape(-1, *scene.shape)[index.channel]

    def close(self) -> None:
        """Close the file."""
        if hasattr(self, "_file"):
            self._file.close()

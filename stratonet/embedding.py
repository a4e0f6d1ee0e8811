"""From prepared planes to features: run tiles through the network, and average."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from stratonet import preprocessing
from stratonet.card import Card
from stratonet.preprocessing import PreparedPlane
from stratonet.recipe import Recipe
from stratonet.session import NetworkSession


class _TileOrigin(NamedTuple):
    """The plane and the view that a tile was cut from."""

    plane: int
    view: int


class PlaneEmbedder:
    """Turns prepared planes into features.

    Parameters
    ----------
    session : NetworkSession
        The open network.
    card : Card
        Says what the network takes.
    recipe : Recipe
        Its views cut planes into tiles.
    needs_network : bool
        Whether any output of the network is wanted, or only brightness.
    """

    def __init__(
        self, session: NetworkSession, card: Card, recipe: Recipe, needs_network: bool
    ) -> None:
        self._session = session
        self._card = card
        self._views = recipe.views if needs_network else ()

    def embed(self, planes: Sequence[PreparedPlane | None]) -> list[np.ndarray | None]:
        """Return the features of some planes.

        Parameters
        ----------
        planes : sequence of PreparedPlane or None
            None stands for a missing plane.

        Returns
        -------
        list of numpy.ndarray (width,), float32, or None
            In the order of the planes.
        """
        tiles: dict[tuple[int, ...], list[np.ndarray]] = {}
        origins: dict[tuple[int, ...], list[_TileOrigin]] = {}
        for number, plane in enumerate(planes):
            for origin, tile in self._cut(number, plane):
                tiles.setdefault(tile.shape, []).append(tile)
                origins.setdefault(tile.shape, []).append(origin)
        rows: dict[_TileOrigin, list[np.ndarray]] = {}
        for shape in tiles:
            inputs = [
                preprocessing.to_planes(tile, self._card) for tile in tiles[shape]
            ]
            features = self._session.run(np.concatenate(inputs))
            for origin, row in zip(origins[shape], features):
                rows.setdefault(origin, []).append(row)
        return [
            None if plane is None else self._join(number, plane, rows)
            for number, plane in enumerate(planes)
        ]

    def embed_together(
        self, planes: Iterator[PreparedPlane | None]
    ) -> Iterator[np.ndarray | None]:
        """Yield the features of planes, running as many tiles at once as allowed.

        Parameters
        ----------
        planes : iterator of PreparedPlane or None
            An error of the iterator is raised after the features of the planes before.

        Yields
        ------
        numpy.ndarray (width,), float32, or None
            In the order of the planes.
        """
        waiting: list[PreparedPlane | None] = []
        count = 0
        try:
            for plane in planes:
                waiting.append(plane)
                count += len(list(self._cut(0, plane)))
                if count >= self._session.batch:
                    yield from self.embed(waiting)
                    waiting, count = [], 0
        except Exception:
            yield from self.embed(waiting)
            raise
        yield from self.embed(waiting)

    def _cut(
        self, number: int, plane: PreparedPlane | None
    ) -> Iterator[tuple[_TileOrigin, np.ndarray]]:
        if plane is None:
            return
        for position, view in enumerate(self._views):
            for tile in view.cut(plane.greys[position]):
                yield _TileOrigin(number, position), tile

    def _join(
        self,
        number: int,
        plane: PreparedPlane,
        rows: dict[_TileOrigin, list[np.ndarray]],
    ) -> np.ndarray:
        """Average the tiles of each view, and put the features side by side."""
        parts = []
        for position in range(len(self._views)):
            tiles = rows[_TileOrigin(number, position)]
            parts.append(np.mean(tiles, axis=0, dtype=np.float32))
        if plane.intensity is not None:
            parts.append(plane.intensity)
        return np.concatenate(parts)

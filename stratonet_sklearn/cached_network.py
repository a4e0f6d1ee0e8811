"""A network that is shown a plane once: what it gave is kept in a cache.

The cache stands between a prepared plane and the network: rows are known by what the
network would see. Whatever changes that (pixels, limits of grey values, the recipe, how
files are read) changes the key, and no list of such things has to be kept right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from stratonet import Recipe, StratoNet, __version__
from stratonet.preprocessing import PreparedPlane
from stratonet.tap import INTENSITY, INTENSITY_TAP
from stratonet_sklearn.cache import FeatureCache

if TYPE_CHECKING:
    from os import PathLike

    from stratonet.card import Card

Item = TypeVar("Item")


class CachedNetwork:
    """Measures all that a network can give of a plane, once, and hands out columns.

    Parameters
    ----------
    net : StratoNet
        Whose features are wanted.
    weights : str or path-like
        Those of ``net``.
    cache : FeatureCache
        Open.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> net = StratoNet.load(taps="conv2_block1_out", recipe="whole32/mean")
    >>> with FeatureCache(Path(tempfile.mkdtemp())) as cache:
    ...     cached = CachedNetwork(net, "stratonet50", cache)
    ...     (row,) = cached.stream([np.eye(32)], read=cached.prepare)
    >>> np.allclose(row, net.features(np.eye(32)), atol=1e-5)
    True
    """

    def __init__(
        self, net: StratoNet, weights: str | PathLike[str], cache: FeatureCache
    ) -> None:
        # Of every tap and statistic: who asks for others later finds them, too.
        layers = [tap.layer for tap in net.card.taps]
        if INTENSITY_TAP in net.taps:
            layers.append(INTENSITY)
        recipe = replace(net.recipe, pooling=_list_statistics(net.card))
        self._full = StratoNet.load(weights, layers, net.provider, recipe)
        self._columns = _find_columns(net, self._full)
        self._cache = cache
        self._prefixes = _describe_views(self._full)

    @property
    def width(self) -> int:
        """Number of features of one plane, as they are handed out."""
        return len(self._columns)

    def prepare(
        self,
        plane: np.ndarray,
        limits: tuple[float, float] | None = None,
        pixel_size: float | None = None,
    ) -> PreparedPlane:
        """Bring a plane to what the network sees, see `StratoNet.prepare`."""
        return self._full.prepare(plane, limits, pixel_size)

    def stream(
        self,
        items: Iterable[Item],
        read: Callable[[Item], PreparedPlane | None],
    ) -> Iterator[np.ndarray | None]:
        """Yield the features of each item in order, measured or known.

        Parameters
        ----------
        items : iterable
            What ``read`` takes.
        read : callable
            Turns an item into what `prepare` makes of its plane, in a thread; or into
            None, which is passed on as its features.

        Yields
        ------
        numpy.ndarray (width,), float32
            Or None, where ``read`` gives None.
        """
        keys: dict[int, list[bytes]] = {}
        known: dict[int, np.ndarray] = {}

        def look_up(numbered: tuple[int, Item]) -> PreparedPlane | None:
            number, item = numbered
            prepared = read(item)
            if prepared is None:
                return None
            keys[number] = self._make_keys(prepared)
            row = self._find_row(keys[number], prepared)
            if row is None:
                return prepared
            known[number] = row
            return None

        rows = self._full.stream(enumerate(items), read=look_up)
        for number, measured in enumerate(rows):
            keys_of_views = keys.pop(number, [])
            row = known.pop(number, measured)
            if measured is not None:
                self._keep_row(keys_of_views, measured)
            yield None if row is None else row[self._columns]

    def _make_keys(self, prepared: PreparedPlane) -> list[bytes]:
        """Make the key of each view of a plane: a digest of what decides its row."""
        keys = []
        for prefix, grey in zip(self._prefixes, prepared.greys):
            digest = sha256(f"{prefix}\n{grey.dtype.str}\n{grey.shape}\n".encode())
            digest.update(np.ascontiguousarray(grey))
            keys.append(digest.digest())
        return keys

    def _find_row(
        self, keys: list[bytes], prepared: PreparedPlane
    ) -> np.ndarray | None:
        """Return all features of a plane, if those of each view are known."""
        width = self._measure_width()
        parts = []
        for key in keys:
            part = self._cache.get(key, width)
            if part is None:
                return None
            parts.append(part)
        if prepared.intensity is not None:
            parts.append(prepared.intensity)
        return np.concatenate(parts)

    def _keep_row(self, keys: list[bytes], row: np.ndarray) -> None:
        width = self._measure_width()
        for number, key in enumerate(keys):
            self._cache.put(key, row[number * width : (number + 1) * width])

    def _measure_width(self) -> int:
        """Number of features of one view."""
        of_views = [block.width for block in self._full.blocks if block.output]
        return sum(of_views) // len(self._prefixes)


def _list_statistics(card: Card) -> tuple[str, ...]:
    """List what a network gives of its maps."""
    return ("mean", "sd") if all(tap.sd for tap in card.taps) else ("mean",)


def _find_columns(net: StratoNet, full: StratoNet) -> np.ndarray:
    """Find the features of a network among all that it can give."""
    columns = {}
    begin = 0
    for block in full.blocks:
        columns[block.label] = np.arange(begin, begin + block.width)
        begin += block.width
    return np.concatenate([columns[block.label] for block in net.blocks])


def _describe_views(net: StratoNet) -> list[str]:
    """Describe what decides the features of each view, beside what the network sees."""
    import onnxruntime

    weights_id = net.feature_set_id.removesuffix(f"-{net.recipe.id}")
    # Versions, too: another one may round otherwise.
    rest = f"{net.provider} {onnxruntime.__version__} {__version__}"
    described = []
    for view in net.recipe.views:
        recipe: Recipe = replace(net.recipe, views=(view,))
        described.append(f"{weights_id}-{recipe.id} {rest}")
    return described

"""A network that measures each plane once, and keeps the features in a cache.

The cache sits between prepared planes and the network: the key of a row is a digest of
what the network would see. Whatever changes that (pixels, limits of grey values, the
recipe, how files are read) changes the key, so no list of such influences has to be
maintained.
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
    """Measure all features of each plane once, and return the columns asked for.

    Parameters
    ----------
    net : StratoNet
        The network whose features are wanted.
    weights : str or path-like
        The weights of ``net``.
    cache : FeatureCache
        An open cache.

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
        # With every tap and statistic, so that later requests for others find them,
        # too.
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
        """Number of features that are returned for one plane."""
        return len(self._columns)

    def prepare(
        self,
        plane: np.ndarray,
        limits: tuple[float, float] | None = None,
        pixel_size: float | None = None,
    ) -> PreparedPlane:
        """Turn a plane into what the network sees, see `StratoNet.prepare`."""
        return self._full.prepare(plane, limits, pixel_size)

    def stream(
        self,
        items: Iterable[Item],
        read: Callable[[Item], PreparedPlane | None],
    ) -> Iterator[np.ndarray | None]:
        """Yield the features of each item in order, measured or from the cache.

        Parameters
        ----------
        items : iterable
            What ``read`` takes.
        read : callable
            Called in a thread: returns what `prepare` makes of an item's plane, or
            None, which is then yielded instead of features.

        Yields
        ------
        numpy.ndarray (width,), float32
            None where ``read`` returned None.
        """
        keys: dict[int, list[bytes]] = {}
        cached_rows: dict[int, np.ndarray] = {}

        def look_up(numbered: tuple[int, Item]) -> PreparedPlane | None:
            number, item = numbered
            prepared = read(item)
            if prepared is None:
                return None
            keys[number] = self._make_keys(prepared)
            row = self._find_row(keys[number], prepared)
            if row is None:
                return prepared
            cached_rows[number] = row
            return None

        rows = self._full.stream(enumerate(items), read=look_up)
        for number, measured in enumerate(rows):
            keys_of_views = keys.pop(number, [])
            row = cached_rows.pop(number, measured)
            if measured is not None:
                self._keep_row(keys_of_views, measured)
            yield None if row is None else row[self._columns]

    def _make_keys(self, prepared: PreparedPlane) -> list[bytes]:
        """Make the key of each view of a plane: a digest of what determines its row."""
        keys = []
        for prefix, grey in zip(self._prefixes, prepared.greys):
            digest = sha256(f"{prefix}\n{grey.dtype.str}\n{grey.shape}\n".encode())
            digest.update(np.ascontiguousarray(grey))
            keys.append(digest.digest())
        return keys

    def _find_row(
        self, keys: list[bytes], prepared: PreparedPlane
    ) -> np.ndarray | None:
        """Return all features of a plane; None if a view is not in the cache."""
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
        """Return the number of features of one view."""
        widths = [block.width for block in self._full.blocks if block.output]
        return sum(widths) // len(self._prefixes)


def _list_statistics(card: Card) -> tuple[str, ...]:
    """List the statistics that a network computes of its feature maps."""
    return ("mean", "sd") if all(tap.sd for tap in card.taps) else ("mean",)


def _find_columns(net: StratoNet, full: StratoNet) -> np.ndarray:
    """Find the features of a network among those of the full network."""
    columns = {}
    begin = 0
    for block in full.blocks:
        columns[block.label] = np.arange(begin, begin + block.width)
        begin += block.width
    return np.concatenate([columns[block.label] for block in net.blocks])


def _describe_views(net: StratoNet) -> list[str]:
    """Describe what determines the features of each view, apart from its pixels."""
    import onnxruntime

    weights_id = net.feature_set_id.removesuffix(f"-{net.recipe.id}")
    # Versions, too: another one may round differently.
    runtime = f"{net.provider} {onnxruntime.__version__} {__version__}"
    descriptions = []
    for view in net.recipe.views:
        recipe: Recipe = replace(net.recipe, views=(view,))
        descriptions.append(f"{weights_id}-{recipe.id} {runtime}")
    return descriptions

"""Measure planes, with or without a cache, and say why some cannot be measured."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Union

import numpy as np
from tqdm.auto import tqdm

from stratonet import StratoNet
from stratonet.preprocessing import PreparedPlane
from stratonet_sklearn.cache import FeatureCache, find_folder
from stratonet_sklearn.cached_network import CachedNetwork
from stratonet_sklearn.images import IMAGE_ERRORS, Plane

if TYPE_CHECKING:
    from os import PathLike

# What turns prepared planes into features.
Measuring = Union[StratoNet, CachedNetwork]


@contextmanager
def open_measuring(
    net: StratoNet, weights: str | PathLike[str], cache: str | PathLike[str] | None
) -> Iterator[Measuring]:
    """Yield what measures: the network, or one with a cache of its features.

    Parameters
    ----------
    net : StratoNet
        The network whose features are wanted.
    weights : str or path-like
        The weights of ``net``.
    cache : {None, "auto"}, str or path-like
        As `StratoFeatureTransformer` takes it.
    """
    if cache is None:
        yield net
        return
    with FeatureCache(find_folder(cache)) as features:
        yield CachedNetwork(net, weights, features)


def measure_planes(
    measuring: Measuring,
    planes: Iterable[Plane],
    prepare: Callable[[Plane], PreparedPlane],
    on_error: str,
    verbose: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Measure planes.

    Parameters
    ----------
    measuring : StratoNet or CachedNetwork
        From `open_measuring`.
    planes : iterable of Plane
        Read as needed: few are in memory at once.
    prepare : callable
        Called in a thread: reads a plane and turns it into what the network sees.
    on_error : {"raise", "nan"}
        What happens to a plane that cannot be measured.
    verbose : bool
        Show a progress bar.

    Returns
    -------
    features : numpy.ndarray (n planes, width), float32
        NaN where a plane could not be measured.
    reasons : numpy.ndarray (n planes,), object
        ``""`` where a plane was measured.

    Raises
    ------
    OSError, TypeError, ValueError
        What `prepare` raises: for a single plane only if ``on_error`` is ``"raise"``,
        for a disk or server that cannot be reached always.
    """
    numbered = list(enumerate(planes))
    if isinstance(measuring, CachedNetwork):
        # Processes that measure the same images at once (`n_jobs`) then rarely measure
        # the same plane: each finds what the others have done.
        random.Random().shuffle(numbered)
    # Filled row by row: if rows were stacked at the end, they would be in memory twice.
    features = np.empty((len(numbered), measuring.width), np.float32)
    reasons = np.full(len(numbered), "", object)

    def read(item: tuple[int, Plane]) -> PreparedPlane | None:
        number, plane = item
        try:
            return prepare(plane)
        except IMAGE_ERRORS as error:
            if on_error == "raise":
                raise
            reasons[number] = str(error)
            return None

    rows = measuring.stream(numbered, read=read)
    progress = tqdm(rows, total=len(numbered), disable=not verbose, unit="plane")
    for row, (number, _) in zip(progress, numbered):
        features[number] = np.nan if row is None else row
    return features, reasons

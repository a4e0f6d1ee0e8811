"""Percentiles of many pixels, as ``numpy.percentile`` gives them, but faster.

NumPy partitions all pixels around a percentile. The limits of grey values lie close to
the darkest and the brightest pixel, so only the pixels near these ends need be sorted.
Integers of few bits need only be counted.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

# Size of the sample that tells roughly where a percentile lies.
N_SAMPLED = 1024


def find_percentile(pixels: np.ndarray, percent: float) -> float:
    """Find a percentile of pixels, fast where it lies near an end.

    Parameters
    ----------
    pixels : numpy.ndarray
        Integers or floats, none NaN; at least one.
    percent : float
        0 to 100.

    Returns
    -------
    float
        As ``numpy.percentile`` gives it.

    Examples
    --------
    >>> find_percentile(np.array([1, 2, 4]), 75)
    3.0
    """
    values = np.ravel(pixels)
    position = percent / 100 * (values.size - 1)
    first = int(position)
    sample = np.sort(values[:: max(1, values.size // N_SAMPLED)])
    # More pixels than needed: the sample only roughly tells how many are beyond.
    if percent < 50:
        rank = min(int(percent / 100 * 1.5 * sample.size) + 8, sample.size - 1)
        tail = values[values <= sample[rank]]
        n_below = 0
    else:
        rank = max(int((percent / 100 * 1.5 - 0.5) * sample.size) - 8, 0)
        tail = values[values >= sample[rank]]
        n_below = values.size - tail.size
    first -= n_below
    if not 0 <= first < tail.size - 1:
        return float(np.percentile(values, percent))
    low, high = np.partition(tail, [first, first + 1])[first : first + 2]
    return float(np.interp(position - n_below, (first, first + 1), (low, high)))


def count_pixels(pixels: np.ndarray) -> np.ndarray:
    """Count how often each grey value occurs.

    Parameters
    ----------
    pixels : numpy.ndarray (height, width), uint8 or uint16
        Of any shape.

    Returns
    -------
    numpy.ndarray (256,) or (65536,), int
        By grey value.
    """
    return np.bincount(np.ravel(pixels), minlength=np.iinfo(pixels.dtype).max + 1)


def find_percentiles_of_counts(
    counts: np.ndarray, percents: Iterable[float]
) -> np.ndarray:
    """Find percentiles of pixels from the counts of their values.

    Parameters
    ----------
    counts : numpy.ndarray (n values,), int
        See `count_pixels`.
    percents : iterable of float
        Each 0 to 100.

    Returns
    -------
    numpy.ndarray (n percents,), float64
        As ``numpy.percentile`` gives them.

    Examples
    --------
    >>> pixels = np.array([7, 7, 9, 9], np.uint8)
    >>> find_percentiles_of_counts(count_pixels(pixels), (0, 50, 100))
    array([7., 8., 9.])
    """
    ends = np.cumsum(counts)
    positions = np.asarray(list(percents)) / 100 * (ends[-1] - 1)
    firsts = np.floor(positions)
    low, high = (
        np.searchsorted(ends, ranks, side="right")
        for ranks in (firsts, np.ceil(positions))
    )
    return low + (high - low) * (positions - firsts)

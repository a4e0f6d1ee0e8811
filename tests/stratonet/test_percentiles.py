"""Percentiles are those of NumPy, whatever the pixels are."""

import numpy as np
import pytest

from stratonet.intensity import measure_intensity
from stratonet.percentiles import (
    count_pixels,
    find_percentile,
    find_percentiles_of_counts,
)

PERCENTS = (0, 0.1, 1, 25, 49.9, 50, 75, 99.9, 100)
SIZES = (1, 2, 3, 100, 4096, 50_001)


def draw_pixels(kind: str, size: int) -> np.ndarray:
    rng = np.random.default_rng(size)
    if kind == "image":
        return rng.gamma(2, 300, size)
    if kind == "below zero":
        return rng.normal(-5, 1, size)
    if kind == "constant":
        return np.full(size, 7.0)
    if kind == "two values":
        return rng.integers(0, 2, size) * 9.0
    if kind == "few bright":
        return np.where(rng.random(size) < 0.001, 1000.0, 5.0)
    # A sample of every n-th pixel sees only dark ones, or only bright ones.
    if kind == "stripes":
        return np.arange(size) % max(1, size // 1024) * 1.0
    return np.sort(rng.gamma(2, 300, size))


KINDS = ("image", "below zero", "constant", "two values", "few bright", "stripes", "")


@pytest.mark.parametrize("kind", KINDS)
def test_percentile_of_any_pixels_is_numpys(kind):
    for size in SIZES:
        pixels = draw_pixels(kind, size).astype(np.float32)
        span = np.abs(pixels).max()
        expected = np.percentile(pixels, PERCENTS)
        found = [find_percentile(pixels, percent) for percent in PERCENTS]
        np.testing.assert_allclose(found, expected, rtol=0, atol=2e-7 * span)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, bool])
def test_percentile_of_integers_of_a_plane(dtype):
    plane = draw_pixels("image", 300 * 200).reshape(300, 200).astype(dtype)[::2]
    plane = plane.view(np.uint8) if dtype is bool else plane
    expected = np.percentile(plane, PERCENTS)
    found = [find_percentile(plane, percent) for percent in PERCENTS]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS[:1] + KINDS[2:])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_percentiles_of_counts_are_numpys(kind, dtype):
    for size in SIZES:
        pixels = draw_pixels(kind, size).astype(dtype)
        found = find_percentiles_of_counts(count_pixels(pixels), PERCENTS)
        np.testing.assert_allclose(found, np.percentile(pixels, PERCENTS), rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_intensity_of_counted_pixels_is_that_of_others(dtype):
    pixels = draw_pixels("image", 300 * 200).reshape(300, 200).astype(dtype)[::2, 1:]
    counted = measure_intensity(pixels)
    np.testing.assert_allclose(counted, measure_intensity(pixels.astype(int)), 1e-6)

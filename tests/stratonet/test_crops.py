import numpy as np
import pytest

from stratonet.crops import blank_outside, compute_centers, crop_square

pytestmark = pytest.mark.stock_cellprofiler

PLANE = np.arange(100, 200).reshape(10, 10)


def test_blank_sets_what_is_outside_to_the_darkest_inside():
    keep = np.zeros(PLANE.shape, bool)
    keep[2:4, 5:7] = True
    blanked = blank_outside(PLANE, keep)
    assert (blanked[keep] == PLANE[keep]).all()
    assert set(blanked[~keep]) == {125}
    assert blank_outside(PLANE, np.ones_like(keep)) is PLANE
    assert blank_outside(PLANE, np.zeros_like(keep)) is None


def test_centres_are_the_means_of_the_pixels():
    pixels = [(1, 1, 1), (1, 3, 1), (5, 5, 3), (6, 5, 3), (7, 8, 3)]
    np.testing.assert_array_equal(
        compute_centers(pixels, 3), [[1, 2], [np.nan, np.nan], [6, 6]]
    )
    assert compute_centers(np.empty((0, 3), int), 0).shape == (0, 2)


@pytest.mark.parametrize("size", [3, 4])
def test_a_crop_inside_is_the_square_around_the_centre(size):
    received = crop_square(PLANE, (4.4, 5.0), size)
    np.testing.assert_array_equal(
        received, PLANE[4 - size // 2 :, 5 - size // 2 :][:size, :size]
    )


@pytest.mark.parametrize("centre", [(0, 0), (0, 9), (9, 0), (9.4, 9.4), (5, 0)])
@pytest.mark.parametrize("size", [5, 8, 40])
def test_a_crop_over_the_border_is_blank_there(centre, size):
    wide = np.pad(PLANE, 50, constant_values=-1)
    row, column = (int(round(value)) + 50 - size // 2 for value in centre)
    window = wide[row : row + size, column : column + size]
    expected = np.where(window < 0, window[window >= 0].min(), window)
    np.testing.assert_array_equal(crop_square(PLANE, centre, size), expected)


def test_mask_and_neighbours_are_blank():
    labels = np.zeros(PLANE.shape, int)
    labels[4:6, 4:6], labels[4:6, 6:8], labels[0, 0] = 1, 2, 3
    mask = np.ones(PLANE.shape, bool)
    mask[3] = False
    received = crop_square(PLANE, (4.5, 4.5), 6, mask, labels, 1)
    window = PLANE[1:7, 1:7]
    keep = mask[1:7, 1:7] & (labels[1:7, 1:7] != 2)
    np.testing.assert_array_equal(received, np.where(keep, window, window[keep].min()))


@pytest.mark.parametrize(
    "centre, mask",
    [((np.nan, np.nan), None), ((4, 4), np.zeros(PLANE.shape, bool)), ((-50, 4), None)],
)
def test_nothing_to_measure_is_none(centre, mask):
    assert crop_square(PLANE, centre, 4, mask) is None

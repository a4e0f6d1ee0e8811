from dataclasses import replace

import numpy as np
import pytest

from stratonet.weights_file import read_card
from training.finetune_views import Views

CARD = replace(read_card(), input_size=32)
STILL = Views(zoom=0, shift=0, blur=0, gamma=0, contrast=0, noise=0)


@pytest.fixture
def plane(rng):
    plane = rng.random((32, 32))
    plane[8:14, 4:8] = 1
    return plane.astype(np.float16)


def test_views_are_planes_as_the_network_takes_them(plane):
    rng = np.random.default_rng(0)
    views = [Views().draw(plane, CARD, rng) for _ in range(20)]
    for view in views:
        assert view.shape == (32, 32) and view.dtype == np.float32
        assert view.min() >= 0 and view.max() <= 1 and view.std() > 0.02
    assert len({view.tobytes() for view in views}) == 20


def test_the_same_draw_gives_the_same_view(plane):
    views = [Views().draw(plane, CARD, np.random.default_rng(7)) for _ in range(2)]
    np.testing.assert_array_equal(*views)


def test_turning_and_flipping_keep_the_middle_of_a_round_plane():
    y, x = np.mgrid[:32, :32] - 15.5
    disc = np.exp(-(y**2 + x**2) / 40)
    rng = np.random.default_rng(0)
    for _ in range(5):
        view = STILL.draw(disc, CARD, rng)
        expected = (disc - view.min()) / disc.max()
        assert np.corrcoef(view.ravel(), expected.ravel())[0, 1] > 0.99


def test_a_view_is_half_the_time_a_mirror_image():
    # Only in a mirror image does the third of three corners change sides.
    plane = np.zeros((32, 32))
    plane[6:10, 6:10] = 1
    plane[6:10, 22:26] = 0.6
    plane[22:26, 6:10] = 0.3
    sides = []
    rng = np.random.default_rng(1)
    for _ in range(40):
        view = STILL.draw(plane, CARD, rng)
        centres = []
        for grey in (1, 0.6, 0.3):
            pixels = np.argwhere(np.abs(view - grey) < 0.06)
            centres.append(pixels.mean(axis=0))
        first, second, third = centres
        sides.append(np.cross(second - first, third - first) > 0)
    assert 8 < sum(sides) < 32


def test_a_dark_plane_stays_dark():
    view = STILL.draw(np.zeros((32, 32)), CARD, np.random.default_rng(0))
    np.testing.assert_array_equal(view, 0)

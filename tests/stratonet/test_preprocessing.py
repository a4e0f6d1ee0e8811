from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from stratonet import Planes, Recipe, Scaling
from stratonet.preprocessing import prepare_plane, to_grey, to_planes

pytestmark = pytest.mark.stock_cellprofiler


@pytest.fixture
def card(net):
    return net.card


@pytest.fixture
def plane(rng):
    """Cells of some sort: smooth spots on a noisy background, uint16, not square."""
    spots = Image.fromarray(rng.random((13, 17), np.float32)).resize(
        (390, 300), Image.Resampling.BICUBIC
    )
    return (
        np.clip(np.asarray(spots) + 0.1 * rng.random((300, 390)), 0, 1) * 40_000
    ).astype(np.uint16)


def grey_by_hand(plane, size, resize, low, high):
    """Resized, sorted, read off between the two nearest ranks.

    Without numpy.percentile and numpy.clip.
    """
    small = np.asarray(
        Image.fromarray(plane.astype(np.float32)).resize((size, size), resize),
        np.float64,
    )
    ranked = np.sort(small, axis=None)
    ranks = np.array([low, high]) / 100 * (ranked.size - 1)
    below = ranks.astype(int)
    above = np.minimum(below + 1, ranked.size - 1)
    zero, one = ranked[below] + (ranks - below) * (ranked[above] - ranked[below])
    return np.minimum(1, np.maximum(0, (small - zero) / (one - zero)))


def test_grey_is_what_the_card_says(plane, card):
    expected = grey_by_hand(
        plane,
        card.input_size,
        Image.Resampling[card.resize],
        card.scaling.low,
        card.scaling.high,
    )
    grey = to_grey(plane, card)
    assert grey.shape == (card.input_size, card.input_size)
    assert grey.dtype == np.float32
    np.testing.assert_allclose(grey, expected, atol=1e-5)


@pytest.mark.parametrize("resize", ["NEAREST", "BOX", "LANCZOS"])
@pytest.mark.parametrize("low, high", [(0.0, 100.0), (5.0, 80.0)])
def test_grey_follows_another_card(plane, card, resize, low, high):
    other = replace(card, input_size=50, resize=resize, scaling=Scaling(low, high))
    grey = to_grey(plane, other)
    np.testing.assert_allclose(
        grey, grey_by_hand(plane, 50, Image.Resampling[resize], low, high), atol=1e-5
    )
    assert (grey.min(), grey.max()) == (0, 1)


@pytest.mark.parametrize(
    "change",
    [
        lambda plane: plane.astype(np.float32) / 65535,
        lambda plane: plane.astype(np.float64) / 65535,
        lambda plane: plane * 3.7e-6 - 0.12,
        lambda plane: plane.astype(np.int32) - 20_000,
        lambda plane: plane.astype(np.uint32) * 100,
        lambda plane: plane.astype(np.int64) * 2**33,
        lambda plane: plane.astype(">u2"),
        lambda plane: plane.astype(np.float32) * np.float32(1e30),
        lambda plane: np.asfortranarray(plane),
        lambda plane: plane.tolist(),
    ],
    ids=(
        [
            "float32",
            "float64",
            "shifted",
            "int32",
            "uint32",
            "int64",
            "big-endian",
            "huge",
            "fortran",
            "list",
        ]
    ),
)
def test_unit_and_dtype_do_not_matter(plane, card, change):
    np.testing.assert_allclose(
        to_grey(change(plane), card), to_grey(plane, card), atol=1e-5
    )


def test_8_bit_equals_the_same_values_in_other_dtypes(plane, card):
    eight = (plane >> 8).astype(np.uint8)
    for same in (
        eight.astype(np.uint16) * 257,
        eight / np.float32(255),
        eight / 255,
        eight.astype(np.float16),
    ):
        np.testing.assert_allclose(to_grey(same, card), to_grey(eight, card), atol=1e-5)


def test_bool_equals_0_and_255(plane, card):
    mask = plane > np.median(plane)
    np.testing.assert_allclose(
        to_grey(mask, card), to_grey(mask.astype(np.uint8) * 255, card), atol=1e-5
    )


def test_dim_image_gives_the_grey_of_a_bright_one(plane, card):
    share = plane / plane.max()
    dim, bright = (
        np.round(share * top).astype(np.uint16) for top in (0.05 * 65535, 65535)
    )
    assert dim.max() < 3300
    np.testing.assert_allclose(to_grey(dim, card), to_grey(bright, card), atol=1e-3)


@pytest.mark.parametrize(
    "value, dtype",
    [
        (0, np.uint8),
        (True, bool),
        (65535, np.uint16),
        (-5, np.int32),
        (0.3, np.float32),
        (0.3, np.float64),
        (2**64 - 1, np.uint64),
        (3e38, np.float32),
        (-1e300, np.float64),
    ],
)
@pytest.mark.filterwarnings("error")
def test_constant_plane_gives_zeros(card, value, dtype):
    grey = to_grey(np.full((61, 47), value, dtype), card)
    assert grey.shape == (card.input_size, card.input_size)
    assert grey.dtype == np.float32
    assert not grey.any()


def test_rounding_noise_is_no_signal(card, rng):
    grey = np.full((300, 300), 0.3, np.float32)
    noisy = np.where(
        rng.random(grey.shape) > 0.5, np.nextafter(grey, np.float32(1)), grey
    )
    assert not to_grey(noisy, card).any()


@pytest.mark.parametrize("factor", [1e-300, 1e300])
@pytest.mark.filterwarnings("error")
def test_values_beyond_float32_keep_their_grey(plane, card, factor):
    np.testing.assert_allclose(
        to_grey(plane * factor, card), to_grey(plane, card), atol=1e-5
    )


@pytest.mark.parametrize("factor", [1e-300, 1e300])
def test_limits_beyond_float32_are_those_of_the_plane(plane, card, factor):
    recipe = Recipe.parse("whole224/mean").with_limits({"DNA": (9000, 30_000)})
    given = prepare_plane(plane * factor, card, recipe, (9000 * factor, 3e4 * factor))
    (expected,) = prepare_plane(plane, card, recipe, (9000, 30_000)).greys
    np.testing.assert_allclose(given.greys[0], expected, atol=1e-5)
    assert expected.min() == 0 and expected.max() == 1


@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 300), (700, 2), (224, 224), (2160, 2160)]
)
def test_any_size_gives_the_input_size_in_0_to_1(rng, card, shape):
    grey = to_grey(rng.integers(0, 65536, shape, np.uint16), card)
    assert grey.shape == (card.input_size, card.input_size)
    assert 0 <= grey.min() <= grey.max() <= 1


@pytest.mark.parametrize(
    "plane, error, received",
    [
        ([[0.0, np.nan], [1.0, 2.0]], ValueError, "1 of 4 pixels NaN or infinite"),
        ([[0.0, np.inf], [-np.inf, 2.0]], ValueError, "2 of 4 pixels NaN or infinite"),
        (np.zeros((0, 5)), ValueError, r"shape \(0, 5\)"),
        (np.float32(3), ValueError, r"shape \(\)"),
        (np.zeros(7), ValueError, r"shape \(7,\)"),
        (np.zeros((4, 5, 3), np.uint8), ValueError, r"shape \(4, 5, 3\)"),
        (np.zeros((4, 5), complex), TypeError, "dtype complex128"),
        (np.full((4, 5), None), TypeError, "dtype object"),
        (np.full((4, 5), "7"), TypeError, "dtype <U1"),
        (np.zeros((4, 5), "datetime64[s]"), TypeError, "dtype datetime64"),
    ],
    ids=[
        "nan",
        "inf",
        "empty",
        "0d",
        "1d",
        "3d",
        "complex",
        "object",
        "str",
        "datetime",
    ],
)
def test_refused_with_what_was_received(card, plane, error, received):
    with pytest.raises(error, match=f"Received: {received}"):
        to_grey(plane, card)


def test_the_plane_is_left_as_it_was(plane, card):
    before = plane.copy()
    to_grey(plane, card)
    np.testing.assert_array_equal(plane, before)


def test_planes_by_hand(card):
    values = Planes(multiply=200.0, subtract=(10.0, 20.0, 30.5))
    card = replace(card, planes=values, layout="NHWC")
    planes = to_planes(np.array([[0, 0.5], [1, 0.25]], np.float32), card)
    assert planes.dtype == np.float32
    np.testing.assert_array_equal(
        planes,
        [[[[-10, -20, -30.5], [90, 80, 69.5]], [[190, 180, 169.5], [40, 30, 19.5]]]],
    )


def test_planes_of_channels_first_are_the_same_planes(card, rng):
    grey = rng.random((5, 7), np.float32)
    planes = Planes(multiply=(2.0, 3.0, 4.0), subtract=(0.1, 0.2, 0.3))
    last = to_planes(grey, replace(card, planes=planes, layout="NHWC"))
    first = to_planes(grey, replace(card, planes=planes, layout="NCHW"))
    assert first.shape == (1, 3, 5, 7) and first.flags.c_contiguous
    np.testing.assert_array_equal(np.moveaxis(first, 1, -1), last)


def test_shipped_card_gives_the_published_input(card):
    planes = to_planes(np.ones((224, 224), np.float32), card)
    assert planes.shape == (1, 3, 224, 224)
    blue, green, red = 255 - 103.939, 255 - 116.779, 255 - 123.68
    np.testing.assert_allclose(planes[0, :, 100, 100], [blue, green, red], rtol=1e-6)

import numpy as np
import pytest

from stratonet import Tiles, WholePlane
from stratonet.views import parse_view

pytestmark = pytest.mark.stock_cellprofiler


@pytest.mark.parametrize(
    "text, view",
    [
        ("whole448", WholePlane(448)),
        ("tiles224", Tiles(224)),
        ("tiles224-across2", Tiles(224, across=2)),
        ("tiles128-smallest64", Tiles(128, smallest=64)),
        ("tiles224-overlap50", Tiles(224, overlap=50)),
        ("tiles224-smallest64-overlap25", Tiles(224, None, 64, 25)),
    ],
)
def test_text_there_and_back(text, view):
    assert parse_view(text) == view and view.text == text


@pytest.mark.parametrize(
    "text",
    ["", "whole", "tile224", "tiles-224", "whole224-overlap50", "tiles224-overlap"],
)
def test_what_is_no_view_is_refused(text):
    with pytest.raises(ValueError, match="A view is whole or tiles.*Received: "):
        parse_view(text)


@pytest.mark.parametrize("text", ["whole8", "tiles5000", "tiles224-smallest4"])
def test_sides_that_are_none_are_refused(text):
    with pytest.raises(ValueError, match="is 16 to 4096 pixels. Received: "):
        parse_view(text)


def test_overlap_is_refused_where_nothing_is_new():
    with pytest.raises(ValueError, match="0 to 90 percent"):
        Tiles(224, overlap=100)


@pytest.mark.parametrize("shape", [(640, 640), (520, 696), (225, 1000), (224, 224)])
@pytest.mark.parametrize("overlap", [0, 50])
def test_tiles_cover_the_plane_to_its_borders(shape, overlap):
    plane = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    tiles = Tiles(224, overlap=overlap).cut(plane)
    assert {tile.shape for tile in tiles} == {(224, 224)}
    assert set(np.concatenate([tile.ravel() for tile in tiles])) == set(plane.ravel())
    # Views of the plane, no copies.
    assert all(np.shares_memory(tile, plane) for tile in tiles)


def test_overlapping_tiles_have_their_share_in_common():
    starts = [
        int(tile[0, 0]) for tile in Tiles(100, overlap=50).cut(np.mgrid[:100, :260][1])
    ]
    assert starts[0] == 0 and starts[-1] == 160
    assert max(np.diff(starts)) <= 50


@pytest.mark.parametrize(
    "shape, expected, tiles",
    [
        ((640, 640), (448, 448), 4),
        ((2160, 2160), (448, 448), 4),
        ((520, 696), (448, 600), 6),
        ((161, 161), (448, 448), 4),
        # A cell, not a field.
        ((160, 120), (160, 120), 1),
        ((64, 64), (96, 96), 1),
    ],
)
def test_tiles_across_cost_the_same_whatever_the_camera(shape, expected, tiles):
    view = Tiles(224, across=2)
    assert view.choose_shape(shape) == expected
    assert len(view.cut(np.empty(expected))) == tiles


def test_across_is_refused_where_it_is_none():
    for text in ("tiles224-across0", "tiles224-across17"):
        with pytest.raises(ValueError, match="across is 1 to 16 tiles"):
            parse_view(text)


def test_numbers_of_tiles():
    counts = [
        len(Tiles(224).cut(np.empty(shape)))
        for shape in [(640, 640), (448, 448), (520, 696), (1080, 1080), (100, 300)]
    ]
    assert counts == [9, 4, 12, 25, 2]


@pytest.mark.parametrize(
    "shape, fixed, expected",
    [
        ((640, 500), False, (640, 500)),
        ((96, 40), False, (96, 40)),
        ((64, 64), False, (96, 96)),
        ((48, 24), False, (96, 48)),
        ((2, 200), False, (16, 200)),
        ((640, 500), True, (640, 500)),
        ((112, 500), True, (224, 1000)),
    ],
)
def test_shapes(shape, fixed, expected):
    assert Tiles(224).choose_shape(shape, fixed) == expected
    assert WholePlane(128).choose_shape(shape, fixed) == (128, 128)

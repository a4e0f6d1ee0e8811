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
        ("tiles224-75um", Tiles(224, micrometres=75)),
        ("tiles96-72.8um-overlap50", Tiles(96, overlap=50, micrometres=72.8)),
    ],
)
def test_text_there_and_back(text, view):
    assert parse_view(text) == view and view.text == text


@pytest.mark.parametrize(
    "text",
    [
        *("", "whole", "tile224", "tiles-224", "whole224-overlap50"),
        *("tiles224-overlap", "tiles75um", "tiles224-1e2um", "whole224-75um"),
        *("tiles224--5um", "tiles224-75", "tiles224-7,5um"),
    ],
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


@pytest.mark.parametrize("text", ["tiles224-75um-across2", "tiles224-75um-smallest64"])
def test_two_scales_at_once_are_refused(text):
    with pytest.raises(ValueError, match=f"neither across nor .* Received: {text}"):
        parse_view(text)


@pytest.mark.parametrize("micrometres", ["0.5", "20000", "0"])
def test_tiles_of_other_things_than_cells_are_refused(micrometres):
    with pytest.raises(ValueError, match="A tile covers 1 to 10000 micrometres"):
        parse_view(f"tiles224-{micrometres}um")


@pytest.mark.parametrize(
    "shape, pixel_size, expected",
    [
        # 75 micrometres are 224 pixels, whatever the magnification.
        ((1080, 1080), 75 / 224, (1080, 1080)),
        ((540, 720), 75 / 112, (1080, 1440)),
        ((2160, 2160), np.float32(75 / 448), (1080, 1080)),
        ((300, 200), 1, (896, 597)),
        # Smaller than a tile, and not enlarged.
        ((100, 60), 75 / 224, (100, 60)),
        ((160, 160), 75 / 448, (80, 80)),
    ],
)
def test_tiles_in_micrometres(shape, pixel_size, expected):
    view = Tiles(224, micrometres=75)
    assert view.choose_shape(shape, pixel_size=pixel_size) == expected


@pytest.mark.parametrize(
    "pixel_size, told",
    [
        (None, "tiles224-75um is in micrometres.* Give `pixel_size`.*tiles in pixels"),
        *(
            (size, "from 0.001 to 100. Received: ")
            for size in (0, -0.65, 650, np.nan, np.inf, "0.65", True, [0.65])
        ),
        (2.7, "makes 8709 x 5806 pixels of the plane's 1080 x 720.*8 times"),
        (0.001, "makes 3 x 2 pixels of .*At least 16 x 16.*correct the pixel size"),
    ],
)
def test_sizes_of_pixels_that_cannot_be_are_refused(pixel_size, told):
    with pytest.raises(ValueError, match=told):
        Tiles(224, micrometres=75).choose_shape((1080, 720), pixel_size=pixel_size)


def test_a_network_of_one_side_is_not_given_an_enlarged_plane():
    view = Tiles(224, micrometres=75)
    assert view.choose_shape((300, 300), fixed=True, pixel_size=0.3) == (269, 269)
    with pytest.raises(ValueError, match="179 x 269 pixels of .* 200 x 300.*224 x 224"):
        view.choose_shape((200, 300), fixed=True, pixel_size=0.3)


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

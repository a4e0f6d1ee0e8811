"""The module's figure: what is drawn is what was measured."""

import json

import numpy as np
import pytest
from figure_window import Window
from matplotlib.colors import to_rgb

pytest.importorskip("cellprofiler", reason="CellProfiler is not installed")

from cellprofiler_plugin import figure, pictures
from cellprofiler_plugin.pixels import MaskedPlane, Regions
from stratonet import StratoNet
from stratonet.crops import compute_centers, crop_square

pytestmark = pytest.mark.stock_cellprofiler

NAMES = ["DNA", "ER", "RNA", "AGP", "Mito"]


@pytest.fixture(scope="module")
def net():
    return StratoNet.load(taps=["low", "high"], recipe="whole224/mean")


def strips_of(net):
    return pictures.list_strips(net.recipe, net.taps)


def pictures_of(net, planes, measured, limits=None):
    made = [(net, *one) for one in measured]
    return pictures.make_pictures(planes, 32, made, limits or {})


def planes_of(names, shape=(60, 90)):
    rng = np.random.default_rng(1)
    return {
        name: MaskedPlane(
            rng.integers(0, 4000, shape, dtype=np.uint16), np.ones(shape, bool)
        )
        for name in names
    }


def features_of(rows, names, net, seed=0):
    return np.random.default_rng(seed).random(
        (rows, len(names) * net.width), np.float32
    )


def whole(features):
    return [(Regions("Image", np.zeros((1, 2)), None), features)]


def sent(shown):
    """What arrives in the window of what a worker has sent."""
    from cellprofiler_core.utilities import zmq

    buffers = []
    text = json.dumps(
        zmq.make_sendable_dictionary(shown), default=zmq.make_CP_encoder(buffers)
    )
    decoder = zmq.make_CP_decoder(buffers)
    return zmq.decode_sendable_dictionary(json.loads(text, object_hook=decoder))


def marks(axes, color):
    lines = [
        line
        for line in axes.lines
        if line.get_marker() in "oDs" and to_rgb(line.get_color()) == to_rgb(color)
    ]
    return (
        np.concatenate([line.get_xydata() for line in lines])
        if lines
        else np.empty((0, 2))
    )


def assert_inside(frame):
    frame.figure.canvas.draw()
    for axes in frame.figure.axes:
        assert axes.bbox.width > 60 and axes.bbox.height > 50
        for text in (
            axes.title,
            axes.yaxis.label,
            *axes.texts,
            *(axes.get_xticklabels() if axes.axison else []),
        ):
            box = text.get_window_extent()
            assert box.x0 > -1 and box.y0 > -1 and box.x1 < 641 and box.y1 < 481, (
                text.get_text()
            )


def test_unlike_is_one_minus_the_correlation_with_the_median(net):
    features = features_of(7, ["DNA"], net)
    features[3] = np.nan
    low = features[[0, 1, 2, 4, 5, 6], : net.taps[0].width]
    expected = [1 - np.corrcoef(row, np.median(low, axis=0))[0, 1] for row in low]
    unlike = pictures.compute_unlikeness(features, strips_of(net))
    assert unlike.shape == (7, 2) and np.isnan(unlike[3]).all()
    np.testing.assert_allclose(np.delete(unlike[:, 0], 3), expected, atol=1e-6)
    np.testing.assert_allclose(
        pictures.compute_unlikeness(features[:1], strips_of(net)), 0, atol=1e-12
    )


@pytest.mark.slow
@pytest.mark.parametrize("names", [NAMES[:1], NAMES], ids=len)
def test_image_sets_are_dots_and_the_last_is_marked(names, net):
    frame, planes = Window(), planes_of(names)
    features = [features_of(1, names, net, seed) for seed in range(4)]
    for number, row in [
        (1, features[3]),
        (2, features[1]),
        (5, features[2]),
        (1, features[0]),
    ]:  # 1 is measured again
        figure.draw_pictures(
            frame,
            pictures_of(net, planes, whole(row)),
            strips_of(net),
            "run",
            number,
        )
        if len(frame.strato_features) == 1:
            assert "Go on" in frame.subplot(0, 1).texts[0].get_text()
    for column, name in enumerate(names):
        picture, chart = frame.subplot(column, 0), frame.subplot(column, 1)
        assert picture.get_title() == name and picture.images[0].get_array().shape == (
            224,
            224,
        )
        assert picture.get_xlim() == (-0.5, 89.5) and picture.get_ylim() == (59.5, -0.5)
        split = np.stack([row.reshape(len(names), -1)[column] for row in features[:3]])
        expected = pictures.compute_unlikeness(split, strips_of(net))
        np.testing.assert_allclose(
            marks(chart, figure.OTHERS)[:, 1], expected.T.ravel(), atol=1e-6
        )
        np.testing.assert_allclose(
            marks(chart, figure.ODD)[:, 1], expected[0], atol=1e-6
        )
        assert chart.get_title() == "image set 1"
        assert [text.get_text() for text in chart.texts] == [
            str([1, 2, 5][row]) for row in expected.argmax(axis=0)
        ]
        assert [label.get_text() for label in chart.get_xticklabels()] == [
            "Low",
            "High",
        ]
    assert_inside(frame)


def test_image_sets_of_another_run_are_forgotten_and_the_oldest_too(net, monkeypatch):
    frame, planes = Window(), planes_of(["DNA"])
    monkeypatch.setattr(figure, "MOST_IMAGE_SETS", 2)
    for run, number in (("a", 1), ("b", 7), ("b", 8), ("b", 9)):
        shown = pictures_of(net, planes, whole(features_of(1, ["DNA"], net)))
        figure.draw_pictures(frame, shown, strips_of(net), run, number)
    assert list(frame.strato_features) == [8, 9]


@pytest.mark.slow
@pytest.mark.parametrize("count", [0, 1, 4, 40])
@pytest.mark.parametrize("both", [False, True])
def test_objects_are_dots_and_the_oddest_are_shown(count, both, net):
    names, frame = NAMES if both else NAMES[:2], Window()
    planes = planes_of(names)
    spots = np.random.default_rng(2).permutation(60 * 90)[:count]
    middle = compute_centers(
        np.column_stack([spots // 90, spots % 90, np.arange(1, count + 1)]), count
    )
    features = features_of(count, names, net)
    features[2:3] = np.nan
    measured = whole(features_of(1, names, net)) if both else []
    nuclei = Regions(
        "Nuclei",
        middle,
        lambda name, row: crop_square(planes[name].pixels, middle[row], 32),
    )
    shown = pictures_of(net, planes, [*measured, (nuclei, features)])
    figure.draw_pictures(frame, sent(shown), strips_of(net), "run", 1)
    split = features.reshape(count, len(names), net.width)
    unlike = np.stack(
        [
            pictures.compute_unlikeness(split[:, column], strips_of(net))
            for column in range(len(names))
        ],
        axis=1,
    )
    order = [row for row in np.argsort(unlike.mean(axis=(1, 2))) if row != 2]
    typical, odd = order[:3], order[3:][::-1][:3]
    for column in range(len(names)):
        picture, chart, tiles = (
            frame.subplot(column, row) for row in ((0, 2, 3) if both else (0, 1, 2))
        )
        assert chart.get_title() == f"{count} Nuclei"
        for color, rows in (
            (figure.OTHERS, range(count)),
            (figure.TYPICAL, typical),
            (figure.ODD, odd),
        ):
            expected = unlike[list(rows), column].T.ravel()
            np.testing.assert_allclose(marks(chart, color)[:, 1], expected, atol=1e-6)
        squares = [line for line in picture.lines if len(line.get_xdata()) == 5]
        corners = [
            (line.get_xdata().min() + 16.5, line.get_ydata().min() + 16.5)
            for line in squares
        ]
        np.testing.assert_array_equal(
            np.reshape(corners, (-1, 2)), np.round(middle[[*typical, *odd], ::-1])
        )
        numbers = [text.get_text() for text in tiles.texts if text.get_text().isdigit()]
        assert numbers == [str(row + 1) for row in (*typical, *odd)] and len(
            tiles.images
        ) == len(numbers)
    assert_inside(frame)


def test_a_plane_without_a_pixel_to_measure(net):
    frame, planes = Window(), planes_of(["DNA"])
    planes["DNA"] = planes["DNA"]._replace(mask=np.zeros((60, 90), bool))
    for number in (1, 2):
        shown = pictures_of(
            net, planes, whole(np.full((1, net.width), np.nan, np.float32))
        )
        figure.draw_pictures(frame, shown, strips_of(net), "run", number)
    assert frame.subplot(0, 0).texts[0].get_text() == "no pixel to measure"
    assert_inside(frame)


def test_all_blocks_of_a_tap_are_one_strip():
    net = StratoNet.load(taps=["low", "high"], recipe="whole224+tiles224/mean+sd")
    features = features_of(5, ["DNA"], net)
    received = pictures.compute_unlikeness(features, strips_of(net))
    start, of_taps = 0, {tap.label: [] for tap in net.taps}
    for block in net.blocks:
        rows = features[:, start : start + block.width].astype(float)
        start += block.width
        median = np.median(rows, axis=0)
        unlike = [1 - np.corrcoef(row, median)[0, 1] for row in rows]
        (label,) = [label for label in of_taps if label in block.label]
        of_taps[label].append(unlike)
    expected = [np.mean(blocks, axis=0) for blocks in of_taps.values()]
    assert {len(blocks) for blocks in of_taps.values()} == {4}
    np.testing.assert_allclose(received, np.transpose(expected), atol=1e-6)


@pytest.mark.parametrize("recipe", ["tiles224/mean", "whole224+tiles224/mean"])
def test_the_borders_of_tiles_are_drawn(recipe):
    net = StratoNet.load(taps="low", recipe=recipe)
    frame, planes = Window(), planes_of(["DNA"], shape=(300, 448))
    shown = pictures_of(net, planes, whole(features_of(1, ["DNA"], net)))
    figure.draw_pictures(frame, sent(shown), strips_of(net), "run", 1)
    picture = frame.subplot(0, 0)
    corners = [
        (line.get_xdata().min() + 0.5, line.get_ydata().min() + 0.5)
        for line in picture.lines
    ]
    assert corners == [(0, 0), (224, 0), (0, 76), (224, 76)]
    assert picture.get_xlim() == (-0.5, 447.5)
    # At the cells' own scale, as far as the window is sent so many pixels.
    assert picture.images[0].get_array().shape == (224, 224)


def test_pictures_have_the_grey_range_that_is_measured_by(net):
    recipe = net.recipe.with_limits({"DNA": (0, 8000)})
    ranged = StratoNet.load(taps="low", recipe=recipe)
    planes = planes_of(["DNA"])
    features = whole(features_of(1, ["DNA"], ranged))
    shown = pictures_of(ranged, planes, features, {"DNA": (0, 8000)})
    # The brightest pixel has 4,000 of 8,000.
    assert 120 < shown["planes"][0]["grey"].max() < 129


@pytest.mark.slow
def test_functions_are_marked_and_the_next_step_stands_below(net):
    frame, planes = Window(), planes_of(NAMES)
    for number in (1, 2):
        features = features_of(1, NAMES, net, seed=number)
        shown = pictures_of(net, planes, whole(features))
        figure.draw_pictures(frame, shown, strips_of(net), "run", number)
    figure.mark_functions(frame, NAMES, ["ER", "Mito"])
    figure.write_footer(frame, "After the run: stratonet evaluate file --output report")
    titles = [frame.subplot(column, 0).get_title() for column in range(len(NAMES))]
    marked = [name for name, title in zip(NAMES, titles) if "illumination" in title]
    assert marked == ["ER", "Mito"] and titles[1].startswith("ER\n")
    below = frame.figure._supxlabel
    assert "stratonet evaluate" in below.get_text()
    assert_inside(frame)
    box = below.get_window_extent()
    assert box.x0 > 0 and box.x1 < 640 and box.y0 > -1

import numpy as np
import pytest

from stratonet import Recipe, StratoNet, Tap, Tiles, WholePlane
from stratonet.intensity import MEASURES, measure_intensity
from stratonet.preprocessing import to_grey
from stratonet.tap import INTENSITY_TAP
from stratonet.weights_file import read_feature_set_id

pytestmark = pytest.mark.stock_cellprofiler

LOW = Tap("conv3_block4_out", 512, "low")
BLOCK = "conv2_block1_out"
# Numbers of features, and their values: of stratonet50 1.0.0, for the plane below.
VERSION_1 = (
    [214, 248, 306, 401, 657, 1086, 1273, 1408, 2176, 2384, 2540, 2546],
    [0.608643, 0.737088, 0.385142, 1.2022, 18.1009, 0.938538]
    + [0.487115, 1.50843, 3.25391, 0.311034, 2.11388, 0.255264],
)


@pytest.fixture
def plane(rng):
    return rng.integers(0, 4096, (300, 260), np.uint16)


def test_text_there_and_back():
    for text in ("whole224/mean", "tiles224/mean+sd", "whole96+tiles224-overlap50/sd"):
        assert Recipe.parse(text).text == text


@pytest.mark.parametrize(
    "text, message",
    [
        ("tiles224", "A recipe is views and statistics"),
        ("tiles224/", "keeps the mean, the sd or both of a map"),
        ("tiles224/mean+max", "Received: 'mean\\+max'"),
        ("tiles224/mean+mean", "keeps the mean"),
        ("tiles224+tiles448/mean", "one view, or a whole plane and tiles"),
        ("/mean", "A view is whole or tiles"),
    ],
)
def test_what_is_no_recipe_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        Recipe.parse(text)


def test_ids_tell_apart_all_that_changes_features():
    recipe = Recipe.parse("tiles224/mean+sd")
    given = recipe.with_limits({"DNA": (0, 100), "ER": (5, 50)})
    others = [
        recipe,
        Recipe.parse("tiles224/mean"),
        Recipe.parse("tiles224-overlap50/mean+sd"),
        Recipe.parse("whole224/mean+sd"),
        Recipe(recipe.views, recipe.pooling, "plate"),
        Recipe.parse("tiles224-75um/mean+sd"),
        Recipe.parse("tiles224-80um/mean+sd"),
        recipe.with_crop(96),
        recipe.with_crop(64),
        given,
        recipe.with_limits({"DNA": (0, 101), "ER": (5, 50)}),
    ]
    assert len({other.id for other in others}) == len(others)
    # Limits count by value, whatever their type and order.
    same = recipe.with_limits({"ER": (5.0, np.float32(50)), "DNA": (0.0, 100.0)})
    assert same == given


def test_blocks_say_view_tap_and_statistic():
    taps = (LOW, INTENSITY_TAP)
    both = Recipe((WholePlane(224), Tiles(224)), ("mean", "sd"))
    assert [block.label for block in both.list_blocks(taps)] == [
        "WholeLow",
        "WholeLowSD",
        "TilesLow",
        "TilesLowSD",
        "Intensity",
    ]
    assert [block.label for block in Recipe((Tiles(),)).list_blocks(taps)] == [
        "Low",
        "Intensity",
    ]


def test_features_of_tiles_are_the_mean_over_the_tiles(plane):
    """By hand: each tile alone, scaled as the whole plane is."""
    tiles = StratoNet.load(taps=BLOCK, recipe="tiles224/mean+sd")
    grey = to_grey(plane, tiles.card, plane.shape)
    parts = []
    for top in (0, 76):
        for left in (0, 36):
            tile = grey[top : top + 224, left : left + 224]
            # Between 0 and 1 nothing is left to scale.
            parts.append(tiles.features(tile, limits=(0, 1))[0])
    np.testing.assert_allclose(
        tiles.features(plane)[0], np.mean(parts, axis=0), rtol=1e-5, atol=1e-6
    )


def test_a_cell_has_its_size_at_every_magnification():
    """A plane at 40x, and binned as if it were taken at 20x."""
    rows, columns = np.mgrid[:480, :520]
    fine = 500 + 400 * np.sin(rows / 15) * np.cos(columns / 11)
    coarse = fine.reshape(240, 2, 260, 2).mean(axis=(1, 3))
    nets = [
        StratoNet.load(taps=BLOCK, recipe=f"{view}/mean+sd")
        for view in ("tiles224-75um", "tiles224")
    ]
    unlike = []
    for net in nets:
        sizes = (0.25, 0.5) if net.recipe.needs_pixel_size else (None, None)
        first, second = (
            net.features(plane, pixel_size=size)[0]
            for plane, size in zip((fine, coarse), sizes)
        )
        unlike.append(np.abs(first - second).mean() / first.std())
    assert unlike[0] < 0.03 and unlike[1] > 0.1
    # At 75/224 micrometres these tiles are those of the plane's own pixels.
    np.testing.assert_array_equal(
        nets[0].features(fine, pixel_size=75 / 224), nets[1].features(fine)
    )


def test_sizes_of_pixels_belong_to_recipes_in_micrometres(plane):
    recipe = Recipe.parse("whole224+tiles224-75um/mean")
    recipe.check_pixel_size(0.65)
    with pytest.raises(ValueError, match="75um/mean is in micrometres, and the size"):
        recipe.check_pixel_size(None)
    with pytest.raises(ValueError, match="by recipes in micro.*0.65, for tiles224/m"):
        Recipe.parse("tiles224/mean").check_pixel_size(0.65)
    with pytest.raises(ValueError, match="squares around objects are in pixels"):
        StratoNet.load(recipe="tiles224-75um/mean", crop=96)
    net = StratoNet.load(taps=BLOCK, recipe="tiles224-75um/mean")
    with pytest.raises(ValueError, match="Plane 0: tiles224-75um is in micrometres"):
        net.features(plane)


def test_statistics_are_the_same_alone_and_together(plane):
    both = StratoNet.load(taps=BLOCK, recipe="whole224/mean+sd").features(plane)[0]
    mean = StratoNet.load(taps=BLOCK, recipe="whole224/mean").features(plane)[0]
    deviation = StratoNet.load(taps=BLOCK, recipe="whole224/sd").features(plane)[0]
    np.testing.assert_array_equal(both, np.concatenate([mean, deviation]))


def test_both_views_stand_side_by_side(plane):
    both = StratoNet.load(taps="low", recipe="whole224+tiles224/mean")
    whole = StratoNet.load(taps="low", recipe="whole224/mean")
    tiles = StratoNet.load(taps="low", recipe="tiles224/mean")
    expected = np.hstack([whole.features(plane), tiles.features(plane)])
    np.testing.assert_array_equal(both.features(plane), expected)
    assert both.feature_names("DNA")[512] == "StratoFeatures_TilesLow0000_DNA"


def test_small_planes_are_shown_at_their_own_scale(plane):
    """A crop of 64 pixels is enlarged to 96, as a plane of 96 pixels is shown."""
    net = StratoNet.load(taps="low", recipe="tiles224/mean+sd")
    crop = plane[:64, :64]
    shown = to_grey(crop, net.card, (96, 96))
    np.testing.assert_array_equal(
        net.features(crop), net.features(shown, limits=(0, 1))
    )


def test_limits_keep_the_brightness_of_planes(plane):
    limits = (0.0, 4096.0)
    recipe = Recipe.parse("whole224/mean").with_limits({"DNA": limits})
    net = StratoNet.load(taps="low", recipe=recipe)
    dim = plane // 4
    by_itself = StratoNet.load(taps="low", recipe="whole224/mean")
    np.testing.assert_allclose(
        by_itself.features(dim), by_itself.features(plane), rtol=0.05, atol=5e-3
    )
    bright_features = net.features(plane, limits)
    dim_features = net.features(dim, limits)
    assert np.abs(bright_features - dim_features).max() > 0.1
    # Beyond the limits all is white, or black.
    white = net.features(np.full((30, 30), 5000.0), limits)
    np.testing.assert_array_equal(
        white, net.features(np.full((30, 30), 4096.0), limits)
    )
    assert np.isfinite(net.features(np.zeros((30, 30)), limits)).all()
    with pytest.raises(ValueError, match="Plane 0: This recipe scales grey values"):
        net.features(plane)
    # An empty channel: nothing is between its limits.
    black = net.features(plane, (7.0, 7.0))
    np.testing.assert_array_equal(black, net.features(np.zeros((30, 30)), limits))


def test_intensity_stands_last_in_the_units_of_the_file(plane):
    net = StratoNet.load(taps=["intensity", "low"], recipe="tiles224/mean+sd")
    features = net.features([plane, plane.astype(float) * 2])
    assert net.width == 2 * 512 + 10 and features.shape == (2, net.width)
    np.testing.assert_array_equal(features[0, -10:], measure_intensity(plane))
    np.testing.assert_allclose(features[1, -10:-1], 2 * features[0, -10:-1], rtol=1e-6)
    assert net.feature_names("DNA")[-1] == "StratoFeatures_Intensity0009_DNA"
    assert [tap.alias for tap in StratoNet.load().taps] == ["low", "medium", "high"]


def test_intensity_alone_needs_no_network(plane):
    net = StratoNet.load(taps="intensity")
    np.testing.assert_array_equal(net.features(plane)[0], measure_intensity(plane))


def test_measures_of_intensity_by_hand():
    pixels = np.array([[0, 10, 20, 30], [40, 50, 100, 100]], np.uint8)
    values = dict(zip(MEASURES, measure_intensity(pixels).tolist()))
    assert values["mean"] == 43.75 and values["median"] == 35
    assert (values["minimum"], values["maximum"]) == (0, 100)
    assert values["percent maximal"] == 25
    assert measure_intensity(pixels > 20)[MEASURES.index("mean")] == 0.625
    assert len(MEASURES) == INTENSITY_TAP.width


def test_feature_set_id_of_the_recipe_without_the_network():
    net = StratoNet.load(taps="low", recipe="tiles224/mean+sd", crop=64)
    assert net.feature_set_id.endswith("-tiles224-mean-sd-crop64")
    assert net.feature_set_id == read_feature_set_id(recipe="tiles224/mean+sd", crop=64)
    assert StratoNet.load(taps="low").feature_set_id == read_feature_set_id()


def test_numbers_of_version_1_stay():
    """From stratonet50 1.0.0, by the recipe that it had."""
    rows, columns = np.mgrid[:300, :400]
    plane = (1000 + 900 * np.sin(rows / 7) * np.cos(columns / 11)).astype(np.uint16)
    features = StratoNet.load(recipe="whole224").features(plane)[0]
    np.testing.assert_allclose(features[VERSION_1[0]], VERSION_1[1], rtol=1e-4)

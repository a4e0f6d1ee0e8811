"""The network in integers of 8 bits that ships."""

import numpy as np
import pytest

from stratonet import StratoNet
from stratonet.checks import check_network
from stratonet.weights_file import read_card, read_feature_set_id

pytestmark = pytest.mark.stock_cellprofiler

FAST = "stratonet50-int8"


@pytest.fixture(scope="module")
def planes():
    """Dots of several sizes, as cells have them."""
    rng = np.random.default_rng(0)
    rows, columns = np.indices((120, 150))
    planes = []
    for _ in range(12):
        plane = rng.normal(200, 20, rows.shape)
        for _ in range(rng.integers(3, 30)):
            row, column = rng.integers(0, 120), rng.integers(0, 150)
            distance = np.hypot(rows - row, columns - column) / rng.uniform(3, 12)
            plane += rng.uniform(100, 3000) * np.exp(-(distance**2))
        planes.append(plane)
    return planes


def test_its_card_is_that_of_the_network_but_for_the_integers():
    card, original = read_card(FAST), read_card()
    assert card.name == FAST and card.version == original.version
    for name in ("taps", "recipes", "scaling", "resize", "licence"):
        assert getattr(card, name) == getattr(original, name), name
    assert "avx512_vnni" in card.fast_on
    # Grey and ones: all planes are made of these.
    assert card.planes.count == 2
    assert "CC0" in card.trained_on and "CC BY 3.0" in card.trained_on
    assert read_feature_set_id(FAST).startswith(f"{FAST}-{card.version}-")


def test_its_features_are_nearly_those_of_the_network(net, planes):
    fast = StratoNet.load(FAST)
    assert fast.feature_names("DNA") == net.feature_names("DNA")
    assert fast.feature_set_id != net.feature_set_id
    first, second = net.features(planes), fast.features(planes)
    centred = [values - values.mean(axis=0) for values in (first, second)]
    lengths = np.prod([np.linalg.norm(values, axis=0) for values in centred], axis=0)
    moves = first.std(axis=0) > 1e-3 * first.max()
    correlations = (centred[0] * centred[1]).sum(axis=0)[moves] / lengths[moves]
    assert np.median(correlations) > 0.98
    np.testing.assert_array_equal(fast.features(planes[:2]), second[:2])


@pytest.mark.slow
def test_it_keeps_to_the_contract():
    check_network(FAST)

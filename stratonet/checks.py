"""The contract that a network must keep, as a check for those who add one.

A network is an ``.onnx`` file with a card in it. What goes in and what comes out:

- one input, float32: one plane at a time, resized, scaled and multiplied as the card
  says, with the axes in the card's ``layout``;
- for each tap of the card an output (n, width), float32: one row per plane, which
  depends on nothing but that plane;
- labels of taps that can be part of a feature name, each once.

CellProfiler, scikit-learn and ``stratonet extract`` take any network that keeps it.
"""

from __future__ import annotations

import os
import re
from collections import Counter

import numpy as np

from stratonet.card import Card
from stratonet.naming import LONGEST, PREFIX, block_names, parse_feature_name
from stratonet.network import StratoNet
from stratonet.recipe import FeatureBlock
from stratonet.weights_file import read_card, read_feature_set_id

# Databases hold the id in a column of 128 characters (CellProfiler's ExportToDatabase).
LONGEST_ID = 128
# A channel name of typical length, for which feature names must have room.
CHANNEL = "Channel1"
# In a batch, numbers are added in another order than for a single plane.
TOLERANCE = 1e-3


def check_network(weights: str | os.PathLike[str]) -> None:
    """Check that a network keeps the contract: shapes, numbers, names, refusals.

    Parameters
    ----------
    weights : str or path
        Name or path of a weights file, as in `StratoNet.load`.

    Raises
    ------
    FileNotFoundError
        No such file.
    ValueError
        The file has no card, or the network is not what the card says; the message
        says what was received.
    AssertionError
        The network runs, but its features cannot be used; the message says why.

    Examples
    --------
    >>> check_network("stratonet50")
    """
    card = read_card(weights)
    check_card(card)
    net = _open_network(weights, card)
    planes = make_planes()
    features = net.features(planes)
    _check_features(net, features)
    _check_repetition(net, planes, features)
    _check_tap_alone(weights, card, planes, features)
    _check_batch(weights, net, planes, features)
    _check_refusals(net)
    _check_sizes(weights, card, planes)
    _check_recipes(weights, card, planes)
    _check_id(weights, card, net)


def check_card(card: Card) -> None:
    """Check that the names in a card can be used.

    Parameters
    ----------
    card : Card
        Before or after it is written into a file.

    Raises
    ------
    AssertionError
        A name cannot be used; the message says which, and why.
    """
    _check_labels(card)
    _check_feature_names(card)
    # A name with a slash would be a folder in the gallery's layout.
    for value in (card.name, card.version):
        assert value and not set(value) & set("/\\"), (
            f"{card.name}: name and version in the card must not hold slashes."
            f" Received: {value!r}"
        )


def make_planes() -> list[np.ndarray]:
    """Make planes of several types and shapes, the same each time.

    Returns
    -------
    list of numpy.ndarray
        uint16, uint8 and float64; none of them square.
    """
    random = np.random.default_rng(0)
    fine = random.integers(0, 65536, (90, 70), np.uint16)
    # Blocks of 10 pixels: networks that see only coarse structures tell them apart.
    coarse = np.kron(random.integers(0, 256, (6, 9), np.uint8), np.ones((10, 10)))
    slope = np.add.outer(np.arange(120.0), np.linspace(0, 50, 80) ** 2)
    return [fine, coarse.astype(np.uint8), slope]


def _open_network(
    weights: str | os.PathLike[str],
    card: Card,
    taps: list[str] | None = None,
    size: int | None = None,
) -> StratoNet:
    """Open a network with all of its taps, or with some, for whole planes."""
    layers = taps or [tap.layer for tap in card.taps]
    recipe = f"whole{size or card.input_size}/mean"
    return StratoNet.load(weights, layers, recipe=recipe)


def _check_labels(card: Card) -> None:
    assert card.taps, f"{card.name}: the card names no tap."
    for tap in card.taps:
        assert re.fullmatch(r"[0-9A-Za-z]+", tap.label), (
            f"{card.name}: the tap {tap.layer} would be {tap.label!r} in feature names,"
            " which hold letters and digits only. Give it an alias of these."
        )
        assert tap.width > 0, f"{card.name}: the tap {tap.layer} has no features."
    for label, count in Counter(tap.label for tap in card.taps).items():
        layers = [tap.layer for tap in card.taps if tap.label == label]
        assert count == 1, (
            f"{card.name}: the taps {' and '.join(layers)} have the same label"
            f" {label!r} in feature names. Give them different aliases."
        )


def _check_feature_names(card: Card) -> None:
    for tap in card.taps:
        block = FeatureBlock(tap.label, tap.width)
        names = [f"{PREFIX}_{middle}_{CHANNEL}" for middle in block_names(block)]
        longest = max(map(len, names))
        assert longest <= LONGEST, (
            f"{card.name}: feature names of the tap {tap.layer} have {longest}"
            f" characters, such as {names[-1]!r}, and at most {LONGEST} are allowed."
            " Give it a short alias."
        )
        for name in (names[0], names[-1]):
            parts = parse_feature_name(name)
            read_back = parts is not None and parts["tap"] == tap.label
            assert read_back, (
                f"{card.name}: the feature name {name!r} cannot be read back. Give the"
                f" tap {tap.layer} another alias."
            )


def _check_features(net: StratoNet, features: np.ndarray) -> None:
    name = net.card.name
    assert features.dtype == np.float32, (
        f"{name}: features are float32. Received: {features.dtype}."
    )
    assert features.shape[1] == net.width, (
        f"{name}: by its card the network gives {net.width} features. Received:"
        f" {features.shape[1]}. Correct the widths of the taps."
    )
    assert np.isfinite(features).all(), (
        f"{name}: features are NaN or infinite. Are multiply and subtract of the card"
        " those that the network was trained with?"
    )
    assert len(np.unique(features, axis=0)) == len(features), (
        f"{name}: different planes give the same features."
    )


def _check_repetition(
    net: StratoNet, planes: list[np.ndarray], features: np.ndarray
) -> None:
    # Bit for bit: the feature set id promises the same numbers.
    assert np.array_equal(net.features(planes), features), (
        f"{net.card.name}: the same planes give other features the second time. Is"
        " dropout still active?"
    )
    backwards = net.features(planes[::-1])[::-1]
    assert np.array_equal(backwards, features), (
        f"{net.card.name}: the features of a plane depend on the planes before it."
    )


def _check_tap_alone(
    weights: str | os.PathLike[str],
    card: Card,
    planes: list[np.ndarray],
    features: np.ndarray,
) -> None:
    # The first tap, because most of the network is cut off behind it.
    first = card.taps[0]
    alone = _open_network(weights, card, [first.layer]).features(planes)
    assert np.allclose(alone, features[:, : first.width], TOLERANCE, TOLERANCE), (
        f"{card.name}: the tap {first.layer} gives other features alone than with the"
        " other taps."
    )


def _check_batch(
    weights: str | os.PathLike[str],
    net: StratoNet,
    planes: list[np.ndarray],
    features: np.ndarray,
) -> None:
    """Compare a batch with single planes, if the network takes batches."""
    name = net.card.name
    # There is nothing to compare if the network takes one plane at a time.
    inputs = net._session.onnx.get_inputs()[0]
    if inputs.shape[:1] == [1]:
        return
    layers = [tap.layer for tap in net.taps]
    batched = StratoNet.load(weights, layers, recipe=net.recipe, batch=len(planes))
    try:
        together = batched.features(planes)
    # Whatever ONNX Runtime raises: its exceptions have no common class.
    except Exception as error:
        raise AssertionError(
            f"{name}: the network declares that it takes any number of planes at once,"
            f" but fails with {len(planes)}. Export it for batches of 1. {error}"
        ) from error
    # Kernels for batches add in another order: equal up to rounding, not bit for bit.
    scale = TOLERANCE * np.abs(features).max()
    assert np.allclose(together, features, rtol=TOLERANCE, atol=scale), (
        f"{name}: the features of a plane depend on the planes beside it in a batch. Is"
        " a normalisation over the batch still in training mode?"
    )


def _check_refusals(net: StratoNet) -> None:
    bad_planes = {
        "three dimensions": np.zeros((4, 5, 3)),
        "no pixels": np.zeros((0, 5)),
        "NaN": np.full((4, 5), np.nan),
        "text": np.full((4, 5), "a"),
    }
    for fault, plane in bad_planes.items():
        try:
            net.features([plane])
        except (TypeError, ValueError):
            continue
        raise AssertionError(f"{net.card.name}: a plane with {fault} is not refused.")


def _check_sizes(
    weights: str | os.PathLike[str], card: Card, planes: list[np.ndarray]
) -> None:
    # If the network takes any size: sides that are not multiples of its strides.
    sizes = (75, 130) if card.any_size else card.allowed_sizes
    for size in sizes:
        features = _open_network(weights, card, size=size).features(planes[:1])
        assert np.isfinite(features).all(), (
            f"{card.name}: features of planes of {size} x {size} pixels are not finite."
        )
    if card.any_size:
        return
    other = max(card.allowed_sizes) + 1
    try:
        _open_network(weights, card, size=other)
    except ValueError:
        return
    raise AssertionError(f"{card.name}: planes of side {other} are not refused.")


def _check_recipes(
    weights: str | os.PathLike[str], card: Card, planes: list[np.ndarray]
) -> None:
    for name in card.recipes:
        net = StratoNet.load(weights, recipe=name)
        # Only used by tiles in micrometres, which then show a plane at its own scale.
        scales = [
            (view.micrometres or view.side) / view.side for view in net.recipe.views
        ]
        features = net.features(planes, pixel_size=scales[-1])
        assert np.isfinite(features).all(), (
            f"{card.name}: features by the recipe {name} are not finite."
        )


def _check_id(weights: str | os.PathLike[str], card: Card, net: StratoNet) -> None:
    identity = net.feature_set_id
    assert identity == read_feature_set_id(weights, net.recipe), (
        f"{card.name}: the feature set id of the open network, {identity}, is not that"
        " of its file."
    )
    assert len(identity) <= LONGEST_ID, (
        f"{card.name}: the feature set id has {len(identity)} characters, and at most"
        f" {LONGEST_ID} are allowed. Shorten name or version in the card."
    )

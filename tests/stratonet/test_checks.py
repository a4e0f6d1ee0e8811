"""A network of one's own: its card, the check of its contract, who measures with it."""

import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import tifffile
from small_transformer import SIDE, WIDTH, build_transformer

from stratonet import Planes, Scaling, StratoNet, Tap, _onnx
from stratonet.card_writer import describe_network, write_card
from stratonet.checks import check_network, make_planes
from stratonet.weights_file import read_card, read_feature_set_id
from stratonet_cli import main

pytest.importorskip("onnx", reason="onnx comes with the training extra")
TAPS = {"patch_mean": "early", "tokens_mean": "late"}


def build(folder, card=None, planes=3, **options):
    """A transformer with a card; ``card`` has other fields than the one described."""
    path = build_transformer(folder / "vit.onnx", planes, **options)
    grey = Planes(2.0, tuple(np.linspace(0.5, 1.0, planes).tolist()))
    described = describe_network(path, name="vit", taps=TAPS, planes=grey)
    write_card(path, replace(described, **(card or {})))
    return path


@pytest.fixture
def vit(tmp_path):
    return build(tmp_path)


@pytest.mark.slow
def test_the_shipped_network_keeps_to_the_contract():
    check_network("stratonet50")


@pytest.mark.parametrize("planes", [1, 3])
@pytest.mark.parametrize("batch", [1, "n"])
def test_a_transformer_keeps_to_the_contract(tmp_path, planes, batch):
    check_network(build(tmp_path, planes=planes, batch=batch))


def test_features_are_those_of_the_file_run_plainly(vit):
    """Resized, scaled, and in three planes by hand."""
    import onnxruntime
    from PIL import Image

    plane = make_planes()[0]
    net = StratoNet.load(vit)
    small = np.asarray(
        Image.fromarray(plane.astype(np.float32)).resize(
            (SIDE, SIDE), Image.Resampling[net.card.resize]
        )
    )
    low, high = np.percentile(small, (net.card.scaling.low, net.card.scaling.high))
    grey = np.clip((small - low) / (high - low), 0, 1)
    pixels = np.stack([grey * 2 - subtract for subtract in (0.5, 0.75, 1.0)])
    session = onnxruntime.InferenceSession(str(vit))
    expected = session.run(list(TAPS), {"pixels": pixels[None].astype(np.float32)})
    np.testing.assert_allclose(
        net.features(plane), np.concatenate(expected, axis=1), rtol=1e-4, atol=1e-5
    )
    assert net.feature_names("DNA")[WIDTH] == "StratoFeatures_Late0000_DNA"


def test_each_plane_has_its_own_factor(tmp_path):
    factors = Planes((1.0, 2.0, 4.0), (0.0, 1.0, 3.0))
    same = StratoNet.load(build(tmp_path, card={"planes": factors}))
    plane = make_planes()[1]
    from stratonet.preprocessing import to_grey, to_planes

    grey = to_grey(plane, same.card)
    expected = np.stack([grey, grey * 2 - 1, grey * 4 - 3])
    np.testing.assert_array_equal(to_planes(grey, same.card)[0], expected)
    assert same.features(plane).shape == (1, 2 * WIDTH)


@pytest.mark.parametrize(
    "card, sentence",
    [
        ({"taps": (Tap("tokens_mean", 23, "late"),)}, "tokens_mean gives .n, 23."),
        ({"taps": (Tap("tokens", WIDTH, "late"),)}, r"Received: \('n', 16, 24\)"),
        (
            {"taps": (Tap("pooled", WIDTH),)},
            "pooled, which are no outputs .*patch_mean",
        ),
        ({"layout": "NHWC"}, r"the network takes \(1, 32, 32, 3\).*NHWC.*Received"),
        ({"planes": Planes(1.0, (0.0,))}, r"takes \(1, 1, 32, 32\).*Received: .*3, 32"),
        ({"input_size": 64}, r"takes \(1, 3, 64, 64\)"),
    ],
)
def test_what_the_card_says_wrongly_is_refused_by_all(tmp_path, card, sentence):
    path = build(tmp_path, card)
    for call in (check_network, StratoNet.load):
        with pytest.raises(ValueError, match=f"vit.onnx: .*{sentence}"):
            call(path)


@pytest.mark.parametrize(
    "taps, sentence",
    [
        ((), "names no tap"),
        (
            (Tap("patch_mean", WIDTH, "late"), Tap("tokens_mean", WIDTH, "LATE")),
            "patch_mean and tokens_mean have the same label 'Late'",
        ),
        ((Tap("tokens_mean", WIDTH, "last layer"),), "'Last Layer' in feature names"),
        ((Tap("tokens_mean", WIDTH, "a" * 40),), "and at most 64 are allowed"),
    ],
)
def test_labels_that_cannot_be_in_feature_names(tmp_path, taps, sentence):
    with pytest.raises(AssertionError, match=f"^vit: .*{sentence}"):
        check_network(build(tmp_path, {"taps": taps}))


def test_rows_that_depend_on_their_neighbours(tmp_path):
    path = build(tmp_path, {"taps": (Tap("tokens_mean", WIDTH),)}, over_batch=True)
    with pytest.raises(AssertionError, match="vit: .*planes beside it in a batch"):
        check_network(path)


def test_numbers_that_are_not_finite(tmp_path):
    path = build(tmp_path, {"planes": Planes(1e38, (0.0, 0.0, 0.0))})
    with pytest.raises(AssertionError, match="NaN or infinite. Are multiply"):
        check_network(path)


def test_sides(tmp_path):
    path = build(
        tmp_path,
        {"input_size": 32, "input_sizes": (32, 48)},
        sides=("height", "width"),
    )
    check_network(path)
    plane = make_planes()[0]
    small, large = StratoNet.load(path), StratoNet.load(path, recipe="whole48/mean")
    assert StratoNet.load(path, recipe="whole32/mean") is small
    assert small.feature_set_id == read_feature_set_id(path)
    assert large.feature_set_id == read_feature_set_id(path, "whole48/mean")
    assert small.feature_set_id != large.feature_set_id
    assert not np.allclose(small.features(plane), large.features(plane))
    with pytest.raises(ValueError, match="side of 32, 48 pixels. Received: whole64"):
        StratoNet.load(path, recipe="whole64/mean")


def test_tiles_of_a_network_of_one_side_are_never_smaller(tmp_path):
    path = build(tmp_path, {"input_size": 32})
    net = StratoNet.load(path, recipe="tiles32/mean")
    features = net.features([np.eye(20, 50), np.eye(32, 32)])
    assert np.isfinite(features).all()


def test_scikit_learn_and_extract_give_the_same_features(vit, tmp_path):
    from stratonet.tables.reading import read_features
    from stratonet_sklearn import StratoFeatureTransformer

    folder = tmp_path / "images"
    folder.mkdir()
    plane = make_planes()[0]
    tifffile.imwrite(folder / "dna.tif", plane)
    pd.DataFrame(
        {
            "FileName_DNA": ["dna.tif"],
            "PathName_DNA": [str(folder)],
            "Metadata_Plate": ["P1"],
            "Metadata_Well": ["A01"],
        }
    ).to_csv(folder / "load_data.csv", index=False)
    output = tmp_path / "features"
    options = ["--weights", str(vit), "--output", str(output), "--quiet"]
    assert main(["extract", str(folder / "load_data.csv"), *options]) == 0
    frame = read_features(output)
    transformer = StratoFeatureTransformer(weights=vit, channels=["DNA"])
    features = transformer.fit_transform(plane[None])
    names = list(transformer.get_feature_names_out())
    np.testing.assert_array_equal(features, frame[names])
    np.testing.assert_array_equal(features, StratoNet.load(vit).features(plane))
    assert set(frame.Metadata_StratoFeatures) == {transformer.feature_set_id_}


@pytest.mark.slow
def test_headless_cellprofiler_gives_the_same_features(vit, tmp_path):
    pytest.importorskip("cellprofiler_core", reason="CellProfiler is not there")
    from cellprofiler_runs import load_modules, module, rows_of, run

    load_modules()
    plane = make_planes()[0]
    measure = module(
        "MeasureStratoFeatures",
        images="DNA",
        network="From a file",
        weights=str(vit),
        taps="early,late",
        view="Whole image",
        statistics="Mean",
        output="A Parquet file",
    )
    rows = [{**rows_of(tmp_path, i_DNA=plane), "Metadata_Well": "A01"}]
    output = run(tmp_path, rows, measure, expected=["StratoFeatures_Image.parquet"])
    frame = pd.read_parquet(output / "StratoFeatures_Image.parquet")
    net = StratoNet.load(vit)
    features = frame[net.feature_names("DNA")]
    # CellProfiler brings grey values to [0, 1] in between.
    np.testing.assert_allclose(features, net.features(plane), rtol=1e-4, atol=1e-5)
    assert list(frame.Metadata_StratoFeatures) == [net.feature_set_id]


def test_the_command_writes_a_card(tmp_path, capsys):
    path = build_transformer(tmp_path / "dino.onnx", planes=1)
    output = tmp_path / "own.onnx"
    arguments = ["card", str(path), "--like", "stratonet50", "--name", "own"]
    arguments += [
        "--version",
        "2.0",
        "--tap",
        "tokens_mean=high",
        "--tap",
        "patch_mean",
    ]
    arguments += ["--multiply", "2", "--subtract", "1", "--licence", "MIT"]
    assert main([*arguments, "--output", str(output)]) == 0
    assert "own-2.0-" in capsys.readouterr().out
    card, shipped = read_card(output), read_card("stratonet50")
    assert (card.name, card.version, card.licence) == ("own", "2.0", "MIT")
    assert card.taps == (Tap("patch_mean", WIDTH), Tap("tokens_mean", WIDTH, "high"))
    assert (card.layout, card.input_size) == ("NCHW", SIDE)
    assert card.planes == Planes(2.0, (1.0,))
    assert (card.scaling, card.resize) == (shipped.scaling, shipped.resize)
    assert shipped.trained_on != card.trained_on == card.citation == "not stated"
    # Nothing but the card is new, and the file that was given is as it was.
    model = _onnx.read_model(output.read_bytes())
    _onnx.set_metadata(model, "card", "")
    before = _onnx.read_model(path.read_bytes())
    _onnx.set_metadata(before, "card", "")
    assert model == before and "card" not in _onnx.read_metadata(
        _onnx.read_model(path.read_bytes())
    )
    check_network(output)


@pytest.mark.parametrize(
    "options, sentence",
    [
        ([], r"takes 1 planes, and the card of stratonet50 makes 3"),
        (["--subtract", "0"], r"Received of tokens for one plane: \(1, 16, 24\)"),
        (["--subtract", "0", "--tap", "x"], "no output x. Its outputs: patch_mean"),
        (["--subtract", "0", "--multiply", "1,2"], "Received: 2 for 1 planes"),
        (["--subtract=-1,-1"], "--multiply and --subtract make 2. Give --multiply and"),
        (
            ["--subtract", "0", "--tap", "patch_mean=my_tap"],
            "letters and digits only. Give it an alias of these",
        ),
        (
            ["--subtract", "0", "--tap", "patch_mean", "--name", "my net/1"],
            "must not hold slashes. Received: 'my net/1'",
        ),
    ],
)
def test_the_command_says_what_is_wrong(tmp_path, capsys, options, sentence):
    path = build_transformer(tmp_path / "dino.onnx", planes=1)
    before = path.read_bytes()
    assert main(["card", str(path), *options]) == 1
    assert re.search(sentence, capsys.readouterr().err)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "option, sentence",
    [
        ("--input-size=64,x", "expected sides in pixels, for example 224 or 64,96"),
        ("--input-size=0", "expected sides in pixels"),
        ("--multiply=a", "expected numbers, for example 0.5"),
        ("--subtract=1,,2", "expected numbers"),
    ],
)
def test_flags_that_cannot_be_read(capsys, option, sentence):
    with pytest.raises(SystemExit):
        main(["card", "net.onnx", option])
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize("content", [None, b"", b"no network", b"\x08\x01"])
def test_what_is_no_network_gets_no_card(tmp_path, capsys, content):
    path = tmp_path / "own.onnx"
    if content is not None:
        path.write_bytes(content)
    assert main(["card", str(path)]) == 1
    assert re.search("is not (there|an .onnx file)", capsys.readouterr().err)


def test_scaling_is_that_of_the_weights_it_is_like(tmp_path):
    first = build(tmp_path, {"scaling": Scaling(2.0, 98.0)})
    card = describe_network(first, like=first, taps={"tokens_mean": None})
    assert card.scaling == Scaling(2.0, 98.0) and card.planes.count == 3
    assert json.loads(card.to_json())["layout"] == "NCHW"

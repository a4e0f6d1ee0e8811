from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

keras = pytest.importorskip(
    "keras", reason="training needs Keras, which CellProfiler's own environment has not"
)
onnx = pytest.importorskip("onnx", reason="onnx comes with the training extra")

from small_network import CARD, build_small_network  # noqa: E402

from stratonet import StratoNet, Tap  # noqa: E402
from stratonet.files.images import read_plane  # noqa: E402
from stratonet.preprocessing import to_grey, to_planes  # noqa: E402
from stratonet.weights_file import read_card  # noqa: E402
from training.architecture import build_network, tap_network  # noqa: E402
from training.export import export_model  # noqa: E402
from training.transfer import transfer_weights  # noqa: E402
from training.trunk import build_trunk  # noqa: E402

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def small():
    return build_small_network()


def keras_features(model, planes, card):
    """Compute the features of ``planes`` in Keras, {layer: (n, width)}."""
    # Keras puts channels last.
    last = replace(card, layout="NHWC")
    inputs = [to_planes(to_grey(plane, card), last) for plane in planes]
    return model(np.concatenate(inputs))


@pytest.mark.slow
def test_shipped_file_equals_the_keras_network_at_every_tap(published, data):
    card = read_card()
    net = StratoNet.load(taps=[tap.layer for tap in card.taps], recipe="whole224/mean")
    model = build_network(50, "eca", taps=[tap.layer for tap in net.taps])
    transfer_weights(model, published)
    planes = [
        read_plane(data / "bbbc013" / f"Channel{name}.tif")
        for name in ("1-01-A-01", "2-01-A-01", "1-50-E-02")
    ]
    reference = keras_features(model, planes, net.card)
    features = np.split(
        net.features(planes), np.cumsum([tap.width for tap in net.taps])[:-1], axis=1
    )
    assert len(features) == 13
    for tap, received in zip(net.taps, features):
        np.testing.assert_allclose(
            received, reference[tap.layer], rtol=1e-4, atol=1e-6, err_msg=tap.layer
        )


@pytest.mark.slow
@pytest.mark.parametrize(
    "depth, gates", [(18, "zeros"), (18, "glorot_uniform"), (50, "he_normal")]
)
def test_trunk_takes_any_size_and_keeps_deviations(depth, gates, tmp_path, rng):
    """Idle gates are folded away, others stay; features equal those of the model."""
    layers = ["conv2_block1_out", "conv3_block1_out"]
    widths = (64, 128) if depth < 50 else (256, 512)
    model = build_network(depth, "eca", layers, classes=3, input_size=64, gates=gates)
    for layer in model.layers:
        if layer.name.endswith("_bn"):
            layer.set_weights(
                [rng.uniform(0.5, 1, w.shape) for w in layer.get_weights()]
            )
    trunk = build_trunk(model, depth, layers)
    is_gated = any(layer.name.endswith("_eca") for layer in trunk.layers)
    assert is_gated == (gates != "zeros")
    taps = [
        Tap(name, width, None, None, f"{name}_sd")
        for name, width in zip(layers, widths)
    ]
    card = replace(CARD, taps=tuple(taps), any_size=True, layout="NCHW")
    path = tmp_path / "trunk.onnx"
    export_model(tap_network(trunk, layers, deviations=True), card, path)
    graph = onnx.load(path).graph
    assert not [node for node in graph.node if node.op_type == "Transpose"]
    # Gates are multiplied as (n, channels, 1, 1), and their means are of few channels.
    means = [node for node in graph.node if node.op_type == "GlobalAveragePool"]
    assert len(means) == 4 + is_gated * sum(
        layer.name.endswith("_eca") for layer in trunk.layers
    )
    plane = rng.random((64, 64))
    maps = keras.Model(model.input, [model.get_layer(name).output for name in layers])
    expected = []
    inputs = to_planes(to_grey(plane, card), replace(card, layout="NHWC"))
    for array in maps(inputs):
        array = keras.ops.convert_to_numpy(array)[0]
        expected += [array.mean((0, 1)), array.std((0, 1))]
    net = StratoNet.load(path, recipe="whole64/mean+sd")
    np.testing.assert_allclose(
        net.features(plane)[0], np.concatenate(expected), rtol=1e-3, atol=1e-5
    )
    strip = StratoNet.load(path, recipe="tiles64/mean").features(rng.random((50, 131)))
    assert np.isfinite(strip).all()


@pytest.mark.slow
@pytest.mark.parametrize("taps", [None, ["conv2_block2_out", "low"]])
def test_exported_file_loads_and_agrees(small, tmp_path, rng, taps):
    path = tmp_path / "small.onnx"
    export_model(small, CARD, path)
    assert [file.name for file in tmp_path.iterdir()] == ["small.onnx"]
    net = StratoNet.load(path, taps)
    assert net.card == CARD
    planes = [rng.integers(0, 65536, (100, 80), np.uint16), rng.random((64, 64))]
    reference = keras_features(small, planes, CARD)
    expected = np.concatenate([reference[tap.layer] for tap in net.taps], axis=1)
    assert expected.std() > 0.01
    np.testing.assert_allclose(net.features(planes), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "change",
    [
        {"input_size": 224},
        {"taps": CARD.taps[:1]},
        {"taps": (CARD.taps[0], Tap("conv3_block1_out", 512, "low"))},
        {"taps": (CARD.taps[0], Tap("conv3_block2_out", 128, "low"))},
    ],
    ids=["input_size", "missing", "width", "layer"],
)
def test_card_that_does_not_describe_the_model_is_refused(small, tmp_path, change):
    with pytest.raises(
        ValueError,
        match="does not describe the model.*Received: .*64.*conv3_block1_out",
    ):
        export_model(small, replace(CARD, **change), tmp_path / "small.onnx")
    assert not list(tmp_path.iterdir())

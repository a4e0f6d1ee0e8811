from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

keras = pytest.importorskip(
    "keras", reason="training needs Keras, which CellProfiler's own environment has not"
)
pytest.importorskip("onnx", reason="onnx comes with the training extra")

from small_network import CARD, build_small_network  # noqa: E402

from stratonet import StratoNet, Tap  # noqa: E402
from stratonet.files.images import read_plane  # noqa: E402
from stratonet.preprocessing import to_grey, to_planes  # noqa: E402
from training.architecture import build_network  # noqa: E402
from training.export import export_model  # noqa: E402
from training.transfer import transfer_weights  # noqa: E402

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def small():
    return build_small_network()


def keras_features(model, planes, card):
    """What the Keras network makes of ``planes``, {layer: (n, width)}."""
    return model(
        np.concatenate([to_planes(to_grey(plane, card), card) for plane in planes])
    )


@pytest.mark.slow
def test_shipped_file_equals_the_keras_network_at_every_tap(published, data):
    net = StratoNet.load(taps=[tap.layer for tap in StratoNet.load().card.taps])
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
        {"taps": (CARD.taps[0], Tap("conv3_block2_out", 512, "low"))},
        {"taps": (CARD.taps[0], Tap("conv3_block1_out", 128, "low"))},
    ],
    ids=["input_size", "missing", "width", "layer"],
)
def test_card_that_does_not_describe_the_model_is_refused(small, tmp_path, change):
    with pytest.raises(
        ValueError,
        match="does not describe the model.*Received: .*64.*conv3_block2_out",
    ):
        export_model(small, replace(CARD, **change), tmp_path / "small.onnx")
    assert not list(tmp_path.iterdir())

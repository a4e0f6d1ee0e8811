import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import tifffile

keras = pytest.importorskip(
    "keras", reason="training needs Keras, which CellProfiler's own environment has not"
)
pytest.importorskip("onnx", reason="onnx comes with the training extra")

from cellprofiler_server import quick_starts  # noqa: E402
from training_runs import SMALL, make_images, write_config  # noqa: E402

from stratonet import StratoNet  # noqa: E402
from stratonet.preprocessing import to_grey, to_planes  # noqa: E402
from stratonet_demo import set_setting  # noqa: E402
from stratonet_sklearn import StratoFeatureTransformer  # noqa: E402
from stratonet_sklearn.evaluation.separation import fit_probe  # noqa: E402
from training.architecture import tap_network, wrap_application  # noqa: E402
from training.config import Config  # noqa: E402
from training.evaluate import (  # noqa: E402
    compute_accuracies,
    evaluate_run,
    evaluate_weights,
)
from training.export import export_run  # noqa: E402
from training.start import build_classifier, load_variables  # noqa: E402
from training.trainer import train  # noqa: E402

# The fixtures that all tests share take long.
pytestmark = pytest.mark.slow

# A classifier on two concatenated taps.
TAPS = {"low": "conv2_block2_out", "high": "conv3_block1_out"}
SIDE_BY_SIDE = {**SMALL, "taps": TAPS, "classifier_depth": 2}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run and its images."""
    folder = tmp_path_factory.mktemp("results")
    images = make_images(folder / "images")
    (images / "train" / "n00000000" / "broken.JPEG").write_bytes(b"not an image")
    train(Config.from_values(SIDE_BY_SIDE), images, folder / "run")
    return folder / "run", images


@pytest.fixture(scope="module")
def weights(run, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "mine.onnx"
    return path, export_run(run[0], path, version="2.1.0", licence="CC0")


def test_evaluation_of_a_run_is_that_of_its_best_epoch(run):
    folder, images = run
    result = json.loads((folder / "result.json").read_text())
    scores = evaluate_run(folder, images)
    assert scores.top1 == pytest.approx(result["val_top1"])
    assert scores.loss == pytest.approx(result["val_loss"], rel=1e-4)
    assert scores.top5 == 1


def test_evaluation_needs_a_run_and_its_classes(run, tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no run"):
        evaluate_run(tmp_path, run[1])
    with pytest.raises(ValueError, match="was trained on 3 classes"):
        evaluate_run(run[0], make_images(tmp_path / "other", classes=4, train=1, val=1))


def test_exported_run_is_its_best_checkpoint(run, weights, rng):
    path, card = weights
    config = Config.from_values(SIDE_BY_SIDE)
    model = build_classifier(config, 3)
    load_variables(model, run[0] / "best.npz")
    plane = rng.integers(0, 255, (40, 50)).astype(np.uint8)
    net = StratoNet.load(path, recipe="whole32/mean")
    expected = tap_network(model, config.taps.values())(
        # Keras puts channels last.
        to_planes(to_grey(plane, card), replace(card, layout="NHWC"))
    )
    received = np.split(net.features(plane), [64], axis=1)
    for layer, features in zip(config.taps.values(), received):
        np.testing.assert_allclose(features, expected[layer], rtol=1e-3, atol=1e-5)


def test_card_is_filled_from_the_run(run, weights):
    _, card = weights
    result = json.loads((run[0] / "result.json").read_text())
    assert (card.name, card.version, card.licence, card.input_size) == (
        "mine",
        "2.1.0",
        "CC0",
        32,
    )
    assert card.metrics == {"val_top1": round(result["val_top1"], 4), "val_top5": 1.0}
    assert card.trained_from == "random weights"
    for words in (
        "images: 30 images of 3 classes (1 corrupt left out)",
        "seed 0",
        "adam",
        "tensorflow 2",
        "a small run",
    ):
        assert words in card.trained_on
    assert re.fullmatch(r"StratoNet-18: .*", card.architecture)
    taps = {tap.layer: (tap.alias, tap.width, tap.reduction) for tap in card.taps}
    assert taps == {
        "conv2_block1_out": (None, 64, 4),
        "conv2_block2_out": ("low", 64, 4),
        "conv3_block1_out": ("high", 128, 8),
    }


def measure_in_both(weights, folder, rng):
    """Measure two images in CellProfiler and in scikit-learn; the features of both."""
    pytest.importorskip("cellprofiler", reason="CellProfiler is not installed")
    from cellprofiler_plugin import headless

    paths = [folder / f"{number}.tif" for number in range(2)]
    for path in paths:
        tifffile.imwrite(path, rng.integers(0, 4096, (40, 50)).astype(np.uint16))
    (folder / "load_data.csv").write_text(
        "Image_PathName_DNA,Image_FileName_DNA\n"
        + "".join(f"{path.parent},{path.name}\n" for path in paths)
    )
    pipeline = headless.LOAD_DATA_PIPELINE.read_text()
    for name, value in (
        ("Select images to measure", "DNA"),
        ("Network", "From a file"),
        ("Weights file", str(weights)),
        ("Which taps?", "Custom..."),
        ("Select taps", "low,high"),
        ("How images are shown to the network", "Whole image"),
        ("Statistics", "Mean"),
    ):
        pipeline = set_setting(pipeline, name, value)
    (folder / "mine.cppipe").write_text(pipeline)
    table = "StratoFeatures_Image.parquet"
    with quick_starts():
        headless.run_pipeline(
            folder / "mine.cppipe",
            folder,
            [table],
            f"--data-file={folder / 'load_data.csv'}",
        )
    side = StratoNet.load(weights).card.input_size
    transformer = StratoFeatureTransformer(
        weights=str(weights), recipe=f"whole{side}/mean"
    ).set_output(transform="pandas")
    expected = transformer.fit_transform(
        pd.DataFrame({"DNA": [str(path) for path in paths]})
    )
    received = pd.read_parquet(folder / table).filter(regex="^StratoFeatures_")
    assert list(received) == list(expected)
    np.testing.assert_allclose(received, expected, rtol=1e-4, atol=1e-5)
    return expected


def test_exported_run_in_cellprofiler_and_scikit_learn(weights, tmp_path, rng):
    features = measure_in_both(weights[0], tmp_path, rng)
    assert (
        features.shape == (2, 64 + 128)
        and features.columns[0] == "StratoFeatures_Low0000_DNA"
    )


def test_start_weights_of_a_configuration(tmp_path):
    config = write_config(tmp_path / "mine.json", attention="none")
    card = export_run(config, tmp_path / "mine.onnx")
    assert card.architecture == "ResNet-18 v1" and card.trained_from == "random weights"
    assert card.trained_on.startswith("Nothing beyond its start weights")
    assert card.licence.startswith("not stated")


@pytest.fixture(scope="module")
def efficientnet(tmp_path_factory):
    """EfficientNet-B0 trained for an epoch, as a weights file."""
    folder = tmp_path_factory.mktemp("efficientnet")
    taps = {"low": "block2a_expand_activation", "high": "block3a_expand_activation"}
    config = Config.from_values(
        {
            **SMALL,
            "architecture": "EfficientNetB0",
            "taps": taps,
            "subtract": [0, 0, 0],
            "epochs": 1,
            "image_size": 64,
        }
    )
    train(
        config, make_images(folder / "images", train=4, val=2, size=64), folder / "run"
    )
    export_run(folder / "run", folder / "efficientnet.onnx")
    return folder, config


def test_keras_application_is_trained_and_exported(efficientnet, rng):
    folder, config = efficientnet
    net = StratoNet.load(folder / "efficientnet.onnx")
    assert [(tap.alias, tap.width, tap.reduction) for tap in net.taps] == [
        ("low", 96, 2),
        ("high", 144, 4),
    ]
    assert net.card.architecture.startswith("EfficientNetB0 of Keras")
    model = build_classifier(config, 3)
    load_variables(model, folder / "run" / "best.npz")
    plane = rng.integers(0, 255, (64, 64)).astype(np.uint8)
    expected = tap_network(model, config.taps.values())(
        to_planes(to_grey(plane, net.card), net.card)
    )
    received = np.split(net.features(plane), [96], axis=1)
    for layer, features in zip(config.taps.values(), received):
        np.testing.assert_allclose(features, expected[layer], rtol=1e-3, atol=1e-4)


def test_keras_application_in_cellprofiler_and_scikit_learn(
    efficientnet, tmp_path, rng
):
    assert measure_in_both(
        efficientnet[0] / "efficientnet.onnx", tmp_path, rng
    ).shape == (2, 96 + 144)


def test_names_of_a_keras_application_that_are_not_there():
    with pytest.raises(
        ValueError, match=r"EfficientNetB0, .*Received: 'EfficientNetX'"
    ):
        wrap_application("EfficientNetX", ["top_conv"])
    with pytest.raises(
        ValueError,
        match="has no layer block9 with height and width to tap.*block1a_dwconv",
    ):
        wrap_application("EfficientNetB0", ["block9"], input_size=32)


def test_probe_on_what_can_be_told_apart(rng):
    labels = np.repeat(np.arange(7), 20)
    features = rng.normal(size=(140, 30)) + 8 * np.eye(7, 30)[labels]
    probe = fit_probe(features[::2], labels[::2])
    assert compute_accuracies(probe, features[1::2], labels[1::2])[0] > 0.95
    probe = fit_probe(rng.normal(size=(70, 30)), labels[::2])
    top1, top5 = compute_accuracies(probe, features[1::2], labels[1::2])
    assert top1 < 0.4 and top1 < top5 < 0.95


def test_evaluation_of_a_weights_file(weights, tmp_path):
    """Colours become grey, so that at most brightness tells the classes apart."""
    images = make_images(tmp_path / "images", classes=2, train=8, val=6)
    scores = evaluate_weights(weights[0], images, per_class=5)
    assert set(scores) == {"top1", "top5", "top1_low", "top1_high"}
    assert all(0 <= value <= 1 for value in scores.values())
    assert evaluate_weights(weights[0], images, per_class=5) == scores

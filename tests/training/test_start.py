import numpy as np
import pytest

keras = pytest.importorskip(
    "keras", reason="training needs Keras, which CellProfiler's own environment has not"
)
pytest.importorskip("onnx", reason="onnx comes with the training extra")

from small_network import CARD, build_small_network, shake_norms  # noqa: E402
from training_runs import SMALL, make_images  # noqa: E402

from training.architecture import build_network, tap_network  # noqa: E402
from training.config import Config  # noqa: E402
from training.export import export_model  # noqa: E402
from training.start import (  # noqa: E402
    build_classifier,
    choose_taps,
    copy_variables,
    freeze_layers,
    load_start_weights,
    load_variables,
)
from training.start_scaling import find_application_scaling  # noqa: E402
from training.trainer import train  # noqa: E402

pytestmark = pytest.mark.slow

TAPS = {"first": "conv2_block2_out", "low": "conv3_block1_out"}


@pytest.fixture(scope="module")
def small():
    return build_small_network()


@pytest.fixture(scope="module")
def weights_file(small, tmp_path_factory):
    """A weights file of depth 18 whose batch normalisation is not at its start."""
    shake_norms(small)
    path = tmp_path_factory.mktemp("weights") / "small.onnx"
    export_model(small, CARD, path)
    return path


@pytest.fixture
def images(rng):
    return [rng.normal(0, 1, (8, 64, 64, 3)).astype(np.float32) for _ in range(2)]


# As in the card of the weights file.
SCALING = {"multiply": 2.0, "subtract": [0.5, 1.0, 1.5]}


def config(**changes):
    values = {"recipe": "", "depth": 18, "image_size": 64, "taps": TAPS, **SCALING}
    return Config(**{**values, **changes})


@pytest.mark.slow
def test_weights_file_starts_a_network_that_computes_the_same(
    weights_file, small, images
):
    chosen = config(start=str(weights_file))
    model = build_classifier(chosen, 3)
    origin, licence = load_start_weights(model, chosen, lambda: images)
    assert origin == "small 0.0.1: nothing" and licence == "none"
    expected, received = small(images[0]), tap_network(model, TAPS.values())(images[0])
    for layer in TAPS.values():
        np.testing.assert_allclose(
            received[layer], expected[layer], rtol=1e-3, atol=1e-4
        )


@pytest.mark.slow
def test_batch_normalisation_has_its_statistics_again(weights_file, images):
    """Normalising batches by their own statistics changes the output only a little."""
    chosen = config(start=str(weights_file))
    model = build_classifier(chosen, 3)
    load_start_weights(model, chosen, lambda: images)
    trunk = tap_network(model, TAPS.values())
    everything = np.concatenate(images)
    still, training = (
        trunk(everything, training=False),
        trunk(everything, training=True),
    )
    for layer in TAPS.values():
        np.testing.assert_allclose(
            training[layer], still[layer], rtol=0.02, atol=0.02 * np.std(still[layer])
        )


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes, message",
    [
        ({"depth": 34}, "does not hold conv2_block3"),
        (
            {"attention": "none", "taps": {"high": "conv4_block1_out"}},
            "does not hold conv3_block2",
        ),
        ({"start": "imagenet"}, "is for Keras applications"),
        ({"start": "published"}, 'needs architecture "resnet" and depth 50'),
    ],
)
def test_other_architectures_are_refused(weights_file, images, changes, message):
    chosen = config(**{"start": str(weights_file), **changes})
    with pytest.raises(ValueError, match=message):
        load_start_weights(build_classifier(chosen, 3), chosen, lambda: images)


@pytest.mark.parametrize(
    ("application", "expected"),
    [
        ("EfficientNetB0", (255.0, (0, 0, 0), False)),
        ("ResNet50", (255.0, (103.939, 116.779, 123.68), True)),
        ("ResNet50V2", (2.0, (1, 1, 1), False)),
        # A factor for each plane, which a configuration cannot express.
        ("DenseNet121", None),
    ],
)
def test_scaling_of_keras_applications(application, expected):
    assert find_application_scaling(application) == expected


@pytest.mark.parametrize("source", ["file", "run", "published", "imagenet"])
def test_weights_bring_their_scaling_along(weights_file, tmp_path, source):
    """Refused before anything is loaded, with the lines to write."""
    written = config(bgr=True).to_json()
    (tmp_path / "config.json").write_text(written)
    (tmp_path / "best.npz").touch()
    starts = {
        "file": (str(weights_file), "multiply = 2.0, subtract = .0.5, 1.0, 1.5.. Wr"),
        "run": (str(tmp_path), "subtract = .0.5, 1.0, 1.5., bgr = true. Write"),
        "published": ("published", "= .103.939, 116.779, 123.68., bgr = true. Write"),
        "imagenet": ("imagenet", r"subtract = .0.0, 0.0, 0.0., bgr = false. Write"),
    }
    start, message = starts[source]
    changes = {"start": start, "subtract": [123.68, 116.779, 103.939]}
    if source == "published":
        changes.update(depth=50, taps={})
    if source == "imagenet":
        changes.update(architecture="EfficientNetB0", taps={"low": "top_conv"})
    with pytest.raises(ValueError, match=f"start: .*{message}.*Received: multiply"):
        load_start_weights(None, config(**changes), None)


def test_weights_that_are_not_there(images):
    chosen = config(start="nowhere.onnx")
    with pytest.raises(FileNotFoundError, match="nowhere.onnx"):
        load_start_weights(build_classifier(chosen, 3), chosen, lambda: images)


@pytest.mark.slow
def test_published_weights_start_a_classifier_of_its_own(
    published, tmp_path, monkeypatch, data
):
    monkeypatch.setattr("training.start.read_published", lambda _: published)
    monkeypatch.setattr("training.start.fetch_archive", lambda _: None)
    caffe = [103.939, 116.779, 123.68]
    chosen = Config("", start="published", bgr=True, subtract=caffe)
    model = build_classifier(chosen, 20)
    _, licence = load_start_weights(model, chosen, None)
    assert licence.startswith("MIT")
    np.testing.assert_array_equal(
        model.get_layer("conv2_block1_1_conv").kernel,
        published["res2a_branch2a/kernel"],
    )
    assert model.output_shape == (None, 20)


@pytest.mark.slow
def test_weights_file_is_trained_on_and_its_run_with_other_classes(
    weights_file, tmp_path
):
    """As with the command; the statistics come from the run's training images."""
    three, four = (
        make_images(tmp_path / str(classes), classes, train=4, val=2)
        for classes in (3, 4)
    )
    values = {**SMALL, **SCALING, "taps": TAPS, "epochs": 1, "batch": 4}
    chosen = Config.from_values({**values, "start": str(weights_file)})
    result = train(chosen, three, tmp_path / "first")
    assert result["start"] == "small 0.0.1: nothing"
    assert result["start_licence"] == "none"
    assert np.isfinite(result["val_loss"])

    start = {"start": str(tmp_path / "first"), "freeze": "conv2_block1_out"}
    chosen = Config.from_values({**values, **start})
    result = train(chosen, four, tmp_path / "second")
    assert result["start"] == "the run first: a small run"
    with (
        np.load(tmp_path / "first" / "best.npz") as first,
        np.load(tmp_path / "second" / "best.npz") as second,
    ):
        for name in set(first.files) - {"kept"}:
            same = (
                np.array_equal(first[name], second[name])
                if first[name].shape == second[name].shape
                else False
            )
            frozen = name.split()[1].startswith(("conv1", "conv2_block1"))
            assert same == frozen, name
        assert (
            next(
                second[name] for name in second.files if "predictions/kernel" in name
            ).shape[1]
            == 4
        )


def test_gates_alone_are_trained():
    chosen = config(train_only=["*_eca"])
    model = build_classifier(chosen, 3)
    freeze_layers(model, chosen)
    trained = {variable.path for variable in model.trainable_variables}
    assert {path.split("/")[0].split("_")[-1] for path in trained} == {
        "eca",
        "predictions",
    }
    assert sum(path.endswith("_eca/kernel") for path in trained) == 3


@pytest.mark.parametrize(
    "changes, message",
    [
        (
            {"freeze": "conv9_block1_out"},
            "freeze must name a layer.*Received: 'conv9_block1_out'",
        ),
        ({"train_only": ["*_gate"]}, "names no layer that can be trained"),
    ],
)
def test_layers_to_train_that_are_not_there(changes, message):
    with pytest.raises(ValueError, match=message):
        freeze_layers(build_classifier(config(**changes), 3), config(**changes))


def test_checkpoint_of_another_network_is_refused(tmp_path):
    model = build_network(18, taps=["conv2_block1_out"], classes=2, input_size=32)
    np.savez(tmp_path / "best.npz", **copy_variables(model))
    load_variables(model, tmp_path / "best.npz")
    with pytest.raises(
        ValueError, match=r"best\.npz: conv2_block2_1_conv/kernel .*Received: \(64, 2\)"
    ):
        load_variables(
            build_network(18, taps=["conv2_block2_out"], classes=2, input_size=32),
            tmp_path / "best.npz",
        )


def test_keras_applications_need_taps():
    with pytest.raises(ValueError, match="name the layers of EfficientNetB0 to tap"):
        choose_taps(Config("", architecture="EfficientNetB0"))

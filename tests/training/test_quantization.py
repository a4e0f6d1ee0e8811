from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

keras = pytest.importorskip(
    "keras", reason="training needs Keras, which CellProfiler's own environment has not"
)
onnx = pytest.importorskip("onnx", reason="onnx comes with the training extra")

from small_network import CARD, shake_norms  # noqa: E402

from stratonet import StratoNet, Tap  # noqa: E402
from stratonet.checks import check_network  # noqa: E402
from stratonet.preprocessing import to_planes  # noqa: E402
from stratonet.weights_file import read_card, read_feature_set_id  # noqa: E402
from training.__main__ import main  # noqa: E402
from training.architecture import build_network, tap_network  # noqa: E402
from training.equalization import Graph, equalize_channels, run_with_maps  # noqa: E402
from training.export import export_model  # noqa: E402
from training.quantization import (  # noqa: E402
    FAST_ON,
    correlate_features,
    join_planes,
)
from training.start_file import load_weights_file  # noqa: E402

LAYERS = ["conv2_block1_out", "conv2_block2_out"]
RECIPES = {"fields": "tiles32-across2/mean+sd", "objects": "tiles32/mean+sd"}

pytestmark = pytest.mark.slow


def build(folder, gates):
    """Build two blocks of the network, with channels of very different ranges."""
    keras.utils.set_random_seed(1)
    model = build_network(
        50, gates, LAYERS, input_size=None, gates="he_normal", for_inference=True
    )
    shake_norms(model)
    rng = np.random.default_rng(2)
    for layer in model.layers:
        if layer.name.endswith(("_1_bn", "_2_bn", "conv1_bn")):
            gain, offset, *others = layer.get_weights()
            factors = np.exp(rng.normal(0, 1.5, gain.shape))
            layer.set_weights([gain * factors, offset * factors, *others])
    card = replace(
        CARD,
        taps=tuple(Tap(name, 256, None, 4, f"{name}_sd") for name in LAYERS),
        any_size=True,
        layout="NCHW",
        recipes=RECIPES,
    )
    path = folder / f"{gates}.onnx"
    export_model(tap_network(model, LAYERS, deviations=True), card, path)
    return path


@pytest.fixture(scope="module", params=["eca", None], ids=["gates", "no gates"])
def weights(request, tmp_path_factory):
    return build(tmp_path_factory.mktemp("weights"), request.param)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Dots of several sizes and brightness, and files that are not planes."""
    folder = tmp_path_factory.mktemp("images")
    (folder / "plate").mkdir()
    rng = np.random.default_rng(3)
    for number in range(48):
        plane = rng.normal(200, 20, (150, 190))
        rows, columns = np.indices(plane.shape)
        for _ in range(rng.integers(3, 30)):
            row, column = rng.integers(0, 150), rng.integers(0, 190)
            distance = np.hypot(rows - row, columns - column) / rng.uniform(3, 12)
            plane += rng.uniform(100, 3000) * np.exp(-(distance**2))
        image = Image.fromarray(plane.clip(0, 65535).astype(np.uint16))
        image.save(folder / "plate" / f"{number}.png")
    Image.new("RGB", (50, 50)).save(folder / "colours.png")
    (folder / "damaged.tif").write_bytes(b"II*")
    (folder / "labels.csv").write_text("a,b\n")
    return folder


@pytest.fixture(scope="module")
def quantized(weights, images):
    output = weights.with_name("quantized.onnx")
    command = ["quantize", str(weights), "--on", str(images), "--output", str(output)]
    main([*command, "--sources", "dots, CC0"])
    return output


def make_inputs(count=6):
    rng = np.random.default_rng(0)
    return [
        rng.normal(size=(1, 3, 64, 64 + n)).astype(np.float32) for n in range(count)
    ]


def measure_spread(model, planes):
    """Return how much the peaks of a map's channels differ, averaged over all maps."""
    spreads = []
    names = [name for name in Graph(model).list_maps() if "Add" not in name]
    for maps in run_with_maps(model, names, planes):
        for values in maps.values():
            peaks = values.max(axis=(0, 2, 3))
            spreads.append(np.log(peaks[peaks > 0]).std())
    return np.mean(spreads)


def test_equal_channels_are_the_same_network(weights):
    model, planes = onnx.load(weights), make_inputs()
    equal = equalize_channels(model, planes)
    names = [value.name for value in model.graph.output]
    for before, after in zip(
        run_with_maps(model, names, planes), run_with_maps(equal, names, planes)
    ):
        for name in names:
            scale = np.abs(before[name]).max()
            np.testing.assert_allclose(
                after[name], before[name], rtol=1e-3, atol=1e-5 * scale, err_msg=name
            )
    # Gates have their own maps, which stay as they are.
    assert measure_spread(equal, planes) < 0.95 * measure_spread(model, planes)


def test_grey_and_ones_stand_for_all_planes(weights):
    """Also at the borders, beyond which everything is 0."""
    model, card = onnx.load(weights), read_card(weights)
    joined, other = join_planes(model, card)
    assert (card.planes.count, other.planes.count) == (3, 2)
    grey = np.random.default_rng(0).random((50, 70)).astype(np.float32)
    names = ["conv2_block2_out", "conv2_block1_out_sd"]
    (first,) = run_with_maps(model, names, [to_planes(grey, card)])
    (second,) = run_with_maps(joined, names, [to_planes(grey, other)])
    for name in names:
        # The deviation of a nearly constant map is a small difference of large squares.
        scale = np.abs(first[name]).max()
        np.testing.assert_allclose(
            second[name], first[name], rtol=1e-4, atol=1e-5 * scale, err_msg=name
        )
    # Joining twice changes nothing.
    again, same = join_planes(joined, other)
    assert same == other and again == joined


def test_eight_bits_give_nearly_the_same_features(weights, quantized, images):
    planes = [np.asarray(Image.open(path)) for path in images.glob("plate/*.png")]
    for recipe in RECIPES:
        features = [
            StratoNet.load(path, recipe=recipe).features(planes)
            for path in (weights, quantized)
        ]
        correlations = correlate_features(*features)
        # These weights are random: the network that ships does better.
        assert np.median(correlations) > 0.95
        assert np.percentile(correlations, 5) > 0.6
        assert not np.array_equal(*features)


def test_convolutions_are_integers_but_the_first(quantized):
    graph = onnx.load(quantized).graph
    makers = {node.output[0]: node for node in graph.node}
    weights = [node.input[1] for node in graph.node if node.op_type == "Conv"]
    quantized = [name in makers for name in weights]
    # Convolutions of gates are small, and stay as they are.
    assert quantized[0] is False and sum(quantized) == 7


def test_the_new_network_keeps_to_the_contract(quantized):
    check_network(quantized)


def test_the_card_says_what_it_was_made_of(weights, quantized):
    card, original = read_card(quantized), read_card(weights)
    assert card.name == f"{original.name}-int8"
    assert card.taps == original.taps and card.recipes == original.recipes
    assert card.fast_on == FAST_ON and not original.fast_on
    assert card.trained_on.endswith("Calibrated for 8 bits on: dots, CC0.")
    assert len(card.metrics) == 4
    assert all(value > 0.6 for value in card.metrics.values())
    assert read_feature_set_id(quantized) != read_feature_set_id(weights)


def test_nothing_is_trained_from_integers(quantized):
    model = build_network(50, "eca", LAYERS, input_size=64)
    with pytest.raises(ValueError, match="quantized.onnx holds 8-bit integers"):
        load_weights_file(model, quantized)


def test_what_cannot_be_quantized_is_refused(
    weights, quantized, images, tmp_path, capsys
):
    empty = tmp_path / "empty"
    empty.mkdir()
    colours = tmp_path / "colours"
    colours.mkdir()
    Image.new("RGB", (50, 50)).save(colours / "1.png")
    cases = {
        "has 8-bit integers already": (quantized, images),
        "holds no images": (weights, empty),
        "no image can be read": (weights, colours),
        "one of: stratonet50": ("nothing", images),
    }
    for message, (start, folder) in cases.items():
        output = tmp_path / "out.onnx"
        with pytest.raises(SystemExit, match=message):
            main(["quantize", str(start), "--on", str(folder), "--output", str(output)])
        assert not output.exists()


def test_few_images_are_enough_and_are_not_compared(weights, images, tmp_path, capsys):
    few = tmp_path / "few"
    few.mkdir()
    for path in list(images.glob("plate/*.png"))[:3]:
        (few / path.name).write_bytes(path.read_bytes())
    output = tmp_path / "few.onnx"
    main(["quantize", str(weights), "--on", str(few), "--output", str(output)])
    assert "Too few images" in capsys.readouterr().out
    assert read_card(output).metrics == {}
    assert np.isfinite(StratoNet.load(output).features(np.eye(80))).all()

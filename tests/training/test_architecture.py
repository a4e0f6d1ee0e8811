import functools
import re
from pathlib import Path

import numpy as np
import pytest

keras = pytest.importorskip(
    "keras", reason="training needs Keras, which CellProfiler's own environment has not"
)

from training import architecture, attention, blocks  # noqa: E402
from training.architecture import build_network  # noqa: E402
from training.attention import (  # noqa: E402
    EfficientChannelAttention,
    compute_eca_kernel_size,
)
from training.blocks import get_default_taps, list_blocks  # noqa: E402

pytestmark = pytest.mark.slow

# Thesis, table 5.
TABLE = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}


def names(model):
    return [layer.name for layer in model.layers]


@pytest.mark.parametrize(
    "channels, size", [(64, 3), (128, 5), (256, 5), (512, 5), (1024, 5), (2048, 7)]
)
def test_eca_kernel_size(channels, size):
    """Nearest odd number from |log2(C)/2 + 1/2| upward.

    Wang et al. (2020), equation 12.
    """
    assert compute_eca_kernel_size(channels) == size
    layer = EfficientChannelAttention()
    layer.build((None, 7, 7, channels))
    assert layer.kernel.shape == (1, size, 1, 1)


def count_by_stage(names):
    stages = [int(name[4]) for name in names]
    return tuple(stages.count(stage) for stage in (2, 3, 4, 5))


@functools.cache
def build_classifier(depth):
    return build_network(depth, "eca", classes=3, input_size=32)


@pytest.mark.parametrize("depth", TABLE)
def test_blocks_of_every_depth(depth):
    assert count_by_stage(list_blocks(depth)) == TABLE[depth]


# Depths 101 and 152 only add more blocks, and take seconds.
@pytest.mark.parametrize("depth", [18, 34, 50])
def test_layers_of_blocks(depth):
    model = build_classifier(depth)
    for suffix in ("_add", "_eca", "_out"):
        pattern = rf"conv\d_block\d+{suffix}"
        matching_names = [name for name in names(model) if re.fullmatch(pattern, name)]
        assert count_by_stage(matching_names) == TABLE[depth]
    assert [name for name in names(model) if name.endswith("_out")] == list_blocks(
        depth
    )
    assert model.output_shape == (None, 3)


@pytest.mark.parametrize(
    "depth, kernels, shortcuts",
    [
        (34, [(3, 3, 256, 512), (3, 3, 512, 512)], "345"),
        (50, [(1, 1, 1024, 512), (3, 3, 512, 512), (1, 1, 512, 2048)], "2345"),
    ],
)
def test_basic_and_bottleneck_blocks(depth, kernels, shortcuts):
    model = build_classifier(depth)
    convs = [
        layer
        for layer in model.layers
        if re.fullmatch(r"conv5_block1_[1-9]_conv", layer.name)
    ]
    assert [conv.kernel.shape for conv in convs] == kernels
    # v1: the stride is on the block's first convolution and its shortcut, and only from
    # conv3 on.
    assert [conv.strides[0] for conv in convs] == [2] + [1] * (len(convs) - 1)
    assert [name[4] for name in names(model) if name.endswith("_0_conv")] == list(
        shortcuts
    )
    assert model.get_layer("conv5_block1_0_conv").strides == (2, 2)


def test_parameters_of_stratonet_50():
    model = build_network(50)
    assert round(model.count_params() / 1e6, 2) == 8.57
    gates = sum(
        layer.count_params() for layer in model.layers if layer.name.endswith("_eca")
    )
    assert gates == 5 * (3 + 4 + 6)
    assert build_network(50, None).count_params() == model.count_params() - gates


@pytest.mark.slow
def test_resnet_50_is_that_of_keras_without_the_biases_of_convolutions():
    theirs, ours = (
        keras.applications.ResNet50(weights=None),
        build_network(50, None, classes=1000),
    )
    convs = [layer for layer in theirs.layers if isinstance(layer, keras.layers.Conv2D)]
    assert (
        ours.count_params()
        == theirs.count_params() - sum(conv.filters for conv in convs)
        == 25_610_152
    )
    assert {conv.name: conv.strides for conv in convs} == {
        layer.name: layer.strides
        for layer in ours.layers
        if isinstance(layer, keras.layers.Conv2D)
    }
    shapes = {
        layer.name: layer.output.shape
        for layer in theirs.layers
        if layer.name.endswith("_out")
    }
    assert shapes == {
        layer.name: layer.output.shape
        for layer in ours.layers
        if layer.name.endswith("_out")
    }


@pytest.mark.parametrize(
    "depth, taps",
    [
        (18, ["conv3_block2_out", "conv4_block1_out", "conv4_block2_out"]),
        (50, ["conv3_block4_out", "conv4_block4_out", "conv4_block6_out"]),
        (152, ["conv3_block8_out", "conv4_block24_out", "conv4_block36_out"]),
    ],
)
def test_default_taps(depth, taps):
    assert get_default_taps(depth) == dict(zip(("low", "medium", "high"), taps))


def test_network_ends_at_its_last_tap():
    model = build_network(
        18, taps=["conv4_block1_out", "conv2_block2_out"], input_size=64
    )
    shapes = {name: output.shape for name, output in model.output.items()}
    assert shapes == {"conv2_block2_out": (None, 64), "conv4_block1_out": (None, 256)}
    assert not [
        name
        for name in names(model)
        if name.startswith(("conv4_block2", "conv5", "predictions"))
    ]


@pytest.mark.parametrize("depth, dense", [(1, [3 * 64]), (3, [3 * 64, 3 * 64, 3 * 64])])
def test_classifier_on_the_taps(depth, dense):
    taps = ["conv2_block2_out", "conv3_block1_out"]
    model = build_network(
        18, taps=taps, classes=7, input_size=32, classifier_depth=depth
    )
    assert model.output_shape == (None, 7)
    assert not [name for name in names(model) if name.startswith("conv3_block2")]
    kernels = [
        layer.kernel.shape
        for layer in model.layers
        if isinstance(layer, keras.layers.Dense)
    ]
    assert [kernel[0] for kernel in kernels] == dense and kernels[-1][1] == 7


def test_reductions():
    model = build_network(
        18, taps=["conv2_block1_out", "conv4_block1_out"], input_size=64
    )
    assert architecture.compute_reductions(model, model.output) == {
        "conv2_block1_out": 4,
        "conv4_block1_out": 16,
    }


def test_taps_are_means_over_the_plane(rng):
    model = build_network(
        18, taps=["conv2_block1_out", "conv3_block2_out"], input_size=64
    )
    images = rng.normal(size=(2, 64, 64, 3)).astype(np.float32)
    for name, pooled in model(images).items():
        maps = keras.Model(model.input, model.get_layer(name).output)(images)
        np.testing.assert_allclose(
            pooled, np.mean(maps, axis=(1, 2)), rtol=1e-5, atol=1e-6
        )


def test_without_attention_there_is_none():
    model = build_network(18, None, input_size=64)
    assert not [
        layer for layer in model.layers if isinstance(layer, EfficientChannelAttention)
    ]


def test_eca_by_hand(rng):
    maps = rng.normal(size=(2, 5, 6, 64)).astype(np.float32)
    layer = EfficientChannelAttention()
    layer.build(maps.shape)
    before, centre, after = kernel = rng.normal(size=3).astype(np.float32)
    layer.set_weights([kernel.reshape(layer.kernel.shape)])
    pooled = np.pad(maps.mean(axis=(1, 2)), ((0, 0), (1, 1)))
    gate = 1 / (
        1
        + np.exp(
            -(
                before * pooled[:, :-2]
                + centre * pooled[:, 1:-1]
                + after * pooled[:, 2:]
            )
        )
    )
    np.testing.assert_allclose(
        layer(maps), maps * gate[:, None, None, :], rtol=1e-4, atol=1e-6
    )


def test_gates_of_zeros_halve(rng):
    maps = rng.normal(size=(2, 3, 3, 64)).astype(np.float32)
    np.testing.assert_array_equal(EfficientChannelAttention("zeros")(maps), maps / 2)


@pytest.mark.parametrize("gates", ["glorot_uniform", "zeros"])
def test_saved_and_loaded_again(tmp_path, rng, gates):
    taps = ["conv2_block1_out", "conv2_block2_out"]
    model = build_network(18, taps=taps, input_size=64, gates=gates)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    images = rng.normal(size=(2, 64, 64, 3)).astype(np.float32)
    expected, received = model(images), again(images)
    assert list(received) == list(expected)
    for name in expected:
        np.testing.assert_array_equal(received[name], expected[name])


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"depth": 42}, r"\[18, 34, 50, 101, 152\]\. Received: 42"),
        ({"attention": "se"}, "Received: 'se'"),
        ({"attention": True}, "Received: True"),
        ({"taps": []}, r"Received: \[\]"),
        (
            {"depth": 18, "taps": ["conv3_block3_out"]},
            r"conv2_block1_out, .*Received: \['conv3_block3_out'\]",
        ),
        ({"taps": ["high"]}, r"Received: \['high'\]"),
    ],
)
def test_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        build_network(**arguments)


def test_any_backend():
    """The definition uses only Keras's operations."""
    imports = set()
    for module in (architecture, attention, blocks):
        imports.update(
            re.findall(
                r"^\s*(?:import|from)\s+([\w.]+)",
                Path(module.__file__).read_text(),
                re.MULTILINE,
            )
        )
    assert imports == {
        "__future__",
        "collections.abc",
        "dataclasses",
        "math",
        "keras",
        "training.attention",
        "training.blocks",
    }

"""The StratoNet family in Keras 3.

ResNet, with or without efficient channel attention, and pooled taps. This is the only
definition of the architecture; `wrap_application` adds taps to networks that Keras
provides. Sources: van Elswijk (2024), section 4.2, figure 6 and table 5; He et al.
(2015) for ResNet v1; Wang et al. (2020) for efficient channel attention (ECA). Layer
names are those of ``keras.applications.resnet``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

import keras
from keras import layers, ops

from training.attention import EfficientChannelAttention
from training.blocks import get_default_taps, list_blocks

# As in keras.applications.resnet, with which the published weights were trained.
BN_EPSILON = 1.001e-5


def build_network(
    depth: int = 50,
    attention: str | None = "eca",
    taps: Iterable[str] | None = None,
    classes: int | None = None,
    input_size: int | None = 224,
    gates: str | keras.initializers.Initializer = "glorot_uniform",
    classifier_depth: int = 1,
    for_inference: bool = False,
) -> keras.Model:
    """Build one network of the family.

    Parameters
    ----------
    depth : {18, 34, 50, 101, 152}
        Basic blocks for 18 and 34, bottleneck blocks from 50 on.
    attention : {"eca", None}
        ``"eca"`` adds an ECA module to each block's branch before the addition; None
        gives a plain ResNet.
    taps : sequence of str, optional
        Layer names (see `list_blocks`) whose outputs are pooled; the network ends at
        the last of them. Default: the values of `get_default_taps`, or, with
        ``classes``, none: the whole network.
    classes : int, optional
        None: the outputs are the taps, ``{layer name: (n, width)}``. A number: the
        output is that of a softmax classifier, (n, classes), on the concatenated taps
        or on the pooled end of the whole network.
    input_size : int or None
        Height and width of the input, in pixels. None: any.
    gates : str or initializer
        How the ECA kernels are initialised. ``"zeros"`` makes every gate 0.5.
    classifier_depth : int
        Number of dense layers of the classifier; those before the last are as wide as
        their input, with ReLU.
    for_inference : bool
        The network will not be trained any more: gates of bottleneck blocks take their
        means before the last convolution, where there are a quarter of the channels.
        The results are the same except for rounding.

    Returns
    -------
    keras.Model
        Input (n, input_size, input_size, 3), float32, preprocessed as the weights' card
        says.

    Raises
    ------
    ValueError
        The depth, the attention or a tap is unknown.
    """
    blocks = list_blocks(depth)
    if attention not in ("eca", None):
        raise ValueError(f'attention must be "eca" or None. Received: {attention!r}')
    if taps is None and classes is None:
        taps = get_default_taps(depth).values()
    if taps is not None:
        taps = list(taps)
        blocks = _cut_after_taps(blocks, taps)
    builder = _Builder(depth, attention, gates, for_inference)
    image = layers.Input((input_size, input_size, 3), name="planes")
    x = builder.add_stem(image)
    for block in blocks:
        x = builder.add_block(x, block)
    network = keras.Model(image, x, name=_name_network(depth, attention, taps))
    return _finish_network(network, taps, classes, classifier_depth)


def _cut_after_taps(blocks: list[str], taps: Sequence[str]) -> list[str]:
    unknown = [tap for tap in taps if tap not in blocks]
    if unknown or not taps:
        raise ValueError(
            f"taps must name blocks of this network: {', '.join(blocks)}. Received:"
            f" {taps!r}"
        )
    # Nothing after the last tap would be used: without it, StratoNet-50 trains at 1.09
    # times the speed of ResNet-50.
    last = max(blocks.index(tap) for tap in taps)
    return blocks[: last + 1]


def _name_network(depth: int, attention: str | None, taps: Sequence[str] | None) -> str:
    if not attention:
        return f"resnet{depth}"
    return f"stratonet{depth}" if taps else f"ecanet{depth}"


@dataclass(frozen=True)
class _Builder:
    """Adds layers to a network of one depth, attention and gate initialisation."""

    depth: int
    attention: str | None
    gates: str | keras.initializers.Initializer
    for_inference: bool

    def add_stem(self, image: keras.KerasTensor) -> keras.KerasTensor:
        x = self._add_convolution(image, 64, 7, 2, "conv1")
        # Padded with zeros, without "same" pooling, as in the published network.
        x = layers.ZeroPadding2D(1, name="pool1_pad")(x)
        return layers.MaxPooling2D(3, 2, name="pool1_pool")(x)

    def add_block(self, x: keras.KerasTensor, name: str) -> keras.KerasTensor:
        """Add the residual block whose output has a name such as conv3_block1_out."""
        stage_name, block_name, _ = name.split("_")
        stage = int(stage_name.removeprefix("conv"))
        first = block_name == "block1"
        name = f"{stage_name}_{block_name}"
        filters = 64 * 2 ** (stage - 2)
        # v1: the stride is on the first convolution of a stage, and conv2 has none
        # because the pooling before it has already halved the image.
        stride = 2 if first and stage > 2 else 1
        y, means = self._add_branch(x, filters, stride, name)
        # A shortcut is projected where its shape would not fit: bottleneck blocks are
        # four times as wide as the input of conv2.
        if first and (stage > 2 or self.depth >= 50):
            x = self._add_convolution(
                x, y.shape[-1], 1, stride, f"{name}_0", relu=False
            )
        if self.attention:
            y = EfficientChannelAttention(self.gates, name=f"{name}_eca")(y, means)
        y = layers.Add(name=f"{name}_add")([x, y])
        return layers.Activation("relu", name=f"{name}_out")(y)

    def _add_branch(
        self, x: keras.KerasTensor, filters: int, stride: int, name: str
    ) -> tuple[keras.KerasTensor, keras.KerasTensor | None]:
        """Add a block's branch; the means are None where the gate computes them."""
        if self.depth < 50:
            y = self._add_convolution(x, filters, 3, stride, f"{name}_1")
            y = self._add_convolution(y, filters, 3, 1, f"{name}_2", relu=False)
            return y, None
        y = self._add_convolution(x, filters, 1, stride, f"{name}_1")
        y = self._add_convolution(y, filters, 3, 1, f"{name}_2")
        last = self._make_convolution(4 * filters, 1, 1, f"{name}_3")
        means = None
        if self.attention and self.for_inference:
            # A 1 x 1 convolution and batch normalisation are linear: applied to the
            # mean, they give the mean of their output.
            means = last(ops.mean(y, axis=(1, 2), keepdims=True))
        return last(y), means

    def _add_convolution(
        self,
        x: keras.KerasTensor,
        filters: int,
        size: int,
        stride: int,
        name: str,
        relu: bool = True,
    ) -> keras.KerasTensor:
        """Add a convolution without bias, its batch normalisation and ReLU."""
        pad = size // 2 if stride > 1 else 0
        if pad:  # "same" would pad a strided convolution unevenly
            x = layers.ZeroPadding2D(pad, name=f"{name}_pad")(x)
        x = self._make_convolution(filters, size, stride, name, pad)(x)
        return layers.Activation("relu", name=f"{name}_relu")(x) if relu else x

    @staticmethod
    def _make_convolution(
        filters: int, size: int, stride: int, name: str, pad: int = 0
    ) -> Callable[[keras.KerasTensor], keras.KerasTensor]:
        """Make a convolution without bias and its batch normalisation."""
        convolution = layers.Conv2D(
            filters,
            size,
            stride,
            padding="valid" if pad else "same",
            # Batch normalisation would cancel any bias.
            use_bias=False,
            name=f"{name}_conv",
        )
        norm = layers.BatchNormalization(epsilon=BN_EPSILON, name=f"{name}_bn")
        return lambda x: norm(convolution(x))


def wrap_application(
    application: str,
    taps: Iterable[str] | None,
    classes: int | None = None,
    input_size: int = 224,
    weights: str | None = None,
    classifier_depth: int = 1,
) -> keras.Model:
    """Add taps to a network of ``keras.applications``.

    Parameters
    ----------
    application : str
        ``"EfficientNetB0"``, or any other network of ``keras.applications``, whose
        documentation says what input it expects.
    taps : sequence of str, or None
        Names of layers with outputs (n, height, width, channels). None: the whole
        network, without taps.
    classes, input_size, classifier_depth
        As in `build_network`.
    weights : {None, "imagenet"}
        Random weights, or those that Keras downloads.

    Returns
    -------
    keras.Model
        As `build_network` returns it.

    Raises
    ------
    ValueError
        There is no such application or layer, or a layer has no height and width.
    """
    make_network = getattr(keras.applications, application, None)
    if not callable(make_network):
        names = [
            name
            for name in dir(keras.applications)
            if callable(getattr(keras.applications, name))
        ]
        raise ValueError(
            f"keras.applications has {', '.join(names)}. Received: {application!r}"
        )
    network = make_network(
        include_top=False, weights=weights, input_shape=(input_size, input_size, 3)
    )
    chosen = None if taps is None else list(taps)
    return _finish_network(network, chosen, classes, classifier_depth)


def tap_network(
    network: keras.Model, taps: Collection[str], deviations: bool = False
) -> keras.Model:
    """Return a network whose outputs are some of its layers, pooled.

    Parameters
    ----------
    network : keras.Model
        A network that has these layers; its own outputs are not used.
    taps : collection of str
        Layer names, in any order.
    deviations : bool
        Also output the standard deviation of each map, as ``<layer name>_sd``.

    Returns
    -------
    keras.Model
        Outputs ``{layer name: (n, width)}``, in the order of the network.

    Raises
    ------
    ValueError
        There is no such layer, or it has no height and width.
    """
    maps = [layer.name for layer in network.layers if len(layer.output.shape) == 4]
    unknown = [name for name in taps if name not in maps]
    if unknown:
        raise ValueError(
            f"{network.name} has no layer {', '.join(unknown)} with height and width to"
            f" tap. It has: {', '.join(maps)}"
        )
    outputs = {}
    for name in maps:
        if name in taps:
            # Means of half-precision maps would lose digits that the features need.
            pool = layers.GlobalAveragePooling2D(name=f"{name}_pool", dtype="float32")
            x = network.get_layer(name).output
            outputs[name] = pool(x)
            if deviations:
                outputs[name_deviation(name)] = ops.std(ops.cast(x, "float32"), (1, 2))
    return keras.Model(network.input, outputs, name=network.name)


def name_deviation(layer: str) -> str:
    """Return the name of the output that holds the deviations of a layer's maps."""
    return f"{layer}_sd"


def compute_reductions(network: keras.Model, taps: Iterable[str]) -> dict[str, int]:
    """Compute the number of input pixels per map pixel of each tap, by layer name."""
    taps = list(taps)
    # Large, so that rounding at the borders does not matter.
    side = network.input_shape[1] or 1024
    maps = keras.Model(network.input, [network.get_layer(tap).output for tap in taps])
    shapes = maps.compute_output_shape((1, side, side, 3))
    return {
        # Rounded, because odd sides are halved and rounded up at every stage.
        tap: round(side / shape[1])
        for tap, shape in zip(taps, shapes)
    }


def _finish_network(
    network: keras.Model,
    taps: Sequence[str] | None,
    classes: int | None,
    classifier_depth: int,
) -> keras.Model:
    """Add taps, a classifier, or both to the end of a network."""
    if taps is None:
        pool = layers.GlobalAveragePooling2D(name="avg_pool", dtype="float32")
        x = pool(network.output)
    else:
        network = tap_network(network, taps)
        if classes is None:
            return network
        x = _join_taps(list(network.output.values()))
    for number in range(1, classifier_depth):
        dense = layers.Dense(x.shape[-1], activation="relu", name=f"classifier{number}")
        x = dense(x)
    # In half precision the loss would not be finite.
    predictions = layers.Dense(
        classes, activation="softmax", name="predictions", dtype="float32"
    )
    return keras.Model(network.input, predictions(x), name=network.name)


def _join_taps(pooled: list[keras.KerasTensor]) -> keras.KerasTensor:
    # With one input, Keras would keep a concatenation that does nothing.
    if len(pooled) == 1:
        return pooled[0]
    return layers.Concatenate(name="taps", dtype="float32")(pooled)

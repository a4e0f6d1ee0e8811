"""The StratoNet family in Keras 3: ResNet, with or without efficient channel attention, and pooled taps.

This is the only definition of the architecture; `wrap` puts taps into networks of
Keras's own. Sources: van Elswijk (2024), section 4.2, figure 6 and table 5; He et al.
(2015) for ResNet v1; Wang et al. (2020) for efficient channel attention (ECA). Layer
names are those of ``keras.applications.resnet``.
"""

import math

import keras
from keras import layers, ops

BLOCKS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
BN_EPSILON = 1.001e-5


def eca_kernel_size(channels):
    """Width of the ECA convolution for ``channels``.

    |log2(C)/2 + 1/2|, made odd upward (Wang et al. 2020).
    """
    size = int(abs(math.log2(channels) / 2 + 0.5))
    return size if size % 2 else size + 1


@keras.saving.register_keras_serializable("stratonet")
class EfficientChannelAttention(layers.Layer):
    """Multiply each channel by a gate in (0, 1) computed from the pooled values of its neighbours.

    Input and output: (n, height, width, channels).
    """

    def __init__(self, kernel_initializer="glorot_uniform", **kwargs):
        super().__init__(**kwargs)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shape):
        self.kernel = self.add_weight(
            name="kernel",
            shape=(1, eca_kernel_size(input_shape[-1]), 1, 1),
            initializer=self.kernel_initializer,
        )

    def call(self, x):
        # The channels become the width of an image one pixel high, along which the kernel slides.
        pooled = ops.transpose(ops.mean(x, axis=(1, 2), keepdims=True), (0, 1, 3, 2))
        gate = ops.sigmoid(
            ops.conv(pooled, self.kernel, padding="same", data_format="channels_last")
        )
        return x * ops.transpose(gate, (0, 1, 3, 2))

    def get_config(self):
        return {
            **super().get_config(),
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }


def block_names(depth):
    """Names of the outputs of all residual blocks of a network of ``depth``, in order."""
    if depth not in BLOCKS:
        raise ValueError(f"depth must be one of {sorted(BLOCKS)}. Received: {depth!r}")
    return [
        f"conv{stage}_block{block}_out"
        for stage, count in enumerate(BLOCKS[depth], start=2)
        for block in range(1, count + 1)
    ]


def default_taps(depth):
    """The low, medium and high taps as ``{alias: layer name}``.

    For depth 50 those of the thesis (section 6.2): conv3 block 4, conv4 block 4, conv4
    block 6. Other depths take the blocks at the same places: the last of conv3, two
    thirds into conv4, the last of conv4.
    """
    block_names(depth)
    _, conv3, conv4, _ = BLOCKS[depth]
    return {
        "low": f"conv3_block{conv3}_out",
        "medium": f"conv4_block{max(1, round(conv4 * 2 / 3))}_out",
        "high": f"conv4_block{conv4}_out",
    }


def build(
    depth=50,
    attention="eca",
    taps=None,
    classes=None,
    input_size=224,
    gates="glorot_uniform",
    classifier_depth=1,
):
    """Build one network of the family.

    Parameters
    ----------
    depth : {18, 34, 50, 101, 152}
        Basic blocks for 18 and 34, bottleneck blocks from 50 on.
    attention : {"eca", None}
        ``"eca"`` puts an ECA module on each block's branch before the addition; None
        gives a plain ResNet.
    taps : sequence of str, optional
        Layer names (see `block_names`) whose outputs are pooled; the network ends at
        the last of them. Default: the values of `default_taps`, or, with ``classes``,
        none: the whole network.
    classes : int, optional
        None: the outputs are the taps, ``{layer name: (n, width)}``. A number: a
        softmax classifier, (n, classes), on the taps side by side or on the pooled end
        of the whole network.
    input_size : int
        Height and width of the input, in pixels.
    gates : str or initializer
        How the ECA kernels start. ``"zeros"`` makes every gate 0.5.
    classifier_depth : int
        Dense layers of the classifier, see `classifier`.

    Returns
    -------
    keras.Model
        Input (n, input_size, input_size, 3), float32, preprocessed as the weights' card
        says.

    Raises
    ------
    ValueError
        An unknown depth, attention or tap.
    """
    blocks = block_names(depth)
    if attention not in ("eca", None):
        raise ValueError(f'attention must be "eca" or None. Received: {attention!r}')
    if taps is None and classes is None:
        taps = default_taps(depth).values()
    if taps is not None:
        taps = list(taps)
        unknown = [tap for tap in taps if tap not in blocks]
        if unknown or not taps:
            raise ValueError(
                f"taps must name blocks of this network: {', '.join(blocks)}. Received:"
                f" {taps!r}"
            )
        blocks = blocks[: max(map(blocks.index, taps)) + 1]

    def conv_bn(x, filters, size, stride, name, relu=True):
        pad = size // 2 if stride > 1 else 0
        if pad:  # "same" would pad a strided convolution unevenly
            x = layers.ZeroPadding2D(pad, name=f"{name}_pad")(x)
        x = layers.Conv2D(
            filters,
            size,
            stride,
            padding="valid" if pad else "same",
            use_bias=False,
            name=f"{name}_conv",
        )(x)
        x = layers.BatchNormalization(epsilon=BN_EPSILON, name=f"{name}_bn")(x)
        return layers.Activation("relu", name=f"{name}_relu")(x) if relu else x

    def residual(x, filters, stride, project, name):
        if depth < 50:
            y = conv_bn(x, filters, 3, stride, f"{name}_1")
            y = conv_bn(y, filters, 3, 1, f"{name}_2", relu=False)
        else:
            y = conv_bn(x, filters, 1, stride, f"{name}_1")
            y = conv_bn(y, filters, 3, 1, f"{name}_2")
            y = conv_bn(y, 4 * filters, 1, 1, f"{name}_3", relu=False)
        if project:
            x = conv_bn(x, y.shape[-1], 1, stride, f"{name}_0", relu=False)
        if attention:
            y = EfficientChannelAttention(gates, name=f"{name}_eca")(y)
        y = layers.Add(name=f"{name}_add")([x, y])
        return layers.Activation("relu", name=f"{name}_out")(y)

    image = layers.Input((input_size, input_size, 3), name="planes")
    x = conv_bn(image, 64, 7, 2, "conv1")
    x = layers.ZeroPadding2D(1, name="pool1_pad")(x)
    x = layers.MaxPooling2D(3, 2, name="pool1_pool")(x)

    for name in blocks:
        stage, block = int(name[4]), int(name.split("_")[1][5:])
        first = block == 1
        x = residual(
            x,
            filters=64 * 2 ** (stage - 2),
            stride=2 if first and stage > 2 else 1,
            project=first and (stage > 2 or depth >= 50),
            name=name[: -len("_out")],
        )
    kind = "resnet" if not attention else "stratonet" if taps else "ecanet"
    return _finish(
        keras.Model(image, x, name=f"{kind}{depth}"), taps, classes, classifier_depth
    )


def wrap(
    application, taps, classes=None, input_size=224, weights=None, classifier_depth=1
):
    """Put taps into a network of ``keras.applications``; parameters and result as of `build`.

    Parameters
    ----------
    application : str
        ``"EfficientNetB0"``, or any other there. Its input is what its own
        documentation says.
    taps : sequence of str
        Names of its layers with outputs (n, height, width, channels).
    weights : {None, "imagenet"}
        Random, or those that Keras downloads.

    Raises
    ------
    ValueError
        No such application or layer, or a layer that has no height and width.
    """
    make = getattr(keras.applications, application, None)
    if not callable(make):
        there = [
            name
            for name in dir(keras.applications)
            if callable(getattr(keras.applications, name))
        ]
        raise ValueError(
            f"keras.applications has {', '.join(there)}. Received: {application!r}"
        )
    network = make(
        include_top=False, weights=weights, input_shape=(input_size, input_size, 3)
    )
    return _finish(
        network, None if taps is None else list(taps), classes, classifier_depth
    )


def tap(network, taps):
    """The network with the pooled outputs of its layers ``taps``, ``{layer name.

    (n, width)}``, in its order.
    """
    order = {layer.name: place for place, layer in enumerate(network.layers)}
    maps = {
        name: layer.output.shape
        for name, layer in zip(order, network.layers)
        if len(layer.output.shape) == 4
    }
    wrong = [name for name in taps if name not in maps]
    if wrong:
        raise ValueError(
            f"{network.name} has no layer {', '.join(wrong)} with height and width to"
            f" tap. It has: {', '.join(maps)}"
        )
    outputs = {}
    for name in sorted(taps, key=order.get):
        pool = layers.GlobalAveragePooling2D(name=f"{name}_pool", dtype="float32")
        outputs[name] = pool(network.get_layer(name).output)
    return keras.Model(network.input, outputs, name=network.name)


def reductions(network, taps):
    """Input pixels per pixel of each tap's map, ``{layer name: int}``."""
    return {
        name: round(network.input_shape[1] / network.get_layer(name).output.shape[1])
        for name in taps
    }


def _finish(network, taps, classes, classifier_depth):
    if taps is None:
        x = layers.GlobalAveragePooling2D(name="avg_pool", dtype="float32")(
            network.output
        )
    else:
        network = tap(network, taps)
        if classes is None:
            return network
        x = list(network.output.values())
        x = layers.Concatenate(name="taps", dtype="float32")(x) if len(x) > 1 else x[0]
    for place in range(1, classifier_depth):
        x = layers.Dense(x.shape[-1], activation="relu", name=f"classifier{place}")(x)
    x = layers.Dense(
        classes, activation="softmax", name="predictions", dtype="float32"
    )(x)
    return keras.Model(network.input, x, name=network.name)

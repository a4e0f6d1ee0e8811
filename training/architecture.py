"""The StratoNet family in Keras 3: ResNet, with or without efficient channel attention, and pooled taps.

This is the only definition of the architecture. Sources: van Elswijk (2024), section 4.2, figure 6 and table 5;
He et al. (2015) for ResNet v1; Wang et al. (2020) for efficient channel attention (ECA).
Layer names are those of ``keras.applications.resnet``.
"""

import math

import keras
from keras import layers, ops

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
BN_EPSILON = 1.001e-5


def eca_kernel_size(channels):
    """Width of the ECA convolution for ``channels``: |log2(C)/2 + 1/2|, made odd upward (Wang et al. 2020)."""
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
            name="kernel", shape=(1, eca_kernel_size(input_shape[-1]), 1, 1), initializer=self.kernel_initializer
        )

    def call(self, x):
        # The channels become the width of an image one pixel high, along which the kernel slides.
        pooled = ops.transpose(ops.mean(x, axis=(1, 2), keepdims=True), (0, 1, 3, 2))
        gate = ops.sigmoid(ops.conv(pooled, self.kernel, padding="same", data_format="channels_last"))
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

    For depth 50 those of the thesis (section 6.2): conv3 block 4, conv4 block 4, conv4 block 6. Other depths take
    the blocks at the same places: the last of conv3, two thirds into conv4, the last of conv4.
    """
    block_names(depth)
    _, conv3, conv4, _ = BLOCKS[depth]
    return {
        "low": f"conv3_block{conv3}_out",
        "medium": f"conv4_block{max(1, round(conv4 * 2 / 3))}_out",
        "high": f"conv4_block{conv4}_out",
    }


def build(depth=50, attention="eca", taps=None, classes=None, input_size=224, gates="glorot_uniform"):
    """Build one network of the family.

    Parameters
    ----------
    depth : {18, 34, 50, 101, 152}
        Basic blocks for 18 and 34, bottleneck blocks from 50 on.
    attention : {"eca", None}
        ``"eca"`` puts an ECA module on each block's branch before the addition; None gives a plain ResNet.
    taps : sequence of str, optional
        Layer names (see `block_names`) whose outputs are pooled. Default: the values of `default_taps`.
        Only without ``classes``.
    classes : int, optional
        None: the network ends at its last tap, and its outputs are ``{layer name: (n, width)}``.
        A number: the whole network with a softmax classifier, (n, classes).
    input_size : int
        Height and width of the input, in pixels.
    gates : str or initializer
        How the ECA kernels start. ``"zeros"`` makes every gate 0.5.

    Returns
    -------
    keras.Model
        Input (n, input_size, input_size, 3), float32, preprocessed as the weights' card says.

    Raises
    ------
    ValueError
        An unknown depth, attention or tap, or taps together with classes.
    """
    blocks = block_names(depth)
    if attention not in ("eca", None):
        raise ValueError(f'attention must be "eca" or None. Received: {attention!r}')
    if classes is not None and taps is not None:
        raise ValueError("A network with a classifier has no taps. Give either taps or classes, not both.")
    if classes is None:
        taps = list(default_taps(depth).values()) if taps is None else list(taps)
        unknown = [tap for tap in taps if tap not in blocks]
        if unknown or not taps:
            raise ValueError(f"taps must name blocks of this network: {', '.join(blocks)}. Received: {taps!r}")

    def conv_bn(x, filters, size, stride, name, relu=True):
        pad = size // 2 if stride > 1 else 0
        if pad:  # "same" would pad a strided convolution unevenly
            x = layers.ZeroPadding2D(pad, name=f"{name}_pad")(x)
        x = layers.Conv2D(
            filters, size, stride, padding="valid" if pad else "same", use_bias=False, name=f"{name}_conv"
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

    outputs = {}
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
        if classes is None and name in taps:
            outputs[name] = layers.GlobalAveragePooling2D(name=f"{name}_pool")(x)
            if len(outputs) == len(set(taps)):
                break
    if classes is not None:
        x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
        outputs = layers.Dense(classes, activation="softmax", name="predictions")(x)
    kind = "stratonet" if classes is None and attention else "ecanet" if attention else "resnet"
    return keras.Model(image, outputs, name=f"{kind}{depth}")

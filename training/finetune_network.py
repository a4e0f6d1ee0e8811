"""Build the network to fine-tune: a weights file in Keras, with a head per assay."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from stratonet import Card
from stratonet.weights_file import WEIGHTS, read_card
from training.architecture import tap_network
from training.blocks import list_blocks
from training.config import Config
from training.export import Trained, export_model, make_card, tap_trained
from training.start import build_classifier, choose_taps, describe_card
from training.start_file import load_weights_file

# Learning rates by the prefix of the layers' names. All other layers stay as they are:
# conv1 and conv2 detect edges, which are the same in every assay, and gates and batch
# normalisation would have too few images to learn from.
RATES = {"conv3": 3e-5, "conv4": 1e-4, "conv5": 1e-4}
HEAD_RATE = 1e-3
HEADS = "heads"
# Added to the logits of other heads' classes, to exclude them from the softmax.
EXCLUDED = -1e9


@dataclass(frozen=True)
class Start:
    """The network to fine-tune.

    Attributes
    ----------
    source : Card
        Card of the weights file.
    card : Card
        Card of the network, for planes of the requested size.
    trained : Trained
        The network in Keras, as `training.export` takes it.
    """

    source: Card
    card: Card
    trained: Trained

    @property
    def taps(self) -> list[str]:
        """The layers whose means are features, in the order of the network."""
        return list(choose_taps(self.trained.config).values())

    def export(self, path: Path, name: str) -> None:
        """Write the network in its current state as a weights file.

        Parameters
        ----------
        path : pathlib.Path
            The ``.onnx`` file to write.
        name : str
            Name of the weights.
        """
        card = replace(self.card, name=name)
        export_model(tap_trained(self.trained), card, path)


def load_start(weights: str | os.PathLike[str], input_size: int) -> Start:
    """Load a weights file into Keras.

    Parameters
    ----------
    weights : str or path
        As `stratonet.StratoNet.load` takes them; those of a StratoNet or ResNet.
    input_size : int
        Side of the planes that the network will take, in pixels.

    Returns
    -------
    Start

    Raises
    ------
    FileNotFoundError, ValueError
        There are no such weights, or they are of another architecture.
    """
    source = read_card(weights)
    shipped = WEIGHTS / f"{weights}.onnx"
    path = shipped if shipped.exists() else Path(weights)
    match = re.match(r"(?:StratoNet|ECANet|ResNet)-(\d+)", source.architecture)
    if not match:
        raise ValueError(
            f"Only StratoNet and ResNet can be fine-tuned. Received: {weights}, which"
            f" is {source.architecture!r}."
        )
    depth = int(match[1])
    blocks = list_blocks(depth)
    aliases = {tap.layer: tap.alias for tap in source.taps if tap.alias}
    config = Config(
        recipe="Fine-tuned on an assay.",
        depth=depth,
        attention="none" if source.architecture.startswith("ResNet") else "eca",
        taps={aliases[block]: block for block in blocks if block in aliases},
        image_size=input_size,
    )
    # The classifier is not used: heads replace it.
    model = build_classifier(config, 1)
    # Batch normalisation stays folded into the convolutions.
    load_weights_file(model, path)
    trained = Trained(config, model, describe_card(source), None)
    return Start(source, _make_own_card(source, trained), trained)


def _make_own_card(source: Card, trained: Trained) -> Card:
    model = tap_trained(trained)
    card = make_card(trained, model, source.name, "1.0.0", source.licence)
    side = card.input_size
    # The network sees planes prepared as for the original, at the size at which it
    # learns.
    return replace(
        card,
        resize=source.resize,
        scaling=source.scaling,
        planes=source.planes,
        recipes={f"whole{side}": f"whole{side}/mean"},
    )


class Tuner:
    """A network with heads, and its optimisers; takes one batch at a time.

    A head is a linear classifier on the means of the taps. There is one for each
    channel of each assay, since different stains say different things about a class.

    Parameters
    ----------
    start : Start
        Holds the network, which is trained in place.
    classes : sequence of int
        Number of classes of each head.

    Attributes
    ----------
    model : keras.Model
        Planes (n, side, side, 3) to logits of all heads, (n, sum of classes).
    """

    def __init__(self, start: Start, classes: Sequence[int]) -> None:
        self._planes = start.card.planes
        self._masks = tf.constant(_make_masks(classes))
        self._offsets = np.concatenate([[0], np.cumsum(classes)[:-1]])
        trunk = tap_network(start.trained.model, start.taps)
        for layer in trunk.layers:
            layer.trainable = layer.name.endswith("_conv") and _has_rate(layer.name)
        taps = keras.layers.Concatenate()(list(trunk.output.values()))
        head = keras.layers.Dense(sum(classes), name=HEADS)
        self.model = keras.Model(trunk.input, head(taps))
        self._optimizers = dict(self._make_optimizers())

    def _make_optimizers(self) -> Iterator[tuple[str, keras.Optimizer]]:
        """Make an optimiser for each learning rate: one of Keras has a single rate."""
        for name, rate in {**RATES, HEADS: HEAD_RATE}.items():
            variables = self._list_variables(name)
            if variables:
                optimizer = keras.optimizers.Adam(rate)
                optimizer.build(variables)
                yield name, optimizer

    def _list_variables(self, name: str) -> list[keras.Variable]:
        return [
            variable
            for variable in self.model.trainable_variables
            if variable.path.startswith(name)
        ]

    def train(
        self, greys: np.ndarray, heads: np.ndarray, classes: np.ndarray, factor: float
    ) -> float:
        """Take one step.

        Parameters
        ----------
        greys : numpy.ndarray (n, side, side), float32
            Views, in [0, 1].
        heads, classes : numpy.ndarray (n,), int
            Head of each view, and class number of the view within the head.
        factor : float
            Factor by which all learning rates are multiplied.

        Returns
        -------
        float
            Cross-entropy, averaged over the views.
        """
        rates = {**RATES, HEADS: HEAD_RATE}
        for name, optimizer in self._optimizers.items():
            optimizer.learning_rate = rates[name] * factor
        targets = self._offsets[heads] + classes
        return float(self._train(greys, heads.astype(np.int32), targets))

    @tf.function(reduce_retracing=True)
    def _train(
        self, greys: tf.Tensor, heads: tf.Tensor, targets: tf.Tensor
    ) -> tf.Tensor:
        with tf.GradientTape() as tape:
            logits = self._compute_logits(greys, heads)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits)
            loss = tf.reduce_mean(losses)
        groups = [self._list_variables(name) for name in self._optimizers]
        # The tape watches TensorFlow's variables, not Keras's around them.
        values = [[variable.value for variable in group] for group in groups]
        gradients = tape.gradient(loss, values)
        for optimizer, own_gradients, group in zip(
            self._optimizers.values(), gradients, groups
        ):
            optimizer.apply(own_gradients, group)
        return loss

    def predict(self, greys: np.ndarray, head: int) -> np.ndarray:
        """Compute log probabilities of the classes of one head.

        Parameters
        ----------
        greys : numpy.ndarray (n, side, side), float32
            Planes, in [0, 1].
        head : int
            Number of the head.

        Returns
        -------
        numpy.ndarray (n, n classes), float32
        """
        heads = np.full(len(greys), head, np.int32)
        columns = np.flatnonzero(self._masks[head].numpy() == 0)
        return self._predict(greys, heads).numpy()[:, columns]

    @tf.function(reduce_retracing=True)
    def _predict(self, greys: tf.Tensor, heads: tf.Tensor) -> tf.Tensor:
        return tf.nn.log_softmax(self._compute_logits(greys, heads))

    def _compute_logits(self, greys: tf.Tensor, heads: tf.Tensor) -> tf.Tensor:
        multiply = tf.constant(self._planes.multiply, tf.float32)
        subtract = tf.constant(self._planes.subtract, tf.float32)
        planes = greys[..., None] * multiply - subtract
        return self.model(planes, training=False) + tf.gather(self._masks, heads)

    def copy_state(self) -> dict[str, np.ndarray]:
        """Copy the state of network and optimisers, as `load_state` takes it."""
        return {
            name: keras.ops.convert_to_numpy(variable)
            for name, variable in self._name_variables()
        }

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Restore the state of network and optimisers."""
        for name, variable in self._name_variables():
            variable.assign(state[name])

    def _name_variables(self) -> Iterator[tuple[str, keras.Variable]]:
        # By number, because Keras renumbers the names of some layers in each process.
        parts = {"network": self.model, **self._optimizers}
        for part, owner in parts.items():
            for number, variable in enumerate(owner.variables):
                yield f"{part}/{number}", variable


def _has_rate(layer: str) -> bool:
    return layer.startswith(tuple(RATES))


def _make_masks(classes: Sequence[int]) -> np.ndarray:
    """Make the mask that each head adds to all logits: (n heads, sum of classes)."""
    owners = np.repeat(np.arange(len(classes)), classes)
    is_own = owners == np.arange(len(classes))[:, None]
    return np.where(is_own, 0, EXCLUDED).astype(np.float32)

"""Take single steps of training or validation: network, optimiser and metrics."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import keras
import tensorflow as tf

from training.config import Config
from training.start import build_classifier, freeze_layers

DEVICES = ("one", "all", "machines")
DECAYED = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.Dense)


@dataclass(frozen=True)
class Scores:
    """Scores of a network on some images.

    Attributes
    ----------
    loss : float
        Cross-entropy, averaged over the images.
    top1, top5 : float
        Shares of images whose class is ranked first, or among the first five.
    """

    loss: float
    top1: float
    top5: float


def compute_learning_rate(config: Config, epoch: int, losses: Sequence[float]) -> float:
    """Compute the learning rate of an epoch.

    Parameters
    ----------
    config : Config
        Says schedule, warm-up and plateaus.
    epoch : int
        Number of the epoch, from 0.
    losses : sequence of float
        Validation losses of the earlier epochs.

    Returns
    -------
    float

    Examples
    --------
    >>> config = Config("", learning_rate=1.0, warmup_epochs=4, epochs=12)
    >>> [round(compute_learning_rate(config, epoch, []), 2) for epoch in (0, 3, 8, 11)]
    [0.25, 1.0, 0.5, 0.04]
    """
    rate = config.learning_rate
    if epoch < config.warmup_epochs:
        rate *= (epoch + 1) / config.warmup_epochs
    elif config.schedule == "cosine":
        epochs = config.epochs - config.warmup_epochs
        rate *= (1 + math.cos(math.pi * (epoch - config.warmup_epochs) / epochs)) / 2
    elif config.schedule == "step":
        rate *= config.step_factor ** (epoch // config.step_epochs)
    for _ in range(_count_plateaus(losses, config.plateau_epochs)):
        rate *= config.plateau_factor
    return rate


def _count_plateaus(losses: Sequence[float], patience: int) -> int:
    """Count how often the loss did not fall for ``patience`` epochs; 0: never."""
    if not patience:
        return 0
    best = math.inf
    epochs_waited = plateaus = 0
    for loss in losses:
        if loss < best:
            best, epochs_waited = loss, 0
        else:
            epochs_waited += 1
        # Counting restarts after each plateau.
        if epochs_waited == patience:
            plateaus += 1
            epochs_waited = 0
    return plateaus


def choose_strategy(devices: str) -> tf.distribute.Strategy:
    """Choose how TensorFlow distributes a step over devices.

    Parameters
    ----------
    devices : {"one", "all", "machines"}
        One device, all devices of this machine, or those of several machines.

    Returns
    -------
    tf.distribute.Strategy

    Raises
    ------
    ValueError
        The word is unknown, or it is ``"machines"`` without the variable TF_CONFIG.
    """
    if devices == "one":
        return tf.distribute.get_strategy()
    if devices == "all":
        gpus = tf.config.list_logical_devices("GPU")
        # Without GPUs, tests use two logical CPUs.
        logical = gpus or tf.config.list_logical_devices("CPU")
        return tf.distribute.MirroredStrategy([device.name for device in logical])
    if devices != "machines":
        raise ValueError(
            f"devices must be one of {', '.join(DEVICES)}. Received: {devices!r}"
        )
    if "TF_CONFIG" not in os.environ:
        raise ValueError(
            "Set the variable TF_CONFIG on each of the machines, for example to"
            ' {"cluster": {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]}, "task":'
            ' {"type": "worker", "index": 0}}, with a different index on each.'
        )
    return tf.distribute.MultiWorkerMirroredStrategy()


class Steps:
    """A network on all replicas, with its optimiser and metrics; one batch at a time.

    Batch normalisation is over the images of all replicas, so that the number of
    devices does not change what is learned.

    Parameters
    ----------
    config : Config
        Configuration of the run.
    classes : int
        Number of classes.
    strategy : tf.distribute.Strategy
        From `choose_strategy`.

    Attributes
    ----------
    model : keras.Model
        Network with output (n, classes).
    optimizer : keras.Optimizer
        Optimiser; its ``learning_rate`` may be set between steps.
    loss : keras.Loss
        Loss, summed over the images of a replica.
    metrics : list of keras.Metric
        Loss, top-1 and top-5 since the last call of `collect_scores`.
    batch : int
        Number of images of all replicas together.

    Raises
    ------
    ValueError
        The batch is not a multiple of the replicas, or the configuration does not fit
        the network.
    """

    def __init__(
        self, config: Config, classes: int, strategy: tf.distribute.Strategy
    ) -> None:
        self.strategy = strategy
        self.batch = config.batch
        replicas = strategy.num_replicas_in_sync
        if config.batch % replicas:
            raise ValueError(
                f"batch must be a multiple of the {replicas} devices. Received:"
                f" {config.batch}"
            )
        # Layers take the policy when they are created. It is global, and must not
        # affect later networks.
        keras.config.set_dtype_policy(config.precision)
        try:
            with strategy.scope():
                self.model = build_classifier(config, classes)
                freeze_layers(self.model, config)
                if replicas > 1:
                    _synchronize_norms(self.model)
                self.optimizer = _make_optimizer(config, self.model)
                # A mean over each replica would weight replicas, not images, equally.
                self.loss = keras.losses.CategoricalCrossentropy(
                    label_smoothing=config.label_smoothing, reduction="sum"
                )
                self.metrics = _make_metrics(config, classes)
        finally:
            keras.config.set_dtype_policy("float32")

    def distribute(
        self, draw_dataset: Callable[..., tf.data.Dataset]
    ) -> tf.distribute.DistributedDataset:
        """Distribute a dataset over the replicas.

        Parameters
        ----------
        draw_dataset : callable
            Takes ``shard`` and ``per_replica`` as `images.Images.draw_training` does,
            and returns the dataset of one machine.

        Returns
        -------
        tf.distribute.DistributedDataset
        """

        def draw_share(context: tf.distribute.InputContext) -> tf.data.Dataset:
            return draw_dataset(
                shard=(context.input_pipeline_id, context.num_input_pipelines),
                per_replica=context.get_per_replica_batch_size(self.batch),
            )

        return self.strategy.distribute_datasets_from_function(draw_share)

    @tf.function
    def train(self, images: tf.Tensor, labels: tf.Tensor) -> None:
        """Take one step of the optimiser on a batch.

        Parameters
        ----------
        images : tf.Tensor (n, height, width, 3), float32
            Images as the network takes them.
        labels : tf.Tensor (n, classes), float32
            One-hot.
        """

        def train_replica(images: tf.Tensor, labels: tf.Tensor) -> None:
            with tf.GradientTape() as tape:
                predicted = self.model(images, training=True)
                loss = self.loss(labels, predicted) / self.batch
                # The scale is 1, except in half precision.
                scaled = self.optimizer.scale_loss(loss)
            variables = self.model.trainable_variables
            # The tape watches TensorFlow's variables, not Keras's around them.
            values = [variable.value for variable in variables]
            self.optimizer.apply(tape.gradient(scaled, values), variables)
            for metric in self.metrics:
                metric.update_state(labels, predicted)

        self.strategy.run(train_replica, args=(images, labels))

    @tf.function
    def test(self, images: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor) -> None:
        """Add a batch to the metrics, without training.

        Parameters
        ----------
        images, labels
            As in `train`.
        weights : tf.Tensor (n,), float32
            0 for the blank images that fill the last batch, else 1.
        """

        def test_replica(
            images: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor
        ) -> None:
            predicted = self.model(images, training=False)
            for metric in self.metrics:
                metric.update_state(labels, predicted, weights)

        self.strategy.run(test_replica, args=(images, labels, weights))

    def read_scores(self) -> Scores:
        """Read loss, top-1 and top-5 since the last call of `collect_scores`."""
        loss, top1, top5 = (float(metric.result()) for metric in self.metrics)
        return Scores(loss, top1, top5)

    def collect_scores(self) -> Scores:
        """Read loss, top-1 and top-5, and reset them."""
        scores = self.read_scores()
        for metric in self.metrics:
            metric.reset_state()
        return scores

    def validate(self, draw_dataset: Callable[..., tf.data.Dataset]) -> Scores:
        """Test all batches of a dataset, as `distribute` takes it."""
        for batch in self.distribute(draw_dataset):
            self.test(*batch)
        return self.collect_scores()


def _synchronize_norms(model: keras.Model) -> None:
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = True


def _make_metrics(config: Config, classes: int) -> list[keras.Metric]:
    return [
        keras.metrics.CategoricalCrossentropy(
            label_smoothing=config.label_smoothing, name="loss"
        ),
        keras.metrics.CategoricalAccuracy(name="top1"),
        # With fewer than five classes, top-5 is over all of them.
        keras.metrics.TopKCategoricalAccuracy(min(5, classes), name="top5"),
    ]


def _make_optimizer(config: Config, model: keras.Model) -> keras.Optimizer:
    decay = config.weight_decay or None
    if config.optimizer == "adam":
        optimizer = keras.optimizers.Adam(config.learning_rate, weight_decay=decay)
    else:
        optimizer = keras.optimizers.SGD(
            config.learning_rate, momentum=config.momentum, weight_decay=decay
        )
    if config.weight_decay:
        optimizer.exclude_from_weight_decay(var_list=_list_not_decayed(model))
    if config.precision == "mixed_float16":
        # Gradients below 6e-8 would be 0 in half precision.
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    optimizer.build(model.trainable_variables)
    return optimizer


def _list_not_decayed(model: keras.Model) -> list[keras.Variable]:
    """List the variables of gates, biases and batch normalisation, without decay."""
    # Goyal et al. (2017) leave batch normalisation out; gates are few and small.
    kernels = [layer.kernel for layer in model.layers if isinstance(layer, DECAYED)]
    decayed = {variable.path for variable in kernels}
    return [
        variable
        for variable in model.trainable_variables
        if variable.path not in decayed
    ]

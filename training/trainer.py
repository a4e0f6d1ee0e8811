"""Training as the thesis has it (sections 4.1.1 and 5.2, appendix B): a run is a folder that can always go on.

In the folder: ``config.json`` (the configuration), ``images.json`` (which images were
read, which are corrupt), ``state.npz`` (network, optimiser and history after the last
epoch), ``best.npz`` (the network when validation top-1 was highest), ``log.csv``,
``tensorboard/``, ``curve.png`` and ``result.json``.
"""

import contextlib
import csv
import json
import math
import os
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from training.config import Config
from training.files import alone, replacing, write_arrays
from training.input import images_per_second, open_images
from training.picture import draw_curve
from training.start import BEST, freeze, load, network, snapshot, start

STATE = "state.npz"
DEVICES = ("one", "all", "machines")


class TrainingStopped(RuntimeError):
    """Training cannot go on; the message says why, and what stands."""


def learning_rate(config, epoch, losses):
    """The learning rate of ``epoch`` (from 0), after epochs with the validation ``losses``."""
    rate = config.learning_rate
    if epoch < config.warmup_epochs:
        rate *= (epoch + 1) / config.warmup_epochs
    elif config.schedule == "cosine":
        rate *= (
            1
            + math.cos(
                math.pi
                * (epoch - config.warmup_epochs)
                / (config.epochs - config.warmup_epochs)
            )
        ) / 2
    elif config.schedule == "step":
        rate *= config.step_factor ** (epoch // config.step_epochs)
    best, waited = math.inf, 0
    for loss in losses if config.plateau_epochs else ():
        best, waited = (loss, 0) if loss < best else (best, waited + 1)
        if waited == config.plateau_epochs:
            rate, waited = rate * config.plateau_factor, 0
    return rate


def strategy_for(devices):
    """The tf.distribute strategy for ``"one"`` device, ``"all"`` of this machine, or those of several ``"machines"``.

    Raises
    ------
    ValueError
        An unknown word, or ``"machines"`` without the variable TF_CONFIG.
    """
    if devices == "one":
        return tf.distribute.get_strategy()
    if devices == "all":
        there = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices(
            "CPU"
        )
        return tf.distribute.MirroredStrategy([device.name for device in there])
    if devices != "machines":
        raise ValueError(
            f"devices is one of {', '.join(DEVICES)}. Received: {devices!r}"
        )
    if "TF_CONFIG" not in os.environ:
        raise ValueError(
            "Several machines need the variable TF_CONFIG on each, for example"
            ' {"cluster": {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]}, "task":'
            ' {"type": "worker", "index": 0}}, with its own index on each.'
        )
    return tf.distribute.MultiWorkerMirroredStrategy()


class Steps:
    """A network with its optimiser and metrics, on all replicas of a strategy; one batch at a time.

    ``batch`` is the number of images of all replicas together. Batch normalisation is
    over all of them, so that the number of devices does not change what is learned.
    """

    def __init__(self, config, classes, strategy):
        self.strategy, self.batch = strategy, config.batch
        replicas = strategy.num_replicas_in_sync
        if config.batch % replicas:
            raise ValueError(
                f"batch must be a multiple of the {replicas} devices. Received:"
                f" {config.batch}"
            )
        keras.config.set_dtype_policy(config.precision)
        try:
            with strategy.scope():
                self.model = network(config, classes)
                freeze(self.model, config)
                for layer in self.model.layers:
                    if replicas > 1 and isinstance(
                        layer, keras.layers.BatchNormalization
                    ):
                        layer.synchronized = True
                self.optimizer = _optimizer(config, self.model)
                self.loss = keras.losses.CategoricalCrossentropy(
                    label_smoothing=config.label_smoothing, reduction="sum"
                )
                self.metrics = [
                    keras.metrics.CategoricalCrossentropy(
                        label_smoothing=config.label_smoothing, name="loss"
                    ),
                    keras.metrics.CategoricalAccuracy(name="top1"),
                    keras.metrics.TopKCategoricalAccuracy(min(5, classes), name="top5"),
                ]
        finally:
            keras.config.set_dtype_policy("float32")

    def distribute(self, dataset):
        """``dataset(shard, per_replica)`` on the replicas.

        A function as `input.Images` has them.
        """
        return self.strategy.distribute_datasets_from_function(
            lambda context: dataset(
                shard=(context.input_pipeline_id, context.num_input_pipelines),
                per_replica=context.get_per_replica_batch_size(self.batch),
            )
        )

    @tf.function
    def train(self, images, labels):
        def step(images, labels):
            with tf.GradientTape() as tape:
                found = self.model(images, training=True)
                loss = self.loss(labels, found) / self.batch
                scaled = self.optimizer.scale_loss(loss)
            variables = self.model.trainable_variables
            self.optimizer.apply(
                tape.gradient(scaled, [variable.value for variable in variables]),
                variables,
            )
            for metric in self.metrics:
                metric.update_state(labels, found)

        self.strategy.run(step, args=(images, labels))

    @tf.function
    def test(self, images, labels, weights):
        def step(images, labels, weights):
            found = self.model(images, training=False)
            for metric in self.metrics:
                metric.update_state(labels, found, weights)

        self.strategy.run(step, args=(images, labels, weights))

    def results(self):
        """Loss, top-1 and top-5 since the last call."""
        found = {metric.name: float(metric.result()) for metric in self.metrics}
        for metric in self.metrics:
            metric.reset_state()
        return found

    def validate(self, dataset):
        for batch in self.distribute(dataset):
            self.test(*batch)
        return self.results()


def _optimizer(config, model):
    if config.optimizer == "adam":
        optimizer = keras.optimizers.Adam(
            config.learning_rate, weight_decay=config.weight_decay or None
        )
    else:
        optimizer = keras.optimizers.SGD(
            config.learning_rate,
            momentum=config.momentum,
            weight_decay=config.weight_decay or None,
        )
    if config.weight_decay:
        kernels = [
            layer.kernel for layer in model.layers if isinstance(layer, _WITH_KERNELS)
        ]
        decayed = {variable.path for variable in kernels}
        optimizer.exclude_from_weight_decay(
            var_list=[
                variable
                for variable in model.trainable_variables
                if variable.path not in decayed
            ]
        )
    if config.precision == "mixed_float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    optimizer.build(model.trainable_variables)
    return optimizer


_WITH_KERNELS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.Dense)


def train(config, data, output, devices="one", on_epoch=None):
    """Train until ``config.epochs``; with the same folder again, go on after the last epoch that was finished.

    Parameters
    ----------
    config : Config
    data : path
        Images, as `input.open_images` takes them.
    output : path
        Folder of the run, made if missing. With several machines, one that all of them
        see.
    devices : {"one", "all", "machines"}
    on_epoch : callable, optional
        Gets the row of the log after each epoch.

    Returns
    -------
    dict
        What is in ``result.json``.

    Raises
    ------
    ValueError
        The folder holds a run of another configuration or other classes, or the
        configuration does not fit the data.
    TrainingStopped
        The loss became NaN, the disk is full, or another process trains in the folder.
    """
    strategy = strategy_for(
        devices
    )  # that of several machines wants to be first to use TensorFlow
    chief = devices != "machines" or strategy.cluster_resolver.task_id == 0
    keras.utils.set_random_seed(config.seed)
    tf.config.experimental.enable_op_determinism()
    output = Path(output)
    output.mkdir(parents=True, exist_ok=True)
    busy = TrainingStopped(f"Another process is training in {output}.")
    with alone(output, busy) if chief else contextlib.nullcontext():
        try:
            return _train(config, Path(data), output, strategy, chief, on_epoch)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise TrainingStopped(f"{error}\n{_what_stands(output)}") from error


def _train(config, data, output, strategy, chief, on_epoch):
    if (output / "config.json").exists():
        config.refuse_other(Config.read(output / "config.json"), output, "a run")
    say = tqdm.write if chief else lambda text: None
    images = open_images(
        data, checked=output / "images.json" if chief else None, report=say
    )
    steps = Steps(config, len(images.classes), strategy)
    if chief:
        with replacing(output / "config.json") as part:
            part.write_text(config.to_json(), encoding="utf-8")
    model, optimizer = steps.model, steps.optimizer

    def training(epoch):
        return lambda **place: images.train(config, epoch, config.batch, **place)

    def validation(**place):
        return images.validation(config, config.batch, **place)

    history, origin = _restore(output, model, optimizer, list(images.classes))
    if not history:
        few = images.train(config, 0, min(16, config.batch)).take(4)
        origin = start(model, config, lambda: (batch for batch, _ in few))
    replicas = strategy.num_replicas_in_sync
    input_speed = images_per_second(
        training(0)(per_replica=config.batch // replicas).repeat(), 2
    )
    trainable = sum(math.prod(variable.shape) for variable in model.trainable_variables)
    say(
        f"{model.name}: {model.count_params():,} parameters, {trainable:,} of them"
        f" trained. Start: {origin[0]}.\n{images.size('train'):,} images to train and"
        f" {images.size('val'):,} to validate, {len(images.classes):,} classes;"
        f" {len(images.corrupt)} corrupt images left out.\n{replicas} x"
        f" {config.batch // replicas} images = a batch of {config.batch}; learning rate"
        f" {config.learning_rate:g}. Input alone: {input_speed:,.0f} images/s."
    )
    if history:
        say(f"Going on after epoch {len(history)}.")

    count = images.steps("train", config.batch) * config.batch
    board = (
        tf.summary.create_file_writer(str(output / "tensorboard")) if chief else None
    )
    bar = tqdm(
        total=config.epochs * count,
        initial=len(history) * count,
        unit=" images",
        smoothing=0.02,
        disable=not chief,
    )
    with bar:
        for epoch in range(len(history), config.epochs):
            rate = learning_rate(config, epoch, [row["val_loss"] for row in history])
            optimizer.learning_rate = rate
            bar.set_description(f"epoch {epoch + 1}/{config.epochs}")
            began = looked = time.perf_counter()
            for batch in steps.distribute(training(epoch)):
                steps.train(*batch)
                bar.update(config.batch)
                if time.perf_counter() - looked > 2:
                    looked = time.perf_counter()
                    loss = _finite(
                        float(steps.metrics[0].result()), epoch, rate, output
                    )
                    bar.set_postfix(
                        loss=f"{loss:.3f}",
                        top1=f"{float(steps.metrics[1].result()):.3f}",
                    )
            found = steps.results()
            seconds = time.perf_counter() - began
            _finite(found["loss"], epoch, rate, output)
            checked = steps.validate(validation)
            _finite(checked["loss"], epoch, rate, output)
            row = {
                "epoch": epoch + 1,
                "learning_rate": rate,
                **found,
                **{f"val_{name}": value for name, value in checked.items()},
                "images_per_second": round(count / seconds, 1),
            }
            best = all(row["val_top1"] > earlier["val_top1"] for earlier in history)
            history.append(row)
            say(
                f"epoch {epoch + 1}: loss {row['loss']:.4f}, top-1 {row['top1']:.4f},"
                f" top-5 {row['top5']:.4f}; validation loss {row['val_loss']:.4f},"
                f" top-1 {row['val_top1']:.4f}, top-5"
                f" {row['val_top5']:.4f}{' (best so far, kept)' if best else ''};"
                f" {row['images_per_second']:,.0f} images/s"
            )
            # Where weights are spread over machines, all of them take part in reading; one writes.
            values = snapshot(model)
            momenta = [
                keras.ops.convert_to_numpy(variable) for variable in optimizer.variables
            ]
            if chief:
                result = _result(
                    config, images, data, history, origin, replicas, input_speed
                )
                _keep(
                    output,
                    values,
                    momenta,
                    history,
                    best,
                    result,
                    origin,
                    list(images.classes),
                )
                with board.as_default():
                    for name in list(row)[1:]:
                        tf.summary.scalar(name, row[name], step=epoch + 1)
                board.flush()
            if on_epoch:
                on_epoch(row)
    result = _result(config, images, data, history, origin, replicas, input_speed)
    if chief:
        draw_curve(
            history,
            output / "curve.png",
            f"{model.name} on {data.name}, {len(images.classes)} classes",
        )
        starving = (
            "input"
            if input_speed < 1.2 * history[-1]["images_per_second"]
            else "network"
        )
        say(
            f"Best validation top-1 {result['val_top1']:.4f} (top-5"
            f" {result['val_top5']:.4f}) after epoch {result['best_epoch']}. The"
            f" {starving} sets the pace: {history[-1]['images_per_second']:,.0f}"
            f" images/s, input alone {input_speed:,.0f}. See {output}."
        )
    return result


def _finite(loss, epoch, rate, output):
    if not math.isfinite(loss):
        raise TrainingStopped(
            f"The loss became {loss} in epoch {epoch + 1}, at a learning rate of"
            f" {rate:g}. Lower learning_rate or raise warmup_epochs, and begin in a new"
            f" folder.\n{_what_stands(output)}"
        )
    return loss


def _what_stands(output):
    try:
        result = json.loads((output / "result.json").read_text())
    except OSError:
        return "No epoch was finished."
    return (
        f"{output / BEST} stands: validation top-1 {result['val_top1']:.4f} after epoch"
        f" {result['best_epoch']}. {result['epochs_done']} epochs were finished; the"
        " same command goes on after them."
    )


def _keep(output, values, momenta, history, best, result, origin, classes):
    """Each file is replaced whole, the state last.

    A run that is killed between two of them repeats the epoch.
    """
    if best:
        write_arrays(output / BEST, values)
    with replacing(output / "log.csv") as part, part.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(history[0]))
        writer.writeheader()
        writer.writerows(history)
    with replacing(output / "result.json") as part:
        part.write_text(json.dumps(result, indent=1), encoding="utf-8")
    kept = json.dumps({"history": history, "origin": origin, "classes": classes})
    momenta = {f"optimizer/{place}": value for place, value in enumerate(momenta)}
    write_arrays(output / STATE, {"kept": kept, **values, **momenta})


def _restore(output, model, optimizer, classes):
    if not (output / STATE).exists():
        return [], None
    with np.load(output / STATE) as state:
        kept = json.loads(str(state["kept"]))
        if kept["classes"] != classes:
            raise ValueError(
                f"{output} holds a run of {len(kept['classes'])} other classes. Choose"
                " another --output."
            )
        for place, variable in enumerate(optimizer.variables):
            variable.assign(state[f"optimizer/{place}"])
    load(model, output / STATE)
    return kept["history"], tuple(kept["origin"])


def _result(config, images, data, history, origin, replicas, input_speed):
    best = max(history, key=lambda row: row["val_top1"])
    return {
        "data": data.name,
        "classes": list(images.classes),
        "train_images": images.size("train"),
        "val_images": images.size("val"),
        "corrupt_images": images.corrupt,
        "start": origin[0],
        "start_licence": origin[1],
        "best_epoch": best["epoch"],
        "epochs_done": len(history),
        "epochs": config.epochs,
        **{name: best[name] for name in ("val_loss", "val_top1", "val_top5")},
        "seed": config.seed,
        "devices": replicas,
        "batch": config.batch,
        "images_per_second": history[-1]["images_per_second"],
        "input_images_per_second": round(input_speed, 1),
        "versions": {
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "numpy": np.__version__,
        },
    }

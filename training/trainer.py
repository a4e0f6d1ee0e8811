"""Train as in the thesis (sections 4.1.1 and 5.2, appendix B).

A run is a folder in which training can always resume; `runs` describes its content.
"""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from stratonet.files.atomic import (
    lock_folder,
    remove_unfinished,
    write_atomically,
)
from training.board import open_board, write_row
from training.config import Config
from training.curve import draw_curve
from training.images import Images
from training.input import measure_input_speed, open_images
from training.runs import (
    CONFIG,
    Progress,
    Row,
    copy_optimizer,
    describe_checkpoint,
    is_best,
    read_config,
    read_progress,
    write_config,
    write_epoch,
)
from training.start import copy_variables, load_start_weights
from training.steps import Scores, Steps, choose_strategy, compute_learning_rate
from training.stored_files import refuse_output_in_data

# Seconds between two checks of the loss during an epoch: each waits for the device.
CHECK_SECONDS = 2
# The input alone is measured for at most so many seconds, or epochs of a small set.
INPUT_SECONDS, INPUT_EPOCHS = 2, 20
# Images from which batch normalisation gets its statistics back, in batches of at most
# 16.
START_BATCHES, START_BATCH = 4, 16


class TrainingStopped(RuntimeError):
    """Training cannot continue; the message says why, and which checkpoint remains."""


def train(
    config: Config,
    data: str | os.PathLike[str],
    output: str | os.PathLike[str],
    devices: str = "one",
    on_epoch: Callable[[Row], object] | None = None,
) -> dict:
    """Train until ``config.epochs``.

    If interrupted, call it again with the same folder; it resumes after the last
    finished epoch, and ends with the same numbers.

    Parameters
    ----------
    config : Config
        Configuration of the run.
    data : str or path
        Images, as `input.open_images` takes them.
    output : str or path
        Folder of the run, made if missing. With several machines, a folder that all of
        them can access.
    devices : {"one", "all", "machines"}
        See `steps.choose_strategy`.
    on_epoch : callable, optional
        Called with the row of the log after each epoch.

    Returns
    -------
    dict
        The content of ``result.json``.

    Raises
    ------
    ValueError
        The folder holds a run of another configuration, other classes or images, or
        lies within the folder of images; or the configuration does not fit the data.
    TrainingStopped
        The loss became NaN, or the disk is full.
    stratonet.files.atomic.FolderInUse
        Another process trains in the folder.
    """
    refuse_output_in_data(data, output)
    # The strategy for several machines must be created before TensorFlow is used.
    strategy = choose_strategy(devices)
    chief = devices != "machines" or strategy.cluster_resolver.task_id == 0
    # Set before anything is drawn, since start weights depend on it.
    keras.utils.set_random_seed(config.seed)
    # Slower on GPUs, but an interrupted run ends with the same numbers.
    tf.config.experimental.enable_op_determinism()
    output = Path(output)
    output.mkdir(parents=True, exist_ok=True)
    # The other machines write nothing.
    with lock_folder(output) if chief else contextlib.nullcontext():
        try:
            run = _open_run(config, Path(data), output, strategy, chief)
            with run.images.name_unreadable():
                return _finish_run(run, on_epoch)
        except FileNotFoundError:
            raise
        except OSError as error:
            checkpoint = describe_checkpoint(output)
            raise TrainingStopped(f"{error}\n{checkpoint}") from error


@dataclass(frozen=True)
class _Run:
    """A run in progress.

    Attributes
    ----------
    config, data, output
        As `train` takes them.
    chief : bool
        Whether this process writes and prints; only one of several machines does.
    images : Images
        Images for training and validation.
    steps : Steps
        The network, after the epochs of ``progress``.
    progress : Progress
        Progress of the run; its history grows.
    input_speed : float
        Images per second that the input alone yields.
    """

    config: Config
    data: Path
    output: Path
    chief: bool
    images: Images
    steps: Steps
    progress: Progress
    input_speed: float

    @property
    def history(self) -> list[Row]:
        return self.progress.history

    @property
    def replicas(self) -> int:
        return self.steps.strategy.num_replicas_in_sync

    @property
    def one_process(self) -> bool:
        # Reading the scores adds up those of several machines. All must do so at the
        # same step, but their clocks differ.
        strategy = self.steps.strategy
        return not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)

    @property
    def images_per_epoch(self) -> int:
        batch = self.config.batch
        return self.images.count_batches("train", batch) * batch

    def say(self, text: str) -> None:
        if self.chief:
            tqdm.write(text)

    def draw_training(
        self, epoch: int, shard: tuple[int, int], per_replica: int
    ) -> tf.data.Dataset:
        batch = self.config.batch
        return self.images.draw_training(
            self.config, epoch, batch, shard=shard, per_replica=per_replica
        )

    def draw_validation(
        self, shard: tuple[int, int], per_replica: int
    ) -> tf.data.Dataset:
        batch = self.config.batch
        return self.images.draw_validation(
            self.config, batch, shard=shard, per_replica=per_replica
        )


def _open_run(
    config: Config,
    data: Path,
    output: Path,
    strategy: tf.distribute.Strategy,
    chief: bool,
) -> _Run:
    if (output / CONFIG).exists():
        config.refuse_other(read_config(output), output, "a run")
    images = open_images(
        data,
        checked=output / "images.json" if chief else None,
        report=tqdm.write if chief else _say_nothing,
    )
    steps = Steps(config, len(images.classes), strategy)
    if chief:
        remove_unfinished(output)  # checkpoints left by killed processes are large
        write_config(output, config)
    progress = read_progress(output, steps.model, steps.optimizer, images)
    with images.name_unreadable():
        # Start weights are loaded once; afterwards they are in the state.
        if not progress.history:
            progress = _start(config, images, steps)
        # Measured before training, during which input and network share the cores.
        per_replica = config.batch // strategy.num_replicas_in_sync
        epoch = images.draw_training(config, 0, config.batch, per_replica=per_replica)
        repeated = epoch.repeat(INPUT_EPOCHS)
        input_speed = measure_input_speed(repeated, INPUT_SECONDS)
    run = _Run(config, data, output, chief, images, steps, progress, input_speed)
    run.say(_describe_run(run))
    if run.history:
        run.say(f"Going on after epoch {len(run.history)}.")
    return run


def _say_nothing(text: str) -> None:
    pass


def _start(config: Config, images: Images, steps: Steps) -> Progress:
    def draw_images() -> list[np.ndarray]:
        batch = min(START_BATCH, config.batch)
        dataset = images.draw_training(config, 0, batch).take(START_BATCHES)
        return [pixels for pixels, _ in dataset]

    return Progress([], load_start_weights(steps.model, config, draw_images))


def _finish_run(run: _Run, on_epoch: Callable[[Row], object] | None) -> dict:
    bar = tqdm(
        total=run.config.epochs * run.images_per_epoch,
        initial=len(run.history) * run.images_per_epoch,
        unit=" images",
        # Averaged over some fifty batches, because single batches vary.
        smoothing=0.02,
        disable=not run.chief,
    )
    board = None
    if run.chief:
        board = open_board(run.output)
    with bar:
        for epoch in range(len(run.history), run.config.epochs):
            bar.set_description(f"epoch {epoch + 1}/{run.config.epochs}")
            row = _run_epoch(run, epoch, bar)
            run.history.append(row)
            _store_epoch(run, board)
            run.say(_describe_epoch(row, is_best(run.history)))
            # Called after everything is stored, because it may end the training.
            if on_epoch:
                on_epoch(row)
    result = _make_result(run)
    if run.chief:
        title = f"{run.steps.model.name} on {run.data.name},"
        title += f" {len(run.images.classes)} classes"
        with write_atomically(run.output / "curve.png") as unfinished:
            draw_curve(run.history, unfinished, title)
        run.say(_describe_result(run, result))
    return result


def _run_epoch(run: _Run, epoch: int, bar: tqdm) -> Row:
    """Train and validate for one epoch; return the row of the log."""
    losses = [row["val_loss"] for row in run.history]
    rate = compute_learning_rate(run.config, epoch, losses)
    run.steps.optimizer.learning_rate = rate
    start_time = last_check = time.perf_counter()

    def draw_epoch(shard: tuple[int, int], per_replica: int) -> tf.data.Dataset:
        return run.draw_training(epoch, shard, per_replica)

    # Steps are queued; only reading the scores waits for the device.
    for batch in run.steps.distribute(draw_epoch):
        run.steps.train(*batch)
        bar.update(run.config.batch)
        if run.one_process and time.perf_counter() - last_check > CHECK_SECONDS:
            last_check = time.perf_counter()
            scores = run.steps.read_scores()
            _check_loss(scores, epoch, rate, run.output)
            bar.set_postfix(loss=f"{scores.loss:.3f}", top1=f"{scores.top1:.3f}")
    # This waits for the last step, so that the time includes it.
    training = run.steps.collect_scores()
    seconds = time.perf_counter() - start_time
    _check_loss(training, epoch, rate, run.output)
    validation = run.steps.validate(run.draw_validation)
    _check_loss(validation, epoch, rate, run.output)
    return {
        "epoch": epoch + 1,
        "learning_rate": rate,
        "loss": training.loss,
        "top1": training.top1,
        "top5": training.top5,
        "val_loss": validation.loss,
        "val_top1": validation.top1,
        "val_top5": validation.top5,
        "images_per_second": round(run.images_per_epoch / seconds, 1),
    }


def _check_loss(scores: Scores, epoch: int, rate: float, output: Path) -> None:
    if not math.isfinite(scores.loss):
        raise TrainingStopped(
            f"The loss became {scores.loss} in epoch {epoch + 1}, at a learning rate of"
            f" {rate:g}. Lower learning_rate or raise warmup_epochs, and start again in"
            f" a new folder.\n{describe_checkpoint(output)}"
        )


def _store_epoch(run: _Run, board: tf.summary.SummaryWriter | None) -> None:
    # If weights are distributed over machines, all must read them, but only one writes.
    model = copy_variables(run.steps.model)
    optimizer = copy_optimizer(run.steps.optimizer)
    if board is None:
        return
    result = _make_result(run)
    identity = run.images.identity
    write_epoch(run.output, model, optimizer, run.progress, result, identity)
    write_row(board, run.output, run.history[-1])


def _make_result(run: _Run) -> dict:
    best = max(run.history, key=lambda row: row["val_top1"])
    assert run.progress.origin is not None
    return {
        "data": run.data.name,
        "classes": list(run.images.classes),
        "train_images": run.images.count_images("train"),
        "val_images": run.images.count_images("val"),
        "corrupt_images": run.images.corrupt,
        "start": run.progress.origin.description,
        "start_licence": run.progress.origin.licence,
        "best_epoch": best["epoch"],
        "epochs_done": len(run.history),
        "epochs": run.config.epochs,
        "val_loss": best["val_loss"],
        "val_top1": best["val_top1"],
        "val_top5": best["val_top5"],
        "seed": run.config.seed,
        "devices": run.replicas,
        "batch": run.config.batch,
        "images_per_second": run.history[-1]["images_per_second"],
        "input_images_per_second": round(run.input_speed, 1),
        "versions": {
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "numpy": np.__version__,
        },
    }


def _describe_run(run: _Run) -> str:
    assert run.progress.origin is not None
    model, images, config = run.steps.model, run.images, run.config
    trained = sum(math.prod(variable.shape) for variable in model.trainable_variables)
    return (
        f"{model.name}: {model.count_params():,} parameters, {trained:,} of them"
        f" trained. Start: {run.progress.origin.description}.\n"
        f"{images.count_images('train'):,} images to train and"
        f" {images.count_images('val'):,} to validate, {len(images.classes):,} classes;"
        f" corrupt images left out: {len(images.corrupt)}."
        f" {images.describe_classes()}\n"
        f"{run.replicas} x {config.batch // run.replicas} images = a batch of"
        f" {config.batch}; learning rate {config.learning_rate:g}. Input alone:"
        f" {run.input_speed:,.0f} images/s."
    )


def _describe_epoch(row: Row, best: bool) -> str:
    mark = " (best so far, kept)" if best else ""
    return (
        f"epoch {row['epoch']}: loss {row['loss']:.4f}, top-1 {row['top1']:.4f},"
        f" top-5 {row['top5']:.4f}; validation loss {row['val_loss']:.4f},"
        f" top-1 {row['val_top1']:.4f}, top-5 {row['val_top5']:.4f}{mark};"
        f" {row['images_per_second']:,.0f} images/s"
    )


def _describe_result(run: _Run, result: dict) -> str:
    speed = run.history[-1]["images_per_second"]
    # Measured alone, the input has all cores to itself: if it is hardly faster than
    # training, it is the bottleneck.
    slower = "input" if run.input_speed < 1.2 * speed else "network"
    return (
        f"Best validation top-1 {result['val_top1']:.4f} (top-5"
        f" {result['val_top5']:.4f}) after epoch {result['best_epoch']}. The {slower}"
        f" limits the speed: {speed:,.0f} images/s, input alone"
        f" {run.input_speed:,.0f}. See {run.output}."
    )

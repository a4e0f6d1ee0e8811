"""Run the training loop of fine-tuning: steps, checkpoints, and early stopping."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from sklearn.metrics import recall_score
from tqdm import tqdm

from stratonet import Card
from stratonet.files.atomic import write_arrays_atomically, write_atomically
from stratonet.parallel import count_cores, get_worker_pool, map_ahead
from training.finetune_network import Start, Tuner
from training.finetune_planes import LabelledPlanes
from training.finetune_split import STOP, TRAIN
from training.finetune_views import Views
from training.start import ADVICE
from training.stored_files import read_arrays

STATE, BEST, LOG = "state.npz", "best.npz", "log.csv"


@dataclass(frozen=True)
class Schedule:
    """How long to train.

    Attributes
    ----------
    steps : int
        Largest number of steps. Learning rates fall along half a cosine to 0 at the
        last of them.
    every : int
        Steps between two checks on the plates or wells that decide when to stop; the
        state is stored at each check.
    patience : int
        Training ends after this many checks without a gain.
    batch : int
        Views per step.
    seed : int
        Seed of the heads, the views and their order.
    """

    steps: int = 660
    every: int = 60
    patience: int = 4
    batch: int = 32
    seed: int = 0


@dataclass(frozen=True)
class Task:
    """The examples of one assay, and the role of each.

    Attributes
    ----------
    examples : LabelledPlanes
        All examples of the assay.
    roles : numpy.ndarray (n,), str
        From `finetune_split.assign_roles`.
    first_head : int
        Number of the head of the first channel; those of the other channels follow.
    """

    examples: LabelledPlanes
    roles: np.ndarray
    first_head: int

    @cached_property
    def classes(self) -> list[str]:
        """The classes that are learnt, sorted."""
        return sorted(set(self.examples.rows["label"][self.roles != ""]))

    # Cached, because it is needed for every view that is drawn.
    @cached_property
    def targets(self) -> np.ndarray:
        """The class number of each example, (n,); -1 for those left out."""
        numbers = {name: number for number, name in enumerate(self.classes)}
        labels = self.examples.rows["label"]
        return np.array([numbers.get(label, -1) for label in labels])

    def select(self, *roles: str) -> np.ndarray:
        """Return the numbers of the examples that have one of the roles."""
        return np.flatnonzero(np.isin(self.roles, roles))


@dataclass(frozen=True)
class _Batch:
    """The views of one step; all arrays are (n, ...)."""

    greys: np.ndarray
    heads: np.ndarray
    classes: np.ndarray


@dataclass
class History:
    """The course of the training so far.

    Attributes
    ----------
    looks : list of dict
        One per check: ``step``, ``loss`` (mean since the last check) and ``accuracy``
        (balanced, mean over the assays) of the heads on the plates or wells that decide
        when to stop.
    """

    looks: list[dict[str, float]] = field(default_factory=list)

    @property
    def step(self) -> int:
        """The number of steps taken."""
        return int(self.looks[-1]["step"]) if self.looks else 0

    @property
    def best(self) -> dict[str, float]:
        """The best check; ties go to the earlier one, which was trained less."""
        return max(self.looks, key=lambda look: look["accuracy"])

    def is_over(self, schedule: Schedule) -> bool:
        """Tell whether training has ended."""
        if self.step >= schedule.steps:
            return True
        if not self.looks:
            return False
        since = [look for look in self.looks if look["step"] > self.best["step"]]
        return len(since) >= schedule.patience


def tune(
    start: Start, tasks: Sequence[Task], schedule: Schedule, folder: Path
) -> History:
    """Train the start network, in place, until nothing more is gained.

    If interrupted, the same call resumes after the last check, and ends with the same
    numbers.

    Parameters
    ----------
    start : Start
        The network to train. It ends with the weights of the best check.
    tasks : sequence of Task
        One per assay.
    schedule : Schedule
        How long to train.
    folder : pathlib.Path
        Folder in which the state is stored.

    Returns
    -------
    History

    Raises
    ------
    RuntimeError
        The loss is no longer a number.
    """
    # The initial weights of the heads depend on it.
    keras.utils.set_random_seed(schedule.seed)
    # Slower on GPUs, but an interrupted run ends with the same numbers.
    tf.config.experimental.enable_op_determinism()
    tuner = Tuner(start, _count_classes(tasks))
    history = _read_state(tuner, folder)
    bar = tqdm(
        total=schedule.steps * schedule.batch,
        initial=history.step * schedule.batch,
        desc="training",
        unit=" views",
        smoothing=0.05,
    )
    with bar:
        while not history.is_over(schedule):
            loss = _take_steps(tuner, tasks, schedule, start.card, history.step, bar)
            last = min(history.step + schedule.every, schedule.steps)
            accuracy = _measure_accuracy(tuner, tasks)
            history.looks.append({"step": last, "loss": loss, "accuracy": accuracy})
            tqdm.write(
                f"step {last}: loss {loss:.3f}, balanced accuracy on the examples"
                f" for early stopping {accuracy:.3f}"
            )
            _write_state(tuner, history, folder)
    tuner.load_state(_read_arrays(folder / BEST))
    return history


def _count_classes(tasks: Sequence[Task]) -> list[int]:
    """Count the classes of each head."""
    return [len(task.classes) for task in tasks for _ in task.examples.channels]


def _take_steps(
    tuner: Tuner,
    tasks: Sequence[Task],
    schedule: Schedule,
    card: Card,
    first: int,
    bar: tqdm,
) -> float:
    """Take the steps up to the next check; return their mean loss."""
    steps = range(first, min(first + schedule.every, schedule.steps))
    losses = []
    for step, batch in zip(steps, _draw_batches(tasks, schedule, card, steps)):
        factor = (1 + math.cos(math.pi * step / schedule.steps)) / 2
        losses.append(tuner.train(batch.greys, batch.heads, batch.classes, factor))
        if not math.isfinite(losses[-1]):
            raise RuntimeError(
                f"The loss became {losses[-1]} in step {step + 1}. Check the images of"
                " these classes."
            )
        bar.update(schedule.batch)
    return float(np.mean(losses))


def _draw_batches(
    tasks: Sequence[Task], schedule: Schedule, card: Card, steps: range
) -> Iterator[_Batch]:
    """Draw the batches of steps in advance, on all cores."""
    pools = [_list_by_class(task) for task in tasks]

    def draw(step: int) -> _Batch:
        # A step's views depend on its number alone, so that a run can be resumed.
        rng = np.random.default_rng((schedule.seed, step))
        return _draw_batch(tasks, pools, schedule.batch, card, rng)

    cores = count_cores()
    return map_ahead(get_worker_pool(os.getpid(), cores), draw, steps, 2 * cores)


def _list_by_class(task: Task) -> list[np.ndarray]:
    """List the numbers of the training examples of each class."""
    numbers = task.select(TRAIN)
    targets = task.targets[numbers]
    by_class = [numbers[targets == target] for target in range(len(task.classes))]
    return [members for members in by_class if len(members)]


def _draw_batch(
    tasks: Sequence[Task],
    pools: Sequence[Sequence[np.ndarray]],
    size: int,
    card: Card,
    rng: np.random.Generator,
) -> _Batch:
    views = Views()
    greys, heads, classes = [], [], []
    for _ in range(size):
        # Assays, classes and channels are equally likely, whatever their size.
        number = rng.integers(len(tasks))
        members = pools[number][rng.integers(len(pools[number]))]
        example = rng.choice(members)
        task = tasks[number]
        channel = rng.integers(len(task.examples.channels))
        plane = task.examples.planes[example, channel]
        greys.append(views.draw(plane, card, rng))
        heads.append(task.first_head + channel)
        classes.append(task.targets[example])
    return _Batch(np.stack(greys), np.array(heads), np.array(classes))


def _measure_accuracy(tuner: Tuner, tasks: Sequence[Task]) -> float:
    """Return the balanced accuracy on the examples that decide when to stop.

    It is that of the heads, averaged over the assays.
    """
    accuracies = []
    for task in tasks:
        numbers = task.select(STOP)
        predicted = _predict(tuner, task, numbers).argmax(axis=1)
        true = task.targets[numbers]
        # Classes without such examples do not count.
        recall = recall_score(true, predicted, labels=np.unique(true), average="macro")
        accuracies.append(recall)
    return float(np.mean(accuracies))


def _predict(tuner: Tuner, task: Task, numbers: np.ndarray) -> np.ndarray:
    """Add up the predictions of the heads of all channels: (n, n classes)."""
    scores = np.zeros((len(numbers), len(task.classes)), np.float32)
    batch = 64
    for channel in range(len(task.examples.channels)):
        for begin in range(0, len(numbers), batch):
            chosen = numbers[begin : begin + batch]
            greys = task.examples.planes[chosen, channel].astype(np.float32)
            head = task.first_head + channel
            scores[begin : begin + batch] += tuner.predict(greys, head)
    return scores


def _write_state(tuner: Tuner, history: History, folder: Path) -> None:
    state = tuner.copy_state()
    if history.best is history.looks[-1]:
        write_arrays_atomically(folder / BEST, state)
    with write_atomically(folder / LOG) as unfinished:
        pd.DataFrame(history.looks).to_csv(unfinished, index=False)
    # State and checks are one file, written last: they always belong together.
    looks = np.asarray(json.dumps(history.looks))
    write_arrays_atomically(folder / STATE, {"looks": looks, **state})


def _read_state(tuner: Tuner, folder: Path) -> History:
    if not (folder / STATE).exists():
        return History()
    state = _read_arrays(folder / STATE)
    tuner.load_state(state)
    return History(json.loads(str(state["looks"])))


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    return read_arrays(path, ADVICE)

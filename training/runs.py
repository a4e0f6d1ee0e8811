"""What is in the folder of a run, and how it is kept.

``config.json`` (the configuration), ``images.json`` (which images were read, which are
corrupt), ``state.npz`` (network, optimiser and history after the last epoch),
``best.npz`` (the network when validation top-1 was highest, with its result),
``log.csv``, ``tensorboard/``, ``curve.png`` and ``result.json``. Commands read the
arrays and the configuration; all else is for people.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from stratonet.files.atomic import write_arrays_atomically, write_atomically
from training.config import Config
from training.images import Images
from training.kept import DamagedFile, read_arrays, read_json
from training.start import ADVICE, BEST, Origin, put_variables

STATE = "state.npz"
CONFIG = "config.json"
RESULT = "result.json"
# Beside the arrays of a checkpoint: what they are, as JSON.
KEPT = "kept"

# A row of the log: what log.csv has as a line.
Row = dict[str, float]


@dataclass(frozen=True)
class Progress:
    """How far a run has come.

    Attributes
    ----------
    history : list of Row
        The log, one row per finished epoch.
    origin : Origin or None
        Of the start weights; None before the first epoch.
    """

    history: list[Row]
    origin: Origin | None


def read_run(run: str | os.PathLike[str]) -> tuple[Config, dict]:
    """Read the configuration and the result of a run with a checkpoint.

    Parameters
    ----------
    run : str or path
        Its folder.

    Returns
    -------
    config : Config
        Of the run.
    result : dict
        What was in ``result.json`` after the epoch of the checkpoint.

    Raises
    ------
    FileNotFoundError
        The folder holds no run with a checkpoint.
    ValueError
        A file of it is damaged.
    """
    run = Path(run)
    if not (run / BEST).is_file():
        raise FileNotFoundError(
            f"{run} holds no run with a checkpoint ({BEST}). Train first."
        )
    # Not from result.json: of a run that was killed it may be of another epoch.
    result = _read_kept(run / BEST, read_arrays(run / BEST, ADVICE))
    return read_config(run), result


def read_config(run: Path) -> Config:
    """Read the configuration that a run keeps.

    Raises
    ------
    ValueError
        It is damaged, or not as this version has it; the message names it.
    """
    read_json(run / CONFIG, ("recipe",), ADVICE)
    return Config.read(run / CONFIG)


def _read_kept(path: Path, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    try:
        kept = json.loads(str(arrays[KEPT]))
        # Of an earlier version, or none of ours at all.
        if not kept.keys() & {"images", "best_epoch"}:
            raise KeyError
    except (AttributeError, KeyError, ValueError):
        raise DamagedFile(
            f"{path} is no checkpoint of a run, or one of an earlier version. {ADVICE}"
        ) from None
    return kept


def write_config(run: Path, config: Config) -> None:
    """Keep the configuration of a run."""
    with write_atomically(run / CONFIG) as unfinished:
        unfinished.write_text(config.to_json(), encoding="utf-8")


def write_epoch(
    run: Path,
    model: Mapping[str, np.ndarray],
    optimizer: Sequence[np.ndarray],
    progress: Progress,
    result: Mapping[str, object],
    identity: str,
) -> None:
    """Keep a run after an epoch.

    Each file is replaced whole, the state last: a run that is killed between two of
    them repeats the epoch.

    Parameters
    ----------
    run : pathlib.Path
        Its folder.
    model : dict of str to numpy.ndarray
        From `start.copy_variables`.
    optimizer : sequence of numpy.ndarray
        The optimiser's variables.
    progress : Progress
        With the row of this epoch.
    result : dict
        What goes into ``result.json``.
    identity : str
        Of the images.
    """
    history = progress.history
    if is_best(history):
        # One file: a number can never be that of other weights.
        described = {KEPT: np.asarray(json.dumps(result)), **model}
        write_arrays_atomically(run / BEST, described)
    with (
        write_atomically(run / "log.csv") as unfinished,
        unfinished.open("w", newline="") as file,
    ):
        # Written anew each time: a line that is appended can be cut short.
        writer = csv.DictWriter(file, list(history[0]))
        writer.writeheader()
        writer.writerows(history)
    with write_atomically(run / RESULT) as unfinished:
        unfinished.write_text(json.dumps(result, indent=1), encoding="utf-8")
    kept = {
        "history": history,
        "origin": progress.origin,
        "classes": result["classes"],
        "images": {"identity": identity, "counts": _count_images(result)},
    }
    # State and history in one file: they cannot be of different epochs.
    arrays: dict[str, np.ndarray] = {KEPT: np.asarray(json.dumps(kept)), **model}
    for number, value in enumerate(optimizer):
        arrays[f"optimizer/{number}"] = value
    write_arrays_atomically(run / STATE, arrays)


def _count_images(result: Mapping[str, object]) -> str:
    train, val = result["train_images"], result["val_images"]
    return f"{train:,} to train and {val:,} to validate"


def read_progress(
    run: Path,
    model: keras.Model,
    optimizer: keras.Optimizer,
    images: Images,
) -> Progress:
    """Put a run's network and optimiser back to the end of its last epoch.

    Parameters
    ----------
    run : pathlib.Path
        Its folder.
    model : keras.Model
        Of the run's configuration; changed in place.
    optimizer : keras.Optimizer
        Built for ``model``; changed in place.
    images : Images
        That the run is to go on with.

    Returns
    -------
    Progress
        Empty where no epoch was finished.

    Raises
    ------
    ValueError
        The run has other classes or images, or its state is damaged.
    """
    path = run / STATE
    if not path.exists():
        return Progress([], None)
    state = read_arrays(path, ADVICE)
    kept = _read_kept(path, state)
    # Their order is that of the classifier's outputs.
    if kept["classes"] != list(images.classes):
        raise ValueError(
            f"{run} holds a run of {len(kept['classes'])} other classes. Choose"
            " another output folder."
        )
    if kept["images"]["identity"] != images.identity:
        raise ValueError(
            f"{run} holds a run on other images, {kept['images']['counts']}: their"
            " names, lengths or classes differ from those now. Give it the same images"
            " (a copy will do), or choose another output folder."
        )
    # Momenta too: without them, the next epoch would be another one.
    for number, variable in enumerate(optimizer.variables):
        variable.assign(state[f"optimizer/{number}"])
    put_variables(model, state, path)
    return Progress(kept["history"], Origin(*kept["origin"]))


def is_best(history: Sequence[Row]) -> bool:
    """Tell whether the last epoch's validation top-1 is above that of all before."""
    # Ties go to the earlier epoch, which was trained less.
    *earlier, last = history
    return all(last["val_top1"] > row["val_top1"] for row in earlier)


def copy_optimizer(optimizer: keras.Optimizer) -> list[np.ndarray]:
    """Copy an optimiser's variables as arrays, in its order."""
    return [keras.ops.convert_to_numpy(variable) for variable in optimizer.variables]


def describe_checkpoint(run: Path) -> str:
    """Say what is left of a run that cannot go on."""
    try:
        state = read_arrays(run / STATE, ADVICE)
        history = _read_kept(run / STATE, state)["history"]
    except FileNotFoundError:
        return "No epoch was finished."
    best = max(history, key=lambda row: row["val_top1"])
    return (
        f"{run / BEST} is kept: validation top-1 {best['val_top1']:.4f} after epoch"
        f" {best['epoch']}. Epochs finished: {len(history)}; the same"
        " command resumes after them."
    )

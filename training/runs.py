"""Read and write the folder of a run.

It holds ``config.json`` (the configuration), ``images.json`` (which images were read,
and which are corrupt), ``state.npz`` (network, optimiser and history after the last
epoch), ``best.npz`` (the network when validation top-1 was highest, with its result),
``log.csv``, ``tensorboard/``, ``curve.png`` and ``result.json``. Commands read the
arrays and the configuration; everything else is for people.
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
from training.start import ADVICE, BEST, Origin, put_variables
from training.stored_files import DamagedFile, read_arrays, read_json

STATE = "state.npz"
CONFIG = "config.json"
RESULT = "result.json"
# Key of the entry that describes the arrays of a checkpoint, as JSON.
DESCRIPTION = "kept"

# A row of the log: one line of log.csv.
Row = dict[str, float]


@dataclass(frozen=True)
class Progress:
    """The progress of a run.

    Attributes
    ----------
    history : list of Row
        The log, one row per finished epoch.
    origin : Origin or None
        Origin of the start weights; None before the first epoch.
    """

    history: list[Row]
    origin: Origin | None


def read_run(run: str | os.PathLike[str]) -> tuple[Config, dict]:
    """Read the configuration and the result of a run with a checkpoint.

    Parameters
    ----------
    run : str or path
        Folder of the run.

    Returns
    -------
    config : Config
        Configuration of the run.
    result : dict
        Content of ``result.json`` after the epoch of the checkpoint.

    Raises
    ------
    FileNotFoundError
        The folder holds no run with a checkpoint.
    ValueError
        A file of the run is damaged.
    """
    run = Path(run)
    if not (run / BEST).is_file():
        raise FileNotFoundError(
            f"{run} holds no run with a checkpoint ({BEST}). Train first."
        )
    # Not from result.json, which may be of another epoch if the run was killed.
    result = _read_description(run / BEST, read_arrays(run / BEST, ADVICE))
    return read_config(run), result


def read_config(run: Path) -> Config:
    """Read the configuration of a run.

    Raises
    ------
    ValueError
        The file is damaged, or from another version; the message names it.
    """
    read_json(run / CONFIG, ("recipe",), ADVICE)
    return Config.read(run / CONFIG)


def _read_description(path: Path, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    try:
        description = json.loads(str(arrays[DESCRIPTION]))
        # The file is from an earlier version, or not a checkpoint at all.
        if not description.keys() & {"images", "best_epoch"}:
            raise KeyError
    except (AttributeError, KeyError, ValueError):
        raise DamagedFile(
            f"{path} is not a checkpoint of a run, or is from an earlier version."
            f" {ADVICE}"
        ) from None
    return description


def write_config(run: Path, config: Config) -> None:
    """Write the configuration of a run."""
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
    """Write the files of a run after an epoch.

    Each file is replaced in one step, the state last: a run that is killed between two
    files repeats the epoch.

    Parameters
    ----------
    run : pathlib.Path
        Folder of the run.
    model : dict of str to numpy.ndarray
        From `start.copy_variables`.
    optimizer : sequence of numpy.ndarray
        The optimiser's variables.
    progress : Progress
        Progress that includes the row of this epoch.
    result : dict
        Content for ``result.json``.
    identity : str
        Identity of the images.
    """
    history = progress.history
    if is_best(history):
        # One file, so that the result always belongs to these weights.
        described = {DESCRIPTION: np.asarray(json.dumps(result)), **model}
        write_arrays_atomically(run / BEST, described)
    with (
        write_atomically(run / "log.csv") as unfinished,
        unfinished.open("w", newline="") as file,
    ):
        # Rewritten each time, because an appended line can be cut short.
        writer = csv.DictWriter(file, list(history[0]))
        writer.writeheader()
        writer.writerows(history)
    with write_atomically(run / RESULT) as unfinished:
        unfinished.write_text(json.dumps(result, indent=1), encoding="utf-8")
    description = {
        "history": history,
        "origin": progress.origin,
        "classes": result["classes"],
        "images": {"identity": identity, "counts": _count_images(result)},
    }
    # State and history in one file, so that they are always of the same epoch.
    arrays: dict[str, np.ndarray] = {
        DESCRIPTION: np.asarray(json.dumps(description)),
        **model,
    }
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
    """Restore a run's network and optimiser to the end of its last epoch.

    Parameters
    ----------
    run : pathlib.Path
        Folder of the run.
    model : keras.Model
        Network of the run's configuration; changed in place.
    optimizer : keras.Optimizer
        Optimiser built for ``model``; changed in place.
    images : Images
        The images with which the run is to continue.

    Returns
    -------
    Progress
        Empty if no epoch was finished.

    Raises
    ------
    ValueError
        The run has other classes or images, or its state is damaged.
    """
    path = run / STATE
    if not path.exists():
        return Progress([], None)
    state = read_arrays(path, ADVICE)
    description = _read_description(path, state)
    # The order of the classes is that of the classifier's outputs.
    if description["classes"] != list(images.classes):
        raise ValueError(
            f"{run} holds a run on {len(description['classes'])} other classes. Choose"
            " another output folder."
        )
    if description["images"]["identity"] != images.identity:
        raise ValueError(
            f"{run} holds a run on other images, {description['images']['counts']}:"
            " names, lengths or classes differ from those of the given images. Give it"
            " the same images (a copy will do), or choose another output folder."
        )
    # The optimiser too: without its momenta, the next epoch would differ.
    for number, variable in enumerate(optimizer.variables):
        variable.assign(state[f"optimizer/{number}"])
    put_variables(model, state, path)
    return Progress(description["history"], Origin(*description["origin"]))


def is_best(history: Sequence[Row]) -> bool:
    """Tell whether the last epoch has the highest validation top-1 so far."""
    # Ties go to the earlier epoch, which was trained less.
    *earlier, last = history
    return all(last["val_top1"] > row["val_top1"] for row in earlier)


def copy_optimizer(optimizer: keras.Optimizer) -> list[np.ndarray]:
    """Copy an optimiser's variables as arrays, in order."""
    return [keras.ops.convert_to_numpy(variable) for variable in optimizer.variables]


def describe_checkpoint(run: Path) -> str:
    """Describe what remains of a run that cannot continue."""
    try:
        state = read_arrays(run / STATE, ADVICE)
        history = _read_description(run / STATE, state)["history"]
    except FileNotFoundError:
        return "No epoch was finished."
    best = max(history, key=lambda row: row["val_top1"])
    return (
        f"{run / BEST} remains: validation top-1 {best['val_top1']:.4f} after epoch"
        f" {best['epoch']}. Epochs finished: {len(history)}; the same"
        " command resumes after them."
    )

"""Train the trials of a search, each in a process of its own.

A process sees one GPU, and starts with a fresh GPU and Keras; its printed output goes
to ``output.txt`` in the trial's folder.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

from stratonet.files.atomic import FolderInUse, write_atomically
from training.config import Config

if TYPE_CHECKING:
    import optuna

    from training.runs import Row


class Pruned(Exception):
    """Raised to end the training of a trial that the search prunes."""


@dataclass(frozen=True)
class Message:
    """A message from the process of a trial.

    Attributes
    ----------
    event : {"epoch", "complete", "pruned", "fail", "end"}
        ``"epoch"``: an epoch was finished, and the process waits to hear whether to
        prune. ``"end"``: the search must end, whatever the parameters.
    row : Row or None
        Row of the log, after an epoch.
    value : float or None
        Best validation top-1 of a complete trial.
    reason : str
        Why the trial was pruned or failed, or why the search must end.
    """

    event: str
    row: Row | None = None
    value: float | None = None
    reason: str = ""


class Worker:
    """Trains one trial at a time.

    Parameters
    ----------
    environment : dict of str to str
        Environment variables of its processes, from `list_environments`.

    Attributes
    ----------
    trial : optuna.Trial or None
        The trial that it is training.
    connection : multiprocessing.connection.Connection
        Connection to the process of the trial.
    died : bool
        Whether a process ended without a message: its GPU may be broken.
    """

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment
        self.trial: optuna.Trial | None = None
        self.died = False

    def begin(
        self, trial: optuna.Trial, config: Config, data: Path, folder: Path
    ) -> None:
        """Train a trial in a new process.

        Parameters
        ----------
        trial : optuna.Trial
            A new trial, or one that was interrupted.
        config : Config
            Configuration with the trial's parameters.
        data : pathlib.Path
            Images, as `trainer.train` takes them.
        folder : pathlib.Path
            Folder of its run.
        """
        # A forked process would lack TensorFlow's threads, and its locks would be held.
        context = multiprocessing.get_context("spawn")
        self.connection, child_connection = context.Pipe()
        self.process = context.Process(
            target=_train_trial,
            args=(child_connection, self.environment, config, data, folder),
            daemon=True,
        )
        self.process.start()
        # Close this process's copy, so that `receive` notices when the process dies.
        child_connection.close()
        self.trial = trial
        self.began = time.monotonic() - trial.user_attrs.get("seconds", 0)

    def receive(self) -> Message:
        """Receive a message from the process, or report that it died."""
        assert self.trial is not None
        try:
            message = self.connection.recv()
        except (EOFError, OSError):
            self.process.join()
            self.died = True
            code = self.process.exitcode
            reason = f"the process died with exit code {code}"
            message = Message("fail", reason=reason)
        seconds = round(time.monotonic() - self.began, 1)
        self.trial.set_user_attr("seconds", seconds)
        return message

    def answer(self, prune: bool) -> None:
        """Tell the process whether to prune its trial."""
        with contextlib.suppress(OSError):  # it has died, which `receive` will report
            self.connection.send(prune)

    def end(self) -> None:
        """Wait until the process has ended."""
        self.process.join()
        self.trial = None

    def stop(self) -> None:
        """End the process immediately; its run can be resumed."""
        self.process.terminate()
        self.end()


def list_environments(workers: int | None) -> list[dict[str, str]]:
    """List the environment of each worker: the GPU it sees, or how many cores it uses.

    Parameters
    ----------
    workers : int, optional
        Default: one for each GPU, or one. More workers share the GPUs, or the cores if
        there are no GPUs.

    Returns
    -------
    list of dict of str to str

    Raises
    ------
    ValueError
        ``workers`` is below 1.
    """
    gpus = _list_gpus()
    if workers is None:
        workers = max(1, len(gpus))
    if workers < 1:
        raise ValueError(f"workers must be at least 1. Received: {workers}")
    if not gpus:
        # Otherwise TensorFlow would use all cores in each process.
        threads = str(max(1, len(os.sched_getaffinity(0)) // workers))
        environment = {"OMP_NUM_THREADS": threads, "TF_NUM_INTRAOP_THREADS": threads}
        return [environment] * workers
    # By default, TensorFlow takes all the memory of a GPU.
    shared = {"TF_FORCE_GPU_ALLOW_GROWTH": "true"} if workers > len(gpus) else {}
    return [
        {"CUDA_VISIBLE_DEVICES": gpus[number % len(gpus)], **shared}
        for number in range(workers)
    ]


def _list_gpus() -> list[str]:
    """List the GPUs as CUDA_VISIBLE_DEVICES names them.

    TensorFlow is not asked, because it would take memory of the GPUs.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name for name in visible.split(",") if name not in ("", "-1")]
    command = ["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"]
    try:
        output = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return []
    return output.stdout.split()


def _train_trial(
    connection: Connection,
    environment: dict[str, str],
    config: Config,
    data: Path,
    folder: Path,
) -> None:
    """Train a trial and send its messages; this runs in the trial's process."""
    # Set before TensorFlow is imported, which reads them.
    os.environ.update(environment, TQDM_MININTERVAL="30")
    # A keyboard interrupt reaches all processes, but the search ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # If the folder exists, the run in it is resumed.
    folder.mkdir(exist_ok=True)
    _redirect_output(folder / "output.txt")
    _copy_checked(folder)
    from tqdm import tqdm

    # tqdm's default lock is a semaphore that remains when this process is killed.
    tqdm.set_lock(threading.RLock())
    connection.send(_run_trial(connection, config, data, folder))


def _run_trial(
    connection: Connection, config: Config, data: Path, folder: Path
) -> Message:
    from tensorflow.errors import ResourceExhaustedError

    from training.trainer import TrainingStopped, train

    def send_row(row: Row) -> None:
        connection.send(Message("epoch", row=row))
        if connection.recv():
            raise Pruned

    try:
        result = train(config, data, folder, on_epoch=send_row)
        return Message("complete", value=result["val_top1"])
    except Pruned:
        return Message("pruned", reason="below the median of the earlier trials")
    except ResourceExhaustedError:
        traceback.print_exc()
        return Message("fail", reason="out of memory, see output.txt")
    except (TrainingStopped, FolderInUse, ValueError) as error:
        traceback.print_exc()
        # The disk is full or images cannot be read: other parameters would not help.
        if isinstance(error.__cause__, OSError):
            return Message("end", reason=str(error))
        first_line, _, _ = str(error).partition("\n")
        return Message("fail", reason=first_line)


def _end_with_parent() -> None:
    """End this process when the search is killed: its result would not be used."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _redirect_output(path: Path) -> None:
    # TensorFlow prints from C++, so the file descriptors themselves are redirected.
    with open(path, "a") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr] # a text file


def _copy_checked(folder: Path) -> None:
    """Copy the list of corrupt images from another trial, to read them only once."""
    checked = next(folder.parent.glob("trial-*/images.json"), None)
    if checked is None or (folder / checked.name).exists():
        return
    with write_atomically(folder / checked.name) as unfinished:
        shutil.copyfile(checked, unfinished)

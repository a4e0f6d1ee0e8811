"""Runs: their folders, and how they are started, watched and stopped.

A run is stored in its output folder::

    _app/run.json       the choices, and how many wells there are
    _app/state.json     what its process is doing, written by the process
    _app/stop           exists when the run is to stop
    _app/*.log          the output of the commands
    features/           from ``stratonet extract``
    report/             from ``stratonet evaluate``

A run can be opened by its folder, whichever server has started it.
"""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import psutil

from stratonet.files.atomic import FolderInUse, lock_folder, write_atomically
from stratonet_app.choices import (
    FEATURES,
    REPORT,
    Choices,
    write_evaluate_arguments,
    write_extract_arguments,
)

PRIVATE = "_app"
# Steps of a run. The first two are names of commands, too.
EXTRACT, EVALUATE = "extract", "evaluate"
FINISHED, FAILED, STOPPED, KILLED, NEW = (
    "finished",
    "failed",
    "stopped",
    "killed",
    "new",
)
WORKING = (EXTRACT, EVALUATE)
STATE, CHOICES, STOP = "state.json", "run.json", "stop"
# On Windows, these let a process outlive the one that starts it. Elsewhere it needs a
# session of its own.
DETACHED: int = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0) | getattr(
    subprocess, "DETACHED_PROCESS", 0
)
# How long to wait until a new process has written its state.
SECONDS_TO_BEGIN = 30.0


@dataclass(frozen=True)
class State:
    """What the process of a run has last written about itself.

    Attributes
    ----------
    step : str
        A command, or how the run has ended.
    process : int
        Number of the process; 0 for none.
    created : float
        When the process began, because numbers of processes are reused.
    machine : str
        On which it runs.
    began : float
        When the step began, in seconds since 1970.
    wells_before : int
        Number of wells measured before the step began.
    command : str
        Which command has failed; "" for none.
    status : int
        Its exit status.
    incomplete : bool
        Some images could not be measured, or files were skipped.
    command_process, command_created : int, float
        As ``process`` and ``created``, for the command that the process has started:
        it goes on if only the process is killed.
    """

    step: str = NEW
    process: int = 0
    created: float = 0
    machine: str = ""
    began: float = 0
    wells_before: int = 0
    command: str = ""
    status: int = 0
    incomplete: bool = False
    command_process: int = 0
    command_created: float = 0


@dataclass(frozen=True)
class Run:
    """A run in its folder.

    Attributes
    ----------
    folder : pathlib.Path
        Absolute.
    choices : Choices
        What is measured, and how it is evaluated.
    n_wells : int
        In all, on all plates.
    """

    folder: Path
    choices: Choices
    n_wells: int

    @property
    def private(self) -> Path:
        """The folder through which page and process communicate."""
        return self.folder / PRIVATE

    @property
    def features(self) -> Path:
        """Where features are written."""
        return self.folder / FEATURES

    @property
    def report(self) -> Path:
        """The page of the report, which may not exist yet."""
        return self.folder / REPORT / "report.html"

    @property
    def commands(self) -> dict[str, list[str]]:
        """The arguments of ``stratonet`` in the order of the run."""
        return {
            EXTRACT: write_extract_arguments(self.choices, self.folder),
            EVALUATE: write_evaluate_arguments(self.choices, self.folder),
        }

    def locate_log(self, command: str) -> Path:
        """Return the path of a command's log."""
        return self.private / f"{command}.log"

    def read_state(self) -> State:
        """Read what the run is doing, or how it has ended."""
        state = _read_written_state(self.private / STATE)
        if state.step in WORKING and not _is_at_work(state):
            was_asked = (self.private / STOP).exists()
            return replace(state, step=STOPPED if was_asked else KILLED)
        return state

    def refuse_second(self) -> None:
        """Refuse to run beside a command whose parent process was killed.

        Raises
        ------
        FolderInUse
            The run is at work, although no process holds its lock.
        """
        state = self.read_state()
        if state.step in WORKING:
            raise FolderInUse(
                f"The run in {self.folder} is at work (process"
                f" {state.command_process}). Wait for it to finish, or stop it."
            )

    def write_state(self, state: State) -> None:
        """Write what the run is doing, for its page to read."""
        _write_json(self.private / STATE, asdict(state))


def find_run(folder: Path) -> Run | None:
    """Find the run in a folder.

    Parameters
    ----------
    folder : pathlib.Path
        Any folder.

    Returns
    -------
    Run or None
        None if there is none.

    Raises
    ------
    ValueError
        Its file is damaged, or of a later version.
    """
    path = folder / PRIVATE / CHOICES
    if not path.is_file():
        return None
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        choices = Choices.from_json(values["choices"])
        return Run(folder.resolve(), choices, int(values["wells"]))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} cannot be read ({type(error).__name__}: {error}). It is damaged,"
            " or was written by another version. The features beside it are not"
            " affected; choose another folder for a new run."
        ) from None


def list_runs(folder: Path) -> list[Run]:
    """List the runs in the subfolders of a folder, by name."""
    runs = []
    for path in sorted(folder.glob(f"*/{PRIVATE}/{CHOICES}")):
        try:
            run = find_run(path.parent.parent)
        except (OSError, ValueError):
            continue
        if run is not None:
            runs.append(run)
    return runs


def prepare_run(folder: Path, choices: Choices, n_wells: int) -> Run:
    """Make the folder of a run, or reuse the run that is in it.

    Parameters
    ----------
    folder : pathlib.Path
        Absolute.
    choices : Choices
        They may differ from those of an existing run only in what is evaluated.
    n_wells : int
        In all.

    Returns
    -------
    Run

    Raises
    ------
    FolderInUse
        The run is at work.
    OSError
        The folder cannot be written to.
    ValueError
        It holds other files or a run with other features, or lies among the images.
    """
    check_output(folder, choices)
    private = folder / PRIVATE
    try:
        private.mkdir(parents=True, exist_ok=True)
        with lock_folder(private):
            existing = find_run(folder)
            if existing is not None:
                existing.refuse_second()
                _check_same_features(existing, choices)
            values = {"choices": choices.to_json(), "wells": n_wells}
            _write_json(private / CHOICES, values)
    except OSError as error:
        reason = error.strerror or error
        raise OSError(
            f"{folder} cannot be written to ({reason}). Choose another folder."
        ) from None
    return Run(folder.resolve(), choices, n_wells)


def check_output(folder: Path, choices: Choices) -> None:
    """Refuse a folder that holds other files, or lies among the images."""
    source = Path(choices.source).resolve()
    if source.is_dir() and folder.resolve().is_relative_to(source):
        raise ValueError(
            f"{folder} is in the folder of the images, where figures would be taken for"
            " images. Choose a folder beside it."
        )
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file. Choose a folder.")
    # A folder whose making was interrupted holds only our own files.
    names = {path.name for path in folder.iterdir()} if folder.exists() else set()
    if names - {PRIVATE} and not (folder / PRIVATE / CHOICES).is_file():
        raise ValueError(
            f"{folder} holds other files. Choose a new or an empty folder, or one of a"
            " run that was started here."
        )


def _check_same_features(run: Run, choices: Choices) -> None:
    differing = run.choices.list_differences(choices)
    if differing:
        raise ValueError(
            f"{run.folder} holds a run of {run.choices.source}, with another"
            f" {', '.join(differing)}. Choose another folder, or open that run on the"
            " first page to go on with it."
        )


def start_run(run: Run) -> None:
    """Start the process of a run, unless it is at work.

    Parameters
    ----------
    run : Run
        A run whose folder is prepared.

    Raises
    ------
    RuntimeError
        The process did not begin; the message holds its output.
    """
    if run.read_state().step in WORKING:
        return
    (run.private / STOP).unlink(missing_ok=True)
    with open(run.locate_log("worker"), "w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "stratonet_app.worker", str(run.folder)],
            # Python would import modules from the current folder, so it must be ours.
            cwd=run.private,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            creationflags=DETACHED,
        )
    _children.append(process)
    deadline = time.monotonic() + SECONDS_TO_BEGIN
    # If two are started at once, only one gets the folder.
    while run.read_state().step not in WORKING:
        has_begun = _read_written_state(run.private / STATE).process == process.pid
        if has_begun:
            return
        if process.poll() is not None or time.monotonic() > deadline:
            output = run.locate_log("worker").read_text(errors="replace").strip()
            raise RuntimeError(f"The run could not be started. {output}")
        time.sleep(0.05)


# Kept so that processes that have ended do not remain as zombies.
_children: list[subprocess.Popen[bytes]] = []


def ask_to_stop(run: Run) -> None:
    """Ask the process of a run to stop; it does so within moments."""
    (run.private / STOP).touch()
    state = run.read_state()
    is_alone = not _is_alive(state.process, state.created)
    # Neither is found if the run is on another machine.
    if is_alone and _is_alive(state.command_process, state.command_created):
        interrupt(psutil.Process(state.command_process))


def interrupt(process: psutil.Process) -> None:
    """End a command as Ctrl-C does."""
    with suppress(psutil.NoSuchProcess):
        if os.name == "posix":
            process.send_signal(signal.SIGINT)
        else:
            process.terminate()


def _read_written_state(path: Path) -> State:
    try:
        return State(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, TypeError, ValueError):
        return State()


def _is_at_work(state: State) -> bool:
    # On another machine that shares the disk, it may be at work: this cannot be told.
    if state.machine != platform.node():
        return True
    return _is_alive(state.process, state.created) or _is_alive(
        state.command_process, state.command_created
    )


def _is_alive(number: int, created: float) -> bool:
    try:
        process = psutil.Process(number)
        is_same = abs(process.create_time() - created) < 1
        return is_same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _write_json(path: Path, values: object) -> None:
    with write_atomically(path) as unfinished:
        unfinished.write_text(json.dumps(values, indent=1), encoding="utf-8")

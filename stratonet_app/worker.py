"""The process of a run: ``python -m stratonet_app.worker FOLDER``.

It runs the two commands, one after the other, each in a process of its own, and writes
what it is doing into the folder. Nothing has to wait for it.
"""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import psutil

from stratonet.extraction.progress import count_measured_wells
from stratonet.files.atomic import FolderInUse, lock_folder
from stratonet_app.runs import (
    FAILED,
    FINISHED,
    STOP,
    STOPPED,
    WORKING,
    Run,
    State,
    find_run,
    interrupt,
)

# Exit status of commands that have finished: completely, or without some images.
COMPLETE, INCOMPLETE = 0, 3
# A command that is interrupted finishes the wells that it has begun.
SECONDS_TO_STOP = 30.0
# Seconds between two looks at the folder.
PERIOD = 0.2
# A server that prepares a run locks the folder for a moment.
SECONDS_TO_LOCK = 10.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the commands of the run in a folder.

    Parameters
    ----------
    arguments : sequence of str, optional
        The folder. Default: the arguments of the process.

    Returns
    -------
    int
        1 if there is no run in the folder, or it is already at work; otherwise 0.
    """
    (folder,) = sys.argv[1:] if arguments is None else arguments
    _restore_interrupts()
    run = find_run(Path(folder))
    if run is None:
        print(f"There is no run in {folder}.", file=sys.stderr)
        return 1
    try:
        with _wait_for_lock(run):
            _run_commands(run)
    except FolderInUse as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _restore_interrupts() -> None:
    # A server that was started by nohup or in the background ignores SIGINT, and so
    # would the commands, which are interrupted by it.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def _wait_for_lock(run: Run) -> Iterator[None]:
    deadline = time.monotonic() + SECONDS_TO_LOCK
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(lock_folder(run.private))
                run.refuse_second()
                break
            except FolderInUse:
                is_at_work = run.read_state().step in WORKING
                if is_at_work or time.monotonic() > deadline:
                    raise
                time.sleep(PERIOD)
        yield


def _run_commands(run: Run) -> None:
    state = State(
        process=os.getpid(),
        created=psutil.Process().create_time(),
        machine=platform.node(),
    )
    for name, arguments in run.commands.items():
        state = replace(
            state,
            step=name,
            began=time.time(),
            wells_before=count_measured_wells(run.features),
        )
        with start_command(arguments, run.locate_log(name)) as command:
            created = _read_created(command.pid)
            run.write_state(
                replace(state, command_process=command.pid, command_created=created)
            )
            status = wait_for_command(command, run.private / STOP)
        if (run.private / STOP).exists():
            run.write_state(replace(state, step=STOPPED))
            return
        if status not in (COMPLETE, INCOMPLETE):
            run.write_state(replace(state, step=FAILED, command=name, status=status))
            return
        incomplete = state.incomplete or status == INCOMPLETE
        state = replace(state, incomplete=incomplete)
    run.write_state(replace(state, step=FINISHED))


def start_command(arguments: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    """Start ``stratonet`` in a process of its own.

    Parameters
    ----------
    arguments : sequence of str
        Its arguments.
    log : pathlib.Path
        Where it writes its output, replacing that of an earlier command.

    Returns
    -------
    subprocess.Popen
    """
    # The progress bar is meant for terminals: few updates keep the file small.
    environment = {
        **os.environ,
        "PYTHONIOENCODING": "utf-8",
        "TQDM_MININTERVAL": "2",
    }
    with open(log, "w") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "stratonet_cli", *arguments],
            cwd=log.parent,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
        )


def _read_created(process: int) -> float:
    try:
        return psutil.Process(process).create_time()
    except psutil.Error:
        # It has ended already.
        return 0


def wait_for_command(command: subprocess.Popen[bytes], stop: Path) -> int:
    """Wait until a command has ended.

    Parameters
    ----------
    command : subprocess.Popen
        From `start_command`.
    stop : pathlib.Path
        The command is interrupted as soon as this file exists.

    Returns
    -------
    int
        Its exit status; negative if a signal ended it.
    """
    while True:
        with suppress(subprocess.TimeoutExpired):
            return command.wait(PERIOD)
        if stop.exists():
            return _interrupt(command)


def _interrupt(process: subprocess.Popen[bytes]) -> int:
    """End a command as Ctrl-C does; if that takes too long, kill it."""
    parent = psutil.Process(process.pid)
    family = parent.children(recursive=True)
    interrupt(parent)
    try:
        status = process.wait(SECONDS_TO_STOP)
    except subprocess.TimeoutExpired:
        # Nothing is lost: what is measured is written completely or not at all.
        process.kill()
        status = process.wait()
    for member in family:
        with suppress(psutil.Error):
            member.kill()
    return status


if __name__ == "__main__":
    sys.exit(main())

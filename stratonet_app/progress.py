"""How far a run is, in words and numbers, and the output of its commands."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stratonet.extraction.progress import count_measured_wells
from stratonet.messages import count_things
from stratonet_app.runs import (
    EVALUATE,
    EXTRACT,
    FAILED,
    FINISHED,
    KILLED,
    NEW,
    STOPPED,
    WORKING,
    Run,
    State,
)

# Only the end of a log is shown.
LOG_BYTES = 60_000
MINUTE, HOUR = 60, 3600

_HEADINGS: Mapping[str, str] = {
    NEW: "Not started",
    EXTRACT: "Measuring the images",
    EVALUATE: "Making the report",
    FINISHED: "Finished",
    FAILED: "Failed",
    STOPPED: "Stopped",
    KILLED: "Ended unexpectedly",
}


@dataclass(frozen=True)
class Progress:
    """What the page of a run shows.

    Attributes
    ----------
    step : str
        As `State.step`.
    heading, text : str
        What it is doing, and what that means or what to do.
    n_done, n_wells : int
        Number of measured wells, and of all wells.
    log : str
        Output of the command that is running, or ran last.
    is_working, is_stopping, has_report, is_incomplete : bool
        Decide what the page offers.
    """

    step: str
    heading: str
    text: str
    n_done: int
    n_wells: int
    log: str
    is_working: bool
    is_stopping: bool
    has_report: bool
    is_incomplete: bool


def read_progress(run: Run, now: float | None = None) -> Progress:
    """Read how far a run is.

    Parameters
    ----------
    run : Run
        Any run.
    now : float, optional
        Seconds since 1970. Default: now.

    Returns
    -------
    Progress
    """
    state = run.read_state()
    n_done = min(count_measured_wells(run.features), run.n_wells)
    is_working = state.step in WORKING
    is_stopping = is_working and (run.private / "stop").exists()
    text = "It stops when the wells in progress are measured." if is_stopping else ""
    return Progress(
        step=state.step,
        heading=_HEADINGS[state.step],
        text=text or _explain(run, state, n_done, time.time() if now is None else now),
        n_done=n_done,
        n_wells=run.n_wells,
        log=_read_last_log(run, state),
        is_working=is_working,
        is_stopping=is_stopping,
        has_report=run.report.is_file(),
        is_incomplete=state.incomplete,
    )


def _explain(run: Run, state: State, n_done: int, now: float) -> str:
    if state.step == EXTRACT:
        return _word_rate(run, state, n_done, now)
    if state.step == EVALUATE:
        return "All wells are measured. This takes seconds to minutes."
    return {
        NEW: "Nothing has been measured yet.",
        FINISHED: "All wells are measured, and the report is ready.",
        FAILED: _explain_failure(state),
        STOPPED: "What was measured is kept. Resume measures the rest.",
        KILLED: (
            "Its process ended without a message: it was killed, or the machine was"
            " switched off. What was measured is kept. Resume measures the rest."
        ),
    }[state.step]


def _word_rate(run: Run, state: State, n_done: int, now: float) -> str:
    n_new = n_done - state.wells_before
    seconds = now - state.began
    elapsed = f"At work for {describe_seconds(seconds)}"
    if n_new <= 0:
        return f"{elapsed}. The time left can be estimated after the first wells."
    seconds_left = (run.n_wells - n_done) * seconds / n_new
    return f"{elapsed}, about {describe_seconds(seconds_left)} left."


def _explain_failure(state: State) -> str:
    command = f"stratonet {state.command}"
    if state.status < 0:
        return (
            f"{command} was ended by the system (signal {-state.status}). Perhaps"
            " memory ran out: close other programs, and resume. What was measured is"
            " kept."
        )
    return (
        f"{command} stopped with the message below (exit status {state.status}), which"
        " says what to do. What was measured is kept. Resume runs the same commands"
        " again; controls and plate map can be changed first."
    )


def describe_seconds(seconds: float) -> str:
    """Write a duration as people say it.

    Examples
    --------
    >>> describe_seconds(7), describe_seconds(95), describe_seconds(8000)
    ('7 seconds', '2 minutes', '2 hours 13 minutes')
    """
    if seconds < MINUTE:
        return count_things(max(1, round(seconds)), "second")
    minutes = round(seconds / MINUTE)
    if minutes < 60:
        return count_things(minutes, "minute")
    hours, minutes = divmod(minutes, 60)
    minutes_text = f" {count_things(minutes, 'minute')}" if minutes else ""
    return count_things(hours, "hour") + minutes_text


def _read_last_log(run: Run, state: State) -> str:
    command = state.command or state.step
    # If no command is running or has failed, the logs of all are shown.
    every = [EXTRACT, EVALUATE, "worker"]
    names = [command] if command in (EXTRACT, EVALUATE) else every
    texts = [read_log(run.locate_log(name)) for name in names]
    return "\n".join(text for text in texts if text)


def read_log(path: Path) -> str:
    r"""Read the end of the output of a command.

    Parameters
    ----------
    path : pathlib.Path
        It may be missing.

    Returns
    -------
    str
        Of a progress bar, only what a terminal would show last.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "extract.log")
    ...     _ = path.write_text("\r 0%\r 50%\nDone\n")
    ...     read_log(path)
    ' 50%\nDone'
    """
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.path.getsize(path) - LOG_BYTES))
            content = file.read()
    except OSError:
        return ""
    lines = content.decode("utf-8", "replace").split("\n")
    shown = [line.rstrip("\r").rpartition("\r")[2] for line in lines]
    return "\n".join(shown).rstrip()

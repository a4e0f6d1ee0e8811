"""Recognise a finished run by the last line of its log.

The line says which run it was, which files it wrote, and which measurements they lack.
The log is the only file added to what a single CellProfiler process would write.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cellprofiler_plugin import headless
from stratonet.files.atomic import move_file

if TYPE_CHECKING:
    from cellprofiler_plugin.batch_plan import BatchPlan

MARK = "stratonet run-cellprofiler has finished: "
# The last line of a log is searched for in this many bytes at its end.
LONGEST_LINE = 2**24


def list_files(parts: Sequence[Path], output: Path) -> list[Path]:
    """List the paths that the files of the parts will have when they are merged.

    Parameters
    ----------
    parts : sequence of pathlib.Path
        The folders of the parts.
    output : pathlib.Path
        The folder into which they are merged.
    """
    names = {
        path.relative_to(part)
        for part in parts
        for path in part.rglob("*")
        if path.is_file()
    }
    return [output / name for name in sorted(names)]


def write_log(
    plan: BatchPlan, logs: Sequence[Path], files: Sequence[Path], lacking: list[str]
) -> None:
    """Write the log of a finished run: the logs of its parts, and the last line.

    Parameters
    ----------
    plan : BatchPlan
        The plan of the run.
    logs : sequence of pathlib.Path
        The logs of the parts. Those that do not exist are skipped: a scheduler may
        have kept them elsewhere.
    files : sequence of pathlib.Path
        The files that the run has written.
    lacking : list of str
        Which image sets lack measurements, and why.
    """
    sizes = {
        str(path.relative_to(plan.output)): path.stat().st_size
        for path in files
        if path.exists()
    }
    line = {"run": _digest(plan), "lacking": lacking, "files": sizes}
    texts = [
        log.read_text(encoding="utf-8", errors="replace")
        for log in logs
        if log.exists()
    ]
    # Beside the parts, because what a killed process leaves there is removed later.
    unfinished = plan.folder / headless.LOG
    text = "".join([*texts, f"{MARK}{json.dumps(line)}\n"])
    unfinished.write_text(text, encoding="utf-8")
    move_file(unfinished, plan.output / headless.LOG)


def find_lacking(plan: BatchPlan) -> list[str] | None:
    """Find out whether a run has finished and its files are unchanged.

    Parameters
    ----------
    plan : BatchPlan
        The plan of the run.

    Returns
    -------
    list of str, optional
        What its image sets lack. None if the run has not finished, or if a file that it
        wrote or read has changed since.
    """
    line = _read_last_line(plan.output / headless.LOG)
    if line.get("run") != _digest(plan):
        return None
    for name, size in line["files"].items():
        path = plan.output / name
        if not path.is_file() or path.stat().st_size != size:
            return None
    lacking: list[str] = line["lacking"]
    return lacking


def _read_last_line(log: Path) -> dict[str, Any]:
    try:
        with open(log, "rb") as file:
            file.seek(max(0, log.stat().st_size - LONGEST_LINE))
            line = file.read().decode(errors="replace").rstrip("\n").rpartition("\n")[2]
        if line.startswith(MARK):
            content: dict[str, Any] = json.loads(line[len(MARK) :])
            return content
    except (OSError, ValueError):
        pass
    return {}


def _digest(plan: BatchPlan) -> str:
    """Digest the run, the files it reads, and whether it goes on after errors."""
    words = [plan.run.digest, str(plan.options.always_continue)]
    words += [state for *_, state in plan.run.image_sets]
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:16]

"""How a run that is finished is known again: by the last line of its log.

The line says which run it was, which files it has written, and what they lack. No other
file is added to what a single process of CellProfiler would write.
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
# Bytes from the end of a log in which its last line is looked for.
LONGEST = 2**24


def list_files(parts: Sequence[Path], output: Path) -> list[Path]:
    """List where the files of parts will lie when they are merged.

    Parameters
    ----------
    parts : sequence of pathlib.Path
        Their folders.
    output : pathlib.Path
        The folder that they are merged into.
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
    """Write the log of a run that is finished: those of its parts, and the last line.

    Parameters
    ----------
    plan : BatchPlan
        Of the run.
    logs : sequence of pathlib.Path
        Of the parts; a scheduler may have kept some elsewhere.
    files : sequence of pathlib.Path
        What the run has written.
    lacking : list of str
        What its image sets lack.
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
    # Beside the parts: what a process that is killed leaves there is removed.
    unfinished = plan.folder / headless.LOG
    words = "".join([*texts, f"{MARK}{json.dumps(line)}\n"])
    unfinished.write_text(words, encoding="utf-8")
    move_file(unfinished, plan.output / headless.LOG)


def find(plan: BatchPlan) -> list[str] | None:
    """Find out whether a run is finished already, and nothing of it has changed.

    Parameters
    ----------
    plan : BatchPlan
        Of the run.

    Returns
    -------
    list of str, optional
        What its image sets lack; None if it is not finished, if a file that it has
        written is not as it was, or one that it has read.
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
            file.seek(max(0, log.stat().st_size - LONGEST))
            line = file.read().decode(errors="replace").rstrip("\n").rpartition("\n")[2]
        if line.startswith(MARK):
            content: dict[str, Any] = json.loads(line[len(MARK) :])
            return content
    except (OSError, ValueError):
        pass
    return {}


def _digest(plan: BatchPlan) -> str:
    """Of the run, of the files that it reads, and whether it goes on after errors."""
    words = [plan.run.digest, str(plan.options.always_continue)]
    words += [state for *_, state in plan.run.image_sets]
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:16]

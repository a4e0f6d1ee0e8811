"""A part of a run: consecutive image sets, measured by one CellProfiler process.

This tells how far a part has come, and what it lacks to be complete.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from glob import escape as escape_pattern
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from cellprofiler_plugin.merge import find_merger
from stratonet.messages import shorten_list

if TYPE_CHECKING:
    from cellprofiler_plugin.batch_plan import RunPlan

# The name of a part's folder: its first and last image set.
FOLDER_NAME = re.compile(r"(\d+)-(\d+)")


@dataclass
class Report:
    """What became of each image set of a part, as reported by its process.

    Attributes
    ----------
    begun : list of int
        Numbers of the image sets that were begun, in order. There may be fewer than
        were requested: a process ends when it has run long enough.
    states : list of str
        Digests of the sizes and dates of their files, see `image_sets`.
    skipped, failed : list of [int, str]
        Numbers of image sets that did not come to the end of the pipeline, and the
        module: those skipped by a module such as FlagImage, and those with an error.
    damaged : list of [int, str]
        Numbers of image sets with an image that MeasureStratoFeatures could not
        measure, and why.
    thresholds : list of dict
        See `aggregates`.
    starting : float
        Seconds from the start of the process to the first image set.
    error : str
        Why nothing was measured; empty if there was no such error.
    """

    begun: list[int] = field(default_factory=list)
    states: list[str] = field(default_factory=list)
    skipped: list[list[Any]] = field(default_factory=list)
    failed: list[list[Any]] = field(default_factory=list)
    damaged: list[list[Any]] = field(default_factory=list)
    thresholds: list[dict[str, Any]] = field(default_factory=list)
    starting: float = 0.0
    error: str = ""

    @property
    def measured(self) -> list[int]:
        """Numbers of the image sets that came to the end of the pipeline."""
        stopped = {number for number, _ in [*self.skipped, *self.failed]}
        return [number for number in self.begun if number not in stopped]


@dataclass
class Part:
    """Consecutive image sets, run by one process.

    Attributes
    ----------
    first, last : int
        Numbers of the first and last image set, both included. The process may end
        before it reaches the last.
    folder : pathlib.Path
        CellProfiler's default output folder. Beside it are its ``.log``, its ``.pid``
        and, when CellProfiler has ended, its ``.report`` and its ``.done``.
    tries : int
        How often the part was started.
    process : psutil.Popen, optional
        The process that was started last.
    read_bytes : int
        How much of the log `count_new_image_sets` has read.
    finished : int
        Number of image sets that have passed the last module.
    """

    first: int
    last: int
    folder: Path
    tries: int = 0
    process: psutil.Popen | None = None
    read_bytes: int = 0
    finished: int = 0

    def __str__(self) -> str:
        if self.first == self.last:
            return f"Image set {self.first}"
        return f"Image sets {self.first} to {self.last}"

    def get_path(self, suffix: str) -> Path:
        """Return the path of a file beside the folder.

        Parameters
        ----------
        suffix : str
            ``log``, ``pid``, ``report`` or ``done``.
        """
        return self.folder.with_name(f"{self.folder.name}.{suffix}")

    def remove_files(self) -> None:
        """Remove the files of earlier tries, which would pass for those of the next."""
        for suffix in ("log", "pid", "report", "done"):
            self.get_path(suffix).unlink(missing_ok=True)
        vars(self).pop("report", None)
        self.read_bytes = self.finished = 0

    def has_ended(self) -> bool:
        """Whether its process has ended, successfully or not."""
        return self.process is not None and self.process.poll() is not None

    def count_new_image_sets(self, last_module: int) -> int:
        """Count image sets that have passed the last module since the previous call.

        Parameters
        ----------
        last_module : int
            Number of the last module in the pipeline.
        """
        with open(self.get_path("log"), "rb") as log:
            # Only what is new, because this is called several times per second.
            log.seek(self.read_bytes)
            # The last line may be only half written.
            lines, _, _ = log.read().rpartition(b"\n")
        self.read_bytes += len(lines)
        pattern = rb"Image # \d+, module \S+ # %d:" % last_module
        count = len(re.findall(pattern, lines))
        self.finished += count
        return count

    @cached_property
    def report(self) -> Report:
        """What became of its image sets; empty if there is no report."""
        try:
            return Report(**json.loads(self.get_path("report").read_text()))
        except (OSError, ValueError, TypeError):
            return Report()

    def find_fault(self, plan: RunPlan, always_continue: bool = False) -> str:
        """Find what the part lacks to be complete.

        Neither CellProfiler's exit status nor its done file is enough: both report
        success even when a plug-in could not be loaded.

        Parameters
        ----------
        plan : RunPlan
            The plan of the run that the part belongs to.
        always_continue : bool
            Whether image sets with an error may be left out.

        Returns
        -------
        str
            The end of a sentence that begins with "CellProfiler"; empty if the part is
            complete.
        """
        if self.report.error:
            return self.report.error
        done_path = self.get_path("done")
        if not done_path.exists():
            return "did not finish"
        if done_path.read_text().strip() != "Complete":
            return "ended with an error"
        return next(self._list_faults(plan, always_continue), "")

    def _list_faults(self, plan: RunPlan, always_continue: bool) -> Iterator[str]:
        report = self.report
        numbers = [
            number
            for number, *_ in plan.image_sets
            if self.first <= number <= self.last
        ]
        if not report.begun or report.begun != numbers[: len(report.begun)]:
            yield f"measured other image sets: {shorten_list(report.begun) or 'none'}"
        failed = [number for number, _ in report.failed]
        if failed and not always_continue:
            yield f"left out image sets with errors: {shorten_list(failed)}"
        missing = self._list_missing_files(plan)
        # If no image set of a part reached the exports, it has nothing to write.
        if missing and report.measured:
            yield f"did not write {', '.join(missing)}"

    def has_changed_files(self, plan: RunPlan) -> bool:
        """Whether a measured file has changed between measuring and planning this run.

        Parameters
        ----------
        plan : RunPlan
            The plan of the run that might reuse this part.
        """
        current_states = {number: state for number, _, _, state in plan.image_sets}
        measured_states = dict(zip(self.report.begun, self.report.states))
        return any(
            current_states.get(number) != state
            for number, state in measured_states.items()
        )

    def _list_missing_files(self, plan: RunPlan) -> list[str]:
        missing = [
            name
            for name in plan.writes
            if not any(self.folder.rglob(escape_pattern(name)))
        ]
        files = (path for path in self.folder.rglob("*") if path.is_file())
        if plan.writes_tables and not any(map(find_merger, files)):
            missing.append("the tables of ExportToSpreadsheet")
        return missing


def find_parts(folder: Path) -> list[Part]:
    """Find the parts left by earlier runs and jobs, complete or not.

    Parameters
    ----------
    folder : pathlib.Path
        The folder of the parts.

    Returns
    -------
    list of Part
        Sorted by their first image set; of two with the same one, the longer first.
    """
    matches = (FOLDER_NAME.fullmatch(path.name) for path in folder.iterdir())
    parts = [
        Part(int(match[1]), int(match[2]), folder / match[0])
        for match in matches
        if match
    ]
    return sorted(parts, key=lambda part: (part.first, -part.last))

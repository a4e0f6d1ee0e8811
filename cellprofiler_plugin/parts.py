"""A part of a run: consecutive image sets, measured by one CellProfiler process.

How far it is, and what a part that has run lacks to be complete.
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

# Names of the folders of parts.
FOLDER = re.compile(r"(\d+)-(\d+)")


@dataclass
class Report:
    """What became of each image set of a part, as its process has written it.

    Attributes
    ----------
    begun : list of int
        Numbers of the image sets, in their order. There may be fewer than were asked
        for: a process ends when it has run long enough.
    states : list of str
        What `image_sets` tells of their files.
    skipped, failed : list of [int, str]
        Numbers of image sets that did not come to the end of the pipeline: those that a
        module such as FlagImage has left out, and those with an error; and the module.
    damaged : list of [int, str]
        Numbers of image sets with an image that MeasureStratoFeatures could not
        measure, and why.
    thresholds : list of dict
        See `aggregates`.
    starting : float
        Seconds from the start of the process to the first image set.
    error : str
        Why nothing was measured.
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
        Numbers of image sets, both in the part; it may end before it comes to the last.
    folder : pathlib.Path
        CellProfiler's default output folder. Beside it lie its ``.log``, its ``.pid``
        and, when CellProfiler has ended, its ``.report`` and its ``.done``.
    tries : int
        How often it was started.
    process : psutil.Popen, optional
        The last one that was started.
    read_bytes : int
        How much of the log `count_new_image_sets` has read.
    finished : int
        Image sets that have come through the last module.
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
        """Path of a file beside the folder.

        Parameters
        ----------
        suffix : str
            ``log``, ``pid``, ``report`` or ``done``.
        """
        return self.folder.with_name(f"{self.folder.name}.{suffix}")

    def forget_tries(self) -> None:
        """Remove what tells of earlier tries, and would pass for that of the next."""
        for suffix in ("log", "pid", "report", "done"):
            self.get_path(suffix).unlink(missing_ok=True)
        vars(self).pop("report", None)
        self.read_bytes = self.finished = 0

    def has_ended(self) -> bool:
        """Whether its process has ended, however it did."""
        return self.process is not None and self.process.poll() is not None

    def count_new_image_sets(self, last_module: int) -> int:
        """Count image sets that have come through the last module since the last call.

        Parameters
        ----------
        last_module : int
            Its number in the pipeline.
        """
        with open(self.get_path("log"), "rb") as log:
            # Only what is new: this is asked several times per second.
            log.seek(self.read_bytes)
            # The last line may be only half written.
            lines, _, _ = log.read().rpartition(b"\n")
        self.read_bytes += len(lines)
        pattern = rb"Image # \d+, module \S+ # %d:" % last_module
        new = len(re.findall(pattern, lines))
        self.finished += new
        return new

    @cached_property
    def report(self) -> Report:
        """What became of its image sets; of none where there is no report."""
        try:
            return Report(**json.loads(self.get_path("report").read_text()))
        except (OSError, ValueError, TypeError):
            return Report()

    def find_fault(self, plan: RunPlan, always_continue: bool = False) -> str:
        """Find what the part lacks to be complete.

        Neither CellProfiler's exit status nor its done file tell: both say that all is
        well where a plug-in could not be loaded.

        Parameters
        ----------
        plan : RunPlan
            Of the run that the part belongs to.
        always_continue : bool
            Whether image sets with an error may be left out.

        Returns
        -------
        str
            Words that follow on "CellProfiler"; empty if nothing is lacking.
        """
        if self.report.error:
            return self.report.error
        done = self.get_path("done")
        if not done.exists():
            return "did not finish"
        if done.read_text().strip() != "Complete":
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
        # A part of which nothing came to the exports has nothing to write.
        if missing and report.measured:
            yield f"did not write {', '.join(missing)}"

    def is_of_other_files(self, plan: RunPlan) -> bool:
        """Whether a file that was measured has changed before the run was planned.

        Parameters
        ----------
        plan : RunPlan
            Of a run that finds this part.
        """
        now = {number: state for number, _, _, state in plan.image_sets}
        then = dict(zip(self.report.begun, self.report.states))
        return any(now.get(number) != state for number, state in then.items())

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
    """Find the parts that earlier runs and jobs have left, complete or not.

    Parameters
    ----------
    folder : pathlib.Path
        Of the parts.

    Returns
    -------
    list of Part
        By their first image set; of two with the same, the longer one first.
    """
    matches = (FOLDER.fullmatch(path.name) for path in folder.iterdir())
    parts = [
        Part(int(match[1]), int(match[2]), folder / match[0])
        for match in matches
        if match
    ]
    return sorted(parts, key=lambda part: (part.first, -part.last))

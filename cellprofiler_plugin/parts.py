"""A part of a run: consecutive image sets, measured by one CellProfiler process.

How far it is, and what a part that has run lacks to be complete.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from cellprofiler_plugin.merge import find_merger
from stratonet.messages import shorten_list

if TYPE_CHECKING:
    from cellprofiler_plugin.batch_plan import RunPlan

# What CellProfiler prints of each image set and module, with numbers from 1.
IMAGE_SET_LINE = re.compile(r"Image # (\d+), module")


@dataclass
class Part:
    """Consecutive image sets, run by one process.

    Attributes
    ----------
    first, last : int
        Numbers of image sets, both in the part.
    folder : pathlib.Path
        CellProfiler's default output folder. Beside it lie its ``.log``, its ``.pid``
        and, when CellProfiler has ended, its ``.done``.
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

    def __len__(self) -> int:
        return self.last - self.first + 1

    def __str__(self) -> str:
        if self.first == self.last:
            return f"Image set {self.first}"
        return f"Image sets {self.first} to {self.last}"

    def get_path(self, suffix: str) -> Path:
        """Path of a file beside the folder.

        Parameters
        ----------
        suffix : str
            ``log``, ``pid`` or ``done``.
        """
        return self.folder.with_name(f"{self.folder.name}.{suffix}")

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

    def find_fault(self, plan: RunPlan) -> str:
        """Find what the part lacks to be complete.

        Neither CellProfiler's exit status nor its done file tell: both say that all is
        well where a plug-in could not be loaded.

        Parameters
        ----------
        plan : RunPlan
            Of the run that the part belongs to.

        Returns
        -------
        str
            Words that follow on "CellProfiler"; empty if nothing is lacking.
        """
        done = self.get_path("done")
        if not done.exists():
            return "did not finish"
        if done.read_text().strip() != "Complete":
            return "ended with an error"
        # CellProfiler also calls a run complete that has skipped image sets.
        skipped = self._list_skipped()
        if skipped:
            return f"skipped {len(skipped)} image sets: {shorten_list(skipped)}"
        missing = self._list_missing_files(plan)
        if missing:
            return f"did not write {', '.join(missing)}"
        return ""

    def _list_skipped(self) -> list[int]:
        """Numbers of image sets of which the log says nothing."""
        log = self.get_path("log")
        # A scheduler may have kept what its jobs print elsewhere.
        if not log.exists():
            return []
        text = log.read_text(errors="replace")
        seen = {int(number) for number in IMAGE_SET_LINE.findall(text)}
        return [n for n in range(self.first, self.last + 1) if n not in seen]

    def _list_missing_files(self, plan: RunPlan) -> list[str]:
        missing = [name for name in plan.writes if not any(self.folder.rglob(name))]
        files = (path for path in self.folder.rglob("*") if path.is_file())
        if plan.writes_tables and not any(map(find_merger, files)):
            missing.append("the tables of ExportToSpreadsheet")
        return missing

"""A part of a run: consecutive image sets, measured by one CellProfiler process.

What is known of the run (`RunPlan`), how its image sets are divided, and what a part
that has run lacks to be complete.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

import psutil

from cellprofiler_plugin.merge import find_merger
from stratonet.messages import shorten_list

# What CellProfiler prints of each image set and module, with numbers from 1.
IMAGE_SET_LINE = re.compile(r"Image # (\d+), module")


@dataclass(frozen=True)
class RunPlan:
    """What a headless run of CellProfiler would do, as `plan` finds out.

    Attributes
    ----------
    image_sets : list of [int, int]
        Number of each image set and of its group, in the order of the run.
    groups : list of dict of str to str
        Keys and values of each group, as ``--group`` takes them. One empty dictionary
        where the pipeline does not group.
    whole : list of str
        Names of modules that need all image sets of a group at once.
    writes : list of str
        Names of files that each process has to write.
    writes_tables : bool
        Whether each process has to write tables of ExportToSpreadsheet.
    last_module : int
        Number of the pipeline's last module.
    searches_images : bool
        Whether the module Images takes what lies in the image directory.
    digest : str
        Of the pipeline, its weights and projections, and of what it measures.
    """

    image_sets: list[list[int]]
    groups: list[dict[str, str]]
    whole: list[str]
    writes: list[str]
    writes_tables: bool
    last_module: int
    searches_images: bool
    digest: str


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

    def count_new_image_sets(self, last_module: int) -> int:
        """Count image sets that have come through the last module since the last call.

        Parameters
        ----------
        last_module : int
            Its number in the pipeline.
        """
        with open(self.get_path("log"), "rb") as log:
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


def divide_image_sets(
    plan: RunPlan, processes: int, images_per_batch: int
) -> list[tuple[int, int]]:
    """Divide the image sets into parts of about equal size that keep groups together.

    Parameters
    ----------
    plan : RunPlan
        Its image sets, with their groups.
    processes : int
        How many run at once.
    images_per_batch : int
        At most so many image sets per part, unless a group has more.

    Returns
    -------
    list of (int, int)
        First and last image set of each part.

    Raises
    ------
    ValueError
        The image sets of a group do not follow each other.
    """
    total = len(plan.image_sets)
    # Rounds of all processes, each with a part of the same size.
    rounds = math.ceil(total / (processes * images_per_batch))
    largest = math.ceil(total / (processes * rounds))
    parts: list[tuple[int, int]] = []
    for first, last in _list_indivisible(plan):
        if parts:
            part_first, part_last = parts[-1]
            fits = last - part_first < largest
            if part_last + 1 == first and fits:
                parts[-1] = (part_first, last)
                continue
        parts.append((first, last))
    return parts


def _list_indivisible(plan: RunPlan) -> list[tuple[int, int]]:
    """First and last of image sets that one process has to run: each one, or groups."""
    groups: dict[int, list[int]] = {}
    for number, group in plan.image_sets:
        groups.setdefault(group, []).append(number)
    # A pipeline that does not group has one group of all, which may be divided unless
    # a module needs it whole.
    if len(groups) == 1 and not plan.whole:
        return [(number, number) for number, _ in plan.image_sets]
    spans = []
    for numbers in groups.values():
        first, last = numbers[0], numbers[-1]
        if numbers != list(range(first, last + 1)):
            raise ValueError(
                "The image sets of a group do not follow each other. Sort the image"
                " sets by their groups."
            )
        spans.append((first, last))
    return spans

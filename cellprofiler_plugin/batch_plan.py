"""Plan how a pipeline is run in parts.

`plan_batches` asks CellProfiler, in a process of its own, what it would do;
`batches.Batches` then runs the parts.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cellprofiler_plugin import headless
from cellprofiler_plugin.headless import CellProfilerOptions
from stratonet.files.atomic import write_atomically
from stratonet.parallel import count_cores

# Prefix of the names of folders with parts; the digest of the run follows.
PARTS = "_parts-"


@dataclass(frozen=True)
class RunPlan:
    """What a headless run of CellProfiler would do, as found by `plan`.

    Attributes
    ----------
    image_sets : list of [int, int, str, str]
        For each image set its number, the number of its group, and the two digests of
        `image_sets`: of its names and of its files; in the order of the run.
    groups : list of dict of str to str
        Keys and values of each group, as for ``--group``. One empty dictionary if the
        pipeline does not group its image sets.
    group_reasons : list of str
        Why one process has to measure all image sets of a group; empty if it need not.
    sequential : list of str
        Why one process has to measure all image sets; empty if it need not.
    refusals : list of str
        Why the files of several processes cannot be merged; empty if they can.
    writes : list of str
        Names of files that each process has to write.
    writes_tables : bool
        Whether each process has to write tables of ExportToSpreadsheet.
    last_module : int
        Number of the pipeline's last module.
    searches_images : bool
        Whether the module Images takes all files in the image directory.
    digest : str
        Digest of the pipeline, its weights and projections, and what it measures.
    """

    image_sets: list[list[Any]]
    groups: list[dict[str, str]]
    group_reasons: list[str]
    sequential: list[str]
    refusals: list[str]
    writes: list[str]
    writes_tables: bool
    last_module: int
    searches_images: bool
    digest: str

    @property
    def is_divisible(self) -> bool:
        """Whether image sets of the same group may be measured by two processes."""
        # Without grouping, all image sets are one group.
        has_one_group = len({group for _, group, *_ in self.image_sets}) == 1
        return has_one_group and not self.group_reasons and not self.sequential


@dataclass(frozen=True)
class BatchPlan:
    """How a pipeline is run in parts. Made by `plan_batches`.

    Attributes
    ----------
    pipeline : pathlib.Path
    output : pathlib.Path
        CellProfiler's default output folder.
    options : CellProfilerOptions
    run : RunPlan
        What CellProfiler would do.
    processes : int
        Maximum number of processes at once.
    images_per_batch : int, optional
        Maximum number of image sets per part, unless a group has more; None for as many
        as are measured in about two minutes.
    """

    pipeline: Path
    output: Path
    options: CellProfilerOptions
    run: RunPlan
    processes: int
    images_per_batch: int | None = None

    @property
    def folder(self) -> Path:
        """Where the parts are kept until they are merged."""
        return self.output / f"{PARTS}{self.run.digest}"

    @property
    def path(self) -> Path:
        """The file from which the processes of the parts read the plan."""
        return self.folder / "plan.json"

    @property
    def merging_path(self) -> Path:
        """A file that exists once merging has begun."""
        return self.folder / "merging"

    def save(self) -> None:
        """Save the plan beside the parts."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with write_atomically(self.path) as unfinished:
            unfinished.write_text(json.dumps(asdict(self.run)))

    def check_merging(self) -> None:
        """Refuse a run whose files cannot be merged from parts.

        Raises
        ------
        ValueError
            The message names the settings to change.
        """
        # A run that was interrupted while merging may find its own files in the way.
        if self.run.refusals and not self.merging_path.exists():
            raise ValueError(f"{self.pipeline}: {' '.join(self.run.refusals)}")


def plan_batches(
    pipeline: str | os.PathLike[str],
    output: str | os.PathLike[str],
    options: CellProfilerOptions | None = None,
    processes: int | None = None,
    images_per_batch: int | None = None,
) -> BatchPlan:
    """Ask CellProfiler what a pipeline would run, and how it may be divided.

    This starts CellProfiler, which takes some seconds. Nothing is written.

    Parameters
    ----------
    pipeline : path
        ``.cppipe``, ``.cpproj`` or ``Batch_data.h5``.
    output : path
        CellProfiler's default output folder.
    options : CellProfilerOptions, optional
        Further options for CellProfiler. Default: none.
    processes : int, optional
        Maximum number of processes at once. Default: one per core. Fewer run if memory
        is short.
    images_per_batch : int, optional
        Maximum number of image sets per part, unless a group has more. Default: as many
        as are measured in about two minutes.

    Returns
    -------
    BatchPlan

    Raises
    ------
    RuntimeError
        CellProfiler did not read the pipeline.
    ValueError
        CellProfiler cannot run the pipeline with these options.
    """
    options = options or CellProfilerOptions()
    processes = processes or count_cores()
    pipeline, output = Path(pipeline).resolve(), Path(output).resolve()
    run = _ask_cellprofiler(pipeline, output, options)
    if run.searches_images and options.image_directory:
        _check_output(output, Path(options.image_directory).resolve())
    processes = min(processes, len(run.image_sets))
    return BatchPlan(pipeline, output, options, run, processes, images_per_batch)


def _ask_cellprofiler(
    pipeline: Path, output: Path, options: CellProfilerOptions
) -> RunPlan:
    """Start CellProfiler with `plan` in place of its own run."""
    # CellProfiler needs an output folder, although nothing is to be written to it.
    with tempfile.TemporaryDirectory() as folder:
        answer, log = Path(folder, "plan.json"), Path(folder, "log")
        command = headless.build_command(pipeline, folder, *options.list_arguments())
        # python -m cellprofiler ... becomes python -m cellprofiler_plugin.plan ...
        command[2:3] = ["cellprofiler_plugin.plan", str(answer), str(output)]
        with open(log, "w") as file:
            subprocess.run(
                command,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=headless.build_environment(),
            )
        # Only the answer tells of success: the exit code may be 0 without one.
        if not answer.exists():
            raise RuntimeError(
                f"CellProfiler did not read {pipeline}. It said:\n"
                f"{headless.read_errors(log)}"
            )
        content = json.loads(answer.read_text())
    if "error" in content:
        raise ValueError(f"{pipeline}: {content['error']}")
    return RunPlan(**content)


def _check_output(output: Path, images: Path) -> None:
    if images in (output, *output.parents):
        raise ValueError(
            "The output folder is inside the folder of the images, so that processes"
            " would take each other's files for images. Choose another one. Received:"
            f" {output}"
        )


def divide_image_sets(
    plan: RunPlan,
    processes: int,
    images_per_batch: int | None = None,
    among: Collection[int] | None = None,
) -> list[tuple[int, int]]:
    """Divide the image sets into parts of about equal size that keep groups together.

    Parameters
    ----------
    plan : RunPlan
        The plan, with the image sets and their groups.
    processes : int
        Number of processes that run at once.
    images_per_batch : int, optional
        Maximum number of image sets per part, unless a group has more. Default: one
        part for each process.
    among : collection of int, optional
        Numbers of the image sets to divide. Default: all.

    Returns
    -------
    list of (int, int)
        Numbers of the first and last image set of each part.

    Raises
    ------
    ValueError
        The image sets of a group are not consecutive.

    Examples
    --------
    >>> ungrouped = [[number, 1, "", ""] for number in (1, 2, 3)]
    >>> run = RunPlan(ungrouped, [{}], [], [], [], [], False, 2, False, "digest")
    >>> divide_image_sets(run, processes=2, images_per_batch=96)
    [(1, 2), (3, 3)]
    """
    spans = _list_indivisible(plan, among)
    total = sum(last - first + 1 for first, last in spans)
    # In each round, all processes get a part of the same size.
    rounds = math.ceil(total / (processes * (images_per_batch or total or 1)))
    largest = math.ceil(total / (processes * (rounds or 1)))
    return join_spans(spans, largest)


def join_spans(
    spans: Sequence[tuple[int, int]], largest: float
) -> list[tuple[int, int]]:
    """Join consecutive spans of image sets into parts.

    Parameters
    ----------
    spans : sequence of (int, int)
        First and last image set of each span, in order.
    largest : float
        Maximum number of image sets in a part, unless a span has more.

    Returns
    -------
    list of (int, int)
        First and last image set of each part.

    Examples
    --------
    >>> join_spans([(1, 1), (2, 2), (4, 4), (5, 5), (6, 6)], largest=2)
    [(1, 2), (4, 5), (6, 6)]
    """
    parts: list[tuple[int, int]] = []
    for first, last in spans:
        if parts:
            part_first, part_last = parts[-1]
            fits = last - part_first < largest
            # A requested group may leave gaps, but a process runs all image sets from
            # one number to another.
            if part_last + 1 == first and fits:
                parts[-1] = (part_first, last)
                continue
        parts.append((first, last))
    return parts


def _list_indivisible(
    plan: RunPlan, among: Collection[int] | None = None
) -> list[tuple[int, int]]:
    """List spans that one process has to run: single image sets, groups, or all."""
    chosen = [
        (number, group)
        for number, group, *_ in plan.image_sets
        if among is None or number in among
    ]
    if plan.is_divisible:
        return [(number, number) for number, _ in chosen]
    groups: dict[int, list[int]] = {}
    for number, group in chosen:
        groups.setdefault(group, []).append(number)
    if plan.sequential and chosen:
        # The span may include image sets that were not requested.
        numbers = [number for number, _ in chosen]
        return [(min(numbers), max(numbers))]
    spans = []
    for numbers in groups.values():
        first, last = numbers[0], numbers[-1]
        if numbers != list(range(first, last + 1)):
            raise ValueError(
                "The image sets of a group are not consecutive. Sort the image sets by"
                " their groups."
            )
        spans.append((first, last))
    return spans

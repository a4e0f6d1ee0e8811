"""How a pipeline is run in parts: what CellProfiler would do, divided.

`plan_batches` asks CellProfiler, in a process of its own; `batches.Batches` then runs
the parts.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from cellprofiler_plugin import headless
from cellprofiler_plugin.headless import CellProfilerOptions
from stratonet.files.atomic import write_atomically
from stratonet.parallel import count_cores


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
    parts : tuple of (int, int)
        First and last image set of each part.
    processes : int
        At most so many at once.
    """

    pipeline: Path
    output: Path
    options: CellProfilerOptions
    run: RunPlan
    parts: tuple[tuple[int, int], ...]
    processes: int

    @property
    def folder(self) -> Path:
        """Where the parts are kept until they are merged."""
        return self.output / f"_parts-{self.run.digest}"

    @property
    def path(self) -> Path:
        """The file that keeps the plan for a run after an interruption."""
        return self.folder / "plan.json"

    def save(self) -> None:
        """Keep the plan beside the parts."""
        self.folder.mkdir(parents=True, exist_ok=True)
        content = {"run": asdict(self.run), "parts": self.parts}
        with write_atomically(self.path) as unfinished:
            unfinished.write_text(json.dumps(content))


def plan_batches(
    pipeline: str | os.PathLike[str],
    output: str | os.PathLike[str],
    options: CellProfilerOptions | None = None,
    processes: int | None = None,
    images_per_batch: int = 96,
) -> BatchPlan:
    """Ask CellProfiler what a pipeline would run, and divide it into parts.

    This starts CellProfiler, which takes some seconds. Nothing is written. Where an
    interrupted run has left parts of the same work, their division is kept.

    Parameters
    ----------
    pipeline : path
        ``.cppipe``, ``.cpproj`` or ``Batch_data.h5``.
    output : path
        CellProfiler's default output folder.
    options : CellProfilerOptions, optional
        What else CellProfiler is told. Default: nothing.
    processes : int, optional
        At most so many at once. Default: one per core. Fewer run where memory does not
        suffice.
    images_per_batch : int
        At most so many image sets per part, unless a group has more.

    Returns
    -------
    BatchPlan

    Raises
    ------
    RuntimeError
        CellProfiler does not read the pipeline.
    ValueError
        CellProfiler cannot run the pipeline so, or not in parts.
    """
    options = options or CellProfilerOptions()
    processes = processes or count_cores()
    pipeline, output = Path(pipeline).resolve(), Path(output).resolve()
    run = _ask_cellprofiler(pipeline, output, options)
    if run.searches_images and options.image_directory:
        _check_output(output, Path(options.image_directory).resolve())
    plan = BatchPlan(pipeline, output, options, run, (), processes)
    if plan.path.exists():
        # The same work as before has the same digest. Its parts count only if they are
        # divided as they were, also where the number of processes is another now.
        divided = json.loads(plan.path.read_text())["parts"]
    else:
        divided = divide_image_sets(run, processes, images_per_batch)
    parts = tuple((first, last) for first, last in divided)
    return replace(plan, parts=parts, processes=min(processes, len(parts)))


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
        # The answer counts, not the exit code.
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
            "The output folder lies in the folder of the images, where the processes"
            " would take each other's files for images. Choose another one. Received:"
            f" {output}"
        )


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

    Examples
    --------
    >>> ungrouped = [[1, 1], [2, 1], [3, 1]]
    >>> run = RunPlan(ungrouped, [{}], [], [], False, 2, False, "digest")
    >>> divide_image_sets(run, processes=2, images_per_batch=96)
    [(1, 2), (3, 3)]
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
            # A group that was asked for may leave gaps, but a process runs all image
            # sets from one number to another.
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

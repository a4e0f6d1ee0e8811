"""Measure a part of a run in this process, and report what became of each image set.

    python -m cellprofiler_plugin.run_part PLAN REPORT SECONDS FIRST LAST -c -r ...

PLAN is the ``plan.json`` of the run. CellProfiler runs as it would with its own
arguments alone, but measures only image sets FIRST to LAST. It measures nothing if its
image sets are not those of the plan, and begins no further image set (or group, if
groups stay together) after SECONDS; 0 means no limit.

The file REPORT then holds, as JSON, the fields of `parts.Report`.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cellprofiler.__main__ as cellprofiler
import psutil
from cellprofiler_core.constants.measurement import IMAGE
from cellprofiler_core.constants.workspace import DISPOSITION_SKIP
from cellprofiler_core.measurement import Measurements
from cellprofiler_core.pipeline import Pipeline

from cellprofiler_plugin.aggregates import keep_thresholds
from cellprofiler_plugin.batch_plan import RunPlan
from cellprofiler_plugin.folders import OutputPipeline
from cellprofiler_plugin.image_sets import identify_image_sets
from cellprofiler_plugin.parts import Report
from cellprofiler_plugin.pixels import LOGGER
from cellprofiler_plugin.sequence import name_module
from stratonet.files.atomic import write_atomically
from stratonet.messages import shorten_list

if TYPE_CHECKING:
    from cellprofiler_core.module import Module
    from cellprofiler_core.workspace import Workspace

    # Group, number within the group, image set, and what prepares it.
    Item = tuple[int | None, int | None, int | None, Callable[..., bool]]

# The measurement by which CellProfiler counts an image set as part of the run.
IMAGE_NUMBER = "ImageNumber"


class PartPipeline(OutputPipeline):
    """A pipeline that measures the planned image sets and reports on them.

    All attributes but the last are those of the class, because CellProfiler makes the
    pipeline itself.

    Attributes
    ----------
    plan : RunPlan
        The plan of the run.
    output : str
        The user's default output folder.
    path : pathlib.Path
        Path of the report.
    seconds : float
        Seconds after which no image set is begun; 0 for no limit.
    span : (int, int)
        Numbers of the first and last image set.
    report : Report
    """

    plan: RunPlan
    path: Path
    seconds: float
    span: tuple[int, int]

    def __init__(self) -> None:
        super().__init__()
        self.report = Report()

    def run(self, *arguments: Any, **keywords: Any) -> Measurements:
        """Measure the part, then write the report.

        Parameters
        ----------
        *arguments, **keywords
            See ``Pipeline.run``.
        """
        # Not with CellProfiler's own options, with which it would read only these image
        # sets from a batch file, and count groups among them alone.
        first, last = self.span
        keywords.update(image_set_start=first, image_set_end=last)
        measurements = super().run(*arguments, **keywords)
        self._write_report()
        return measurements

    def group(
        self,
        grouping: dict[str, str] | None,
        image_set_start: int,
        image_set_end: int | None,
        initial_measurements: Measurements,
        workspace: Workspace,
    ) -> Iterator[Item]:
        """Yield what CellProfiler is to measure, until time is up.

        Parameters
        ----------
        grouping, image_set_start, image_set_end, initial_measurements, workspace
            See ``Pipeline.group``.

        Yields
        ------
        tuple
            See ``Pipeline.group``.
        """
        items = list(
            super().group(
                grouping,
                image_set_start,
                image_set_end,
                initial_measurements,
                workspace,
            )
        )
        numbers = [int(number) for _, _, number, _ in items if number is not None]
        self._check_image_sets(workspace.measurements, numbers)
        self.report.starting = time.time() - psutil.Process().create_time()
        start_time = time.monotonic()
        is_stopped = False
        for item in items:
            group, _, number, _ = item
            if number is None:
                # The end of a group, even if not all of it was measured.
                if not is_stopped or self.plan.is_divisible:
                    yield item
                continue
            is_stopped = is_stopped or self._is_time_up(start_time, int(number))
            if is_stopped:
                # CellProfiler itself does this for image sets outside its range.
                workspace.measurements.remove_measurement(IMAGE, IMAGE_NUMBER, number)
                continue
            self.report.begun.append(int(number))
            yield item

    def _check_image_sets(self, measurements: Measurements, numbers: list[int]) -> None:
        """End the process unless these are the image sets of the plan."""
        planned = {number: name for number, _, name, _ in self.plan.image_sets}
        identities = identify_image_sets(measurements, numbers)
        wrong_numbers = [
            n for n, (name, _) in zip(numbers, identities) if planned.get(n) != name
        ]
        if wrong_numbers:
            self.report.error = (
                f"found other images than planned for {len(wrong_numbers)} of"
                f" {len(numbers)} image sets: {shorten_list(wrong_numbers)}. None of"
                " them was measured"
            )
            self._write_report()
            sys.exit(1)
        self.report.states = [state for _, state in identities]

    def _is_time_up(self, start_time: float, number: int) -> bool:
        """Whether time is up and a new process may begin with this image set."""
        begun = self.report.begun
        if (
            not self.seconds
            or not begun
            or time.monotonic() - start_time < self.seconds
        ):
            return False
        groups = {image_set: group for image_set, group, *_ in self.plan.image_sets}
        return self.plan.is_divisible or groups[number] != groups[begun[-1]]

    def run_module(self, module: Module, workspace: Workspace) -> None:
        """Run a module on an image set, and record errors, warnings and skips.

        Parameters
        ----------
        module : cellprofiler_core.module.Module
            A module of the pipeline.
        workspace : cellprofiler_core.workspace.Workspace
            The workspace of the image set.
        """
        number = int(workspace.measurements.image_set_number)
        try:
            with _list_warnings(LOGGER) as warnings:
                Pipeline.run_module(module, workspace)
        except Exception as error:
            words = str(error).strip().partition("\n")[0] or type(error).__name__
            self.report.failed.append([number, f"{name_module(module)}: {words}"])
            raise
        self.report.damaged += [[number, words] for words in warnings]
        if workspace.disposition == DISPOSITION_SKIP:
            self.report.skipped.append([number, name_module(module)])

    def post_run(self, *arguments: Any) -> str:
        """Save the thresholds, for statistics over all parts, and finish the run.

        Parameters
        ----------
        *arguments
            See ``Pipeline.post_run``.
        """
        self.report.thresholds = keep_thresholds(arguments[0])
        return super().post_run(*arguments)

    def _write_report(self) -> None:
        report = self.report
        report.states = report.states[: len(report.begun)]
        with write_atomically(self.path) as unfinished:
            unfinished.write_text(json.dumps(asdict(report)))


@contextmanager
def _list_warnings(logger: logging.Logger) -> Iterator[list[str]]:
    """Collect the warnings that a logger gets inside the ``with`` block."""
    words: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: words.append(record.getMessage())  # type: ignore
    logger.addHandler(handler)
    try:
        yield words
    finally:
        logger.removeHandler(handler)


def main() -> None:
    """Run CellProfiler's own command line with a `PartPipeline`."""
    plan, report, seconds, first, last, *arguments = sys.argv[1:]
    PartPipeline.plan = RunPlan(**json.loads(Path(plan).read_text()))
    # The plan is in a folder inside the output folder.
    PartPipeline.output = str(Path(plan).parent.parent)
    PartPipeline.path, PartPipeline.seconds = Path(report), float(seconds)
    PartPipeline.span = int(first), int(last)
    cellprofiler.Pipeline = PartPipeline
    sys.exit(cellprofiler.main(["cellprofiler", *arguments]))


if __name__ == "__main__":
    main()

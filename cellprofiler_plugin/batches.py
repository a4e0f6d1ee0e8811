"""Run a pipeline on all cores, in several CellProfiler processes with one result.

During the run, the output folder contains::

    OUTPUT/_parts-<digest>/   the digest is that of pipeline and image sets
        plan.json             the image sets, and the digests that identify them
        lock, lock.process    held by the process that works here
        00001-00096/          what CellProfiler writes for a part; beside it its .log,
                              its .pid and, when CellProfiler has ended, its .report
                              (which of its image sets it has measured) and its .done

First `batch_plan.plan_batches` asks CellProfiler what there is to run; then `Batches`
runs it.
"""

from __future__ import annotations

import shlex
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

from tqdm import tqdm

from cellprofiler_plugin import finished, headless
from cellprofiler_plugin.aggregates import compute_statistics
from cellprofiler_plugin.batch_plan import PARTS, BatchPlan, divide_image_sets
from cellprofiler_plugin.merge import merge_parts
from cellprofiler_plugin.parts import Part, find_parts
from cellprofiler_plugin.processes import (
    Processes,
    build_command,
    make_part,
    stop_orphans,
)
from stratonet.files.atomic import FolderInUse, lock_folder
from stratonet.messages import count_things, shorten_list

# Image sets per command for a scheduler, unless the user sets another number.
IMAGES_PER_JOB = 96


class Batches:
    """The parts of a run.

    Parameters
    ----------
    plan : BatchPlan
        From `batch_plan.plan_batches`.

    Attributes
    ----------
    plan : BatchPlan
    parts : list of Part
        The complete parts, in the order of their image sets.
    lacking : list of str
        Which image sets lack measurements, and why; known when the run has ended.
    """

    def __init__(self, plan: BatchPlan) -> None:
        self.plan = plan
        self.parts: list[Part] = []
        self.lacking: list[str] = []

    def run(self, progress: bool = True) -> str:
        """Run the missing image sets, and merge all parts.

        Parameters
        ----------
        progress : bool
            Show a progress bar of image sets.

        Returns
        -------
        str
            A summary of the run for the user.

        Raises
        ------
        stratonet.files.atomic.FolderInUse
            Another process writes to the output folder.
        RuntimeError
            A part failed twice; the message quotes CellProfiler's errors. Complete
            parts are kept: calling this again runs the others.
        ValueError
            The files of several processes cannot be merged.
        """
        plan = self.plan
        if not self._is_finished():
            plan.check_merging()
        elif not plan.folder.exists():
            return self._describe_finished()
        start_time = time.monotonic()
        plan.folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            stack.enter_context(lock_folder(plan.folder))
            # Another process may have finished the run in the meantime, or have been
            # killed just after finishing.
            if self._is_finished():
                self._remove_parts()
                return self._describe_finished()
            plan.save()
            self._check_other_runs()
            stop_orphans(str(plan.folder))
            missing = self._find_missing()
            n_measured = len(plan.run.image_sets) - len(missing)
            failed = self._run_missing(missing, n_measured, progress)
            if failed:
                raise RuntimeError(self._describe_failure(failed))
            self._merge_parts()
        return self._describe_run(
            len(missing), n_measured, time.monotonic() - start_time
        )

    def _is_finished(self) -> bool:
        """Whether the run has finished already; if so, also set what it lacks."""
        lacking = finished.find_lacking(self.plan)
        self.lacking = lacking or []
        return lacking is not None

    def describe_division(self) -> str:
        """Say why a run is not divided among all processes; empty if it is."""
        run, processes = self.plan.run, self.plan.processes
        n_groups = len({group for _, group, *_ in run.image_sets})
        if run.sequential:
            return f"All image sets are run by one process: {' '.join(run.sequential)}"
        if run.is_divisible or n_groups >= processes:
            return ""
        reasons = " ".join(run.group_reasons) or "Image sets of a group stay together."
        if n_groups > 1:
            return f"At most {n_groups} processes run, one for each group: {reasons}"
        return (
            f"All image sets are one group, which one process runs: {reasons} Where the"
            " images may be divided, for example by plate, group them in LoadData or"
            " Groups."
        )

    def list_jobs(self) -> list[str]:
        """List commands for a scheduler that run the missing image sets.

        When all of them have ended, `run` merges the parts.

        Returns
        -------
        list of str
            One command per part.

        Raises
        ------
        ValueError
            The files of several processes cannot be merged.
        """
        plan = self.plan
        if self._is_finished():
            return []
        plan.check_merging()
        plan.save()
        images_per_job = plan.images_per_batch or IMAGES_PER_JOB
        missing = self._find_missing()
        spans = divide_image_sets(plan.run, plan.processes, images_per_job, missing)
        parts = [make_part(plan, first, last) for first, last in spans]
        for part in parts:
            # Files of an earlier try would be mistaken for those of the job.
            part.remove_files()
        return [shlex.join(build_command(plan, part)) for part in parts]

    def make_distributed_jobs(self) -> dict[str, Any]:
        """Make the job file of Distributed-CellProfiler, with one job per group.

        Returns
        -------
        dict
            The content of the file, to be written as JSON.

        Raises
        ------
        ValueError
            The pipeline does not group its image sets.
        """
        plan = self.plan
        groups = plan.run.groups
        if groups == [{}]:
            raise ValueError(
                "Distributed-CellProfiler runs one job per group, but this pipeline"
                " does not group its image sets. Group them in LoadData or Groups, for"
                " example by Metadata_Plate and Metadata_Well."
            )
        jobs = []
        for group in groups:
            pairs = [f"{key}={value}" for key, value in group.items()]
            jobs.append({"Metadata": ",".join(pairs)})
        return {
            "pipeline": str(plan.pipeline),
            "data_file": str(plan.options.data_file or ""),
            "input": str(plan.options.image_directory or ""),
            "output": str(plan.output),
            "output_structure": "/".join(groups[0]),
            "groups": jobs,
        }

    def _find_missing(self) -> list[int]:
        """Find the complete parts, and list the image sets that are in none."""
        plan = self.plan
        missing = [number for number, *_ in plan.run.image_sets]
        self.parts = []
        for part in find_parts(plan.folder):
            if part.find_fault(plan.run, plan.options.always_continue):
                continue
            if part.has_changed_files(plan.run):
                continue
            # Jobs and runs that were divided differently may have measured some twice.
            begun = set(part.report.begun)
            if begun <= set(missing):
                self.parts.append(part)
                missing = [number for number in missing if number not in begun]
        return missing

    def _check_other_runs(self) -> None:
        """Refuse to write to a folder that another run will write to."""
        for folder in self.plan.output.glob(f"{PARTS}*"):
            if folder == self.plan.folder or not folder.is_dir():
                continue
            try:
                with lock_folder(folder):
                    pass
            except FolderInUse as error:
                raise FolderInUse(
                    f"{error} Both would write to {self.plan.output}."
                ) from None

    def _run_missing(
        self, missing: Sequence[int], n_measured: int, progress: bool
    ) -> list[Part]:
        """Run image sets; return the parts that failed."""
        with tqdm(
            total=n_measured + len(missing),
            initial=n_measured,
            unit=" image sets",
            disable=not progress,
            dynamic_ncols=True,
        ) as bar:
            processes = Processes(self.plan, bar)
            processes.run(missing)
        self.parts += processes.complete
        self.parts.sort(key=lambda part: part.first)
        return processes.failed

    def _merge_parts(self) -> None:
        plan, parts = self.plan, self.parts
        self._check_completeness()
        self.lacking = list(self._list_lacking())
        folders = [part.folder for part in parts]
        files = finished.list_files(folders, plan.output)
        plan.merging_path.touch()
        values = compute_statistics(part.report.thresholds for part in parts)
        merge_parts(folders, plan.output, values)
        logs = [part.get_path("log") for part in parts]
        finished.write_log(plan, logs, files, self.lacking)
        self._remove_parts()

    def _remove_parts(self) -> None:
        # Windows does not delete the lock file while it is open; on other systems
        # another process may be using the folder at this moment.
        shutil.rmtree(self.plan.folder, ignore_errors=True)

    def _check_completeness(self) -> None:
        """Refuse to merge unless the parts hold each image set exactly once."""
        begun = [number for part in self.parts for number in part.report.begun]
        planned = [number for number, *_ in self.plan.run.image_sets]
        if sorted(begun) != sorted(planned):
            wrong_numbers = set(planned) ^ set(begun) or {
                n for n in begun if begun.count(n) > 1
            }
            raise RuntimeError(
                "The parts do not hold each image set exactly once. Missing, repeated"
                f" or unplanned: {shorten_list(sorted(wrong_numbers))}. Remove"
                f" {self.plan.folder} and run the command again."
            )

    def _list_lacking(self) -> Iterator[str]:
        """Yield a sentence for each way in which image sets lack measurements."""
        skipped: dict[str, list[int]] = {}
        for part in self.parts:
            for number, module in part.report.skipped:
                skipped.setdefault(module, []).append(number)
        for module, numbers in skipped.items():
            yield f"{module} skipped {_describe_numbers(numbers)}."
        failed = [entry for part in self.parts for entry in part.report.failed]
        if failed:
            count = _describe_numbers(number for number, _ in failed)
            words = [f"{number}: {reason}" for number, reason in failed]
            yield f"{count} had errors. {shorten_list(words, 5)}."
        damaged = [entry for part in self.parts for entry in part.report.damaged]
        if damaged:
            count = _describe_numbers(number for number, _ in damaged)
            # Several modules may report the same.
            reasons = list(dict.fromkeys(reason for _, reason in damaged))
            yield (
                f"Images of {count} could not be measured. {shorten_list(reasons, 5)}"
            )
        empty = [
            f"{part.report.begun[0]} to {part.report.begun[-1]}"
            for part in self.parts
            if not part.report.measured
        ]
        if empty and len(self.parts) > 1:
            yield f"In some parts nothing was measured: {shorten_list(empty)}."

    def _describe_run(self, n_run: int, n_measured: int, seconds: float) -> str:
        processes = self.plan.processes
        image_sets = f"{n_run} run by up to {processes} processes"
        if n_measured:
            image_sets += f", {n_measured} already measured"
        lines = [
            f"Image sets   {image_sets}",
            f"Time         {seconds:,.0f} s",
            f"Output       {self.plan.output}",
        ]
        unfinished_runs = sorted(self.plan.output.glob(f"{PARTS}*"))
        if unfinished_runs:
            # They are not resumed unless that pipeline is run again.
            names = shorten_list([path.name for path in unfinished_runs])
            lines.append(f"Other runs   parts of unfinished runs: {names}")
        return "\n".join([*lines, *self.describe_lacking()])

    def describe_lacking(self) -> list[str]:
        """Say which image sets lack measurements; empty if none do."""
        if not self.lacking:
            return []
        return [f"Incomplete   {line}" for line in self.lacking]

    def _describe_finished(self) -> str:
        log = self.plan.output / headless.LOG
        lines = [
            "Image sets   0 run: this run is finished, and its files exist",
            f"Output       {self.plan.output}",
            f"To run it again, remove {log}, or choose another folder.",
        ]
        return "\n".join([*lines, *self.describe_lacking()])

    def _describe_failure(self, failed: Sequence[Part]) -> str:
        first = failed[0]
        log = first.get_path("log")
        fault = first.find_fault(self.plan.run, self.plan.options.always_continue)
        n_measured = sum(len(part.report.begun) for part in self.parts)
        return (
            f"{first} could not be run: CellProfiler {fault}. It said:\n"
            f"{headless.read_errors(log)}\nThe whole log: {log}\n{n_measured} of"
            f" {len(self.plan.run.image_sets)} image sets are measured and kept. Fix"
            " the cause, then rerun the command to finish the rest. With"
            " always_continue, CellProfiler skips image sets that cannot be measured."
        )


def _describe_numbers(numbers: Iterable[int]) -> str:
    unique_numbers = sorted(set(numbers))
    count = count_things(len(unique_numbers), "image set")
    return f"{count} ({shorten_list(unique_numbers)})"

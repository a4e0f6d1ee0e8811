"""A pipeline on all cores: several CellProfiler processes, and one result.

While it runs, there is in the output folder::

    OUTPUT/_parts-<digest>/   the digest is that of pipeline and image sets
        plan.json             which image sets are in which part
        lock, lock.process    held by the process that works here
        00001-00096/          what CellProfiler writes for a part; beside it its .log,
                              its .pid and, when it has ended, its .done

First `batch_plan.plan_batches` asks CellProfiler what there is to run; then `Batches`
runs it.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import psutil
from tqdm import tqdm

from cellprofiler_plugin import headless
from cellprofiler_plugin.batch_plan import BatchPlan
from cellprofiler_plugin.merge import merge_parts
from cellprofiler_plugin.parts import Part
from stratonet.files.atomic import lock_folder
from stratonet.parallel import count_cores
from stratonet.resources import get_resident_bytes

# Share of the free memory that the processes may take.
MEMORY_SHARE = 0.8
# Bytes that a process is taken to need until one has needed more.
LEAST_MEMORY = 2 * 2**30
# Seconds between two looks at the processes.
PAUSE = 0.3
# An environment variable with the folder of a part tells its process from all others.
# A file with the process number would not: a run may be killed before it is written.
PART_VARIABLE = "STRATONET_PART"
# A part is started again once: what fails twice is not chance.
MOST_TRIES = 2


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
    """

    def __init__(self, plan: BatchPlan) -> None:
        self.plan = plan
        self.parts = [
            Part(first, last, plan.folder / f"{first:05d}-{last:05d}")
            for first, last in plan.parts
        ]

    def run(self, progress: bool = True) -> str:
        """Run what is missing, and merge.

        Parameters
        ----------
        progress : bool
            Show a progress bar of image sets.

        Returns
        -------
        str
            What was done, for people.

        Raises
        ------
        stratonet.files.atomic.FolderInUse
            Another process runs these parts.
        RuntimeError
            A part failed twice; the message holds CellProfiler's errors. Complete parts
            are kept: the same call again runs the others.
        """
        began = time.monotonic()
        total = sum(map(len, self.parts))
        self.plan.save()
        with lock_folder(self.plan.folder):
            self._stop_orphans()
            missing = self._list_missing()
            kept = total - sum(map(len, missing))
            with tqdm(
                total=total,
                initial=kept,
                unit=" image sets",
                disable=not progress,
                dynamic_ncols=True,
            ) as bar:
                failed = self._run_parts(missing, bar)
            if failed:
                raise RuntimeError(self._describe_failure(failed))
            self._merge_parts()
        return self._describe_run(total - kept, kept, time.monotonic() - began)

    def list_jobs(self) -> list[str]:
        """List commands that run what is missing, for a scheduler.

        When all have ended, `run` merges.

        Returns
        -------
        list of str
            One per part.
        """
        self.plan.save()
        missing = self._list_missing()
        for part in missing:
            # It tells of an earlier try, and jobs print elsewhere.
            part.get_path("log").unlink(missing_ok=True)
        return [shlex.join(self._build_command(part)) for part in missing]

    def make_distributed_jobs(self) -> dict[str, Any]:
        """Make the job file of Distributed-CellProfiler, with one job per group.

        Returns
        -------
        dict
            To be written as JSON.

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

    def _list_missing(self) -> list[Part]:
        return [part for part in self.parts if part.find_fault(self.plan.run)]

    def _build_command(self, part: Part) -> list[str]:
        options = replace(
            self.plan.options,
            first_image_set=part.first,
            last_image_set=part.last,
            done_file=part.get_path("done"),
        )
        arguments = options.list_arguments()
        return headless.build_command(self.plan.pipeline, part.folder, *arguments)

    def _stop_orphans(self) -> None:
        """Stop what a run that was killed has left running."""
        folders = {str(part.folder) for part in self.parts}
        for process in psutil.process_iter():
            # Processes of other users do not show their variables.
            with suppress(psutil.Error):
                if process.environ().get(PART_VARIABLE) in folders:
                    _kill_tree(process)

    def _run_parts(self, parts: Sequence[Part], bar: tqdm) -> list[Part]:
        """Run parts, each a second time if the first fails; list those that failed."""
        waiting = deque(parts)
        running: list[Part] = []
        failed: list[Part] = []
        # Once: what is free later depends on the processes themselves.
        memory = psutil.virtual_memory().available * MEMORY_SHARE
        # What one process needs: the most that any of them has held so far.
        need = LEAST_MEMORY
        try:
            while waiting or running:
                while waiting and self._has_room(len(running), memory, need):
                    running.append(self._start_part(waiting.popleft()))
                time.sleep(PAUSE)
                for part in list(running):
                    need = max(need, get_resident_bytes(part.process))
                    # Asked before the log is read: afterwards the log is complete.
                    has_ended = part.has_ended()
                    bar.update(part.count_new_image_sets(self.plan.run.last_module))
                    if not has_ended:
                        continue
                    running.remove(part)
                    if self._finish_part(part, bar):
                        continue
                    (waiting if part.tries < MOST_TRIES else failed).append(part)
        finally:
            for part in running:
                _kill_tree(part.process)
        return failed

    def _has_room(self, running: int, memory: float, need: float) -> bool:
        """Whether one more process fits. One always does, or nothing would be run."""
        if running == 0:
            return True
        return running < self.plan.processes and (running + 1) * need <= memory

    def _start_part(self, part: Part) -> Part:
        # Files of the failed try would look like those of this one.
        if part.folder.exists():
            shutil.rmtree(part.folder)
        part.folder.mkdir()
        part.get_path("done").unlink(missing_ok=True)
        part.tries += 1
        part.read_bytes = part.finished = 0
        # The network takes its share of the cores in each process.
        threads = max(1, count_cores() // self.plan.processes)
        environment = headless.build_environment(
            OMP_NUM_THREADS=str(threads), **{PART_VARIABLE: str(part.folder)}
        )
        with open(part.get_path("log"), "w") as log:
            part.process = psutil.Popen(
                self._build_command(part),
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
            )
        part.get_path("pid").write_text(str(part.process.pid))
        return part

    def _finish_part(self, part: Part, bar: tqdm) -> bool:
        """Whether a part that has ended is complete; the bar then counts all of it."""
        if part.find_fault(self.plan.run):
            bar.update(-part.finished)
            return False
        bar.update(len(part) - part.finished)
        return True

    def _merge_parts(self) -> None:
        plan = self.plan
        merge_parts([part.folder for part in self.parts], plan.output)
        with open(plan.output / headless.LOG, "w") as merged:
            for part in self.parts:
                log = part.get_path("log")
                if log.exists():
                    merged.write(log.read_text(errors="replace"))
        # Windows keeps the lock file, which is open.
        shutil.rmtree(plan.folder, ignore_errors=os.name == "nt")

    def _describe_run(self, measured: int, kept: int, seconds: float) -> str:
        processes = self.plan.processes
        image_sets = f"{measured} run by up to {processes} processes"
        if kept:
            image_sets += f", {kept} already measured"
        return (
            f"Image sets   {image_sets}\n"
            f"Time         {seconds:,.0f} s\n"
            f"Output       {self.plan.output}"
        )

    def _describe_failure(self, failed: Sequence[Part]) -> str:
        first = failed[0]
        log = first.get_path("log")
        complete = len(self.parts) - len(failed)
        return (
            f"{first} could not be run: CellProfiler"
            f" {first.find_fault(self.plan.run)}. It said:\n"
            f"{headless.read_errors(log)}\nThe whole log: {log}\n{complete} of"
            f" {len(self.parts)} parts are complete and kept. Fix the cause, then rerun"
            " the command to finish the rest. With always_continue, CellProfiler skips"
            " image sets that cannot be measured."
        )


def _kill_tree(process: psutil.Process) -> None:
    """End a process and those that it has started, and wait until it is gone."""
    with suppress(psutil.NoSuchProcess):
        # Children first: those of a parent that is gone are not found any more.
        for member in (*process.children(recursive=True), process):
            with suppress(psutil.NoSuchProcess):
                member.kill()
        process.wait()

"""The processes of a run in parts: which image sets each gets, and when it starts.

A process ends when it has measured for about two minutes; its remaining image sets go
to the next one. An interrupted run loses no more than that, and the seconds that
CellProfiler takes to start hardly count.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace

import psutil
from tqdm import tqdm

from cellprofiler_plugin import headless
from cellprofiler_plugin.batch_plan import BatchPlan, divide_image_sets
from cellprofiler_plugin.parts import Part
from stratonet.parallel import count_cores
from stratonet.resources import get_resident_bytes

# After this many seconds, a process begins no further image set.
SECONDS = 120
# A process runs at least this many times as long as it took to start.
STARTS = 10
# Share of the free memory that the processes may take.
MEMORY_SHARE = 0.8
# Bytes that a process is assumed to need until one has needed more.
LEAST_MEMORY = 2 * 2**30
# Seconds between two checks of the processes.
PAUSE = 0.3
# An environment variable with the folder of a part identifies its process. A file with
# the process number would not do: a run may be killed before it is written.
PART_VARIABLE = "STRATONET_PART"
# A part is started again once: what fails twice did not fail by chance.
MOST_TRIES = 2


def make_part(plan: BatchPlan, first: int, last: int) -> Part:
    """Make the part with these image sets.

    Parameters
    ----------
    plan : BatchPlan
        The plan of the run.
    first, last : int
        Numbers of image sets.
    """
    return Part(first, last, plan.folder / f"{first:05d}-{last:05d}")


def build_command(plan: BatchPlan, part: Part, seconds: float = 0) -> list[str]:
    """Build the command that measures a part.

    Parameters
    ----------
    plan : BatchPlan
        The plan of the run.
    part : Part
        One of its parts.
    seconds : float
        Seconds after which no further image set is begun; 0 for no limit.
    """
    options = replace(plan.options, done_file=part.get_path("done"))
    command = headless.build_command(
        plan.pipeline, part.folder, *options.list_arguments()
    )
    # python -m cellprofiler ... becomes python -m cellprofiler_plugin.run_part ...
    index = command.index("cellprofiler")
    report = str(part.get_path("report"))
    command[index : index + 1] = [
        "cellprofiler_plugin.run_part",
        str(plan.path),
        report,
        f"{seconds:g}",
        str(part.first),
        str(part.last),
    ]
    return command


class Processes:
    """Runs parts, as many at once as cores and memory allow.

    Parameters
    ----------
    plan : BatchPlan
        The plan of the run.
    bar : tqdm
        Progress bar, updated with the number of image sets measured.

    Attributes
    ----------
    waiting : list of (int, int)
        Spans of image sets that no process measures yet: first and last number.
    complete, failed : list of Part
        Parts that have been completed, or have failed twice.
    """

    def __init__(self, plan: BatchPlan, bar: tqdm) -> None:
        self.plan = plan
        self.bar = bar
        self.waiting: list[tuple[int, int]] = []
        self.complete: list[Part] = []
        self.failed: list[Part] = []
        self._failed_once: list[Part] = []
        self._running: list[Part] = []
        # Read only once, because later the processes themselves use memory.
        self._free_bytes = psutil.virtual_memory().available * MEMORY_SHARE
        # Bytes that one process needs: the most that any has used so far.
        self._bytes_needed = float(LEAST_MEMORY)
        self._seconds = float(SECONDS)
        # Most image sets to give to a process: twice what one measured before its time
        # was up.
        self._most_image_sets: int | None = None

    def run(self, missing: Iterable[int]) -> None:
        """Measure image sets; a part that fails is tried a second time.

        Parameters
        ----------
        missing : iterable of int
            Numbers of the image sets.
        """
        plan = self.plan
        self.waiting = divide_image_sets(
            plan.run, plan.processes, plan.images_per_batch, set(missing)
        )
        try:
            while self.waiting or self._failed_once or self._running:
                while self._has_room() and (self.waiting or self._failed_once):
                    self._start(self._choose_next())
                time.sleep(PAUSE)
                for part in list(self._running):
                    self._check_part(part)
        finally:
            for part in self._running:
                kill_tree(part.process)

    def _has_room(self) -> bool:
        """Whether one more process fits. The first always does, or none would run."""
        running = len(self._running)
        if running == 0:
            return True
        fits = (running + 1) * self._bytes_needed <= self._free_bytes
        return running < self.plan.processes and fits

    def _choose_next(self) -> Part:
        if self._failed_once:
            return self._failed_once.pop(0)
        plan = self.plan
        if plan.images_per_batch is None:
            # Divided anew each time, so that no process idles while others have much
            # work.
            numbers = self._list_numbers(self.waiting)
            idle = max(1, plan.processes - len(self._running))
            self.waiting = divide_image_sets(
                plan.run, idle, self._most_image_sets, numbers
            )
        return make_part(plan, *self.waiting.pop(0))

    def _list_numbers(self, spans: Iterable[tuple[int, int]]) -> set[int]:
        planned = {number for number, *_ in self.plan.run.image_sets}
        numbers: set[int] = set()
        for first, last in spans:
            numbers.update(range(first, last + 1))
        return planned & numbers

    def _check_part(self, part: Part) -> None:
        self._bytes_needed = max(self._bytes_needed, get_resident_bytes(part.process))
        # Checked before the log is read: if the process has ended, the log is complete.
        has_ended = part.has_ended()
        self.bar.update(part.count_new_image_sets(self.plan.run.last_module))
        if has_ended:
            self._running.remove(part)
            self._finish(part)

    def _start(self, part: Part) -> None:
        # Files of a failed try would be mistaken for those of this one.
        if part.folder.exists():
            shutil.rmtree(part.folder)
        part.folder.mkdir()
        part.remove_files()
        part.tries += 1
        # In each process the network uses its share of the cores.
        threads = max(1, count_cores() // self.plan.processes)
        environment = headless.build_environment(
            OMP_NUM_THREADS=str(threads), **{PART_VARIABLE: str(part.folder)}
        )
        # No time limit if the run cannot be divided, or the user set the size of parts.
        is_timed = self.plan.images_per_batch is None and not self.plan.run.sequential
        with open(part.get_path("log"), "w") as log:
            part.process = psutil.Popen(
                build_command(self.plan, part, self._seconds if is_timed else 0),
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
            )
        part.get_path("pid").write_text(str(part.process.pid))
        self._running.append(part)

    def _finish(self, part: Part) -> None:
        """Keep a complete part, and queue the image sets that it did not reach."""
        always_continue = self.plan.options.always_continue
        if part.find_fault(self.plan.run, always_continue):
            self.bar.update(-part.finished)
            (self._failed_once if part.tries < MOST_TRIES else self.failed).append(part)
            return
        begun = part.report.begun
        self.bar.update(len(begun) - part.finished)
        self.complete.append(part)
        # The longer a process takes to start, the longer it has to run to pay off.
        self._seconds = max(self._seconds, STARTS * part.report.starting)
        remaining = self._list_numbers([(part.first, part.last)]) - set(begun)
        if remaining:
            self._most_image_sets = 2 * len(begun)
            self.waiting.insert(0, (min(remaining), max(remaining)))


def stop_orphans(folder: str) -> None:
    """Stop the processes that a killed run has left running.

    Parameters
    ----------
    folder : str
        The folder of the parts.
    """
    for process in psutil.process_iter():
        # Processes of other users do not show their variables.
        with suppress(psutil.Error):
            part_folder = process.environ().get(PART_VARIABLE, "")
            if part_folder.startswith(f"{folder}{os.sep}"):
                kill_tree(process)


def kill_tree(process: psutil.Process) -> None:
    """Kill a process and its children, and wait until it is gone.

    Parameters
    ----------
    process : psutil.Process
        The parent process.
    """
    with suppress(psutil.NoSuchProcess):
        # Children first: once the parent is gone, they can no longer be found.
        for member in (*process.children(recursive=True), process):
            with suppress(psutil.NoSuchProcess):
                member.kill()
        process.wait()

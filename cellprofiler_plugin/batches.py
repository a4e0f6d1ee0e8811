"""A pipeline on all cores: CellProfiler processes that each take a part of the image sets, and one result.

OUTPUT/_parts-<digest>/   while it runs; the digest is that of the pipeline and of the image sets
    plan.json             which image sets are in which part
    running               number and start of the process that works here
    00001-00096/          what CellProfiler writes for a part; beside it .log, .pid and, when it has ended, .done
"""

import json
import math
import os
import re
import shlex
import shutil
import subprocess
import tempfile
import time
from collections import deque
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from tqdm import tqdm

from cellprofiler_plugin import headless, merge
from stratonet.files.atomic import write_atomically
from stratonet.parallel import count_cores

# Of the memory that is free, and what a process is taken to need until one has needed more.
SHARE, LEAST = 0.8, 2 * 2**30
# Seconds between two looks at the processes.
PAUSE = 0.3


@dataclass
class Part:
    """Consecutive image sets, run by one process."""

    first: int
    last: int
    folder: Path
    tries: int = 0
    process: psutil.Popen = None
    read: int = 0  # bytes of its log
    ended: int = 0  # image sets that have come through the last module

    def __len__(self):
        return self.last - self.first + 1

    def __str__(self):
        return f"Image sets {self.first} to {self.last}"

    def beside(self, suffix):
        return self.folder.with_name(f"{self.folder.name}.{suffix}")


class Batches:
    """The parts of a run.

    Parameters
    ----------
    pipeline : path
    output : path
        CellProfiler's default output folder.
    options : dict of str to str, optional
        Further options of ``cellprofiler -c -r`` by their long names, None for those
        without a value.
    processes : int, optional
        At most so many at once. Default: one a core. Fewer run where memory does not
        suffice.
    images_per_batch : int
        At most so many image sets a part, unless a group has more.

    Raises
    ------
    ValueError
        CellProfiler cannot run the pipeline so, or not in parts.
    """

    def __init__(
        self, pipeline, output, options=None, processes=None, images_per_batch=96
    ):
        self.pipeline, self.output = Path(pipeline).resolve(), Path(output).resolve()
        self.options = options or {}
        self.plan = self._ask()
        images = self.options.get("image-directory")
        if (
            images
            and self.plan["searches"]
            and Path(images).resolve() in (self.output, *self.output.parents)
        ):
            raise ValueError(
                "The output folder lies in the folder of the images, where the"
                " processes would take each other's files for images. Choose another"
                f" one. Received: {self.output}"
            )
        self.work = self.output / f"_parts-{self.plan['digest']}"
        path = self.work / "plan.json"
        if path.exists():
            self.plan = json.loads(path.read_text())
        else:
            self.plan["parts"] = divide(
                self.plan, processes or count_cores(), images_per_batch
            )
        self.parts = [
            Part(*edges, self.work / "{:05d}-{:05d}".format(*edges))
            for edges in self.plan["parts"]
        ]
        self.processes = min(processes or count_cores(), len(self.parts))
        self.count = sum(map(len, self.parts))

    def run(self, quiet=False):
        """Run what is missing, and merge; what was done, in words.

        Raises
        ------
        RuntimeError
            A part failed twice; the message holds CellProfiler's errors. What is
            complete is kept: the same call goes on.
        """
        began = time.monotonic()
        with self._alone():
            todo = [part for part in self.parts if self._lacks(part)]
            kept = self.count - sum(map(len, todo))
            with tqdm(
                total=self.count,
                initial=kept,
                unit=" image sets",
                disable=quiet,
                dynamic_ncols=True,
            ) as bar:
                failed = self._run(deque(todo), bar)
            if failed:
                raise RuntimeError(
                    f"{failed[0]} could not be run: {self._lacks(failed[0])}."
                    " CellProfiler"
                    f" said:\n{headless.read_errors(failed[0].beside('log'))}\nAll of"
                    f" it: {failed[0].beside('log')}\n{len(self.parts) - len(failed)}"
                    f" of {len(self.parts)} parts are complete and kept; when the"
                    " reason is mended, the same command runs the others."
                    " --always-continue passes over what cannot be measured."
                )
            self._merge()
        seconds, measured = time.monotonic() - began, self.count - kept
        return (
            f"Image sets   {measured} run by up to {self.processes}"
            f" processes{f', {kept} were there' if kept else ''}\nTime        "
            f" {seconds:,.0f} s\nOutput       {self.output}"
        )

    def jobs(self):
        """The commands that run what is missing, for a scheduler; when all have ended, `run` merges.

        Returns
        -------
        list of str
        """
        self._keep_plan()
        missing = [part for part in self.parts if self._lacks(part)]
        for part in missing:
            part.beside("log").unlink(missing_ok=True)  # it tells of an earlier try
        return [shlex.join(self._command_of(part)) for part in missing]

    def distributed(self):
        """The job file of Distributed-CellProfiler, a job a group, as a dict.

        Raises
        ------
        ValueError
            The pipeline does not group its image sets.
        """
        groups = self.plan["groups"]
        if groups == [{}]:
            raise ValueError(
                "Distributed-CellProfiler runs a job a group, and this pipeline does"
                " not group its image sets. Group them in LoadData or Groups, for"
                " example by Metadata_Plate and Metadata_Well."
            )
        return {
            "pipeline": str(self.pipeline),
            "data_file": str(self.options.get("data-file", "")),
            "input": str(self.options.get("image-directory", "")),
            "output": str(self.output),
            "output_structure": "/".join(groups[0]),
            "groups": [
                {"Metadata": ",".join(f"{key}={value}" for key, value in group.items())}
                for group in groups
            ],
        }

    def _ask(self):
        """What CellProfiler would do, see `_plan`."""
        with tempfile.TemporaryDirectory() as folder:
            answer, log = Path(folder, "plan.json"), Path(folder, "log")
            command = self._command(folder)
            command[2:3] = ["cellprofiler_plugin.plan", str(answer)]
            with open(log, "w") as file:
                subprocess.run(
                    command,
                    stdout=file,
                    stderr=subprocess.STDOUT,
                    env=headless.build_environment(),
                )
            if not answer.exists():
                raise RuntimeError(
                    f"CellProfiler did not read {self.pipeline}. It"
                    f" said:\n{headless.read_errors(log)}"
                )
            plan = json.loads(answer.read_text())
        if "error" in plan:
            raise ValueError(f"{self.pipeline}: {plan['error']}")
        return plan

    def _keep_plan(self):
        self.work.mkdir(parents=True, exist_ok=True)
        with write_atomically(self.work / "plan.json") as partial:
            partial.write_text(json.dumps(self.plan))

    def _command(self, folder, **more):
        options = {
            **self.options,
            **{name.replace("_", "-"): value for name, value in more.items()},
        }
        arguments = [
            f"--{name}" if value is None else f"--{name}={value}"
            for name, value in options.items()
        ]
        return headless.build_command(self.pipeline, folder, *arguments)

    def _command_of(self, part):
        edges = {"first_image_set": part.first, "last_image_set": part.last}
        return self._command(part.folder, **edges, done_file=part.beside("done"))

    @contextmanager
    def _alone(self):
        """Refuse to work where another process does.

        Stop what a run that was killed has left running.
        """
        self._keep_plan()
        running = self.work / "running"
        if running.exists() and _is_alive(running.read_text()):
            running_now = running.read_text().split()[0]
            raise RuntimeError(
                f"Process {running_now} is at this already. Its parts are in"
                f" {self.work}."
            )
        running.write_text(f"{os.getpid()} {psutil.Process().create_time()}")
        try:
            for part in self.parts:
                if part.beside("pid").exists():
                    with suppress(psutil.NoSuchProcess):
                        process = psutil.Process(int(part.beside("pid").read_text()))
                        if str(part.folder) in " ".join(process.cmdline()):
                            _kill(process)
            yield
        finally:
            running.unlink(missing_ok=True)

    def _run(self, waiting, bar):
        """Run parts, each a second time if the first fails; those that failed twice."""
        memory, need = psutil.virtual_memory().available * SHARE, LEAST
        running, failed = [], []
        try:
            while waiting or running:
                while (
                    waiting
                    and len(running) < self.processes
                    and (len(running) + 1) * need <= max(memory, need)
                ):
                    running.append(self._start(waiting.popleft()))
                time.sleep(PAUSE)
                for part in list(running):
                    need = max(need, _memory(part.process))
                    ended = part.process.poll() is not None
                    bar.update(self._progress(part))
                    if ended:
                        running.remove(part)
                        if self._lacks(part):
                            bar.update(-part.ended)
                            (waiting if part.tries == 1 else failed).append(part)
                        else:
                            bar.update(len(part) - part.ended)
        finally:
            for part in running:
                _kill(part.process)
        return failed

    def _start(self, part):
        if part.folder.exists():
            shutil.rmtree(part.folder)
        part.folder.mkdir()
        part.beside("done").unlink(missing_ok=True)
        part.tries, part.read, part.ended = part.tries + 1, 0, 0
        environment = headless.build_environment(
            OMP_NUM_THREADS=str(max(1, count_cores() // self.processes))
        )
        with open(part.beside("log"), "w") as file:
            part.process = psutil.Popen(
                self._command_of(part),
                stdout=file,
                stderr=subprocess.STDOUT,
                env=environment,
            )
        part.beside("pid").write_text(str(part.process.pid))
        return part

    def _progress(self, part):
        """How many more image sets have come through the last module."""
        with open(part.beside("log"), "rb") as log:
            log.seek(part.read)
            lines = log.read().rpartition(b"\n")[0]
        part.read += len(lines)
        new = len(
            re.findall(
                rb"Image # \d+, module \S+ # %d:" % self.plan["last_module"], lines
            )
        )
        part.ended += new
        return new

    def _lacks(self, part):
        """What a part lacks to be complete, in words.

        The exit status of CellProfiler does not tell.
        """
        done, log = part.beside("done"), part.beside("log")
        if not done.exists():
            return "it did not end"
        if done.read_text().strip() != "Complete":
            return "it ended with an error"
        if log.exists():
            seen = set(
                map(
                    int,
                    re.findall(
                        r"Image # (\d+), module", log.read_text(errors="replace")
                    ),
                )
            )
            missing = [
                number
                for number in range(part.first, part.last + 1)
                if number not in seen
            ]
            if missing:
                return (
                    f"{len(missing)} image sets were passed over, the first:"
                    f" {missing[0]}"
                )
        lacking = [
            name for name in self.plan["writes"] if not list(part.folder.rglob(name))
        ]
        if self.plan["tables"] and not any(
            merge.table_of(path) for path in part.folder.rglob("*") if path.is_file()
        ):
            lacking.append("the tables of ExportToSpreadsheet")
        return f"it did not write {', '.join(lacking)}" if lacking else ""

    def _merge(self):
        merge.merge([part.folder for part in self.parts], self.output)
        with open(self.output / headless.LOG, "w") as merged:
            for part in self.parts:
                if part.beside("log").exists():
                    merged.write(part.beside("log").read_text(errors="replace"))
        shutil.rmtree(self.work)


def divide(plan, processes, images_per_batch):
    """First and last image set of each part: groups are kept together, and parts are about equal.

    Parameters
    ----------
    plan : dict
        ``image_sets`` and ``whole`` of `_plan`.
    processes, images_per_batch : int
        See `Batches`.

    Returns
    -------
    list of [int, int]

    Raises
    ------
    ValueError
        The image sets of a group do not follow each other.
    """
    groups = {}
    for number, group in plan["image_sets"]:
        groups.setdefault(group, []).append(number)
    units = list(groups.values())
    if len(units) == 1 and not plan["whole"]:
        units = [[number] for number in units[0]]
    total = len(plan["image_sets"])
    most = math.ceil(
        total / (processes * math.ceil(total / (processes * images_per_batch)))
    )
    parts = []
    for unit in units:
        if unit != list(range(unit[0], unit[0] + len(unit))):
            raise ValueError(
                "The image sets of a group do not follow each other. Sort the image"
                " sets by their groups."
            )
        if parts and parts[-1][1] + 1 == unit[0] and unit[-1] - parts[-1][0] < most:
            parts[-1][1] = unit[-1]
        else:
            parts.append([unit[0], unit[-1]])
    return parts


def _memory(process):
    """Bytes that a process and its children hold."""
    with suppress(psutil.Error):
        return sum(
            one.memory_info().rss
            for one in (process, *process.children(recursive=True))
        )
    return 0


def _is_alive(text):
    """Whether there is still the process of this number and start.

    Numbers are used again.
    """
    number, start = text.split()
    try:
        return psutil.Process(int(number)).create_time() == float(start)
    except psutil.NoSuchProcess:
        return False


def _kill(process):
    with suppress(psutil.NoSuchProcess):
        for one in (*process.children(recursive=True), process):
            with suppress(psutil.NoSuchProcess):
                one.kill()
        process.wait()

"""The resources of its machine that a run uses.

As in table 9 of the thesis (section C, "Performance in time").
"""

from __future__ import annotations

import csv
import io
import platform
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from stratonet.extras import name_missing_extra

with name_missing_extra("Watching a machine", "cellprofiler", "extract"):
    import psutil

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

PERIOD = 1.0  # seconds between samples
MB = 2**20


class _CpuSeconds(NamedTuple):
    """Seconds of all cores since the machine started."""

    busy: float
    total: float


class Monitor:
    """Samples processor and memory once a second, in a thread of its own.

    ::

        with Monitor() as monitor:
            ...
        monitor.report()

    As a Ray actor: `start`, then `report` as often as wanted. The numbers are those of
    the whole machine with all its containers, as in the thesis; only
    ``process_memory_max_mb`` is that of this process and its children.

    Examples
    --------
    >>> with Monitor() as monitor:
    ...     total = sum(range(1000))
    >>> monitor.report()["cores"] >= 1
    True
    """

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        error_class: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start sampling."""
        # Threads and locks are made here, because an actor's class and its arguments
        # are pickled; what it starts is not.
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._began = self._last = time.monotonic()
        # Not psutil.cpu_percent: its first answer in each thread is 0.
        self._cpu_began = self._cpu_last = _read_cpu_seconds()
        self._cpu_max = self._memory_max = self._process_max = 0.0
        self._memory_sum = 0.0
        self._samples = 0
        self._sample()
        self._thread = threading.Thread(
            target=self._watch, name="stratonet-monitor", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Take a last sample and stop sampling."""
        self._stopped.set()
        self._thread.join()
        self._sample()

    def report(self) -> dict[str, Any]:
        """Return the numbers from the start until `stop`, or until now.

        Returns
        -------
        dict
            ``cpu_percent_mean``, ``cpu_percent_max`` (of all cores, over the whole run
            and over its busiest second), ``memory_percent_mean``,
            ``memory_percent_max`` (of the machine's memory), ``process_memory_max_mb``
            (resident memory of the process and its children in MiB; what they share
            counts once for each), ``hours``, ``cores`` and ``host``.
        """
        if not self._stopped.is_set():
            self._sample()
        with self._lock:
            cpu = _percent_busy(self._cpu_began, self._cpu_last)
            return {
                "cpu_percent_mean": cpu,
                # The last part of a second may be the busiest, and a short run consists
                # of nothing else.
                "cpu_percent_max": max(cpu, self._cpu_max),
                "memory_percent_mean": self._memory_sum / self._samples,
                "memory_percent_max": self._memory_max,
                "process_memory_max_mb": self._process_max,
                "hours": (self._last - self._began) / 3600,
                "cores": psutil.cpu_count(),
                "host": platform.node(),
            }

    def _watch(self) -> None:
        while not self._stopped.wait(PERIOD):
            self._sample()

    def _sample(self) -> None:
        with self._lock:
            now = time.monotonic()
            processor = _read_cpu_seconds()
            # Over shorter times, the clock's ticks are too coarse.
            if now - self._last >= PERIOD:
                busy = _percent_busy(self._cpu_last, processor)
                self._cpu_max = max(self._cpu_max, busy)
            memory = psutil.virtual_memory().percent
            self._memory_sum += memory
            self._samples += 1
            self._memory_max = max(self._memory_max, memory)
            self._process_max = max(self._process_max, get_resident_bytes() / MB)
            self._last = now
            self._cpu_last = processor


def format_resources_csv(rows: Sequence[Mapping[str, Any]]) -> bytes:
    r"""Write reports as a CSV file, one line per run.

    Parameters
    ----------
    rows : sequence of mapping
        A description of each run, then its `Monitor.report`. All have the same keys,
        which become the header.

    Returns
    -------
    bytes
        The content of the file.

    Examples
    --------
    >>> format_resources_csv([{"images": 96, "hours": 0.5}])
    b'images,hours\n96,0.5\n'
    """
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue().encode()


def summarize_resources(reports: Sequence[Mapping[str, Any]]) -> str:
    """Summarise reports for people, in the columns of the thesis's table 9.

    Parameters
    ----------
    reports : sequence of mapping
        `Monitor.report` of each machine.

    Returns
    -------
    str
        A line of headings, and a line of numbers.
    """
    cpu_mean, memory_mean = (
        sum(report[f"{name}_percent_mean"] for report in reports) / len(reports)
        for name in ("cpu", "memory")
    )
    cpu_max, memory_max = (
        max(report[f"{name}_percent_max"] for report in reports)
        for name in ("cpu", "memory")
    )
    hours = max(report["hours"] for report in reports)
    return (
        "CPU %: average    max   Memory %: average    max   Realtime (hours)  "
        f" Machines\n{cpu_mean:14.1f} {cpu_max:6.1f} {memory_mean:19.1f}"
        f" {memory_max:6.1f} {hours:18.3f} {len(reports):10}"
    )


def get_resident_bytes(process: psutil.Process | None = None) -> int:
    """Return the bytes of memory that a process and its children use.

    Parameters
    ----------
    process : psutil.Process, optional
        Default: this process.

    Returns
    -------
    int
        Resident bytes; shared memory counts once for each process. 0 for a process that
        has ended.

    Examples
    --------
    >>> get_resident_bytes() > 2**20
    True
    """
    if process is None:
        process = psutil.Process()
    try:
        family = [process, *process.children(recursive=True)]
    except psutil.Error:
        return 0
    size = 0
    for member in family:
        # Any of them may end while the others are read.
        with suppress(psutil.Error):
            size += member.memory_info().rss
    return size


def _read_cpu_seconds() -> _CpuSeconds:
    times = psutil.cpu_times()
    # User time includes guest time.
    total = sum(times) - getattr(times, "guest", 0) - getattr(times, "guest_nice", 0)
    busy = total - times.idle - getattr(times, "iowait", 0)
    return _CpuSeconds(busy, total)


def _percent_busy(began: Sequence[float], ended: Sequence[float]) -> float:
    busy, total = (after - before for before, after in zip(began, ended))
    # Ticks of a busy core are rounded: the share may come out a hair over 100.
    return min(100 * busy / total, 100.0) if total > 0 else 0.0

"""The same units of work on a Ray cluster: tasks read and decode, actors measure."""

from __future__ import annotations

import dataclasses
import itertools
import logging
import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

import ray
import ray.data
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from stratonet.extraction.measure import (
    READERS_PER_CORE,
    measure_unit,
    prepare_unit,
    read_unit,
)
from stratonet.resources import Monitor

if TYPE_CHECKING:
    from stratonet.extraction.destination import Destination
    from stratonet.extraction.job import Job
    from stratonet.extraction.outcome import Outcome
    from stratonet.extraction.units import Unit

T = TypeVar("T")
# Units handed to Ray at a time: their tables wait in this process.
UNITS_AT_ONCE = 20_000
# A share of a core: a reader waits for S3 most of its time. It differs from the actors'
# share, or Ray would run both in one process.
READER_CPUS = 0.5
# What stops a run is returned as a value: Ray keeps only the text of an exception, and
# puts its own traceback around it.
STOPPING_ERRORS = (OSError, ValueError)


class RayEngine:
    """Measures on a Ray cluster; see `Engine`.

    If a node is lost, nothing is: Ray gives its units to other nodes, and a unit is
    done only when its file is at the destination, which all nodes must reach.

    Parameters
    ----------
    address : str, optional
        Of the cluster. Default: the one that this machine belongs to, or else a new one
        on this machine.
    """

    name = "ray"

    def __init__(self, address: str | None = None) -> None:
        self.address = address

    def __enter__(self) -> RayEngine:
        if not ray.is_initialized():
            ray.init(
                address=self.address, log_to_driver=False, logging_level=logging.ERROR
            )
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        ray.data.DataContext.get_current().enable_progress_bars = False
        self._monitors = _start_monitors()
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for monitor in self._monitors:
            ray.kill(monitor)

    def submit(self, function: Callable[..., T], *arguments: Any) -> Future[T]:
        """Call a function on any node, see `Engine.submit`."""
        # No core of its own: the actors may hold them all until the end.
        call = _call.options(num_cpus=0, scheduling_strategy="SPREAD")
        future: Future[T] = Future()
        # Ray cannot take it back.
        future.set_running_or_notify_cancel()
        answer = call.remote(function, *arguments).future()
        answer.add_done_callback(partial(_pass_on, future))
        return future

    def report_resources(self) -> list[Mapping[str, Any]]:
        """Report time, CPU and memory per node, see `Engine.report_resources`."""
        reports = []
        for monitor in self._monitors:
            with suppress(ray.exceptions.RayError):  # its node was lost
                reports.append(ray.get(monitor.report.remote()))
        return reports

    def measure_units(
        self,
        destination: Destination,
        units: Iterable[Unit],
        advance: Callable[[int], None],
    ) -> Iterator[tuple[Unit, Outcome]]:
        """Measure units and write them, see `Engine.measure_units`."""
        waiting = iter(units)
        chunk = list(itertools.islice(waiting, UNITS_AT_ONCE))
        while chunk:
            for row in _plan_chunk(destination, chunk).iter_rows():
                if row["error"]:
                    raise pickle.loads(row["error"])
                unit = chunk[row["number"]]
                advance(len(unit.rows))
                yield unit, pickle.loads(row["outcome"])
            chunk = list(itertools.islice(waiting, UNITS_AT_ONCE))


def _start_monitors() -> list[Any]:
    """A monitor on each node."""
    # Without a core of their own: they must not take one from the network.
    monitor_class = ray.remote(num_cpus=0)(Monitor)
    monitors = []
    for node in ray.nodes():
        if node["Alive"]:
            here = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            monitor = monitor_class.options(scheduling_strategy=here).remote()
            monitor.start.remote()
            monitors.append(monitor)
    return monitors


def _plan_chunk(destination: Destination, chunk: Sequence[Unit]) -> ray.data.Dataset:
    """A Ray dataset of units, which are measured as its rows are drawn."""
    resources = ray.cluster_resources()
    n_gpus = int(resources.get("GPU", 0))
    # One network per GPU, or per core where there are none.
    n_actors = n_gpus or max(1, int(resources["CPU"]))
    items = [
        # Pickled: Ray would make Arrow tables of the frames in a unit.
        {"number": number, "unit": pickle.dumps(unit)}
        for number, unit in enumerate(chunk)
    ]
    # One block per unit: a block is what Ray does again when a node is lost.
    units = ray.data.from_items(items, override_num_blocks=len(items))
    read = units.map(_read_item, fn_args=[destination.job], num_cpus=READER_CPUS)
    return read.map(
        _UnitMeasurer,
        fn_constructor_args=[destination],
        num_cpus=1,
        num_gpus=1 if n_gpus else 0,
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=n_actors),
    )


@ray.remote
def _call(function: Callable[..., T], *arguments: Any) -> tuple[T | None, bytes]:
    try:
        return function(*arguments), b""
    except STOPPING_ERRORS as stopping:
        return None, pickle.dumps(stopping)


def _pass_on(future: Future[Any], answer: Future[tuple[Any, bytes]]) -> None:
    """Give what `_call` has returned, or what it has caught, to a future."""
    try:
        result, error = answer.result()
        if error:
            raise pickle.loads(error)
    except BaseException as stopping:
        future.set_exception(stopping)
    else:
        future.set_result(result)


def _read_item(item: dict[str, Any], job: Job) -> dict[str, Any]:
    """Read a unit and prepare its planes; in a task."""
    # Rows of a dataset have the same columns: empty bytes stand for none.
    image_sets = error = b""
    try:
        unit = pickle.loads(item["unit"])
        with ThreadPoolExecutor(READERS_PER_CORE) as pool:
            prepared = prepare_unit(job, unit, read_unit(job, unit, pool))
            image_sets = pickle.dumps(list(prepared), protocol=5)
    except STOPPING_ERRORS as stopping:
        error = pickle.dumps(stopping)
    return {**item, "image_sets": image_sets, "error": error}


class _UnitMeasurer:
    """Holds the network, measures what was read and writes it; in an actor."""

    def __init__(self, destination: Destination) -> None:
        # Here, not above: the process that hands out units needs no network.
        import onnxruntime

        job = destination.job
        providers = onnxruntime.get_available_providers()
        if ray.get_gpu_ids() and "CUDAExecutionProvider" in providers:
            job = dataclasses.replace(job, provider="CUDAExecutionProvider")
        self.destination = dataclasses.replace(destination, job=job)

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        outcome = error = item["error"]
        if not error:
            try:
                outcome = pickle.dumps(self._measure(item))
            except STOPPING_ERRORS as stopping:
                error = pickle.dumps(stopping)
        return {
            "number": item["number"],
            "outcome": outcome,
            "error": error,
        }

    def _measure(self, item: dict[str, Any]) -> Outcome:
        unit = pickle.loads(item["unit"])
        image_sets = pickle.loads(item["image_sets"])
        measured = measure_unit(self.destination.job, unit, image_sets)
        return self.destination.write_unit(unit, measured)

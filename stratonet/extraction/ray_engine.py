"""The engine that runs units of work on a Ray cluster.

Each actor reads, measures and writes. It does with a core (or a GPU and its cores) what
the local engine does with a machine. Pixels never leave the process that has read them:
between processes they would be packed, copied to Ray's object store and unpacked, and
when the store is full, reading and measuring would wait for each other.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import pickle
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

import ray
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from stratonet.extraction.measure import READERS_PER_CORE, measure_unit, read_unit
from stratonet.resources import Monitor

if TYPE_CHECKING:
    from stratonet.extraction.destination import Destination
    from stratonet.extraction.outcome import Outcome
    from stratonet.extraction.units import Unit

T = TypeVar("T")
# Units per actor: while one is being written, the next is measured.
UNITS_AT_ONCE = 2
# Seconds until the next check whether the cluster has grown.
PATIENCE = 5.0
# The run stops if a unit has been lost this many times with its process, or if this
# many processes have not even started.
MOST_LOSSES = 5
# Errors that stop a run are returned as values: Ray keeps only the text of an
# exception, and puts its own traceback around it.
STOPPING_ERRORS = (OSError, ValueError)


class RayEngine:
    """Measures on a Ray cluster; see `Engine`.

    If a node is lost, no features are: its units are given to other nodes, and a unit
    is done only when its file is at the destination, which all nodes must reach.

    Parameters
    ----------
    address : str, optional
        Address of the cluster. Default: the cluster that this machine belongs to, or
        else a new one on this machine.
    """

    name = "ray"

    def __init__(self, address: str | None = None) -> None:
        self.address = address

    def __enter__(self) -> RayEngine:
        if not ray.is_initialized():
            ray.init(
                address=self.address, log_to_driver=False, logging_level=logging.ERROR
            )
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
        # It asks for no core, since the actors may occupy all cores until the end.
        remote_function = _call_function.options(
            num_cpus=0, scheduling_strategy="SPREAD"
        )
        future: Future[T] = Future()
        # Ray cannot cancel the call, so the future must not be cancelled either.
        future.set_running_or_notify_cancel()
        ray_future = remote_function.remote(function, *arguments).future()
        ray_future.add_done_callback(partial(_pass_on_result, future))
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
        team = _Team(destination, units)
        try:
            while team.distribute_units():
                for unit, outcome in team.wait():
                    advance(len(unit.rows))
                    yield unit, outcome
        finally:
            team.dismiss_actors()


class _Team:
    """The actors that measure, as many as fit on the cluster, and their units."""

    def __init__(self, destination: Destination, units: Iterable[Unit]) -> None:
        self._destination = destination
        self._units = iter(units)
        self._waiting_units: deque[Unit] = deque()
        # By the reference of Ray's answer: actors that are starting, and actors with
        # the unit that they measure.
        self._starting: dict[ray.ObjectRef, Any] = {}
        self._running: dict[ray.ObjectRef, tuple[Any, Unit]] = {}
        self._actors: list[Any] = []
        # By plate and name.
        self._losses: Counter[tuple[str, str]] = Counter()
        self._false_starts = 0

    def distribute_units(self) -> bool:
        """Start actors and hand out units; return whether any unit is unfinished."""
        n_actors, resources = _plan_actors()
        self._draw_units(n_actors)
        actor_class = ray.remote(max_concurrency=UNITS_AT_ONCE)(_UnitMeasurer)
        n_wanted = min(n_actors, len(self._waiting_units) + len(self._running))
        for _ in range(n_wanted - len(self._actors) - len(self._starting)):
            actor = actor_class.options(**resources).remote(self._destination)
            self._starting[actor.confirm_start.remote()] = actor
        self._hand_out_units()
        return bool(self._waiting_units or self._running)

    def wait(self) -> Iterator[tuple[Unit, Outcome]]:
        """Wait for answers, and yield the units that are done."""
        references = [*self._running, *self._starting]
        answered_references, _ = ray.wait(references, timeout=PATIENCE)
        for reference in answered_references:
            if reference in self._starting:
                self._add_actor(reference)
                continue
            actor, unit = self._running.pop(reference)
            try:
                outcome, error = ray.get(reference)
            except RayTaskError:
                raise
            except RayError as lost_error:
                self._recover_unit(actor, unit, lost_error)
                continue
            if error:
                raise pickle.loads(error)
            yield unit, outcome

    def dismiss_actors(self) -> None:
        """End all actors."""
        for actor in [*self._actors, *self._starting.values()]:
            ray.kill(actor)

    def _draw_units(self, count: int) -> None:
        """Take units from the iterator until this many wait, if there are enough."""
        while len(self._waiting_units) < count:
            unit = next(self._units, None)
            if unit is None:
                return
            self._waiting_units.append(unit)

    def _hand_out_units(self) -> None:
        loads = Counter({id(actor): 0 for actor in self._actors})
        loads.update(id(actor) for actor, _ in self._running.values())
        while self._waiting_units and self._actors:
            # The actor with the fewest units, so that near the end no actor has two
            # units while another has none.
            idlest = min(self._actors, key=lambda actor: loads[id(actor)])
            if loads[id(idlest)] == UNITS_AT_ONCE:
                return
            unit = self._waiting_units.popleft()
            self._running[idlest.measure.remote(unit)] = (idlest, unit)
            loads[id(idlest)] += 1

    def _add_actor(self, reference: ray.ObjectRef) -> None:
        actor = self._starting.pop(reference)
        try:
            ray.get(reference)
        except RayError as error:
            self._false_starts += 1
            if not self._actors and self._false_starts >= MOST_LOSSES:
                raise OSError(
                    f"{MOST_LOSSES} processes on the Ray cluster did not start. Is"
                    f" StratoNet installed on every node? The last one: {error}"
                ) from None
        else:
            self._actors.append(actor)

    def _recover_unit(self, actor: Any, unit: Unit, lost_error: RayError) -> None:
        """Give the unit of a process that has ended to another process."""
        self._waiting_units.appendleft(unit)
        self._losses[unit.plate, unit.name] += 1
        if actor in self._actors:
            self._actors.remove(actor)
            # The process may still run, and only be unreachable.
            ray.kill(actor)
        if self._losses[unit.plate, unit.name] == MOST_LOSSES:
            raise OSError(
                f"Well {unit.well} of {unit.plate} was lost {MOST_LOSSES} times, each"
                " time with its process on the Ray cluster: a node was lost, or does"
                f" not have enough memory. The last time: {lost_error}"
            )


def _plan_actors() -> tuple[int, dict[str, float]]:
    """Return how many actors fit on the cluster, and the resources of each."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    gpu_nodes = [node for node in nodes if node.get("GPU", 0) >= 1]
    if not gpu_nodes:
        n_cpus = sum(int(node.get("CPU", 0)) for node in nodes)
        return max(1, n_cpus), {"num_cpus": 1}
    # The network uses the GPU; the cores of its node read and decode for it. All actors
    # need the same resources, so these must fit on every node.
    shares = [node.get("CPU", 0) // int(node["GPU"]) for node in gpu_nodes]
    n_gpus = sum(int(node["GPU"]) for node in gpu_nodes)
    return n_gpus, {"num_cpus": max(1, min(shares)), "num_gpus": 1}


def _start_monitors() -> list[Any]:
    """Start a monitor on each node."""
    # They ask for no core, so that they do not take one from the network.
    monitor_class = ray.remote(num_cpus=0)(Monitor)
    monitors = []
    for node in ray.nodes():
        if node["Alive"]:
            node_strategy = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            monitor = monitor_class.options(scheduling_strategy=node_strategy).remote()
            monitor.start.remote()
            monitors.append(monitor)
    return monitors


@ray.remote
def _call_function(
    function: Callable[..., T], *arguments: Any
) -> tuple[T | None, bytes]:
    try:
        return function(*arguments), b""
    except STOPPING_ERRORS as error:
        return None, pickle.dumps(error)


def _pass_on_result(future: Future[Any], ray_future: Future[tuple[Any, bytes]]) -> None:
    """Pass on the result of `_call`, or the error that it caught, to a future."""
    try:
        result, error = ray_future.result()
        if error:
            raise pickle.loads(error)
    except BaseException as stopping_error:
        future.set_exception(stopping_error)
    else:
        future.set_result(result)


class _UnitMeasurer:
    """Reads units, measures and writes them, in an actor."""

    def __init__(self, destination: Destination) -> None:
        # Imported here because the process that hands out units needs no network.
        import onnxruntime

        # Ray sets this only if it is not set already; more threads would slow it down.
        n_cores = int(ray.get_runtime_context().get_assigned_resources()["CPU"])
        os.environ["OMP_NUM_THREADS"] = str(n_cores)
        job = destination.job
        providers = onnxruntime.get_available_providers()
        if ray.get_gpu_ids() and "CUDAExecutionProvider" in providers:
            job = dataclasses.replace(job, provider="CUDAExecutionProvider")
        self.destination = dataclasses.replace(destination, job=job)
        self.readers = ThreadPoolExecutor(READERS_PER_CORE * n_cores)

    def confirm_start(self) -> None:
        """Confirm that the actor has started."""

    def measure(self, unit: Unit) -> tuple[Outcome | None, bytes]:
        """Measure a unit and write it."""
        job = self.destination.job
        try:
            image_sets = read_unit(job, unit, self.readers)
            measured = measure_unit(job, unit, image_sets)
            return self.destination.write_unit(unit, measured), b""
        except STOPPING_ERRORS as error:
            return None, pickle.dumps(error)

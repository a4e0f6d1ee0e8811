"""The same units of work on a Ray cluster.

Tasks read and decode, actors hold the network.
"""

import dataclasses
import itertools
import logging
import pickle
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import ray
import ray.data
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from stratonet.extraction.measure import READERS_PER_CORE
from stratonet.resources import Monitor

# Units handed to Ray at a time: their tables wait in this process.
CHUNK = 20_000
# A share of a core: a reader waits for S3 most of its time. It differs from the actors' share, or Ray would run both in
# one process.
READER_CPUS = 0.5


class Ray:
    """A Ray cluster: a context manager, which watches the resources of its nodes meanwhile.

    Parameters
    ----------
    address : str, optional
        Default: the cluster that this machine belongs to, or else a new one on this
        machine.
    """

    def __init__(self, address=None):
        self._address = address

    def __enter__(self):
        if not ray.is_initialized():
            ray.init(
                address=self._address, log_to_driver=False, logging_level=logging.ERROR
            )
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        ray.data.DataContext.get_current().enable_progress_bars = False
        monitor = ray.remote(num_cpus=0)(Monitor)
        nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"]]
        self._monitors = [
            monitor.options(
                scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)
            ).remote()
            for node in nodes
        ]
        for one in self._monitors:
            one.start.remote()
        return self

    def __exit__(self, *failure):
        for monitor in self._monitors:
            ray.kill(monitor)

    def submit(self, function, *arguments):
        """Call a function on any node, beside the measuring.

        A `concurrent.futures.Future`.
        """
        # No core of its own: the actors may hold them all until the end.
        return (
            _call.options(num_cpus=0, scheduling_strategy="SPREAD")
            .remote(function, *arguments)
            .future()
        )

    def reports(self):
        """What the run takes of the nodes that are still there.

        A list of `Monitor.report`.
        """
        reports = []
        for monitor in self._monitors:
            with suppress(ray.exceptions.RayError):  # its node was lost
                reports.append(ray.get(monitor.report.remote()))
        return reports

    def measure(self, destination, units, advance):
        """Measure units and write them, as `stratonet.extraction.local_engine.Local.measure` does.

        A node that is lost takes nothing with it: Ray gives its units to others, and a
        unit is done when its file is at the destination, which all nodes must reach.
        """
        there = ray.cluster_resources()
        gpus = int(there.get("GPU", 0))
        units = iter(units)
        while chunk := list(itertools.islice(units, CHUNK)):
            items = [
                {"number": number, "unit": pickle.dumps(unit)}
                for number, unit in enumerate(chunk)
            ]
            data = ray.data.from_items(items, override_num_blocks=len(items))
            data = data.map(_read, fn_args=[destination.recipe], num_cpus=READER_CPUS)
            data = data.map(
                _Measure,
                fn_constructor_args=[destination],
                num_cpus=1,
                num_gpus=1 if gpus else 0,
                compute=ray.data.ActorPoolStrategy(
                    min_size=1, max_size=gpus or max(1, int(there["CPU"]))
                ),
            )
            for row in data.iter_rows():
                if row["stop"]:
                    raise pickle.loads(row["stop"])
                unit = chunk[row["number"]]
                advance(len(unit.rows))
                yield unit, row["failed"]


@ray.remote
def _call(function, *arguments):
    return function(*arguments)


# What stops a run is passed on as a value: of an exception Ray keeps the text alone, with its own account around it.
STOPS = (OSError, ValueError)


def _read(item, recipe):
    fields, stop = b"", b""
    try:
        with ThreadPoolExecutor(READERS_PER_CORE) as pool:
            unit = pickle.loads(item["unit"])
            fields = pickle.dumps(
                list(recipe.prepare(unit, recipe.read(unit, pool))), protocol=5
            )
    except STOPS as error:
        stop = pickle.dumps(error)
    return {**item, "fields": fields, "stop": stop}


class _Measure:
    def __init__(self, destination):
        import onnxruntime

        recipe = destination.recipe
        if (
            ray.get_gpu_ids()
            and "CUDAExecutionProvider" in onnxruntime.get_available_providers()
        ):
            recipe = dataclasses.replace(recipe, provider="CUDAExecutionProvider")
        self.destination = dataclasses.replace(destination, recipe=recipe)

    def __call__(self, item):
        failed, stop = 0, item["stop"]
        if not stop:
            unit = pickle.loads(item["unit"])
            try:
                measured = self.destination.recipe.measure(
                    unit, pickle.loads(item["fields"])
                )
                failed = self.destination.write(unit, measured)
            except STOPS as error:
                stop = pickle.dumps(error)
        return {"number": item["number"], "failed": failed, "stop": stop}

"""The same units of work on a Ray cluster: tasks read and decode, actors hold the network."""

import dataclasses
import itertools
import logging
import pickle
from concurrent.futures import ThreadPoolExecutor

import ray
import ray.data

from .measure import READERS_PER_CORE

# Units handed to Ray at a time: their tables wait in this process.
CHUNK = 20_000
# A share of a core: a reader waits for S3 most of its time. It differs from the actors' share, or Ray would run both in
# one process.
READER_CPUS = 0.5


def measure(destination, units, advance, address):
    """Measure units on a cluster: yield each, with how many of its image sets could not be measured whole.

    A node that is lost takes nothing with it: Ray gives its units to others, and a unit is done when its file is at the
    destination.

    Parameters
    ----------
    destination : Destination
        That all nodes can reach.
    units : iterable of Unit
    advance : callable
        Told how many image sets were measured.
    address : str, optional
        Of the cluster. Default: the one that this machine belongs to, or else a new one on this machine.
    """
    if not ray.is_initialized():
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    ray.data.DataContext.get_current().enable_progress_bars = False
    there = ray.cluster_resources()
    gpus = int(there.get("GPU", 0))
    units = iter(units)
    while chunk := list(itertools.islice(units, CHUNK)):
        items = [{"number": number, "unit": pickle.dumps(unit)} for number, unit in enumerate(chunk)]
        data = ray.data.from_items(items, override_num_blocks=len(items))
        data = data.map(_read, fn_args=[destination.recipe], num_cpus=READER_CPUS)
        data = data.map(
            _Measure,
            fn_constructor_args=[destination],
            num_cpus=1,
            num_gpus=1 if gpus else 0,
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=gpus or max(1, int(there["CPU"]))),
        )
        for row in data.iter_rows():
            if row["stop"]:
                raise pickle.loads(row["stop"])
            unit = chunk[row["number"]]
            advance(len(unit.rows))
            yield unit, row["failed"]


# What stops a run is passed on as a value: of an exception Ray keeps the text alone, with its own account around it.
STOPS = (OSError, ValueError)


def _read(item, recipe):
    fields, stop = b"", b""
    try:
        with ThreadPoolExecutor(READERS_PER_CORE) as pool:
            fields = pickle.dumps(list(recipe.read(pickle.loads(item["unit"]), pool)), protocol=5)
    except STOPS as error:
        stop = pickle.dumps(error)
    return {**item, "fields": fields, "stop": stop}


class _Measure:
    def __init__(self, destination):
        import onnxruntime

        recipe = destination.recipe
        if ray.get_gpu_ids() and "CUDAExecutionProvider" in onnxruntime.get_available_providers():
            recipe = dataclasses.replace(recipe, provider="CUDAExecutionProvider")
        self.destination = dataclasses.replace(destination, recipe=recipe)

    def __call__(self, item):
        failed, stop = 0, item["stop"]
        if not stop:
            unit = pickle.loads(item["unit"])
            try:
                measured = self.destination.recipe.measure(unit, pickle.loads(item["fields"]))
                failed = self.destination.write(unit, measured)
            except STOPS as error:
                stop = pickle.dumps(error)
        return {"number": item["number"], "failed": failed, "stop": stop}

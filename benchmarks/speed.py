"""How long things take beside each other: planes per second, and shares of the first.

    python benchmarks/speed.py

The candidates take turns in one run, so that other load on the machine meets all alike.
The last line is what one core takes for a tile, whatever the number of cores:
``SECONDS_PER_TILE`` of ``cellprofiler_plugin/forecast.py``, by which the module in
CellProfiler says how long a run will take.
"""

from __future__ import annotations

import statistics
import time

import numpy as np

from stratonet import StratoNet

PLANES, TURNS = 40, 7
FIRST = "low, medium and high of 224x224 planes"


def make_planes(size: int, rng: np.random.Generator) -> list[np.ndarray]:
    return [
        rng.integers(100, 4000, (size, size), dtype=np.uint16) for _ in range(PLANES)
    ]


def main() -> None:
    rng = np.random.default_rng(0)
    small, large = make_planes(224, rng), make_planes(1024, rng)
    crops = make_planes(96, rng)
    three = StratoNet.load(recipe="whole224/mean")
    low = StratoNet.load(taps="low", recipe="whole224/mean")
    both = StratoNet.load(recipe="tiles224/mean+sd")
    candidates = {
        FIRST: (three, small),
        "low alone": (low, small),
        "low, medium and high of 1024x1024 planes": (three, large),
        "with standard deviations": (both, small),
        "with standard deviations, 96x96": (both, crops),
    }
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    of_cores: list[float] = []
    for turn in range(TURNS + 1):
        for name, (net, planes) in candidates.items():
            began, used = time.perf_counter(), time.process_time()
            net.features(planes)
            if turn:  # the first turn warms up
                seconds[name].append(time.perf_counter() - began)
            if turn and name == FIRST:
                of_cores.append(time.process_time() - used)
    first = seconds[FIRST]
    for name, values in seconds.items():
        # Of the same turn, not of the medians: the load changes between turns.
        ratio = statistics.median(own / other for own, other in zip(values, first))
        speed = PLANES / statistics.median(values)
        print(f"{name:<45}{speed:6.1f} planes/s   {ratio:.2f} of the time")
    # The least: other load on the machine only ever adds to it.
    per_tile = min(of_cores) / PLANES
    print(f"One core: {per_tile:.3f} s per tile of 224x224")


if __name__ == "__main__":
    main()

"""How long things take beside each other: planes per second, and shares of the first.

    python benchmarks/speed.py

The candidates take turns in one run, so that other load on the machine meets all alike.
"""

from __future__ import annotations

import statistics
import time

import numpy as np

from stratonet import StratoNet

PLANES, TURNS = 40, 7


def make_planes(size: int, rng: np.random.Generator) -> list[np.ndarray]:
    return [
        rng.integers(100, 4000, (size, size), dtype=np.uint16) for _ in range(PLANES)
    ]


def main() -> None:
    rng = np.random.default_rng(0)
    small, large = make_planes(224, rng), make_planes(1024, rng)
    three, low = StratoNet.load(), StratoNet.load(taps="low")
    candidates = {
        "low, medium and high of 224x224 planes": (three, small),
        "low alone": (low, small),
        "low, medium and high of 1024x1024 planes": (three, large),
    }
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for turn in range(TURNS + 1):
        for name, (net, planes) in candidates.items():
            began = time.perf_counter()
            net.features(planes)
            if turn:  # the first turn warms up
                seconds[name].append(time.perf_counter() - began)
    first = next(iter(seconds.values()))
    for name, values in seconds.items():
        # Of the same turn, not of the medians: the load changes between turns.
        ratio = statistics.median(own / other for own, other in zip(values, first))
        speed = PLANES / statistics.median(values)
        print(f"{name:<45}{speed:6.1f} planes/s   {ratio:.2f} of the time")


if __name__ == "__main__":
    main()

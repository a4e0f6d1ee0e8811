"""How long things take beside each other: planes a second, and each as a share of the first, in turns in one run.

python benchmarks/speed.py
"""

import statistics
import time

import numpy as np

from stratonet import StratoNet

PLANES, TURNS = 40, 7


def main():
    rng = np.random.default_rng(0)
    sizes = {
        size: [
            rng.integers(100, 4000, (size, size), dtype=np.uint16)
            for _ in range(PLANES)
        ]
        for size in (224, 1024)
    }
    three, low = StratoNet.load(), StratoNet.load(taps="low")
    candidates = {
        "low, medium and high of 224x224 planes": (three, sizes[224]),
        "low alone": (low, sizes[224]),
        "low, medium and high of 1024x1024 planes": (three, sizes[1024]),
    }
    seconds = {name: [] for name in candidates}
    for turn in range(TURNS + 1):
        for name, (net, planes) in candidates.items():
            began = time.perf_counter()
            net.features(planes)
            if turn:  # the first turn warms up
                seconds[name].append(time.perf_counter() - began)
    first = next(iter(seconds.values()))
    for name, values in seconds.items():
        ratio = statistics.median(own / other for own, other in zip(values, first))
        print(
            f"{name:<45}{PLANES / statistics.median(values):6.1f} planes/s  "
            f" {ratio:.2f} of the time"
        )


if __name__ == "__main__":
    main()

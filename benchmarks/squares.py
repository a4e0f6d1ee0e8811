"""Measure the time for a square around an object, in total and for the network alone.

    .venv/bin/python benchmarks/squares.py [--weights stratonet50-int8]

Prints milliseconds of a core for each of 120 squares of 96 x 96 pixels, while all cores
do the same, three times in turns. To see the effect of a change, run it again with
``PYTHONPATH`` set to a checkout without the change.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from stratonet import StratoNet

COUNT, SIDE, TURNS = 120, 96, 3
RECIPE = "tiles224/mean+sd"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", default="stratonet50")
    net = StratoNet.load(parser.parse_args().weights, recipe=RECIPE, crop=SIDE)
    rng = np.random.default_rng(0)
    squares = [rng.gamma(2, 300, (SIDE, SIDE)).astype(np.uint16) for _ in range(COUNT)]
    prepared = [net.prepare(square) for square in squares]
    for _ in range(TURNS):
        complete, network = measure(net, squares), measure(net, prepared)
        print(f"{complete:.2f} ms per square; the network alone {network:.2f} ms")


def measure(net: StratoNet, planes: Sequence[Any]) -> float:
    """Return the milliseconds of a core per plane."""
    began = time.process_time()
    for _ in net.stream(planes):
        pass
    return 1000 * (time.process_time() - began) / len(planes)


if __name__ == "__main__":
    main()

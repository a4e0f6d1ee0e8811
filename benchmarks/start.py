"""Measure how long a fresh process takes until its first feature.

    .venv/bin/python benchmarks/start.py

Each time is the median over fresh processes, whose files are in the system's memory:
``import stratonet``; then the steps to the features of one plane of 520 x 696 pixels,
by the default recipe; and all steps together.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys

PROCESSES = 7
# Code that a process times, line by line, in this order.
STEPS = {
    "import stratonet": "import stratonet",
    "import ONNX Runtime": "import onnxruntime",
    "open the weights file": "net = stratonet.StratoNet.load()",
    "first plane": "net.features(plane)",
}
PROGRAM = """
import json, time
seconds = []
for line in {lines!r}:
    if line.startswith("net.features"):
        import numpy as np
        plane = np.random.default_rng(0).integers(0, 4000, (520, 696), np.uint16)
    before = time.perf_counter()
    exec(line)
    seconds.append(time.perf_counter() - before)
print(json.dumps(seconds))
"""


def main() -> None:
    program = PROGRAM.format(lines=list(STEPS.values()))
    command = [sys.executable, "-c", program]
    # The first run, which is dropped, brings the files into memory.
    runs = [json.loads(subprocess.check_output(command)) for _ in range(PROCESSES + 1)][
        1:
    ]
    for step, seconds in zip(STEPS, zip(*runs)):
        print(f"{step:<30}{statistics.median(seconds):6.2f} s")
    totals = [sum(seconds) for seconds in runs]
    print(f"{'first feature':<30}{statistics.median(totals):6.2f} s")


if __name__ == "__main__":
    main()

"""Small things to train on, for the tests of training."""

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[2]
SMALL = {
    "recipe": "a small run",
    "depth": 18,
    "image_size": 32,
    "batch": 8,
    "epochs": 3,
    "warmup_epochs": 1,
    "learning_rate": 2e-3,
    "taps": {"low": "conv2_block2_out", "high": "conv3_block1_out"},
}


def make_images(folder, classes=3, train=10, val=5, size=48):
    """A folder in ILSVRC's layout whose classes differ in colour, with noise."""
    rng = np.random.default_rng(0)
    for split, count in (("train", train), ("val", val)):
        for number in range(classes):
            place = folder / split / f"n{number:08d}"
            place.mkdir(parents=True)
            for index in range(count):
                pixels = rng.integers(0, 120, (size, size, 3))
                pixels[..., number % 3] += 80
                Image.fromarray(pixels.astype(np.uint8)).save(
                    place / f"{split}_{index}.JPEG", quality=95
                )
    return folder


def write_config(path, **changes):
    values = {**SMALL, **changes}
    path.write_text(json.dumps(values))
    return path


def training(*arguments, environment=None, wait=True):
    """``python -m training`` in a process of its own.

    A CompletedProcess, or the Popen when not to be waited for.
    """
    code = "import sys; from training.__main__ import main; main(sys.argv[1:])"
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "", **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    if not wait:
        return process
    output, _ = process.communicate(timeout=300)
    return subprocess.CompletedProcess(process.args, process.returncode, output)


def kill_in_epoch(process, run, epoch):
    """Kill a training process and its children after ``epoch`` (from 1) began."""
    log = run / "log.csv"
    deadline = time.monotonic() + 240
    while not log.exists() or len(log.read_text().splitlines()) < epoch:
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.2)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()


@contextlib.contextmanager
def limit_file_size(size):
    """Let this process and its children write no file of more than ``size`` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

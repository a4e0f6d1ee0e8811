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
from training_server import Started, run_code, run_command

ROOT = Path(__file__).parents[2]
NO_GPU = {"CUDA_VISIBLE_DEVICES": ""}
SMALL = {
    "recipe": "a small run",
    "depth": 18,
    "image_size": 32,
    "batch": 8,
    "epochs": 3,
    "warmup_epochs": 1,
    "learning_rate": 2e-3,
    # One block: TensorFlow takes seconds to build steps of a deep network.
    "taps": {"low": "conv2_block1_out"},
}


def make_images(folder, classes=3, train=10, val=5, size=48):
    """A folder in ILSVRC's layout whose classes differ in colour, with noise."""
    rng = np.random.default_rng(0)
    for split, count in (("train", train), ("val", val)):
        for number in range(classes):
            class_folder = folder / split / f"n{number:08d}"
            class_folder.mkdir(parents=True)
            for index in range(count):
                pixels = rng.integers(0, 120, (size, size, 3))
                pixels[..., number % 3] += 80
                Image.fromarray(pixels.astype(np.uint8)).save(
                    class_folder / f"{split}_{index}.JPEG", quality=95
                )
    return folder


def write_config(path, **changes):
    values = {**SMALL, **changes}
    path.write_text(json.dumps(values))
    return path


def training(*arguments, environment=None, wait=True):
    """``python -m training`` in a process of its own, which is forked.

    A CompletedProcess, or what is `Started` when not to be waited for.
    """
    return _start(run_command, arguments, environment, wait)


def python(code, *arguments):
    """``python -c`` likewise; TensorFlow is imported, and not used yet."""
    return _start(run_code, (code, *arguments))


def _start(work, arguments, environment=None, wait=True):
    environment = {**os.environ, **NO_GPU, **(environment or {})}
    process = Started(work, *map(str, arguments), environment=environment)
    if not wait:
        return process
    output, _ = process.communicate(timeout=300)
    return subprocess.CompletedProcess(arguments, process.returncode, output)


def real_training(*arguments):
    """``python -m training`` as it is given, which imports TensorFlow."""
    return subprocess.run(
        [sys.executable, "-m", "training", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, **NO_GPU},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )


def kill_after_epoch(process, folder):
    """Kill a training process and its children when a first epoch was kept."""
    deadline = time.monotonic() + 240
    while not any(folder.rglob("state.npz")):
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    # Within the next.
    time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextlib.contextmanager
def limit_file_size(size):
    """Let this process and its children write no file of more than ``size`` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

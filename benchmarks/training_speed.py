"""Measure the speed of training, of networks relative to ResNet-50, and of the input.

    python -m benchmarks.training_speed DATA/imagenet20

Steps of the networks take turns, so that other load on the machine affects all equally.
The input alone is measured from folders and from shards. The estimates of
training/README.md are based on these ratios.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import tempfile
import time
from pathlib import Path

# TensorFlow reads this on import.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

from training.__main__ import CONFIGS  # noqa: E402
from training.config import Config  # noqa: E402
from training.input import measure_input_speed, open_images  # noqa: E402
from training.records import write_records  # noqa: E402
from training.steps import Steps  # noqa: E402

# The others are compared with the first.
NAMES = ("resnet50", "stratonet18", "stratonet50", "stratonet101")
BATCH, ROUNDS, CLASSES, INPUT_SECONDS = 16, 4, 1000, 20


def read_config(name: str) -> Config:
    config = Config.read(CONFIGS / f"{name}.toml")
    return dataclasses.replace(config, batch=BATCH)


def ignore_line(text: str) -> None:
    pass


def measure_steps() -> dict[str, float]:
    """Measure the median seconds of a step, by network."""
    rng = np.random.default_rng(0)
    pixels = rng.normal(0, 60, (BATCH, 224, 224, 3))
    images = tf.constant(pixels, tf.float32)
    labels = tf.one_hot(rng.integers(0, CLASSES, BATCH), CLASSES)
    strategy = tf.distribute.get_strategy()
    networks = {name: Steps(read_config(name), CLASSES, strategy) for name in NAMES}
    # In the first step, each network is traced and compiled.
    for steps in networks.values():
        steps.train(images, labels)
    seconds: dict[str, list[float]] = {name: [] for name in NAMES}
    for _ in range(ROUNDS):
        for name, steps in networks.items():
            began = time.perf_counter()
            steps.train(images, labels)
            steps.read_scores()  # waits for the device
            seconds[name].append(time.perf_counter() - began)
    return {name: float(np.median(values)) for name, values in seconds.items()}


def measure_input(data: Path) -> dict[str, float]:
    """Measure images per second of the input alone, from folders and from shards."""
    config = read_config("stratonet50")
    with tempfile.TemporaryDirectory() as folder:
        write_records(data, folder, 224, report=ignore_line)
        sources = {
            "folders": open_images(data, report=ignore_line),
            "shards": open_images(folder),
        }
        return {
            name: measure_input_speed(
                images.draw_training(config, 0, BATCH), INPUT_SECONDS
            )
            for name, images in sources.items()
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "data", type=Path, help="images, as python -m training takes them"
    )
    data = parser.parse_args().data
    seconds = measure_steps()
    print("Training, float32, images of 224 pixels, 1,000 classes:")
    for name, median in seconds.items():
        ratio = seconds[NAMES[0]] / median
        print(
            f"  {name:<16}{BATCH / median:>7.1f} images/s, {ratio:.2f} of {NAMES[0]}'s"
        )
    print(f"Input alone, {os.cpu_count()} cores:")
    for name, speed in measure_input(data).items():
        print(f"  {name:<16}{speed:>7.0f} images/s")


if __name__ == "__main__":
    main()

"""How fast is training? Networks against ResNet-50 side by side, and the input alone, from folders and from shards.

    python -m benchmarks.training_speed DATA/imagenet20

Steps of the networks take turns, so that other load on the machine meets all alike. The
ratios are what training/README.md estimates from."""

import argparse
import dataclasses
import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf

from training.__main__ import CONFIGS
from training.config import Config
from training.input import images_per_second, open_images
from training.records import write_records
from training.trainer import Steps

NAMES = ("resnet50", "stratonet18", "stratonet50", "stratonet101")
BATCH, ROUNDS = 16, 4


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "data", type=Path, help="images, as python -m training takes them"
    )
    data = parser.parse_args().data
    rng = np.random.default_rng(0)
    images = tf.constant(rng.normal(0, 60, (BATCH, 224, 224, 3)), tf.float32)
    labels = tf.one_hot(rng.integers(0, 1000, BATCH), 1000)

    networks = {
        name: Steps(_config(name), 1000, tf.distribute.get_strategy()) for name in NAMES
    }
    for steps in networks.values():
        steps.train(images, labels)
    seconds = {name: [] for name in NAMES}
    for _ in range(ROUNDS):
        for name, steps in networks.items():
            began = time.perf_counter()
            steps.train(images, labels)
            float(steps.metrics[0].result())
            seconds[name].append(time.perf_counter() - began)
    print("Training, float32, images of 224 pixels, 1,000 classes:")
    for name in NAMES:
        ratio = np.median(seconds[NAMES[0]]) / np.median(seconds[name])
        print(
            f"  {name:<16}{BATCH / np.median(seconds[name]):>7.1f} images/s,"
            f" {ratio:.2f} of {NAMES[0]}'s"
        )

    config = _config("stratonet50")
    with tempfile.TemporaryDirectory() as folder:
        write_records(data, folder, 224, report=lambda text: None)
        print(f"Input alone, {os.cpu_count()} cores:")
        for what, opened in (
            ("folders", open_images(data, report=lambda text: None)),
            ("shards", open_images(folder)),
        ):
            print(
                f"  {what:<16}{images_per_second(opened.train(config, 0, BATCH), 20):>7.0f}"
                " images/s"
            )


def _config(name):
    return dataclasses.replace(Config.read(CONFIGS / f"{name}.toml"), batch=BATCH)


if __name__ == "__main__":
    main()

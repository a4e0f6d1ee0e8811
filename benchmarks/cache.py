"""Measure what a cache of features saves: passes over the images, and seconds.

    .venv/bin/python benchmarks/cache.py DATA/bbbc022

It counts the planes that the network gets. Folds and search are those of a user who
looks for the best tap and classifier on a plate.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import Pipeline
from sklearn.svm import SVC

from stratonet_sklearn import StratoFeatureTransformer
from stratonet_sklearn.datasets import read_plate

FOLDS = 5
SETTINGS = {"features__taps": ["low", "high"], "classify__C": [0.1, 10]}
RECIPE = "whole224/mean"


class CountingSession(onnxruntime.InferenceSession):
    """The network itself, which also counts the planes that it gets."""

    planes = 0

    def run(self, names: list[str], inputs: dict[str, np.ndarray], *rest: Any) -> Any:
        CountingSession.planes += sum(len(planes) for planes in inputs.values())
        return super().run(names, inputs, *rest)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, metavar="DATA/bbbc022")
    images, _ = read_plate(parser.parse_args().folder)
    # Arbitrary classes: only the amount of work matters.
    labels = np.arange(len(images)) % 2
    onnxruntime.InferenceSession = CountingSession
    with tempfile.TemporaryDirectory() as folder:
        time_first_and_later(images, Path(folder, "times"))
        for cache in (None, Path(folder, "passes")):
            count_passes(images, labels, cache)


def count_passes(images: Any, labels: np.ndarray, cache: Path | None) -> None:
    """Print the passes over the images of cross-validation, then of a search."""
    features = StratoFeatureTransformer(recipe=RECIPE, cache=cache)
    model = Pipeline([("features", features), ("classify", SVC())])
    passes = []
    began = time.perf_counter()
    for run in ("folds", "search"):
        CountingSession.planes = 0
        if run == "folds":
            cross_val_predict(model, images, labels, cv=FOLDS)
        else:
            GridSearchCV(model, SETTINGS, cv=3).fit(images, labels)
        passes.append(CountingSession.planes / images.size)
    print(
        f"{'with' if cache else 'without'} a cache: {passes[0]:.1f} passes by"
        f" cross_val_predict with {FOLDS} folds, {passes[1]:.1f} by GridSearchCV over"
        f" taps and C after it; {time.perf_counter() - began:.1f} s"
    )


def time_first_and_later(images: Any, folder: Path) -> None:
    """Print the time per plane by the default recipe: no cache, first, second time."""
    for name, cache in {"no cache": None, "first": folder, "known": folder}.items():
        fitted = StratoFeatureTransformer(cache=cache).fit(images)
        began = time.perf_counter()
        fitted.transform(images)
        seconds = (time.perf_counter() - began) / images.size
        print(f"a plane, {name}: {1000 * seconds:.1f} ms")


if __name__ == "__main__":
    main()

"""``stratonet demo``: one plate through CellProfiler and through scikit-learn."""

from __future__ import annotations

import os
import re
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline
from sklearn.svm import SVC

from cellprofiler_plugin import headless
from stratonet.drawing import get_grey_range
from stratonet.files.images import read_plane
from stratonet.tables.wells import ROW_LETTERS, locate_wells
from stratonet_sklearn import StratoFeatureTransformer
from stratonet_sklearn.datasets import read_plate, simulate_plate
from stratonet_sklearn.evaluation.separation import (
    NEGATIVE,
    POSITIVE,
    separate_controls,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHIPPED_PIPELINE = headless.LOAD_DATA_PIPELINE
FEATURES = "StratoFeatures_Image.parquet"
PREFIX = "StratoFeatures_"
# CellProfiler passes pixels on as float32 between 0 and 1; scikit-learn gets them as in
# the file.
RTOL, ATOL = 1e-5, 1e-6
ROLES = {
    NEGATIVE: "negative control",
    "trt": "treated",
    POSITIVE: "positive control",
}
MARKERS = {NEGATIVE: "v", "trt": "o", POSITIVE: "^"}
SIGNS = {NEGATIVE: "−", POSITIVE: "+"}
# From negative (violet) to positive (orange), also for colour-blind readers.
SCALE = "PuOr_r"


def run_demo(
    plate: str | os.PathLike[str] | None, output: str | os.PathLike[str]
) -> None:
    """Measure a plate in CellProfiler and in scikit-learn, and compare.

    Also classifies its controls and draws a picture.

    Parameters
    ----------
    plate : str or path, or None
        Folder as `stratonet_sklearn.datasets.read_plate` takes it, whose labels have a
        column ``role`` with ``negcon`` and ``poscon``. None simulates a plate.
    output : str or path
        Made if missing.

    Raises
    ------
    ValueError
        The plate lacks controls, or a well has no name such as A01.
    RuntimeError
        CellProfiler failed, or its features are not those of scikit-learn.
    """
    # CellProfiler runs in another folder and needs absolute paths.
    output = Path(output).resolve()
    images, labels = _open_plate(plate, output)

    start_time = time.time()
    from_cellprofiler = measure_in_cellprofiler(images, labels, output)
    _print_measured("CellProfiler, headless", from_cellprofiler, start_time)

    # With a cache, images are measured once, although the Pipeline is fitted once for
    # each row of the plate that is left out.
    with tempfile.TemporaryDirectory() as cache:
        start_time = time.time()
        transformer = StratoFeatureTransformer(cache=cache)
        transformer.set_output(transform="pandas")
        from_sklearn = transformer.fit_transform(images)
        _print_measured("scikit-learn", from_sklearn, start_time)
        difference = compare_features(from_cellprofiler, from_sklearn)

        # Fitted on the images, not on the features above, because a user writes a
        # Pipeline from files to phenotypes.
        svm = SVC(kernel="linear", class_weight="balanced")
        features = StratoFeatureTransformer(cache=cache)
        model = Pipeline([("features", features), ("classify", svm)])
        scores, accuracy = separate_controls(model, images, labels)
    picture = output / "plate.png"
    draw_plate(images, labels, from_sklearn, scores, picture)
    lines = {
        "Feature set": transformer.feature_set_id_,
        "Largest difference, CellProfiler to scikit-learn": (
            f"{difference:.1e} of the largest feature"
        ),
        "Positive against negative controls, rows left out": (
            f"balanced accuracy {accuracy:.2f}"
        ),
        "Features, from CellProfiler": output / FEATURES,
        "Picture": picture,
    }
    print()
    for name, value in lines.items():
        print(f"{name:<52}{value}")


def _open_plate(
    plate: str | os.PathLike[str] | None, output: Path
) -> tuple[pd.DataFrame, pd.DataFrame]:
    if plate is None:
        plate = output / "plate"
        origin = "a simulated plate (seed 0)"
        simulate_plate(plate)
    else:
        origin = f"real images from {Path(plate).resolve()}"
    images, labels = read_plate(plate)
    roles = set(labels.get("role", []))
    if not {NEGATIVE, POSITIVE} <= roles:
        raise ValueError(
            f"{plate}: labels.csv needs a column role with {NEGATIVE} and {POSITIVE}."
            f" Received: {sorted(roles)}"
        )
    print(
        f"Plate: {origin}, {labels.well.nunique()} wells, {len(images)} image sets of"
        f" {', '.join(images)}."
    )
    return images, labels


def _print_measured(tool: str, features: pd.DataFrame, start_time: float) -> None:
    seconds = time.time() - start_time
    print(f"{tool}: {features.shape[1]:,} features per image set, {seconds:.0f} s.")


def measure_in_cellprofiler(
    images: pd.DataFrame, labels: pd.DataFrame, output: Path
) -> pd.DataFrame:
    """Run the shipped pipeline on the images.

    Parameters
    ----------
    images : pandas.DataFrame, n rows
        One column of paths per channel.
    labels : pandas.DataFrame, n rows
        With the column ``well``.
    output : pathlib.Path
        CellProfiler's output folder; made if missing.

    Returns
    -------
    pandas.DataFrame, n rows
        The features, as CellProfiler's Parquet file gives them.

    Raises
    ------
    RuntimeError
        CellProfiler failed or left out image sets.
    """
    output.mkdir(parents=True, exist_ok=True)
    load_data = output / "load_data.csv"
    _make_load_data(images, labels).to_csv(load_data, index=False)
    pipeline = output / "pipeline.cppipe"
    pipeline.write_text(
        set_setting(
            SHIPPED_PIPELINE.read_text(), "Select images to measure", ", ".join(images)
        )
    )
    headless.run_pipeline(pipeline, output, [FEATURES], f"--data-file={load_data}")
    table = pd.read_parquet(output / FEATURES)
    # CellProfiler skips image sets that fail, and still ends without an error.
    if list(table.ImageNumber) != list(range(1, len(images) + 1)):
        raise RuntimeError(
            f"{output / FEATURES} does not have a row for each of {len(images)} image"
            " sets."
        )
    return table.filter(regex=f"^{PREFIX}")


def _make_load_data(images: pd.DataFrame, labels: pd.DataFrame) -> pd.DataFrame:
    """Make the table that CellProfiler's LoadData takes."""
    # LoadData knows metadata and images by the beginnings of these names.
    columns = {
        f"Metadata_{name.title()}": labels[name]
        for name in ("plate", "well", "site")
        if name in labels
    }
    for channel, paths in images.items():
        columns[f"Image_PathName_{channel}"] = paths.map(os.path.dirname)
        columns[f"Image_FileName_{channel}"] = paths.map(os.path.basename)
    return pd.DataFrame(columns)


def set_setting(pipeline: str, name: str, value: str) -> str:
    r"""Change a setting in the text of a CellProfiler pipeline.

    Parameters
    ----------
    pipeline : str
        Content of a ``.cppipe`` file.
    name : str
        Text of the setting. It must be in the pipeline once, or another pipeline than
        the intended one would be run.
    value : str
        The text after the colon.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        The setting is missing, or occurs more than once.

    Examples
    --------
    >>> set_setting("    Images:DNA\n    Taps:low\n", "Taps", "high")
    '    Images:DNA\n    Taps:high\n'
    """
    pattern = rf"(?m)^( +{re.escape(name)}:).*$"
    changed, count = re.subn(pattern, lambda match: match[1] + value, pipeline)
    if count != 1:
        raise ValueError(
            f"The pipeline must have the setting {name!r} once. Received: {count} times"
        )
    return changed


def compare_features(
    from_cellprofiler: pd.DataFrame, from_sklearn: pd.DataFrame
) -> float:
    """Compare the features of the same images from two programs.

    Parameters
    ----------
    from_cellprofiler, from_sklearn : pandas.DataFrame
        One row per image set, in the same order.

    Returns
    -------
    float
        Largest difference, as a share of the largest feature.

    Raises
    ------
    RuntimeError
        The names differ, or the values differ by more than rounding.

    Examples
    --------
    >>> features = pd.DataFrame({"StratoFeatures_Low0000_DNA": [0.5, 2.0]})
    >>> compare_features(features, features)
    0.0
    """
    if list(from_cellprofiler) != list(from_sklearn):
        raise RuntimeError(
            "CellProfiler and scikit-learn named their features differently."
        )
    received = from_cellprofiler.to_numpy()
    expected = from_sklearn.to_numpy()
    largest = np.abs(received - expected).max()
    # Each relative to its own size: the largest feature would hide small ones.
    if not np.allclose(received, expected, rtol=RTOL, atol=ATOL):
        raise RuntimeError(
            f"Features of CellProfiler and scikit-learn differ by up to {largest:.1e}."
        )
    return float(largest / np.abs(expected).max())


def draw_plate(
    images: pd.DataFrame,
    labels: pd.DataFrame,
    features: pd.DataFrame,
    scores: np.ndarray,
    path: Path,
) -> None:
    """Draw a well of each control, the plate by score, and a map of the image sets.

    Parameters
    ----------
    images, labels, features : pandas.DataFrame, n rows
        Paths per channel; ``well`` and ``role``; features.
    scores : numpy.ndarray (n,)
        Above 0 where an image set is like the positive controls.
    path : pathlib.Path
        The picture, a PNG.
    """
    # Not pyplot, which would choose a display for the whole process.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 9), layout="constrained")
    axes = figure.subplots(2, 2, width_ratios=[1, 1.4])
    channel = images.columns[0]
    for panel, role in zip(axes[:, 0], (NEGATIVE, POSITIVE)):
        first = labels.index[labels.role == role][0]
        _draw_plane(panel, images[channel][first])
        panel.set_title(f"{channel}, well {labels.well[first]}: {ROLES[role]}")
    _draw_wells(axes[0, 1], labels, scores)
    _draw_map(axes[1, 1], labels, features, scores)
    figure.savefig(path, dpi=110)


def _draw_plane(axes: Axes, path: str) -> None:
    plane = read_plane(path)
    low, high = get_grey_range(plane)
    axes.imshow(plane, "gray", vmin=low, vmax=high)
    axes.set_axis_off()


def _draw_wells(axes: Axes, labels: pd.DataFrame, scores: np.ndarray) -> None:
    """Draw the mean score of each well where it is on the plate."""
    # Counted from 0; by now, all wells are known to have names such as A01.
    rows, columns = locate_wells(labels.well)
    plate = pd.DataFrame(
        {"row": rows, "column": columns, "score": scores, "role": labels.role}
    )
    grid = plate.pivot_table(index="row", columns="column", values="score")
    limit = _compute_limit(labels, scores)
    # White is 0, between the controls.
    image = axes.imshow(grid, SCALE, vmin=-limit, vmax=limit)
    axes.set_xticks(range(grid.shape[1]), [column + 1 for column in grid.columns])
    axes.set_yticks(range(grid.shape[0]), [ROW_LETTERS[row] for row in grid.index])
    roles = plate.groupby(["row", "column"]).role.first()
    for (row, column), role in roles.items():
        if role in SIGNS:
            axes.annotate(
                SIGNS[role],
                (grid.columns.get_loc(column), grid.index.get_loc(row)),
                ha="center",
                va="center",
                weight="bold",
                color="white",
            )
    axes.set_title("Wells by phenotype (− negative, + positive control)")
    axes.figure.colorbar(
        image, ax=axes, label="score, from negative to positive control"
    )


def _draw_map(
    axes: Axes, labels: pd.DataFrame, features: pd.DataFrame, scores: np.ndarray
) -> None:
    """Draw the image sets by their first two principal components."""
    from sklearn.decomposition import PCA

    pca = PCA(2, random_state=0).fit(features)
    components = pca.transform(features)
    # In the colours of the wells: the scale is beside the plate.
    limit = _compute_limit(labels, scores)
    for role, name in ROLES.items():
        rows = (labels.role == role).to_numpy()
        axes.scatter(
            components[rows, 0],
            components[rows, 1],
            c=scores[rows],
            marker=MARKERS[role],
            cmap=SCALE,
            vmin=-limit,
            vmax=limit,
            edgecolors="black",
            linewidths=0.5,
            label=name,
        )
    axes.legend()
    axes.set_title("Map of the image sets")
    first, second = pca.explained_variance_ratio_
    axes.set_xlabel(f"first principal component ({first:.0%} of the variance)")
    axes.set_ylabel(f"second ({second:.0%})")


def _compute_limit(labels: pd.DataFrame, scores: np.ndarray) -> float:
    """Compute the end of the colour scale, which is symmetrical around 0."""
    by_well = pd.Series(scores).groupby(labels.well.to_numpy()).mean()
    return float(by_well.abs().max())

"""``stratonet demo``: one plate through both doors."""

import time
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import balanced_accuracy_score
from sklearn.pipeline import Pipeline
from sklearn.svm import SVC

from cellprofiler_plugin import headless
from stratonet.files.images import read_plane
from stratonet_sklearn import StratoFeatureTransformer
from stratonet_sklearn.datasets import read_plate, simulate_plate

FEATURES = "StratoFeatures_Image.parquet"
# Between the doors: CellProfiler hands on pixels as float32 between 0 and 1.
RTOL, ATOL = 1e-5, 1e-6


def demo(plate, output):
    """Measure a plate in CellProfiler and in scikit-learn, compare, classify its controls, draw a picture.

    Parameters
    ----------
    plate : path or None
        Folder as `stratonet_sklearn.datasets.read_plate` takes it, whose labels have a
        column ``role`` with ``negcon`` and ``poscon``. None draws a simulated plate.
    output : path
        Made if missing.

    Raises
    ------
    ValueError
        The plate lacks controls.
    RuntimeError
        CellProfiler failed, or the doors disagree.
    """
    output = Path(output).resolve()
    if plate is None:
        plate, kind = output / "plate", "a simulated plate (seed 0)"
        simulate_plate(plate)
    else:
        kind = f"real images from {Path(plate).resolve()}"
    images, labels = read_plate(plate)
    roles = set(labels.get("role", []))
    if not {"negcon", "poscon"} <= roles:
        raise ValueError(
            f"{plate}: labels.csv needs a column role with negcon and poscon. Received:"
            f" {sorted(roles)}"
        )
    print(
        f"Plate: {kind}, {labels.well.nunique()} wells, {len(images)} image sets of"
        f" {', '.join(images)}."
    )

    began = time.time()
    from_cellprofiler = measure_in_cellprofiler(images, labels, output)
    print(
        f"CellProfiler, headless: {from_cellprofiler.shape[1]:,} features an image set,"
        f" {time.time() - began:.0f} s."
    )

    began = time.time()
    transformer = StratoFeatureTransformer().set_output(transform="pandas")
    from_sklearn = transformer.fit_transform(images)
    print(
        f"scikit-learn: {from_sklearn.shape[1]:,} features an image set,"
        f" {time.time() - began:.0f} s."
    )
    difference = compare(from_cellprofiler, from_sklearn)

    model = Pipeline(
        [
            ("features", StratoFeatureTransformer()),
            ("classify", SVC(kernel="linear", class_weight="balanced")),
        ]
    )
    scores, accuracy = tell_controls_apart(model, images, labels)
    picture = output / "plate.png"
    draw(images, labels, from_sklearn, scores, picture)
    print(
        f"\n{'Feature set':<52}{transformer.feature_set_id_}"
        f"\n{'Largest difference between the doors':<52}{difference:.1e} of the largest"
        " feature"
        f"\n{'Positive against negative controls, rows left out':<52}balanced accuracy"
        f" {accuracy:.2f}"
        f"\n{'Features, from CellProfiler':<52}{output / FEATURES}"
        f"\n{'Picture':<52}{picture}"
    )


def measure_in_cellprofiler(images, labels, output):
    """Run the shipped pipeline on the images.

    The features as CellProfiler's Parquet file gives them.
    """
    load_data = pd.DataFrame(
        {
            f"Metadata_{name.title()}": labels[name]
            for name in ("plate", "well", "site")
            if name in labels
        }
    )
    for channel, paths in images.items():
        load_data[f"Image_PathName_{channel}"] = paths.map(
            lambda path: str(Path(path).parent)
        )
        load_data[f"Image_FileName_{channel}"] = paths.map(lambda path: Path(path).name)
    output.mkdir(parents=True, exist_ok=True)
    load_data.to_csv(output / "load_data.csv", index=False)
    shipped = headless.PLUGINS / "wholeimages.cppipe"
    pipeline = output / "pipeline.cppipe"
    pipeline.write_text(
        shipped.read_text().replace("measure:DNA, GFP", f"measure:{', '.join(images)}")
    )
    headless.run_pipeline(
        pipeline, output, [FEATURES], f"--data-file={output / 'load_data.csv'}"
    )
    table = pd.read_parquet(output / FEATURES)
    if list(table.ImageNumber) != list(range(1, len(images) + 1)):
        raise RuntimeError(
            f"{output / FEATURES} does not have a row for each of {len(images)} image"
            " sets."
        )
    return table.filter(regex="^StratoFeatures_")


def compare(one, other):
    """Largest difference as a share of the largest feature.

    A RuntimeError if the doors do not agree.
    """
    if list(one) != list(other):
        raise RuntimeError("The doors named their features differently.")
    one, other = one.to_numpy(), other.to_numpy()
    if not np.allclose(one, other, rtol=RTOL, atol=ATOL):
        raise RuntimeError(
            f"The doors differ by up to {np.abs(one - other).max():.1e}."
        )
    return np.abs(one - other).max() / np.abs(other).max()


def tell_controls_apart(model, X, labels):
    """Score every image set by a classifier that has seen the controls of the other rows of the plate only.

    Parameters
    ----------
    model : scikit-learn classifier or Pipeline
        With ``decision_function``; fitted anew for every row.
    X : pandas.DataFrame or numpy.ndarray, n rows
        What ``model`` takes.
    labels : pandas.DataFrame, n rows
        With the columns ``well`` and ``role``.

    Returns
    -------
    scores : numpy.ndarray (n,)
        Above 0 like the positive controls.
    accuracy : float
        Balanced accuracy on the controls.
    """
    rows, role = labels.well.str[0].to_numpy(), labels.role.to_numpy()
    controls = np.isin(role, ["negcon", "poscon"])
    scores = np.full(len(labels), np.nan)
    for row in np.unique(rows):
        train = controls & (rows != row)
        model.fit(X[train], role[train] == "poscon")
        scores[rows == row] = model.decision_function(X[rows == row])
    return scores, balanced_accuracy_score(
        role[controls] == "poscon", scores[controls] > 0
    )


def draw(images, labels, features, scores, path):
    """Write a picture.

    A well of each control, the plate by score, a map of the image sets.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt
    from sklearn.decomposition import PCA

    figure, axes = plt.subplots(
        2, 2, figsize=(12, 9), layout="constrained", width_ratios=[1, 1.4]
    )
    channel = images.columns[0]
    for axis, role in zip(axes[:, 0], ("negcon", "poscon")):
        first = labels.index[labels.role == role][0]
        plane = read_plane(images[channel][first])
        axis.imshow(
            plane,
            "gray",
            vmin=np.percentile(plane, 0.1),
            vmax=np.percentile(plane, 99.9),
        )
        axis.set_title(f"{channel}, well {labels.well[first]}: {ROLES[role]}")
        axis.set_axis_off()

    plate = pd.DataFrame(
        {
            "row": labels.well.str[0],
            "column": labels.well.str[1:].astype(int),
            "score": scores,
        }
    )
    grid = plate.pivot_table(index="row", columns="column", values="score")
    limit = np.abs(grid.to_numpy()).max()
    shown = axes[0, 1].imshow(grid, "PuOr_r", vmin=-limit, vmax=limit)
    axes[0, 1].set_xticks(range(grid.shape[1]), grid.columns)
    axes[0, 1].set_yticks(range(grid.shape[0]), grid.index)
    for (row, column), marks in (
        labels.groupby([labels.well.str[0], labels.well.str[1:].astype(int)])
        .role.first()
        .items()
    ):
        place = grid.columns.get_loc(column), grid.index.get_loc(row)
        mark = {"negcon": "−", "poscon": "+"}.get(marks)
        if mark:
            axes[0, 1].annotate(
                mark, place, ha="center", va="center", weight="bold", color="white"
            )
    axes[0, 1].set_title("Wells by phenotype (− negative, + positive control)")
    figure.colorbar(
        shown, ax=axes[0, 1], label="score, from negative to positive control"
    )

    map_ = PCA(2, random_state=0).fit(features)
    places = map_.transform(features)
    for role, marker in zip(ROLES, "vo^"):
        of = (labels.role == role).to_numpy()
        axes[1, 1].scatter(
            *places[of].T,
            c=scores[of],
            marker=marker,
            cmap="PuOr_r",
            vmin=-limit,
            vmax=limit,
            edgecolors="black",
            linewidths=0.5,
            label=ROLES[role],
        )
    axes[1, 1].legend()
    axes[1, 1].set_title("Map of the image sets")
    axes[1, 1].set_xlabel(
        f"first principal component ({map_.explained_variance_ratio_[0]:.0%} of the"
        " variance)"
    )
    axes[1, 1].set_ylabel(f"second ({map_.explained_variance_ratio_[1]:.0%})")
    figure.savefig(path, dpi=110)
    plt.close(figure)


ROLES = {"negcon": "negative control", "trt": "treated", "poscon": "positive control"}

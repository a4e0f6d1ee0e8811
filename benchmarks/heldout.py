"""Read feature tables of four data sets, with the groups that are left out together.

`profiles.py` describes the data sets.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from features import PERCENTILES
from gates import Planes, embed_planes
from PIL import Image
from screens import list_cells, read_bbbc013, read_mitocheck

from stratonet import StratoNet
from stratonet.files.images import read_plane
from stratonet.tables.columns import KEYS, PLATE, WELL
from stratonet.tables.reading import read_feature_table
from stratonet_sklearn.evaluation import split

TAPS = ["low", "medium", "high"]
SMALLEST_PLATE = 4  # rows, below which nothing is scaled by plate
CELLS = 2  # every second cell of HEp-2


@dataclass(frozen=True)
class Screen:
    """A feature table, with the groups that are left out together.

    Attributes
    ----------
    rows : pandas.DataFrame (n rows)
        Metadata; ``Metadata_Class`` is "" for rows that are not classified.
    features : pandas.DataFrame (n rows, n features)
    control : numpy.ndarray (n rows,), bool, or None
    groups, folds : numpy.ndarray (n rows,)
        Group that each row is resampled with, and fold that it is left out with.
    """

    rows: pd.DataFrame
    features: pd.DataFrame
    control: np.ndarray | None
    groups: np.ndarray
    folds: np.ndarray


def make_split_rows(
    rows: pd.DataFrame, labels: pd.Series, groups: pd.Series, folds: np.ndarray
) -> pd.DataFrame:
    """Give the metadata of a data set the columns that all data sets have."""
    return rows.assign(
        Metadata_Class=labels.to_numpy(),
        Metadata_Group=groups.to_numpy(),
        Metadata_Fold=folds,
    ).reset_index(drop=True)


def list_bbbc013(data: Path) -> tuple[pd.DataFrame, list[Planes]]:
    rows = read_bbbc013(data)
    lines = rows.Metadata_Row
    # A and E, B and F, ...: the upper four rows have wortmannin, the lower LY294002.
    folds = lines.factorize()[0] % 4
    rows = make_split_rows(rows, rows.Metadata_Class, lines, folds)
    planes = [
        Planes(read_plane, list(data / rows[f"FileName_{channel}"]), rows)
        for channel in ("GFP_FKHR", "DNA_DRAQ")
    ]
    return rows, planes


def list_mitocheck(data: Path) -> tuple[pd.DataFrame, list[Planes]]:
    rows = read_mitocheck(data)
    files = [
        Path(folder, name) for folder, name in zip(rows.PathName_H2B, rows.FileName_H2B)
    ]
    labels, plates = rows.Metadata_Phenotype, rows.Metadata_Plate
    rows = make_split_rows(rows, labels, plates, split(labels, plates, 5))
    return rows, [Planes(read_plane, files, rows)]


def list_hep2(data: Path) -> tuple[pd.DataFrame, list[Planes]]:
    cells = list_cells(data)
    cells = cells[cells.index % CELLS == 0].reset_index(drop=True)
    ranges = cells.range
    archive = zipfile.ZipFile(data / "cells.zip")

    def read_cell(path: Path) -> np.ndarray:
        pixels = io.BytesIO(archive.read(str(path)))
        return np.asarray(Image.open(pixels).convert("L"))

    rows = pd.DataFrame({PLATE: "hep2", "Metadata_Site": cells.id.astype(str)})
    groups = cells.pattern + " " + ranges.astype(str)
    rows = make_split_rows(rows, cells.pattern, groups, ranges.to_numpy())
    return rows, [Planes(read_cell, list(map(Path, cells.file)), rows)]


def list_randtag(data: Path) -> tuple[pd.DataFrame, list[Planes]]:
    labels = pd.read_csv(data / "labels.csv", dtype=str)
    rows = pd.DataFrame({PLATE: "randtag", "Metadata_Site": labels.file})
    proteins = labels.protein
    rows = make_split_rows(rows, labels.location, proteins, proteins.factorize()[0])
    return rows, [Planes(read_plane, [data / name for name in labels.file], rows)]


LISTS: dict[str, Callable[[Path], tuple[pd.DataFrame, list[Planes]]]] = {
    "bbbc013": list_bbbc013,
    "mitocheck": list_mitocheck,
    "hep2": list_hep2,
    "randtag": list_randtag,
}


def measure_deep(
    name: str, channels: Sequence[Planes], cache: Path | None
) -> pd.DataFrame:
    # Ways to make profiles were compared with the same recipe throughout.
    net = StratoNet.load("stratonet50", TAPS, recipe="whole224/mean")
    values = [
        embed_planes(net, f"{name}-{number}", planes, cache)
        for number, planes in enumerate(channels)
    ]
    return pd.DataFrame(np.hstack(values)).add_prefix("deep_")


def measure_intensity(channels: Sequence[Planes]) -> pd.DataFrame:
    """Measure mean, standard deviation and percentiles of planes, as in features.py."""

    values = []
    for planes in channels:
        with ThreadPoolExecutor() as pool:
            channel_values = list(
                pool.map(measure_grey, map(planes.read, planes.paths))
            )
        values.append(np.array(channel_values))
    return pd.DataFrame(np.hstack(values)).add_prefix("intensity_")


def measure_grey(plane: np.ndarray) -> list[float]:
    return [plane.mean(), plane.std(), *np.percentile(plane, PERCENTILES)]


def read_cellprofiler(source: Path, rows: pd.DataFrame) -> pd.DataFrame | None:
    """Read CellProfiler's table in the order of rows; None if it does not exist."""
    if not source.exists():
        return None
    table = read_feature_table(source, "CellProfiler")
    keys = [key for key in KEYS if key in table.frame and key in rows]
    index = pd.MultiIndex.from_frame(rows[keys].astype(str))
    values = table.frame.set_index([table.frame[key].astype(str) for key in keys])
    return values[table.features].reindex(index).reset_index(drop=True)


def make_screen(rows: pd.DataFrame, features: pd.DataFrame) -> Screen:
    """Make a screen without rows that lack values or whose plate is too small."""
    sizes = rows.groupby(PLATE)[PLATE].transform("size")
    is_usable = (features.notna().all(axis=1) & (sizes >= SMALLEST_PLATE)).to_numpy()
    rows = rows[is_usable].reset_index(drop=True)
    control = None
    if "Metadata_Role" in rows:
        control = (rows.Metadata_Role == "negcon").to_numpy()
    else:
        # Each nucleus or cell stands for a well, so that nothing is aggregated.
        rows[WELL] = np.arange(len(rows)).astype(str)
    return Screen(
        rows,
        features[is_usable].reset_index(drop=True),
        control,
        rows.Metadata_Group.to_numpy(str),
        rows.Metadata_Fold.to_numpy(),
    )


def list_tables(
    name: str, data: Path, measured_by_features: Path | None, cache: Path | None
) -> Iterator[tuple[str, Screen]]:
    """Yield the feature tables of a data set with their names."""
    rows, channels = LISTS[name](data / name)
    yield "StratoNet", make_screen(rows, measure_deep(name, channels, cache))
    yield "Intensity", make_screen(rows, measure_intensity(channels))
    if measured_by_features is not None:
        suffix = ".parquet" if name == "mitocheck" else ""
        source = measured_by_features / name / f"cellprofiler{suffix}"
        measured = read_cellprofiler(source, rows)
        if measured is not None:
            yield "CellProfiler", make_screen(rows, measured)

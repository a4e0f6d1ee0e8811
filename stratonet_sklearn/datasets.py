"""Plates as tables.

One row per image set; the columns ``file_<channel>`` hold the paths of its images.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import tifffile

from stratonet.files.spelling import find_file
from stratonet.files.storage import Storage
from stratonet.tables.csvfiles import decode_csv
from stratonet.tables.wells import format_well

FILE = "file_"
# Role, treatment and dose, between which wells alternate.
TREATMENTS = (
    ("negcon", "untreated", 0),
    ("trt", "activator", 1),
    ("poscon", "activator", 2),
)


def read_plate(
    folder: str | os.PathLike[str],
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read a plate: a folder of images with a table ``labels.csv``.

    Parameters
    ----------
    folder : str or path
        Holds ``labels.csv`` with a column ``well``, columns ``file_<channel>`` (paths
        relative to the folder), and any others.

    Returns
    -------
    images : pandas.DataFrame
        One column per channel, absolute paths: what `StratoFeatureTransformer` takes.
    labels : pandas.DataFrame
        The other columns, same index.

    Raises
    ------
    FileNotFoundError
        There is no ``labels.csv``, or it names files that do not exist.
    ValueError
        A column is missing, or a row lacks a file.
    """
    folder = Path(folder).resolve()
    table = folder / "labels.csv"
    if not table.is_file():
        raise FileNotFoundError(
            f"{table} is missing: a plate is a folder of images with a table"
            " labels.csv."
        )
    # As text: a treatment called None is not a missing value.
    texts = decode_csv(table.read_bytes(), str(table))
    labels = pd.DataFrame({name: _read_numbers(texts[name]) for name in texts})
    columns = _find_file_columns(labels, table)
    images = pd.DataFrame(index=labels.index)
    for column in columns:
        channel = column.removeprefix(FILE)
        images[channel] = [_find_image(folder, name) for name in labels[column]]
    paths = images.to_numpy().ravel()
    absent = [path for path in paths if not Path(path).is_file()]
    if absent:
        raise FileNotFoundError(
            f"{table} names {len(absent)} files that do not exist, the first:"
            f" {absent[0]}"
        )
    return images, labels.drop(columns=columns)


def _read_numbers(texts: pd.Series) -> pd.Series:
    """Convert texts to numbers, if all of them are numbers."""
    numbers = pd.to_numeric(texts, errors="coerce")
    return texts if (numbers.isna() & texts.notna()).any() else numbers


def _find_image(folder: Path, name: str) -> str:
    path = str(folder / name)
    return find_file(path, Storage()) or path


def _find_file_columns(labels: pd.DataFrame, table: Path) -> list[str]:
    """Find the columns ``file_<channel>``, and check that they are filled in."""
    columns = [column for column in labels if column.startswith(FILE)]
    if not columns or "well" not in labels:
        raise ValueError(
            f"{table} needs a column well and columns {FILE}<channel>. Received:"
            f" {list(labels)}"
        )
    lacking = labels[columns].isna().any(axis=1)
    if lacking.any():
        rows = labels.index[lacking].tolist()
        raise ValueError(f"{table} lacks a file in rows {rows}.")
    return columns


def simulate_plate(
    folder: str | os.PathLike[str],
    rows: int = 4,
    columns: int = 6,
    sites: int = 2,
    size: int = 256,
    seed: int = 0,
) -> None:
    """Simulate a plate of a translocation-like assay, for `read_plate` to read.

    Each cell carries a fluorescent protein (channel GFP) that the treatment moves from
    the cytoplasm into the nucleus (channel DNA). Wells alternate: untreated
    (``negcon``), half a dose (``trt``), full dose (``poscon``). The images are 16-bit,
    with the offset, shot noise and read noise of a camera, and fill some 5 % of the
    range.

    Parameters
    ----------
    folder : str or path
        Created if missing; images and ``labels.csv`` in it are overwritten.
    rows, columns, sites : int
        Rows and columns of the plate, and images per well.
    size : int
        Height and width, in pixels.
    seed : int
        The same seed gives the same pixels.

    Raises
    ------
    OSError
        An image cannot be written.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from stratonet_sklearn.datasets import read_plate, simulate_plate
    >>> with TemporaryDirectory() as folder:
    ...     simulate_plate(folder, rows=1, columns=3, sites=1, size=64)
    ...     images, labels = read_plate(folder)
    >>> list(images)
    ['GFP', 'DNA']
    >>> labels[["well", "role"]].to_numpy().tolist()
    [['A01', 'negcon'], ['A02', 'trt'], ['A03', 'poscon']]
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    table = []
    for row, column, site in np.ndindex(rows, columns, sites):
        # Along diagonals, so that no row or column has one treatment alone.
        turn = (row + column) % len(TREATMENTS)
        role, treatment, dose = TREATMENTS[turn]
        well = format_well(row, column)
        # One random stream per image set: a larger plate begins with the same pixels.
        rng = np.random.default_rng([seed, row, column, site])
        nuclear_share = 0.15 + 0.3 * dose
        planes = _draw_image_set(rng, size, nuclear_share)
        files = {
            f"{FILE}{channel}": f"{well}_s{site + 1}_{channel}.tif"
            for channel in planes
        }
        for name, plane in zip(files.values(), planes.values()):
            _write_plane(folder / name, plane)
        table.append(
            {
                "plate": "simulated",
                "well": well,
                "site": site + 1,
                **files,
                "role": role,
                "treatment": treatment,
                "dose_index": dose,
            }
        )
    pd.DataFrame(table).to_csv(folder / "labels.csv", index=False)


def _write_plane(path: Path, plane: np.ndarray) -> None:
    try:
        tifffile.imwrite(path, plane)
    except OSError as error:
        raise OSError(
            f"{path} cannot be written: {error}. Is the disk full?"
        ) from error


def _draw_image_set(
    rng: np.random.Generator, size: int, nuclear_share: float
) -> dict[str, np.ndarray]:
    """Draw some cells as a camera sees them: by channel, (size, size), uint16.

    ``nuclear_share`` is the mean share of GFP that lies in the nucleus.
    """
    # Photons of the medium; cells add theirs.
    gfp = np.full((size, size), 8.0)
    dna = np.full((size, size), 8.0)
    n_cells = rng.integers(28, 40)
    for _ in range(n_cells):
        nucleus, cell = _draw_cell(rng, size)
        # Cells of a well respond differently.
        share = np.clip(rng.normal(nuclear_share, 0.1), 0, 1)
        dna += rng.normal(900, 150) * nucleus
        protein = share * nucleus + (1 - share) * (cell - nucleus)
        gfp += rng.normal(700, 150) * protein
    return {"GFP": _expose(rng, gfp), "DNA": _expose(rng, dna)}


def _draw_cell(rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw masks of a nucleus and its whole cell, (size, size), from 0 to 1."""
    # The order of these draws determines the pixels that a seed gives.
    center_y, center_x = rng.uniform(0, size, 2)
    angle = rng.uniform(0, np.pi)
    radius = rng.normal(9, 1)
    stretch = rng.uniform(1, 1.4)
    y, x = np.mgrid[:size, :size]
    y = y - center_y
    x = x - center_x
    sine, cosine = np.sin(angle), np.cos(angle)
    along = x * cosine + y * sine
    across = y * cosine - x * sine
    # Stretched one way and pressed the other, the ellipse keeps the area of the circle.
    distance = np.hypot(along / stretch, across * stretch)
    distance = distance / radius
    return _draw_edge(distance, 1.0), _draw_edge(distance, 2.2)


def _draw_edge(distance: np.ndarray, edge: float) -> np.ndarray:
    """Return a mask that falls from 1 to 0 around the edge, softly as in optics."""
    # Far from the cell, in large images, this overflows to infinity, and 0 remains.
    with np.errstate(over="ignore"):
        outside = np.exp(8 * (distance - edge))
    return 1 / (1 + outside)


def _expose(rng: np.random.Generator, photons: np.ndarray) -> np.ndarray:
    """Count photons with the offset, shot noise and read noise of a camera, uint16."""
    shot = rng.poisson(photons)
    read = rng.normal(0, 6, photons.shape)
    counts = 100 + shot + read
    return counts.clip(0, 65535).astype(np.uint16)

"""Plates as tables.

One row an image set, the columns ``file_<channel>`` with the paths of its images.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import tifffile

FILE = "file_"


def read_plate(folder):
    """Read a folder of images by its ``labels.csv``.

    Parameters
    ----------
    folder : str or path
        Holds ``labels.csv`` with a column ``well``, columns ``file_<channel>`` (paths
        relative to the folder), and any others.

    Returns
    -------
    images : pandas.DataFrame
        One column a channel, absolute paths: what `StratoFeatureTransformer` takes.
    labels : pandas.DataFrame
        The other columns, same index.

    Raises
    ------
    FileNotFoundError
        There is no ``labels.csv``, or it names files that are not there.
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
    labels = pd.read_csv(table)
    channels = [column for column in labels if column.startswith(FILE)]
    if not channels or "well" not in labels:
        raise ValueError(
            f"{table} needs a column well and columns {FILE}<channel>. Received:"
            f" {list(labels)}"
        )
    if labels[channels].isna().any(axis=None):
        rows = labels.index[labels[channels].isna().any(axis=1)].tolist()
        raise ValueError(f"{table} lacks a file in rows {rows}.")
    images = labels[channels].apply(
        lambda names: [str(folder / name) for name in names]
    )
    images.columns = [channel[len(FILE) :] for channel in channels]
    absent = [path for path in images.to_numpy().ravel() if not Path(path).is_file()]
    if absent:
        raise FileNotFoundError(
            f"{table} names {len(absent)} files that are not there, the first:"
            f" {absent[0]}"
        )
    return images, labels.drop(columns=channels)


def simulate_plate(folder, rows=4, columns=6, sites=2, size=256, seed=0):
    """Draw a plate of a translocation-like assay and write it as `read_plate` reads it.

    Each cell carries a fluorescent protein (channel GFP) that the treatment moves from
    the cytoplasm into the nucleus (channel DNA). Columns take turns: untreated
    (``negcon``), half a dose (``trt``), full dose (``poscon``). The images are 16-bit,
    with the offset, shot noise and read noise of a camera, and fill some 5 % of the
    range.

    Parameters
    ----------
    folder : str or path
        Made if missing; images and ``labels.csv`` in it are overwritten.
    rows, columns, sites : int
        Wells of the plate and images of a well.
    size : int
        Height and width, in pixels.
    seed : int
        The same seed gives the same pixels.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    treatments = [
        ("negcon", "untreated", 0),
        ("trt", "activator", 1),
        ("poscon", "activator", 2),
    ]
    table = []
    for row, column, site in np.ndindex(rows, columns, sites):
        role, treatment, dose = treatments[(row + column) % len(treatments)]
        well = f"{chr(ord('A') + row)}{column + 1:02d}"
        rng = np.random.default_rng([seed, row, column, site])
        planes = _draw_field(rng, size, nuclear_share=0.15 + 0.3 * dose)
        files = {
            f"{FILE}{channel}": f"{well}_s{site + 1}_{channel}.tif"
            for channel in planes
        }
        for name, plane in zip(files.values(), planes.values()):
            try:
                tifffile.imwrite(folder / name, plane)
            except OSError as error:
                raise OSError(
                    f"{folder / name} cannot be written: {error}. Is the disk full?"
                ) from error
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


def _draw_field(rng, size, nuclear_share):
    """Photons of some cells, as a camera would count them.

    ``{"GFP": uint16, "DNA": uint16}``.
    """
    light = {"GFP": np.full((size, size), 8.0), "DNA": np.full((size, size), 8.0)}
    y, x = np.mgrid[:size, :size]
    for _ in range(rng.integers(28, 40)):
        centre, angle = rng.uniform(0, size, 2), rng.uniform(0, np.pi)
        radius, stretch = rng.normal(9, 1), rng.uniform(1, 1.4)
        along = (x - centre[1]) * np.cos(angle) + (y - centre[0]) * np.sin(angle)
        across = (y - centre[0]) * np.cos(angle) - (x - centre[1]) * np.sin(angle)
        distance = np.hypot(along / stretch, across * stretch) / radius
        nucleus, cell = (1 / (1 + np.exp(8 * (distance - edge))) for edge in (1.0, 2.2))
        share = np.clip(rng.normal(nuclear_share, 0.1), 0, 1)
        light["DNA"] += rng.normal(900, 150) * nucleus
        light["GFP"] += rng.normal(700, 150) * (
            share * nucleus + (1 - share) * (cell - nucleus)
        )
    return {
        channel: (
            (100 + rng.poisson(photons) + rng.normal(0, 6, photons.shape))
            .clip(0, 65535)
            .astype(np.uint16)
        )
        for channel, photons in light.items()
    }

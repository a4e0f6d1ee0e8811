"""Read the data sets of the benchmarks as tables of images.

A folder DATA holds bbbc013, mitocheck, hep2 and bbbc022, each with its images and a
table labels.csv. Every function `read_...` returns a table with one row per image set
and the columns of CellProfiler's LoadData: Metadata_*, and FileName_<channel> and
PathName_<channel>.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

# Lowest doses (wortmannin: nanomolar; LY294002: micromolar) that move the protein.
WORTMANNIN_WORKS, LY294002_WORKS = 31, 10
# BBBC022's pipeline takes the plate's name from the folder.
BBBC022_PLATE = "20585"
RANGES = 6  # of HEp-2's IDs in each pattern
GAP = 0.45  # of a range, left out at its end: about a specimen


def read_bbbc013(data: Path) -> pd.DataFrame:
    """Read one plate, 96 wells; classes are untreated wells and effective doses."""
    labels = pd.read_csv(data / "labels.csv")
    wortmannin = labels.treatment == "wortmannin"
    ly294002 = labels.treatment == "LY294002"
    works = wortmannin & (labels.conc >= WORTMANNIN_WORKS)
    works |= ly294002 & (labels.conc >= LY294002_WORKS)
    works |= labels.role == "negcon"
    rows = pd.DataFrame(
        {
            "Metadata_Plate": labels.plate,
            "Metadata_Well": labels.well,
            "Metadata_Row": labels.well.str[0],
            "Metadata_Role": labels.role,
            "Metadata_Compound": labels.treatment,
            "Metadata_Dose": labels.conc,
            "Metadata_Class": labels.treatment.where(works, ""),
        }
    )
    channels = ("GFP_FKHR", "DNA_DRAQ")
    files = {channel: labels[f"file_{channel}"] for channel in channels}
    return add_images(rows, data, files)


def read_mitocheck(data: Path) -> pd.DataFrame:
    """Read 3,277 single nuclei of 67 plates; a nucleus stands for a site."""
    labels = pd.read_csv(data / "labels.csv", dtype=str)
    rows = pd.DataFrame(
        {
            "Metadata_Plate": labels.plate,
            "Metadata_Well": labels.well_pos,
            "Metadata_Site": np.arange(1, len(labels) + 1).astype(str),
            "Metadata_Phenotype": labels.phenotype,
        }
    )
    return add_images(rows, data, {"H2B": labels.file})


def read_bbbc022(data: Path) -> pd.DataFrame:
    """Read 6 wells of 2 sites, each well with its own compound."""
    labels = pd.read_csv(data / "labels.csv", dtype=str)
    rows = pd.DataFrame(
        {
            "Metadata_Plate": labels.plate,
            "Metadata_Well": labels.well,
            "Metadata_Site": labels.site,
            "Metadata_Compound": labels.compound,
        }
    )
    files = {}
    for column in labels:
        if column.startswith("file_"):
            files[column.removeprefix("file_")] = labels[column]
    # The illumination functions are listed as images of further channels.
    for channel in list(files):
        files[f"Illum{channel}"] = labels.plate + f"_Illum{channel}.mat"
    return add_images(rows, data, files)


def read_hep2(data: Path, cells: Path) -> pd.DataFrame:
    """Read cells of six staining patterns, whose images are unpacked into ``cells``.

    A range of IDs stands for the specimens in it, see `list_cells`.
    """
    if not cells.exists():
        unfinished = cells.with_suffix(".partial")
        with zipfile.ZipFile(data / "cells.zip") as archive:
            archive.extractall(unfinished)
        unfinished.rename(cells)
    labels = list_cells(data)
    ranges = labels.pattern + " " + labels.range.astype(str)
    rows = pd.DataFrame(
        {
            "Metadata_Plate": "hep2",
            "Metadata_Well": ranges,
            "Metadata_Site": labels.id.astype(str),
            "Metadata_Pattern": labels.pattern,
            "Metadata_Range": ranges,
        }
    )
    return add_images(rows.reset_index(drop=True), cells, {"FITC": labels.file})


def list_cells(data: Path) -> pd.DataFrame:
    """List HEp-2's cells, each with its range of IDs within its pattern.

    Neighbouring IDs are of one specimen. The IDs of a pattern are divided into ranges
    with a gap between them, and the cells in gaps are left out. So are copies: 41 cells
    of a specimen appear twice, in two ranges.
    """
    labels = pd.read_csv(data / "labels.csv")
    labels["range"] = divide_ids(labels.id, labels.pattern)
    labels = labels[labels.range >= 0]
    with zipfile.ZipFile(data / "cells.zip") as archive:
        pixels = labels.file.map(lambda name: hash_pixels(archive.read(name)))
    return labels[~pixels.duplicated()]


def hash_pixels(content: bytes) -> str:
    pixels = np.asarray(Image.open(io.BytesIO(content)))
    return hashlib.sha256(pixels.tobytes()).hexdigest()


def divide_ids(ids: pd.Series, patterns: pd.Series) -> pd.Series:
    """Number the range of IDs of each cell within its pattern; -1 in a gap."""
    first = ids.groupby(patterns).transform("min")
    last = ids.groupby(patterns).transform("max")
    width = (last - first + 1) / RANGES
    offsets = ids - first
    numbers = (offsets // width).astype(int)
    # The end of each range except the last is left out.
    remaining = (numbers + 1) * width - offsets
    return numbers.where((remaining > GAP * width) | (numbers == RANGES - 1), -1)


SCREENS = {
    "bbbc013": read_bbbc013,
    "mitocheck": read_mitocheck,
    "bbbc022": read_bbbc022,
}


def add_images(
    rows: pd.DataFrame, folder: Path, files: Mapping[str, pd.Series]
) -> pd.DataFrame:
    """Add LoadData's columns for the files of each channel, in place."""
    for channel, names in files.items():
        paths = [folder / name for name in names]
        rows[f"FileName_{channel}"] = [path.name for path in paths]
        rows[f"PathName_{channel}"] = [str(path.parent) for path in paths]
    return rows


def list_channels(rows: pd.DataFrame) -> list[str]:
    """List the channels with pixels; illumination functions have none."""
    channels = [
        column.removeprefix("FileName_")
        for column in rows
        if column.startswith("FileName_")
    ]
    return [channel for channel in channels if not channel.startswith("Illum")]


def write_load_data(rows: pd.DataFrame, path: Path) -> None:
    """Write the table in the form that LoadData and `stratonet extract` take."""
    rows.rename(columns=_add_prefix).to_csv(path, index=False)


def _add_prefix(column: str) -> str:
    return column if column.startswith("Metadata_") else f"Image_{column}"


def link_bbbc022_plate(data: Path, output: Path) -> Path:
    """Make a folder of links to BBBC022's images, named after the plate."""
    folder = output / BBBC022_PLATE
    folder.mkdir(exist_ok=True)
    for path in [*data.glob("*.tif"), *data.glob("*.mat")]:
        if not (folder / path.name).exists():
            (folder / path.name).symlink_to(path)
    return folder

"""How much of the network's speed `stratonet extract` reaches, files on a local disk.

    .venv/bin/python benchmarks/extraction.py DATA/bbbc022

Image sets a second from table and files to feature tables, as a ratio to the network
alone on the same number of planes that are prepared in memory, in turns within one run:
for Cell Painting images of 520 x 696 pixels (BBBC022, copied), and for generated 16-bit
images of 1,024 x 1,024 pixels. A plate is a quarter of one of JUMP's: 96 wells of 9
sites."""

import argparse
import resource
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import tifffile

from stratonet import StratoNet
from stratonet.extraction import extract
from stratonet.files.images import read_plane
from stratonet.preprocessing import to_grey

ROUNDS, SITES = 2, 9


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, metavar="DATA/bbbc022")
    folder = parser.parse_args().folder
    net = StratoNet.load()
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        for name, make in (
            ("520 x 696 (BBBC022)", copies),
            ("1024 x 1024 (generated)", generated),
        ):
            screen = scratch / make.__name__
            table, channels = make(screen, folder)
            ratios = []
            for number in range(ROUNDS):
                alone = time_alone(net, table, channels)
                began = time.perf_counter()
                done = extract(
                    screen / "load_data.csv", screen / f"out{number}", quiet=True
                )
                ratios.append(alone / (time.perf_counter() - began))
                assert done.image_sets == len(table) and not done.failed
            print(
                f"{name}: {done.images} planes; {len(table) / alone:.2f} image sets/s"
                f" by the network alone; end to end {statistics.median(ratios):.3f} of"
                f" that (median of {ROUNDS}, {min(ratios):.3f} to {max(ratios):.3f})"
            )
    print(
        "Most memory of the process:"
        f" {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB"
    )


def time_alone(net, table, channels):
    """Seconds of the network for all planes of the table, prepared in memory."""
    row = table.iloc[0]
    greys = [
        to_grey(read_plane(Path(row[f"PathName_{c}"], row[f"FileName_{c}"])), net.card)
        for c in channels
    ]
    planes = (
        greys[number % len(greys)] for number in range(len(table) * len(channels))
    )
    began = time.perf_counter()
    for _ in net.stream(planes, prepared=True):
        pass
    return time.perf_counter() - began


def copies(screen, folder, times=72):
    labels = pd.read_csv(folder / "labels.csv", dtype=str)
    tables = []
    for number in range(times):
        target = screen / str(number)
        target.mkdir(parents=True)
        sites = (
            labels.groupby("well").cumcount()
            + number * len(labels) // labels.well.nunique()
        )
        table = pd.DataFrame(
            {
                "Metadata_Plate": "P",
                "Metadata_Well": labels.well + "-" + (sites // SITES).astype(str),
            }
        )
        table["Metadata_Site"] = sites % SITES
        for name in labels.filter(regex="^file_"):
            for path in labels[name]:
                shutil.copy(folder / path, target)
            table["FileName_" + name[5:]], table["PathName_" + name[5:]] = (
                labels[name],
                str(target),
            )
        tables.append(table)
    return save(screen, pd.concat(tables))


def generated(screen, _folder, wells=96):
    rng = np.random.default_rng(0)
    screen.mkdir()
    rows = []
    for well, site in np.ndindex(wells, SITES):
        row = {
            "Metadata_Plate": "P",
            "Metadata_Well": f"A{well + 1:02d}",
            "Metadata_Site": site,
        }
        for channel in ("DNA", "ER", "RNA", "AGP", "Mito"):
            name = f"{well}-{site}-{channel}.tif"
            tifffile.imwrite(
                screen / name, rng.gamma(2, 300, (1024, 1024)).astype(np.uint16)
            )
            row["FileName_" + channel], row["PathName_" + channel] = name, str(screen)
        rows.append(row)
    return save(screen, pd.DataFrame(rows))


def save(screen, table):
    table.to_csv(screen / "load_data.csv", index=False)
    return table, [
        name[len("FileName_") :] for name in table if name.startswith("FileName_")
    ]


if __name__ == "__main__":
    main()

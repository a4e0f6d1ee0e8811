"""Small screens of JUMP's shape.

Plates with LoadData tables and 16-bit images, for the tests of extraction.
"""

import io

import numpy as np
import pandas as pd
import tifffile

CHANNELS = ("DNA", "ER")
# A network that ends early: what is tested is the road, not the network.
TAP = "conv2_block1_out"


def image(*seed, size=80):
    """A 16-bit image, the same for the same numbers, as the bytes of a TIFF file."""
    rng = np.random.default_rng(seed)
    file = io.BytesIO()
    tifffile.imwrite(file, rng.gamma(2, 300, (size, size)).astype(np.uint16))
    return file.getvalue()


def screen(
    plates=("P1", "P2"),
    wells=("A01", "A02", "B01"),
    sites=2,
    channels=CHANNELS,
    root="",
    size=80,
):
    """Files of a screen by path, and its LoadData table with paths below ``root``."""
    files, rows = {}, []
    for p, plate in enumerate(plates):
        for w, well in enumerate(wells):
            for site in range(1, sites + 1):
                row = {
                    "Metadata_Source": "source_8",
                    "Metadata_Batch": "J3",
                    "Metadata_Plate": plate,
                }
                row.update({"Metadata_Well": well, "Metadata_Site": str(site)})
                for c, channel in enumerate(channels):
                    name = f"HTS_{well}_s{site}_w{c + 1}.tif"
                    files[f"images/{plate}/Images/{name}"] = image(
                        p, w, site, c, size=size
                    )
                    row[f"FileName_Orig{channel}"] = name
                    row[f"PathName_Orig{channel}"] = f"{root}images/{plate}/Images/"
                rows.append(row)
    return files, pd.DataFrame(rows)


def write(folder, files):
    """Write files, a dict of relative path to bytes."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def values(frame):
    """The rows of a feature table, sorted, without what tells one run from another."""
    keys = [
        name
        for name in ("Metadata_Plate", "Metadata_Well", "Metadata_Site")
        if name in frame
    ]
    return frame.sort_values(keys).reset_index(drop=True)

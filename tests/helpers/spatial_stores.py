"""Stores of SpatialData, written by spatialdata itself.

What its versions 0.0.15 and 0.2.6 write, in Zarr 2, lies beside this file: it was made
where that version is installed (Python 3.10), by

    python tests/helpers/spatial_stores.py tests/helpers/spatialdata_0.2.6.zip
"""

import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
from microscope_files import HEIGHT, WIDTH, plane

HERE = Path(__file__).parent
OLD_VERSIONS = ("0.0.15", "0.2.6")
CHANNELS = ("DAPI", "Alexa 488")
# The images of a store of fields, and what each is made of.
FIELDS = {"s1_image": 1, "s2_image": 2}
NUMBERS = (1, 7, 40)


def field(seed):
    """The channels of an image: (2, height, width)."""
    return np.array([plane(seed, channel) for channel in range(len(CHANNELS))])


def labels(seed, shape=(HEIGHT, WIDTH)):
    """A label image of three objects, one of which lies at the border."""
    image = np.zeros(shape, np.int32)
    image[5 + seed : 15, 5:15] = NUMBERS[0]
    image[20:30, 30 : 40 - seed] = NUMBERS[1]
    image[40:, 50:] = NUMBERS[2]
    return image


def write_fields(path, **how):
    """Two images, one with smaller copies of itself, and a label image of each."""
    from spatialdata import SpatialData
    from spatialdata.models import Image2DModel, Labels2DModel

    images, label_images = {}, {}
    for name, seed in FIELDS.items():
        smaller = {"scale_factors": [2, 2]} if seed == 2 else {}
        images[name] = Image2DModel.parse(
            field(seed), dims="cyx", c_coords=list(CHANNELS), **smaller
        )
        label_images[f"s{seed}_nuclei"] = Labels2DModel.parse(
            labels(seed), dims="yx", **smaller
        )
    SpatialData(images=images, labels=label_images).write(path, **how)


def write_stack(path, **how):
    """A stack of three planes whose channels nobody has named, and a label image."""
    from spatialdata import SpatialData
    from spatialdata.models import Image3DModel, Labels2DModel

    stack = np.array([[plane(3, c, z) for z in range(3)] for c in range(2)])
    SpatialData(
        images={"stack": Image3DModel.parse(stack, dims="czyx")},
        labels={"nuclei": Labels2DModel.parse(labels(3), dims="yx")},
    ).write(path, **how)
    return stack


def unpack_stores(version, folder):
    """Lay the stores that an old version has written into a folder."""
    with zipfile.ZipFile(HERE / f"spatialdata_{version}.zip") as archive:
        archive.extractall(folder)


def _pack_stores(archive):
    with tempfile.TemporaryDirectory() as folder:
        write_fields(f"{folder}/fields.zarr")
        write_stack(f"{folder}/stack.zarr")
        shutil.make_archive(str(archive).removesuffix(".zip"), "zip", folder)


if __name__ == "__main__":
    _pack_stores(sys.argv[1])

"""Files that CellProfiler's own modules save, in the environment of this project."""

import numpy as np
import pytest
import tifffile

pytest.importorskip("cellprofiler", reason="CellProfiler is not installed")

import h5py
from cellprofiler_runs import load_modules, module, rows_of, run
from PIL import Image

# Bit depths in SaveImages' words: the type of the pixels, and what white becomes.
DEPTHS = {
    "8-bit integer": (np.uint8, 255),
    "16-bit integer": (np.uint16, 65535),
    "32-bit floating point": (np.float32, 1),
    "No conversion": (np.float32, 1),
}


def saver(format, depth="8-bit integer", compress=True):
    name = f"{format}_{depth[:2]}_{compress}"
    return f"{name}.{format}", module(
        "SaveImages",
        image_name="DNA",
        file_name_method="Single name",
        single_file_name=name,
        file_format=format,
        bit_depth=depth,
        tiff_compress=compress,
    )


def read(path):
    if path.suffix == ".h5":
        with h5py.File(path) as file:
            return np.squeeze(file[path.stem][()])
    if path.suffix == ".npy":
        return np.load(path)
    if path.suffix == ".tiff":
        return tifffile.imread(path)
    return np.asarray(Image.open(path))


@pytest.mark.slow
def test_images_are_saved_in_every_format_and_bit_depth(tmp_path):
    load_modules()
    pixels = np.arange(64 * 80, dtype=np.uint8).reshape(64, 80)
    labels = np.zeros((64, 80), np.uint16)
    labels[8:20, 8:24] = 1
    row = rows_of(tmp_path, s1_DNA=pixels, objects_Cells=labels)
    savers = [saver("jpeg"), saver("npy"), saver("png")]
    for depth in DEPTHS:
        savers += [saver("h5", depth), saver("tiff", depth)]
        savers.append(saver("tiff", depth, compress=False))
    croppers = [
        module(
            "SaveCroppedObjects",
            objects_name="Cells",
            export_option="Masks",
            use_filename=False,
            file_format=f"{bits}-bit tiff",
        )
        for bits in (8, 16)
    ]
    modules = [step for _, step in savers]
    names = [name for name, _ in savers]
    out = run(tmp_path, [row], *modules, *croppers, expected=names)
    for name, step in savers:
        saved = read(out / name)
        depth = step.bit_depth.value
        if name.endswith((".jpeg", ".png")):
            depth = "8-bit integer"
        if name.endswith(".npy"):
            depth = "No conversion"
        kind, largest = DEPTHS[depth]
        assert saved.dtype == kind, name
        error = np.abs(saved / largest - pixels / 255).max()
        # jpeg does not keep every pixel.
        assert error < (0.2 if name.endswith(".jpeg") else 1e-4), name
    assert tifffile.imread(out / "Cells_1.tiff").dtype == np.uint16

"""Illumination functions, against CellProfiler and numbers worked out by hand."""

import csv
import io

import numpy as np
import pytest
import tifffile
from scipy.io import savemat

from cellprofiler_plugin import headless
from stratonet.extraction.illumination import correct_plane, decode_function
from stratonet.files.images import read_plane

STAINS = {"Hoechst": 1, "ER": 2, "Syto": 3, "Ph_golgi": 4, "Mito": 5}


def saved(function, name):
    """The bytes of a function in a file of the name's kind."""
    file = io.BytesIO()
    if name.endswith(".npy"):
        np.save(file, function)
    elif name.endswith(".mat"):
        savemat(file, {"Image": function})
    else:
        tifffile.imwrite(file, function, photometric="minisblack")
    return file.getvalue()


@pytest.mark.slow
def test_same_pixels_as_cellprofiler(tmp_path, data):
    """Five channels with their functions, and small images and functions of every kind.

    All in one headless run.
    """
    preferences = pytest.importorskip(
        "cellprofiler_core.preferences", reason="CellProfiler is not installed"
    )
    preferences.set_headless()
    from cellprofiler_core.pipeline import Pipeline
    from cellprofiler_core.utilities.core.modules import (
        fill_modules,
        instantiate_module,
    )

    rng = np.random.default_rng(1)
    around_one = rng.uniform(0.5, 2, (30, 40))
    small = {
        # name: image, function, extension of the function, method
        "Double": (
            rng.integers(0, 65536, (30, 40), np.uint16),
            around_one,
            ".npy",
            "divide",
        ),
        "FloatTiff": (
            rng.integers(0, 256, (30, 40), np.uint8),
            around_one.astype(np.float32),
            ".tif",
            "divide",
        ),
        "IntegerTiff": (
            rng.integers(0, 65536, (30, 40), np.uint16),
            rng.integers(1, 40000, (30, 40)).astype(np.uint16),
            ".tiff",
            "subtract",
        ),
        "IntegerArray": (
            rng.normal(0, 1, (30, 40)).astype(np.float32),
            rng.integers(-30000, 30000, (30, 40)).astype(np.int16),
            ".npy",
            "subtract",
        ),
        "Signed": (
            rng.integers(-9000, 9000, (30, 40)).astype(np.int16),
            around_one,
            ".mat",
            "divide",
        ),
        "Wide": (
            rng.integers(0, 2**32, (30, 40), np.uint32),
            around_one,
            ".mat",
            "divide",
        ),
        "Bits": (rng.random((30, 40)) > 0.5, around_one / 256, ".npy", "divide"),
    }
    cases = {
        stain: (
            next((data / "bbbc022").glob(f"IXMtest_A01_s1_w{number}*.tif")),
            data / "bbbc022" / f"20585_Illum{stain}.mat",
            "divide",
        )
        for stain, number in STAINS.items()
    }
    for name, (image, function, extension, method) in small.items():
        paths = tmp_path / f"{name}.tif", tmp_path / f"Illum{name}{extension}"
        tifffile.imwrite(paths[0], image, photometric="minisblack")
        paths[1].write_bytes(saved(function, paths[1].name))
        cases[name] = (*paths, method)

    fill_modules()
    pipeline = Pipeline()

    def add(name, **settings):
        module = instantiate_module(name)
        module.show_window = False
        for setting, value in settings.items():
            getattr(module, setting).value = value
        module.set_module_num(len(pipeline.modules()) + 1)
        pipeline.add_module(module)
        return module

    row = {}
    add("LoadData", wants_images=True)
    for name, (image, function, method) in cases.items():
        for channel, path in ((f"Orig{name}", image), (f"Illum{name}", function)):
            row.update(
                {
                    f"Image_FileName_{channel}": path.name,
                    f"Image_PathName_{channel}": str(path.parent),
                }
            )
        (group,) = add("CorrectIlluminationApply").images
        group.image_name.value, group.illum_correct_function_image_name.value = (
            f"Orig{name}",
            f"Illum{name}",
        )
        group.corrected_image_name.value, group.divide_or_subtract.value = (
            name,
            method.title(),
        )
        add(
            "SaveImages",
            image_name=name,
            file_format="npy",
            file_name_method="Single name",
            single_file_name=name,
            when_to_save="Every cycle",
        )
    with open(tmp_path / "load_data.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, row)
        writer.writeheader()
        writer.writerow(row)
    with open(tmp_path / "run.cppipe", "w") as file:
        pipeline.dump(file)
    expected = [f"{name}.npy" for name in cases]
    headless.run_pipeline(
        tmp_path / "run.cppipe",
        tmp_path / "out",
        expected,
        f"--data-file={tmp_path / 'load_data.csv'}",
    )

    for name, (image, function, method) in cases.items():
        theirs = np.load(tmp_path / "out" / f"{name}.npy")
        ours = correct_plane(
            read_plane(image),
            decode_function(function.read_bytes(), str(function)),
            method,
        )
        assert ours.dtype == theirs.dtype == np.float32, name
        np.testing.assert_array_equal(ours, theirs, err_msg=name)
        assert np.ptp(theirs) > 0, name


def test_known_answers():
    plane, function = (
        np.array([[0, 65535], [13107, 52428]], np.uint16),
        np.float32([[1, 2], [0.1, 0.5]]),
    )
    np.testing.assert_allclose(
        correct_plane(plane, function, "divide"), [[0, 0.5], [1, 1]], rtol=1e-6
    )
    np.testing.assert_allclose(
        correct_plane(plane, function, "subtract"), [[0, 0], [0.1, 0.3]], rtol=1e-6
    )
    assert plane[0, 1] == 65535 and function[0, 1] == 2
    # Floats are not rescaled.
    np.testing.assert_array_equal(
        correct_plane(np.float32([[-1, 0.25, 7]]), np.float32([[1, 0.5, 1]]), "divide"),
        [[0, 0.5, 1]],
    )
    np.testing.assert_allclose(
        correct_plane(np.uint8([[51, 255]]), np.float32([[1, 2]]), "divide"),
        [[0.2, 0.5]],
    )


@pytest.mark.parametrize(
    "name",
    ["f.npy", "f.MAT", "s3://bucket/f.mat", "https://host/f.tif?signed=1", "f.TIFF"],
)
def test_functions_of_every_format(name):
    function = np.float32([[1, 1.5], [2, 3]])
    extension = name.partition("?")[0].lower()
    read = decode_function(saved(function, extension), name)
    assert read.dtype == np.float32 and read.tolist() == function.tolist()
    halves = np.uint16([[0, 13107], [65535, 52428]])
    np.testing.assert_allclose(
        decode_function(saved(halves, extension), name), [[0, 0.2], [1, 0.8]], rtol=1e-6
    )


NPY = saved(np.ones((3, 4)), ".npy")
WRONG = {
    "another format": ("i.png", b"", "Received: '.png'"),
    "half a .npy": ("i.npy", NPY[:-8], "damaged"),
    "half a .mat": ("i.mat", saved(np.ones((30, 40)), ".mat")[:200], "damaged"),
    "half a TIFF": (
        "i.tif",
        saved(np.ones((3, 4), np.float32), ".tif")[:40],
        "damaged",
    ),
    "nothing": ("i.npy", b"", "Received: 0 bytes"),
    "pickled": ("i.npy", saved(np.array([[None]]), ".npy"), "allow_pickle"),
    "not Image": (
        "i.mat",
        saved(np.ones((3, 4)), ".mat").replace(b"Image", b"Other"),
        "It holds: Other",
    ),
    "colour": ("i.npy", saved(np.ones((3, 4, 3)), ".npy"), r"shape \(3, 4, 3\)"),
    "stack": ("i.tif", saved(np.ones((2, 3, 4), np.float32), ".tif"), "stack"),
    "empty": ("i.mat", saved(np.ones((0, 4)), ".mat"), r"shape \(0, 4\)"),
    "text": ("i.mat", saved("one", ".mat"), "dtype <U3"),
    "complex": ("i.npy", saved(np.full((3, 4), 1j), ".npy"), "complex128"),
    "NaN": ("i.tif", saved(np.float32([[1, np.nan]]), ".tif"), "1 of 2 values NaN"),
    "too large": ("i.npy", saved(np.array([[1, 1e300]]), ".npy"), "1 of 2 values NaN"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_functions_are_named(case):
    name, content, told = WRONG[case]
    with pytest.raises(ValueError, match=f"^s3://there/{name}.*{told}"):
        decode_function(content, f"s3://there/{name}")


def test_wrong_corrections():
    plane = np.uint8([[0, 3, 200]])
    with pytest.raises(
        ValueError, match=r"same shape. Received: \(1, 3\) and \(3, 1\)"
    ):
        correct_plane(plane, np.ones((3, 1)), "divide")
    with pytest.raises(
        ValueError,
        match="2 of 3 pixels become NaN or infinite: the function has 2 zeros",
    ):
        correct_plane(plane, np.float32([[0, 0, 1]]), "divide")
    assert correct_plane(
        plane, np.float32([[0, 0, 0]]), "subtract"
    ).max() == np.float32(200 / 255)
    with pytest.raises(ValueError, match="Received: 'Divide'"):
        correct_plane(plane, np.ones((1, 3)), "Divide")

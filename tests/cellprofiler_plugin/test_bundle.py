"""`stratonet plugin`: the module for a CellProfiler that takes no packages."""

import csv
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("cellprofiler", reason="CellProfiler is not installed")

from cellprofiler_runs import load_modules, module, rows_of, run, words_of_recipe, write

import stratonet_cli
from cellprofiler_plugin import bundle

FETCHED = ("filelock", "onnxruntime", "google", "pyarrow")
# What a downloaded CellProfiler lacks: all that comes from us or for us.
LACKING = {*FETCHED, *bundle.OWN_PACKAGES, "stratonet_sklearn", "flatbuffers"}


def write_bundle(system, folder):
    """Write it by the command, and return the ZIP file."""
    path = folder / f"{system}.zip"
    status = stratonet_cli.main(["plugin", "--for", system, "--output", str(path)])
    if status:
        pytest.skip("the packages cannot be fetched here: no network")
    return path


def link_packages(folder):
    """Make the packages of this Python, less those that are lacking."""
    (found,) = (path for path in map(Path, sys.path) if path.name == "site-packages")
    for path in found.iterdir():
        if path.name not in LACKING and path.suffix != ".pth":
            (folder / path.name).symlink_to(path)
    return folder


def read_rows(folder, name):
    with open(folder / f"{name}.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    columns = [name for name in rows[0] if name.startswith("StratoFeatures_")]
    return np.array([[float(row[column]) for column in columns] for row in rows])


@pytest.mark.slow
@pytest.mark.stock_cellprofiler
@pytest.mark.skipif(sys.version_info[:2] != (3, 9), reason="its packages are for 3.9")
def test_a_cellprofiler_without_packages_measures_the_same(tmp_path):
    load_modules()
    rng = np.random.default_rng(3)
    labels = np.zeros((64, 80), np.uint8)
    labels[10:30, 10:30], labels[36:60, 40:70] = 1, 2
    plane = rng.integers(0, 4000, labels.shape, dtype=np.uint16)
    rows = [rows_of(tmp_path, **{"A01_DNA": plane, "objects_Nuclei": labels})]
    measure = module(
        "MeasureStratoFeatures",
        images="DNA",
        taps="low",
        region_choice="Both",
        objects="Nuclei",
    )
    words_of_recipe(measure, "whole224/mean", output="Both")
    steps = measure, module("ExportToSpreadsheet", wants_prefix=False)
    usual = run(tmp_path, rows, *steps, expected=["Image.csv", "Nuclei.csv"])

    with zipfile.ZipFile(write_bundle("linux", tmp_path)) as archive:
        archive.extractall(tmp_path / "unpacked folder")
    (packages := tmp_path / "packages").mkdir()
    link_packages(packages)
    write(tmp_path, rows, *steps)
    # -S: no site-packages but those.
    command = [sys.executable, "-S", "-m", "cellprofiler", "-c", "-r"]
    command += ["-p", "run.cppipe", "-o", "without", "--data-file", "load_data.csv"]
    command += ["--plugins-directory", tmp_path / "unpacked folder" / bundle.FOLDER]
    subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(packages)},
        check=True,
    )
    for name in ("Image", "Nuclei"):
        without = read_rows(tmp_path / "without", name)
        assert without.size
        np.testing.assert_array_equal(without, read_rows(usual, name))
    assert list((tmp_path / "without").glob("*.parquet"))


@pytest.mark.slow
def test_windows_gets_its_own_libraries(tmp_path):
    with zipfile.ZipFile(write_bundle("windows", tmp_path)) as archive:
        names = archive.namelist()
    tops = {name.split("/")[1] for name in names}
    assert tops == {
        "measurestratofeatures.py",
        "README.txt",
        "wholeimages.cppipe",
        "example_images",
        "packages",
    }
    packages = "StratoNet/packages/AMD64"
    for file in (
        "onnxruntime/capi/onnxruntime_pybind11_state.pyd",
        "pyarrow/lib.cp39-win_amd64.pyd",
        "stratonet/weights/stratonet50.onnx",
        "cellprofiler_plugin/bundle_files/README.txt",
        "onnxruntime/LICENSE",
    ):
        assert f"{packages}/{file}" in names
    assert not [name for name in names if name.endswith(".pyc")]
    # Windows takes 260 characters, of which the user's folder needs some.
    assert max(map(len, names)) < 140


@pytest.mark.parametrize(
    ("machine", "version", "message"),
    [
        ("riscv64", "3.9.1", "has packages for x86_64, not for this CellProfiler"),
        ("x86_64", "3.8.10", "have Python 3.9; this one has Python 3.8.10"),
    ],
)
def test_another_cellprofiler_is_told_why(
    tmp_path, monkeypatch, machine, version, message
):
    starter = Path(bundle.__file__).parent / "bundle_files" / "measurestratofeatures.py"
    (tmp_path / starter.name).write_bytes(starter.read_bytes())
    (tmp_path / "packages" / "x86_64").mkdir(parents=True)
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr("platform.python_version", lambda: version)
    numbers = tuple(map(int, version.split(".")))
    monkeypatch.setattr(sys, "version_info", numbers)
    code = compile((tmp_path / starter.name).read_bytes(), starter.name, "exec")
    with pytest.raises(ImportError, match=message):
        exec(code, {"__file__": str(tmp_path / starter.name), "__name__": "starter"})


def test_what_is_there_stays(tmp_path, capsys):
    path = tmp_path / "plugin.zip"
    path.write_text("mine")
    arguments = ["plugin", "--for", "windows", "--output"]
    assert stratonet_cli.main([*arguments, str(path)]) == 1
    assert "the file exists already" in capsys.readouterr().err
    assert path.read_text() == "mine"
    assert stratonet_cli.main([*arguments, str(tmp_path / "no" / "plugin.zip")]) == 1
    assert "no such folder" in capsys.readouterr().err


def test_packages_that_cannot_be_had_leave_nothing(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    path = tmp_path / "plugin.zip"
    arguments = ["plugin", "--for", "macos", "--output", str(path)]
    assert stratonet_cli.main(arguments) == 1
    error = capfd.readouterr().err
    assert "could not be fetched. Check the connection" in error
    assert "filelock" in error
    assert not path.exists()

"""Make a ZIP file with the module and its packages, for the downloaded CellProfiler.

That CellProfiler has its own Python 3.9, into which nothing can be installed. Its
plug-ins are ordinary files, though, and may bring along the packages they import.
"""

from __future__ import annotations

import errno
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from stratonet.files.atomic import write_atomically

# For each processor, by Python's name for it: the platforms whose wheels fit.
SYSTEMS = {
    "windows": {"AMD64": ["win_amd64"]},
    "macos": {"arm64": ["macosx_12_0_arm64"], "x86_64": ["macosx_12_0_x86_64"]},
    "linux": {
        "x86_64": [
            "manylinux_2_28_x86_64",
            "manylinux_2_27_x86_64",
            "manylinux2014_x86_64",
        ]
    },
}
# Their last versions for Python 3.9; only packages that CellProfiler does not have.
PACKAGES = (
    "filelock==3.19.1",
    "onnxruntime==1.19.2",
    "protobuf==6.33.6",
    "pyarrow==21.0.0",
)
OWN_PACKAGES = ("stratonet", "cellprofiler_plugin")
# Useless to a plug-in: tests, headers, commands. Their long paths also fail on Windows.
EXCLUDED = {"__pycache__", "tests", "include", "src", "bin"}
FOLDER = "StratoNet"
# Images for wholeimages.cppipe, beside it.
EXAMPLES = "example_images"


def write_bundle(system: str, path: Path) -> int:
    """Write the module and all that it needs to a ZIP file.

    Parameters
    ----------
    system : str
        The system that CellProfiler runs on: ``"windows"``, ``"macos"`` or ``"linux"``.
    path : pathlib.Path
        The ZIP file, which must not exist yet.

    Returns
    -------
    int
        Size of the file in bytes.

    Raises
    ------
    FileExistsError
        The file exists already.
    RuntimeError
        pip is missing, or could not fetch the packages.
    OSError
        The file cannot be written.
    """
    if path.exists():
        raise FileExistsError(
            errno.EEXIST, "the file exists already; give another name", str(path)
        )
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "no such folder", str(path.parent))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, FOLDER)
        _copy_starter(folder)
        for machine, platforms in SYSTEMS[system].items():
            packages = folder / "packages" / machine
            _fetch_packages(platforms, packages)
            _copy_own_packages(packages)
        with write_atomically(path, must_be_new=True) as unfinished:
            _zip_folder(folder, unfinished)
    return path.stat().st_size


def _copy_starter(folder: Path) -> None:
    folder.mkdir()
    for name in ("measurestratofeatures.py", "README.txt"):
        file = files("cellprofiler_plugin") / "bundle_files" / name
        (folder / name).write_bytes(file.read_bytes())
    plugins = Path(str(files("cellprofiler_plugin.plugins")))
    shutil.copy(plugins / "wholeimages.cppipe", folder)
    shutil.copytree(plugins / EXAMPLES, folder / EXAMPLES)


def _fetch_packages(platforms: list[str], folder: Path) -> None:
    if find_spec("pip") is None:
        raise RuntimeError(
            f"The packages are fetched with pip, which this Python ({sys.executable})"
            " does not have. Install it: python -m ensurepip"
        )
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    command += ["--only-binary", ":all:", "--python-version", "3.9"]
    command += ["--implementation", "cp", "--target", str(folder)]
    for name in platforms:
        command += ["--platform", name]
    process = subprocess.run([*command, *PACKAGES], capture_output=True, text=True)
    if process.returncode:
        lines = [
            line for line in process.stderr.splitlines() if line.startswith("ERROR")
        ]
        raise RuntimeError(
            f"The packages for {platforms[0]} could not be fetched. Check the"
            f" connection, then run the same command again. pip says:"
            f" {' '.join(lines) or process.stderr.strip()}"
        )


def _copy_own_packages(folder: Path) -> None:
    """Copy StratoNet itself, which is pure Python and the same for all systems."""
    for name in OWN_PACKAGES:
        shutil.copytree(str(files(name)), folder / name)


def _zip_folder(folder: Path, path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in _list_files(folder):
            archive.write(file, file.relative_to(folder.parent))


def _list_files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if path.is_file() and EXCLUDED.isdisjoint(parts):
            yield path

"""What Bio-Formats shows of files, as CellProfiler uses it.

A process of its own starts Java once, as CellProfiler does, and reads all files of a
folder: ``python bioformats_planes.py FOLDER``. Which frame is read stands in the name
of a file behind ``_frame``.
"""

import json
import logging
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Shown:
    """What is seen of a file: the plane that is read, and how many there are."""

    pixels: np.ndarray
    planes: int
    error: str

    @property
    def is_one_plane(self):
        return self.planes == 1 and self.pixels is not None and self.pixels.ndim == 2


def read_with_bioformats(folder):
    """By the names of the files of a folder, what Bio-Formats shows."""
    quiet = {**os.environ, "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, __file__, str(folder)]
    done = subprocess.run(command, env=quiet, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads((folder / "shown.json").read_text())
    with np.load(folder / "shown.npz") as arrays:
        return {name: Shown(arrays.get(name), *words) for name, words in told.items()}


def _read_folder(folder):
    from bioformats import formatreader
    from cellprofiler_core import preferences

    preferences.set_headless()
    from cellprofiler_core.utilities.java import start_java

    start_java()
    # What cannot be read is told with all of Java's stack.
    logging.disable(logging.CRITICAL)
    arrays, told = {}, {}
    for path in sorted(folder.iterdir()):
        planes, error = 0, ""
        try:
            reader = formatreader.get_image_reader("plane", url=path.as_uri())
            planes = reader.rdr.getSeriesCount() * reader.rdr.getImageCount()
            frame = re.search(r"_frame(\d+)", path.name)
            index = int(frame[1]) if frame else None
            # As LoadData asks.
            arrays[path.name] = reader.read(index=index, rescale=False)
        except Exception as raised:
            error = f"{type(raised).__name__}: {raised}"
        formatreader.release_image_reader("plane")
        told[path.name] = planes, error
    np.savez(folder / "shown.npz", **arrays)
    (folder / "shown.json").write_text(json.dumps(told))


if __name__ == "__main__":
    _read_folder(Path(sys.argv[1]))
    # Java would keep the process.
    os._exit(0)

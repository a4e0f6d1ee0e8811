"""The progress of a run, as its destination shows it to any process."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

# Folders of a destination: the wells of incomplete plates, and lists of those wells
# that are in feature tables. See `stratonet.extraction.destination`.
UNITS, DONE = "_units", "_done"


def count_measured_wells(output: str | os.PathLike[str]) -> int:
    """Count the wells that a local destination holds.

    Parameters
    ----------
    output : str or path
        Folder that `stratonet.extraction.extract` writes to, or has written to.

    Returns
    -------
    int
        Number of wells over all plates; 0 if there is no such folder.

    Examples
    --------
    >>> count_measured_wells("not-there")
    0
    """
    folder = Path(output)
    wells = set()
    for path in (folder / UNITS).rglob("*.parquet"):
        wells.add((path.parent.relative_to(folder / UNITS), path.stem))
    for path in (folder / DONE).rglob("*.json"):
        # The file may be removed meanwhile, or have the layout of another version.
        with suppress(OSError, ValueError, KeyError):
            plate = path.parent.relative_to(folder / DONE)
            wells.update(
                (plate, name) for name in json.loads(path.read_text())["units"]
            )
    return len(wells)

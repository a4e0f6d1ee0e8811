"""How far a run has come, as its destination tells anybody who looks."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

# Folders of a destination: wells of plates that are not complete, and what says which
# wells the tables of the others hold. See `stratonet.extraction.destination`.
UNITS, DONE = "_units", "_done"


def count_measured_wells(output: str | os.PathLike[str]) -> int:
    """Count the wells that a local destination holds.

    Parameters
    ----------
    output : str or path
        Folder that `stratonet.extraction.extract` writes to, while it writes or later.

    Returns
    -------
    int
        A well of each plate that it is on; 0 where there is no such folder.

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
        # It may be removed, and names of other versions may stand in it.
        with suppress(OSError, ValueError, KeyError):
            plate = path.parent.relative_to(folder / DONE)
            wells.update(
                (plate, name) for name in json.loads(path.read_text())["units"]
            )
    return len(wells)

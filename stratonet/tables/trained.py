"""Store the wells that a network was fine-tuned on in the metadata of Parquet files.

Features of these wells cannot test the network: it was trained with their classes.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from typing import Optional

# Key in the metadata of a Parquet file.
_KEY = b"stratonet trained wells"
# Wells by plate, as in the card of a network.
Wells = Mapping[str, Collection[str]]
Metadata = Optional[Mapping[bytes, bytes]]


def write_trained_wells(wells: Wells) -> dict[bytes, bytes]:
    """Write trained wells as the metadata of a file.

    Parameters
    ----------
    wells : mapping of str to collection of str
        Wells by plate, see `stratonet.Card`.

    Returns
    -------
    dict of bytes to bytes
        Empty if there are no wells.

    Examples
    --------
    >>> read_trained_wells([write_trained_wells({"P1": ("A01",)})])
    {'P1': {'A01'}}
    """
    if not wells:
        return {}
    text = json.dumps({plate: sorted(wells[plate]) for plate in sorted(wells)})
    return {_KEY: text.encode()}


def read_trained_wells(metadata: Iterable[Metadata]) -> dict[str, set[str]]:
    """Read trained wells from the metadata of files.

    Parameters
    ----------
    metadata : iterable of mapping of bytes to bytes, or None
        The key-value metadata of each file.

    Returns
    -------
    dict of str to set of str
        Wells of all files, by plate.
    """
    wells: dict[str, set[str]] = {}
    for entries in metadata:
        text = (entries or {}).get(_KEY, b"{}")
        for plate, plate_wells in json.loads(text).items():
            wells.setdefault(plate, set()).update(plate_wells)
    return wells

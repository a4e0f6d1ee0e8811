"""Which wells are controls, and what a plate map says of the others.

It runs in a process of its own, see `stratonet_app.apart`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from stratonet.naming import metadata_columns
from stratonet.tables.columns import PLATE, SITE, WELL
from stratonet.tables.keys import normalize_keys
from stratonet.tables.reading import read_metadata
from stratonet_app.plates import write_well_ranges
from stratonet_app.recognition import Refused, explain_error
from stratonet_sklearn.evaluation.roles import find_roles, parse_well_ranges

FIELDS = {"control": "negative controls", "positive": "positive controls"}


@dataclass(frozen=True)
class Controls:
    """Wells of controls, as ``stratonet evaluate`` takes them.

    Attributes
    ----------
    negative, positive : str
        Wells and rectangles of wells; empty where there are none.
    """

    negative: str
    positive: str


@dataclass(frozen=True)
class PlateMap:
    """What a plate map has.

    Attributes
    ----------
    columns : list of str
        That say more of a well than where it is.
    n_wells : int
        Wells of the images that it knows, by their names.
    """

    columns: list[str]
    n_wells: int


def check_controls(
    wells: Sequence[str], negative: str, positive: str
) -> Controls | Refused:
    """Check the wells of the controls as the evaluation will.

    Parameters
    ----------
    wells : sequence of str
        Those that have images.
    negative, positive : str
        As the user has written or clicked them.

    Returns
    -------
    Controls or Refused

    Examples
    --------
    >>> check_controls(["A01", "B01", "A02"], "a1, b01", "A2")
    Controls(negative='A01:B01', positive='A02')
    """
    rows = pd.DataFrame({WELL: list(wells)})
    negative, positive = negative.strip(" ,"), positive.strip(" ,")
    try:
        find_roles(rows, negative or None, positive or None)
        return Controls(_normalize(negative), _normalize(positive))
    except ValueError as error:
        message = str(error)
        for name, words in FIELDS.items():
            message = message.replace(f"`{name}`", words)
        return Refused(message)


def _normalize(text: str) -> str:
    if not text:
        return ""
    ranges = parse_well_ranges(text)
    places = {
        (row, column) for rows, columns in ranges for row in rows for column in columns
    }
    return write_well_ranges(places)


def read_plate_map(path: str, wells: Sequence[str]) -> PlateMap | Refused:
    """Read which columns a plate map has, and how many of some wells it knows.

    Parameters
    ----------
    path : str
        As ``stratonet evaluate --metadata`` takes it.
    wells : sequence of str
        Those that have images.

    Returns
    -------
    PlateMap or Refused
    """
    try:
        frame = read_metadata(path)
        if WELL not in frame:
            raise ValueError(
                f"{path} has no column of wells (Well, well_position, Metadata_Well)."
                f" It has: {', '.join(frame)}."
            )
        known = set(normalize_keys(frame, [WELL])[WELL])
        named = set(normalize_keys(pd.DataFrame({WELL: list(wells)}), [WELL])[WELL])
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        return Refused(explain_error(error))
    if not known & named:
        return Refused(
            f"{path} knows none of the {len(named)} wells of the images. Is it the map"
            " of another plate?"
        )
    columns = [
        name for name in metadata_columns(frame) if name not in (PLATE, WELL, SITE)
    ]
    return PlateMap(columns, len(known & named))

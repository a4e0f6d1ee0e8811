"""Which wells are controls, and what a plate map says about the others.

This runs in a separate process, see `stratonet_app.apart`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from stratonet.naming import metadata_columns
from stratonet.tables.columns import PLATE, SITE, WELL
from stratonet.tables.reading import read_metadata
from stratonet_app.choices import Choices
from stratonet_app.plates import write_well_ranges
from stratonet_app.recognition import Refused, explain_error, read_image_sets
from stratonet_sklearn.evaluation.comparison import join_metadata
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
    """What a plate map contains.

    Attributes
    ----------
    columns : list of str
        Columns of metadata other than plate, well and site.
    notes : list of str
        How the map was joined to the image sets, and what was left out of either.
    """

    columns: list[str]
    notes: list[str]


def check_controls(
    wells: Sequence[str], negative: str, positive: str
) -> Controls | Refused:
    """Check the wells of the controls as the evaluation will.

    Parameters
    ----------
    wells : sequence of str
        The wells that have images.
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
    positions = {
        (row, column) for rows, columns in ranges for row in rows for column in columns
    }
    return write_well_ranges(positions)


def read_plate_map(choices: Choices, path: str) -> PlateMap | Refused:
    """Join a plate map to the image sets, as the evaluation will to their features.

    Parameters
    ----------
    choices : Choices
        Where the images are.
    path : str
        As ``stratonet evaluate --metadata`` takes it.

    Returns
    -------
    PlateMap or Refused
    """
    try:
        frame = read_metadata(path)
        image_sets = read_image_sets(choices.image_source).frame
        rows = image_sets[metadata_columns(image_sets)]
        _, *notes = join_metadata(rows, frame, Path(path).name)
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        reason = explain_error(error)
        return Refused(f"{reason} Correct the map, or choose another one.")
    columns = [
        name for name in metadata_columns(frame) if name not in (PLATE, WELL, SITE)
    ]
    return PlateMap(columns, [note for group in notes for note in group])

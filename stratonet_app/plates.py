"""The wells of a plate, as users click them and as commands take them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from stratonet.tables.wells import (
    ROW_LETTERS,
    choose_plate_format,
    format_well,
    parse_well,
)

Place = tuple[int, int]


@dataclass(frozen=True)
class Grid:
    """A plate with the wells that have images.

    Attributes
    ----------
    letters : list of str
        Of the rows.
    numbers : list of int
        Of the columns, from 1.
    wells : set of str
        Names such as A01.
    others : list of str
        Wells with other names, whose position is not known.
    """

    letters: list[str]
    numbers: list[int]
    wells: set[str]
    others: list[str]

    def name_well(self, row: int, column: int) -> str | None:
        """Return the name of the well at a position; None if it has no images."""
        name = format_well(row, column)
        return name if name in self.wells else None


def make_grid(wells: Iterable[str]) -> Grid:
    """Make the smallest plate that contains all wells.

    Examples
    --------
    >>> grid = make_grid(["A1", "b02", "control"])
    >>> len(grid.letters), len(grid.numbers), sorted(grid.wells), grid.others
    (8, 12, ['A01', 'B02'], ['control'])
    """
    names = list(wells)
    places = [place for place in map(parse_well, names) if place]
    others = [name for name in names if parse_well(name) is None]
    last_row = max((row for row, _ in places), default=0)
    last_column = max((column for _, column in places), default=0)
    n_rows, n_columns = choose_plate_format(last_row, last_column)
    return Grid(
        list(ROW_LETTERS[:n_rows]),
        list(range(1, n_columns + 1)),
        {format_well(*place) for place in places},
        others,
    )


def write_well_ranges(places: Iterable[Place]) -> str:
    """Write wells as ``stratonet evaluate`` takes them, as few rectangles.

    Parameters
    ----------
    places : iterable of (int, int)
        Row and column of each, from 0.

    Examples
    --------
    >>> write_well_ranges([(row, 0) for row in range(8)] + [(0, 11)])
    'A01:H01,A12'
    """
    left = set(places)
    words = []
    while left:
        row, column = min(left, key=lambda place: (place[1], place[0]))
        rows, columns = _grow_rectangle(left, row, column)
        left -= {(r, c) for r in rows for c in columns}
        first = format_well(rows[0], columns[0])
        last = format_well(rows[-1], columns[-1])
        words.append(first if first == last else f"{first}:{last}")
    return ",".join(words)


def _grow_rectangle(left: set[Place], row: int, column: int) -> tuple[range, range]:
    """Grow a rectangle from its upper left corner, down and then to the right."""
    end_row = row
    while (end_row, column) in left:
        end_row += 1
    rows = range(row, end_row)
    end_column = column
    while all((one, end_column) in left for one in rows):
        end_column += 1
    return rows, range(column, end_column)

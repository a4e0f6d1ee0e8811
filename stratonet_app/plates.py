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

WellPosition = tuple[int, int]


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
    positions = [position for position in map(parse_well, names) if position]
    others = [name for name in names if parse_well(name) is None]
    last_row = max((row for row, _ in positions), default=0)
    last_column = max((column for _, column in positions), default=0)
    n_rows, n_columns = choose_plate_format(last_row, last_column)
    return Grid(
        list(ROW_LETTERS[:n_rows]),
        list(range(1, n_columns + 1)),
        {format_well(*position) for position in positions},
        others,
    )


def write_well_ranges(positions: Iterable[WellPosition]) -> str:
    """Write wells as ``stratonet evaluate`` takes them, as few rectangles.

    Parameters
    ----------
    positions : iterable of (int, int)
        Row and column of each, from 0.

    Examples
    --------
    >>> write_well_ranges([(row, 0) for row in range(8)] + [(0, 11)])
    'A01:H01,A12'
    """
    remaining = set(positions)
    words = []
    while remaining:
        row, column = min(remaining, key=lambda position: (position[1], position[0]))
        rows, columns = _grow_rectangle(remaining, row, column)
        remaining -= {(r, c) for r in rows for c in columns}
        first = format_well(rows[0], columns[0])
        last = format_well(rows[-1], columns[-1])
        words.append(first if first == last else f"{first}:{last}")
    return ",".join(words)


def _grow_rectangle(
    remaining: set[WellPosition], row: int, column: int
) -> tuple[range, range]:
    """Grow a rectangle from its upper left corner, down and then to the right."""
    end_row = row
    while (end_row, column) in remaining:
        end_row += 1
    rows = range(row, end_row)
    end_column = column
    while all((row, end_column) in remaining for row in rows):
        end_column += 1
    return rows, range(column, end_column)

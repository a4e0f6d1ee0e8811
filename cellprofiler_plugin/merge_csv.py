"""Concatenate the CSV tables of the parts of a run.

Any table with a column of image numbers counts, whatever the column's name and spelling
and whichever module writes it: the rows of an image set are in the table of one part.
"""

from __future__ import annotations

import csv
import re
from bisect import bisect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TextIO

# Replaces paths in the folder of a part by paths in the output folder, in a text.
PathReplacer = Callable[[str], str]

# A column that only CellProfiler's tables of relationships have.
RELATIONSHIP_MARK = "Module Number"
# Numbers of the columns that identify a relationship: the module and its number, the
# relationship, and the names of the first and the second objects.
RELATIONSHIP_COLUMNS = (0, 1, 2, 3, 6)
# Names of columns of image numbers, reduced to letters and digits: that of
# CellProfiler's exports, image_number, Image No., Metadata_ImageNumber, img_id ...
NUMBER_COLUMN = re.compile(
    r"(?:image|img)(?:set)?(?:number|num|no|nr|index|idx|id)1?$|(?:image|img)set$"
)
# If a CSV table has several objects, their names are in a line above the columns.
MOST_HEADER_LINES = 2
# Lines above the header that begin with this are comments.
COMMENT = "#"
# At most this many characters of a line are read when looking for a header.
LONGEST_HEADER = 10**7
# The first two columns number images and objects; the others are in alphabetical order.
NUMBER_COLUMNS = 2


def has_image_numbers(names: Sequence[str]) -> bool:
    """Whether one of these columns holds the numbers of image sets.

    Parameters
    ----------
    names : sequence of str
        Names of columns.

    Examples
    --------
    >>> [has_image_numbers([name]) for name in ("image_number", "Image #", "Image")]
    [True, True, False]
    """
    for name in names:
        letters = re.sub(r"[\W_]+", "", name.replace("#", "number")).casefold()
        if NUMBER_COLUMN.search(letters):
            return True
    return False


@dataclass(frozen=True)
class Header:
    """The first lines of a table.

    Attributes
    ----------
    lines : tuple of str
        The lines, including their line breaks.
    separator : str
        The character between cells.
    """

    lines: tuple[str, ...]
    separator: str

    @property
    def columns(self) -> list[tuple[str, ...]]:
        """Names of each column, from all lines; numbered if several are equal."""
        rows = csv.reader(self.lines, delimiter=self.separator)
        columns: list[tuple[str, ...]] = []
        for names in zip(*(row for row in rows if not row[0].startswith(COMMENT))):
            count = sum(column[: len(names)] == names for column in columns)
            columns.append((*names, str(count)) if count else names)
        return columns

    @property
    def has_relationships(self) -> bool:
        """Whether this is a table of relationships between objects."""
        return RELATIONSHIP_MARK in self.lines[0]


def read_header(path: Path) -> Header | None:
    """Read the header of a table of image sets, objects or relationships.

    Parameters
    ----------
    path : pathlib.Path
        Any file.

    Returns
    -------
    Header, optional
        None if the file is not such a table.
    """
    lines: list[str] = []
    with _open_text(path) as file:
        comments = 0
        while len(lines) - comments < MOST_HEADER_LINES:
            line = file.readline(LONGEST_HEADER)
            if not line:
                return None
            lines.append(line)
            if line.startswith(COMMENT):
                comments += 1
                continue
            separator = max("\t,;", key=line.count)
            try:
                cells = next(csv.reader([line], delimiter=separator), [])
            except csv.Error:
                # A binary file, such as an image.
                return None
            if RELATIONSHIP_MARK in cells or has_image_numbers(cells):
                return Header(tuple(lines), separator)
    return None


def _open_text(path: Path, mode: Literal["r", "w"] = "r") -> TextIO:
    # In other encodings, bytes that are not UTF-8 are written as they were read.
    return open(path, mode, encoding="utf-8", errors="surrogateescape", newline="")


def merge_csv(paths: Sequence[Path], target: Path, replace_paths: PathReplacer) -> None:
    """Write the rows of several tables to one.

    In columns that a table lacks, its rows get empty cells.

    Parameters
    ----------
    paths : sequence of pathlib.Path
        The tables, in the order of the image sets. Empty files have no rows.
    target : pathlib.Path
        The file to write.
    replace_paths : callable
        Replaces paths in a text.
    """
    headers = {path: read_header(path) for path in paths}
    tables = {path: header for path, header in headers.items() if header}
    widest = _unify_headers(list(tables.values()))
    relationships: dict[tuple[str, ...], list[str]] = {}
    with _open_text(target, "w") as merged:
        merged.writelines(widest.lines)
        for path, header in tables.items():
            for line in _read_rows(path, header, widest):
                if header.has_relationships:
                    cells = line.split(header.separator)
                    key = tuple(cells[column] for column in RELATIONSHIP_COLUMNS)
                    relationships.setdefault(key, []).append(line)
                else:
                    merged.write(replace_paths(line))
        # A single process writes one relationship after another, each with the rows of
        # all image sets.
        for lines in relationships.values():
            merged.writelines(lines)


def _unify_headers(headers: Sequence[Header]) -> Header:
    """Return the header of a table that has the columns of all the others."""
    widest = max(headers, key=lambda header: len(header.columns))
    columns = widest.columns
    missing = {
        column
        for header in headers
        for column in header.columns
        if column not in columns
    }
    if not missing:
        return widest
    for column in sorted(missing):
        columns.insert(
            bisect(columns, column, lo=min(NUMBER_COLUMNS, len(columns))), column
        )
    comments = [line for line in widest.lines if line.startswith(COMMENT)]
    count = len(widest.lines) - len(comments)
    rows = [[column[number] for column in columns] for number in range(count)]
    lines = [_format_row(row, widest) for row in rows]
    return Header((*comments, *lines), widest.separator)


def _read_rows(path: Path, header: Header, widest: Header) -> Iterator[str]:
    """Yield the lines below the header, with the columns of the widest table."""
    with _open_text(path) as file:
        for _ in header.lines:
            file.readline()
        if header.lines == widest.lines:
            yield from file
            return
        numbers = {column: number for number, column in enumerate(header.columns)}
        positions = [numbers.get(column) for column in widest.columns]
        for row in csv.reader(file, delimiter=header.separator):
            cells = [
                "" if position is None else row[position] for position in positions
            ]
            yield _format_row(cells, widest)


def _format_row(cells: Sequence[str], header: Header) -> str:
    """Format cells as a line, with the separator and line break of the header."""
    quoted = [
        '"' + cell.replace('"', '""') + '"'
        if any(character in cell for character in (header.separator, '"', "\n", "\r"))
        else cell
        for cell in cells
    ]
    last = header.lines[-1]
    end = "\r\n" if last.endswith("\r\n") else "\n"
    return header.separator.join(quoted) + end

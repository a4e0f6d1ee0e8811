"""Write tables into a page.

A page marks the position of a table by its name; everything else stays unchanged:

    <!-- table: scores bbbc013 -->
    | ... |
    <!-- end of table -->
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pandas as pd

_TABLE = re.compile(
    r"<!-- table: (?P<name>[^>]+) -->\n.*?<!-- end of table -->", re.DOTALL
)


def write_tables(page: Path, tables: Mapping[str, Callable[[], str]]) -> None:
    """Write tables to the positions that a page marks.

    Parameters
    ----------
    page : Path
        A Markdown file.
    tables : mapping of str to callable
        Name in the page to a function that returns the lines of the table.

    Raises
    ------
    ValueError
        The page marks a table that does not exist.
    """

    def fill(match: re.Match[str]) -> str:
        name = match["name"]
        if name not in tables:
            raise ValueError(f"{page} asks for a table {name!r}; there is none.")
        lines = tables[name]()
        return f"<!-- table: {name} -->\n{lines}\n<!-- end of table -->"

    page.write_text(_TABLE.sub(fill, page.read_text()))


def format_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table.

    Examples
    --------
    >>> print(format_table(["Recipe", "SVM"], [["tiles224/mean", "0.8"]]))
    | Recipe | SVM |
    |---|---|
    | tiles224/mean | 0.8 |
    """
    lines = [head, ["---"] * len(head), *rows]
    written = ["| " + " | ".join(line) + " |" for line in lines]
    written[1] = "|" + "---|" * len(head)
    return "\n".join(written)


def format_estimate(row: pd.Series, prefix: str = "", digits: int = 3) -> str:
    """Return a value with its interval, such as ``0.715 (0.639 to 0.792)``."""
    value, low, high = (row[f"{prefix}{name}"] for name in ("value", "low", "high"))
    if pd.isna(low):
        return f"{value:.{digits}f}"
    return f"{value:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"

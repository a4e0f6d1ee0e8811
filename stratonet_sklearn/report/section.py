"""The interface of a section of the report: its input and its output.

``docs/sections.md`` explains how to add a section.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Union

import pandas as pd

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from stratonet_sklearn.report.data import ReportData


@dataclass(frozen=True)
class Answer:
    """A sentence of the answer, at the top of the page."""

    text: str


@dataclass(frozen=True)
class Caution:
    """A reason to doubt the answer, right below it."""

    text: str


@dataclass(frozen=True)
class Fact:
    """One line of the list below the answer: what the numbers are based on."""

    term: str
    text: str


@dataclass(frozen=True)
class Paragraph:
    """A paragraph of a section."""

    text: str


@dataclass(frozen=True)
class Omission:
    """What a section could not show and why, listed at the end of the page."""

    text: str


@dataclass(frozen=True)
class Table:
    """A short table for readers: all its values are texts.

    Attributes
    ----------
    frame : pandas.DataFrame
        The index is not shown.
    caption : str
        What the table shows.
    pictured : pandas.DataFrame, optional
        For each row, the ``plate`` and ``well`` whose picture is shown, and
        ``control``, a well of that plate shown beside it; missing where there is none.
        Wells without a picture are not shown.
    """

    frame: pd.DataFrame
    caption: str
    pictured: pd.DataFrame | None = None


def format_numbers(numbers: pd.Series, form: str) -> list[str]:
    """Format numbers for a `Table`; missing ones are empty.

    Parameters
    ----------
    numbers : pandas.Series
        Numbers, some of them perhaps NaN.
    form : str
        As for `format`, for example ``".2f"``.

    Returns
    -------
    list of str

    Examples
    --------
    >>> format_numbers(pd.Series([0.655, float("nan")]), ".1f")
    ['0.7', '']
    """
    return [
        "" if pd.isna(number) else format(float(number), form) for number in numbers
    ]


@dataclass(frozen=True)
class Plot:
    """A figure, written to ``figures/<name>.png``.

    Attributes
    ----------
    name : str
        Name of the file, without folder and extension.
    figure : matplotlib.figure.Figure
        Made by `stratonet.drawing.new_figure`. Its title says what the figure shows.
    caption : str
        What is drawn and how it was computed, in full sentences.
    shown : bool
        Whether it is on the page too, not only in the folder.
    wells : pandas.DataFrame, optional
        The wells of the figure, which readers can explore on the page where scripts
        run: ``plate`` and ``well``; ``x`` and ``y``, the position of each row (without
        them, that of the well on its plate); ``panel``, such as the name of the feature
        table, if there are several figures in one; and columns of numbers or texts that
        can colour the rows, with headings for readers. Colours by treatment and plate
        are always offered.
    labels : (str, str), optional
        Labels of the axes ``x`` and ``y``. Without them, as on a map, the axes have no
        numbers, because these would mean nothing.
    scale : (float, float), optional
        The numbers that get the first and the last colour. Default: the extremes.
    """

    name: str
    figure: Figure
    caption: str
    shown: bool = True
    wells: pd.DataFrame | None = None
    labels: tuple[str, str] | None = None
    scale: tuple[float, float] | None = None

    @property
    def alt(self) -> str:
        """The text for readers who cannot see the figure: its title, a sentence."""
        # matplotlib 3.7 has no public name for the title, but it is the first text.
        title = self.figure.texts[0].get_text()
        # Lines were wrapped, and dollars escaped, for matplotlib only.
        return " ".join(title.split()).replace(r"\$", "$")


@dataclass(frozen=True)
class Wells:
    """The wells of the report, to which figures and tables refer.

    Attributes
    ----------
    frame : pandas.DataFrame
        ``plate``, ``well``, ``treatment`` (its name, ``""`` where there is none) and
        ``negative`` (whether it is a negative control); a row per well.
    pictures : mapping of (plate, well) to bytes
        Small pictures as JPEG files, of all wells, some or none.
    key : str
        A sentence that says which channel has which colour in the pictures.
    """

    frame: pd.DataFrame
    pictures: Mapping[tuple[str, str], bytes]
    key: str


@dataclass(frozen=True)
class Numbers:
    """A table at full precision, written to ``numbers/<name>.csv``.

    Attributes
    ----------
    name : str
        Name of the file, without folder and extension.
    frame : pandas.DataFrame
        The index is not written.
    """

    name: str
    frame: pd.DataFrame


Block = Union[Answer, Caution, Fact, Paragraph, Omission, Table, Plot, Wells, Numbers]


@dataclass(frozen=True)
class Content:
    """What a section contributes to the page.

    Attributes
    ----------
    title : str
        The heading.
    blocks : sequence of Block
        In the order in which they are read. Answers, cautions and facts go to the top
        of the page, omissions to its end, numbers into files. A section without any
        other block has no heading.
    """

    title: str
    blocks: Sequence[Block]


class Section(Protocol):
    """A section of the report: a function that computes, draws and describes results.

    Parameters
    ----------
    data : ReportData
        Tables, rows, labels, predictions and options. All sections share them, so they
        must not be changed.

    Returns
    -------
    Content or None
        The heading and its blocks; None where the section does not apply, such as a
        section on classes where there are none. The same data give the same content.

    Raises
    ------
    Exception
        An error ends the whole report. Where something cannot be computed but the other
        results are worth showing, return an `Omission`.

    See Also
    --------
    stratonet_sklearn.report.checks.check_section : checks all of this.
    """

    def __call__(self, data: ReportData) -> Content | None:
        """Build the section."""
        ...

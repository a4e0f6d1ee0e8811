"""What a section of the report is: what goes in, and what comes out.

``docs/sections.md`` says how to add one.
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
    """What the numbers were made of: one line of the list below the answer."""

    term: str
    text: str


@dataclass(frozen=True)
class Paragraph:
    """A paragraph of a section."""

    text: str


@dataclass(frozen=True)
class Omission:
    """What a section could not show, and why: listed at the end of the page."""

    text: str


@dataclass(frozen=True)
class Table:
    """A short table as it is to be read: its values are texts.

    Attributes
    ----------
    frame : pandas.DataFrame
        The index is not shown.
    caption : str
        What is in it.
    pictured : pandas.DataFrame, optional
        Of each row ``plate`` and ``well``, and ``control``, a well of that plate beside
        which it is shown, where there are pictures; missing where there is none.
    """

    frame: pd.DataFrame
    caption: str
    pictured: pd.DataFrame | None = None


@dataclass(frozen=True)
class Plot:
    """A figure, written to ``figures/<name>.png``.

    Attributes
    ----------
    name : str
        Name of the file, without folder and extension.
    figure : matplotlib.figure.Figure
        As `stratonet.drawing.new_figure` makes it. Its title says what is seen.
    caption : str
        What is drawn and how it was computed, in full sentences.
    shown : bool
        Whether it is on the page too, not only in the folder.
    wells : pandas.DataFrame, optional
        The wells of the figure, which can be explored on the page where scripts run:
        ``plate``, ``well``; ``x`` and ``y``, where a row is drawn (without them, on its
        plate); ``panel``, where there are several figures in one, such as the name of
        the feature table; and columns that colour the rows, numbers or texts, under
        names for readers. Treatment and plate colour them anyway.
    labels : (str, str), optional
        What ``x`` and ``y`` of the wells are. Without it, as on a map, numbers along
        the axes mean nothing, and there are none.
    scale : (float, float), optional
        Numbers that have the first and the last colour; without it, the extremes.
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
        """What those read who cannot see the figure: its title, a sentence."""
        # matplotlib 3.7 has no public name for it, but it is the first text.
        title = self.figure.texts[0].get_text()
        # Lines were wrapped, and dollars escaped, for matplotlib only.
        return " ".join(title.split()).replace(r"\$", "$")


@dataclass(frozen=True)
class Wells:
    """The wells of the report, which figures and tables speak of.

    Attributes
    ----------
    frame : pandas.DataFrame
        ``plate``, ``well``, ``treatment`` (its name, ``""`` where there is none) and
        ``negative`` (whether it is a negative control); a row per well.
    pictures : mapping of (plate, well) to bytes
        Small pictures, JPEG files; of all wells, some or none.
    key : str
        Which channel has which colour in them, a sentence.
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
    """What a section gives to the page.

    Attributes
    ----------
    title : str
        The heading.
    blocks : sequence of Block
        In the order in which they are read. Answers, cautions and facts go to the top
        of the page, omissions to its end, numbers into files. Without any other block
        there is no heading.
    """

    title: str
    blocks: Sequence[Block]


class Section(Protocol):
    """One section of the report: a function that computes, draws and words itself.

    Parameters
    ----------
    data : ReportData
        Tables, rows, labels, predictions and options. It is shared by all sections and
        stays as it is.

    Returns
    -------
    Content or None
        The heading and its blocks; None where the section does not apply, such as a
        section on classes where there are none. The same data give the same content.

    Raises
    ------
    Exception
        An error ends the whole report. What could not be computed although the rest is
        worth showing is an `Omission`.

    See Also
    --------
    stratonet_sklearn.report.checks.check_section : holds a section to all of this.
    """

    def __call__(self, data: ReportData) -> Content | None:
        """Build the section."""
        ...

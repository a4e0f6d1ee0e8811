"""Section: pictures of typical and of misclassified wells."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stratonet.drawing import WIDTH, new_figure, shorten_name
from stratonet.extraction.sources.imagesets import ImageSource
from stratonet.extraction.sources.read import read_source
from stratonet.files.storage import Storage
from stratonet.messages import count_things
from stratonet.tables.columns import PLATE, SITE, WELL
from stratonet_sklearn.evaluation.classification import Evaluation
from stratonet_sklearn.report.data import ReportData
from stratonet_sklearn.report.planes import (
    choose_channels,
    color_planes,
    read_planes,
    word_colors,
)
from stratonet_sklearn.report.section import Block, Content, Omission, Plot

# Typical pictures per class; as many misclassified ones.
N_EACH = 3


@dataclass(frozen=True)
class Picture:
    """An image set as a colour picture.

    Attributes
    ----------
    pixels : numpy.ndarray (height, width, 3), uint8
        Up to three channels.
    lines : sequence of str
        The caption: plate, well and site. If the image set was misclassified, also its
        predicted class, and the other feature tables with which it is correct.
    """

    pixels: np.ndarray
    lines: Sequence[str]


@dataclass(frozen=True)
class ClassPictures:
    """The pictures of one class.

    Attributes
    ----------
    name : str
        Of the class.
    typical : sequence of Picture
        Classified correctly, with the largest shares of votes.
    misclassified : sequence of Picture
        Misclassified, with the smallest shares of votes for their class.
    """

    name: str
    typical: Sequence[Picture]
    misclassified: Sequence[Picture]


@dataclass(frozen=True)
class Choice:
    """The rows to show of one class, by number."""

    name: str
    typical: list[int]
    misclassified: list[int]


def build_pictures(data: ReportData) -> Content | None:
    """Show the most typical and the most clearly misclassified wells of each class.

    Parameters
    ----------
    data : ReportData
        With an evaluation and a source of images.

    Returns
    -------
    Content or None
        None if nothing was classified, or no images were given.
    """
    evaluation = data.evaluation
    if evaluation is None or data.names[0] not in evaluation.probabilities:
        return None
    if data.images is None:
        return None
    block: Block
    try:
        block = _show_pictures(data, evaluation, data.images)
    except (OSError, ValueError) as error:
        # The classification took long, and is worth showing without pictures.
        block = Omission(f"The images cannot be shown: {error}")
    return Content(_name_section(data.row_noun), [block])


def _show_pictures(
    data: ReportData, evaluation: Evaluation, source: ImageSource
) -> Plot:
    name = data.names[0]
    # Only a forest has shares of votes, by which wells can be ranked.
    votes = pd.DataFrame(evaluation.probabilities[name], columns=evaluation.classes)
    others = {
        features: labels
        for (features, classifier), labels in evaluation.predicted.items()
        # The same classifier: only the features differ.
        if classifier == "RF" and features != name
    }
    image_sets = read_source(source).frame
    pictures = read_pictures(
        image_sets, source.storage, data.tested_rows, evaluation.labels, votes, others
    )
    return Plot(
        "wells",
        draw_pictures(pictures, data.row_noun),
        f"For each class, the {data.row_noun} with the largest share of the random"
        " forest's votes for it, and those that were misclassified most clearly, with"
        f" {name} features. {word_colors(choose_channels(image_sets))} Brightness can"
        " be compared between pictures.",
    )


def _name_section(row_noun: str) -> str:
    return f"Typical and misclassified {row_noun}"


def choose_wells(labels: np.ndarray, votes: pd.DataFrame) -> list[Choice]:
    """Choose the rows to show of each class.

    Parameters
    ----------
    labels : numpy.ndarray (n rows,)
        Classes.
    votes : pandas.DataFrame (n rows, n classes)
        The share of votes for each class, by its name.

    Returns
    -------
    list of Choice
        In the order of the classes, with at most three rows in each list.

    Examples
    --------
    >>> votes = pd.DataFrame({"a": [0.9, 0.2], "b": [0.1, 0.8]})
    >>> choose_wells(np.array(["a", "a"]), votes)[0]
    Choice(name='a', typical=[0], misclassified=[1])
    """
    # The forest's own decision: the class of most votes.
    predicted = votes.to_numpy().argmax(axis=1)
    choices = []
    for number, name in enumerate(votes):
        of_class = votes[name][labels == name]
        is_right = predicted[of_class.index] == number
        typical = of_class[is_right].nlargest(N_EACH).index.tolist()
        misclassified = of_class[~is_right].nsmallest(N_EACH).index.tolist()
        choices.append(Choice(name, typical, misclassified))
    return choices


def read_pictures(
    image_sets: pd.DataFrame,
    storage: Storage,
    rows: pd.DataFrame,
    labels: np.ndarray,
    votes: pd.DataFrame,
    others: Mapping[str, np.ndarray] | None = None,
) -> list[ClassPictures]:
    """Read the pictures to look at.

    Parameters
    ----------
    image_sets : pandas.DataFrame
        In normal form, see `stratonet.extraction.sources.imagesets`.
    storage : Storage
        Reads their files.
    rows : pandas.DataFrame (n rows)
        ``Metadata_*`` of the image sets or wells that were classified.
    labels : numpy.ndarray (n rows,)
        Their classes.
    votes : pandas.DataFrame (n rows, n classes)
        The share of votes for each class, by its name.
    others : mapping of str to numpy.ndarray (n rows,), optional
        What was predicted with other feature tables, by their name.

    Returns
    -------
    list of ClassPictures
        Up to three channels in colours, each with one brightness for all pictures.

    Raises
    ------
    OSError, ValueError
        A row has no image, or one that cannot be read.
    """
    choices = choose_wells(labels, votes)
    wanted: set[int] = set()
    for choice in choices:
        wanted.update(choice.typical, choice.misclassified)
    # Each image is read once, and all share one brightness.
    chosen = rows.loc[sorted(wanted)]
    pixels = color_planes(read_planes(image_sets, storage, chosen))
    predicted = votes.columns[votes.to_numpy().argmax(axis=1)]
    locations = {row: word_location(rows.loc[row]) for row in chosen.index}
    pictures = []
    for choice in choices:
        typical = [Picture(pixels[row], [locations[row]]) for row in choice.typical]
        misclassified = []
        for row in choice.misclassified:
            lines = [locations[row], f"classified as {predicted[row]}"]
            correct = _list_correct_tables(others or {}, row, choice.name)
            if correct:
                lines.append(f"correct with {', '.join(correct)}")
            misclassified.append(Picture(pixels[row], lines))
        pictures.append(ClassPictures(choice.name, typical, misclassified))
    return pictures


def _list_correct_tables(
    others: Mapping[str, np.ndarray], row: int, name: str
) -> list[str]:
    """Return the other feature tables with which a row is classified correctly."""
    return [table for table, predicted in others.items() if predicted[row] == name]


def word_location(row: pd.Series) -> str:
    """Name the plate, well and site of an image set."""
    text = f"{row[PLATE]} {row[WELL]}"
    if SITE in row:
        text += f" site {row[SITE]}"
    return text


def draw_pictures(classes: Sequence[ClassPictures], row_noun: str = "wells") -> Figure:
    """Draw the pictures of all classes, typical ones on the left.

    Parameters
    ----------
    classes : sequence of ClassPictures
        One row of the figure each.
    row_noun : str
        What is shown: wells, image sets or objects.

    Returns
    -------
    matplotlib.figure.Figure
    """
    pictures = [
        picture for row in classes for picture in (*row.typical, *row.misclassified)
    ]
    n_each = max(1, *(max(len(row.typical), len(row.misclassified)) for row in classes))
    # Images of several instruments may differ in shape: the tallest decides.
    ratio = max(
        picture.pixels.shape[0] / picture.pixels.shape[1] for picture in pictures
    )
    width = (WIDTH - 0.7) / (2 * n_each) - 0.1
    figure = new_figure(
        _word_title(classes, row_noun), 0.8 + len(classes) * (ratio * width + 0.58)
    )
    grid = figure.subplots(len(classes), 2 * n_each, squeeze=False)
    for column, title in ((0, "typical"), (n_each, "misclassified")):
        grid[0, column].set_title(title, fontsize=10, loc="left", fontweight="bold")
    for panels, row in zip(grid, classes):
        name = textwrap.fill(shorten_name(row.name, 36), 18)
        panels[0].set_ylabel(name, fontsize=9)
        for axes in panels:
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
            # Empty panels keep the size of the others.
            axes.set_box_aspect(ratio)
        _draw_row(panels[:n_each], row.typical)
        _draw_row(panels[n_each:], row.misclassified)
    return figure


def _word_title(classes: Sequence[ClassPictures], row_noun: str) -> str:
    text = (
        f"The most typical {row_noun} of {len(classes)} classes on the left, the most"
        " clearly misclassified on the right"
    )
    n_without = sum(not row.misclassified for row in classes)
    if n_without:
        words = count_things(n_without, "class", "classes")
        text += f"; in {words} none was misclassified"
    return f"{text}."


def _draw_row(panels: Sequence[Axes], pictures: Sequence[Picture]) -> None:
    for axes, picture in zip(panels, pictures):
        axes.imshow(picture.pixels)
        lines = [textwrap.fill(shorten_name(line, 52), 26) for line in picture.lines]
        axes.set_xlabel("\n".join(lines), fontsize=7)
    if not pictures:
        panels[0].text(
            0.5,
            0.5,
            "none",
            transform=panels[0].transAxes,
            ha="center",
            va="center",
            fontsize=9,
        )

"""Write the report: read the tables, evaluate them, and put all sections on a page."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from stratonet.extraction.sources.imagesets import ImageSource
from stratonet.files.urls import is_url, redact_url, to_local_path
from stratonet_sklearn.evaluation.recipe import ProfileRecipe
from stratonet_sklearn.evaluation.screen import Screen
from stratonet_sklearn.report.accuracy import build_accuracy
from stratonet_sklearn.report.confounding import build_confounding
from stratonet_sklearn.report.confusion import build_confusion
from stratonet_sklearn.report.controls import build_controls
from stratonet_sklearn.report.correlation import build_correlation
from stratonet_sklearn.report.data import (
    ReportData,
    Split,
    Treatments,
    classify_rows,
    read_data,
)
from stratonet_sklearn.report.differences import build_differences
from stratonet_sklearn.report.doses import build_doses
from stratonet_sklearn.report.gallery import build_gallery
from stratonet_sklearn.report.headline import build_headline
from stratonet_sklearn.report.hit_pictures import build_hit_pictures
from stratonet_sklearn.report.hits import build_hits
from stratonet_sklearn.report.importance import build_importance
from stratonet_sklearn.report.likeness import build_likeness
from stratonet_sklearn.report.maps import build_maps
from stratonet_sklearn.report.page import write_page
from stratonet_sklearn.report.pictures import build_pictures
from stratonet_sklearn.report.plates import build_plates
from stratonet_sklearn.report.provenance import build_left_out, build_provenance
from stratonet_sklearn.report.resources import build_resources
from stratonet_sklearn.report.retrieval import build_retrieval
from stratonet_sklearn.report.section import Content, Fact, Section
from stratonet_sklearn.report.variance import build_variance

# In the order of the page.
SECTIONS: tuple[Section, ...] = (
    build_headline,
    build_provenance,
    build_controls,
    build_hits,
    build_hit_pictures,
    build_doses,
    build_likeness,
    build_accuracy,
    build_differences,
    build_confounding,
    build_confusion,
    build_retrieval,
    build_importance,
    build_variance,
    build_maps,
    build_correlation,
    build_plates,
    build_pictures,
    build_gallery,
    build_resources,
    build_left_out,
)


@dataclass(frozen=True)
class Report:
    """A report that was written; it can be used as the path of its page.

    Attributes
    ----------
    page : pathlib.Path
        ``report.html``.
    data : ReportData
        The data that every section has read.
    """

    page: Path
    data: ReportData

    def __fspath__(self) -> str:
        """Return the path of the page, for `open` and the like."""
        return str(self.page)

    @property
    def screen(self) -> Screen | None:
        """Controls, hits, doses and likeness; None if they cannot be computed."""
        return self.data.screen

    @property
    def controls(self) -> pd.DataFrame:
        """Z' and SSMD of each plate, as `Controls.plates`."""
        return pd.DataFrame() if self.screen is None else self.screen.controls.plates

    @property
    def hits(self) -> pd.DataFrame:
        """Treatments, the active ones first, as `list_hits` returns them."""
        return pd.DataFrame() if self.screen is None else self.screen.hits

    @property
    def doses(self) -> pd.DataFrame:
        """Curves and EC50, as `fit_doses` returns them."""
        return pd.DataFrame() if self.screen is None else self.screen.doses


def write_report(
    tables: Mapping[str, str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    treatments: Treatments | None = None,
    split: Split | None = None,
    metadata: str | os.PathLike[str] | None = None,
    images: ImageSource | str | os.PathLike[str] | None = None,
    recipe: ProfileRecipe | None = None,
    command: str = "",
    progress: bool = True,
) -> Report:
    """Evaluate and compare feature tables on one page.

    Parameters
    ----------
    tables : mapping of str to path
        Feature tables by their name in the report, in any form that
        `stratonet.tables.reading.read_feature_table` accepts. They are evaluated on
        the rows that they share, and the first is compared with the others.
    output : path
        Folder, created if missing, for ``report.html``, ``figures/*.png`` and
        ``numbers/*.csv``. An older report in it is replaced when the new one is
        complete.
    treatments : Treatments, optional
        The columns of classes, compounds and doses, and the negative controls. Without
        a label nothing is classified.
    split : Split, optional
        What is never divided between training and test, how many folds there are,
        which classes are left out, and the seed.
    metadata : path, optional
        CSV or Parquet table with more ``Metadata_*`` columns for each well or image
        set.
    images : ImageSource or path, optional
        Where the images are, to show typical and misclassified wells.
    recipe : ProfileRecipe, optional
        How profiles are made for retrieval, only with a compound. Its column may be
        named without ``Metadata_``.
    command : str
        The command that asked for the report, to be shown in it.
    progress : bool
        Show a bar during the classification.

    Returns
    -------
    Report
        The page, and its tables of controls, hits and doses.

    Raises
    ------
    FileNotFoundError, ValueError
        A table, a column or a class is missing, tables share no row, or the split
        would leak.
    ImportError
        The recipe asks for Harmony, but harmonypy is missing.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np, pandas as pd
    >>> folder = Path(tempfile.mkdtemp())
    >>> wells = [f"A{number:02d}" for number in range(1, 9)]
    >>> values = np.random.default_rng(0).normal(size=(8, 3))
    >>> frame = pd.DataFrame(values, columns=["area", "mean", "texture"])
    >>> frame.insert(0, "Metadata_Well", wells)
    >>> frame.to_csv(folder / "profiles.csv", index=False)
    >>> report = write_report({"Profiles": folder / "profiles.csv"}, folder / "report")
    >>> report.page.name
    'report.html'
    >>> sorted(path.name for path in (folder / "report" / "numbers").iterdir())
    ['map.csv', 'variance.csv']
    """
    if is_url(to_local_path(os.fspath(output))):
        raise ValueError(
            "`output` must be a folder on this machine. Received:"
            f" {redact_url(to_local_path(os.fspath(output)))}"
        )
    if images is not None and not isinstance(images, ImageSource):
        images = ImageSource(os.fspath(images))
    data = read_data(
        tables, metadata, treatments or Treatments(), split or Split(), images, recipe
    )
    page = write_data(data, Path(output), command, progress)
    return Report(page, data)


def write_data(
    data: ReportData, output: Path, command: str = "", progress: bool = True
) -> Path:
    """Evaluate the data, and write the page.

    Parameters
    ----------
    data : ReportData
        From `stratonet_sklearn.report.data.read_data`.
    output, command, progress
        As `write_report` takes them.

    Returns
    -------
    pathlib.Path
        The page.

    Raises
    ------
    ValueError
        The split would leak.
    """
    # A folder that cannot be created is reported before an hour of computing.
    output.mkdir(parents=True, exist_ok=True)
    if data.labels is not None:
        data = replace(data, evaluation=classify_rows(data, progress))
    contents = build_contents(data)
    # Sections do not get the command: their results must not depend on it.
    contents.append(Content("Command", [Fact("Command", command)]))
    return write_page(output, name_page(data.names), contents)


def build_contents(data: ReportData) -> list[Content]:
    """Build all sections that apply.

    Parameters
    ----------
    data : ReportData
        With an evaluation where rows have labels.

    Returns
    -------
    list of Content
        In the order of the page.
    """
    # Not in parallel: sections share the components, and UMAP needs the memory.
    contents = [section(data) for section in SECTIONS]
    return [content for content in contents if content is not None]


def name_page(names: list[str]) -> str:
    """Name the page after the feature tables.

    Examples
    --------
    >>> name_page(["StratoNet", "CellProfiler"])
    'StratoNet against CellProfiler: how good are the features?'
    """
    first, *others = names
    if others:
        first += f" against {', '.join(others)}"
    return f"{first}: how good are the features?"

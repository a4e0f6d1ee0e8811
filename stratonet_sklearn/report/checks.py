"""Check that a section of the report keeps its contract, on small generated data."""

from __future__ import annotations

import re
import tempfile
from dataclasses import fields, replace
from functools import lru_cache
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import tifffile

from stratonet.drawing import WIDTH
from stratonet.extraction.sources.imagesets import ImageSource
from stratonet.tables.columns import BATCH, FEATURE_SET, PLATE, SITE, WELL
from stratonet.tables.reading import FeatureTable
from stratonet.tables.wells import format_well
from stratonet_sklearn.report.data import (
    ReportData,
    Split,
    Treatments,
    classify_rows,
)
from stratonet_sklearn.report.page import render_figure
from stratonet_sklearn.report.section import (
    Answer,
    Block,
    Caution,
    Content,
    Fact,
    Numbers,
    Omission,
    Paragraph,
    Plot,
    Section,
    Table,
    Wells,
)

CLASSES = ("mock", "poison", "tonic")
FILE_NAME = re.compile(r"[A-Za-z0-9_]+")
# Enough to see whether two figures are the same, and fast.
LOW_DPI = 40


def check_section(section: Section) -> None:
    """Check that a section keeps the contract, see `Section`.

    Parameters
    ----------
    section : Section
        It is called on several `ReportData`, twice each: with and without classes, with
        one feature table and two, of many rows and of a few.

    Raises
    ------
    AssertionError
        The message says what is wrong, and with which data.

    Examples
    --------
    >>> from stratonet_sklearn.report.section import Content, Paragraph
    >>> def build_count(data):
    ...     return Content("Rows", [Paragraph(f"There are {len(data.rows)} rows.")])
    >>> check_section(build_count)
    >>> check_section(lambda data: Content("Rows", []))
    Traceback (most recent call last):
        ...
    AssertionError: <lambda>, two tables with classes: there is no block. Return None
    """
    name = getattr(section, "__name__", repr(section))
    with tempfile.TemporaryDirectory() as folder:
        for description, data in make_examples(Path(folder)).items():
            try:
                _check_example(section, data)
            except AssertionError as error:
                raise AssertionError(f"{name}, {description}: {error}") from None


def make_examples(folder: Path) -> dict[str, ReportData]:
    """Make small data of every shape that a section may receive.

    Parameters
    ----------
    folder : pathlib.Path
        Images are written into it.

    Returns
    -------
    dict of str to ReportData
        By their description.
    """
    full = _make_classified_data()
    full = replace(full, images=write_images(folder, full.rows))
    unlabelled = replace(
        full, treatments=Treatments(), labels=None, evaluation=None, images=None
    )
    # Too few rows for UMAP, for correlations and for most statistics.
    few = [
        replace(table, frame=table.frame.iloc[:3], resources=None)
        for table in unlabelled.tables
    ]
    return {
        # Every section applies to the first example.
        "two tables with classes": full,
        "one table with classes": replace(full, tables=full.tables[:1], images=None),
        "two tables without classes": unlabelled,
        "wells without sites": _drop_sites(unlabelled),
        "three rows": replace(
            unlabelled, tables=few, rows=unlabelled.rows.iloc[:3], controls=None
        ),
    }


def _drop_sites(data: ReportData) -> ReportData:
    """Keep one row per well, without the columns that many tables lack."""
    is_first_site = (data.rows[SITE] == "1").to_numpy()
    dropped_columns = [BATCH, SITE]
    tables = [
        replace(
            table,
            frame=table.frame[is_first_site].drop(
                columns=dropped_columns, errors="ignore"
            ),
        )
        for table in data.tables
    ]
    rows = data.rows[is_first_site].drop(columns=dropped_columns)
    return replace(data, tables=tables, rows=rows, controls=None)


# Cached, because models are fitted.
@lru_cache(maxsize=1)
def _make_classified_data() -> ReportData:
    """Make two plates of 3 x 8 wells with two sites each, of three classes."""
    rows = _make_rows()
    rng = np.random.default_rng(0)
    tables = [
        _make_table("Deep", rows, ["Low0000", "Low0001", "High0000"], rng),
        _make_table("Measured", rows, None, rng),
    ]
    data = ReportData(
        tables=tables,
        rows=rows,
        treatments=Treatments(
            label="Metadata_Mechanism",
            compound="Metadata_Compound",
            control=("compound", "DMSO"),
        ),
        split=Split(n_folds=2),
        labels=rows["Metadata_Mechanism"],
        controls=(rows["Metadata_Compound"] == "DMSO").to_numpy(),
    )
    # Starting processes would take longer than fitting the models.
    with joblib.parallel_config("sequential"):
        return replace(data, evaluation=classify_rows(data))


def _make_rows() -> pd.DataFrame:
    rows = []
    for plate in ("p1", "p2"):
        for number in range(24):
            row, column = divmod(number, 8)
            # Each class in every row and column, as in a good layout.
            name = CLASSES[(row + column) % 3]
            compound = "DMSO" if name == "mock" else f"{name} {column % 2}"
            for site in ("1", "2"):
                rows.append(
                    {
                        BATCH: "b1",
                        PLATE: plate,
                        WELL: format_well(row, column),
                        SITE: site,
                        "Metadata_Mechanism": name,
                        "Metadata_Compound": compound,
                    }
                )
    return pd.DataFrame(rows)


def _make_table(
    name: str, rows: pd.DataFrame, taps: list[str] | None, rng: np.random.Generator
) -> FeatureTable:
    """Make a table whose first feature separates a class from the others."""
    if taps is None:
        features = [f"Cells_Texture_{number}" for number in range(5)]
    else:
        features = [
            f"StratoFeatures_{tap}_{channel}"
            for channel in ("DNA", "ER")
            for tap in taps
        ]
    # The same numbers for the same seed, so that a failing check can be repeated.
    values = rng.normal(size=(len(rows), len(features)))
    # Neither easy nor hopeless: there are misclassified rows to show.
    values[:, 0] += 2 * (rows["Metadata_Mechanism"] == "poison")
    frame = pd.concat([rows, pd.DataFrame(values, columns=features)], axis=1)
    if taps is None:
        return FeatureTable(name, "measured.csv", frame, features)
    frame[FEATURE_SET] = "example-1-0123456789ab"
    return FeatureTable(
        name,
        "deep.parquet",
        frame,
        features,
        feature_set_id="example-1-0123456789ab",
        notes=["2 of 98 rows have features that are missing, and are left out."],
        resources=_make_resources(len(rows)),
    )


def _make_resources(n_rows: int) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "started": ["2026-01-01T00:00", "2026-01-01T01:00"],
            "shard": "1/1",
            "image_sets": [n_rows // 2, n_rows // 2],
            "cpu_percent_mean": 80.0,
            "cpu_percent_max": 99.0,
            "memory_percent_mean": 20.0,
            "memory_percent_max": 30.0,
            "process_memory_max_mb": 900.0,
            "hours": [0.01, 0.02],
        }
    )


def write_images(folder: Path, rows: pd.DataFrame) -> ImageSource:
    """Write an image of one channel per row, and a table that names them.

    Parameters
    ----------
    folder : pathlib.Path
        An existing folder.
    rows : pandas.DataFrame
        ``Metadata_*`` of image sets.

    Returns
    -------
    ImageSource
    """
    table = rows[[PLATE, WELL, SITE]].copy()
    names = table.agg("_".join, axis=1) + ".tif"
    table["FileName_DNA"], table["PathName_DNA"] = names, str(folder)
    for number, name in enumerate(names):
        # Each has its own brightness, so that pictures can be told apart.
        tifffile.imwrite(folder / name, np.full((6, 8), number, np.uint8))
    table.to_csv(folder / "load_data.csv", index=False)
    return ImageSource(str(folder / "load_data.csv"))


def _check_example(section: Section, data: ReportData) -> None:
    before = _hash_data(data)
    content = section(data)
    assert _hash_data(data) == before, "it changes the data. Work on copies"
    if content is None:
        assert section(data) is None, "it applies only sometimes to the same data"
        return
    _check_content(content)
    # Some methods, such as UMAP, draw random numbers.
    second = section(data)
    assert second is not None and _record_content(second) == _record_content(content), (
        "the same data give another content. Use data.split.seed for random numbers"
    )


def _hash_data(data: ReportData) -> str:
    # Only the fields: components that are computed on first use are no change.
    return joblib.hash([getattr(data, field.name) for field in fields(data)])


def _check_content(content: Content) -> None:
    assert isinstance(content, Content), f"it returns {content!r}, not a Content"
    assert content.title.strip(), "the title is empty"
    assert content.blocks, "there is no block. Return None"
    for block in content.blocks:
        _check_block(block)
    # Figures and numbers are in different folders.
    for block_type in (Plot, Numbers):
        names = [
            block.name for block in content.blocks if isinstance(block, block_type)
        ]
        assert len(set(names)) == len(names), f"a file is written twice: {names}"


def _check_block(block: Block) -> None:
    if isinstance(block, Plot):
        _check_plot(block)
    elif isinstance(block, Numbers):
        _check_numbers(block)
    elif isinstance(block, Wells):
        columns = set(block.frame)
        assert columns >= {"plate", "well", "treatment", "negative"}, (
            f"wells lack columns. Received: {sorted(columns)}"
        )
        assert not block.frame.duplicated(["plate", "well"]).any(), (
            "a well is listed twice"
        )
    elif isinstance(block, Table):
        # The page formats no numbers: only the section knows which digits matter.
        values = block.frame.to_numpy().ravel()
        assert all(isinstance(value, str) for value in values), (
            "a table is shown as it is: write its values as texts"
        )
        assert block.caption.strip(), "a table has no caption"
    else:
        assert isinstance(block, (Answer, Caution, Fact, Omission, Paragraph)), (
            f"{block!r} is not a block"
        )
        assert block.text.strip(), f"{block!r} has no text"


def _check_plot(plot: Plot) -> None:
    assert FILE_NAME.fullmatch(plot.name), f"{plot.name!r} is not a file name"
    assert plot.caption.strip().endswith("."), (
        f"figure {plot.name}: the caption is not made of sentences: {plot.caption!r}"
    )
    assert plot.figure.texts and plot.alt, (
        f"figure {plot.name} has no title, which is also its text for those who cannot"
        " see it. Use stratonet.drawing.new_figure"
    )
    assert plot.figure.get_figwidth() <= WIDTH, f"figure {plot.name} is too wide"
    if plot.wells is not None:
        _check_wells(plot.name, plot.wells)


def _check_wells(name: str, wells: pd.DataFrame) -> None:
    columns = set(wells)
    assert columns >= {"plate", "well"}, f"figure {name}: wells have no plate or name"
    assert ("x" in columns) == ("y" in columns), f"figure {name}: x and y go together"


def _check_numbers(numbers: Numbers) -> None:
    assert FILE_NAME.fullmatch(numbers.name), f"{numbers.name!r} is not a file name"
    columns = list(numbers.frame)
    assert all(isinstance(name, str) and name for name in columns), (
        f"numbers {numbers.name}: columns need names: {columns}"
    )
    assert len(set(columns)) == len(columns), (
        f"numbers {numbers.name}: a column occurs twice: {columns}"
    )


def _record_content(content: Content) -> list[object]:
    """Return the content in a form that can be compared, with figures as pixels."""
    record: list[object] = [content.title]
    for block in content.blocks:
        if isinstance(block, Plot):
            png = render_figure(block.figure, LOW_DPI)
            record.append((block.name, block.caption, block.alt, block.shown, png))
        elif isinstance(block, Numbers):
            record.append((block.name, block.frame.to_csv(index=False)))
        elif isinstance(block, Wells):
            pictures = list(block.pictures.items())
            record.append((block.frame.to_csv(index=False), pictures, block.key))
        elif isinstance(block, Table):
            record.append((block.caption, block.frame.to_csv(index=False)))
        else:
            record.append(block)
    return record

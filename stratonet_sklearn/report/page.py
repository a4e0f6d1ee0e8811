"""Write a report as files: one self-contained HTML page, figures and numbers.

The files of an older report are replaced only when all new ones are written.
"""

from __future__ import annotations

import base64
import io
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import TypeVar

import jinja2
import pandas as pd
from markupsafe import Markup
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from stratonet.drawing import DPI
from stratonet_sklearn.report.explore import list_figures, pack_library, write_data
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
    Table,
    Wells,
)

PAGE = "report.html"
# Folders beside the page, and the files in them.
FIGURES, NUMBERS = "figures", "numbers"
FILES = {FIGURES: "*.png", NUMBERS: "*.csv"}

# Blocks inside a section; others go to the top or end of the page, or into files.
BODY = (Paragraph, Table, Plot, Wells)
# In this order: the second script uses names of the first.
SCRIPTS = ("explore.js", "figures.js")
# The page loads nothing else, and browsers enforce that.
POLICY = (
    "default-src 'none'; img-src data: blob:; style-src 'unsafe-inline';"
    " script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
)

NO_WELLS = Wells(
    pd.DataFrame(columns=["plate", "well", "treatment", "negative"]), {}, ""
)

SomeBlock = TypeVar("SomeBlock", bound=Block)


@dataclass(frozen=True)
class Image:
    """A figure embedded in the page.

    Attributes
    ----------
    png : str
        The file in base64.
    width : int
        In pixels, so that browsers reserve the space.
    """

    png: str
    width: int


def write_page(output: Path, title: str, contents: Sequence[Content]) -> Path:
    """Write a report, replacing an older one.

    Parameters
    ----------
    output : pathlib.Path
        An existing folder. ``report.html``, ``figures/*.png`` and ``numbers/*.csv``
        are written into it. Those of an older report in it are removed.
    title : str
        The heading of the page.
    contents : sequence of Content
        In the order of the page.

    Returns
    -------
    pathlib.Path
        The page.
    """
    # A folder inside the output, so that files are moved, not copied.
    with tempfile.TemporaryDirectory(prefix=".report-", dir=output) as folder:
        _write_files(Path(folder), title, contents)
        _replace_report(Path(folder), output)
    return output / PAGE


def _write_files(folder: Path, title: str, contents: Sequence[Content]) -> None:
    for name in FILES:
        (folder / name).mkdir()
    images = {}
    for plot in select_blocks(contents, Plot):
        png = render_figure(plot.figure)
        (folder / FIGURES / f"{plot.name}.png").write_bytes(png)
        width = int(plot.figure.get_figwidth() * DPI)
        # Embedded in the page, so that it can be sent as one file.
        images[plot.name] = Image(_encode(png), width)
    for numbers in select_blocks(contents, Numbers):
        path = folder / NUMBERS / f"{numbers.name}.csv"
        numbers.frame.to_csv(path, index=False)
    page = render_page(title, contents, images)
    (folder / PAGE).write_text(page, encoding="utf-8")


def _replace_report(new_folder: Path, output: Path) -> None:
    # Without a page there is no older report: figures may be the user's own files.
    has_older = (output / PAGE).exists()
    for name, pattern in FILES.items():
        folder = output / name
        folder.mkdir(exist_ok=True)
        if has_older:
            for path in folder.glob(pattern):
                path.unlink()
        for path in (new_folder / name).iterdir():
            os.replace(path, folder / path.name)
    # The page is last. It embeds its figures: until now the older one was complete.
    os.replace(new_folder / PAGE, output / PAGE)


def render_figure(figure: Figure, dpi: float = DPI) -> bytes:
    """Render a figure as a PNG file.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        Any.
    dpi : float
        Pixels per inch.

    Returns
    -------
    bytes
    """
    file = io.BytesIO()
    figure.set_dpi(dpi)
    # savefig would draw twice, the first time only to find the layout.
    FigureCanvasAgg(figure).print_png(file)
    return file.getvalue()


def render_page(
    title: str, contents: Sequence[Content], images: Mapping[str, Image]
) -> str:
    """Render the HTML page.

    Parameters
    ----------
    title : str
        The heading.
    contents : sequence of Content
        In the order of the page.
    images : mapping of str to Image
        The figures by their names.

    Returns
    -------
    str
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("stratonet_sklearn.report", "."),
        # Names of classes and files are users' texts, never HTML.
        autoescape=True,
        # A misspelt name in the template is an error, not an empty line.
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for block_type in BODY:
        name = block_type.__name__.lower()
        environment.tests[name] = _make_test(block_type)
    sections = []
    for content in contents:
        blocks = [block for block in content.blocks if _is_in_body(block)]
        if blocks:
            sections.append((content.title, make_anchor(content.title), blocks))
    wells = next(select_blocks(contents, Wells), NO_WELLS)
    explored = list_figures(select_blocks(contents, Plot))
    return environment.get_template(PAGE).render(
        title=title,
        answers=list(select_blocks(contents, Answer)),
        cautions=list(select_blocks(contents, Caution)),
        facts=list(select_blocks(contents, Fact)),
        omissions=list(select_blocks(contents, Omission)),
        sections=sections,
        images=images,
        numbers=[numbers.name for numbers in select_blocks(contents, Numbers)],
        gallery=list_gallery(wells),
        key=wells.key,
        list_thumbnails=partial(list_thumbnails, wells=wells),
        explored={plot.name for plot in explored},
        exploration=Markup(write_data(explored, wells)),
        library=pack_library() if explored else "",
        policy=POLICY,
        style=_read_part("report.css"),
        scripts=[_read_part(name) for name in SCRIPTS],
    )


def _read_part(name: str) -> Markup:
    """Read a style sheet or script that the page embeds unchanged."""
    return Markup(files(__package__).joinpath(name).read_text(encoding="utf-8"))


def list_gallery(wells: Wells) -> list[tuple[str, list[tuple[int, str, str, str]]]]:
    """List the wells with a picture, by treatment.

    Parameters
    ----------
    wells : Wells
        Of the report.

    Returns
    -------
    list of (treatment, wells)
        Sorted, negative controls first. A well is its number among all wells, its
        plate, its name and its picture in base64.
    """
    groups: dict[tuple[bool, str], list[tuple[int, str, str, str]]] = {}
    for number, well in enumerate(wells.frame.itertuples(index=False)):
        picture = wells.pictures.get((well.plate, well.well))
        if picture is not None:
            key = (not well.negative, well.treatment)
            well_shown = (number, well.plate, well.well, _encode(picture))
            groups.setdefault(key, []).append(well_shown)
    return [(key[1], groups[key]) for key in sorted(groups, key=_order_treatment)]


def list_thumbnails(table: Table, wells: Wells) -> list[list[tuple[str, str]]]:
    """List the pictures beside each row of a table.

    Parameters
    ----------
    table : Table
        Of a section.
    wells : Wells
        Of the report.

    Returns
    -------
    list of list of (name, picture)
        For each row, its well and the control beside it, with pictures in base64;
        empty if no row has a picture.
    """
    if table.pictured is None:
        return []
    rows = []
    for row in table.pictured.itertuples(index=False):
        shown = [(row.well, "this well"), (row.control, "a control")]
        pictures = [
            (f"{row.plate} {well}, {words}", wells.pictures.get((row.plate, well)))
            for well, words in shown
        ]
        rows.append([(name, _encode(file)) for name, file in pictures if file])
    return rows if any(rows) else []


def _encode(file: bytes) -> str:
    return base64.b64encode(file).decode()


def _order_treatment(key: tuple[bool, str]) -> list[tuple[bool, float, str]]:
    """Return a sort key that orders numbers in names by value: 2.5 before 10."""
    parts = re.split(r"(\d+(?:\.\d+)?)", key[1])
    # Texts are at even positions, numbers between them.
    name_key = [
        (False, float(part), "") if position % 2 else (True, 0.0, part)
        for position, part in enumerate(parts)
    ]
    return [(key[0], 0.0, ""), *name_key]


def _make_test(block_type: type) -> Callable[[object], bool]:
    # A lambda written in the loop would always test the last block type.
    return lambda block: isinstance(block, block_type)


def _is_in_body(block: Block) -> bool:
    if isinstance(block, Plot):
        return block.shown
    if isinstance(block, Wells):
        return bool(block.pictures)
    return isinstance(block, BODY)


def select_blocks(
    contents: Sequence[Content], block_type: type[SomeBlock]
) -> Iterator[SomeBlock]:
    """Select the blocks of one type, in the order of the page.

    Parameters
    ----------
    contents : sequence of Content
        Of all sections.
    block_type : type
        Such as `Numbers`.

    Yields
    ------
    Block
    """
    for content in contents:
        for block in content.blocks:
            if isinstance(block, block_type):
                yield block


def make_anchor(title: str) -> str:
    """Make the anchor of a heading, for links to it.

    Examples
    --------
    >>> make_anchor("What was left out?")
    'what-was-left-out'
    """
    return re.sub(r"\W+", "-", title.lower()).strip("-")

"""Every section keeps the contract, and knows no other section."""

import ast
import inspect
import sys
from pathlib import Path

import pytest
from sklearn.ensemble import RandomForestClassifier

from stratonet_sklearn.evaluation.classification import CLASSIFIERS
from stratonet_sklearn.report import checks
from stratonet_sklearn.report.checks import check_section
from stratonet_sklearn.report.report import SECTIONS
from stratonet_sklearn.report.section import (
    Content,
    Numbers,
    Paragraph,
    Plot,
    Table,
)


@pytest.fixture(scope="module", autouse=True)
def quick():
    """Growing 200 trees takes longer than all else."""
    checks._make_classified_data.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(CLASSIFIERS, "RF", RandomForestClassifier(30, random_state=0))
        yield
    checks._make_classified_data.cache_clear()


@pytest.mark.slow
@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.__name__)
def test_a_section_keeps_the_contract(section):
    check_section(section)


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.__name__)
def test_a_section_knows_no_other(section):
    modules = {one.__module__ for one in SECTIONS} | {
        "stratonet_sklearn.report.report",
        "stratonet_sklearn.report.page",
    }
    path = inspect.getsourcefile(sys.modules[section.__module__])
    imported = {
        node.module
        for node in ast.walk(ast.parse(Path(path).read_text()))
        if isinstance(node, ast.ImportFrom)
    }
    assert not imported & modules


def test_evaluation_does_not_know_the_report():
    folder = Path(inspect.getsourcefile(sys.modules["stratonet_sklearn.evaluation"]))
    for path in folder.parent.glob("*.py"):
        assert "stratonet_sklearn.report" not in path.read_text(), path


def change_rows(data):
    data.rows["Metadata_New"] = 1
    return Content("Title", [Paragraph("Text.")])


def count_calls(data, calls=[]):  # noqa: B006
    calls.append(1)
    return Content("Title", [Paragraph(f"Called {len(calls)} times.")])


def draw_without_title(data):
    from matplotlib.figure import Figure

    return Content("Title", [Plot("empty", Figure(), "A caption.")])


def write_numbers_as_texts(data):
    return Content("Title", [Table(data.rows.assign(n=1), "A table.")])


def write_numbers_without_names(data):
    frame = data.rows.set_axis(range(data.rows.shape[1]), axis=1)
    return Content("Title", [Numbers("rows", frame)])


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (count_calls, "the same data give another content"),
        (draw_without_title, "figure empty has no title"),
        (write_numbers_as_texts, "write its values as texts"),
        (write_numbers_without_names, "columns need names"),
        (lambda data: "text", "not a Content"),
        (lambda data: Content(" ", [Paragraph("Text.")]), "the title is empty"),
        (lambda data: Content("Title", [Paragraph("")]), "has no text"),
        (lambda data: Content("Title", ["text"]), "is not a block"),
    ],
)
def test_what_breaks_the_contract_is_found(section, message):
    with pytest.raises(AssertionError, match=message):
        check_section(section)


def test_a_section_that_changes_the_data_is_found():
    with pytest.raises(AssertionError, match="it changes the data"):
        check_section(change_rows)
    checks._make_classified_data.cache_clear()

"""Tables of a page are replaced, and all else is kept."""

from importlib import import_module
from pathlib import Path

import pandas as pd
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
PAGE = """# Results
before
<!-- table: scores -->
| old |
<!-- end of table -->
after
"""


@pytest.fixture
def pages(monkeypatch):
    # Benchmarks are programs beside each other, not a package that is installed.
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return import_module("page_tables")


def test_a_table_is_written_in_its_place(pages, tmp_path):
    page = tmp_path / "results.md"
    page.write_text(PAGE)
    for value in ("0.7", "0.8"):
        row = [["whole", value]]
        table = pages.format_table(["Recipe", "SVM"], row)
        pages.write_tables(page, {"scores": lambda table=table: table})
    assert page.read_text() == PAGE.replace(
        "| old |", "| Recipe | SVM |\n|---|---|\n| whole | 0.8 |"
    )


def test_a_table_that_is_not_there_is_refused(pages, tmp_path):
    page = tmp_path / "results.md"
    page.write_text(PAGE)
    with pytest.raises(ValueError, match="asks for a table 'scores'"):
        pages.write_tables(page, {"differences": str})
    assert page.read_text() == PAGE


def test_an_estimate_has_its_interval(pages):
    row = pd.Series({"value": 0.7146, "low": 0.6389, "high": 0.7917})
    assert pages.format_estimate(row) == "0.715 (0.639 to 0.792)"
    assert pages.format_estimate(row.mask(row.index != "value"), digits=1) == "0.7"

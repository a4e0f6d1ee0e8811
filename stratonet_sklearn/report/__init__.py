"""The report of `stratonet evaluate`, with one module per section; see README.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stratonet.extras import import_when_used

# For type checkers and editors, which cannot follow `__getattr__`. Importing all of it
# takes seconds.
if TYPE_CHECKING:
    from stratonet_sklearn.report.checks import check_section
    from stratonet_sklearn.report.data import Split, Treatments
    from stratonet_sklearn.report.report import write_report

__all__ = ["Split", "Treatments", "check_section", "write_report"]

# The modules that define the names that users import.
_HOMES = {
    "Split": "stratonet_sklearn.report.data",
    "Treatments": "stratonet_sklearn.report.data",
    "check_section": "stratonet_sklearn.report.checks",
    "write_report": "stratonet_sklearn.report.report",
}

__getattr__, __dir__ = import_when_used(__name__, _HOMES, "evaluate")

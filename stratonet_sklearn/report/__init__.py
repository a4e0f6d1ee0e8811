"""The page that `stratonet evaluate` writes: a file per section, see README.md."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from stratonet.extras import name_missing_extra

# For type checkers and editors, which cannot follow `__getattr__`. Importing all of it
# takes seconds.
if TYPE_CHECKING:
    from stratonet_sklearn.report.checks import check_section
    from stratonet_sklearn.report.data import Split, Treatments
    from stratonet_sklearn.report.report import write_report

__all__ = ["Split", "Treatments", "check_section", "write_report"]

# Where what users import is defined.
_HOMES = {
    "Split": "stratonet_sklearn.report.data",
    "Treatments": "stratonet_sklearn.report.data",
    "check_section": "stratonet_sklearn.report.checks",
    "write_report": "stratonet_sklearn.report.report",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with name_missing_extra(name, "evaluate"):
        return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

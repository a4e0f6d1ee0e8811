"""Packages that only some users have, and what to install where one is missing."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Callable

# Extras that bring scikit-learn 1.6 or later. CellProfiler 4.2 needs one below 1.
WITH_SCIKIT_LEARN = ("evaluate", "profiles", "sklearn")


@contextmanager
def name_missing_extra(purpose: str, *extras: str) -> Iterator[None]:
    """Import optional packages; where one is missing, the error says what to install.

    Parameters
    ----------
    purpose : str
        What needs the packages, as the beginning of a sentence: ``"Reading URLs"``.
    *extras : str
        The extras of ``stratonet`` that install them; any one will do.

    Raises
    ------
    ImportError
        A package is missing; the message names it and the extras.

    Examples
    --------
    >>> with name_missing_extra("Drawing", "evaluate"):
    ...     import not_there
    Traceback (most recent call last):
        ...
    ImportError: Drawing needs the package not_there. Install stratonet[evaluate].
    """
    try:
        yield
    except ImportError as error:
        # Installing packages does not mend a fault of our own.
        if error.name is None or error.name.startswith("stratonet"):
            raise
        # The whole package has to be installed, whichever of its modules is missing.
        package = error.name.partition(".")[0]
        raise ImportError(
            f"{purpose} needs the package {package}. {_advise_installation(extras)}",
            name=error.name,
        ) from None


def _advise_installation(extras: Sequence[str]) -> str:
    """Say which extra to install, and warn if it would break CellProfiler."""
    if _has_old_scikit_learn():
        harmless = [extra for extra in extras if extra not in WITH_SCIKIT_LEARN]
        if not harmless:
            return (
                f"Install {_name_extras(extras)} into an environment of its own, not"
                " into this one: it would replace the scikit-learn that CellProfiler"
                " needs."
            )
        extras = harmless
    return f"Install {_name_extras(extras)}."


def _name_extras(extras: Sequence[str]) -> str:
    return " or ".join(f"stratonet[{extra}]" for extra in extras)


def _has_old_scikit_learn() -> bool:
    """Whether CellProfiler is installed, with the scikit-learn that it needs."""
    try:
        version("cellprofiler")
        return version("scikit-learn").startswith("0.")
    except PackageNotFoundError:
        return False


def import_when_used(
    package: str,
    homes: Mapping[str, str],
    extra: str,
    others: Mapping[str, str] | None = None,
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` of a package that imports lazily.

    The modules behind the names take seconds to import and need packages that not all
    users have. Type checkers and editors cannot follow ``__getattr__``, so the package
    also imports its names under ``if TYPE_CHECKING``, and lists them in ``__all__``.

    Parameters
    ----------
    package : str
        The ``__name__`` of the package.
    homes : mapping of str to str
        For each name that users import from the package: the module that defines it.
    extra : str
        The extra of ``stratonet`` that installs what the modules need.
    others : mapping of str to str, optional
        For each name that needs another extra: that extra.

    Returns
    -------
    tuple of two functions
        ``__getattr__`` and ``__dir__``, to be assigned in the package.

    Examples
    --------
    >>> homes = {"feature_columns": "stratonet.naming"}
    >>> get, _ = import_when_used("stratonet.tables", homes, "extract")
    >>> get("feature_columns").__module__
    'stratonet.naming'
    >>> get("nothing")
    Traceback (most recent call last):
        ...
    AttributeError: module 'stratonet.tables' has no attribute 'nothing'
    """
    extras = others or {}

    def get_attribute(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        with name_missing_extra(f"{package}.{name}", extras.get(name, extra)):
            module = import_module(homes[name])
        return getattr(module, name)

    def list_names() -> list[str]:
        module = sys.modules[package]
        return sorted({*vars(module), *module.__all__})

    return get_attribute, list_names

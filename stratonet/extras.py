"""Packages that only some users have, and what to install where one is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


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
        # A fault of our own is not mended by installing anything.
        if error.name is None or error.name.startswith("stratonet"):
            raise
        # What has to be installed is the package, whichever module of it is missing.
        package = error.name.partition(".")[0]
        choices = " or ".join(f"stratonet[{extra}]" for extra in extras)
        raise ImportError(
            f"{purpose} needs the package {package}. Install {choices}.",
            name=error.name,
        ) from None

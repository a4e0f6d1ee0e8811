"""Find files whose names are spelt as another system spells them.

A table that was made on Windows has backslashes, one that was made on a Mac may write
ü as two characters, the u and its dots, and S3's own pages write a + for a space. Each
of these may also be part of the name: the spelling as given is tried first.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol, TypeVar
from urllib.parse import unquote, unquote_plus

from stratonet.files.urls import is_url, is_web_url

T = TypeVar("T")


class _Reader(Protocol):
    """The methods of `stratonet.files.storage.Storage` that are needed here."""

    def read(self, url: str) -> bytes: ...
    def exists(self, url: str) -> bool: ...
    def is_folder(self, url: str) -> bool: ...


def list_spellings(url: str) -> list[str]:
    """List the possible spellings of a file's name, the given one first.

    Parameters
    ----------
    url : str
        Path or URL.

    Returns
    -------
    list of str

    Examples
    --------
    >>> list_spellings("s3://bucket/Measurement+1/a.tif")
    ['s3://bucket/Measurement+1/a.tif', 's3://bucket/Measurement 1/a.tif']
    """
    spellings = [url]
    if is_web_url(url):
        return spellings
    if is_url(url):
        spellings += [url.replace("+", " "), unquote(url), unquote_plus(url)]
    elif os.sep == "/":
        spellings.append(url.replace("\\", "/"))
    for form in ("NFC", "NFD"):
        spellings += [unicodedata.normalize(form, text) for text in tuple(spellings)]
    return list(dict.fromkeys(spellings))


def read_file(url: str, storage: _Reader) -> bytes:
    """Read a file that a user or a table names.

    Parameters
    ----------
    url : str
        Path or URL.
    storage : Storage
        Reads it.

    Returns
    -------
    bytes

    Raises
    ------
    FileNotFoundError, PermissionError
        It cannot be read under the given name, nor under another spelling.
    """
    first, *others = list_spellings(url)
    try:
        return storage.read(first)
    except (FileNotFoundError, PermissionError) as error:
        failure = error
    for other in others:
        with suppress(FileNotFoundError, PermissionError):
            return storage.read(other)
    raise failure


def find_file(url: str, storage: _Reader) -> str | None:
    """Find a file that a user or a table names.

    Parameters
    ----------
    url : str
        Path or URL.
    storage : Storage
        Looks for it.

    Returns
    -------
    str or None
        The spelling that exists; None if there is no such file.
    """
    return _find(url, storage.exists)


def find_folder(url: str, storage: _Reader) -> str | None:
    """Find a folder that a user names, see `find_file`."""
    return _find(url, storage.is_folder)


def _find(url: str, exists: Callable[[str], bool]) -> str | None:
    first, *others = list_spellings(url)
    if exists(first):
        return first
    for other in others:
        # For a missing file, users without permission to list the bucket are refused.
        with suppress(PermissionError):
            if exists(other):
                return other
    return None

"""Files that are named as another system writes their names.

A table that was made on Windows has backslashes, one that was made on a Mac may have
an u and its dots as two characters, and S3's own pages write a + for a space. Each of
these may also be meant: a file is looked for as it is written first.
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
    """What is needed of a `stratonet.files.storage.Storage`."""

    def read(self, url: str) -> bytes: ...
    def exists(self, url: str) -> bool: ...
    def is_folder(self, url: str) -> bool: ...


def list_spellings(url: str) -> list[str]:
    """List how the name of a file may be written, as it is written first.

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
    """Read a file that a user or a table has named.

    Parameters
    ----------
    url : str
        Path or URL.
    storage : Storage
        What reads it.

    Returns
    -------
    bytes

    Raises
    ------
    FileNotFoundError, PermissionError
        It cannot be read as it is written, and there is none by another spelling.
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
    """Find a file that a user or a table has named.

    Parameters
    ----------
    url : str
        Path or URL.
    storage : Storage
        What looks for it.

    Returns
    -------
    str or None
        As it is written there; None if there is no such file.
    """
    return _find(url, storage.exists)


def find_folder(url: str, storage: _Reader) -> str | None:
    """Find a folder that a user has named, see `find_file`."""
    return _find(url, storage.is_folder)


def _find(url: str, is_there: Callable[[str], bool]) -> str | None:
    first, *others = list_spellings(url)
    if is_there(first):
        return first
    for other in others:
        # Who may not list a bucket is refused what is not there.
        with suppress(PermissionError):
            if is_there(other):
                return other
    return None

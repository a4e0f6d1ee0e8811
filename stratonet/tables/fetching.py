"""Fetch tables from URLs for readers of local files."""

from __future__ import annotations

import dataclasses
import functools
import os
import posixpath
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

from stratonet.files.spelling import find_file, read_file
from stratonet.files.storage import Storage
from stratonet.files.urls import (
    drop_query,
    get_extension,
    is_url,
    is_web_url,
    redact_url,
    to_local_path,
)

Reader = TypeVar("Reader", bound=Callable[..., Any])

# Extensions of files on S3 that are fetched as a whole; anything else is a prefix.
EXTENSIONS = (
    *(".csv", ".tsv", ".txt", ".gz", ".parquet"),
    *(".db", ".sqlite", ".sqlite3", ".h5ad"),
)


def take_urls(read: Reader) -> Reader:
    """Let a function that reads a local table take a URL, too.

    Parameters
    ----------
    read : callable
        Its first argument is the path of a table. If it returns a dataclass, that must
        have a field ``source`` with the path.

    Returns
    -------
    callable
        Takes ``s3://``, ``https://``, ``http://`` and ``file:`` as well. Errors and
        ``source`` name the URL, without its secrets.
    """

    @functools.wraps(read)
    def read_path_or_url(
        source: str | os.PathLike[str], *arguments: Any, **options: Any
    ) -> Any:
        location = to_local_path(os.fspath(source))
        safe_url = redact_url(location)
        with _fetch(location) as path, _name_url(path, safe_url):
            result = read(path, *arguments, **options)
        if dataclasses.is_dataclass(result) and not isinstance(result, type):
            return dataclasses.replace(result, source=safe_url)
        return result

    return cast(Reader, read_path_or_url)


@contextmanager
def _fetch(location: str) -> Iterator[str]:
    """Yield the path of a local copy of a file at a URL; any other path unchanged."""
    storage = Storage()
    if not _is_file(location, storage):
        yield location
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, posixpath.basename(drop_query(location)) or "table")
        path.write_bytes(read_file(location, storage))
        yield str(path)


def _is_file(location: str, storage: Storage) -> bool:
    if is_web_url(location):
        return True
    if not is_url(location) or get_extension(location) not in EXTENSIONS:
        return False
    return find_file(location, storage) is not None


@contextmanager
def _name_url(path: str, safe_url: str) -> Iterator[None]:
    """Replace the path of the copy by the URL in error messages."""
    try:
        yield
    except (OSError, ValueError) as error:
        text = str(error).replace(path, safe_url)
        if text == str(error) or type(error).__module__ != "builtins":
            raise
        # A UnicodeDecodeError takes more than a text.
        error_class = ValueError if isinstance(error, ValueError) else type(error)
        raise error_class(text) from None

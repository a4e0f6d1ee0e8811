"""Paths and URLs as text."""

from __future__ import annotations

import os
import re
from urllib.parse import quote, unquote


class Unreachable(OSError):
    """A folder, bucket or server cannot be reached, or refuses.

    Nothing there can be read or written, and a run must stop.
    """


def is_url(path: str | os.PathLike[str]) -> bool:
    """Whether a path is a URL.

    Parameters
    ----------
    path : str or path
        Local or not.

    Examples
    --------
    >>> is_url("s3://bucket/key"), is_url("/data/a.tif")
    (True, False)
    """
    return "://" in str(path)


def get_extension(path: str) -> str:
    """Extension of a path, or of a URL without its query, in small letters.

    Parameters
    ----------
    path : str
        Path or URL.

    Examples
    --------
    >>> get_extension("https://host/A01.TIF?token=a.b")
    '.tif'
    """
    name = path.partition("?")[0] if is_url(path) else path
    return os.path.splitext(name)[1].lower()


def redact_url(url: str | os.PathLike[str]) -> str:
    """Return a path or URL as messages show it, without secrets.

    Parameters
    ----------
    url : str or path
        Path or URL.

    Returns
    -------
    str
        Without ``user:password@``, and without the query of a web address, which may
        sign it. A key of S3 may hold ``?`` and ``#``, and is shown whole.

    Examples
    --------
    >>> redact_url("https://me:word@host/a.tif?X-Amz-Signature=1")
    'https://host/a.tif'
    """
    shown = re.sub("://[^/?#]*@", "://", os.fspath(url))
    if re.match("(?!s3:)[a-z]+://", shown, re.IGNORECASE):
        return re.split("[?#]", shown)[0]
    return shown


def to_local_path(path: str) -> str:
    """Return the local path of a ``file:`` URL, and anything else as it is.

    Parameters
    ----------
    path : str
        Path or URL.

    Examples
    --------
    >>> to_local_path("file:///data/plate%201/a.tif")
    '/data/plate 1/a.tif'
    """
    if not path.startswith("file:"):
        return path
    return unquote(re.sub("^file:(//[^/]*)?", "", path))


def quote_name(text: str) -> str:
    """Return a text as a name that every file system, S3 and Parquet reader takes.

    Parameters
    ----------
    text : str
        Not empty.

    Returns
    -------
    str
        Percent-encoded where a character means something to any of them; also a ``.``
        or ``_`` at its beginning, which readers of Parquet pass over.

    Examples
    --------
    >>> quote_name("A/01"), quote_name("_P1")
    ('A%2F01', '%5FP1')
    """
    name = quote(text, safe=" ,;@()~+")
    if name[0] in "._":
        return f"%{ord(name[0]):02X}{name[1:]}"
    return name

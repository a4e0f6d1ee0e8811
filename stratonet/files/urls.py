"""Handle paths and URLs as text."""

from __future__ import annotations

import os
import re
from urllib.parse import quote, unquote

from stratonet.messages import redact_text, redact_url

__all__ = [
    "Unreachable",
    "drop_query",
    "encode_url",
    "get_extension",
    "is_url",
    "is_web_url",
    "quote_name",
    "redact_text",
    "redact_url",
    "to_local_path",
]


_S3 = re.compile("s3[an]?:", re.IGNORECASE)


class Unreachable(OSError):
    """A folder, bucket or server cannot be reached, or refuses access.

    Nothing in it can be read or written, and a run must stop.
    """


def is_url(path: str | os.PathLike[str]) -> bool:
    """Whether a path is a URL.

    Parameters
    ----------
    path : str or path
        Local path or URL.

    Examples
    --------
    >>> is_url("s3://bucket/key"), is_url("/data/a.tif")
    (True, False)
    """
    return "://" in str(path)


def is_web_url(path: str) -> bool:
    """Whether a path is the URL of a web server, whose query is no part of the name.

    Parameters
    ----------
    path : str
        Path or URL.

    Examples
    --------
    >>> is_web_url("https://host/a.tif"), is_web_url("s3://bucket/a.tif")
    (True, False)
    """
    return is_url(path) and not _S3.match(path)


def drop_query(path: str) -> str:
    """Return a URL without its query; a ``?`` in an S3 key is part of the key.

    Parameters
    ----------
    path : str
        Path or URL.

    Examples
    --------
    >>> drop_query("https://host/a.tif?token=1"), drop_query("s3://bucket/a?.tif")
    ('https://host/a.tif', 's3://bucket/a?.tif')
    """
    if is_web_url(path):
        return path.partition("?")[0]
    return redact_url(path)


def get_extension(path: str) -> str:
    """Return the extension of a path, or of a URL without its query, in lower case.

    Parameters
    ----------
    path : str
        Path or URL.

    Examples
    --------
    >>> get_extension("https://host/A01.TIF?token=a.b")
    '.tif'
    """
    # Without a query, or a token in its place.
    name = os.path.basename(redact_url(path))
    # An S3 key may contain a ?, but if .tif comes before it, that is the extension.
    before_query = name.partition("?")[0] if is_url(path) else name
    extension = os.path.splitext(before_query)[1] or os.path.splitext(name)[1]
    return extension.lower()


def encode_url(url: str) -> str:
    """Percent-encode the characters of a web URL that no URL may contain.

    Characters that are encoded already stay unchanged, and so does a signature.

    Parameters
    ----------
    url : str
        URL of a web server.

    Examples
    --------
    >>> encode_url("https://host/plate #1/ü.tif?signature=a%2Fb+c")
    'https://host/plate%20%231/%C3%BC.tif?signature=a%2Fb+c'
    """
    address, mark, query = url.partition("?")
    server, slash, path = address.partition("://")[2].partition("/")
    scheme = address.partition("://")[0]
    # A # would end the address: files have no fragments, but a name may contain a #.
    path = re.sub("%(?![0-9A-Fa-f]{2})", "%25", path)
    path = quote(path, safe="/%:@!$&'()*+,;=~")
    query = quote(query, safe="/%:@!$&'()*+,;=~?[]")
    return f"{scheme}://{server}{slash}{path}{mark}{query}"


def to_local_path(path: str) -> str:
    """Return the local path of a ``file:`` URL, and anything else unchanged.

    Parameters
    ----------
    path : str
        Path or URL.

    Returns
    -------
    str
        A URL from which pathlib has removed a slash (``s3:/``) gets it back.

    Examples
    --------
    >>> to_local_path("file:///data/plate%201/a.tif")
    '/data/plate 1/a.tif'
    >>> to_local_path("file:///C:/Data/a.tif"), to_local_path("file://server/share/a")
    ('C:/Data/a.tif', '//server/share/a')
    """
    match = re.match("file:(?://(?P<host>[^/]*))?(?P<path>.*)", path, re.I | re.S)
    if not match:
        return re.sub("^(s3|https?):/(?!/)", r"\1://", path, flags=re.IGNORECASE)
    local_path = unquote(match["path"])
    # Windows writes file:///C:/Data, and file://server/share for a share.
    if re.match(r"/[A-Za-z][:|]", local_path):
        return f"{local_path[1]}:{local_path[3:]}"
    host = (match["host"] or "").rpartition("@")[2]
    if host and host.lower() != "localhost":
        return f"//{host}{local_path}"
    return re.sub("^//+", "//", local_path)


def quote_name(text: str) -> str:
    """Turn a text into a name that all file systems, S3 and Parquet readers accept.

    Parameters
    ----------
    text : str
        Must not be empty.

    Returns
    -------
    str
        Characters with a meaning to any of them are percent-encoded, and so is a ``.``
        or ``_`` at the beginning, since readers of Parquet skip such names.

    Examples
    --------
    >>> quote_name("A/01"), quote_name("_P1")
    ('A%2F01', '%5FP1')
    """
    name = quote(text, safe=" ,;@()~+")
    if name[0] in "._":
        return f"%{ord(name[0]):02X}{name[1:]}"
    return name

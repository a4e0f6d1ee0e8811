"""Paths and URLs as text."""

import os
import re
from urllib.parse import quote, unquote


def is_url(path):
    """Whether ``path`` is a URL, as ``s3://bucket/key`` and ``https://host/path`` are."""
    return "://" in str(path)


def get_extension(path):
    """The extension of a path, or of a URL without its query, in small letters."""
    return os.path.splitext(path.partition("?")[0] if is_url(path) else path)[1].lower()


def redact_url(url):
    """A path or URL for people.

    Without ``user:password@``, and without the query of a web address, which may sign
    it.
    """
    url = re.sub("://[^/?#]*@", "://", os.fspath(url))
    return (
        re.split("[?#]", url)[0]
        if re.match("(?!s3:)[a-z]+://", url, re.IGNORECASE)
        else url
    )


class Unreachable(OSError):
    """A place of files cannot be reached, or refuses.

    Nothing there can be read or written, and a run must stop.
    """


def to_local_path(path):
    """``path``, or the local path that it is the ``file:`` URL of."""
    return (
        unquote(re.sub("^file:(//[^/]*)?", "", path))
        if path.startswith("file:")
        else path
    )


def quote_name(text):
    """``text`` as a part of a path that every file system, S3 and Parquet reader takes for a name and nothing else."""
    name = quote(text, safe=" ,;@()~+")
    return name if name[0] not in "._" else f"%{ord(name[0]):02X}{name[1:]}"

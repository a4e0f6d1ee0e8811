"""Wording that messages share."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches

_S3 = re.compile("s3[an]?:", re.IGNORECASE)
# pathlib turns two slashes into one.
_URL = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)(?P<slashes>:/{1,2})(?P<address>.*)",
    re.IGNORECASE | re.DOTALL,
)
_IN_TEXT = re.compile(r"(?<![a-z0-9+.-])[a-z][a-z0-9+.-]+:/[^\s'\"<>]+", re.IGNORECASE)
_SIGNED = re.compile(
    r"\?(?=.*(?:X-Amz-|Signature=|AccessKey|Credential=|token=|sig=))", re.IGNORECASE
)


def shorten_list(names: Sequence[object], most: int = 20) -> str:
    """List the first of many names.

    Parameters
    ----------
    names : sequence
        Each is shown as a text.
    most : int
        How many of them are named.

    Examples
    --------
    >>> shorten_list(["A01", "A02", "A03"], most=2)
    'A01, A02, and 1 more'
    """
    words = [str(name) for name in names[:most]]
    if len(names) > most:
        words.append(f"and {len(names) - most} more")
    return ", ".join(words)


def count_things(number: int, noun: str, plural: str | None = None) -> str:
    """Return a number with its noun, in the singular or plural.

    Parameters
    ----------
    number : int
        How many.
    noun : str
        In the singular.
    plural : str, optional
        If it is not the noun with an s.

    Examples
    --------
    >>> count_things(1, "plate"), count_things(1200, "plate")
    ('1 plate', '1,200 plates')
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


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
        sign it. An S3 key may contain ``?`` and ``#``, and is shown in full, unless it
        ends like a signed URL.

    Examples
    --------
    >>> redact_url("https://me:word@host/a.tif?X-Amz-Signature=1")
    'https://host/a.tif'
    """
    text = os.fspath(url)
    match = _URL.match(text)
    # A Windows path begins with the letter of a drive.
    if match is None or len(match["scheme"]) == 1:
        return text
    address = _drop_user(match["address"])
    if _S3.match(text):
        signed = _SIGNED.search(address)
        address = address[: signed.start()] if signed else address
    else:
        address = address.partition("?")[0]
        # A # may be part of a file's name, or precede a token.
        name, _, fragment = address.partition("#")
        address = address if re.search(r"^[^=]*\.\w{2,7}$", fragment) else name
    return match["scheme"] + match["slashes"] + address


def redact_text(text: str) -> str:
    """Return a text with all URLs in it as `redact_url` shows them.

    Parameters
    ----------
    text : str
        Such as a message of a library.

    Examples
    --------
    >>> redact_text("Cannot open http://me:word@host/a?key=1 now")
    'Cannot open http://host/a now'
    """
    return _IN_TEXT.sub(lambda match: redact_url(match[0]), text)


def _drop_user(address: str) -> str:
    """Return what follows the slashes of a URL, without user and password."""
    authority = re.split("[/?#]", address)[0]
    if "@" in authority:
        return address[authority.rindex("@") + 1 :]
    # The user or password may contain a slash, ? or #. Then what stands before that is
    # not a host with a port, or a colon stands before the @.
    has_port = re.fullmatch(r"(\[.*\]|[^:]*)(:\d*)?", authority)
    if "@" in address and (not has_port or re.search(":[^/]*@", address)):
        return address[address.rindex("@") + 1 :]
    return address


def suggest_name(name: str, known_names: Iterable[object]) -> str:
    """Suggest a known name, as the end of a message about an unknown one.

    Parameters
    ----------
    name : str
        What was received.
    known_names : iterable
        What could have been meant; each is shown as a text.

    Returns
    -------
    str
        Begins with a space; ``""`` where no name is close.

    Examples
    --------
    >>> "There is no channel dan." + suggest_name("dan", ["DNA", "Actin"])
    'There is no channel dan. Did you mean DNA?'
    >>> suggest_name("mitochondria", ["DNA", "Actin"])
    ''
    """
    # Names differ in case more often than in letters.
    spellings = {str(item).lower(): str(item) for item in known_names}
    close = get_close_matches(name.lower(), spellings, n=1)
    return f" Did you mean {spellings[close[0]]}?" if close else ""

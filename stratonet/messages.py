"""Words that messages share."""

from __future__ import annotations

from collections.abc import Sequence


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

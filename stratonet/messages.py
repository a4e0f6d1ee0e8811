"""Words that messages share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches


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


def suggest_name(name: str, known: Iterable[object]) -> str:
    """Ask whether a known name was meant, for the end of a message about another.

    Parameters
    ----------
    name : str
        What was received.
    known : iterable
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
    spelt = {str(one).lower(): str(one) for one in known}
    close = get_close_matches(name.lower(), spelt, n=1)
    return f" Did you mean {spelt[close[0]]}?" if close else ""

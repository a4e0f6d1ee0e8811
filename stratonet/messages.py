"""Words that messages share."""


def shorten_list(names, most=20):
    """The first of many names, for messages."""
    more = [f"and {len(names) - most} more"] if len(names) > most else []
    return ", ".join([*map(str, names[:most]), *more])

"""Names of features: ``StratoFeatures_<Tap><NNNN>_<Channel>``, for example ``StratoFeatures_High0012_DNA``."""

import re

PREFIX = "StratoFeatures"
# Column with the feature set id.
FEATURE_SET = f"Metadata_{PREFIX}"
# Column with the id of the projection, where features were reduced to components.
PROJECTION = "Metadata_StratoProjection"
LONGEST = 64


def check_channel(channel):
    """The channel's name, if a column can carry it (letters, digits and underscores, as CellProfiler's names).

    Raises
    ------
    ValueError
        It is empty or has other characters.
    """
    if not isinstance(channel, str) or not re.fullmatch(r"[0-9A-Za-z_]+", channel):
        raise ValueError(
            f"A channel's name is made of letters, digits and underscores, because it becomes part of column names. "
            f"Received: {channel!r}. Rename the channel."
        )
    return channel


def tap_names(tap):
    """Names of the features of one tap without the channel: ``High0000`` to ``High1023``."""
    digits = max(4, len(str(tap.width - 1)))
    return [f"{tap.label}{number:0{digits}d}" for number in range(tap.width)]


def feature_names(taps, channels):
    """Full names of the features of ``channels``: all of the first channel, then all of the next.

    Parameters
    ----------
    taps : sequence of Tap
    channels : str or sequence of str

    Returns
    -------
    list of str

    Raises
    ------
    ValueError
        A channel's name cannot be a name, stands there twice, or makes a feature name longer than 64 characters.
    """
    return names_of([name for tap in taps for name in tap_names(tap)], channels)


def names_of(middles, channels):
    """Full names made of what stands between prefix and channel, see `feature_names`."""
    channels = [channels] if isinstance(channels, str) else list(channels)
    for channel in channels:
        if channels.count(check_channel(channel)) > 1:
            raise ValueError(f"Channels need different names. Received {channel!r} more than once.")
    names = [f"{PREFIX}_{middle}_{channel}" for channel in channels for middle in middles]
    longest = max(names, key=len, default="")
    if len(longest) > LONGEST:
        raise ValueError(
            f"A feature name has at most {LONGEST} characters. Received: {longest!r} ({len(longest)}). "
            f"Shorten the channel's name by {len(longest) - LONGEST}."
        )
    return names

"""Names of features.

``StratoFeatures_<Tap><NNNN>_<Channel>``, for example ``StratoFeatures_High0012_DNA``.
"""

import re

PREFIX = "StratoFeatures"
LONGEST = 64
# Numbers have four digits (see `stratonet.naming`, in taps of up to 10,000 features), and labels may end in digits:
# Conv2Block30012 is number 12 of Conv2Block3.
_FEATURE = re.compile(rf"{PREFIX}_(?P<tap>.+?)(?P<number>\d{{4}})_(?P<channel>\w+)")


def check_channel(channel):
    """The channel's name, if a column can carry it (letters, digits and underscores, as CellProfiler's names).

    Raises
    ------
    ValueError
        It is empty or has other characters.
    """
    if not isinstance(channel, str) or not re.fullmatch(r"[0-9A-Za-z_]+", channel):
        raise ValueError(
            "A channel's name is made of letters, digits and underscores, because it"
            f" becomes part of column names. Received: {channel!r}. Rename the channel."
        )
    return channel


def tap_names(tap):
    """Names of the features of one tap without the channel.

    ``High0000`` to ``High1023``.
    """
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
        A channel's name cannot be a name, stands there twice, or makes a feature name
        longer than 64 characters.
    """
    return make_names([name for tap in taps for name in tap_names(tap)], channels)


def make_names(middles, channels):
    """Full names made of what stands between prefix and channel, see `feature_names`."""
    channels = [channels] if isinstance(channels, str) else list(channels)
    for channel in channels:
        if channels.count(check_channel(channel)) > 1:
            raise ValueError(
                f"Channels need different names. Received {channel!r} more than once."
            )
    names = [
        f"{PREFIX}_{middle}_{channel}" for channel in channels for middle in middles
    ]
    longest = max(names, key=len, default="")
    if len(longest) > LONGEST:
        raise ValueError(
            f"A feature name has at most {LONGEST} characters. Received: {longest!r}"
            f" ({len(longest)}). Shorten the channel's name by"
            f" {len(longest) - LONGEST}."
        )
    return names


def component_names(count):
    """Names of components without prefix and channel.

    ``PC0001``, as in ``StratoFeatures_PC0001_DNA``.
    """
    return [f"PC{number:04d}" for number in range(1, count + 1)]


def feature_columns(frame):
    """The names of the columns of features, in the order of the frame.

    pycytominer does not find them by itself (`infer_cp_features` knows CellProfiler's
    compartments only): give this list as ``features=``.
    """
    return [name for name in frame if parse_feature_name(name)]


def metadata_columns(frame):
    """The names of the columns ``Metadata_*``, in the order of the frame."""
    return [name for name in frame if str(name).startswith("Metadata_")]


def parse_feature_name(name):
    return _FEATURE.fullmatch(name) if isinstance(name, str) else None

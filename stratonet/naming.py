"""Names of columns, made and parsed here only.

Features are named ``StratoFeatures_<Tap><NNNN>_<Channel>``, for example
``StratoFeatures_High0012_DNA``, or ``StratoFeatures_HighSD0012_DNA`` where the standard
deviation of a map is kept; the images of an image set in normal form
``<Prefix>_<Channel>``, for example ``URL_DNA``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from stratonet.recipe import FeatureBlock

PREFIX = "StratoFeatures"
LONGEST = 64
METADATA = "Metadata_"
# Numbers have four digits (more only in taps of over 10,000 features), and labels may
# end in digits: Conv2Block30012 is number 12 of Conv2Block3.
_FEATURE = re.compile(rf"{PREFIX}_(?P<tap>.+?)(?P<number>\d{{4}})_(?P<channel>\w+)")

# Prefixes of the columns of an image set in normal form. Of a channel X: the path of
# its image (URL_X), its plane in a stack (Frame_X) and its image in the file
# (Series_X), both from 0, and the path of its illumination function (Illumination_X).
# Of a label image N: its path (Labels_N).
URL = "URL"
FRAME = "Frame"
SERIES = "Series"
ILLUMINATION = "Illumination"
LABELS = "Labels"
IMAGE_PREFIXES = (URL, FRAME, SERIES, ILLUMINATION, LABELS)


def check_channel(channel: str) -> str:
    """Return the name of a channel, if it can be part of a column's name.

    Parameters
    ----------
    channel : str
        Letters, digits and underscores, as in CellProfiler's names.

    Raises
    ------
    ValueError
        It is empty or has other characters.

    Examples
    --------
    >>> check_channel("DNA")
    'DNA'
    """
    if not isinstance(channel, str) or not re.fullmatch(r"[0-9A-Za-z_]+", channel):
        raise ValueError(
            "A channel's name is made of letters, digits and underscores, because it"
            f" becomes part of column names. Received: {channel!r}. Rename the channel."
        )
    return channel


def block_names(block: FeatureBlock) -> list[str]:
    """Return the names of the features of one block, without the channel.

    Examples
    --------
    >>> block_names(FeatureBlock("HighSD", 3))
    ['HighSD0000', 'HighSD0001', 'HighSD0002']
    """
    digits = max(4, len(str(block.width - 1)))
    return [f"{block.label}{number:0{digits}d}" for number in range(block.width)]


def feature_names(
    blocks: Iterable[FeatureBlock], channels: str | Sequence[str]
) -> list[str]:
    """Return full feature names: all of the first channel, then all of the next.

    Parameters
    ----------
    blocks : iterable of FeatureBlock
        From `stratonet.recipe.Recipe.list_blocks`.
    channels : str or sequence of str
        One or several names of channels.

    Returns
    -------
    list of str
        One name per feature of each channel.

    Raises
    ------
    ValueError
        A channel's name cannot be part of a column's name, is given twice, or makes a
        feature name longer than 64 characters.

    Examples
    --------
    >>> feature_names([FeatureBlock("High", 2)], ["DNA", "ER"])[1:3]
    ['StratoFeatures_High0001_DNA', 'StratoFeatures_High0000_ER']
    """
    middles: list[str] = []
    for block in blocks:
        middles += block_names(block)
    return make_names(middles, channels)


def make_names(middles: Sequence[str], channels: str | Sequence[str]) -> list[str]:
    """Return full names, given their parts between prefix and channel.

    Parameters
    ----------
    middles : sequence of str
        From `block_names` or `component_names`.
    channels : str or sequence of str
        One or several names of channels.

    Returns
    -------
    list of str
        All of the first channel, then all of the next.

    Raises
    ------
    ValueError
        See `feature_names`.
    """
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


def component_names(count: int) -> list[str]:
    """Return the names of components, counted from 1, without prefix and channel.

    Examples
    --------
    >>> component_names(2)
    ['PC0001', 'PC0002']
    """
    return [f"PC{number:04d}" for number in range(1, count + 1)]


def parse_feature_name(name: object) -> re.Match[str] | None:
    """Split the name of a feature of StratoNet into its parts; None for other names.

    Parameters
    ----------
    name : object
        Columns of frames may have names that are not text; those are no features.

    Returns
    -------
    re.Match or None
        With the groups ``tap``, ``number`` and ``channel``.

    Examples
    --------
    >>> parse_feature_name("StratoFeatures_High0012_DNA")["channel"]
    'DNA'
    """
    return _FEATURE.fullmatch(name) if isinstance(name, str) else None


def feature_columns(frame: Iterable[str]) -> list[str]:
    """Return the names of the columns of features, in the order of the frame.

    pycytominer does not find them by itself (`infer_cp_features` knows CellProfiler's
    compartments only): give this list as ``features=``.

    Parameters
    ----------
    frame : pandas.DataFrame or iterable of str
        A frame, or the names of its columns.

    Returns
    -------
    list of str

    Examples
    --------
    >>> feature_columns(["Metadata_Well", "StratoFeatures_High0012_DNA"])
    ['StratoFeatures_High0012_DNA']
    """
    return [name for name in frame if parse_feature_name(name)]


def metadata_columns(frame: Iterable[str]) -> list[str]:
    """Return the names of the columns ``Metadata_*``, in the order of the frame.

    Parameters
    ----------
    frame : pandas.DataFrame or iterable of str
        A frame, or the names of its columns.

    Returns
    -------
    list of str

    Examples
    --------
    >>> metadata_columns(["Metadata_Well", "StratoFeatures_High0012_DNA"])
    ['Metadata_Well']
    """
    return [name for name in frame if str(name).startswith(METADATA)]


def image_column(prefix: str, channel: str) -> str:
    """Return the name of a column of image sets in normal form.

    Parameters
    ----------
    prefix : {"URL", "Frame", "Series", "Illumination", "Labels"}
        What the column says, one of ``IMAGE_PREFIXES``.
    channel : str
        The channel; for ``"Labels"``, the name of the label image.

    Raises
    ------
    ValueError
        There is no such prefix.

    Examples
    --------
    >>> image_column("URL", "DNA")
    'URL_DNA'
    """
    if prefix not in IMAGE_PREFIXES:
        raise ValueError(
            f"prefix is one of {', '.join(IMAGE_PREFIXES)}. Received: {prefix!r}"
        )
    return f"{prefix}_{channel}"


def parse_image_column(name: object) -> tuple[str, str] | None:
    """Split the name of a column of images into prefix and channel, or return None.

    Examples
    --------
    >>> parse_image_column("Illumination_Plate_DNA")
    ('Illumination', 'Plate_DNA')
    >>> parse_image_column("Metadata_Well")
    """
    prefix, separator, channel = str(name).partition("_")
    if prefix not in IMAGE_PREFIXES or not separator:
        return None
    return prefix, channel


def list_image_channels(frame: Iterable[str], prefix: str = URL) -> list[str]:
    """List the channels for which image sets have a column with a prefix.

    Parameters
    ----------
    frame : pandas.DataFrame or iterable of str
        Image sets in normal form, or the names of their columns.
    prefix : {"URL", "Frame", "Series", "Illumination", "Labels"}
        With ``"Labels"``, the names are those of the label images.

    Returns
    -------
    list of str
        In the order of the frame.

    Examples
    --------
    >>> list_image_channels(["Metadata_Well", "URL_DNA", "Frame_DNA", "URL_ER"])
    ['DNA', 'ER']
    """
    parsed = [parse_image_column(name) for name in frame]
    return [column[1] for column in parsed if column and column[0] == prefix]

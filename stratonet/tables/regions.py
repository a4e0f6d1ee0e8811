"""Name the regions of objects: SpatialData's names of the label images they are in."""

from __future__ import annotations

from collections.abc import Sequence
from string import Formatter
from typing import Union

import pandas as pd

from stratonet.messages import count_things, shorten_list, suggest_name
from stratonet.naming import feature_columns
from stratonet.tables.columns import IMAGE, IMAGE_NUMBER, PLATE_KEYS, SITE, WELL
from stratonet.tables.index import keep_index
from stratonet.tables.keys import check_unique, normalize_keys

# The columns that identify an image set.
_KEYS = (*PLATE_KEYS, WELL, SITE, IMAGE, IMAGE_NUMBER)

# A union with | needs Python 3.10 outside of annotations.
Regions = Union[str, pd.DataFrame]


def name_regions(
    frame: pd.DataFrame, region: Regions, region_key: str = "region"
) -> pd.Series:
    """Name the label image of each row.

    Parameters
    ----------
    frame : pandas.DataFrame (n rows)
        Features of objects.
    region, region_key
        See `stratonet.tables.spatialdata.to_spatialdata_table`.

    Returns
    -------
    pandas.Series of object (n rows)

    Raises
    ------
    ValueError
        An image set has no region, two share one, or the frame has a column
        ``region_key`` with other values.

    Examples
    --------
    >>> name_regions(pd.DataFrame({"ImageNumber": [1, 2]}), "{ImageNumber}_cells")
    0    1_cells
    1    2_cells
    dtype: object
    """
    if not region_key:
        raise ValueError("`region_key` is the name of a column. Received: ''")
    if isinstance(region, pd.DataFrame):
        names = _look_up_names(frame, region, region_key)
    elif isinstance(region, str) and region:
        names = _fill_in_names(frame, region)
    else:
        raise ValueError(
            "`region` is the name of a label image, a name with columns in braces, or a"
            f" frame. Received: {region!r}"
        )
    if region_key in frame and frame[region_key].tolist() != names:
        raise ValueError(
            f"The features have a column {region_key} already, with other values. Give"
            " another `region_key`."
        )
    regions = pd.Series(names, frame.index, dtype=object)
    _check_image_sets(frame, regions)
    return regions


def _fill_in_names(frame: pd.DataFrame, region: str) -> list[str]:
    """Fill in a name: columns in braces are replaced by their values."""
    try:
        parsed = [name for _, name, _, _ in Formatter().parse(region)]
        fields = [name for name in dict.fromkeys(parsed) if name is not None]
        _check_columns(frame, fields)
        if not fields:
            return [region.format()] * len(frame)
        rows = frame[fields].to_dict("records")
        return [region.format_map(row) for row in rows]
    except (IndexError, KeyError, ValueError) as error:
        raise ValueError(f"`region` {region!r} cannot be filled in: {error}") from None


def _look_up_names(
    frame: pd.DataFrame, regions: pd.DataFrame, region_key: str
) -> list[str]:
    """Look up the regions of image sets in a frame."""
    regions = keep_index(regions)
    keys = [name for name in regions if name != region_key]
    if region_key not in regions or not keys:
        raise ValueError(
            f"`region` needs a column {region_key}, and columns that tell image sets"
            f" apart, such as Metadata_Well. Received: {shorten_list(list(regions))}"
        )
    try:
        _check_columns(frame, keys)
    except ValueError as error:
        raise ValueError(f"`region` cannot be joined: {error}") from None
    check_unique(regions, keys, "`region`")
    # A site is 1 in one table and "1" in the other, and a well A01 or A1.
    region_index = pd.MultiIndex.from_frame(normalize_keys(regions, keys))
    frame_index = pd.MultiIndex.from_frame(normalize_keys(frame, keys))
    names = pd.Series(regions[region_key].tolist(), region_index, object).reindex(
        frame_index
    )
    is_missing = [not isinstance(name, str) or name == "" for name in names]
    if any(is_missing):
        first = frame[keys].iloc[is_missing.index(True)]
        key_values = ", ".join(f"{key} {value}" for key, value in first.items())
        raise ValueError(
            f"`region` names no label image for {key_values}:"
            f" {count_things(sum(is_missing), 'object')} of {len(frame):,}. Add the"
            " rows, or leave these objects out."
        )
    return names.tolist()


def _check_columns(frame: pd.DataFrame, names: Sequence[str]) -> None:
    """Refuse columns that do not exist, or have missing values."""
    features = set(feature_columns(frame))
    known_columns = [name for name in frame if name not in features]
    for name in names:
        if name not in known_columns:
            raise ValueError(
                f"there is no column {name!r}. The features have"
                f" {shorten_list(known_columns)}.{suggest_name(name, known_columns)}"
            )
        is_missing = frame[name].isna().tolist()
        if any(is_missing):
            row = is_missing.index(True) + 1
            raise ValueError(f"{name} is empty in row {row} (counted from 1).")


def _check_image_sets(frame: pd.DataFrame, regions: pd.Series) -> None:
    """Refuse two image sets in one region: each has its own label image."""
    keys = [key for key in _KEYS if key in frame]
    image_sets = frame[keys].assign(region=regions).drop_duplicates()
    shared = image_sets[image_sets.duplicated("region", keep=False)]
    if shared.empty:
        return
    region = shared["region"].iloc[0]
    sharing = shared.loc[shared["region"] == region, keys]
    first, second = (" ".join(map(str, row)) for row in sharing.head(2).to_numpy())
    raise ValueError(
        f"{len(sharing):,} image sets have the region {region!r}, such as {first} and"
        f" {second} ({', '.join(keys)}). A label image belongs to one image set: give a"
        " `region` that tells them apart."
    )

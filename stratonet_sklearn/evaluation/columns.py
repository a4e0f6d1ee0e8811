"""Find columns of feature tables by the names that users type, and name rows."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from stratonet.messages import suggest_name
from stratonet.naming import METADATA, metadata_columns
from stratonet.tables.columns import PLATE, SITE, WELL, find_object_column
from stratonet.tables.keys import write_texts
from stratonet.tables.reading import feature_parts
from stratonet.tables.wells import split_well_names


def find_column(metadata: pd.DataFrame, name: str) -> str:
    """Find the full name of a metadata column.

    Parameters
    ----------
    metadata : pandas.DataFrame
        Its columns ``Metadata_*`` are searched.
    name : str
        With or without ``Metadata_``, in any case.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        There is no such column, or there are several of that name.

    Examples
    --------
    >>> import pandas as pd
    >>> find_column(pd.DataFrame(columns=["Metadata_Well", "Metadata_Dose"]), "dose")
    'Metadata_Dose'
    """
    # Users write `dose` or `DOSE`; instruments and labs spell columns in every case.
    wanted = _shorten_column(name)
    columns = metadata_columns(metadata)
    matches = [column for column in columns if _shorten_column(column) == wanted]
    exact = [column for column in matches if column in (name, f"{METADATA}{name}")]
    if len(exact or matches) > 1:
        raise ValueError(
            f"The metadata have several columns {name}: {', '.join(matches)}. Write"
            " one exactly as it is listed."
        )
    if matches:
        return (exact or matches)[0]
    short = [_shorten_column(column) for column in columns]
    raise ValueError(
        f"There is no column {name} in the metadata.{suggest_name(wanted, short)}"
        f" Received: {list_columns(columns)}"
    )


def get_column(metadata: pd.DataFrame, name: str) -> pd.Series:
    """Get a metadata column as text.

    Parameters
    ----------
    metadata : pandas.DataFrame
        Its columns ``Metadata_*`` are searched.
    name : str
        As `find_column` takes it.

    Returns
    -------
    pandas.Series of str
        ``""`` where the value is missing.

    Raises
    ------
    ValueError
        There is no such column.
    """
    return write_texts(metadata[find_column(metadata, name)]).fillna("")


def list_columns(columns: Iterable[str]) -> str:
    """List columns for a message, by their short names.

    Parameters
    ----------
    columns : iterable of str
        Full names.

    Returns
    -------
    str

    Examples
    --------
    >>> list_columns(["Metadata_Plate", "Metadata_Well"])
    'plate, well'
    """
    return ", ".join(_shorten_column(column) for column in columns)


def name_wells(metadata: pd.DataFrame) -> pd.Series:
    """Name the well of each row, with its plate: A01 on two plates is two wells.

    Parameters
    ----------
    metadata : pandas.DataFrame (n rows)
        With ``Metadata_Plate`` and ``Metadata_Well``, as text.

    Returns
    -------
    pandas.Series of str, n rows

    Examples
    --------
    >>> import pandas as pd
    >>> rows = pd.DataFrame({"Metadata_Plate": ["P1"], "Metadata_Well": ["A01"]})
    >>> name_wells(rows).tolist()
    ['P1 A01']
    """
    return metadata[PLATE] + " " + metadata[WELL]


def find_groups(rows: pd.DataFrame, group: str) -> pd.Series:
    """Find the group of each row, which is never divided between training and test.

    Parameters
    ----------
    rows : pandas.DataFrame (n rows)
        ``Metadata_*``.
    group : str
        A column; or ``well``, a well of one plate; or ``row`` or ``column`` of the
        plates, read from the names of wells if there are no such columns.

    Returns
    -------
    pandas.Series (n rows,) of str
        ``""`` where it is not known.

    Raises
    ------
    ValueError
        There is no such column.

    Examples
    --------
    >>> import pandas as pd
    >>> rows = pd.DataFrame({"Metadata_Plate": "P1", "Metadata_Well": ["A01", "B07"]})
    >>> find_groups(rows, "row").tolist(), find_groups(rows, "column").tolist()
    (['A', 'B'], ['1', '7'])
    """
    short = group.removeprefix(METADATA).lower()
    # A well's name alone, such as A01, stands for a well of every plate.
    if short == "well":
        return name_wells(rows)
    known_names = [
        name.removeprefix(METADATA).lower() for name in metadata_columns(rows)
    ]
    if short in ("row", "column") and short not in known_names:
        letters, columns = split_well_names(rows[WELL])
        return (letters if short == "row" else columns.astype("string")).fillna("")
    return get_column(rows, group)


def name_rows(metadata: pd.DataFrame) -> str:
    """Name what the rows of a table stand for.

    Parameters
    ----------
    metadata : pandas.DataFrame
        Tables of objects have a column of object numbers, tables of image sets one of
        sites.

    Returns
    -------
    str
        ``objects``, ``image sets`` or ``wells``.

    Examples
    --------
    >>> import pandas as pd
    >>> name_rows(pd.DataFrame(columns=["Metadata_Well", "ObjectNumber"]))
    'objects'
    """
    if find_object_column(metadata):
        return "objects"
    return "image sets" if SITE in metadata else "wells"


def name_feature_groups(features: Iterable[str]) -> pd.Series:
    """Name the group to which each feature belongs.

    Parameters
    ----------
    features : iterable of str
        Names of features.

    Returns
    -------
    pandas.Series of str
        By feature: channel and tap for StratoNet's; for others, the first two words of
        the name without numbers (CellProfiler's object and type of measurement).

    Examples
    --------
    >>> name_feature_groups(["StratoFeatures_HighSD0012_DNA"]).tolist()
    ['DNA high sd']
    >>> name_feature_groups(["Cells_AreaShape_Area", "noise_12"]).tolist()
    ['Cells AreaShape', 'noise']
    """
    features = list(features)
    try:
        parts = feature_parts(features)
    except ValueError:
        words = [_join_first_words(name) for name in features]
        return pd.Series(words, features)
    # TilesLowSD becomes: tiles low sd.
    words = parts.tap.str.replace(r"(?<=[a-z\d])(?=[A-Z])", " ", regex=True)
    return parts.channel + " " + words.str.lower()


def _join_first_words(name: object) -> str:
    words = str(name).split("_")
    # Numbers are scales and angles, which belong to one group.
    kept_words = [word for word in words if not word.isdigit()]
    return " ".join(kept_words[:2])


def _shorten_column(name: str) -> str:
    return name.lower().removeprefix("metadata_")

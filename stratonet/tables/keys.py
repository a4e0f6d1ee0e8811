"""Bring the keys of rows (plate, well, site, number) to a normal form for joining.

People and instruments write well A01 as A1, a01, A-01 or r01c01, and plate 00149 as
149. Tables are joined by the normal form of these, but show them as they were written.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import pandas as pd

from stratonet.naming import METADATA
from stratonet.tables.columns import BATCH, PLATE, SITE, SOURCE, WELL
from stratonet.tables.wells import format_well, parse_well

# CellProfiler writes this for an unknown plate or well.
UNKNOWN = "nan"
# Other names of the key columns, in lower case and without underscores.
_OTHER_NAMES = {
    "source": SOURCE,
    "batch": BATCH,
    "plate": PLATE,
    "assayplatebarcode": PLATE,
    "well": WELL,
    "wellposition": WELL,
    "site": SITE,
}
_NUMBER = re.compile(r"0*(\d+)(\.0*)?")


def write_texts(values: pd.Series) -> pd.Series:
    """Write values as text; missing values are None.

    Parameters
    ----------
    values : pandas.Series
        Values of any type.

    Returns
    -------
    pandas.Series of object

    Examples
    --------
    >>> write_texts(pd.Series([3.0, None, 2.5])).tolist()
    ['3', None, '2.5']
    """
    # If a row lacks a number or has a fraction, pandas holds whole numbers as floats:
    # their text would be 3.0 in one table and 3 in another.
    texts = values.convert_dtypes().astype("string").astype(object)
    if pd.api.types.is_float_dtype(values):
        texts = texts.str.removesuffix(".0")
    return texts.where(texts.notna(), None)


def write_keys(values: pd.Series) -> pd.Series:
    """Write plates or wells as text; those that are empty or ``nan`` become None.

    Parameters
    ----------
    values : pandas.Series
        Values of any type.

    Returns
    -------
    pandas.Series of object

    Examples
    --------
    >>> write_keys(pd.Series(["A01", "nan", ""])).tolist()
    ['A01', None, None]
    """
    texts = write_texts(values)
    return texts.where(~texts.isin([UNKNOWN, ""]), None)


def normalize_key(column: str, name: object) -> str:
    """Bring the name of a plate, well or site, or a number, to its normal form.

    Parameters
    ----------
    column : str
        The column of the name: ``Metadata_Well``, ``Metadata_Plate``, ...
    name : str
        The name as written.

    Examples
    --------
    >>> normalize_key("Metadata_Well", "a-1"), normalize_key("Metadata_Plate", "00149")
    ('A01', '149')
    """
    text = "" if name is None else str(name).strip()
    position = parse_well(text) if column == WELL else None
    if position is not None:
        return format_well(*position)
    number = _NUMBER.fullmatch(text)
    return number[1] if number else text


def normalize_keys(frame: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """Bring the keys of a table's rows to their normal form.

    Parameters
    ----------
    frame : pandas.DataFrame (n rows)
        With the columns ``keys``.
    keys : sequence of str
        Such as ``Metadata_Plate`` and ``Metadata_Well``.

    Returns
    -------
    pandas.DataFrame (n rows)
        The keys only, as text.
    """
    columns: dict[str, list[str]] = {}
    for key in keys:
        texts = write_texts(frame[key])
        forms = {text: normalize_key(key, text) for text in texts.unique()}
        columns[key] = [forms[text] for text in texts]
    return pd.DataFrame(columns, frame.index)


def check_names(frame: pd.DataFrame, source: str) -> None:
    """Refuse a table in which one plate, well or site has two names.

    Parameters
    ----------
    frame : pandas.DataFrame
        With any of ``Metadata_Plate``, ``Metadata_Well`` and ``Metadata_Site``.
    source : str
        Name of the table in error messages.

    Raises
    ------
    ValueError
        There are two names, such as A1 and A01 on one plate. The message shows both.
    """
    keys = [key for key in (PLATE, WELL, SITE) if key in frame]
    distinct_names = frame[keys].drop_duplicates(ignore_index=True)
    forms = normalize_keys(distinct_names, keys)
    for number, key in enumerate(keys, start=1):
        names = write_texts(distinct_names[key])
        group_keys = [forms[earlier] for earlier in keys[:number]]
        n_names = names.groupby(group_keys, dropna=False).transform("nunique")
        if (n_names > 1).any():
            first_row = (n_names > 1).idxmax()
            is_same = (forms[keys[:number]] == forms.loc[first_row, keys[:number]]).all(
                axis=1
            )
            first_name, second_name = names[is_same].unique()[:2]
            raise ValueError(
                f"{source}: {key} has {first_name!r} and {second_name!r}, two names of"
                f" one {key.removeprefix(METADATA).lower()}. Always write the same one."
            )


def check_unique(frame: pd.DataFrame, keys: Sequence[str], source: str) -> None:
    """Refuse a table in which two rows have the same keys.

    Parameters
    ----------
    frame : pandas.DataFrame
        With the columns ``keys``.
    keys : sequence of str
        The columns that must identify a row.
    source : str
        Name of the table in error messages.

    Raises
    ------
    ValueError
        Two rows have the same keys. The message gives an example.
    """
    forms = normalize_keys(frame, keys).reset_index(drop=True)
    repeated = forms.duplicated(keep=False)
    if repeated.any():
        first_row = int(repeated.to_numpy().argmax())
        example = frame[list(keys)].iloc[first_row]
        n_rows = int((forms == forms.loc[first_row]).all(axis=1).sum())
        key_values = ", ".join(f"{key} {value}" for key, value in example.items())
        raise ValueError(
            f"{source} must have one row for each {' and '.join(keys)}, and has"
            f" {n_rows:,} for {key_values}."
        )


def drop_unnamed(frame: pd.DataFrame, source: str) -> tuple[pd.DataFrame, list[str]]:
    """Write plates and wells as text, and leave out rows that lack one.

    Parameters
    ----------
    frame : pandas.DataFrame (n rows)
        With ``Metadata_Well``, and with or without ``Metadata_Plate``.
    source : str
        Name of the table in error messages.

    Returns
    -------
    frame : pandas.DataFrame
        The rows that have a plate and a well.
    notes : list of str
        A sentence on how many rows were left out, with an example.

    Raises
    ------
    ValueError
        No row has a plate and a well.
    """
    keys = [key for key in (PLATE, WELL) if key in frame]
    texts = frame.assign(**{key: write_keys(frame[key]) for key in keys})
    is_missing = texts[keys].isna()
    lacks_key = is_missing.any(axis=1)
    if not lacks_key.any():
        return texts, []
    lacking_keys = " or ".join(key for key in keys if is_missing[key].any())
    if lacks_key.all():
        raise ValueError(
            f"{source} has no {lacking_keys} in any row: it is empty, or nan. Fill it"
            " in."
        )
    row = int(lacks_key.to_numpy().argmax()) + 1
    note = (
        f"{lacks_key.sum():,} of {len(frame):,} rows have no {lacking_keys} (empty, or"
        f" nan), such as row {row} (counted from 1), and are left out."
    )
    return texts[~lacks_key].reset_index(drop=True), [note]


def check_plates(frame: pd.DataFrame, source: str) -> None:
    """Refuse a table in which plates of two batches have the same name and well.

    Parameters
    ----------
    frame : pandas.DataFrame
        With ``Metadata_Well`` and the columns that identify its plate.
    source : str
        Name of the table in error messages.

    Raises
    ------
    ValueError
        There are such plates. The message gives an example.
    """
    keys = [PLATE, WELL]
    wider_keys = [key for key in (SOURCE, BATCH) if key in frame]
    if PLATE not in frame or not wider_keys:
        return
    plate_wells = frame[[*wider_keys, *keys]].dropna().drop_duplicates()
    repeated = plate_wells.duplicated(keys, keep=False)
    if repeated.any():
        first = plate_wells.loc[repeated.idxmax()]
        is_same = (plate_wells[keys] == first[keys]).all(axis=1)
        locations = [
            ", ".join(map(str, row))
            for row in plate_wells.loc[is_same, wider_keys].to_numpy()
        ]
        raise ValueError(
            f"{source}: {PLATE} {first[PLATE]}, well {first[WELL]} is in"
            f" {' and in '.join(locations[:2])} ({', '.join(wider_keys)}): plates of"
            " the same name would be mixed up. Give each plate a name of its own."
        )


def name_key_columns(frame: pd.DataFrame) -> pd.DataFrame:
    """Rename columns of plates, wells and sites to ``Metadata_Plate``, ...

    Parameters
    ----------
    frame : pandas.DataFrame
        Its columns may be called ``Well``, ``well_position``, ``Metadata_well``, ...

    Returns
    -------
    pandas.DataFrame
        Columns that have this name already and all others are unchanged.

    Examples
    --------
    >>> list(name_key_columns(pd.DataFrame(columns=["plate", "well_position", "dose"])))
    ['Metadata_Plate', 'Metadata_Well', 'dose']
    """
    renamed: dict[str, str] = {}
    for name in map(str, frame):
        short_name = re.sub(r"^metadata_|[_ -]", "", name.lower())
        full_name = _OTHER_NAMES.get(short_name)
        if full_name and full_name not in frame and full_name not in renamed.values():
            renamed[name] = full_name
    return frame.rename(columns=renamed)

"""Align feature tables of StratoNet, CellProfiler and others to the same rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from stratonet.messages import shorten_list
from stratonet.naming import metadata_columns
from stratonet.tables.columns import (
    ERROR,
    FEATURE_SET,
    KEYS,
    OBJECT,
    PLATE,
    PROJECTION,
    SITE,
    VERSION,
    WELL,
)
from stratonet.tables.keys import (
    check_names,
    check_unique,
    drop_unnamed,
    normalize_keys,
    write_texts,
)
from stratonet.tables.plain import aggregate_rows
from stratonet.tables.reading import FeatureTable
from stratonet_sklearn.evaluation.columns import list_columns

# Columns that differ between tables by their nature.
_TABLE_SPECIFIC = (*KEYS, FEATURE_SET, PROJECTION, VERSION, ERROR)


def align_tables(
    tables: Sequence[FeatureTable],
) -> tuple[list[FeatureTable], pd.DataFrame]:
    """Align feature tables: keep the rows that they share, in one order.

    Parameters
    ----------
    tables : sequence of FeatureTable
        They are not changed.

    Returns
    -------
    aligned : list of FeatureTable
        New tables, each with the same rows in the same order. Tables of objects or
        sites are averaged to wells if another table has only wells. Their ``notes``
        also say what was averaged, and ``losses`` what was left out.
    rows : pandas.DataFrame
        ``Metadata_*`` of the rows, from all tables. Where several have a column, it is
        that of the first.

    Raises
    ------
    ValueError
        The tables share no row, or two objects have the same number.
    """
    aligned = list(tables)
    if len(aligned) > 1:
        aligned = _keep_shared_rows(aligned)
    rows = aligned[0].frame[metadata_columns(aligned[0].frame)]
    # A column that several tables have is that of the first.
    for number, table in enumerate(aligned[1:], start=1):
        rows, notes = _add_columns(rows, table.frame, table.name)
        aligned[number] = replace(table, notes=[*table.notes, *notes])
    return aligned, rows


def join_metadata(
    rows: pd.DataFrame, metadata: pd.DataFrame, source: str
) -> tuple[pd.DataFrame, list[str], list[str], list[str]]:
    """Add the columns of a table that has one row for each plate and well, or site.

    Columns that the rows already have are replaced, so that a wrong plate map can be
    corrected without measuring again.

    Parameters
    ----------
    rows : pandas.DataFrame (n rows)
        ``Metadata_*``.
    metadata : pandas.DataFrame
        More ``Metadata_*``, joined by those columns of `KEYS` that both have: A1 and
        A01 are one well, 149 and 00149 one plate.
    source : str
        The name of the table in errors and notes.

    Returns
    -------
    rows : pandas.DataFrame (n rows)
        With the columns of the metadata; a row without a partner stays as it is.
    changes, notes, losses : list of str
        Which columns they were joined by and what was replaced; which of the metadata
        were not used; which rows have no partner.

    Raises
    ------
    ValueError
        There is no column to join by, two rows of the metadata have the same name, or
        no row has a partner.
    """
    keys = [key for key in KEYS if key in metadata and key in rows]
    if not keys:
        raise ValueError(
            f"{source} needs a column {PLATE} or {WELL} (or plate, well, well_position)"
            f" to be joined by. Received: {shorten_list(list(metadata))}"
        )
    metadata, notes = _drop_unnamed(metadata.reset_index(drop=True), keys, source)
    check_names(metadata, source)
    check_unique(metadata, keys, source)
    partners = _index_rows(metadata, keys).get_indexer(_index_rows(rows, keys))
    names = list_columns(keys)
    is_alone = partners < 0
    if is_alone.all():
        raise ValueError(
            f"No row has a partner in {source}. By {names}, the tables begin with"
            f" {_word_row(rows.iloc[0], keys)}, and {source} with"
            f" {_word_row(metadata.iloc[0], keys)}."
        )
    losses = []
    if is_alone.any():
        location_keys = [key for key in (PLATE, WELL, SITE) if key in rows]
        first = _word_row(rows[is_alone].iloc[0], location_keys)
        losses.append(
            f"{is_alone.sum():,} of {len(rows):,} rows have no partner in {source} by"
            f" {names}, such as {first}."
        )
    unused = ~np.isin(np.arange(len(metadata)), partners)
    if unused.any():
        first = _word_row(metadata[unused].iloc[0], keys)
        notes.append(
            f"{unused.sum():,} of its {len(metadata):,} rows match no measured row,"
            f" such as {first}."
        )
    # No row has the number -1: a row without a partner gets missing values.
    partner_rows = metadata.reindex(partners).set_index(rows.index)
    joined, replaced = _replace_columns(rows, partner_rows, ~is_alone)
    summary = f"joined by {names}, {(~is_alone).sum():,} of {len(rows):,} rows."
    changes = [f"{source}: {text}" for text in [summary, *replaced]]
    return joined, changes, [f"{source}: {note}" for note in notes], losses


def _replace_columns(
    rows: pd.DataFrame, others: pd.DataFrame, has_partner: np.ndarray
) -> tuple[pd.DataFrame, list[str]]:
    """Add columns to rows, replacing those they have, and say what differed."""
    joined, notes = rows.copy(), []
    for name in metadata_columns(others):
        if name not in rows:
            joined[name] = others[name]
        elif name not in _TABLE_SPECIFIC:
            ours = write_texts(rows[name]).fillna("")
            theirs = write_texts(others[name]).fillna("")
            differ = (ours != theirs) & has_partner
            if differ.any():
                first = differ.idxmax()
                notes.append(
                    f"{name} was replaced; {differ.sum():,} rows had another value,"
                    f" such as {ours[first]!r}, now {theirs[first]!r}."
                )
                joined[name] = ours.where(~differ, theirs).replace("", None)
    return joined, notes


def _drop_unnamed(
    metadata: pd.DataFrame, keys: list[str], source: str
) -> tuple[pd.DataFrame, list[str]]:
    if WELL in keys:
        return drop_unnamed(metadata, source)
    named = metadata[keys].notna().all(axis=1)
    notes = []
    if not named.all():
        notes.append(
            f"{(~named).sum():,} of its rows have no {list_columns(keys)}, and are not"
            " used."
        )
    return metadata[named].reset_index(drop=True), notes


def _word_row(row: pd.Series, keys: list[str]) -> str:
    return " ".join(str(row[key]) for key in keys)


def _add_columns(
    rows: pd.DataFrame, others: pd.DataFrame, source: str
) -> tuple[pd.DataFrame, list[str]]:
    """Add the metadata columns that rows lack, and say where shared ones differ."""
    new, notes = [], []
    for name in metadata_columns(others):
        if name not in rows:
            new.append(name)
        elif name not in _TABLE_SPECIFIC:
            ours = write_texts(rows[name]).fillna("")
            theirs = write_texts(others[name]).fillna("")
            differ = (ours != theirs) & (theirs != "")
            if differ.any():
                first = differ.idxmax()
                notes.append(
                    f"{name} is that of the first table; {differ.sum():,} rows of"
                    f" {source} have another value, such as {theirs[first]!r} for"
                    f" {ours[first]!r}."
                )
    return pd.concat([rows, others[new]], axis=1), notes


def _keep_shared_rows(tables: list[FeatureTable]) -> list[FeatureTable]:
    """Return the tables with only the rows that all of them have."""
    # The finest level that all have: if one table has only wells, all are reduced to
    # wells.
    shared_columns = set(KEYS)
    for table in tables:
        shared_columns.intersection_update(table.frame)
    keys = [key for key in KEYS if key in shared_columns]
    if OBJECT in keys:
        for table in tables:
            check_unique(table.frame, keys, table.name)
    tables = [_average_duplicates(table, keys) for table in tables]
    indices = [_index_rows(table.frame, keys) for table in tables]
    # In the order of the first table: naming another one first reorders all.
    shared = indices[0]
    for index in indices[1:]:
        shared = shared[shared.isin(index)]
    if not len(shared):
        names = " and ".join(table.name for table in tables)
        beginnings = ", ".join(
            f"{table.name} begins with {index[0]}"
            for table, index in zip(tables, indices)
        )
        raise ValueError(f"{names} share no row. By {list_columns(keys)}, {beginnings}")
    aligned = []
    for table, index in zip(tables, indices):
        aligned.append(_select_rows(table, index, shared))
    return aligned


def _average_duplicates(table: FeatureTable, keys: list[str]) -> FeatureTable:
    """Average the rows that the keys cannot tell apart, such as the sites of a well."""
    if not table.frame.duplicated(keys).any():
        return table
    frame = aggregate_rows(table.frame, keys, table.features, "mean")
    note = (
        f"{len(table.frame):,} rows were averaged to {len(frame):,}, by"
        f" {list_columns(keys)}."
    )
    return replace(table, frame=frame, notes=[*table.notes, note])


def _index_rows(frame: pd.DataFrame, keys: list[str]) -> pd.MultiIndex:
    # A site is a number in one table and text in another, and a well A01 or A1.
    return pd.MultiIndex.from_frame(normalize_keys(frame, keys))


def _select_rows(
    table: FeatureTable, index: pd.MultiIndex, shared: pd.MultiIndex
) -> FeatureTable:
    frame = table.frame.set_index(index).loc[shared]
    frame = frame.reset_index(drop=True)
    losses = list(table.losses)
    is_alone = ~index.isin(shared)
    if is_alone.any():
        first = " ".join(index[is_alone][0])
        losses.append(
            f"{is_alone.sum():,} of {len(table.frame):,} rows are not in all tables,"
            f" such as {first}, and are left out."
        )
    return replace(table, frame=frame, losses=losses)

"""Feature tables of StratoNet, CellProfiler and others, brought to the same rows."""

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

# What differs between tables by its nature.
_OF_A_TABLE = (*KEYS, FEATURE_SET, PROJECTION, VERSION, ERROR)


def align_tables(
    tables: Sequence[FeatureTable],
) -> tuple[list[FeatureTable], pd.DataFrame]:
    """Bring feature tables to the rows that they share, in one order.

    Parameters
    ----------
    tables : sequence of FeatureTable
        They are not changed.

    Returns
    -------
    aligned : list of FeatureTable
        New tables, each with the same rows in the same order. Tables of objects or
        sites are brought to wells (by their mean) where another table knows wells only.
        Their ``notes`` also say what was averaged, and ``losses`` what was left out.
    rows : pandas.DataFrame
        ``Metadata_*`` of the rows, from all tables. Names are those of the first.

    Raises
    ------
    ValueError
        The tables share no row, or an object has the number of another.
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

    A column that the rows have already is replaced: so a wrong plate map is corrected
    without measuring anew.

    Parameters
    ----------
    rows : pandas.DataFrame (n rows)
        ``Metadata_*``.
    metadata : pandas.DataFrame
        More ``Metadata_*``, joined by those columns of `KEYS` that both have: A1 and
        A01 are one well, 149 and 00149 one plate.
    source : str
        What errors and notes call it.

    Returns
    -------
    rows : pandas.DataFrame (n rows)
        With the columns of the metadata; a row without a partner keeps what it has.
    changes, notes, losses : list of str
        By which columns they were joined and what was replaced; what of the metadata
        was not used; which rows have no partner.

    Raises
    ------
    ValueError
        There is nothing to join by, a row of the metadata is not the only one of its
        name, or no row has a partner.
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
    alone = partners < 0
    if alone.all():
        raise ValueError(
            f"No row has a partner in {source}. By {names}, the tables begin with"
            f" {_word_row(rows.iloc[0], keys)}, and {source} with"
            f" {_word_row(metadata.iloc[0], keys)}."
        )
    losses = []
    if alone.any():
        place = [key for key in (PLATE, WELL, SITE) if key in rows]
        first = _word_row(rows[alone].iloc[0], place)
        losses.append(
            f"{alone.sum():,} of {len(rows):,} rows have no partner in {source} by"
            f" {names}, such as {first}."
        )
    unused = ~np.isin(np.arange(len(metadata)), partners)
    if unused.any():
        first = _word_row(metadata[unused].iloc[0], keys)
        notes.append(
            f"{unused.sum():,} of its {len(metadata):,} rows are of no row that was"
            f" measured, such as {first}."
        )
    # No row has the number -1: a row without a partner gets missing values.
    found = metadata.reindex(partners).set_index(rows.index)
    joined, replaced = _replace_columns(rows, found, ~alone)
    told = f"joined by {names}, {(~alone).sum():,} of {len(rows):,} rows."
    changes = [f"{source}: {text}" for text in [told, *replaced]]
    return joined, changes, [f"{source}: {note}" for note in notes], losses


def _replace_columns(
    rows: pd.DataFrame, others: pd.DataFrame, partnered: np.ndarray
) -> tuple[pd.DataFrame, list[str]]:
    """Add columns to rows, in place of those they have, and say what differed."""
    joined, notes = rows.copy(), []
    for name in metadata_columns(others):
        if name not in rows:
            joined[name] = others[name]
        elif name not in _OF_A_TABLE:
            ours = write_texts(rows[name]).fillna("")
            theirs = write_texts(others[name]).fillna("")
            differ = (ours != theirs) & partnered
            if differ.any():
                first = differ.idxmax()
                notes.append(
                    f"{name} was replaced; {differ.sum():,} rows had another, such as"
                    f" {ours[first]!r}, now {theirs[first]!r}."
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
    """Add the metadata that rows do not have, and say where they have others."""
    new, notes = [], []
    for name in metadata_columns(others):
        if name not in rows:
            new.append(name)
        elif name not in _OF_A_TABLE:
            ours = write_texts(rows[name]).fillna("")
            theirs = write_texts(others[name]).fillna("")
            differ = (ours != theirs) & (theirs != "")
            if differ.any():
                first = differ.idxmax()
                notes.append(
                    f"{name} is that of the first table; {differ.sum():,} rows of"
                    f" {source} have another, such as {theirs[first]!r} for"
                    f" {ours[first]!r}."
                )
    return pd.concat([rows, others[new]], axis=1), notes


def _keep_shared_rows(tables: list[FeatureTable]) -> list[FeatureTable]:
    """Return tables of the rows that all have."""
    # The finest level that all have: where one table knows wells only, so must all.
    shared_columns = set(KEYS)
    for table in tables:
        shared_columns.intersection_update(table.frame)
    keys = [key for key in KEYS if key in shared_columns]
    if OBJECT in keys:
        for table in tables:
            check_unique(table.frame, keys, table.name)
    tables = [_average_duplicates(table, keys) for table in tables]
    indices = [_index_rows(table.frame, keys) for table in tables]
    # The order of the first table, so that naming another first reorders all.
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
        f"{len(table.frame):,} rows became {len(frame):,}, the mean by"
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
    alone = ~index.isin(shared)
    if alone.any():
        first = " ".join(index[alone][0])
        losses.append(
            f"{alone.sum():,} of {len(table.frame):,} rows are not in all tables, such"
            f" as {first}, and are left out."
        )
    return replace(table, frame=frame, losses=losses)

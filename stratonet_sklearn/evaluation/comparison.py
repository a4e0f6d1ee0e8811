"""Feature tables of StratoNet, CellProfiler and others, brought to the same rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from stratonet.messages import shorten_list
from stratonet.naming import metadata_columns
from stratonet.tables.columns import KEYS
from stratonet.tables.plain import aggregate_rows
from stratonet.tables.reading import FeatureTable
from stratonet_sklearn.evaluation.columns import list_columns


def align_tables(
    tables: Sequence[FeatureTable], metadata: pd.DataFrame | None = None
) -> tuple[list[FeatureTable], pd.DataFrame]:
    """Bring feature tables to the rows that they share, in one order.

    Parameters
    ----------
    tables : sequence of FeatureTable
        They are not changed.
    metadata : pandas.DataFrame, optional
        More ``Metadata_*``, joined by those columns of `KEYS` that it has.

    Returns
    -------
    aligned : list of FeatureTable
        New tables, each with the same rows in the same order. Tables of objects or
        sites are brought to wells (by their mean) where another table knows wells only.
        Their ``notes`` also say what was averaged and left out.
    rows : pandas.DataFrame
        ``Metadata_*`` of the rows, from all tables and ``metadata``.

    Raises
    ------
    ValueError
        The tables share no row, or ``metadata`` cannot be joined.
    """
    aligned = list(tables)
    if len(aligned) > 1:
        aligned = _keep_shared_rows(aligned)
    parts = []
    for table in aligned:
        columns = metadata_columns(table.frame)
        parts.append(table.frame[columns])
    rows = pd.concat(parts, axis=1)
    # A column that several tables have is that of the first.
    repeated = rows.columns.duplicated()
    rows = rows.loc[:, ~repeated]
    if metadata is not None:
        rows = _join_metadata(rows, metadata)
    return aligned, rows


def _keep_shared_rows(tables: list[FeatureTable]) -> list[FeatureTable]:
    """Return tables of the rows that all have."""
    # The finest level that all have: where one table knows wells only, so must all.
    shared_columns = set(KEYS)
    for table in tables:
        shared_columns.intersection_update(table.frame)
    keys = [key for key in KEYS if key in shared_columns]
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
    # As text: a site is a number in one table and text in another.
    return pd.MultiIndex.from_frame(frame[keys].astype(str))


def _select_rows(
    table: FeatureTable, index: pd.MultiIndex, shared: pd.MultiIndex
) -> FeatureTable:
    frame = table.frame.set_index(index).loc[shared]
    frame = frame.reset_index(drop=True)
    notes = list(table.notes)
    left_out = len(table.frame) - len(shared)
    if left_out:
        notes.append(
            f"{left_out:,} of {len(table.frame):,} rows are not in all tables."
        )
    return replace(table, frame=frame, notes=notes)


def _join_metadata(rows: pd.DataFrame, metadata: pd.DataFrame) -> pd.DataFrame:
    """Add the columns of a table that has one row for each plate and well, or site."""
    keys = [key for key in KEYS if key in metadata and key in rows]
    if not keys or metadata.duplicated(keys).any():
        raise ValueError(
            "The table of metadata needs one row for each of"
            f" {list_columns(KEYS[:2])}. Received: {shorten_list(list(metadata))}"
        )
    new = [name for name in metadata_columns(metadata) if name not in rows]
    # Plates and wells of feature tables are text.
    as_text = metadata.astype(dict.fromkeys(keys, str))
    return rows.join(as_text.set_index(keys)[new], on=keys)

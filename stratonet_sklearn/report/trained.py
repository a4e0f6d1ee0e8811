"""Rows of wells that a fine-tuned network has learnt from: no test of its features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from stratonet.messages import shorten_list
from stratonet.tables.columns import PLATE, WELL
from stratonet.tables.keys import normalize_key, normalize_keys
from stratonet.tables.reading import FeatureTable
from stratonet_sklearn.evaluation.columns import name_wells


def drop_trained_rows(
    tables: Sequence[FeatureTable], rows: pd.DataFrame, leave_out: bool
) -> tuple[list[FeatureTable], pd.DataFrame]:
    """Leave out the rows of wells that a network of the tables was fine-tuned on.

    Parameters
    ----------
    tables : sequence of FeatureTable
        Aligned.
    rows : pandas.DataFrame (n rows)
        Their ``Metadata_*``.
    leave_out : bool
        Whether such rows may be left out.

    Returns
    -------
    tables : list of FeatureTable
        Without these rows, which their ``notes`` count: all are compared on the same.
    rows : pandas.DataFrame
        The same.

    Raises
    ------
    ValueError
        There are such rows and they may not be left out, or there are no others.
    """
    for table in tables:
        seen = _find_trained_rows(table, rows)
        if not seen.any():
            continue
        wells = sorted(set(name_wells(rows)[seen]))
        said = (
            f"{table.name}: its network was fine-tuned on {len(wells):,} of these wells"
            f" ({shorten_list(wells, most=5)})"
        )
        if not leave_out:
            raise ValueError(
                f"{said}, whose classes it knows: to test its features there would"
                " flatter them. Leave these rows out with `leave_out_trained`, or"
                " evaluate other plates."
            )
        if seen.all():
            raise ValueError(f"{said}, and there are no others to evaluate.")
        note = f"{seen.sum():,} rows are left out: {said}."
        tables = [_keep_rows(each, ~seen) for each in tables]
        rows = rows[~seen].reset_index(drop=True)
        tables = [
            replace(each, notes=[*each.notes, note])
            if each.name == table.name
            else each
            for each in tables
        ]
    return list(tables), rows


def _find_trained_rows(table: FeatureTable, rows: pd.DataFrame) -> np.ndarray:
    known = {
        (normalize_key(PLATE, plate), normalize_key(WELL, well))
        for plate, wells in table.trained_wells.items()
        for well in wells
    }
    # One file may say A01 where another says A1.
    pairs = normalize_keys(rows, [PLATE, WELL]).itertuples(index=False, name=None)
    return np.array([pair in known for pair in pairs], bool)


def _keep_rows(table: FeatureTable, kept: np.ndarray) -> FeatureTable:
    return replace(table, frame=table.frame[kept].reset_index(drop=True))

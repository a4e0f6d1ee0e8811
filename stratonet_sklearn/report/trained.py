"""Leave out wells that a network was fine-tuned on: they cannot test its features."""

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
        Without these rows, which their ``notes`` count: all tables keep the same rows.
    rows : pandas.DataFrame
        Without these rows, too.

    Raises
    ------
    ValueError
        There are such rows and they may not be left out, or no others remain.
    """
    for table in tables:
        is_trained = _find_trained_rows(table, rows)
        if not is_trained.any():
            continue
        wells = sorted(set(name_wells(rows)[is_trained]))
        finding = (
            f"{table.name}: its network was fine-tuned on {len(wells):,} of these wells"
            f" ({shorten_list(wells, most=5)})"
        )
        if not leave_out:
            raise ValueError(
                f"{finding}, whose classes it knows: tested there, its features would"
                " look better than they are. Leave these rows out with"
                " `leave_out_trained`, or evaluate other plates."
            )
        if is_trained.all():
            raise ValueError(f"{finding}, and there are no others to evaluate.")
        note = f"{is_trained.sum():,} rows are left out: {finding}."
        tables = [_keep_rows(each, ~is_trained) for each in tables]
        rows = rows[~is_trained].reset_index(drop=True)
        tables = [
            replace(each, notes=[*each.notes, note])
            if each.name == table.name
            else each
            for each in tables
        ]
    return list(tables), rows


def _find_trained_rows(table: FeatureTable, rows: pd.DataFrame) -> np.ndarray:
    trained_wells = {
        (normalize_key(PLATE, plate), normalize_key(WELL, well))
        for plate, wells in table.trained_wells.items()
        for well in wells
    }
    # One file may have A01 where another has A1.
    pairs = normalize_keys(rows, [PLATE, WELL]).itertuples(index=False, name=None)
    return np.array([pair in trained_wells for pair in pairs], bool)


def _keep_rows(table: FeatureTable, is_kept: np.ndarray) -> FeatureTable:
    return replace(table, frame=table.frame[is_kept].reset_index(drop=True))

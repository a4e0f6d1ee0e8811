"""Measure how well each block of a network separates the controls of a plate.

This is the question of the thesis's appendix D, by which the taps of StratoNet were
chosen.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedKFold

from stratonet import StratoNet
from stratonet.files.atomic import write_atomically
from stratonet.files.images import read_plane
from stratonet.tables.wells import split_well_names
from stratonet.weights_file import read_card
from stratonet_sklearn.datasets import read_plate
from stratonet_sklearn.evaluation.separation import NEGATIVE, POSITIVE, leave_rows_out
from training.tap_report import describe_table, draw_table
from training.tap_statistics import TOGETHER, Fold, compare_features

# Fewest wells of a role. With two, leaving one out would leave no spread.
FEWEST = 3


def compare_taps(
    plate: str | os.PathLike[str],
    weights: str | os.PathLike[str],
    output: str | os.PathLike[str],
    seed: int = 0,
    recipe: str | None = None,
) -> pd.DataFrame:
    """Measure how well each tap of a network separates the controls of a plate.

    As in appendix D of the thesis. Prints the table and its interpretation, and writes
    ``taps.csv`` and ``taps.png``.

    Parameters
    ----------
    plate : str or path
        Folder as `stratonet_sklearn.datasets.read_plate` takes it, whose labels have a
        column ``role`` with ``negcon`` and ``poscon``. Other roles are left out.
    weights : str or path
        As `StratoNet.load` takes them. Every tap of the card is measured.
    output : str or path
        Folder for the results; made if missing.
    seed : int
        Seed of folds (where they are drawn), resampling and permutation.
    recipe : str, optional
        As `StratoNet.load` takes it.

    Returns
    -------
    pandas.DataFrame
        The table of `tap_statistics.compare_features`, with the taps in the order of
        the network, then ``together``: all taps with an alias, if there is more than
        one. A well's features are those of all its channels, averaged over its sites.

    Raises
    ------
    FileNotFoundError
        There is no such plate, image or weights file.
    ValueError
        There are fewer than 3 wells of a role, or all images have the same features.
    OSError
        A file cannot be written; the message names it.
    """
    output = Path(output)
    output.mkdir(parents=True, exist_ok=True)
    # All taps, not only those with an alias: the question is which should have one.
    layers = [tap.layer for tap in read_card(weights).taps]
    net = StratoNet.load(weights, layers, recipe=recipe)
    wells, features = read_controls(plate, net)
    positive = (wells.role == POSITIVE).to_numpy()
    folds, scheme = split_wells(wells, positive, seed)
    table = compare_features(features, positive, folds, seed)
    aliases = {tap.layer: tap.alias for tap in net.taps if tap.alias}
    table.insert(0, "alias", table.index.map(aliases))

    name = Path(plate).resolve().name
    controls = (
        f"{(~positive).sum()} negative and {positive.sum()} positive control wells"
    )
    print(f"{name}: {controls}, {scheme}. Features: {net.feature_set_id}\n")
    print(describe_table(table))
    title = (
        f"{name}: how well does each block of {net.feature_set_id} separate the"
        f" controls?\n{controls}, {scheme}"
    )
    _write_table(table, title, output)
    return table


def _write_table(table: pd.DataFrame, title: str, output: Path) -> None:
    with write_atomically(output / "taps.csv") as unfinished:
        # The number of resamples allows no more digits.
        table.round(4).to_csv(unfinished)
    with write_atomically(output / "taps.png") as unfinished:
        draw_table(table, title, unfinished)


def read_controls(
    plate: str | os.PathLike[str], net: StratoNet
) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Measure a plate's control wells.

    Parameters
    ----------
    plate : str or path
        As `compare_taps` takes it.
    net : StratoNet
        Network with the taps to measure.

    Returns
    -------
    wells : pandas.DataFrame, n rows
        Columns ``well``, ``role`` and, if the labels have it, ``plate``.
    features : dict of str to numpy.ndarray (n, channels x width)
        By layer, and ``together``.

    Raises
    ------
    ValueError
        There are fewer than 3 wells of a role, or all images have the same features.
    """
    images, labels = read_plate(plate)
    labels = labels.assign(role=labels.get("role"))
    controls = labels.role.isin([NEGATIVE, POSITIVE])
    keys = [key for key in ("plate", "well", "role") if key in labels]
    sites = labels[controls].groupby(keys).indices
    wells = pd.DataFrame(list(sites), columns=keys)
    counts = {role: int((wells.role == role).sum()) for role in (NEGATIVE, POSITIVE)}
    if min(counts.values()) < FEWEST:
        raise ValueError(
            f"{plate}: labels.csv needs a column role, with at least {FEWEST} wells of"
            f" {NEGATIVE} and of {POSITIVE}. Received: {counts}"
        )
    paths = images[controls].to_numpy()
    # Streamed, because all planes of a plate may not fit into memory.
    rows = list(net.stream(paths.ravel(), read=read_plane, name=str))
    planes = np.stack(rows).reshape(*paths.shape, net.width)
    # Averaged by well, because sites of a well are not independent.
    by_well = np.stack([planes[chosen].mean(axis=0) for chosen in sites.values()])
    if not np.ptp(by_well, axis=0).any():
        raise ValueError(
            f"{plate}: the images of all control wells have the same features."
        )
    return wells, _split_taps(by_well, net)


def _split_taps(by_well: np.ndarray, net: StratoNet) -> dict[str, np.ndarray]:
    """Split features (wells, channels, width) by tap, and join those of named taps."""
    features = {}
    for tap in net.taps:
        # With several views and statistics, the columns of a tap are not contiguous.
        outputs = tap.outputs.values()
        chosen = [np.full(block.width, block.output in outputs) for block in net.blocks]
        columns = by_well[:, :, np.concatenate(chosen)]
        features[tap.layer] = columns.reshape(len(by_well), -1)
    named = [features[tap.layer] for tap in net.taps if tap.alias]
    if len(named) > 1:
        features[TOGETHER] = np.hstack(named)
    return features


def split_wells(
    wells: pd.DataFrame, positive: np.ndarray, seed: int
) -> tuple[Sequence[Fold], str]:
    """Split wells into folds, by rows of the plate if possible.

    This is possible with at least three rows, each with both controls; otherwise folds
    are drawn, stratified by role.

    Parameters
    ----------
    wells : pandas.DataFrame, n rows
        Wells, with the column ``well``.
    positive : numpy.ndarray (n,), bool
        Which wells are positive controls.
    seed : int
        Seed of folds that are drawn.

    Returns
    -------
    folds : list of (train, test)
        Positions of wells.
    scheme : str
        The scheme in words.
    """
    names = wells.well.astype(str)
    rows, _ = split_well_names(names)
    roles = pd.Series(positive).groupby(rows).nunique()
    if rows.notna().all() and len(roles) >= 3 and (roles == 2).all():
        return list(leave_rows_out(names)), f"{len(roles)} rows held out in turn"
    # Each fold needs a well of each role.
    number = min(5, positive.sum(), (~positive).sum())
    stratified = StratifiedKFold(number, shuffle=True, random_state=seed)
    folds = list(stratified.split(wells, positive))
    return folds, f"{number} stratified folds"

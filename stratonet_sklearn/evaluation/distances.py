"""How far wells lie from the negative controls of their plate."""

from __future__ import annotations

import numpy as np

from stratonet_sklearn.evaluation.steps import FEWEST
from stratonet_sklearn.evaluation.wells import Wells


def measure_distances(wells: Wells, reference: np.ndarray | None = None) -> np.ndarray:
    """Measure how far each well lies from the negative controls of its plate.

    Parameters
    ----------
    wells : Wells
        With negative controls.
    reference : numpy.ndarray (n wells,), bool, optional
        The controls to measure from. Default: all.

    Returns
    -------
    numpy.ndarray (n wells,)
        Euclidean, in units of the median distance of a control from the mean of the
        others: a well without an effect is at about 1. A control is compared with the
        others only. NaN where a plate has none (of one: NaN for itself).

    Examples
    --------
    >>> from stratonet_sklearn.evaluation.wells import prepare_wells
    >>> import pandas as pd
    >>> names = ["A1", "A2", "A3"]
    >>> rows = pd.DataFrame({"Metadata_Plate": "P", "Metadata_Well": names})
    >>> values = np.array([[0.0], [1.0], [5.5]])
    >>> wells = prepare_wells(rows, values, [True, True, False])
    >>> measure_distances(wells).round(1).tolist()
    [1.0, 1.0, 5.0]
    """
    reference = wells.negative if reference is None else reference & wells.negative
    distances = np.full(len(wells.rows), np.nan)
    plates = wells.plates
    for plate in range(plates.max() + 1):
        of_plate = plates == plate
        chosen = of_plate & reference
        if chosen.any():
            distances[of_plate] = _measure_plate(wells.values, of_plate, chosen)
    return distances / _choose_units(wells, plates)


def _measure_plate(
    values: np.ndarray, of_plate: np.ndarray, reference: np.ndarray
) -> np.ndarray:
    """Distances of the wells of a plate from the mean of the reference."""
    middle = values[reference].mean(axis=0)
    lengths = np.linalg.norm(values[of_plate] - middle, axis=1)
    # From the mean of the others: the own part of the mean is taken out.
    own = reference[of_plate]
    n_reference = int(own.sum())
    factor = n_reference / (n_reference - 1) if n_reference > 1 else np.nan
    lengths[own] *= factor
    return lengths


def _choose_units(wells: Wells, plates: np.ndarray) -> np.ndarray:
    """The median distance between controls, of the own plate or else of all."""
    own = np.full(len(wells.rows), np.nan)
    for plate in range(plates.max() + 1):
        controls = (plates == plate) & wells.negative
        if controls.sum() > 1:
            own[controls] = _measure_plate(wells.values, controls, controls)
    units = np.full(len(own), np.nan)
    if np.isfinite(own).any():
        units[:] = np.nanmedian(own)
    for plate in range(plates.max() + 1):
        of_plate = plates == plate
        if np.isfinite(own[of_plate]).sum() >= FEWEST:
            units[of_plate] = np.nanmedian(own[of_plate])
    # Controls that are all the same have no distance to measure by.
    return np.where(units > 0, units, np.nan)

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
        others only. NaN where a plate has no controls, and for a control that is the
        only one.

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
    """Return the distances of the wells of a plate from the mean of the reference."""
    middle = values[reference].mean(axis=0)
    lengths = np.linalg.norm(values[of_plate] - middle, axis=1)
    # For controls, the distance from the mean of the others: their own part is removed.
    in_reference = reference[of_plate]
    n_reference = int(in_reference.sum())
    factor = n_reference / (n_reference - 1) if n_reference > 1 else np.nan
    lengths[in_reference] *= factor
    return lengths


def _choose_units(wells: Wells, plates: np.ndarray) -> np.ndarray:
    """Return the median distance between controls, of each plate or else of all."""
    control_distances = np.full(len(wells.rows), np.nan)
    for plate in range(plates.max() + 1):
        controls = (plates == plate) & wells.negative
        if controls.sum() > 1:
            control_distances[controls] = _measure_plate(
                wells.values, controls, controls
            )
    units = np.full(len(control_distances), np.nan)
    if np.isfinite(control_distances).any():
        units[:] = np.nanmedian(control_distances)
    for plate in range(plates.max() + 1):
        of_plate = plates == plate
        if np.isfinite(control_distances[of_plate]).sum() >= FEWEST:
            units[of_plate] = np.nanmedian(control_distances[of_plate])
    # Controls that are all the same give no unit of distance.
    return np.where(units > 0, units, np.nan)

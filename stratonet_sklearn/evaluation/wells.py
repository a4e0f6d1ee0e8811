"""Wells of a screen: what was done to each, and its features on one scale."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from stratonet.messages import count_things, shorten_list
from stratonet.naming import METADATA
from stratonet.tables.columns import PLATE, WELL, find_object_column
from stratonet.tables.keys import write_texts
from stratonet.tables.numbers import read_numbers
from stratonet.tables.wells import choose_plate_format, locate_wells
from stratonet_sklearn.evaluation.steps import FEWEST
from stratonet_sklearn.rows import read_rows

_COUNTED = ("nuclei", "cells")  # the most common first
_OBJECT_COUNT = "Metadata_Object_Count"  # of pycytominer
_COUNT = re.compile(
    r"(Image_)?(Metadata_)?(Image_)?Count_(?P<objects>\w+)", re.IGNORECASE
)


@dataclass(frozen=True)
class Wells:
    """Wells of a screen.

    Attributes
    ----------
    rows : pandas.DataFrame (n wells)
        ``plate``, ``well``; ``row``, ``column`` (from 0, missing for names unlike A01),
        ``edge``; ``negative``, ``positive``; ``compound``, ``dose``, ``label`` (texts,
        ``""`` where there is none); ``count`` (objects, NaN where they were not
        counted).
    values : numpy.ndarray (n wells, n features), float32
        Features that vary, less the mean of the plate's negative controls (of all of
        its wells, if any plate has too few controls), divided by the standard deviation
        of all wells within their plates.
    centres : numpy.ndarray (n plates, n features), float32
        What was subtracted from each plate, less its mean over the plates, in the same
        units. Plates are in the order of their first wells.
    features : list of str
        Names of the features that vary.
    notes : list of str
        How they were made: sentences.
    """

    rows: pd.DataFrame
    values: np.ndarray
    centres: np.ndarray
    features: list[str]
    notes: list[str]

    @property
    def negative(self) -> np.ndarray:
        """Which wells are negative controls (n wells,), bool."""
        return self.rows["negative"].to_numpy()

    @property
    def positive(self) -> np.ndarray:
        """Which wells are positive controls (n wells,), bool."""
        return self.rows["positive"].to_numpy()

    @property
    def treated(self) -> np.ndarray:
        """Which wells have a compound and are not controls (n wells,), bool."""
        has_compound = (self.rows["compound"] != "").to_numpy()
        return has_compound & ~self.negative & ~self.positive

    @property
    def plates(self) -> np.ndarray:
        """The plate of each well, as a number from 0 (n wells,), int."""
        return pd.factorize(self.rows["plate"])[0]


def prepare_wells(
    metadata: pd.DataFrame,
    features: pd.DataFrame | np.ndarray,
    negative: ArrayLike | None = None,
    positive: ArrayLike | None = None,
    compound: str | None = None,
    dose: str | None = None,
    label: str | None = None,
    counts: ArrayLike | None = None,
    empty: ArrayLike | None = None,
) -> Wells:
    """Aggregate rows to wells, and bring their features to one scale.

    Parameters
    ----------
    metadata : pandas.DataFrame (n rows)
        ``Metadata_*`` of wells, sites or objects, with ``Metadata_Plate`` and
        ``Metadata_Well``.
    features : pandas.DataFrame or array (n rows, n features)
        Numbers without NaN, in the same order.
    negative, positive : array (n rows,), bool, optional
        Which rows are of negative and of positive controls.
    compound, dose, label : str, optional
        Columns of the metadata. Rows of a well have one compound and dose; where they
        have several labels, the well has none.
    counts : array (n rows,), optional
        Number of objects of each row; those of a well's rows are added. Default: how
        many objects a well has, if rows are objects; otherwise a feature such as
        ``Image_Count_Nuclei`` or a column ``Metadata_Count_Cells``.
    empty : array (n rows,), bool, optional
        Rows of wells without a treatment, whatever their compound says.

    Returns
    -------
    Wells
        In the order of plates and wells.

    Raises
    ------
    ValueError
        Columns are missing, features have NaN or none varies, or a well has two values
        where only one is allowed.

    Examples
    --------
    >>> names = ["A01", "A02"]
    >>> metadata = pd.DataFrame({"Metadata_Plate": "P1", "Metadata_Well": names})
    >>> wells = prepare_wells(metadata, np.array([[1.0, 5.0], [3.0, 5.0]]))
    >>> wells.features, wells.values.ravel().tolist()
    (['feature0'], [-0.7071067690849304, 0.7071067690849304])
    """
    absent = [name for name in (PLATE, WELL) if name not in metadata]
    if absent:
        raise ValueError(
            f"The metadata have no {' and no '.join(absent)}. Received:"
            f" {shorten_list(list(metadata))}"
        )
    frame = _name_features(features)
    arguments = {"negative": negative, "positive": positive, "empty": empty}
    arguments["counts"] = counts
    arguments = {
        name: values for name, values in arguments.items() if values is not None
    }
    columns = read_rows(arguments, {"metadata": metadata, "features": frame})
    rows = pd.DataFrame(
        {"plate": write_texts(metadata[PLATE]), "well": write_texts(metadata[WELL])}
    ).reset_index(drop=True)
    for name in ("negative", "positive"):
        rows[name] = _read_flags(name, columns, len(rows))
    if (rows["negative"] & rows["positive"]).any():
        raise ValueError(
            "A row cannot be both `negative` and `positive`. Received: such a row"
        )
    for name, column in (("compound", compound), ("dose", dose), ("label", label)):
        rows[name] = "" if column is None else _read_texts(metadata, column)
    is_empty = _read_flags("empty", columns, len(rows))
    rows.loc[is_empty, ["compound", "dose"]] = ""
    rows["dose"] = _add_units(rows["dose"], metadata, dose)
    # Phenotypes of cells differ within a well: such a well has no label.
    of_wells = rows.groupby(["plate", "well"])["label"]
    rows["label"] = rows["label"].where(of_wells.transform("nunique") == 1, "")
    rows["count"] = _count_objects(metadata, frame, columns.get("counts"))
    values = _check_values(frame)
    wells, values, notes = _join_rows(rows, values)
    _add_positions(wells)
    scaled = _scale_values(wells, values, list(map(str, frame)))
    return replace(scaled, notes=[*notes, *scaled.notes])


def _name_features(features: pd.DataFrame | np.ndarray) -> pd.DataFrame:
    if isinstance(features, pd.DataFrame):
        return features
    array = np.asarray(features)
    if array.ndim != 2:
        raise ValueError(
            "`features` has one row per row of the metadata and one column per feature."
            f" Received: an array of shape {array.shape}"
        )
    names = [f"feature{number}" for number in range(array.shape[1])]
    return pd.DataFrame(array, columns=names)


def _read_flags(name: str, columns: dict[str, pd.Series], n_rows: int) -> np.ndarray:
    if name not in columns:
        return np.zeros(n_rows, bool)
    column = columns[name]
    is_known = column.isin([True, False]).to_numpy()
    if not is_known.all():
        raise ValueError(
            f"`{name}` must be True or False for each row. Received other values in"
            f" {int((~is_known).sum())} of {n_rows} rows, the first:"
            f" {column[~is_known].iloc[0]!r}"
        )
    return column.to_numpy(bool)


def _read_texts(metadata: pd.DataFrame, column: str) -> np.ndarray:
    if column not in metadata:
        raise ValueError(
            f"The metadata have no column {column}. Received:"
            f" {shorten_list(list(metadata))}"
        )
    return write_texts(metadata[column]).fillna("").to_numpy()


def _add_units(
    doses: pd.Series, metadata: pd.DataFrame, column: str | None
) -> pd.Series:
    """Add the units of doses, if a column of units belongs to them."""
    unit_names = [
        f"{column}_unit",
        f"{column}_units",
        f"{METADATA}unit",
        f"{METADATA}units",
    ]
    wanted = [name.lower() for name in unit_names]
    unit_columns = [name for name in metadata if str(name).lower() in wanted]
    if column is None or not unit_columns:
        return doses
    units = write_texts(metadata[unit_columns[0]]).fillna("").reset_index(drop=True)
    return (doses + " " + units).where(doses != "", "").str.strip()


def find_count_column(names: Sequence[str]) -> str | None:
    """Find the column that says how many objects an image or a well has.

    Examples
    --------
    >>> find_count_column(["Image_Count_Speckles", "Image_Count_Nuclei"])
    'Image_Count_Nuclei'
    >>> find_count_column(["Cells_AreaShape_Area"])
    """
    count_columns: dict[str, str] = {}
    for name in names:
        match = _COUNT.fullmatch(str(name))
        if match:
            count_columns.setdefault(match["objects"].lower(), name)
    if _OBJECT_COUNT in names:
        return _OBJECT_COUNT
    for objects in _COUNTED:
        if objects in count_columns:
            return count_columns[objects]
    return next(iter(count_columns.values()), None)


def find_counts(frames: Sequence[pd.DataFrame]) -> np.ndarray | None:
    """Find the number of objects of each row, in tables of the same rows.

    Parameters
    ----------
    frames : sequence of pandas.DataFrame (n rows)
        Features and metadata of each table.

    Returns
    -------
    numpy.ndarray (n rows,) or None
        From the first table that has a column such as ``Image_Count_Nuclei``.

    Examples
    --------
    >>> find_counts([pd.DataFrame({"Area": [1]}), pd.DataFrame({"Count_Cells": [7]})])
    array([7.])
    """
    for frame in frames:
        name = find_count_column(list(frame))
        if name is not None:
            return pd.to_numeric(frame[name], errors="coerce").to_numpy(float)
    return None


def compare_counts(wells: Wells) -> np.ndarray:
    """Compare the number of objects of each well with that of negative controls.

    Parameters
    ----------
    wells : Wells
        The wells of a screen.

    Returns
    -------
    numpy.ndarray (n wells,)
        Relative to the median of the plate's negative controls; NaN where objects were
        not counted, or a plate has no controls.
    """
    rows = wells.rows
    of_controls = rows["count"].where(rows["negative"])
    medians = of_controls.groupby(rows["plate"]).transform("median")
    return (rows["count"] / medians.where(medians > 0)).to_numpy(float)


def _count_objects(
    metadata: pd.DataFrame, features: pd.DataFrame, counts: pd.Series | None
) -> np.ndarray:
    """Return the number of objects of each row; NaN where they were not counted."""
    if counts is not None:
        return pd.to_numeric(counts, errors="coerce").to_numpy(float)
    if find_object_column(metadata):
        return np.ones(len(metadata))
    known_counts = find_counts([features, metadata])
    return np.full(len(metadata), np.nan) if known_counts is None else known_counts


def _check_values(frame: pd.DataFrame) -> np.ndarray:
    if not frame.shape[1] or not len(frame):
        raise ValueError(
            "Wells need at least one row, and features. Received:"
            f" {len(frame)} rows of {frame.shape[1]} features"
        )
    values = read_numbers(frame)
    bad = ~np.isfinite(values)
    if bad.any():
        raise ValueError(
            f"{bad.any(axis=1).sum()} rows and {bad.any(axis=0).sum()} features have"
            " NaN or infinite values. Leave out the rows that could not be measured, or"
            " these features."
        )
    return values


def _join_rows(
    rows: pd.DataFrame, values: np.ndarray
) -> tuple[pd.DataFrame, np.ndarray, list[str]]:
    """Take the median of each well, and the sum of its objects."""
    keys = ["plate", "well"]
    of_wells = rows.groupby(keys, sort=True)
    n_different = of_wells[["negative", "positive", "compound", "dose", "label"]]
    differs = n_different.nunique().max() > 1
    if differs.any():
        raise ValueError(
            f"The rows of a well must have the same `{differs.idxmax()}`. Received:"
            " several values"
        )
    wells = of_wells.first()
    wells["count"] = of_wells["count"].sum(min_count=1)
    number_of_row = of_wells.ngroup().to_numpy()
    wells = wells.reset_index()
    if len(wells) == len(rows):
        order = np.argsort(number_of_row)
        return wells, values[order], [f"{count_things(len(wells), 'well')}."]
    medians = pd.DataFrame(values).groupby(number_of_row, sort=True).median()
    n_wells = count_things(len(wells), "well")
    note = f"{len(rows):,} rows became {n_wells}, by taking medians."
    return wells, medians.to_numpy(np.float32), [note]


def _add_positions(wells: pd.DataFrame) -> None:
    """Add the row and column of each well, and whether it is at the edge."""
    wells["row"], wells["column"] = locate_wells(wells["well"])
    wells["edge"] = False
    if wells["row"].notna().any():
        shape = choose_plate_format(int(wells["row"].max()), int(wells["column"].max()))
        at_edge = wells["row"].isin([0, shape[0] - 1])
        at_edge |= wells["column"].isin([0, shape[1] - 1])
        wells["edge"] = at_edge.to_numpy(bool)


def _scale_values(wells: pd.DataFrame, values: np.ndarray, names: list[str]) -> Wells:
    """Centre the features of each plate, and bring all to one scale."""
    plates = pd.factorize(wells["plate"])[0]
    n_plates = plates.max() + 1
    reference, words = _choose_reference(wells, plates)
    centres = np.empty((n_plates, values.shape[1]))
    squares = np.zeros(values.shape[1])
    centred = np.empty_like(values)
    for plate in range(n_plates):
        of_plate = plates == plate
        centres[plate] = values[of_plate & reference].mean(axis=0, dtype=float)
        centred[of_plate] = values[of_plate] - centres[plate].astype(np.float32)
        squares += _sum_squares(values[of_plate])
    spread = np.sqrt(squares / max(len(wells) - n_plates, 1))
    # Rounding alone makes a constant feature vary.
    varies = spread > 1e-6 * np.abs(values).max(axis=0).clip(1e-30)
    if not varies.any():
        raise ValueError(f"No feature can be used: of {len(names)}, none varies.")
    notes = [
        f"Each feature, less the mean {words}, was divided by its standard deviation"
        " within plates."
    ]
    if not varies.all():
        n_constant = int((~varies).sum())
        n_features = count_things(len(names), "feature")
        verb = "does" if n_constant == 1 else "do"
        notes.append(f"{n_constant:,} of {n_features} {verb} not vary.")
        names = [name for name, is_used in zip(names, varies) if is_used]
        centred, centres = centred[:, varies], centres[:, varies]
    spread = spread[varies]
    centred /= spread.astype(np.float32)
    centres = (centres - centres.mean(axis=0)) / spread
    return Wells(wells, centred, centres.astype(np.float32), names, notes)


def _choose_reference(
    wells: pd.DataFrame, plates: np.ndarray
) -> tuple[np.ndarray, str]:
    """Choose the wells whose mean is subtracted, and describe them in words."""
    negative = wells["negative"].to_numpy()
    if np.bincount(plates, negative).min() >= FEWEST:
        return negative, "of the negative controls of its plate"
    words = (
        f"of all wells of its plate (not every plate has {FEWEST} negative controls)"
    )
    return np.ones(len(wells), bool), words


def _sum_squares(values: np.ndarray) -> np.ndarray:
    """Sum the squared deviations from the mean, by feature."""
    middle = values.mean(axis=0, dtype=float)
    return np.square(values - middle.astype(np.float32)).sum(axis=0, dtype=float)

"""Units of work: the image sets of one well, of which all or none are measured."""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Hashable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import pandas as pd

from stratonet.extraction.sources.tablefiles import read_image_set_table
from stratonet.files.microscopes.opening import OF_ZARR
from stratonet.files.storage import Storage
from stratonet.files.urls import drop_query, is_url, quote_name, redact_url
from stratonet.messages import shorten_list
from stratonet.naming import (
    ILLUMINATION,
    LABELS,
    METADATA,
    URL,
    metadata_columns,
    parse_image_column,
)
from stratonet.recipe import Limits
from stratonet.tables.columns import CENTER, OBJECT_NUMBER, PLATE_KEYS, WELL
from stratonet.tables.keys import check_names, normalize_keys

# Prefixes of those columns of the normal form that name files.
FILE_PREFIXES = (URL, ILLUMINATION, LABELS)


@dataclass(frozen=True, eq=False)
class Unit:
    """The image sets of one well.

    Attributes
    ----------
    plate : str
        Folder of the plate in the destination: source, batch and plate, as far as the
        table has them.
    well : str
    digest : str
        Digest of the metadata, the names of the files and the centres: units of the
        same digest have the same features.
    rows : pandas.DataFrame
        One row per image set, in normal form, see
        `stratonet.extraction.sources.imagesets`.
    centers : list of pandas.DataFrame, optional
        For each image set, ``ObjectNumber``, ``Location_Center_Y`` and
        ``Location_Center_X`` of its objects.
    limits : mapping of str to (float, float), optional
        By channel, the grey values that become black and white. None if each plane is
        scaled by itself.
    """

    plate: str
    well: str
    digest: str
    rows: pd.DataFrame
    centers: list[pd.DataFrame] | None = None
    limits: Limits | None = None

    def choose_limits(self, channel: str) -> tuple[float, float] | None:
        """Return the limits of a channel; None if each plane is scaled by itself."""
        return None if self.limits is None else self.limits[channel]

    @cached_property
    def records(self) -> list[dict[str, Any]]:
        """The rows as mappings, for reading, measuring and writing them."""
        return cast("list[dict[str, Any]]", self.rows.to_dict("records"))

    @property
    def name(self) -> str:
        """Name of the unit's file, which identifies what it was measured from."""
        return f"{quote_name(self.well)}.{self.digest}"


def split_units(frame: pd.DataFrame, centers: pd.DataFrame | None = None) -> list[Unit]:
    """Split a table of image sets into units, in the order in which wells appear.

    Parameters
    ----------
    frame : pandas.DataFrame
        In normal form.
    centers : pandas.DataFrame, optional
        One row per object, see `read_centers`.

    Returns
    -------
    list of Unit

    Raises
    ------
    ValueError
        The table of centres lacks the columns that tell the image sets apart, or none
        of its objects lies in one of them.

    Examples
    --------
    >>> frame = pd.DataFrame(
    ...     {"Metadata_Plate": "P1", "Metadata_Well": ["A02", "A01", "A02"]}
    ... )
    >>> [(unit.plate, unit.well, len(unit.rows)) for unit in split_units(frame)]
    [('P1', 'A02', 2), ('P1', 'A01', 1)]
    """
    folders = _name_plate_folders(frame)
    digests = _digest_rows(frame)
    objects = None if centers is None else _group_objects(frame, centers)
    wells = frame[WELL].astype(str)
    units = []
    for (folder, well), rows in frame.groupby([folders, wells], sort=False):
        # The digest is part of file names in existing destinations: what goes into it,
        # and in which order, must not change.
        digest = hashlib.sha256(digests[rows.index].to_numpy().tobytes())
        tables = None
        if objects is not None:
            tables = [objects[index] for index in rows.index]
            for table in tables:
                digest.update(table.to_numpy().tobytes())
        short_digest = digest.hexdigest()[:12]
        units.append(Unit(folder, well, short_digest, rows, tables))
    return units


def read_centers(path: str, storage: Storage) -> pd.DataFrame:
    """Read a table of object centres, as CellProfiler's ExportToSpreadsheet writes it.

    Parameters
    ----------
    path : str
        CSV or Parquet. One row per object: columns ``Metadata_*`` that name its image
        set, ``Location_Center_X`` and ``Location_Center_Y`` in pixels (or one pair with
        these endings, as in ``Nuclei_Location_Center_X``), and ``ObjectNumber``
        (without it, objects are numbered from 1 in each image set).
    storage : Storage
        What reads the file.

    Returns
    -------
    pandas.DataFrame
        ``Metadata_*``, ``Location_Center_Y``, ``Location_Center_X`` and, if the table
        has it, ``ObjectNumber``.

    Raises
    ------
    ValueError
        Columns are missing, or not numbers.
    """
    table = read_image_set_table(path, storage)
    metadata = metadata_columns(table)
    columns = {wanted_name: _find_columns(table, wanted_name) for wanted_name in CENTER}
    columns[OBJECT_NUMBER] = _find_columns(table, OBJECT_NUMBER)
    # With Nuclei_Location_Center_X and Cells_Location_Center_X, the choice would be
    # ambiguous.
    has_one_pair = all(len(columns[wanted_name]) == 1 for wanted_name in CENTER)
    if not metadata or not has_one_pair or len(columns[OBJECT_NUMBER]) > 1:
        raise ValueError(
            f"{redact_url(path)}: a table of centres has columns Metadata_*, one pair"
            f" {' and '.join(reversed(CENTER))}, and at most one {OBJECT_NUMBER}."
            f" Received: {shorten_list(list(table))}"
        )
    centers = table[metadata].copy()
    for wanted_name, names in columns.items():
        for name in names:
            centers[wanted_name] = pd.to_numeric(table[name])
    return centers


def leave_out_placed_objects(
    centers: pd.DataFrame, frame: pd.DataFrame
) -> pd.DataFrame:
    """Leave out the objects of a table of centres that lie in one of the image sets.

    Parameters
    ----------
    centers : pandas.DataFrame
        See `read_centers`.
    frame : pandas.DataFrame
        Image sets in normal form.

    Returns
    -------
    pandas.DataFrame
        The remaining rows of ``centers``.
    """
    keys = _list_shared_keys(frame, centers)
    image_sets = pd.MultiIndex.from_frame(normalize_keys(frame, keys))
    named_image_sets = pd.MultiIndex.from_frame(normalize_keys(centers, keys))
    return centers[~named_image_sets.isin(image_sets)]


def _list_shared_keys(frame: pd.DataFrame, centers: pd.DataFrame) -> list[str]:
    return [name for name in metadata_columns(centers) if name in frame]


def _find_columns(table: pd.DataFrame, wanted_name: str) -> list[str]:
    """Return the column of this name, or else all columns that end with it."""
    if wanted_name in table:
        return [wanted_name]
    names = [name for name in table if not name.startswith(METADATA)]
    return [name for name in names if name.endswith(wanted_name)]


def _name_plate_folders(frame: pd.DataFrame) -> pd.Series:
    """Return the folder of the plate of each row."""
    keys = [name for name in PLATE_KEYS if name in frame]
    plates = frame[keys].fillna("").astype(str)
    # Quoted, so that a plate called a/b is a single folder.
    return plates.apply(
        lambda row: "/".join(quote_name(value) for value in row if value), axis=1
    )


def _digest_rows(frame: pd.DataFrame) -> pd.Series:
    """Return a number per row.

    Only the names of files count, not their folders: moving a screen to another disk
    does not change its digests.
    """
    # As text, so that a CSV and a Parquet file of one screen give the same digest.
    content = frame.astype(object).where(frame.notna(), "").astype(str)
    for name in content:
        column = parse_image_column(name)
        if column and column[0] in FILE_PREFIXES:
            content[name] = [_get_file_name(url) for url in content[name]]
    return pd.util.hash_pandas_object(content, index=False)


def _get_file_name(url: str) -> str:
    # The query of a URL may be a signature, which changes. But a ? may also be part of
    # a file's name.
    if posixpath.basename(url) in OF_ZARR:
        # The files that describe OME-Zarr images all have the same name, so the name of
        # the plate's folder is used, too.
        plate, extension, image = url.rpartition(".zarr/")
        return posixpath.basename(plate) + extension + image
    name = posixpath.basename(url.partition("?")[0])
    if is_url(url) and posixpath.splitext(name)[1]:
        return name
    return posixpath.basename(drop_query(url))


def _group_objects(
    frame: pd.DataFrame, centers: pd.DataFrame
) -> dict[Hashable, pd.DataFrame]:
    """Return the objects of each image set, by the index of its row."""
    keys = _list_shared_keys(frame, centers)
    # The tables may write a site as 1 or "1", and a well as A01 or A1.
    image_sets = normalize_keys(frame, keys)
    if WELL not in keys or image_sets.duplicated().any():
        raise ValueError(
            "The table of centres needs the columns that tell image sets apart, such"
            " as Metadata_Plate, Metadata_Well and Metadata_Site. Both tables have:"
            f" {', '.join(keys) or 'none'}"
        )
    check_names(centers, "The table of centres")
    normalized_keys = normalize_keys(centers, keys)
    _check_numbers(normalized_keys, centers)
    groups = dict(
        tuple(centers.groupby([normalized_keys[key] for key in keys], sort=False))
    )
    n_groups = len(groups)
    tables = {}
    for index, *values in image_sets.itertuples():
        # An image set without objects gets no rows; this is not an error.
        group = groups.pop(tuple(values), centers.iloc[:0])
        tables[index] = _make_center_table(group)
    if len(groups) == n_groups:
        raise ValueError(
            "No object of the table of centres lies in an image set. It begins with"
            f" {dict(centers[keys].iloc[0])}, the image sets with"
            f" {dict(frame[keys].iloc[0])}."
        )
    return tables


def _check_numbers(image_sets: pd.DataFrame, centers: pd.DataFrame) -> None:
    """Refuse objects without a number, and numbers used twice in an image set."""
    if OBJECT_NUMBER not in centers:
        return
    numbers = centers[OBJECT_NUMBER]
    numbered_objects = image_sets.assign(**{OBJECT_NUMBER: numbers})
    is_wrong = numbers.isna() | numbered_objects.duplicated()
    if is_wrong.any():
        first = is_wrong.idxmax()
        image_set_name = " ".join(image_sets.loc[first])
        received = "none" if pd.isna(numbers[first]) else f"{numbers[first]:g} twice"
        raise ValueError(
            f"The table of centres needs an {OBJECT_NUMBER} for each object of an image"
            f" set. Received: {received} in {image_set_name}, row {first + 1} (counted"
            " from 1)."
        )


def _make_center_table(group: pd.DataFrame) -> pd.DataFrame:
    """Return the numbers and centres of the objects of one image set."""
    numbers = range(1, len(group) + 1)
    columns = {OBJECT_NUMBER: group.get(OBJECT_NUMBER, numbers)}
    for name in CENTER:
        columns[name] = group[name]
    return pd.DataFrame(columns).reset_index(drop=True)

"""Units of work.

The image sets of one well of one plate, measured together or not at all.
"""

import hashlib
import posixpath
from dataclasses import dataclass

import pandas as pd

from stratonet.extraction.sources.loaddata import read_image_set_table
from stratonet.files.urls import quote_name, redact_url
from stratonet.messages import shorten_list
from stratonet.tables.columns import CENTER, OBJECT_NUMBER, PLATE_KEYS, WELL

OF_FILES = ("URL_", "Illumination_", "Labels_")


@dataclass(frozen=True, eq=False)
class Unit:
    """The image sets of one well.

    Attributes
    ----------
    plate : str
        Folder of the plate in the destination: source, batch and plate, as far as the
        table names them.
    well : str
    digest : str
        Of the metadata, the names of the files and the centres: the same digest, the
        same features.
    rows : pandas.DataFrame
        One row an image set, in normal form, see
        `stratonet.extraction.sources.read_source`.
    centres : list of pandas.DataFrame, optional
        For each image set, ``ObjectNumber``, ``Location_Center_Y`` and
        ``Location_Center_X`` of its objects.
    """

    plate: str
    well: str
    digest: str
    rows: pd.DataFrame
    centres: list = None

    @property
    def name(self):
        """Name of the unit's file, which tells whether it was measured from the same."""
        return f"{quote_name(self.well)}.{self.digest}"


def split_units(frame, centres=None):
    """The units of a table of image sets, in the order in which their wells first appear.

    Parameters
    ----------
    frame : pandas.DataFrame
        In normal form.
    centres : pandas.DataFrame, optional
        One row an object, see `read_centres`.

    Returns
    -------
    list of Unit

    Raises
    ------
    ValueError
        The table of centres shares no column with the image sets that tells them apart,
        or has objects of none of them.
    """
    plates = (
        frame[[name for name in PLATE_KEYS if name in frame]].fillna("").astype(str)
    )
    folders = plates.apply(
        lambda row: "/".join(quote_name(value) for value in row if value), axis=1
    )
    digests = _digest_rows(frame)
    objects = None if centres is None else _group_objects(frame, centres)
    units = []
    for (folder, well), rows in frame.groupby(
        [folders, frame[WELL].astype(str)], sort=False
    ):
        digest = hashlib.sha256(digests[rows.index].to_numpy().tobytes())
        of_rows = None if objects is None else [objects[index] for index in rows.index]
        for table in of_rows or ():
            digest.update(table.to_numpy().tobytes())
        units.append(Unit(folder, well, digest.hexdigest()[:12], rows, of_rows))
    return units


def read_centres(source, storage):
    """Read a table of object centres, as CellProfiler's ExportToSpreadsheet writes it.

    Parameters
    ----------
    source : str
        CSV or Parquet. One row an object: columns ``Metadata_*`` that name its image
        set, ``Location_Center_X`` and ``Location_Center_Y`` in pixels (or one pair that
        ends so, as in ``Nuclei_Location_Center_X``), and ``ObjectNumber`` (else objects
        are numbered from 1 in each image set).
    storage : Storage

    Raises
    ------
    ValueError
        Columns are missing.
    """
    table = read_image_set_table(source, storage)
    found = {"Metadata": [name for name in table if name.startswith("Metadata_")]}
    for wanted in (*CENTER, OBJECT_NUMBER):
        found[wanted] = [
            name
            for name in table
            if name.endswith(wanted) and not name.startswith("Metadata_")
        ]
        exact = [name for name in found[wanted] if name == wanted]
        found[wanted] = exact or found[wanted]
    if (
        not found["Metadata"]
        or any(len(found[wanted]) != 1 for wanted in CENTER)
        or len(found[OBJECT_NUMBER]) > 1
    ):
        raise ValueError(
            f"{redact_url(source)}: a table of centres has columns Metadata_*, one pair"
            f" {' and '.join(reversed(CENTER))}, and at most one {OBJECT_NUMBER}."
            f" Received: {shorten_list(list(table))}"
        )
    result = table[found["Metadata"]].copy()
    for wanted in (*CENTER, OBJECT_NUMBER):
        for name in found[wanted]:
            result[wanted] = pd.to_numeric(table[name])
    return result


def _digest_rows(frame):
    """A number a row.

    Files count by name: a screen that was moved to another disk is still the same.
    """
    of_files = [name for name in frame if name.startswith(OF_FILES)]
    content = frame.astype(object).where(frame.notna(), "").astype(str)
    for name in of_files:
        content[name] = [
            posixpath.basename(url.partition("?")[0]) for url in content[name]
        ]
    return pd.util.hash_pandas_object(content, index=False)


def _group_objects(frame, centres):
    """The objects of each image set, by its index in ``frame``."""
    keys = [name for name in centres if name in frame and name.startswith("Metadata_")]
    images = frame[keys].astype(str)
    if WELL not in keys or images.duplicated().any():
        raise ValueError(
            "The table of centres needs the columns that tell image sets apart, such"
            " as Metadata_Plate, Metadata_Well and Metadata_Site. Both tables have:"
            f" {', '.join(keys) or 'none'}"
        )
    groups = dict(
        tuple(centres.groupby([centres[key].astype(str) for key in keys], sort=False))
    )
    tables = {}
    for index, *values in images.itertuples():
        table = groups.pop(tuple(values), centres.iloc[:0])
        numbers = (
            table[OBJECT_NUMBER] if OBJECT_NUMBER in table else range(1, len(table) + 1)
        )
        tables[index] = pd.DataFrame(
            {OBJECT_NUMBER: numbers, **{name: table[name] for name in CENTER}}
        ).reset_index(drop=True)
    if len(groups) == centres.groupby(keys).ngroups:
        raise ValueError(
            "No object of the table of centres lies in an image set. It begins with"
            f" {dict(centres[keys].iloc[0])}, the image sets with"
            f" {dict(frame[keys].iloc[0])}."
        )
    return tables

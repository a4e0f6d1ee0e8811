"""The table of a labelled plate, ``labels.csv``, as used by ``make demo``."""

from __future__ import annotations

import posixpath

import pandas as pd

from stratonet.extraction.sources.tablefiles import write_names
from stratonet.naming import METADATA
from stratonet.tables.columns import BATCH, PLATE, SITE, SOURCE, WELL

# Prefix of the columns that name files.
FILE = "file_"
# Columns that identify an image set; the others keep their names, after Metadata_.
NAMES = {"source": SOURCE, "batch": BATCH, "plate": PLATE, "well": WELL, "site": SITE}


def is_labels(table: pd.DataFrame) -> bool:
    """Return whether a table is one of a labelled plate, judging by its columns.

    Parameters
    ----------
    table : pandas.DataFrame
        As `stratonet.extraction.sources.tablefiles.read_image_set_table` reads it.

    Examples
    --------
    >>> is_labels(pd.DataFrame(columns=["well", "role", "file_DNA"]))
    True
    >>> is_labels(pd.DataFrame(columns=["Metadata_Well", "FileName_DNA"]))
    False
    """
    is_loaddata = any(name.startswith(METADATA) for name in table)
    has_files = any(name.startswith(FILE) for name in table)
    return "well" in table and has_files and not is_loaddata


def convert_labels(table: pd.DataFrame, folder: str) -> pd.DataFrame:
    """Give the columns of a labelled plate the names used by LoadData.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns ``well``, ``file_<channel>`` and any others, such as ``plate``,
        ``site``, ``role`` and ``treatment``.
    folder : str
        Path or URL of the table's folder. Its name becomes the plate's if the table has
        no column ``plate``.

    Returns
    -------
    pandas.DataFrame
        ``Metadata_*`` in front, then ``FileName_<channel>``.

    Examples
    --------
    >>> table = pd.DataFrame({"well": ["A01"], "role": ["negcon"], "file_DNA": "1.tif"})
    >>> converted = convert_labels(table, "/data/P1")
    >>> converted[["Metadata_Plate", "Metadata_Well"]].to_numpy().tolist()
    [['P1', 'A01']]
    >>> list(converted)[2:]
    ['Metadata_role', 'FileName_DNA']
    """
    metadata, files = {}, {}
    for name in table:
        if name.startswith(FILE):
            files[f"FileName_{name.removeprefix(FILE)}"] = table[name]
        else:
            metadata[NAMES.get(name, f"{METADATA}{name}")] = table[name]
    if PLATE not in metadata:
        plate = posixpath.basename(folder.replace("\\", "/").rstrip("/"))
        metadata = {PLATE: plate, **metadata}
    return write_names(pd.DataFrame({**metadata, **files}, index=table.index))

"""The image table of BBBC021, which has column names of its own."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

import pandas as pd

from stratonet.extraction.sources.tablefiles import FILE_COLUMN, read_image_set_table
from stratonet.files.storage import Storage
from stratonet.tables.columns import BATCH, PLATE, SITE, WELL

# Its columns, and their names in normal form.
COLUMNS = {
    "Metadata_Plate_DAPI": PLATE,
    "Metadata_Well_DAPI": WELL,
    "Replicate": "Metadata_Replicate",
    "Metadata_Compound": "Metadata_Compound",
    "Metadata_Concentration": "Metadata_Concentration",
}
# The table of mechanisms of action, which may lie beside the image table.
MECHANISMS = "BBBC021_v1_moa.csv"


def is_bbbc021(table: pd.DataFrame) -> bool:
    """Return whether a table is BBBC021's, judging by its columns.

    Parameters
    ----------
    table : pandas.DataFrame
        As `read_image_set_table` reads it.
    """
    return {*COLUMNS, "PathName_DAPI", "FileName_DAPI"}.issubset(table)


def convert_bbbc021(table: pd.DataFrame, folder: str, storage: Storage) -> pd.DataFrame:
    """Give BBBC021's image table the column names of LoadData, and metadata from paths.

    Parameters
    ----------
    table : pandas.DataFrame
        As `read_image_set_table` reads it.
    folder : str
        Path or URL of the table's folder.
    storage : Storage
        What reads the table of mechanisms of action beside it.

    Returns
    -------
    pandas.DataFrame
        ``Metadata_*`` in front, with batch (the week) and site from the paths of files,
        and ``Metadata_MoA`` if there is a table of mechanisms.
    """
    metadata = table[list(COLUMNS)].rename(columns=COLUMNS)
    weeks = table["PathName_DAPI"].str.extract(r"(Week\d+)", expand=False)
    sites = table["FileName_DAPI"].str.extract(r"_s(\d+)_", expand=False)
    metadata.insert(2, BATCH, _replace_gaps(weeks))
    metadata.insert(3, SITE, _replace_gaps(sites))
    path = posixpath.join(folder, MECHANISMS)
    if storage.exists(path):
        mechanisms = read_image_set_table(path, storage)
        metadata["Metadata_MoA"] = _look_up_mechanisms(table, mechanisms)
    file_columns = [name for name in table if FILE_COLUMN.fullmatch(name)]
    return metadata.join(table[file_columns])


def _replace_gaps(texts: pd.Series) -> pd.Series:
    """Replace NaN by None, as in every table of image sets."""
    return texts.astype(object).where(texts.notna(), None)


def _look_up_mechanisms(table: pd.DataFrame, mechanisms: pd.DataFrame) -> pd.Series:
    """Return the mechanism of action of each row; None where it is unknown."""
    known_treatments = _pair_treatments(
        mechanisms["compound"], mechanisms["concentration"]
    )
    by_treatment = dict(zip(known_treatments, mechanisms["moa"]))
    treatments = _pair_treatments(
        table["Metadata_Compound"], table["Metadata_Concentration"]
    )
    found_mechanisms = [by_treatment.get(treatment) for treatment in treatments]
    return pd.Series(found_mechanisms, table.index, dtype=object)


def _pair_treatments(
    compounds: pd.Series, concentrations: pd.Series
) -> Iterator[tuple[str, float]]:
    # As numbers, since one of the two tables writes 0.3 as 0.300000.
    return zip(compounds, pd.to_numeric(concentrations, errors="coerce"))

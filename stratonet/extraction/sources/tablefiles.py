"""Reading tables of image sets from files: CSV, gzipped CSV and Parquet."""

from __future__ import annotations

import io
import posixpath
import re

import pandas as pd

from stratonet.files.spelling import read_file
from stratonet.files.storage import Storage
from stratonet.files.urls import drop_query, redact_url
from stratonet.tables.columns import BATCH, PLATE, SITE, SOURCE, WELL
from stratonet.tables.csvfiles import EXTENSIONS, decode_csv, is_csv_name
from stratonet.tables.keys import write_keys, write_texts

# Columns that identify an image set are text in every table, so that plate 0012 keeps
# its zeros.
TEXT_COLUMNS = (SOURCE, BATCH, PLATE, WELL, SITE)
# Columns about the file of a channel or of a label image, as LoadData names them.
FILE_COLUMN = re.compile(
    r"(?P<labels>Objects_?)?(?P<kind>FileName|PathName|URL|Frame|Series)_(?P<name>.+)"
)


def read_image_set_table(path: str, storage: Storage) -> pd.DataFrame:
    """Read a table; only ``Image_`` at the start of column names is removed.

    Parameters
    ----------
    path : str
        Path or URL of a CSV (also gzipped, see `stratonet.tables.csvfiles`) or Parquet
        file.
    storage : Storage
        What reads the file.

    Returns
    -------
    pandas.DataFrame
        All columns of a CSV file are text exactly as written. A Parquet table keeps its
        types, but the columns that identify an image set (source, batch, plate, well,
        site) become text. None where a field is empty, or where CellProfiler wrote
        ``nan`` for a plate or well.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        The file has another format, is damaged, or has two columns of the same name.
    """
    file_name = drop_query(path)
    if not (is_csv_name(file_name) or file_name.lower().endswith(".parquet")):
        raise ValueError(
            f"{redact_url(path)}: tables are {', '.join(EXTENSIONS)}, .csv.gz and"
            f" .parquet files. Received: {posixpath.basename(file_name)!r}"
        )
    table = _decode_table(path, file_name, read_file(path, storage))
    # ExportToSpreadsheet writes Image_Metadata_Well where LoadData reads Metadata_Well.
    table.columns = pd.Index([str(name).removeprefix("Image_") for name in table])
    repeated = table.columns[table.columns.duplicated()]
    if len(repeated):
        raise ValueError(
            f"{redact_url(path)} has two columns {repeated[0]} (Image_{repeated[0]} is"
            " one). Remove one of them."
        )
    return write_names(table)


def write_names(table: pd.DataFrame) -> pd.DataFrame:
    """Turn the columns that identify an image set into text, in place.

    Parameters
    ----------
    table : pandas.DataFrame
        With any of ``Metadata_Source``, ``Batch``, ``Plate``, ``Well`` and ``Site``.

    Returns
    -------
    pandas.DataFrame
        The table itself.
    """
    for name in TEXT_COLUMNS:
        if name in table:
            write = write_keys if name in (PLATE, WELL) else write_texts
            table[name] = write(table[name])
    return table


def _decode_table(path: str, file_name: str, content: bytes) -> pd.DataFrame:
    if is_csv_name(file_name):
        return decode_csv(content, redact_url(path))
    try:
        return _decode_parquet(content)
    except MemoryError:
        raise
    except Exception as error:  # pandas and pyarrow raise what they meet
        raise ValueError(
            f"{redact_url(path)} cannot be read as a table ({type(error).__name__}:"
            f" {error}). Received: {len(content)} bytes. Is the file damaged, or only"
            " partly copied?"
        ) from error


def _decode_parquet(content: bytes) -> pd.DataFrame:
    from pyarrow import parquet

    table = parquet.read_table(io.BytesIO(content))
    # With its metadata, pandas would turn a column that is needed into an index.
    frame = table.to_pandas(ignore_metadata=True)
    # An index of evenly spaced numbers is only stored in the metadata.
    for index in (table.schema.pandas_metadata or {}).get("index_columns", ()):
        if isinstance(index, dict) and index["name"] is not None:
            values = range(index["start"], index["stop"], index["step"])
            frame.insert(0, index["name"], values)
    return frame

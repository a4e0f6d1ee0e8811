"""Files of tables, as they are: CSV, gzipped CSV and Parquet."""

from __future__ import annotations

import io
import posixpath
import re

import pandas as pd

from stratonet.files.spelling import read_file
from stratonet.files.storage import Storage
from stratonet.files.urls import drop_query, redact_url
from stratonet.tables.columns import BATCH, PLATE, SITE, SOURCE, WELL

TABLE_EXTENSIONS = (".csv", ".csv.gz", ".parquet")
# What names an image set is text in every table: plate 0012 keeps its zeros.
TEXT_COLUMNS = (SOURCE, BATCH, PLATE, WELL, SITE)
# Columns about the file of a channel or of a label image, as LoadData names them.
FILE_COLUMN = re.compile(
    r"(?P<labels>Objects_?)?(?P<kind>FileName|PathName|URL|Frame|Series)_(?P<name>.+)"
)


def read_image_set_table(path: str, storage: Storage) -> pd.DataFrame:
    """Read a table as it is, but for ``Image_`` at the start of column names.

    Parameters
    ----------
    path : str
        Path or URL of a CSV (also gzipped) or Parquet file.
    storage : Storage
        What reads the file.

    Returns
    -------
    pandas.DataFrame
        Of a CSV all columns are text exactly as written. A Parquet table keeps its
        types, but what names an image set (source, batch, plate, well, site) becomes
        text. None where a field is empty.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        Another kind of file, damaged, or with two columns of one name.
    """
    file_name = drop_query(path).lower()
    if not file_name.endswith(TABLE_EXTENSIONS):
        raise ValueError(
            f"{redact_url(path)}: tables are {', '.join(TABLE_EXTENSIONS)} files."
            f" Received: {posixpath.basename(file_name)!r}"
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
    for name in TEXT_COLUMNS:
        if name in table:
            table[name] = _convert_to_text(table[name])
    return table


def _decode_table(path: str, file_name: str, content: bytes) -> pd.DataFrame:
    try:
        if file_name.endswith(".parquet"):
            return _decode_parquet(content)
        return _decode_csv(content, file_name.endswith(".gz"))
    except MemoryError:
        raise
    except Exception as error:  # pandas, pyarrow and zlib raise what they meet
        raise ValueError(
            f"{redact_url(path)} cannot be read as a table ({type(error).__name__}:"
            f" {error}). Received: {len(content)} bytes. Is the file damaged, or only"
            " partly copied?"
        ) from error


def _decode_csv(content: bytes, gzipped: bool) -> pd.DataFrame:
    table = pd.read_csv(
        io.BytesIO(content),
        dtype=object,
        # A compound called NA is a name, not a gap.
        keep_default_na=False,
        compression="gzip" if gzipped else None,
    )
    # pandas takes surplus fields at the start of rows for an index, in silence.
    if not isinstance(table.index, pd.RangeIndex):
        raise ValueError("its rows have more fields than its header")
    return table.where(table != "", None)


def _decode_parquet(content: bytes) -> pd.DataFrame:
    from pyarrow import parquet

    table = parquet.read_table(io.BytesIO(content))
    # pandas' metadata would make an index of a column that is needed as one.
    frame = table.to_pandas(ignore_metadata=True)
    # Evenly spaced numbers that were an index stand in the metadata alone.
    for index in (table.schema.pandas_metadata or {}).get("index_columns", ()):
        if isinstance(index, dict) and index["name"] is not None:
            values = range(index["start"], index["stop"], index["step"])
            frame.insert(0, index["name"], values)
    return frame


def _convert_to_text(values: pd.Series) -> pd.Series:
    # Whole numbers with gaps come as 1.0 and NaN: convert_dtypes makes them 1 again.
    values = values.convert_dtypes().astype(object)
    texts = values.map(str, na_action="ignore").astype(object)
    return texts.where(values.notna(), None)

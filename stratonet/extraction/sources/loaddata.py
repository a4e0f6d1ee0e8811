"""Tables of image sets.

CellProfiler's LoadData and ExportToSpreadsheet, and the image table of BBBC021.
"""

import io
import os
import posixpath
import re
from functools import cache

import pandas as pd

from stratonet.extraction.sources.imagesets import ImageSets, ImageSource, NotMine
from stratonet.files.urls import is_url, redact_url, to_local_path
from stratonet.messages import shorten_list
from stratonet.tables.columns import PLATE, WELL

TABLES = (".csv", ".csv.gz", ".parquet")
AS_TEXT = ("Metadata_Source", "Metadata_Batch", PLATE, WELL, "Metadata_Site")
OF_FILE = re.compile(r"(Objects_?)?(FileName|PathName|URL|Frame|Series)_(.+)")
ILLUMINATION = "Illum"
BBBC021 = {
    "Metadata_Plate_DAPI": PLATE,
    "Metadata_Well_DAPI": WELL,
    "Replicate": "Metadata_Replicate",
    "Metadata_Compound": "Metadata_Compound",
    "Metadata_Concentration": "Metadata_Concentration",
}
BBBC021_MOA = "BBBC021_v1_moa.csv"


def read_image_set_table(source, storage):
    """Read a table as it is, but for ``Image_`` at the start of column names.

    Parameters
    ----------
    source : str
        Path or URL of a CSV (also gzipped) or Parquet file.
    storage : Storage

    Returns
    -------
    pandas.DataFrame
        Of a CSV all columns are text exactly as written. A Parquet table keeps its
        types, but what names an image set (source, batch, plate, well, site) becomes
        text. None where there is nothing.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        Another kind of file, damaged, or with two columns of one name.
    """
    kind = (source.partition("?")[0] if is_url(source) else source).lower()
    if not kind.endswith(TABLES):
        raise ValueError(
            f"{redact_url(source)}: tables are {', '.join(TABLES)} files. Received:"
            f" {posixpath.basename(kind)!r}"
        )
    content = storage.read(source)
    try:
        table = (
            _decode_parquet(content)
            if kind.endswith(".parquet")
            else _decode_csv(content, kind)
        )
    except MemoryError:
        raise
    except Exception as error:  # pandas, pyarrow and zlib raise what they meet
        raise ValueError(
            f"{redact_url(source)} cannot be read as a table ({type(error).__name__}:"
            f" {error}). Received: {len(content)} bytes. Is the file damaged, or was it"
            " copied half?"
        ) from error
    table.columns = [str(name).removeprefix("Image_") for name in table]
    twice = table.columns[table.columns.duplicated()]
    if len(twice):
        raise ValueError(
            f"{redact_url(source)} has two columns {twice[0]} (Image_{twice[0]} is"
            " one). Remove one of them."
        )
    for name in AS_TEXT:
        if name in table:  # numbers with gaps come as 1.0 and NaN
            values = table[name].convert_dtypes().astype(object)
            table[name] = (
                values.map(str, na_action="ignore")
                .astype(object)
                .where(values.notna(), None)
            )
    return table


def _decode_csv(content, kind):
    compression = "gzip" if kind.endswith(".gz") else None
    table = pd.read_csv(
        io.BytesIO(content),
        dtype=object,
        keep_default_na=False,
        compression=compression,
    )
    if not isinstance(table.index, pd.RangeIndex):
        raise ValueError("its rows have more fields than its header")
    return table.where(table != "", None)


def _decode_parquet(content):
    from pyarrow import parquet

    return parquet.read_table(io.BytesIO(content)).to_pandas(ignore_metadata=True)


class TableSource:
    """Tables of image sets."""

    def read(self, source: ImageSource) -> ImageSets:
        """Read the image sets of a table, see `Source.read`."""
        if not source.storage.exists(source.path):
            raise NotMine
        frame = read_loaddata(source.path, source.storage, source.base, source.replace)
        return ImageSets(frame)


def read_loaddata(source, storage, base=None, replace=()):
    """Read a table of image sets as CellProfiler's LoadData takes them.

    A channel X has a column ``FileName_X``, with ``PathName_X`` or without, or
    ``URL_X``, which counts where it is filled in. ``Frame_X`` and ``Series_X`` name a
    plane of its file. A column ``IllumX`` of that kind names the illumination functions
    of the channel ``OrigX`` or ``X``, if there is one. Label images are called as
    channels, with ``Objects`` or ``Objects_`` before. All may begin with ``Image_``;
    other columns than ``Metadata_*`` are dropped.

    Parameters
    ----------
    source : str
        Absolute path, or URL.
    storage : Storage
    base, replace
        See `stratonet.extraction.sources.imagesets.ImageSource`.

    Returns
    -------
    pandas.DataFrame
        In normal form.

    Raises
    ------
    ValueError
        As `read_table`; no plate, well, channel or row; two rows that name the same
        files; frames that are no numbers.
    """
    table = read_image_set_table(source, storage)
    received = list(table)
    folder = (
        posixpath.dirname(source.partition("?")[0])
        if is_url(source)
        else os.path.dirname(source)
    )
    if {*BBBC021, "PathName_DAPI", "FileName_DAPI"}.issubset(table):
        table = _convert_bbbc021(table, folder, storage)
    of_images, of_illumination, of_labels = _find_file_columns(table)
    lacking = [name for name in (PLATE, WELL) if name not in table]
    lacking += [] if of_images else ["FileName_<channel> or URL_<channel>"]
    if lacking:
        raise ValueError(
            f"{redact_url(source)} lacks {', '.join(lacking)}. Received the columns"
            f" {shorten_list(received)}. Add them, or name them so."
        )
    if table.empty:
        raise ValueError(
            f"{redact_url(source)} has no rows. Received the columns"
            f" {shorten_list(received)}. Is it the right table?"
        )
    empty = table[[PLATE, WELL]].isna().any(axis=1)
    if empty.any():
        raise ValueError(
            f"{redact_url(source)}: row {_name_row(empty.idxmax())} has no {PLATE} or"
            f" {WELL}. Fill them in."
        )

    urls = _UrlBuilder(to_local_path(base) if base else folder, replace)
    columns = {name: table[name] for name in table if name.startswith("Metadata_")}
    for channel, kinds in of_images.items():
        columns[f"URL_{channel}"] = urls.of(table, kinds)
        for kind in ("Frame", "Series"):
            if kind in kinds:
                columns[f"{kind}_{channel}"] = _parse_frame_numbers(
                    table[kinds[kind]], source
                )
        if channel in of_illumination:
            columns[f"Illumination_{channel}"] = urls.of(
                table, of_illumination[channel]
            )
    for name, kinds in of_labels.items():
        columns[f"Labels_{name}"] = urls.of(table, kinds)
    frame = pd.DataFrame(columns)
    _check_duplicates(frame, source)
    return frame


def _name_row(index):
    return f"{index + 1} (counted from 1, without the header)"


def _find_file_columns(table):
    """For channels, illumination functions and label images.

    ``{name: {kind: column}}``.
    """
    images, labels, illumination = {}, {}, {}
    for column in table:
        match = OF_FILE.fullmatch(column)
        if match:
            objects, kind, name = match.groups()
            (labels if objects else images).setdefault(name, {})[kind] = column
    images, labels = (
        {
            name: kinds
            for name, kinds in found.items()
            if "FileName" in kinds or "URL" in kinds
        }
        for found in (images, labels)
    )
    for name in [name for name in images if name.startswith(ILLUMINATION)]:
        short = name.removeprefix(ILLUMINATION)
        channel = next(
            (channel for channel in (f"Orig{short}", short) if channel in images), None
        )
        if channel:
            illumination[channel] = images.pop(name)
    return images, illumination, labels


class _UrlBuilder:
    """Makes absolute paths and URLs of what a table names."""

    def __init__(self, base, replace):
        self.base = base if is_url(base) else os.path.abspath(base)
        self.replace = [
            (_normalize_slashes(to_local_path(old)).rstrip("/"), new.rstrip("/"))
            for old, new in replace
        ]
        self.folder = cache(self._folder)

    def of(self, table, kinds):
        """The column of URLs of a channel, from the columns ``{kind.

        Column}`` of it.
        """
        texts = (
            (
                [text if isinstance(text, str) else "" for text in table[kinds[kind]]]
                if kind in kinds
                else [""] * len(table)
            )
            for kind in ("URL", "PathName", "FileName")
        )
        return pd.Series(list(map(self._url, *texts)), table.index, dtype=object)

    def _url(self, url, folder, file):
        if not (url or file):
            return None
        if not url and "/" not in file:
            return self.folder(folder) + file
        head, slash, name = (
            to_local_path(url) or posixpath.join(folder, file)
        ).rpartition("/")
        return self.folder(head + slash) + name

    def _folder(self, text):
        text = posixpath.join(_normalize_slashes(to_local_path(text)), "")
        for old, new in self.replace:
            if text.startswith(f"{old}/"):
                text = new + text[len(old) :]
                break
        if is_url(text):
            return text
        if is_url(self.base) and not os.path.isabs(text):
            scheme, _, rest = self.base.partition("://")
            return f"{scheme}://{posixpath.normpath(posixpath.join(rest, text))}/"
        return os.path.join(os.path.abspath(os.path.join(self.base, text)), "")


def _normalize_slashes(path):
    """A path of Windows, as in a table from there, with the slashes that every system takes."""
    return re.sub(r"\\/?", "/", path) if re.match(r"[A-Za-z]:\\|\\\\", path) else path


def _parse_frame_numbers(values, source):
    numbers = pd.to_numeric(values, errors="coerce")
    wrong = values.notna() & ~((numbers >= 0) & (numbers % 1 == 0))
    if wrong.any():
        index = wrong.idxmax()
        raise ValueError(
            f"{redact_url(source)}: {values.name} counts from 0. Received:"
            f" {values[index]!r} in row {_name_row(index)}. Correct it."
        )
    return numbers.fillna(0).astype(int)


def _check_duplicates(frame, source):
    planes = frame[
        [name for name in frame if name.startswith(("URL_", "Frame_", "Series_"))]
    ]
    named = planes.filter(regex="^URL_").notna().any(axis=1)
    twice = planes[named & planes.duplicated(keep=False)]
    if len(twice):
        rows = list(twice.itertuples(index=False, name=None))
        first, second = (
            twice.index[place] + 1 for place in (0, rows.index(rows[0], 1))
        )
        raise ValueError(
            f"{redact_url(source)} has one image set twice: rows {first} and {second}"
            " (counted from 1, without the header) name the same files for all"
            " channels. Remove one of them."
        )


def _convert_bbbc021(table, folder, storage):
    """The image table of BBBC021 with LoadData's names, and its mechanisms of action from the table beside it."""
    metadata = table[list(BBBC021)].rename(columns=BBBC021)
    batches = table["PathName_DAPI"].str.extract(r"(Week\d+)", expand=False)
    sites = table["FileName_DAPI"].str.extract(r"_s(\d+)_", expand=False)
    metadata.insert(
        2, "Metadata_Batch", batches.astype(object).where(batches.notna(), None)
    )
    metadata.insert(3, "Metadata_Site", sites.astype(object).where(sites.notna(), None))
    moa = posixpath.join(folder, BBBC021_MOA)
    if storage.exists(moa):
        known = read_image_set_table(moa, storage)
        known = dict(
            zip(
                _pair_treatments(known["compound"], known["concentration"]),
                known["moa"],
            )
        )
        treatments = _pair_treatments(
            table["Metadata_Compound"], table["Metadata_Concentration"]
        )
        metadata["Metadata_MoA"] = pd.Series(
            list(map(known.get, treatments)), table.index, dtype=object
        )
    return metadata.join(table[[name for name in table if OF_FILE.fullmatch(name)]])


def _pair_treatments(compounds, concentrations):
    """Compounds with their concentrations as numbers.

    0.3 is written 0.300000 in one of the tables.
    """
    return zip(compounds, pd.to_numeric(concentrations, errors="coerce"))

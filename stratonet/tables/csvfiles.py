"""Read CSV files as programs and people save them: encodings, separators, two headers.

Unambiguous files are read; others are refused with the line, column or encoding.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import pandas as pd

from stratonet.messages import shorten_list
from stratonet.naming import METADATA
from stratonet.tables.columns import IMAGE_NUMBER, OBJECT_NUMBER

EXTENSIONS = (".csv", ".tsv", ".txt")
GZIPPED = ".gz"
# The separators that spreadsheets use in different countries.
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
# Texts that stand for a missing number. In columns of text they are kept as text.
NO_NUMBER = ["", "nan", "NaN", "-nan", "-NaN", "NA", "N/A", "n/a", "null", "NULL"]
NO_NUMBER += ["None", "#N/A"]
# Number of rows from which separator and header are derived.
N_PREVIEWED = 100
# In the first of two headers, CellProfiler's name for columns of the image.
IMAGE_HEADER = "Image"


def is_csv_name(name: str) -> bool:
    """Whether a file's name is that of a CSV file, in upper or lower case.

    Examples
    --------
    >>> is_csv_name("Image.CSV"), is_csv_name("map.txt.gz"), is_csv_name("map.xlsx")
    (True, True, False)
    """
    return name.lower().removesuffix(GZIPPED).endswith(EXTENSIONS)


def decode_csv(
    content: bytes, name: str, is_text: Callable[[str], bool] = lambda column: True
) -> pd.DataFrame:
    r"""Decode a CSV file.

    Parameters
    ----------
    content : bytes
        UTF-8, with or without a byte order mark, or UTF-16 with one; gzipped or not.
        Separated by commas, semicolons or tabs.
    name : str
        Name of the file in error messages.
    is_text : callable
        Takes the name of a column and returns whether its fields are kept as text. Any
        other column becomes numbers if all of its fields are numbers. Default: all
        columns are text.

    Returns
    -------
    pandas.DataFrame
        Empty fields of text are None. Empty rows and empty columns without a name are
        dropped. If there are two header rows, as ExportToSpreadsheet writes them for
        several kinds of objects, columns are named ``Nuclei_AreaShape_Area``.

    Raises
    ------
    ValueError
        The encoding is another one, a row has more fields than the header, two columns
        have the same name, or the file is not a table at all.

    Examples
    --------
    >>> decode_csv(b"Well;Dose\nA01;1\n;\n", "doses.csv").to_dict("records")
    [{'Well': 'A01', 'Dose': '1'}]
    """
    try:
        content = _unzip(content)
        layout = _find_layout(content, name)
        table = _read_rows(content, layout, is_text)
    except MemoryError:
        raise
    except _Ambiguous as error:
        raise ValueError(f"{name} cannot be read as a table: {error}") from None
    except Exception as error:  # pandas, csv and zlib raise errors of many types
        raise ValueError(
            f"{name} cannot be read as a table ({type(error).__name__}: {error}). Is it"
            " damaged, or only partly copied?"
        ) from error
    return _drop_surplus(table, layout, name)


def has_two_headers(content: bytes, name: str) -> bool:
    """Whether a CSV file has a header of objects above the header of measurements.

    Parameters
    ----------
    content, name
        As in `decode_csv`.
    """
    return _find_layout(_unzip(content), name).two_headers


def _unzip(content: bytes) -> bytes:
    return gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content


class _Ambiguous(Exception):
    """The meaning of a file is not clear."""


@dataclass(frozen=True)
class _Layout:
    """The layout of a CSV file."""

    encoding: str
    separator: str
    n_headers: int  # lines before the first row
    columns: list[str]
    n_surplus: int  # fields of rows beyond those of the header
    two_headers: bool


def _name_columns(header: Sequence[str]) -> list[str]:
    """Give columns without a name the names that pandas gives them."""
    columns = []
    for position, field in enumerate(header):
        name = field or f"Unnamed: {position}"
        # If pandas saved the table twice, it has a column of this name already.
        columns.append(name if field or name not in header else f"{name}.1")
    return columns


def _find_layout(content: bytes, name: str) -> _Layout:
    if not content.strip():
        raise _Ambiguous("it is empty.")
    encoding = _find_encoding(content)
    separator = _find_separator(content, encoding)
    lines = list(islice(_split_lines(content, encoding, separator), N_PREVIEWED))
    n_headers = next(number for number, fields in enumerate(lines) if fields)
    if lines[n_headers][0].startswith("sep="):
        n_headers += 1
    header = [field.strip() for field in lines[n_headers]]
    n_headers += 1
    rows = lines[n_headers:]
    two_headers = bool(rows) and IMAGE_NUMBER in rows[0] and IMAGE_NUMBER not in header
    if two_headers:
        header = _join_headers(header, rows[0])
        n_headers += 1
        rows = rows[1:]
    columns = _name_columns(header)
    repeated = [column for column, count in Counter(columns).items() if count > 1]
    if repeated:
        raise _Ambiguous(
            f"it has {shorten_list(repeated, most=3)} twice, as names of columns."
            " Remove one of them, or give it another name."
        )
    longest = max((len(fields) for fields in rows), default=0)
    n_surplus = max(0, longest - len(columns))
    return _Layout(encoding, separator, n_headers, columns, n_surplus, two_headers)


def _find_encoding(content: bytes) -> str:
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if b"\0" in content[:1000]:
        raise _Ambiguous(
            "it contains zero bytes: it is UTF-16 without a byte order mark, or no text"
            " at all. Save it as CSV in the encoding UTF-8."
        )
    try:
        content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _Ambiguous(
            f"line {line} has the byte 0x{content[error.start]:02x}, which is not in"
            " the encoding UTF-8. Was it saved in ANSI (Windows-1252)? Save it as CSV"
            " UTF-8."
        ) from None
    return "utf-8-sig"


def _split_lines(
    content: bytes, encoding: str, separator: str
) -> Iterator[Sequence[str]]:
    text = io.TextIOWrapper(io.BytesIO(content), encoding, newline="")
    return csv.reader(text, delimiter=separator)


def _find_separator(content: bytes, encoding: str) -> str:
    """Choose the separator that gives the most fields, the same number in all lines."""
    n_fields = {}
    for separator in SEPARATORS:
        lines = islice(_split_lines(content, encoding, separator), N_PREVIEWED)
        filled_lines = [fields for fields in lines if fields]
        # Spreadsheets understand such a first line, and some write it.
        match = (
            re.fullmatch("sep=(.)", filled_lines[0][0])
            if len(filled_lines[0]) == 1
            else None
        )
        if match and match[1] in SEPARATORS:
            return match[1]
        lengths = {len(fields) for fields in filled_lines}
        n_fields[separator] = (len(lengths) == 1, len(filled_lines[0]))
    # A separator that does not occur gives one field in each line.
    candidates = [
        separator for separator in SEPARATORS if n_fields[separator][1] > 1
    ] or list(SEPARATORS)
    best_score = max(n_fields[separator] for separator in candidates)
    best_separators = [
        separator for separator in candidates if n_fields[separator] == best_score
    ]
    if len(best_separators) > 1 and best_score[1] > 1:
        names = " or ".join(SEPARATORS[separator] for separator in best_separators)
        raise _Ambiguous(f"its fields may be separated by {names}. Use commas alone.")
    return best_separators[0]


def _join_headers(objects: Sequence[str], names: Sequence[str]) -> list[str]:
    """Join the header of objects and the header of measurements to one."""
    joined: list[str] = []
    for object_name, name in zip(objects, names):
        # Rows have the numbers of the first kind of objects.
        is_key = name == OBJECT_NUMBER and OBJECT_NUMBER not in joined
        of_image = object_name in (IMAGE_HEADER, "") or name.startswith(METADATA)
        joined.append(name if is_key or of_image else f"{object_name}_{name}")
    return joined


def _read_rows(
    content: bytes, layout: _Layout, is_text: Callable[[str], bool]
) -> pd.DataFrame:
    surplus = [f"surplus {number}" for number in range(layout.n_surplus)]
    texts = [*filter(is_text, layout.columns), *surplus]
    numbers = [column for column in layout.columns if not is_text(column)]
    try:
        table = pd.read_csv(
            io.BytesIO(content),
            encoding=layout.encoding,
            sep=layout.separator,
            header=None,
            skiprows=layout.n_headers,
            names=[*layout.columns, *surplus],
            # pandas would take surplus fields at the start of rows for an index.
            index_col=False,
            dtype=dict.fromkeys(texts, object),
            # A compound called NA is a name, not a gap.
            keep_default_na=False,
            na_values=dict.fromkeys(numbers, NO_NUMBER),
            low_memory=False,
        )
    except pd.errors.EmptyDataError:
        return pd.DataFrame(columns=[*layout.columns, *surplus], dtype=object)
    except pd.errors.ParserError as error:
        match = re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", str(error))
        if match is None:
            raise
        raise _Ambiguous(
            f"line {match[2]} has {match[3]} fields, more fields than the header"
            f" ({match[1]}). Is it separated by {SEPARATORS[layout.separator]} alone?"
        ) from None
    # Missing fields are NaN here, and empty fields are empty texts.
    if texts:
        fields = table[texts]
        table[texts] = fields.where(fields.notna() & (fields != ""), None)
    return table


def _drop_surplus(table: pd.DataFrame, layout: _Layout, name: str) -> pd.DataFrame:
    """Drop empty rows, and empty columns without a name."""
    is_empty = table.isna().all()
    surplus = list(table.columns[len(layout.columns) :])
    filled_columns = [column for column in surplus if not is_empty[column]]
    if filled_columns:
        row = int(table[filled_columns[0]].notna().idxmax())
        raise ValueError(
            f"{name} cannot be read as a table: line {layout.n_headers + row + 1} has"
            f" more fields than the header ({len(layout.columns)}). Does a field"
            f" contain {SEPARATORS[layout.separator]} without being quoted?"
        )
    unnamed_columns = [
        column
        for column in table
        if re.fullmatch(r"Unnamed: \d+", column) and is_empty[column]
    ]
    table = table.drop(columns=[*surplus, *unnamed_columns])
    return table[table.notna().any(axis=1)].reset_index(drop=True)

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
N_LOOKED_AT = 100
# In the first of two headers, CellProfiler's name for columns of the image.
OF_IMAGE = "Image"


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
        form = _find_form(content, name)
        table = _read_rows(content, form, is_text)
    except MemoryError:
        raise
    except _NotPlain as error:
        raise ValueError(f"{name} cannot be read as a table: {error}") from None
    except Exception as error:  # pandas, csv and zlib raise errors of many types
        raise ValueError(
            f"{name} cannot be read as a table ({type(error).__name__}: {error}). Is it"
            " damaged, or only partly copied?"
        ) from error
    return _drop_surplus(table, form, name)


def has_two_headers(content: bytes, name: str) -> bool:
    """Whether a CSV file has a header of objects above the header of measurements.

    Parameters
    ----------
    content, name
        As in `decode_csv`.
    """
    return _find_form(_unzip(content), name).two_headers


def _unzip(content: bytes) -> bytes:
    return gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content


class _NotPlain(Exception):
    """The meaning of a file is not clear."""


@dataclass(frozen=True)
class _Form:
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
    for place, field in enumerate(header):
        name = field or f"Unnamed: {place}"
        # If pandas saved the table twice, it has a column of this name already.
        columns.append(name if field or name not in header else f"{name}.1")
    return columns


def _find_form(content: bytes, name: str) -> _Form:
    if not content.strip():
        raise _NotPlain("it is empty.")
    encoding = _find_encoding(content)
    separator = _find_separator(content, encoding)
    lines = list(islice(_split_lines(content, encoding, separator), N_LOOKED_AT))
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
        raise _NotPlain(
            f"it has {shorten_list(repeated, most=3)} twice, as names of columns."
            " Remove one of them, or give it another name."
        )
    longest = max((len(fields) for fields in rows), default=0)
    n_surplus = max(0, longest - len(columns))
    return _Form(encoding, separator, n_headers, columns, n_surplus, two_headers)


def _find_encoding(content: bytes) -> str:
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if b"\0" in content[:1000]:
        raise _NotPlain(
            "it contains zero bytes: it is UTF-16 without a byte order mark, or no text"
            " at all. Save it as CSV in the encoding UTF-8."
        )
    try:
        content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _NotPlain(
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
        lines = islice(_split_lines(content, encoding, separator), N_LOOKED_AT)
        filled = [fields for fields in lines if fields]
        # Spreadsheets understand such a first line, and some write it.
        told = re.fullmatch("sep=(.)", filled[0][0]) if len(filled[0]) == 1 else None
        if told and told[1] in SEPARATORS:
            return told[1]
        lengths = {len(fields) for fields in filled}
        n_fields[separator] = (len(lengths) == 1, len(filled[0]))
    # A separator that does not occur gives one field in each line.
    found = [one for one in SEPARATORS if n_fields[one][1] > 1] or list(SEPARATORS)
    most = max(n_fields[one] for one in found)
    best = [one for one in found if n_fields[one] == most]
    if len(best) > 1 and most[1] > 1:
        names = " or ".join(SEPARATORS[one] for one in best)
        raise _NotPlain(f"its fields may be separated by {names}. Use commas alone.")
    return best[0]


def _join_headers(objects: Sequence[str], names: Sequence[str]) -> list[str]:
    """Join the header of objects and the header of measurements to one."""
    joined: list[str] = []
    for kind, name in zip(objects, names):
        # Rows have the numbers of the first kind of objects.
        is_key = name == OBJECT_NUMBER and OBJECT_NUMBER not in joined
        of_image = kind in (OF_IMAGE, "") or name.startswith(METADATA)
        joined.append(name if is_key or of_image else f"{kind}_{name}")
    return joined


def _read_rows(
    content: bytes, form: _Form, is_text: Callable[[str], bool]
) -> pd.DataFrame:
    surplus = [f"surplus {number}" for number in range(form.n_surplus)]
    texts = [*filter(is_text, form.columns), *surplus]
    numbers = [column for column in form.columns if not is_text(column)]
    try:
        table = pd.read_csv(
            io.BytesIO(content),
            encoding=form.encoding,
            sep=form.separator,
            header=None,
            skiprows=form.n_headers,
            names=[*form.columns, *surplus],
            # pandas would take surplus fields at the start of rows for an index.
            index_col=False,
            dtype=dict.fromkeys(texts, object),
            # A compound called NA is a name, not a gap.
            keep_default_na=False,
            na_values=dict.fromkeys(numbers, NO_NUMBER),
            low_memory=False,
        )
    except pd.errors.EmptyDataError:
        return pd.DataFrame(columns=[*form.columns, *surplus], dtype=object)
    except pd.errors.ParserError as error:
        told = re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", str(error))
        if told is None:
            raise
        raise _NotPlain(
            f"line {told[2]} has {told[3]} fields, more fields than the header"
            f" ({told[1]}). Is it separated by {SEPARATORS[form.separator]} alone?"
        ) from None
    # Missing fields are NaN here, and empty fields are empty texts.
    if texts:
        fields = table[texts]
        table[texts] = fields.where(fields.notna() & (fields != ""), None)
    return table


def _drop_surplus(table: pd.DataFrame, form: _Form, name: str) -> pd.DataFrame:
    """Drop empty rows, and empty columns without a name."""
    is_empty = table.isna().all()
    surplus = list(table.columns[len(form.columns) :])
    filled = [column for column in surplus if not is_empty[column]]
    if filled:
        row = int(table[filled[0]].notna().idxmax())
        raise ValueError(
            f"{name} cannot be read as a table: line {form.n_headers + row + 1} has"
            f" more fields than the header ({len(form.columns)}). Does a field contain"
            f" {SEPARATORS[form.separator]} without being quoted?"
        )
    nameless = [
        column
        for column in table
        if re.fullmatch(r"Unnamed: \d+", column) and is_empty[column]
    ]
    table = table.drop(columns=[*surplus, *nameless])
    return table[table.notna().any(axis=1)].reset_index(drop=True)

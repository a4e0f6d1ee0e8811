"""Read tables of measurements of any program.

Parquet and CSV files are read, features are told from other columns, and rows are
aggregated.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path

import pandas as pd

from stratonet.files.storage import Storage
from stratonet.naming import METADATA, metadata_columns
from stratonet.tables.columns import IMAGE_NUMBER, OBJECT_NUMBER
from stratonet.tables.counters import find_row_counters
from stratonet.tables.csvfiles import decode_csv, is_csv_name
from stratonet.tables.index import read_parquet_frame
from stratonet.tables.keys import name_key_columns

# Columns of plates and wells under any name: they are kept as text.
_KEY_NAMES = r"^(source|batch|(assay_)?plate(_barcode)?|well([ _]?position)?|site)$"
# Columns that CellProfiler writes beside measurements, and positions of objects.
BOOKKEEPING = re.compile(
    r"([^_]+_)?"
    r"(FileName|PathName|URL|MD5Digest|Width|Height|Frame|Series|Channel|ChannelName"
    r"|Scaling|ExecutionTime|ModuleError|Group|ImageSet|ProcessingStatus|Location"
    r"|Parent|Children|Number|Metadata)(_.*)?"
    r"|.*(Location_\w+|AreaShape_(Center|BoundingBox)\w*|ImageNumber|ObjectNumber"
    r"|TableNumber)"
)


def read_plain_table(path: Path, text_columns: str = METADATA) -> pd.DataFrame:
    """Read a Parquet or CSV file.

    Parameters
    ----------
    path : pathlib.Path
        Ends with ``.parquet``, ``.csv``, ``.tsv`` or ``.txt``; text may be gzipped.
    text_columns : str
        Columns of a CSV file whose names contain this are kept as text: plate 00149
        does not become 149, and a class called NA is not a missing value.

    Returns
    -------
    pandas.DataFrame
        CellProfiler's ``Image_Metadata_Well``, ``Well`` and ``well_position`` are
        renamed to ``Metadata_Well``, and plates and sites likewise.

    Raises
    ------
    ValueError
        The file is of another kind, damaged, or ambiguous.
    """
    lower_name = path.name.lower()
    if lower_name.endswith(".parquet"):
        frame = _read_parquet(path)
    elif is_csv_name(lower_name):
        names = re.compile(f"(?i){text_columns}|{_KEY_NAMES}")
        frame = decode_csv(
            Storage().read(path), str(path), lambda name: bool(names.search(name))
        )
    else:
        raise ValueError(
            f"{path}: tables are Parquet, CSV and SQLite files, and folders of them."
        )
    image_prefix = f"Image_{METADATA}"
    renamed = {
        name: name[len("Image_") :] for name in frame if name.startswith(image_prefix)
    }
    return name_key_columns(frame.rename(columns=renamed))


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        return read_parquet_frame(path)
    except Exception as error:  # pandas and pyarrow raise errors of many types
        raise ValueError(
            f"{path} cannot be read as a table ({type(error).__name__}: {error}). Is it"
            " damaged?"
        ) from None


def list_measurements(frame: pd.DataFrame) -> list[str]:
    """List columns of measurements: numbers, but not bookkeeping or row numbers.

    Parameters
    ----------
    frame : pandas.DataFrame
        A table of CellProfiler or any other program.

    Examples
    --------
    >>> list_measurements(pd.DataFrame({"ImageNumber": [1], "Intensity_Mean": [0.5]}))
    ['Intensity_Mean']
    """
    measurements = []
    counters = find_row_counters(frame)
    for name in frame:
        is_number = pd.api.types.is_numeric_dtype(frame[name])
        is_metadata = name.startswith(METADATA)
        is_bookkeeping = name in counters or BOOKKEEPING.fullmatch(name)
        if is_number and not is_metadata and not is_bookkeeping:
            measurements.append(name)
    return measurements


def note_unused_columns(frame: pd.DataFrame, features: Collection[str]) -> list[str]:
    """Explain which columns of a table are neither metadata nor features, and why.

    Parameters
    ----------
    frame : pandas.DataFrame
        A table of CellProfiler or any other program.
    features : collection of str
        The columns that are used.

    Returns
    -------
    list of str
        A sentence for each reason, with a count and an example.

    Examples
    --------
    >>> frame = pd.DataFrame({"Area": ["1,5", "2,5"], "Drug": ["taxol", "DMSO"]})
    >>> for note in note_unused_columns(frame, []):
    ...     print(note)
    1 column with decimal commas is not used, such as Area ('1,5'): write 1.5.
    1 column of text is not used, such as Drug ('taxol'): call it Metadata_Drug.
    """
    examples: dict[str, list[str]] = {}
    used = {*features, *metadata_columns(frame), IMAGE_NUMBER, OBJECT_NUMBER}
    for name in frame:
        if name not in used:
            reason, example = _explain_unused(name, frame[name])
            examples.setdefault(reason, []).append(example)
    notes = []
    for reason, reason_examples in examples.items():
        verb = "column {} is" if len(reason_examples) == 1 else "columns {} are"
        subject = verb.format(reason)
        notes.append(
            f"{len(reason_examples):,} {subject} not used, such as"
            f" {reason_examples[0]}."
        )
    return notes


def _explain_unused(name: str, column: pd.Series) -> tuple[str, str]:
    """Return the reason why a column is not a feature, and an example."""
    values = column.dropna()
    if BOOKKEEPING.fullmatch(name):
        return "of bookkeeping (files, times, positions)", name
    if values.empty:
        return "without values", name
    # The values that are not numbers explain why the column is not numeric.
    not_numeric = values[pd.to_numeric(values, errors="coerce").isna()].astype(str)
    if not_numeric.empty:
        return "of other numbers", name
    example = not_numeric.iloc[0]
    if re.fullmatch(r"[+-]?\d*,\d+([eE][+-]?\d+)?", example):
        with_point = example.replace(",", ".")
        return "with decimal commas", f"{name} ({example!r}): write {with_point}"
    if len(not_numeric) < len(values):
        extent = f"{len(not_numeric):,} of {len(column):,} rows"
        return "of numbers with text among them", f"{name} ({example!r} in {extent})"
    return "of text", f"{name} ({example!r}): call it {METADATA}{name}"


def aggregate_rows(
    frame: pd.DataFrame, keys: Sequence[str], features: Sequence[str], operation: str
) -> pd.DataFrame:
    """Aggregate the rows of each well, or of any other keys, to one.

    Parameters
    ----------
    frame : pandas.DataFrame
        Metadata and features.
    keys : sequence of str
        Columns ``Metadata_*`` that identify a row of the result.
    features : sequence of str
        Columns to aggregate.
    operation : {"mean", "median"}
        How pycytominer aggregates them.

    Returns
    -------
    pandas.DataFrame
        The keys, the metadata that are constant within each group, and the features.
    """
    import pycytominer

    keys, features = list(keys), list(features)
    # The frames of CellProfiler's tables are fragmented by column, and so are slow.
    frame = frame.copy()
    values = pycytominer.aggregate(
        frame[[*keys, *features]], strata=keys, features=features, operation=operation
    )
    groups = frame[metadata_columns(frame)].groupby(keys, sort=True, dropna=False)
    counts = groups.nunique(dropna=False).max()
    constant_columns = [name for name, count in counts.items() if count == 1]
    return groups[constant_columns].first().reset_index().merge(values, on=keys)

"""Tables of any measurements.

Parquet and CSV files, which of their columns are features, and rows joined to one.
"""

import re

import pandas as pd

from stratonet.naming import metadata_columns

# What CellProfiler writes beside measurements, and where in the image an object lies.
BOOKKEEPING = re.compile(
    r"([^_]+_)?(FileName|PathName|URL|MD5Digest|Width|Height|Frame|Series|Channel|ChannelName|Scaling|ExecutionTime|"
    r"ModuleError|Group|ImageSet|ProcessingStatus|Location|Parent|Children|Number|Metadata)(_.*)?|"
    r".*(Location_\w+|AreaShape_(Center|BoundingBox)\w*|ImageNumber|ObjectNumber|TableNumber)"
)


def read_plain_table(path, text="Metadata_"):
    """A table.

    The columns of a CSV file whose names hold ``text`` as they are written: well 00149
    is not 149.
    """
    if path.suffix not in (".parquet", ".csv", ".gz"):
        raise ValueError(
            f"{path}: tables are Parquet, CSV and SQLite files, and folders of them."
        )
    try:
        if path.suffix == ".parquet":
            frame = pd.read_parquet(path)
        else:
            names = pd.read_csv(path, nrows=0).columns
            frame = pd.read_csv(
                path, dtype={name: str for name in names if text in name}
            )
    except Exception as error:  # pandas and pyarrow raise what they meet
        raise ValueError(
            f"{path} cannot be read as a table ({type(error).__name__}: {error}). Is it"
            " damaged?"
        ) from None
    return frame.rename(
        columns={
            name: name[len("Image_") :]
            for name in frame
            if name.startswith("Image_Metadata_")
        }
    )


def list_measurements(frame):
    return [
        name
        for name in frame
        if pd.api.types.is_numeric_dtype(frame[name])
        and not name.startswith("Metadata_")
        and not BOOKKEEPING.fullmatch(name)
    ]


def aggregate_rows(frame, keys, features, operation):
    """Rows by ``keys``.

    Features aggregated by pycytominer, and the metadata that are the same in all rows.
    """
    import pycytominer

    frame = frame.copy()  # what CellProfiler wrote was put together column by column
    values = pycytominer.aggregate(
        frame[[*keys, *features]], strata=keys, features=features, operation=operation
    )
    groups = frame[metadata_columns(frame)].groupby(keys, sort=True, dropna=False)
    same = [
        name for name, most in groups.nunique(dropna=False).max().items() if most == 1
    ]
    return groups[same].first().reset_index().merge(values, on=keys)

"""Feature tables of StratoNet, of CellProfiler and of others, and the rows that they share."""

import pandas as pd

from stratonet.messages import shorten_list
from stratonet.naming import metadata_columns
from stratonet.tables.columns import KEYS, PLATE, WELL
from stratonet.tables.plain import aggregate_rows
from stratonet.tables.reading import feature_parts


def align_tables(tables, metadata=None):
    """The rows that tables share, in one order.

    Parameters
    ----------
    tables : list of FeatureTable
    metadata : pandas.DataFrame, optional
        More ``Metadata_*``, by the columns of `KEYS` that it has.

    Returns
    -------
    pandas.DataFrame
        ``Metadata_*`` of the rows. Each table's ``frame`` then has the same rows, in
        the same order. Tables of objects or sites are brought to wells (by their mean)
        where another table knows wells only.

    Raises
    ------
    ValueError
        The tables share no row; rows of several tables cannot be told apart.
    """
    if len(tables) > 1:
        keys = [key for key in KEYS if all(key in table.frame for table in tables)]
        for table in tables:
            if table.frame.duplicated(keys).any():
                count = len(table.frame)
                table.frame = aggregate_rows(table.frame, keys, table.features, "mean")
                table.notes.append(
                    f"{count:,} rows became {len(table.frame):,}, the mean by"
                    f" {_list_keys(keys)}."
                )
            table.frame = table.frame.set_index(
                pd.MultiIndex.from_frame(table.frame[keys].astype(str))
            )
        shared = tables[0].frame.index
        for table in tables[1:]:
            shared = shared[shared.isin(table.frame.index)]
        if not len(shared):
            raise ValueError(
                f"{' and '.join(table.name for table in tables)} share no row. By"
                f" {_list_keys(keys)}, "
                + ", ".join(
                    f"{table.name} begins with {table.frame.index[0]}"
                    for table in tables
                )
            )
        for table in tables:
            if len(table.frame) > len(shared):
                table.notes.append(
                    f"{len(table.frame) - len(shared):,} of {len(table.frame):,} rows"
                    " are not in all tables."
                )
            table.frame = table.frame.loc[shared].reset_index(drop=True)
    joined = pd.concat(
        [table.frame[metadata_columns(table.frame)] for table in tables], axis=1
    )
    joined = joined.loc[:, ~joined.columns.duplicated()]
    if metadata is None:
        return joined
    keys = [key for key in KEYS if key in metadata and key in joined]
    if not keys or metadata.duplicated(keys).any():
        raise ValueError(
            f"The table of metadata has one row for each of {_list_keys(KEYS[:2])}."
            f" Received: {shorten_list(list(metadata))}"
        )
    new = [name for name in metadata_columns(metadata) if name not in joined]
    more = metadata.assign(
        **{key: metadata[key].astype(str) for key in keys}
    ).set_index(keys)[new]
    return joined.join(more, on=keys)


def find_column(metadata, name):
    """The full name of a column of metadata, by its name with or without ``Metadata_``, in any case.

    Raises
    ------
    ValueError
        There is no such column.
    """
    wanted = name.lower().removeprefix("metadata_")
    for found in metadata_columns(metadata):
        if found.lower().removeprefix("metadata_") == wanted:
            return found
    raise ValueError(
        f"There is no column {name} in the metadata. Received:"
        f" {_list_keys(metadata_columns(metadata))}"
    )


def get_column(metadata, name):
    """A column of metadata, found as by `column_name`, as text.

    ``""`` where it is missing.
    """
    # Whole numbers are floats where a row lacks one.
    values = metadata[find_column(metadata, name)].convert_dtypes().astype("string")
    return values.fillna("").astype(object)


def name_wells(metadata):
    """The well of each row, with its plate."""
    return metadata[PLATE] + " " + metadata[WELL]


def name_feature_groups(features):
    """The part of each feature.

    Channel and tap of StratoNet's, the first two words, without numbers, of others'
    names.
    """
    try:
        parts = feature_parts(features)
        return parts.channel + " " + parts.tap.str.lower()
    except ValueError:
        words = [
            [word for word in str(name).split("_") if not word.isdigit()]
            for name in features
        ]
        return pd.Series([" ".join(one[:2]) for one in words], features)


def _list_keys(keys):
    return ", ".join(key.removeprefix("Metadata_").lower() for key in keys)

"""How the feature tables of a plate are laid out at the destination."""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Union

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stratonet.extraction.job import Job
from stratonet.files.urls import quote_name
from stratonet.naming import PREFIX
from stratonet.tables.columns import BATCH, SITE, WELL
from stratonet.tables.writing import split_columns, write_wide_table

# The list column that holds all features of a row in the files of units.
FEATURES = "features"
# Numbers in a row group: 64 MB as float32.
NUMBERS_PER_GROUP = 2**24


# A function that moves a local file into a folder of the destination, under a name.
KeepFile = Callable[[Path, str, str], None]


@dataclass(frozen=True)
class WrittenTables:
    """Where the feature tables of a plate were written.

    Attributes
    ----------
    folder : str
        Their folder in the destination.
    files : list of str
        Their names in this folder.
    """

    folder: str
    files: list[str]


@dataclass(frozen=True)
class PlateLayout:
    """One feature table per plate, with a column per feature.

    Attributes
    ----------
    in_gallery : bool
        Stored in the manifest of the destination: False.
    required_columns : tuple of str
        Columns that image sets must have.

    Examples
    --------
    >>> PlateLayout().required_columns
    ()
    """

    in_gallery: ClassVar[bool] = False
    required_columns: ClassVar[tuple[str, ...]] = ()

    def locate(self, output: str, job: Job) -> str:
        """Return the folder of the features, which is the output itself.

        Parameters
        ----------
        output : str
            Folder or S3 prefix, as given by the user.
        job : Job
            What is measured.
        """
        return output

    def write_tables(
        self,
        job: Job,
        plate: str,
        digest: str,
        units: Iterable[pa.Table],
        keep_file: KeepFile,
    ) -> WrittenTables:
        """Write the feature table of a plate.

        Parameters
        ----------
        job : Job
            Has the names of the features.
        plate : str
            Folder of the plate.
        digest : str
            Digest of the units. It becomes the name of the table: a plate may get
            several tables as it grows.
        units : iterable of pyarrow.Table
            The rows of each unit, with their features as a list.
        keep_file : callable
            Moves a local file into a folder of the destination, under a name.

        Returns
        -------
        WrittenTables
        """
        names = job.feature_names
        rows_per_group = max(1, NUMBERS_PER_GROUP // len(names))
        groups = _regroup_rows(units, rows_per_group)
        file = f"{digest}.parquet"
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "plate.parquet")
            write_wide_table(
                path,
                (_spread_features(group, names) for group in groups),
                trained_wells=job.card.trained_wells,
            )
            keep_file(path, plate, file)
        return WrittenTables(plate, [file])


@dataclass(frozen=True)
class GalleryLayout:
    """The layout of the cellpainting-gallery's ``workspace_dl``: one table per site.

    ``embeddings/<network>_<dataset>_<hash>/<batch>/<plate>/<well>-<site>/``
    holds ``embedding.parquet``, with one list column per tap and channel, such as
    ``StratoFeatures_High_DNA``: a Parquet file of one row and 12,800 columns would be
    30 times as large.

    Attributes
    ----------
    in_gallery : bool
        Stored in the manifest of the destination: True.
    required_columns : tuple of str
        Columns that image sets must have.

    Examples
    --------
    >>> GalleryLayout().required_columns
    ('Metadata_Batch', 'Metadata_Site')
    """

    in_gallery: ClassVar[bool] = True
    required_columns: ClassVar[tuple[str, ...]] = (BATCH, SITE)

    def locate(self, output: str, job: Job) -> str:
        """Return the folder of these features below ``workspace_dl``.

        Parameters
        ----------
        output : str
            The folder ``workspace_dl``.
        job : Job
            The folder is named after its network and feature set id.
        """
        card = job.card
        # "ImageNet-1k (ILSVRC 2012)" becomes ImageNet-1k.
        dataset = re.split(r"[ (]", card.trained_on)[0]
        # Of the whole id, since another recipe gives other features.
        content = job.network.feature_set_id.encode()
        digest = hashlib.sha256(content).hexdigest()[:7]
        name = f"{card.name}-{card.version}_{dataset}_{digest}".lower()
        return "/".join([output.rstrip("/"), "embeddings", name])

    def write_tables(
        self,
        job: Job,
        plate: str,
        digest: str,
        units: Iterable[pa.Table],
        keep_file: KeepFile,
    ) -> WrittenTables:
        """Write a feature table per site, see `PlateLayout.write_tables`."""
        # The gallery's folders are batch and plate, without the source.
        target = "/".join(plate.split("/")[-2:])
        files = []
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "embedding.parquet")
            for table in units:
                for site in pc.unique(table[SITE]).to_pylist():
                    rows = table.filter(pc.equal(table[SITE], site))
                    well = rows[WELL][0].as_py()
                    file = f"{quote_name(f'{well}-{site}')}/embedding.parquet"
                    write_wide_table(
                        path,
                        [_nest_features(rows, job)],
                        trained_wells=job.card.trained_wells,
                    )
                    # The local file is moved away, so its name can be used again.
                    keep_file(path, target, file)
                    files.append(file)
        return WrittenTables(target, files)


Layout = Union[PlateLayout, GalleryLayout]


def _regroup_rows(tables: Iterable[pa.Table], n_rows: int) -> Iterator[pa.Table]:
    """Yield the rows of tables in tables of ``n_rows`` rows, the last one shorter."""
    # Wells differ in their number of rows, but row groups should be equally large.
    pending: list[pa.Table] = []
    for table in tables:
        pending.append(table)
        while sum(map(len, pending)) >= n_rows:
            joined = pa.concat_tables(pending)
            yield joined.slice(0, n_rows)
            pending = [joined.slice(n_rows)]
    yield pa.concat_tables(pending)


def _get_feature_matrix(table: pa.Table) -> np.ndarray:
    """Return the features of a unit's table, (n rows, n features), float32."""
    # Nothing is copied if the column is a single chunk.
    values = table[FEATURES].combine_chunks().flatten().to_numpy()
    return values.reshape(len(table), -1)


def _spread_features(table: pa.Table, names: list[str]) -> pa.Table:
    """Return the table with one column per feature."""
    columns = split_columns(_get_feature_matrix(table))
    metadata = table.drop_columns(FEATURES)
    fields = [pa.field(name, pa.float32()) for name in names]
    schema = pa.schema([*metadata.schema, *fields])
    return pa.table([*metadata.columns, *columns], schema=schema)


def _nest_features(table: pa.Table, job: Job) -> pa.Table:
    """Return the table with one list column per tap and channel."""
    columns = {name: table[name] for name in table.column_names if name != FEATURES}
    features = _get_feature_matrix(table)
    blocks = job.network.blocks
    start = 0
    for channel in job.channels:
        for block in blocks:
            tap_features = features[:, start : start + block.width]
            values = pa.array(np.ascontiguousarray(tap_features).ravel())
            lists = pa.FixedSizeListArray.from_arrays(values, block.width)
            columns[f"{PREFIX}_{block.label}_{channel}"] = lists
            start += block.width
    return pa.table(columns)

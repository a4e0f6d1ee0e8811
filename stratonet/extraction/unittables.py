"""The rows of a unit as Arrow tables, with all features of a row in one list."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import parquet

from stratonet import __version__
from stratonet.extraction.job import Job
from stratonet.extraction.layouts import FEATURES
from stratonet.extraction.measure import MeasuredImageSet
from stratonet.extraction.thumbnails import (
    CROP_TYPE,
    list_columns,
    list_pixel_paths,
    make_crop_column,
)
from stratonet.extraction.units import Unit
from stratonet.naming import metadata_columns
from stratonet.tables.columns import ERROR, FEATURE_SET, OBJECT, VERSION

# Columns that StratoNet adds. A source may not have columns of these names.
RESERVED_COLUMNS = (OBJECT, FEATURE_SET, VERSION, ERROR)


class UnitTables:
    """Makes the rows of the image sets of a unit.

    Parameters
    ----------
    unit : Unit
        Provides the metadata of the rows.
    job : Job
        What was measured.

    Attributes
    ----------
    schema : pyarrow.Schema
        ``Metadata_*`` of the source, columns of `RESERVED_COLUMNS`, the features as one
        list column, and the crops of each channel if the job keeps crops.
    """

    def __init__(self, unit: Unit, job: Job) -> None:
        self._job = job
        self._metadata = _make_metadata_table(unit.rows)
        self._feature_set_id = job.network.feature_set_id
        n_features = len(job.feature_names)
        self._feature_type = pa.list_(pa.float32(), n_features)
        fields = list(self._metadata.schema)
        if job.objects.size:
            fields.append(pa.field(OBJECT, pa.int64()))
        for name in (FEATURE_SET, VERSION, ERROR):
            fields.append(pa.field(name, pa.string()))
        fields.append(pa.field(FEATURES, self._feature_type))
        if job.crops:
            for name in list_columns(job.channels):
                fields.append(pa.field(name, CROP_TYPE))
        self.schema = pa.schema(fields)

    def open_writer(self, path: Path) -> parquet.ParquetWriter:
        """Open the file of the unit for writing.

        Parameters
        ----------
        path : pathlib.Path
            An existing file is replaced.
        """
        # Features hardly compress, and this file is temporary. But uncompressed, a
        # pixel would take four bytes.
        pixels = list_pixel_paths(self._job.channels) if self._job.crops else []
        return parquet.ParquetWriter(
            path,
            self.schema,
            compression=dict.fromkeys(pixels, "zstd") or "none",
            use_dictionary=pixels or False,
        )

    def make_table(self, index: int, measured: MeasuredImageSet) -> pa.Table:
        """Make the rows of one image set: a single row, or one per object.

        Parameters
        ----------
        index : int
            Position of the image set in the unit, from 0.
        measured : MeasuredImageSet
            Its features.

        Returns
        -------
        pyarrow.Table
        """
        n_rows = len(measured.errors)
        image_set = self._metadata.slice(index, 1)
        # The metadata of the image set, once per object.
        row_indices = np.zeros(n_rows, int)
        columns = [column.take(row_indices) for column in image_set.columns]
        if self._job.objects.size:
            # If the objects could not be read, there is one row without a number.
            numbers = measured.numbers
            values = [None] * n_rows if numbers is None else numbers
            columns.append(pa.array(values, pa.int64()))
        # In every row, so that parts of a table and joined tables still identify their
        # features.
        for text in (self._feature_set_id, __version__):
            columns.append(pa.array([text] * n_rows, pa.string()))
        reasons = [_join_reasons(errors) for errors in measured.errors]
        columns.append(pa.array(reasons, pa.string()))
        features = pa.FixedSizeListArray.from_arrays(
            measured.features.ravel(), type=self._feature_type
        )
        crops = []
        for channel, channel_crops in zip(self._job.channels, measured.crops or ()):
            crops.append(make_crop_column(channel_crops, channel))
        return pa.table([*columns, features, *crops], schema=self.schema)


def _make_metadata_table(rows: pd.DataFrame) -> pa.Table:
    """Return the ``Metadata_*`` columns, with types that do not depend on the rows."""
    columns = {}
    for name in metadata_columns(rows):
        values = rows[name]
        # Arrow would infer the type from the first values, and fail at later ones.
        if values.dtype == object:
            texts = values.map(str, na_action="ignore").where(values.notna(), None)
            columns[name] = pa.array(texts, pa.string())
        else:
            columns[name] = pa.array(values, from_pandas=True)
    return pa.table(columns)


def _join_reasons(errors: Sequence[tuple[int, str]]) -> str | None:
    """Join the reasons in the order of channels; None if there are none."""
    reasons = [reason for _, reason in sorted(errors)]
    return "; ".join(reasons) or None

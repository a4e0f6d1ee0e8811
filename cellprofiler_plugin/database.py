"""Whether ExportToDatabase has room for the columns of MeasureStratoFeatures."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from cellprofiler_core.constants.measurement import IMAGE
from cellprofiler_core.setting import ValidationError

from cellprofiler_plugin.settings import PARQUET

if TYPE_CHECKING:
    from cellprofiler_core.module import Module
    from cellprofiler_core.pipeline import Pipeline

    from cellprofiler_plugin.plugins.measurestratofeatures import MeasureStratoFeatures

# Maximum number of columns in one table of a database.
DATABASE_COLUMNS = {"SQLite": 2000, "MySQL": 4096}


def check_database(
    module: MeasureStratoFeatures, pipeline: Pipeline, exporter: Module
) -> None:
    """Refuse columns that the tables of an ExportToDatabase module cannot hold.

    CellProfiler itself fails only at the end of the run, when it writes the tables.

    Parameters
    ----------
    module : MeasureStratoFeatures
        The module whose settings are checked.
    pipeline : cellprofiler_core.pipeline.Pipeline
        The pipeline that holds both modules.
    exporter : cellprofiler_core.module.Module
        The module ExportToDatabase.

    Raises
    ------
    cellprofiler_core.setting.ValidationError
        The message names the table that would have too many columns, and says what to
        do.
    """
    database = exporter.db_type.value
    limit = DATABASE_COLUMNS.get(database)
    if limit is None:
        return
    for table, count in _count_database_columns(pipeline, exporter).items():
        if count > limit:
            raise ValidationError(
                f"ExportToDatabase ({database}) holds at most {limit:,} columns per"
                f" table, and {table} would have {count:,}. Reduce the features to"
                " components, select fewer taps or images, switch off the per-image"
                " means of objects in ExportToDatabase, or set"
                f' "{module.output.text}" to {PARQUET}.',
                module.output,
            )


def _count_database_columns(pipeline: Pipeline, exporter: Module) -> dict[str, int]:
    """Count the columns of each table that ExportToDatabase would write."""
    declared = pipeline.get_measurement_columns()
    counts: Counter[str] = Counter()
    for object_name, feature, *_ in exporter.filter_measurement_columns(declared):
        # The filter keeps objects that are not exported: only strict=True drops them.
        if not exporter.ignore_feature(
            object_name, feature, strict=True, wanttime=True
        ):
            counts[object_name] += 1
    n_image_columns = counts.pop(IMAGE, 0)
    n_object_columns = sum(counts.values())
    # Means (medians, ...) of the objects of an image set are in the table of images.
    tables = {"Per_Image": n_image_columns + len(exporter.agg_names) * n_object_columns}
    if exporter.separate_object_tables.value == "One table per object type":
        for object_name, count in counts.items():
            tables[f"Per_{object_name}"] = count
    else:
        tables["Per_Object"] = n_object_columns
    return tables

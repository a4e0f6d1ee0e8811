"""Where the features of MeasureStratoFeatures go: CellProfiler's tables, Parquet."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

import numpy as np

from cellprofiler_plugin import measurements, parquet
from stratonet.tables import columns

if TYPE_CHECKING:
    from cellprofiler_core.workspace import Workspace

    from cellprofiler_plugin.plugins.measurestratofeatures import MeasureStratoFeatures


def record_features(
    module: MeasureStratoFeatures,
    workspace: Workspace,
    object_name: str,
    features: np.ndarray,
) -> None:
    """Write the features of an image set to where the settings say.

    Parameters
    ----------
    module : MeasureStratoFeatures
        Whose settings say it.
    workspace : cellprofiler_core.workspace.Workspace
        Of the image set.
    object_name : str
        ``Image`` or the name of the objects.
    features : numpy.ndarray (n, images x width of the network)
        A row per image or object.
    """
    recorded = workspace.measurements
    if module.reduce.value:
        projection = module.load_projection()
        features = measurements.reduce_features(
            projection, module.images.value, features
        )
    if module.writes_tables:
        names = module.make_column_names(object_name)
        measurements.add_features(recorded, object_name, names, features)
    if module.writes_parquet and not workspace.pipeline.test_mode:
        parquet.write_image_set(
            _find_unfinished_folder(module, workspace),
            object_name,
            recorded.image_set_number,
            measurements.read_row_keys(recorded, object_name, len(features)),
            features,
        )


def gather_files(module: MeasureStratoFeatures, workspace: Workspace) -> None:
    """Gather the image sets of the run into Parquet files, one for each kind of row.

    Parameters
    ----------
    module : MeasureStratoFeatures
        Whose settings name the files.
    workspace : cellprofiler_core.workspace.Workspace
        Of the run.
    """
    unfinished = _find_unfinished_folder(module, workspace)
    for object_name, file in zip(
        module.get_object_names(), module.list_parquet_files()
    ):
        # Each row says which network has measured it, and how.
        net = module.load_network(object_name)
        ids = {columns.FEATURE_SET: net.feature_set_id}
        if module.reduce.value:
            ids[columns.PROJECTION] = module.load_projection().id
        names = module.make_column_names(object_name)
        path = os.path.join(os.path.dirname(unfinished), file)
        rows = parquet.gather_image_sets(
            unfinished, object_name, names, ids, path, net.card.trained_wells
        )
        logging.info("%s wrote %d rows to %s", module.module_name, rows, path)
    # A run without an image set has not made it.
    if os.path.isdir(unfinished):
        os.rmdir(unfinished)


def _find_unfinished_folder(module: MeasureStratoFeatures, workspace: Workspace) -> str:
    """The folder of this run's image sets, the same in all of its processes."""
    recorded = workspace.measurements
    started = recorded.get_experiment_measurement("Run_Timestamp")
    # A colon is not allowed in the names of files on Windows.
    run = f"{module.prefix.value}-{started.replace(':', '-')}-{module.module_num}"
    folder = module.folder.get_absolute_path(recorded)
    return os.path.join(folder, f"{run}.unfinished")

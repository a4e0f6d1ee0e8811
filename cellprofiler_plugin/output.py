"""Write the features of MeasureStratoFeatures to CellProfiler's tables and Parquet."""

from __future__ import annotations

import logging
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cellprofiler_plugin import measurements, parquet
from cellprofiler_plugin.placing import remove_image_sets
from stratonet.tables import columns

if TYPE_CHECKING:
    from cellprofiler_core.measurement import Measurements
    from cellprofiler_core.workspace import Workspace

    from cellprofiler_plugin.pixels import Regions
    from cellprofiler_plugin.plugins.measurestratofeatures import MeasureStratoFeatures


def record_features(
    module: MeasureStratoFeatures,
    workspace: Workspace,
    regions: Regions,
    features: np.ndarray,
) -> None:
    """Write the features of an image set to the tables chosen in the settings.

    Parameters
    ----------
    module : MeasureStratoFeatures
        The module whose settings are used.
    workspace : cellprofiler_core.workspace.Workspace
        The workspace of the image set.
    regions : pixels.Regions
        The regions that get a row each: the image, or objects.
    features : numpy.ndarray (n, images x width of the network)
        A row per region.
    """
    recorded, object_name = workspace.measurements, regions.name
    if module.reduce.value:
        projection = module.load_projection()
        features = measurements.reduce_features(
            projection, module.images.value, features
        )
    if module.writes_tables:
        names = module.make_column_names(object_name)
        measurements.add_features(recorded, object_name, names, features)
    if module.writes_parquet and not workspace.pipeline.test_mode:
        number = recorded.image_set_number
        table = name_table(module, recorded, object_name, number)
        unfinished = Path(_find_unfinished_folder(module, workspace))
        if not (unfinished / table / parquet.DESCRIPTION).exists():
            description = _describe_table(module, workspace, object_name)
            description.save(unfinished / table)
        keys = measurements.read_row_keys(recorded, object_name, len(features))
        if regions.faults:
            keys[columns.ERROR] = " ".join(regions.faults.values())
        parquet.write_image_set(unfinished, table, number, keys, features)


def name_table(
    module: MeasureStratoFeatures,
    recorded: Measurements,
    object_name: str,
    number: int,
) -> str:
    """Name the Parquet file of an image set, without its suffix.

    Parameters
    ----------
    module : MeasureStratoFeatures
        The module whose prefix is used.
    recorded : cellprofiler_core.measurement.Measurements
        The measurements, with the metadata that the prefix refers to.
    object_name : str
        ``Image`` or the name of the objects.
    number : int
        ImageNumber.

    Raises
    ------
    ValueError
        The metadata are missing, or cannot be part of a file name.
    """
    prefix = module.prefix.value
    try:
        applied = recorded.apply_metadata(prefix, number)
    except (AssertionError, KeyError, ValueError) as error:
        raise ValueError(
            f'"{module.prefix.text}" asks for metadata that the image sets do not have.'
            f" Received: {prefix}"
        ) from error
    if not applied or re.search(r"[/\\:*?\"<>|]", applied):
        raise ValueError(
            f'"{module.prefix.text}" gives image set {number} a name that no file can'
            f" have: {applied!r}. Received: {prefix}"
        )
    return f"{applied}_{object_name}"


def list_tables(
    module: MeasureStratoFeatures, recorded: Measurements
) -> dict[str, list[int]]:
    """List the Parquet files of a run.

    Parameters
    ----------
    module : MeasureStratoFeatures
        The module whose settings name the files.
    recorded : cellprofiler_core.measurement.Measurements
        The measurements of the run.

    Returns
    -------
    dict of str to list of int
        The numbers of the image sets of each file, by the file's path.

    Raises
    ------
    ValueError
        See `name_table`.
    """
    folder = module.folder.get_absolute_path(recorded)
    tables: dict[str, list[int]] = {}
    for object_name in module.get_object_names():
        for number in recorded.get_image_numbers():
            name = name_table(module, recorded, object_name, int(number))
            path = os.path.join(folder, f"{name}.parquet")
            tables.setdefault(path, []).append(int(number))
    return tables


def _describe_table(
    module: MeasureStratoFeatures, workspace: Workspace, object_name: str
) -> parquet.TableDescription:
    # Each row names the network that measured it, and the recipe.
    net = module.load_network(object_name)
    ids = {columns.FEATURE_SET: net.feature_set_id}
    if module.reduce.value:
        ids[columns.PROJECTION] = module.load_projection().id
    wells = {
        plate: sorted(well_names)
        for plate, well_names in net.card.trained_wells.items()
    }
    return parquet.TableDescription(
        names=list(module.make_column_names(object_name)),
        ids=ids,
        trained_wells=wells,
        screen=measurements.read_screen(workspace.measurements),
    )


def gather_files(
    module: MeasureStratoFeatures, workspace: Workspace
) -> list[Exception]:
    """Gather the image sets of the run into Parquet files: of images, of each object.

    Parameters
    ----------
    module : MeasureStratoFeatures
        The module whose settings name the files.
    workspace : cellprofiler_core.workspace.Workspace
        The workspace of the run.

    Returns
    -------
    list of Exception
        Errors of files that could not be written; their image sets are kept. They are
        not raised, because CellProfiler would then not let later modules write tables.
    """
    unfinished = Path(_find_unfinished_folder(module, workspace))
    screen = measurements.read_screen(workspace.measurements)
    errors: list[Exception] = []
    for path, numbers in list_tables(module, workspace.measurements).items():
        name = module.module_name
        try:
            rows = parquet.gather_image_sets(unfinished, Path(path).stem, path, numbers)
            if rows:
                logging.info("%s wrote %d rows to %s", name, rows, path)
                logging.info("Next: stratonet evaluate %s --output report", path)
                continue
            removed = remove_image_sets(path, numbers, screen)
            logging.warning(
                "%s measured nothing for %s; rows of an earlier run removed there: %d",
                name,
                path,
                removed,
            )
        # Whatever the error, nothing that was measured may be lost.
        except Exception as error:
            logging.exception(
                "%s: %s cannot be written (%s). The image sets are kept: fix the cause,"
                " then make the file with: stratonet gather %s",
                name,
                path,
                error,
                unfinished.parent,
            )
            errors.append(error)
    # The folder does not exist if no image set was measured, and is not empty after an
    # error.
    with suppress(OSError):
        unfinished.rmdir()
    return errors


def _find_unfinished_folder(module: MeasureStratoFeatures, workspace: Workspace) -> str:
    """Return the folder of this run's image sets, the same in all its processes."""
    recorded = workspace.measurements
    timestamp = recorded.get_experiment_measurement("Run_Timestamp")
    # On Windows, some characters, such as colons, are not allowed in file names.
    prefix = re.sub(r"\W", "_", module.prefix.value)
    run = f"{prefix}-{timestamp.replace(':', '-')}-{module.module_num}"
    folder = module.folder.get_absolute_path(recorded)
    return os.path.join(folder, f"{run}{parquet.UNFINISHED}")

"""Features as CellProfiler's measurements, and the columns that identify their rows."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from cellprofiler_core.constants.measurement import EXPERIMENT, IMAGE

from cellprofiler_plugin.recipes import parse_pixel_size
from stratonet.naming import METADATA, PREFIX, metadata_columns
from stratonet.tables.columns import IMAGE_NUMBER, OBJECT_NUMBER

if TYPE_CHECKING:
    from cellprofiler_core.measurement import Measurements
    from cellprofiler_core.workspace import Workspace

    from stratonet.projection import Projection

# Long enough for several ids, each of which contains a recipe.
ID_TYPE = "varchar(1000)"
# The measurement with the plate of an image set.
PLATE = f"{METADATA}Plate"
# Measurements of the experiment, as declared to CellProfiler: ids of the networks and
# projections used.
FEATURE_SET = (EXPERIMENT, f"{PREFIX}_FeatureSet", ID_TYPE)
PROJECTION = (EXPERIMENT, f"{PREFIX}_Projection", ID_TYPE)
# A digest of all image sets that are to be measured.
SCREEN = (EXPERIMENT, f"{PREFIX}_Screen", "varchar(64)")
# Prefixes of the measurements that identify an image set.
IDENTIFYING = ("FileName_", "PathName_", "URL_", "Frame_", "Series_", METADATA)


def reduce_features(
    projection: Projection, images: Sequence[str], features: np.ndarray
) -> np.ndarray:
    """Reduce features to components.

    Parameters
    ----------
    projection : stratonet.projection.Projection
        The projection, which must have all images as channels.
    images : sequence of str
        Names of the images.
    features : numpy.ndarray (n, images x features of one image)
        All features of the first image, then all of the next.

    Returns
    -------
    numpy.ndarray (n, images x components), float32
    """
    by_image = np.split(features, len(images), axis=1)
    components = [
        projection.transform(values, image) for image, values in zip(images, by_image)
    ]
    return np.hstack(components)


def add_features(
    measurements: Measurements,
    object_name: str,
    names: Sequence[str],
    features: np.ndarray,
) -> None:
    """Add the features of an image set to CellProfiler's measurements.

    Parameters
    ----------
    measurements : cellprofiler_core.measurement.Measurements
        The measurements of the image set.
    object_name : str
        ``Image`` or the name of the objects.
    names : sequence of str
        Names of the features.
    features : numpy.ndarray (n, n features)
        A row per image or object.
    """
    for column, name in enumerate(names):
        values = features[:, column].astype(float)
        if object_name == IMAGE:
            measurements.add_image_measurement(name, values[0])
        elif column == 0:
            measurements.add_measurement(object_name, name, values)
        else:
            # add_measurement would write the numbers of the objects again, taking as
            # long as the column itself.
            key = object_name, name, measurements.image_set_number
            measurements.hdf5_dict[key] = values


def add_ids(workspace: Workspace) -> None:
    """Add the ids of network and projection to the experiment's measurements.

    Parameters
    ----------
    workspace : cellprofiler_core.workspace.Workspace
        The workspace of a run with one or more modules MeasureStratoFeatures.
    """
    # The experiment has one value, however many of these modules there are.
    modules = [
        module
        for module in workspace.pipeline.modules()
        if module.module_name == "MeasureStratoFeatures"
    ]
    networks = {
        module.load_network(name).feature_set_id
        for module in modules
        for name in module.get_object_names()
    }
    projections = {
        module.load_projection().id for module in modules if module.reduce.value
    }
    for (_, feature, _), ids in ((FEATURE_SET, networks), (PROJECTION, projections)):
        if ids:
            text = ", ".join(sorted(ids))
            workspace.measurements.add_experiment_measurement(feature, text)


def add_screen(workspace: Workspace) -> None:
    """Add a digest of all image sets, which shows that jobs belong to the same run.

    Parameters
    ----------
    workspace : cellprofiler_core.workspace.Workspace
        The workspace of a run that is being prepared. Later, each job drops the image
        sets that it does not measure.
    """
    recorded, pipeline = workspace.measurements, workspace.pipeline
    facts: list[Any] = []
    if pipeline.in_batch_mode():
        # Jobs of a batch file have loaded only their own image sets.
        for module in pipeline.modules():
            values = [setting.value for setting in module.settings()]
            facts.append([module.module_name, values])
    else:
        numbers = recorded.get_image_numbers()
        for feature in sorted(recorded.get_feature_names(IMAGE)):
            if feature.startswith(IDENTIFYING):
                values = recorded.get_measurement(IMAGE, feature, numbers)
                facts.append([feature, [str(value) for value in values]])
    digest = hashlib.sha256(repr(facts).encode(errors="replace")).hexdigest()
    recorded.add_experiment_measurement(SCREEN[1], digest[:16])


def read_screen(measurements: Measurements) -> str:
    """Read the digest that `add_screen` has added.

    Parameters
    ----------
    measurements : cellprofiler_core.measurement.Measurements
        The measurements of the run.
    """
    return str(measurements.get_experiment_measurement(SCREEN[1]))


def read_plate(measurements: Measurements) -> str | None:
    """Read the plate of the image set; None if it has none.

    Parameters
    ----------
    measurements : cellprofiler_core.measurement.Measurements
        The measurements of the image set.
    """
    if not measurements.has_feature(IMAGE, PLATE):
        return None
    # CellProfiler turns names that look like numbers into numbers.
    return str(measurements.get_current_image_measurement(PLATE))


def list_plates(measurements: Measurements) -> Sequence[str | None]:
    """List the plates of all image sets, each once; None if they have none.

    Parameters
    ----------
    measurements : cellprofiler_core.measurement.Measurements
        The measurements of the run.
    """
    if not measurements.has_feature(IMAGE, PLATE):
        return [None]
    numbers = measurements.get_image_numbers()
    values = measurements.get_measurement(IMAGE, PLATE, numbers)
    return sorted({str(value) for value in values})


def list_pixel_sizes(measurements: Measurements, setting: str) -> set[float]:
    """List the pixel sizes of all image sets, each once.

    Parameters
    ----------
    measurements : cellprofiler_core.measurement.Measurements
        The measurements of the run.
    setting : str
        A number of micrometres, or metadata that contain it.

    Raises
    ------
    ValueError
        The size is missing or implausible for an image set, which the message names.
    """
    sizes = set()
    for number in measurements.get_image_numbers():
        try:
            sizes.add(read_pixel_size(measurements, setting, int(number)))
        except ValueError as error:
            raise ValueError(f"Image set {number}: {error}") from None
    return sizes


def read_pixel_size(
    measurements: Measurements, setting: str, number: int | None = None
) -> float:
    """Read the size of a pixel of an image set.

    Parameters
    ----------
    measurements : cellprofiler_core.measurement.Measurements
        The measurements of the run.
    setting : str
        A number of micrometres, or metadata that contain it.
    number : int, optional
        Number of the image set. Default: the current one.

    Returns
    -------
    float
        The size in micrometres.

    Raises
    ------
    ValueError
        The size is missing or implausible.
    """
    try:
        return parse_pixel_size(measurements.apply_metadata(setting, number))
    except (AssertionError, KeyError):
        raise ValueError(f"It lacks the metadata of {setting}") from None


def read_row_keys(
    measurements: Measurements, object_name: str, count: int
) -> dict[str, Any]:
    """Read the columns that identify the rows of an image set.

    Parameters
    ----------
    measurements : cellprofiler_core.measurement.Measurements
        The measurements of the image set.
    object_name : str
        ``Image`` or the name of the objects.
    count : int
        Number of rows.

    Returns
    -------
    dict of str to str, int, float or numpy.ndarray (count,)
        ImageNumber, ObjectNumber for objects, and the metadata of the image set.
    """
    keys: dict[str, Any] = {IMAGE_NUMBER: measurements.image_set_number}
    if object_name != IMAGE:
        keys[OBJECT_NUMBER] = np.arange(1, count + 1)
    for feature in metadata_columns(measurements.get_feature_names(IMAGE)):
        value = measurements.get_current_image_measurement(feature)
        # A module after this one may have written it for earlier image sets only.
        if value is not None:
            keys[feature] = value
    return keys

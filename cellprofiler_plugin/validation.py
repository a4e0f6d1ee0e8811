"""Refuse what MeasureStratoFeatures cannot run, and name the setting to change.

CellProfiler shows a ``ValidationError`` as a red mark beside the setting; without a
window it stops with the error.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cellprofiler_core.constants.measurement import EXPERIMENT, IMAGE
from cellprofiler_core.setting import ValidationError

from cellprofiler_plugin import illumination
from cellprofiler_plugin.database import check_database
from cellprofiler_plugin.forecast import describe_recommendations
from cellprofiler_plugin.measurements import (
    list_pixel_sizes,
    list_plates,
    read_screen,
)
from cellprofiler_plugin.output import list_tables
from cellprofiler_plugin.pixels import NO_STACKS
from cellprofiler_plugin.placing import check_target
from cellprofiler_plugin.recipe_settings import write_views
from cellprofiler_plugin.recipes import (
    CUSTOM,
    FROM_EXTRACT,
    GIVEN_NUMBERS,
    check_limits_file,
    parse_limits,
)
from cellprofiler_plugin.settings import FROM_FILE, METADATA_TAG, PARQUET, TABLES

if TYPE_CHECKING:
    from cellprofiler_core.pipeline import Pipeline
    from cellprofiler_core.setting import Setting
    from cellprofiler_core.workspace import Workspace

    from cellprofiler_plugin.plugins.measurestratofeatures import MeasureStratoFeatures
    from stratonet.recipe import Recipe

# CellProfiler's tables take about a millisecond per column and image set.
SLOW_COLUMNS = 3000


@contextmanager
def blame_setting(setting: Setting) -> Iterator[None]:
    """Turn errors inside the ``with`` block into CellProfiler's error of a setting.

    Parameters
    ----------
    setting : cellprofiler_core.setting.Setting
        The setting that the user has to change.

    Raises
    ------
    cellprofiler_core.setting.ValidationError
        For any ``OSError`` or ``ValueError``, with the same message.
    """
    try:
        yield
    except (OSError, ValueError) as error:
        raise ValidationError(str(error), setting) from error


def check_settings(module: MeasureStratoFeatures, pipeline: Pipeline) -> None:
    """Refuse settings that cannot be run, alone or with the pipeline's other modules.

    Parameters
    ----------
    module : MeasureStratoFeatures
        The module whose settings are checked.
    pipeline : cellprofiler_core.pipeline.Pipeline
        The pipeline that holds the module.

    Raises
    ------
    cellprofiler_core.setting.ValidationError
        It names the setting to change.
    """
    with blame_setting(
        module.weights if module.network.value == FROM_FILE else module.network
    ):
        module.get_card()
    _check_selections(module)
    _check_limits(module)
    _check_taps(module)
    _check_views(module)
    with blame_setting(module.statistics):
        recipes = [module.get_recipe(name) for name in module.get_object_names()]
    with blame_setting(module.pixel_size):
        # The values of metadata are not known before the run.
        module.find_pixel_size()
    if module.reduce.value:
        _check_projection(module, recipes)
    with blame_setting(module.images):
        for name in module.get_object_names():
            module.make_column_names(name)
    if module.writes_parquet:
        _check_parquet(module)
    for other in pipeline.modules():
        if other.module_name == "ExportToDatabase" and module.writes_tables:
            check_database(module, pipeline, other)
        is_earlier = other.module_num < module.module_num
        if other.module_name == module.module_name and is_earlier:
            check_clash(module, pipeline, other)


def check_choices(module: MeasureStratoFeatures, pipeline: Pipeline) -> None:
    """Warn of illumination functions, of old recipes and of slow tables.

    Parameters
    ----------
    module : MeasureStratoFeatures
        The module whose settings are checked.
    pipeline : cellprofiler_core.pipeline.Pipeline
        The pipeline that holds the module.

    Raises
    ------
    cellprofiler_core.setting.ValidationError
        CellProfiler shows it as a warning, and runs the pipeline.
    """
    # CellProfiler shows one warning at a time: raise the most serious one first.
    module.images.get_choices(pipeline)
    functions = module.images.get_functions()
    if functions:
        words = illumination.describe_functions(functions)
        raise ValidationError(words, module.images)
    for sentence in describe_recommendations(module):
        setting = module.view if module.measures_images else module.square_view
        raise ValidationError(sentence, setting)
    count = module.count_columns()
    if module.writes_tables and count > SLOW_COLUMNS:
        raise ValidationError(
            f"{count:,} columns in CellProfiler's tables take seconds per image set."
            f' "{PARQUET}" is faster; components need fewer columns.',
            module.output,
        )


def check_run(module: MeasureStratoFeatures, workspace: Workspace) -> None:
    """Refuse problems that show only once the image sets are known.

    Parameters
    ----------
    module : MeasureStratoFeatures
        The module whose settings are checked.
    workspace : cellprofiler_core.workspace.Workspace
        The workspace of the run.

    Raises
    ------
    RuntimeError
        The pipeline loads its images as 3D stacks.
    cellprofiler_core.setting.ValidationError
        A setting cannot be run, a plate has no grey range, or an image set has no size
        of a pixel.
    """
    pipeline = workspace.pipeline
    # CellProfiler would stop, too, but without a window it does not say why.
    if pipeline.volumetric():
        raise RuntimeError(
            f"{module.module_name} measures 2D images, but the pipeline loads its"
            f" images as 3D stacks. {NO_STACKS}"
        )
    # Without a window, nothing has validated the settings yet.
    if not pipeline.in_batch_mode():
        for setting in module.visible_settings():
            setting.test_valid(pipeline)
        module.validate_module(pipeline)
    functions = illumination.find_functions(workspace, module.images.value)
    if functions:
        words = illumination.describe_functions(functions)
        logging.warning("%s: %s", module.module_name, words)
    with blame_setting(module.limits_file):
        for plate in list_plates(workspace.measurements):
            module.choose_limits(plate)
    if module.in_micrometres:
        with blame_setting(module.pixel_size):
            list_pixel_sizes(workspace.measurements, module.pixel_size.value)


def check_files(module: MeasureStratoFeatures, workspace: Workspace) -> None:
    """Refuse Parquet files that cannot be written or would replace another run's.

    Parameters
    ----------
    module : MeasureStratoFeatures
        The module whose settings name the files.
    workspace : cellprofiler_core.workspace.Workspace
        The workspace of the run.

    Raises
    ------
    cellprofiler_core.setting.ValidationError
        It names the file and the setting to change.
    """
    screen = read_screen(workspace.measurements)
    with blame_setting(module.prefix):
        for path in list_tables(module, workspace.measurements):
            check_target(path, screen)


def _check_limits(module: MeasureStratoFeatures) -> None:
    images = module.images.value
    if module.grey_range.value == FROM_EXTRACT:
        # The plates of the image sets are not known before the run.
        with blame_setting(module.limits_file):
            check_limits_file(module.limits_file.value, images)
    if module.grey_range.value == GIVEN_NUMBERS:
        with blame_setting(module.limits):
            parse_limits(module.limits.value, images)


def _check_taps(module: MeasureStratoFeatures) -> None:
    if module.tap_words.value == CUSTOM:
        with blame_setting(module.taps):
            module.get_taps()
        return
    try:
        module.get_taps()
    except ValueError as error:
        # The user's own network may have other names for its taps.
        raise ValidationError(
            f"{error}. Choose {CUSTOM} to select among them.", module.tap_words
        ) from error


def _check_views(module: MeasureStratoFeatures) -> None:
    for name in module.get_object_names():
        choice, text = module.view, module.view_text
        if name != IMAGE:
            choice, text = module.square_view, module.square_view_text
        crop = None if name == IMAGE else module.crop_size.value
        with blame_setting(text if choice.value == CUSTOM else choice):
            # The statistics, another setting, do not matter here.
            module.get_card().choose_recipe(f"{write_views(module, name)}/mean", crop)


def _check_projection(module: MeasureStratoFeatures, recipes: list[Recipe]) -> None:
    # Features of images and features of squares never have the same feature set.
    if len(set(recipes)) > 1:
        raise ValidationError(
            "A projection fits either whole images or objects. Use a module for each:"
            " add a second MeasureStratoFeatures.",
            module.region_choice,
        )
    with blame_setting(module.projection):
        module.load_projection()


def _check_selections(module: MeasureStratoFeatures) -> None:
    # The window does not let users select one twice, but some edit pipelines by hand.
    selections = [(module.images, module.images.value)]
    if module.tap_words.value == CUSTOM:
        selections.append((module.taps, module.taps.get_selections()))
    if module.measures_objects:
        selections.append((module.objects, module.objects.value))
    for setting, selected in selections:
        if not selected:
            raise ValidationError(f'"{setting.text}": select at least one.', setting)
        if len(set(selected)) < len(selected):
            raise ValidationError(
                f'"{setting.text}": one of them is selected twice.', setting
            )


def _check_parquet(module: MeasureStratoFeatures) -> None:
    prefix = module.prefix.value
    # The values of metadata are not known yet.
    fixed = METADATA_TAG.sub("", prefix)
    if not prefix or os.path.basename(fixed) != fixed or "\\" in fixed:
        raise ValidationError(
            "The prefix must be the beginning of a file name, without a folder."
            f" Received: {prefix!r}",
            module.prefix,
        )
    try:
        import pyarrow  # noqa: F401, only whether it is there
    except ImportError as error:
        raise ValidationError(
            "A Parquet file needs the Python package pyarrow: install"
            " stratonet[cellprofiler] in the Python that runs CellProfiler, or choose"
            f" {TABLES}.",
            module.output,
        ) from error


def check_clash(
    module: MeasureStratoFeatures, pipeline: Pipeline, earlier: MeasureStratoFeatures
) -> None:
    """Refuse to overwrite the output of an earlier module of this type.

    Parameters
    ----------
    module : MeasureStratoFeatures
        The module whose settings are checked.
    pipeline : cellprofiler_core.pipeline.Pipeline
        The pipeline that holds both modules.
    earlier : MeasureStratoFeatures
        A module that comes before it in the pipeline.

    Raises
    ------
    cellprofiler_core.setting.ValidationError
        It names the setting to change.
    """
    # Blame the later module, because it is the one that was added.
    title = f"{module.module_name} (module number {earlier.module_num})"
    columns = set(module.get_measurement_columns(pipeline))
    shared = columns & set(earlier.get_measurement_columns(pipeline))
    # All these modules share the ids of the experiment, on purpose.
    if any(object_name != EXPERIMENT for object_name, *_ in shared):
        raise ValidationError(
            f"{title} makes the same measurements. Select other images, objects or"
            f' taps, or set "{module.output.text}" to {PARQUET}.',
            module.images,
        )
    both_to_parquet = module.writes_parquet and earlier.writes_parquet
    share_objects = set(module.get_object_names()) & set(earlier.get_object_names())
    if both_to_parquet and share_objects and _write_same_file(module, earlier):
        raise ValidationError(
            f"{title} writes to the same Parquet file. Choose another prefix or"
            " folder.",
            module.prefix,
        )


def _write_same_file(
    first: MeasureStratoFeatures, second: MeasureStratoFeatures
) -> bool:
    folders = {first.folder.value, second.folder.value}
    prefixes = {first.prefix.value, second.prefix.value}
    return len(folders) == len(prefixes) == 1

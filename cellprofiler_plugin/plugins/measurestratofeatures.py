"""The module MeasureStratoFeatures, as CellProfiler loads it.

CellProfiler loads the class whose name, in lower case, is that of its file. Its helpers
are elsewhere, because CellProfiler takes every file here for a module.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from cellprofiler_core.constants.measurement import IMAGE
from cellprofiler_core.module import Module
from cellprofiler_core.pipeline.event.run_exception import PostRunException
from cellprofiler_core.preferences import get_headless

from cellprofiler_plugin import (
    illumination,
    measurements,
    output,
    pixels,
    recipe_settings,
    recipes,
    settings,
    tap_settings,
    validation,
)
from cellprofiler_plugin.declared_columns import DeclaredColumns
from cellprofiler_plugin.figure import draw_pictures, mark_functions, write_footer
from cellprofiler_plugin.forecast import describe_next_step, describe_run
from cellprofiler_plugin.help import MODULE
from cellprofiler_plugin.pictures import list_strips, make_pictures
from cellprofiler_plugin.settings import METADATA_TAG
from cellprofiler_plugin.window import enlarge_window
from stratonet import StratoNet
from stratonet.projection import Projection
from stratonet.recipe import OF_PLATE
from stratonet.weights_file import read_card, read_feature_set_id

if TYPE_CHECKING:
    from cellprofiler.gui.figure import Figure
    from cellprofiler_core.pipeline import Pipeline
    from cellprofiler_core.setting import Setting
    from cellprofiler_core.workspace import Workspace

    from stratonet.card import Card, Tap
    from stratonet.recipe import FeatureBlock, Limits, Recipe


class MeasureStratoFeatures(DeclaredColumns, Module):
    """Measure images and objects with a trained network."""

    # What CellProfiler's window shows as the help of the module.
    __doc__ = MODULE

    module_name = "MeasureStratoFeatures"
    category = "Measurement"
    variable_revision_number = 5

    # Settings, in the order in which the window shows them

    def create_settings(self) -> None:
        """Make all settings, with their defaults."""
        self.images = settings.make_image_list()
        self.region_choice = settings.make_region_choice()
        self.view = recipe_settings.make_view_choice()
        self.view_text = recipe_settings.make_view_text()
        self.tile_width = recipe_settings.make_tile_width()
        self.pixel_size = recipe_settings.make_pixel_size()
        self.objects = settings.make_object_list()
        self.crop_size = settings.make_crop_size()
        self.square_view = recipe_settings.make_square_view_choice()
        self.square_view_text = recipe_settings.make_square_view_text()
        self.hide_neighbors = settings.make_hide_neighbors()
        self.tap_words = tap_settings.make_tap_words()
        self.taps = tap_settings.make_tap_list(self)
        self.statistics = recipe_settings.make_statistics_choice()
        self.grey_range = recipe_settings.make_grey_range_choice()
        self.limits_file = recipe_settings.make_limits_path()
        self.limits = recipe_settings.make_limits_text()
        self.reduce = settings.make_reduce()
        self.projection = settings.make_projection_path()
        self.column_count = settings.make_column_count(lambda: describe_run(self))
        self.output = settings.make_output_choice()
        self.folder = settings.make_folder()
        self.prefix = settings.make_prefix()
        self.network = settings.make_network_choice()
        self.weights = settings.make_weights_path()

    def settings(self) -> list[Setting]:
        """List the settings in the order in which pipelines store them.

        New settings go to the end, with a new ``variable_revision_number``.
        """
        return [
            self.images,
            self.region_choice,
            self.objects,
            self.crop_size,
            self.hide_neighbors,
            self.taps,
            self.output,
            self.folder,
            self.prefix,
            self.network,
            self.weights,
            self.reduce,
            self.projection,
            self.view,
            self.square_view,
            self.statistics,
            self.grey_range,
            self.limits_file,
            self.limits,
            self.tile_width,
            self.pixel_size,
            self.tap_words,
            self.view_text,
            self.square_view_text,
        ]

    def visible_settings(self) -> list[Setting]:
        """List the settings that the window shows for the choices made so far."""
        return settings.list_visible(self)

    def upgrade_settings(
        self, setting_values: list[str], variable_revision_number: int, module_name: str
    ) -> tuple[list[str], int]:
        """Convert the settings of a pipeline that an earlier version saved.

        Parameters
        ----------
        setting_values : list of str
            The values, in the order in which they were saved.
        variable_revision_number : int
            Revision of the module that saved them.
        module_name : str
            Name of the module that saved them.

        Returns
        -------
        tuple of (list of str, int)
            The settings and the revision that they now have.
        """
        return recipe_settings.upgrade(setting_values, variable_revision_number)

    def validate_module(self, pipeline: Pipeline) -> None:
        """Refuse settings that cannot be run, see `validation.check_settings`."""
        validation.check_settings(self, pipeline)

    def validate_module_warnings(self, pipeline: Pipeline) -> None:
        """Warn of old or slow choices, see `validation.check_choices`."""
        validation.check_choices(self, pipeline)

    def volumetric(self) -> bool:
        """Tell CellProfiler that the module does not measure stacks."""
        return False

    # What the settings mean

    @property
    def measures_images(self) -> bool:
        """Whether whole images get a row."""
        return self.region_choice.value in (
            settings.WHOLE_IMAGES,
            settings.IMAGES_AND_OBJECTS,
        )

    @property
    def measures_objects(self) -> bool:
        """Whether objects get a row each."""
        return self.region_choice.value in (
            settings.OBJECTS,
            settings.IMAGES_AND_OBJECTS,
        )

    @property
    def writes_tables(self) -> bool:
        """Whether the features become CellProfiler's measurements."""
        if self.output.value == settings.AUTOMATIC:
            return self.count_columns() <= settings.MOST_TABLE_COLUMNS
        return self.output.value in (settings.TABLES, settings.TABLES_AND_PARQUET)

    @property
    def writes_parquet(self) -> bool:
        """Whether the features go to a Parquet file."""
        if self.output.value == settings.AUTOMATIC:
            return not self.writes_tables
        return self.output.value in (settings.PARQUET, settings.TABLES_AND_PARQUET)

    def get_weights(self) -> str:
        """Return the name or path of the network's weights."""
        if self.network.value == settings.FROM_FILE:
            return self.weights.value
        return self.network.value

    def get_card(self) -> Card:
        """Read the card of the network, without opening the network."""
        return read_card(self.get_weights())

    def get_tap_names(self) -> tuple[str, ...]:
        """Return the chosen taps, by their names in the network's card."""
        if self.tap_words.value == recipes.CUSTOM:
            return tuple(self.taps.get_selections())
        return recipes.look_up(tap_settings.TAPS, self.tap_words.value)

    def get_taps(self) -> tuple[Tap, ...]:
        """Return the chosen taps, in the order of the network."""
        return self.get_card().choose_taps(self.get_tap_names())

    def get_recipe(self, object_name: str) -> Recipe:
        """Return the recipe of whole images (``Image``) or of squares around objects.

        Raises
        ------
        OSError, ValueError
            The settings do not make a valid recipe.
        """
        crop = None if object_name == IMAGE else self.crop_size.value
        views = recipe_settings.write_views(self, object_name)
        statistics = recipes.look_up(recipes.STATISTICS, self.statistics.value)
        recipe = self.get_card().choose_recipe(f"{views}/{statistics}", crop)
        if self.grey_range.value == recipes.FROM_EXTRACT:
            return replace(recipe, grey_range=OF_PLATE)
        if self.grey_range.value == recipes.GIVEN_NUMBERS:
            return recipe.with_limits(self.choose_limits(None))
        return recipe

    @property
    def in_micrometres(self) -> bool:
        """Whether images are shown in tiles of a width in micrometres."""
        if self.view.value == recipes.CUSTOM:
            in_micrometres = recipes.needs_pixel_size(self.view_text.value)
        else:
            in_micrometres = self.view.value == recipes.IN_MICROMETRES
        return self.measures_images and in_micrometres

    def find_pixel_size(self) -> float | None:
        """Return the size of a pixel; None if it is not needed or in the metadata.

        Raises
        ------
        ValueError
            The size is missing or implausible.
        """
        if not self.in_micrometres or METADATA_TAG.search(self.pixel_size.value):
            return None
        return recipes.parse_pixel_size(self.pixel_size.value)

    def choose_limits(self, plate: str | None) -> Limits:
        """Return limits of grey values by image; none if each is scaled by itself.

        Raises
        ------
        OSError, ValueError
            There are none for the plate or an image, which the message names.
        """
        images = self.images.value
        if self.grey_range.value == recipes.FROM_EXTRACT:
            return recipes.read_plate_limits(self.limits_file.value, plate, images)
        if self.grey_range.value == recipes.GIVEN_NUMBERS:
            return recipes.parse_limits(self.limits.value, images)
        return {}

    def list_blocks(self, object_name: str) -> tuple[FeatureBlock, ...]:
        """List the blocks that make up the features of an image or object."""
        return self.get_recipe(object_name).list_blocks(self.get_taps())

    def get_object_names(self) -> list[str]:
        """List what gets rows: ``Image``, the selected objects, or both."""
        names = []
        if self.measures_images:
            names.append(IMAGE)
        if self.measures_objects:
            names += self.objects.value
        return names

    def list_parquet_files(self) -> list[str]:
        """List the names of Parquet files that do not depend on the image sets.

        If the prefix contains metadata, there are none.
        """
        prefix = self.prefix.value
        if METADATA_TAG.search(prefix):
            return []
        return [f"{prefix}_{name}.parquet" for name in self.get_object_names()]

    def load_network(self, object_name: str) -> StratoNet:
        """Open the network, only once per process for the same settings."""
        recipe, taps = self.get_recipe(object_name), self.get_tap_names()
        # Not stored in the module, because CellProfiler makes copies of it.
        return StratoNet.load(self.get_weights(), taps, recipe=recipe, crop=recipe.crop)

    def load_projection(self) -> Projection:
        """Load the projection, and check that it fits the features to be measured.

        Raises
        ------
        FileNotFoundError, ValueError
            The file is missing, or the projection does not fit.
        """
        projection = Projection.load(self.projection.value)
        for name in self.get_object_names():
            recipe = self.get_recipe(name)
            feature_set = read_feature_set_id(self.get_weights(), recipe, recipe.crop)
            projection.check(feature_set, self.list_blocks(name), self.images.value)
        return projection

    # The run

    def prepare_run(self, workspace: Workspace) -> bool:
        """Check the settings again, and store the ids of network and projection.

        Raises
        ------
        RuntimeError
            The pipeline loads its images as 3D stacks.
        cellprofiler_core.setting.ValidationError
            A setting cannot be run.
        """
        validation.check_run(self, workspace)
        if not workspace.pipeline.test_mode:
            logging.info("%s will write %s", self.module_name, describe_run(self))
        measurements.add_ids(workspace)
        if self.writes_parquet and not workspace.pipeline.test_mode:
            measurements.add_screen(workspace)
            validation.check_files(self, workspace)
        return True

    def prepare_to_create_batch(
        self, workspace: Workspace, fn_alter_path: Callable[[str], str]
    ) -> bool:
        """Turn the paths of this machine into those of the cluster."""
        self.folder.alter_for_create_batch_files(fn_alter_path)
        if self.network.value == settings.FROM_FILE:
            self.weights.value = fn_alter_path(self.weights.value)
        if self.reduce.value:
            self.projection.value = fn_alter_path(self.projection.value)
        if self.grey_range.value == recipes.FROM_EXTRACT:
            self.limits_file.value = fn_alter_path(self.limits_file.value)
        return True

    def run(self, workspace: Workspace) -> None:
        """Measure an image set."""
        images, size = self.images.value, self.crop_size.value
        planes = pixels.get_planes(workspace, images)
        recorded = workspace.measurements
        limits = self.choose_limits(measurements.read_plate(recorded))
        pixel_size = None
        if self.in_micrometres:
            setting = self.pixel_size.value
            pixel_size = measurements.read_pixel_size(recorded, setting)
        measured = []
        for object_name in self.get_object_names():
            net = self.load_network(object_name)
            regions = pixels.make_regions(
                workspace, object_name, planes, size, self.hide_neighbors.value
            )
            features = pixels.measure_regions(net, images, regions, limits, pixel_size)
            output.record_features(self, workspace, regions, features)
            measured.append((net, regions, features))
        if self.show_window:
            # The window is drawn in another process, from what is stored here.
            display_data = workspace.display_data
            timestamp = recorded.get_experiment_measurement("Run_Timestamp")
            # What image sets must have in common for the figure to compare them.
            ids = [net.feature_set_id for net, *_ in measured]
            display_data.run = [timestamp, ids, images, list(self.get_tap_names())]
            display_data.number = recorded.image_set_number
            display_data.functions = illumination.find_functions(workspace, images)
            display_data.pictures = make_pictures(
                planes, size, measured, limits, pixel_size
            )

    def display(self, workspace: Workspace, figure: Figure) -> None:
        """Draw what `run` has stored for the window, in the window's process."""
        display_data = workspace.display_data
        strips = list_strips(self.get_recipe(IMAGE), self.get_taps())
        if not get_headless():
            enlarge_window(figure, display_data.pictures)
        draw_pictures(
            figure, display_data.pictures, strips, display_data.run, display_data.number
        )
        mark_functions(figure, self.images.value, display_data.functions)
        write_footer(figure, describe_next_step(self))

    def post_run(self, workspace: Workspace) -> None:
        """Gather the image sets of the run into Parquet files."""
        if self.writes_parquet and not workspace.pipeline.test_mode:
            for error in output.gather_files(self, workspace):
                if not get_headless():
                    # The window shows the error, and CellProfiler goes on.
                    event = PostRunException(error, self, error.__traceback__)
                    workspace.pipeline.notify_listeners(event)

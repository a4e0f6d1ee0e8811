"""The module MeasureStratoFeatures, as CellProfiler loads it.

CellProfiler takes the class whose name, in small letters, is that of its file. Its
helpers are elsewhere, because CellProfiler takes every file here for a module.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from cellprofiler_core.constants.measurement import COLTYPE_FLOAT, IMAGE
from cellprofiler_core.module import Module

from cellprofiler_plugin import measurements, parquet, pixels, settings, validation
from cellprofiler_plugin.figure import draw_pictures
from cellprofiler_plugin.help import MODULE
from cellprofiler_plugin.pictures import make_pictures
from stratonet import StratoNet
from stratonet.naming import PREFIX, component_names, make_names, tap_names
from stratonet.network import read_card, read_feature_set_id
from stratonet.projection import Projection
from stratonet.tables import columns

if TYPE_CHECKING:
    from cellprofiler.gui.figure import Figure
    from cellprofiler_core.pipeline import Pipeline
    from cellprofiler_core.setting import Setting
    from cellprofiler_core.workspace import Workspace

    from stratonet.card import Card, Tap


class MeasureStratoFeatures(Module):
    """Measure images and objects with a trained network."""

    # What CellProfiler's window shows as the help of the module.
    __doc__ = MODULE

    module_name = "MeasureStratoFeatures"
    category = "Measurement"
    variable_revision_number = 2

    # Settings, in the order in which the window shows them

    def create_settings(self) -> None:
        """Make all settings, with their defaults."""
        self.images = settings.make_image_list()
        self.where = settings.make_where_choice()
        self.objects = settings.make_object_list()
        self.crop_size = settings.make_crop_size()
        self.hide_neighbors = settings.make_hide_neighbors()
        self.taps = settings.make_tap_choice(self)
        self.reduce = settings.make_reduce()
        self.projection = settings.make_projection_path()
        self.width = settings.make_column_count()
        self.output = settings.make_output_choice()
        self.folder = settings.make_folder()
        self.prefix = settings.make_prefix()
        self.network = settings.make_network_choice()
        self.weights = settings.make_weights_path()

    def settings(self) -> list[Setting]:
        """List the settings in the order in which pipelines hold them.

        New ones go to the end, with a new ``variable_revision_number``.
        """
        return [
            self.images,
            self.where,
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
        ]

    def visible_settings(self) -> list[Setting]:
        """List what the window shows; the number of columns is counted anew."""
        # CellProfiler calls this after every change of a setting.
        self.width.content = self.describe_columns()
        visible = [self.images, self.where]
        if self.measures_objects:
            visible += [self.objects, self.crop_size, self.hide_neighbors]
        visible += [self.taps, self.reduce]
        if self.reduce.value:
            visible.append(self.projection)
        visible += [self.width, self.output]
        if self.writes_parquet:
            visible += [self.folder, self.prefix]
        visible.append(self.network)
        if self.network.value == settings.FROM_FILE:
            visible.append(self.weights)
        return visible

    def upgrade_settings(
        self, setting_values: list[str], variable_revision_number: int, module_name: str
    ) -> tuple[list[str], int]:
        """Turn the settings of a pipeline that was saved earlier into today's.

        Parameters
        ----------
        setting_values : list of str
            In the order in which they were saved.
        variable_revision_number : int
            Of the module that saved them.
        module_name : str
            Of the module that saved them.

        Returns
        -------
        tuple of (list of str, int)
            The settings and the revision that they now have.
        """
        # Revision 1 could not reduce features to components.
        if variable_revision_number == 1:
            setting_values = [*setting_values, "No", ""]
            variable_revision_number = 2
        return setting_values, variable_revision_number

    def validate_module(self, pipeline: Pipeline) -> None:
        """Refuse settings that cannot be run, see `validation.check_settings`."""
        validation.check_settings(self, pipeline)

    def validate_module_warnings(self, pipeline: Pipeline) -> None:
        """Warn of what takes long, see `validation.check_amount`."""
        validation.check_amount(self)

    def volumetric(self) -> bool:
        """Tell CellProfiler that stacks are not measured."""
        return False

    # What the settings mean

    @property
    def measures_images(self) -> bool:
        """Whether whole images get a row."""
        return self.where.value in (settings.WHOLE, settings.BOTH)

    @property
    def measures_objects(self) -> bool:
        """Whether objects get a row each."""
        return self.where.value in (settings.OBJECTS, settings.BOTH)

    @property
    def writes_tables(self) -> bool:
        """Whether the features become CellProfiler's measurements."""
        return self.output.value in (settings.TABLES, settings.TABLES_AND_PARQUET)

    @property
    def writes_parquet(self) -> bool:
        """Whether the features go to a Parquet file."""
        return self.output.value in (settings.PARQUET, settings.TABLES_AND_PARQUET)

    def get_weights(self) -> str:
        """Name or path of the network's weights."""
        if self.network.value == settings.FROM_FILE:
            return self.weights.value
        return settings.SHIPPED

    def get_card(self) -> Card:
        """Read the card of the network, without opening the network."""
        return read_card(self.get_weights())

    def get_taps(self) -> tuple[Tap, ...]:
        """The selected taps, in the order of the network."""
        return self.get_card().choose_taps(self.taps.get_selections())

    def get_object_names(self) -> list[str]:
        """List what gets rows: ``Image``, the selected objects, or both."""
        names = []
        if self.measures_images:
            names.append(IMAGE)
        if self.measures_objects:
            names += self.objects.value
        return names

    def list_parquet_files(self) -> list[str]:
        """Names of the Parquet files, in the order of `get_object_names`."""
        prefix = self.prefix.value
        return [f"{prefix}_{name}.parquet" for name in self.get_object_names()]

    def load_network(self) -> StratoNet:
        """Open the network; once per process for the same settings."""
        # Not kept in the module, of which CellProfiler makes copies.
        return StratoNet.load(self.get_weights(), self.taps.get_selections())

    def load_projection(self) -> Projection:
        """Load the projection, if it fits the network, the taps and the images.

        Raises
        ------
        FileNotFoundError, ValueError
            What is missing, or does not fit.
        """
        projection = Projection.load(self.projection.value)
        feature_set_id = read_feature_set_id(self.get_weights())
        projection.check(feature_set_id, self.get_taps(), self.images.value)
        return projection

    # The columns, as CellProfiler and its pickers name them:
    # category (StratoFeatures), measurement (High0012), image (DNA)

    def make_measurement_names(self) -> list[str]:
        """Names of the columns of one image, without category and image."""
        if self.reduce.value:
            return component_names(self.load_projection().width)
        names: list[str] = []
        for tap in self.get_taps():
            names += tap_names(tap)
        return names

    def make_column_names(self) -> list[str]:
        """Full names of the columns: all of the first image, then all of the next."""
        return make_names(self.make_measurement_names(), self.images.value)

    def describe_columns(self) -> str:
        """How many columns the run will write; or, while it cannot run, why."""
        try:
            count = len(self.images.value) * len(self.make_measurement_names())
            content = "features"
            if self.reduce.value:
                content = f"components ({self.load_projection().id})"
        except (OSError, ValueError) as error:
            return str(error)
        objects = ", ".join(self.get_object_names()) or "nothing yet"
        return f"{count:,} {content} for each of: {objects}."

    def get_measurement_columns(self, pipeline: Pipeline) -> list[tuple[str, str, str]]:
        """Declare the columns: object name, feature and type of each."""
        declared = [measurements.FEATURE_SET]
        if self.reduce.value:
            declared.append(measurements.PROJECTION)
        if not self.writes_tables:
            return declared
        names = settings.read_or_empty(self.make_column_names)
        for object_name in self.get_object_names():
            declared += [(object_name, name, COLTYPE_FLOAT) for name in names]
        return declared

    def get_categories(self, pipeline: Pipeline, object_name: str) -> list[str]:
        """Declare the categories of an object's measurements."""
        if self.writes_tables and object_name in self.get_object_names():
            return [PREFIX]
        return []

    def get_measurements(
        self, pipeline: Pipeline, object_name: str, category: str
    ) -> list[str]:
        """Declare the measurements of a category, without the image's name."""
        if category not in self.get_categories(pipeline, object_name):
            return []
        return settings.read_or_empty(self.make_measurement_names)

    def get_measurement_images(
        self, pipeline: Pipeline, object_name: str, category: str, measurement: str
    ) -> list[str]:
        """Declare the images that have a measurement."""
        if measurement in self.get_measurements(pipeline, object_name, category):
            return list(self.images.value)
        return []

    # The run

    def prepare_run(self, workspace: Workspace) -> bool:
        """Check the settings once more, and store the ids of network and projection.

        Raises
        ------
        RuntimeError
            The pipeline loads its images as 3D stacks.
        cellprofiler_core.setting.ValidationError
            A setting cannot be run.
        """
        pipeline = workspace.pipeline
        # CellProfiler stops too, but without a window it does not say why.
        if pipeline.volumetric():
            raise RuntimeError(
                f"{self.module_name} measures 2D images, but the pipeline loads its"
                f" images as 3D stacks. {pixels.NO_STACKS}"
            )
        # Without a window nobody has validated the settings yet.
        if not pipeline.in_batch_mode():
            for setting in self.visible_settings():
                setting.test_valid(pipeline)
            self.validate_module(pipeline)
        if not pipeline.test_mode:
            logging.info("%s will write %s", self.module_name, self.describe_columns())
        measurements.add_ids(workspace)
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
        return True

    def run(self, workspace: Workspace) -> None:
        """Measure an image set."""
        net = self.load_network()
        images, size = self.images.value, self.crop_size.value
        planes = {name: pixels.get_plane(workspace, name) for name in images}
        measured = []
        for object_name in self.get_object_names():
            regions = pixels.make_regions(
                workspace, object_name, planes, size, self.hide_neighbors.value
            )
            features = pixels.measure_regions(net, images, regions)
            self.record_features(workspace, object_name, features)
            measured.append((regions, features))
        if self.show_window:
            # The window is drawn in another process, from what is kept here.
            shown = workspace.display_data
            recorded = workspace.measurements
            started = recorded.get_experiment_measurement("Run_Timestamp")
            # What image sets need to share for the figure to compare them.
            taps = self.taps.get_selections()
            shown.run = [started, net.feature_set_id, images, taps]
            shown.number = recorded.image_set_number
            shown.pictures = make_pictures(net, planes, self.crop_size.value, measured)

    def display(self, workspace: Workspace, figure: Figure) -> None:
        """Draw what `run` has kept for the window, in the window's process."""
        shown = workspace.display_data
        draw_pictures(figure, shown.pictures, self.get_taps(), shown.run, shown.number)

    def record_features(
        self, workspace: Workspace, object_name: str, features: np.ndarray
    ) -> None:
        """Write the features of an image set to where the settings say.

        Parameters
        ----------
        workspace : cellprofiler_core.workspace.Workspace
            Of the image set.
        object_name : str
            ``Image`` or the name of the objects.
        features : numpy.ndarray (n, images x width of the network)
            A row per image or object.
        """
        recorded = workspace.measurements
        if self.reduce.value:
            projection = self.load_projection()
            features = measurements.reduce_features(
                projection, self.images.value, features
            )
        if self.writes_tables:
            names = self.make_column_names()
            measurements.add_features(recorded, object_name, names, features)
        if self.writes_parquet and not workspace.pipeline.test_mode:
            parquet.write_image_set(
                self.get_unfinished_folder(workspace),
                object_name,
                recorded.image_set_number,
                measurements.read_row_keys(recorded, object_name, len(features)),
                features,
            )

    def get_unfinished_folder(self, workspace: Workspace) -> str:
        """The folder of this run's image sets, the same in all of its processes."""
        recorded = workspace.measurements
        started = recorded.get_experiment_measurement("Run_Timestamp")
        # A colon is not allowed in the names of files on Windows.
        run = f"{self.prefix.value}-{started.replace(':', '-')}-{self.module_num}"
        folder = self.folder.get_absolute_path(recorded)
        return os.path.join(folder, f"{run}.unfinished")

    def post_run(self, workspace: Workspace) -> None:
        """Gather the image sets of the run into Parquet files."""
        if not self.writes_parquet or workspace.pipeline.test_mode:
            return
        unfinished = self.get_unfinished_folder(workspace)
        # Each row says which network has measured it.
        ids = {columns.FEATURE_SET: self.load_network().feature_set_id}
        if self.reduce.value:
            ids[columns.PROJECTION] = self.load_projection().id
        names = self.make_column_names()
        trained_wells = self.load_network().card.trained_wells
        for object_name, file in zip(
            self.get_object_names(), self.list_parquet_files()
        ):
            path = os.path.join(os.path.dirname(unfinished), file)
            rows = parquet.gather_image_sets(
                unfinished, object_name, names, ids, path, trained_wells
            )
            logging.info("%s wrote %d rows to %s", self.module_name, rows, path)
        # A run without an image set has not made it.
        if os.path.isdir(unfinished):
            os.rmdir(unfinished)

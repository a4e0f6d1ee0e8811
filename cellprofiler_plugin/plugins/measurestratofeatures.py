import logging
import os

import numpy
from cellprofiler_core.constants.measurement import COLTYPE_FLOAT, EXPERIMENT, IMAGE
from cellprofiler_core.module import Module
from cellprofiler_core.preferences import (
    ABSOLUTE_FOLDER_NAME,
    DEFAULT_OUTPUT_FOLDER_NAME,
    DEFAULT_OUTPUT_SUBFOLDER_NAME,
)
from cellprofiler_core.setting import Binary, HTMLText, ValidationError
from cellprofiler_core.setting.choice import Choice
from cellprofiler_core.setting.multichoice import MultiChoice
from cellprofiler_core.setting.subscriber import (
    ImageListSubscriber,
    LabelListSubscriber,
)
from cellprofiler_core.setting.text import Directory, Integer, Pathname, Text

from cellprofiler_plugin import figure, help, parquet, pixels
from stratonet import StratoNet
from stratonet.crops import blank_outside
from stratonet.naming import PREFIX, component_names, make_names, tap_names
from stratonet.network import read_card, read_feature_set_id
from stratonet.projection import Projection
from stratonet.tables import columns

__doc__ = help.MODULE

WHOLE, OBJECTS, BOTH = "Whole images", "Objects", "Both"
TABLES, PARQUET, TABLES_AND_PARQUET = "CellProfiler's tables", "A Parquet file", "Both"
SHIPPED, FROM_FILE = "stratonet50", "From a file"
FEATURE_SET, PROJECTION = f"{PREFIX}_FeatureSet", f"{PREFIX}_Projection"
# What one table of a database can hold.
DATABASE_COLUMNS = {"SQLite": 2000, "MySQL": 4096}


def known(names):
    """What ``names`` returns.

    Nothing while a file that it depends on is missing, as the setting of the file says.
    """
    try:
        return names()
    except (OSError, ValueError):
        return []


class TapChoice(MultiChoice):
    """The taps of the weights file that the module has at the time."""

    def __init__(self, text, module, value, **kwargs):
        self.module = module
        super().__init__(text, [], value, **kwargs)

    def get_choices(self):
        return [
            tap.alias or tap.layer for tap in known(lambda: self.module.card().taps)
        ] or list(self.get_selections())


class MeasureStratoFeatures(Module):
    module_name = "MeasureStratoFeatures"
    category = "Measurement"
    variable_revision_number = 2

    def create_settings(self):
        self.images = ImageListSubscriber(
            "Select images to measure",
            [],
            doc=(
                "Select the grayscale images to measure. Each gives features of its"
                " own. For color images use **ColorToGray** first."
            ),
        )
        self.where = Choice(
            "Measure whole images or objects?",
            [WHOLE, OBJECTS, BOTH],
            doc=f"""\
-  *{WHOLE}:* one row an image set. No segmentation is needed.
-  *{OBJECTS}:* one row an object, from a square around it.
-  *{BOTH}:* both.""",
        )
        self.objects = LabelListSubscriber(
            "Select objects to measure",
            [],
            doc="*(Used only when objects are measured)* Select the objects.",
        )
        self.crop_size = Integer(
            "Width of the square around each object",
            96,
            minval=8,
            maxval=4096,
            doc="""\
*(Used only when objects are measured)* In pixels, the same for all objects so that large ones look large. Choose it a
little wider than the largest object: the whole cell for nuclei, if the cell's surroundings matter.""",
        )
        self.hide_neighbors = Binary(
            "Hide neighboring objects?",
            False,
            doc="""\
*(Used only when objects are measured)* *Yes* sets the pixels of other objects within the square to background. *No*
leaves the surroundings of the object as they are.""",
        )
        self.taps = TapChoice(
            "Select taps",
            self,
            ["low", "medium", "high"],
            doc="""\
How deep in the network features are taken. *low* (512 features an image) sees edges and textures, *medium* (1,024)
parts of cells, *high* (1,024) whole cells and their arrangement. *low* alone is also the fastest. If in doubt, take the
three. The list has all blocks of the network, from shallow to deep; hold Ctrl (Command on a Mac) to select several.""",
        )
        self.reduce = Binary(
            "Reduce the features to components?",
            False,
            doc="""\
*Yes* writes principal components in place of the features, some tens of columns an image (*StratoFeatures_PC0001_DNA*),
in tables and Parquet files alike. They fit into **ExportToDatabase** and CellProfiler Analyst.""",
        )
        self.projection = Pathname(
            "Projection file",
            "",
            wildcard="Projections (*.npz)|*.npz",
            doc="""\
*(Used only when features are reduced)* What ``stratonet project`` has fitted to a table of features, of a pilot run for
example. It holds for one network, the taps and the images (by name) that it was fitted to, and has an id, which the
Parquet file and the table of the experiment carry: only components of the same projection can be compared.""",
        )
        self.output = Choice(
            "Write the features to",
            [TABLES, PARQUET, TABLES_AND_PARQUET],
            doc=f"""\
-  *{TABLES}:* measurements like all others: other modules can use them, **ExportToSpreadsheet** and
   **ExportToDatabase** write them. Good for one channel, or for *low* alone.
-  *{PARQUET}:* one file for the images and one for each kind of object. For 5,120 columns it takes 0.2 s an image set,
   CellProfiler's tables more than 3 s. pandas, R and pycytominer read it. The rows are keyed by ImageNumber,
   ObjectNumber and the image set's metadata. Needs the Python package *pyarrow*. Good for whole plates.
-  *{TABLES_AND_PARQUET}:* both.""",
        )
        self.folder = Directory(
            "Folder of the Parquet file",
            dir_choices=[
                DEFAULT_OUTPUT_FOLDER_NAME,
                DEFAULT_OUTPUT_SUBFOLDER_NAME,
                ABSOLUTE_FOLDER_NAME,
            ],
            allow_metadata=False,
            doc=(
                "*(Used only for Parquet)* Where the file is written at the end of the"
                " run."
            ),
        )
        self.prefix = Text(
            "Prefix of the Parquet file",
            PREFIX,
            doc=(
                f"*(Used only for Parquet)* *{PREFIX}* gives *{PREFIX}_Image.parquet*,"
                f" *{PREFIX}_Nuclei.parquet*, ..."
            ),
        )
        self.network = Choice(
            "Network",
            [SHIPPED, FROM_FILE],
            doc=(
                f"*{SHIPPED}* comes with StratoNet. *{FROM_FILE}* takes a weights file"
                " that you have trained."
            ),
        )
        self.weights = Pathname(
            "Weights file",
            "",
            wildcard="Weights (*.onnx)|*.onnx",
            doc="*(Used only for a network from a file)*",
        )
        self.width = HTMLText(
            "Columns", "", doc="How many columns the run will make.", size=(12, 2)
        )

    def settings(self):
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

    def visible_settings(self):
        result = [self.images, self.where]
        if self.measures_objects:
            result += [self.objects, self.crop_size, self.hide_neighbors]
        self.width.content = self.columns_in_words()
        result += [self.taps, self.reduce]
        if self.reduce:
            result += [self.projection]
        result += [self.width, self.output]
        if self.writes_parquet:
            result += [self.folder, self.prefix]
        result += [self.network]
        if self.network == FROM_FILE:
            result += [self.weights]
        return result

    def upgrade_settings(self, setting_values, variable_revision_number, module_name):
        if variable_revision_number == 1:  # without projections
            setting_values, variable_revision_number = [*setting_values, "No", ""], 2
        return setting_values, variable_revision_number

    def volumetric(self):
        return False

    @property
    def measures_images(self):
        return self.where.value in (WHOLE, BOTH)

    @property
    def measures_objects(self):
        return self.where.value in (OBJECTS, BOTH)

    @property
    def writes_tables(self):
        return self.output.value in (TABLES, TABLES_AND_PARQUET)

    @property
    def writes_parquet(self):
        return self.output.value in (PARQUET, TABLES_AND_PARQUET)

    def weights_chosen(self):
        return self.weights.value if self.network == FROM_FILE else SHIPPED

    def card(self):
        return read_card(self.weights_chosen())

    def chosen_taps(self):
        return self.card().choose_taps(self.taps.get_selections())

    def loaded_projection(self):
        """The projection, if it fits the network, the taps and the images.

        Else a ValueError says what does not.
        """
        projection = Projection.load(self.projection.value)
        projection.check(
            read_feature_set_id(self.weights_chosen()),
            self.chosen_taps(),
            self.images.value,
        )
        return projection

    def middles(self):
        """What stands between prefix and image in the names of the columns."""
        if self.reduce:
            return component_names(self.loaded_projection().width)
        return [name for tap in self.chosen_taps() for name in tap_names(tap)]

    def names(self):
        return make_names(self.middles(), self.images.value)

    def kinds(self):
        """What gets a row: ``Image``, the names of objects, or both."""
        return [IMAGE] * self.measures_images + list(
            self.objects.value
        ) * self.measures_objects

    def columns_in_words(self):
        try:
            count = len(self.images.value) * len(self.middles())
            what = (
                f"components ({self.loaded_projection().id})"
                if self.reduce
                else "features"
            )
        except (OSError, ValueError) as error:
            return str(error)
        return (
            f"{count:,} {what} for each of: {', '.join(self.kinds()) or 'nothing yet'}."
        )

    def validate_module(self, pipeline):
        try:
            self.card()
        except (OSError, ValueError) as error:
            raise ValidationError(
                str(error), self.weights if self.network == FROM_FILE else self.network
            )
        selections = [
            (self.images, self.images.value),
            (self.taps, self.taps.get_selections()),
        ]
        if self.measures_objects:
            selections.append((self.objects, self.objects.value))
        for setting, chosen in selections:
            if not chosen:
                raise ValidationError(
                    f'"{setting.text}": choose at least one.', setting
                )
            if len(set(chosen)) < len(chosen):
                raise ValidationError(
                    f'"{setting.text}": the same is chosen twice.', setting
                )
        if self.reduce:
            try:
                self.loaded_projection()
            except (OSError, ValueError) as error:
                raise ValidationError(str(error), self.projection)
        try:
            self.names()
        except ValueError as error:
            raise ValidationError(str(error), self.images)
        if self.writes_parquet:
            if (
                not self.prefix.value
                or os.path.basename(self.prefix.value) != self.prefix.value
            ):
                raise ValidationError(
                    "The prefix is the beginning of a file's name, without a folder.",
                    self.prefix,
                )
            try:
                import pyarrow  # noqa: F401
            except ImportError:
                raise ValidationError(
                    "A Parquet file needs the Python package pyarrow: install"
                    " stratonet[cellprofiler] in the Python that runs CellProfiler, or"
                    f" choose {TABLES}.",
                    self.output,
                )
        for other in pipeline.modules():
            if other.module_name == "ExportToDatabase" and self.writes_tables:
                self.check_database(pipeline, other)
            if (
                other.module_name == self.module_name
                and other.module_num < self.module_num
            ):
                self.check_clash(pipeline, other)

    def check_clash(self, pipeline, earlier):
        """Refuse to write over what an earlier module of this kind has written."""
        of_both = set(self.get_measurement_columns(pipeline)) & set(
            earlier.get_measurement_columns(pipeline)
        )
        if any(kind != EXPERIMENT for kind, *_ in of_both):
            raise ValidationError(
                f"{self.module_name} number {earlier.module_num} measures the same."
                " Select other images, objects or "
                f'taps, or set "{self.output.text}" to {PARQUET}.',
                self.images,
            )
        if (
            self.writes_parquet
            and earlier.writes_parquet
            and set(self.kinds()) & set(earlier.kinds())
        ):
            if (self.folder.value, self.prefix.value) == (
                earlier.folder.value,
                earlier.prefix.value,
            ):
                raise ValidationError(
                    f"{self.module_name} number {earlier.module_num} writes to the same"
                    " Parquet file. Choose another prefix or folder.",
                    self.prefix,
                )

    def check_database(self, pipeline, exporter):
        """Refuse what the tables of an ExportToDatabase module cannot hold."""
        limit = DATABASE_COLUMNS.get(exporter.db_type.value)
        columns = exporter.filter_measurement_columns(
            pipeline.get_measurement_columns()
        )
        kinds = [
            c[0]
            for c in columns
            if not exporter.ignore_feature(c[0], c[1], strict=True, wanttime=True)
        ]
        objects = {kind: kinds.count(kind) for kind in set(kinds) if kind != IMAGE}
        tables = {
            "Per_Image": (
                kinds.count(IMAGE) + len(exporter.agg_names) * sum(objects.values())
            )
        }
        if exporter.separate_object_tables == "One table per object type":
            tables.update({f"Per_{kind}": count for kind, count in objects.items()})
        else:
            tables["Per_Object"] = sum(objects.values())
        for table, count in tables.items():
            if limit and count > limit:
                raise ValidationError(
                    f"ExportToDatabase ({exporter.db_type.value}) holds at most"
                    f" {limit:,} columns a table, and "
                    f"{table} would have {count:,}. Reduce the features to components,"
                    " select fewer taps or images, switch "
                    "off the per-image means of objects in ExportToDatabase, or set"
                    f' "{self.output.text}" to {PARQUET}.',
                    self.output,
                )

    def validate_module_warnings(self, pipeline):
        features = len(self.names()) * len(self.kinds())
        if self.writes_tables and features > 3000:
            raise ValidationError(
                f"{features:,} columns in CellProfiler's tables take seconds an image"
                f' set. "{PARQUET}" is faster, and components are fewer.',
                self.output,
            )

    def prepare_run(self, workspace):
        if (
            workspace.pipeline.volumetric()
        ):  # CellProfiler stops too, but without a window it does not say why
            raise RuntimeError(
                f"{self.module_name} measures planes, and the pipeline processes its"
                f" images as 3D stacks. {pixels.NO_STACKS}"
            )
        if (
            not workspace.pipeline.in_batch_mode()
        ):  # without a window nobody has validated the settings yet
            for setting in self.visible_settings():
                setting.test_valid(workspace.pipeline)
            self.validate_module(workspace.pipeline)
        if not workspace.pipeline.test_mode:
            logging.info("%s will write %s", self.module_name, self.columns_in_words())
        # One value for the whole experiment, however many of these modules it has.
        modules = [
            module
            for module in workspace.pipeline.modules()
            if module.module_name == self.module_name
        ]
        ids = sorted({module.net().feature_set_id for module in modules})
        workspace.measurements.add_experiment_measurement(FEATURE_SET, ", ".join(ids))
        projections = sorted(
            {module.loaded_projection().id for module in modules if module.reduce}
        )
        if projections:
            workspace.measurements.add_experiment_measurement(
                PROJECTION, ", ".join(projections)
            )
        return True

    def prepare_to_create_batch(self, workspace, fn_alter_path):
        self.folder.alter_for_create_batch_files(fn_alter_path)
        if self.network == FROM_FILE:
            self.weights.value = fn_alter_path(self.weights.value)
        if self.reduce:
            self.projection.value = fn_alter_path(self.projection.value)
        return True

    def net(self):
        return StratoNet.load(self.weights_chosen(), self.taps.get_selections())

    def run(self, workspace):
        net, images, size = self.net(), self.images.value, self.crop_size.value
        planes = {name: pixels.plane(workspace, name) for name in images}
        found = {}
        for kind in self.kinds():
            if kind == IMAGE:
                middle, cut = (
                    numpy.zeros((1, 2)),
                    lambda name, row: blank_outside(*planes[name]),
                )
            else:
                middle, cut = pixels.object_crops(
                    workspace, kind, planes, size, self.hide_neighbors.value
                )
            features = pixels.embed(net, images, kind, len(middle), cut)
            self.record(workspace, kind, features)
            if self.show_window:
                found[kind] = features, middle, cut
        if self.show_window:
            measurements = workspace.measurements
            started = measurements.get_experiment_measurement("Run_Timestamp")
            workspace.display_data.run = [
                started,
                net.feature_set_id,
                images,
                self.taps.get_selections(),
            ]
            workspace.display_data.number = measurements.image_set_number
            workspace.display_data.shown = figure.pictures(net, planes, size, found)

    def display(self, workspace, figure):
        shown = workspace.display_data
        figure.draw(figure, shown.shown, self.chosen_taps(), shown.run, shown.number)

    def reduced(self, features):
        """Components of features, (n, images x components)."""
        projection, images = self.loaded_projection(), self.images.value
        parts = zip(images, numpy.split(features, len(images), axis=1))
        return numpy.hstack(
            [projection.transform(values, name) for name, values in parts]
        )

    def record(self, workspace, kind, features):
        measurements, names = workspace.measurements, self.names()
        if self.reduce:
            features = self.reduced(features)
        if self.writes_tables:
            for number, (name, column) in enumerate(zip(names, features.T)):
                column = column.astype(float)
                if kind == IMAGE:
                    measurements.add_image_measurement(name, column[0])
                elif number == 0:
                    measurements.add_measurement(kind, name, column)
                else:  # add_measurement would write the numbers of the objects again, which takes as long as the column
                    measurements.hdf5_dict[
                        kind, name, measurements.image_set_number
                    ] = column
        if self.writes_parquet and not workspace.pipeline.test_mode:
            keys = {"ImageNumber": measurements.image_set_number}
            if kind != IMAGE:
                keys["ObjectNumber"] = numpy.arange(1, len(features) + 1)
            for feature in measurements.get_feature_names(IMAGE):
                if feature.startswith("Metadata_"):
                    value = measurements.get_current_image_measurement(feature)
                    if (
                        value is not None
                    ):  # a later module has written it for image sets before this one
                        keys[feature] = value
            parquet.write_part(
                self.parts(workspace),
                kind,
                measurements.image_set_number,
                keys,
                features,
            )

    def parts(self, workspace):
        """The folder of this run's image sets, the same in all of its processes."""
        started = workspace.measurements.get_experiment_measurement("Run_Timestamp")
        folder = self.folder.get_absolute_path(workspace.measurements)
        return os.path.join(
            folder,
            f"{self.prefix.value}-{started.replace(':', '-')}-{self.module_num}.unfinished",
        )

    def post_run(self, workspace):
        if not self.writes_parquet or workspace.pipeline.test_mode:
            return
        parts = self.parts(workspace)
        ids = {columns.FEATURE_SET: self.net().feature_set_id}
        if self.reduce:
            ids[columns.PROJECTION] = self.loaded_projection().id
        for kind in self.kinds():
            path = os.path.join(
                os.path.dirname(parts), f"{self.prefix.value}_{kind}.parquet"
            )
            rows = parquet.gather(parts, kind, self.names(), ids, path)
            logging.info("%s wrote %d rows to %s", self.module_name, rows, path)
        if os.path.isdir(parts):
            os.rmdir(parts)

    def get_measurement_columns(self, pipeline):
        columns = [(EXPERIMENT, FEATURE_SET, "varchar(128)")]
        if self.reduce:
            columns += [(EXPERIMENT, PROJECTION, "varchar(128)")]
        if self.writes_tables:
            names = known(self.names)
            columns += [
                (kind, name, COLTYPE_FLOAT) for kind in self.kinds() for name in names
            ]
        return columns

    def get_categories(self, pipeline, object_name):
        return [PREFIX] if self.writes_tables and object_name in self.kinds() else []

    def get_measurements(self, pipeline, object_name, category):
        if category not in self.get_categories(pipeline, object_name):
            return []
        return known(self.middles)

    def get_measurement_images(self, pipeline, object_name, category, measurement):
        return (
            list(self.images.value)
            if measurement in self.get_measurements(pipeline, object_name, category)
            else []
        )

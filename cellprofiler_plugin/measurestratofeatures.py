import functools
import itertools
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
from cellprofiler_core.setting.subscriber import ImageListSubscriber, LabelListSubscriber
from cellprofiler_core.setting.text import Directory, Integer, Pathname, Text

from cellprofiler_plugin import _figure, _parquet
from stratonet import StratoNet, naming
from stratonet.crops import blank, centres, crop
from stratonet.naming import PREFIX, names_of, tap_names
from stratonet.network import feature_set_id, read_card
from stratonet.preprocessing import check_plane
from stratonet.projection import Projection, component_names

__doc__ = """\
MeasureStratoFeatures
=====================

**MeasureStratoFeatures** turns images, or the surroundings of objects, into the features of **StratoNet**, a trained
convolutional network. The features are the same for every assay: there is nothing to tune, and none is missing where
a segmentation failed. Use them to tell treatments apart, to group wells that look alike, and to find wells that look
unlike all others.

Each image (channel) goes through the network alone. It is resized to 224 x 224 pixels and its grey values are scaled
between its own darkest and brightest percentiles, so that exposure and bit depth do not matter. What differs between
treatments is the *pattern*, not the brightness: measure that with **MeasureImageIntensity** beside it.

|

============ ============ ===============
Supports 2D? Supports 3D? Respects masks?
============ ============ ===============
YES          NO           YES
============ ============ ===============

Masked pixels, pixels outside of the image and hidden neighbours are set to the darkest pixel measured, so that they
read as background. An image or object without any pixel left gives *nan*.

Which taps?
^^^^^^^^^^^

A tap is a depth in the network. *low* sees edges and textures (granules, fibres, where in a cell a stain lies),
*medium* parts of cells, *high* whole cells and how they lie together. If in doubt, take the three and let the
classifier choose. Take *low* alone where time or columns are short: it is the fastest and the narrowest.

How many columns?
^^^^^^^^^^^^^^^^^

=================== ========= ========== ========== ==========
Taps                1 channel 2 channels 3 channels 5 channels
=================== ========= ========== ========== ==========
low                 512       1,024      1,536      2,560
medium              1,024     2,048      3,072      5,120
high                1,024     2,048      3,072      5,120
low, medium, high   2,560     5,120      7,680      12,800
=================== ========= ========== ========== ==========

As many again for each kind of object. **ExportToDatabase** holds at most 2,000 columns a table in SQLite, with the
per-image means of objects among them. Where that is too few, *Reduce the features to components?* writes some tens of
principal components an image in place of its features.

How long does it take?
^^^^^^^^^^^^^^^^^^^^^^

About 53 planes a second on 2 processor cores without a GPU; *low* alone takes 0.6 of that time. A plane is one channel
of one image, or of one object: 100 nuclei in 5 channels are 500 planes, 10 seconds. CellProfiler's own tables add about
3.5 seconds an image set for 5,120 columns; a Parquet file adds 0.2. Close the eye beside the module in a long run: the
figure takes time too.

What the figure shows
^^^^^^^^^^^^^^^^^^^^^

-  Above, each channel as the network sees it: 224 x 224 grey values, drawn in the shape of the image.
-  *Whole images:* a dot for each image set of this run so far (the last 200), from left to right, for each tap. The
   higher, the less its features are like the median of all (1 - their correlation). The orange diamond is the image
   set on view; the number is that of the highest dot. An empty image or one out of focus stands out. Go on to the next
   image set to compare: three or more tell something. Closing the window or starting a new run begins afresh.
-  *Objects:* a dot for each object of this image set. Below, the crops as the network sees them: the three objects
   nearest to the median (blue squares), and the three furthest from it (orange diamonds), with their object numbers;
   above, where they lie, with a yellow point in the middle of every object. Cells cut by the border of the image and
   dirt are often among the oddest.

Questions
^^^^^^^^^

-  *Do I need illumination correction?* Uneven light is a pattern, and the features see it. If it differs between
   plates, or is strong, use **CorrectIlluminationApply** first, as for other measurements.
-  *Do I need to rescale intensities?* No. A factor or an offset on all grey values of an image changes nothing. For the
   same reason, features of an image with background alone are features of its noise: remove such images, or keep them
   apart by their intensity.
-  *Do I need a GPU?* No.
-  *Can I combine plates?* Yes, if *StratoFeatures_FeatureSet* is the same. Staining and focus differ between plates:
   standardise each plate by its controls, and let training and test sets never share a plate.
-  *Which objects?* Nuclei, with a square wide enough for the whole cell. No outlines of cells are needed.
-  *How do I use thousands of features?* Together, with a classifier or a distance between wells. A single one means
   little.

See also
^^^^^^^^

See also **MeasureImageIntensity**, **MeasureTexture**, **MeasureGranularity**.

Measurements made by this module
^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^

-  *StratoFeatures_<Tap><Number>_<Image>*: the mean of one channel of the network at a tap, for example
   *StratoFeatures_High0012_DNA*.
-  *StratoFeatures_PC<Number>_<Image>*: in place of these, where features are reduced, a principal component of them.
   *StratoFeatures_Projection* (experiment) is the id of the projection file.
-  *StratoFeatures_FeatureSet* (experiment): which network made the features. Only features of the same set can be
   compared.

References
^^^^^^^^^^

Please cite the first of these for the features, and the others for the network that they come from.

-  van Elswijk, M. (2024) StratoNet, a deep learning approach to high content screening feature extraction. Master's
   thesis, Leiden University.
-  Wang, Q., Wu, B., Zhu, P., Li, P., Zuo, W. and Hu, Q. (2020) ECA-Net: Efficient channel attention for deep
   convolutional neural networks. IEEE/CVF Conference on Computer Vision and Pattern Recognition.
-  He, K., Zhang, X., Ren, S. and Sun, J. (2016) Deep residual learning for image recognition. IEEE Conference on
   Computer Vision and Pattern Recognition.
"""

WHOLE, OBJECTS, BOTH = "Whole images", "Objects", "Both"
TABLES, PARQUET, TABLES_AND_PARQUET = "CellProfiler's tables", "A Parquet file", "Both"
SHIPPED, FROM_FILE = "stratonet50", "From a file"
FEATURE_SET, PROJECTION = f"{PREFIX}_FeatureSet", f"{PREFIX}_Projection"
NO_STACKS = 'Set "Process as 3D?" in NamesAndTypes to No; MakeProjection can then project the planes of a stack.'
# What one table of a database can hold.
DATABASE_COLUMNS = {"SQLite": 2000, "MySQL": 4096}


class TapChoice(MultiChoice):
    """The taps of the weights file that the module has at the time."""

    def __init__(self, text, module, value, **kwargs):
        self.module = module
        super().__init__(text, [], value, **kwargs)

    def get_choices(self):
        try:
            return [tap.alias or tap.layer for tap in self.module.card().taps]
        except (OSError, ValueError):
            return list(self.get_selections())  # the setting of the file says what is wrong


class MeasureStratoFeatures(Module):
    module_name = "MeasureStratoFeatures"
    category = "Measurement"
    variable_revision_number = 2

    def create_settings(self):
        self.images = ImageListSubscriber(
            "Select images to measure",
            [],
            doc="Select the grayscale images to measure. Each gives features of its own. For color images use "
            "**ColorToGray** first.",
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
            "Select objects to measure", [], doc="*(Used only when objects are measured)* Select the objects."
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
            dir_choices=[DEFAULT_OUTPUT_FOLDER_NAME, DEFAULT_OUTPUT_SUBFOLDER_NAME, ABSOLUTE_FOLDER_NAME],
            allow_metadata=False,
            doc="*(Used only for Parquet)* Where the file is written at the end of the run.",
        )
        self.prefix = Text(
            "Prefix of the Parquet file",
            PREFIX,
            doc=f"*(Used only for Parquet)* *{PREFIX}* gives *{PREFIX}_Image.parquet*, *{PREFIX}_Nuclei.parquet*, ...",
        )
        self.network = Choice(
            "Network",
            [SHIPPED, FROM_FILE],
            doc=f"*{SHIPPED}* comes with StratoNet. *{FROM_FILE}* takes a weights file that you have trained.",
        )
        self.weights = Pathname(
            "Weights file", "", wildcard="Weights (*.onnx)|*.onnx", doc="*(Used only for a network from a file)*"
        )
        self.width = HTMLText("Columns", "", doc="How many columns the run will make.", size=(12, 2))

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
        return self.card().choose(self.taps.get_selections())

    def loaded_projection(self):
        """The projection, if it fits the network, the taps and the images; else a ValueError says what does not."""
        projection = Projection.load(self.projection.value)
        projection.check(feature_set_id(self.weights_chosen()), self.chosen_taps(), self.images.value)
        return projection

    def middles(self):
        """What stands between prefix and image in the names of the columns."""
        if self.reduce:
            return component_names(self.loaded_projection().width)
        return [name for tap in self.chosen_taps() for name in tap_names(tap)]

    def names(self):
        return names_of(self.middles(), self.images.value)

    def kinds(self):
        """What gets a row: ``Image``, the names of objects, or both."""
        return [IMAGE] * self.measures_images + list(self.objects.value) * self.measures_objects

    def columns_in_words(self):
        try:
            count = len(self.images.value) * len(self.middles())
            what = f"components ({self.loaded_projection().id})" if self.reduce else "features"
        except (OSError, ValueError) as error:
            return str(error)
        return f"{count:,} {what} for each of: {', '.join(self.kinds()) or 'nothing yet'}."

    def validate_module(self, pipeline):
        try:
            self.card()
        except (OSError, ValueError) as error:
            raise ValidationError(str(error), self.weights if self.network == FROM_FILE else self.network)
        selections = [(self.images, self.images.value), (self.taps, self.taps.get_selections())]
        if self.measures_objects:
            selections.append((self.objects, self.objects.value))
        for setting, chosen in selections:
            if not chosen:
                raise ValidationError(f'"{setting.text}": choose at least one.', setting)
            if len(set(chosen)) < len(chosen):
                raise ValidationError(f'"{setting.text}": the same is chosen twice.', setting)
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
            if not self.prefix.value or os.path.basename(self.prefix.value) != self.prefix.value:
                raise ValidationError("The prefix is the beginning of a file's name, without a folder.", self.prefix)
            try:
                import pyarrow  # noqa: F401
            except ImportError:
                raise ValidationError(
                    "A Parquet file needs the Python package pyarrow: install stratonet[cellprofiler] in the Python "
                    f"that runs CellProfiler, or choose {TABLES}.",
                    self.output,
                )
        for other in pipeline.modules():
            if other.module_name == "ExportToDatabase" and self.writes_tables:
                self.check_database(pipeline, other)
            if other.module_name == self.module_name and other.module_num < self.module_num:
                self.check_clash(pipeline, other)

    def check_clash(self, pipeline, earlier):
        """Refuse to write over what an earlier module of this kind has written."""
        of_both = set(self.get_measurement_columns(pipeline)) & set(earlier.get_measurement_columns(pipeline))
        if any(kind != EXPERIMENT for kind, *_ in of_both):
            raise ValidationError(
                f"{self.module_name} number {earlier.module_num} measures the same. Select other images, objects or "
                f'taps, or set "{self.output.text}" to {PARQUET}.',
                self.images,
            )
        if self.writes_parquet and earlier.writes_parquet and set(self.kinds()) & set(earlier.kinds()):
            if (self.folder.value, self.prefix.value) == (earlier.folder.value, earlier.prefix.value):
                raise ValidationError(
                    f"{self.module_name} number {earlier.module_num} writes to the same Parquet file. Choose another "
                    "prefix or folder.",
                    self.prefix,
                )

    def check_database(self, pipeline, exporter):
        """Refuse what the tables of an ExportToDatabase module cannot hold."""
        limit = DATABASE_COLUMNS.get(exporter.db_type.value)
        columns = exporter.filter_measurement_columns(pipeline.get_measurement_columns())
        kinds = [c[0] for c in columns if not exporter.ignore_feature(c[0], c[1], strict=True, wanttime=True)]
        objects = {kind: kinds.count(kind) for kind in set(kinds) if kind != IMAGE}
        tables = {"Per_Image": kinds.count(IMAGE) + len(exporter.agg_names) * sum(objects.values())}
        if exporter.separate_object_tables == "One table per object type":
            tables.update({f"Per_{kind}": count for kind, count in objects.items()})
        else:
            tables["Per_Object"] = sum(objects.values())
        for table, count in tables.items():
            if limit and count > limit:
                raise ValidationError(
                    f"ExportToDatabase ({exporter.db_type.value}) holds at most {limit:,} columns a table, and "
                    f"{table} would have {count:,}. Select fewer taps or images, switch off the per-image means of "
                    f'objects in ExportToDatabase, or set "{self.output.text}" to {PARQUET}.',
                    self.output,
                )

    def validate_module_warnings(self, pipeline):
        features = len(self.names()) * len(self.kinds())
        if self.writes_tables and features > 3000:
            raise ValidationError(
                f'{features:,} columns in CellProfiler\'s tables take seconds an image set. "{PARQUET}" is faster.',
                self.output,
            )

    def prepare_run(self, workspace):
        if workspace.pipeline.volumetric():  # CellProfiler stops too, but without a window it does not say why
            raise RuntimeError(
                f"{self.module_name} measures planes, and the pipeline processes its images as 3D stacks. {NO_STACKS}"
            )
        if not workspace.pipeline.in_batch_mode():  # without a window nobody has validated the settings yet
            for setting in self.visible_settings():
                setting.test_valid(workspace.pipeline)
            self.validate_module(workspace.pipeline)
        if not workspace.pipeline.test_mode:
            logging.info("%s will write %s", self.module_name, self.columns_in_words())
        # One value for the whole experiment, however many of these modules it has.
        modules = [module for module in workspace.pipeline.modules() if module.module_name == self.module_name]
        ids = sorted({module.net().feature_set_id for module in modules})
        workspace.measurements.add_experiment_measurement(FEATURE_SET, ", ".join(ids))
        projections = sorted({module.loaded_projection().id for module in modules if module.reduce})
        if projections:
            workspace.measurements.add_experiment_measurement(PROJECTION, ", ".join(projections))
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
        net = self.net()
        planes = {name: self.plane(workspace, name) for name in self.images.value}
        found = {}
        for kind in self.kinds():
            if kind == IMAGE:
                middle, cut = numpy.zeros((1, 2)), lambda name, row: blank(*planes[name])
            else:
                middle, cut = self.object_crops(workspace, kind, planes)
            features = self.embed(net, kind, len(middle), cut)
            self.record(workspace, kind, features)
            if self.show_window:
                found[kind] = features, middle, cut
        if self.show_window:
            measurements = workspace.measurements
            started = measurements.get_experiment_measurement("Run_Timestamp")
            workspace.display_data.run = [started, net.feature_set_id, self.images.value, self.taps.get_selections()]
            workspace.display_data.number = measurements.image_set_number
            workspace.display_data.shown = _figure.pictures(net, planes, self.crop_size.value, found)

    def plane(self, workspace, name):
        """The pixels and the mask of an image, or a RuntimeError that says where it comes from and what to do."""
        measurements = workspace.measurements
        place = f"Image {name} of image set {measurements.image_set_number}"
        path = [
            f"{part}_{name}" for part in ("PathName", "FileName") if measurements.has_feature(IMAGE, f"{part}_{name}")
        ]
        if len(path) == 2:
            place += " (" + os.path.join(*(measurements.get_current_image_measurement(part) for part in path)) + ")"
        try:
            image = workspace.image_set.get_image(name)
        except Exception as error:
            raise RuntimeError(
                f"{place} is missing or cannot be read: {error}. Complete the image set, or leave it out."
            ) from error
        if image.volumetric:
            raise RuntimeError(f"{place} is a 3D stack of shape {image.pixel_data.shape}. {NO_STACKS}")
        if image.multichannel:
            raise RuntimeError(f"{place} is a color image of shape {image.pixel_data.shape}. Use ColorToGray first.")
        try:
            return check_plane(image.pixel_data), image.mask
        except (TypeError, ValueError) as error:
            raise RuntimeError(f"{place}: {error}") from error

    def object_crops(self, workspace, kind, planes):
        """The centre of each object, and a function of the image's name and the row that makes the crop."""
        if kind not in workspace.object_set.object_names:
            raise RuntimeError(f'There are no objects {kind} in this image set. See "{self.objects.text}".')
        objects = workspace.object_set.get_objects(kind)
        for name, (pixels, _) in planes.items():
            if objects.shape != pixels.shape:
                raise RuntimeError(
                    f"The objects {kind} have shape {objects.shape}, the image {name} {pixels.shape}. "
                    "Identify them in an image of the same size, or use Crop or Resize on both."
                )
        count = objects.count
        middle = centres(objects.ijv, count)
        layer_of = {}
        if self.hide_neighbors and count:
            layers = objects.get_labels()
            occupied = functools.reduce(numpy.logical_or, (labels > 0 for labels, _ in layers))
            for labels, indices in layers:
                others = numpy.where(occupied & (labels == 0), -1, labels)
                layer_of.update(dict.fromkeys(indices, others))

        def cut(name, row):
            pixels, mask = planes[name]
            label = row + 1
            return crop(pixels, middle[row], self.crop_size.value, mask, layer_of.get(label), label)

        return middle, cut

    def embed(self, net, kind, count, cut):
        """Features of ``count`` rows, (count, images x width); nan and a warning where there is nothing to measure."""
        names = self.images.value
        features = numpy.full((count, len(names), net.width), numpy.nan, numpy.float32)
        measured = []

        def crops():
            for row, (index, name) in itertools.product(range(count), enumerate(names)):
                pixels = cut(name, row)
                if pixels is None:
                    logging.warning("%s %d has no pixel to measure in %s: its features are nan.", kind, row + 1, name)
                else:
                    measured.append((row, index))
                    yield pixels

        for number, values in enumerate(net.stream(crops())):
            features[measured[number]] = values
        return features.reshape(count, len(names) * net.width)

    def display(self, workspace, figure):
        shown = workspace.display_data
        _figure.draw(figure, shown.shown, self.chosen_taps(), shown.run, shown.number)

    def reduced(self, features):
        """Components of features, (n, images x components)."""
        projection, images = self.loaded_projection(), self.images.value
        parts = zip(images, numpy.split(features, len(images), axis=1))
        return numpy.hstack([projection.transform(values, name) for name, values in parts])

    def record(self, workspace, kind, features):
        measurements, names = workspace.measurements, self.names()
        if self.reduce:
            features = self.reduced(features)
        if self.writes_tables:
            for name, column in zip(names, features.T.astype(float)):
                if kind == IMAGE:
                    measurements.add_image_measurement(name, column[0])
                else:
                    measurements.add_measurement(kind, name, column)
        if self.writes_parquet and not workspace.pipeline.test_mode:
            keys = {"ImageNumber": measurements.image_set_number}
            if kind != IMAGE:
                keys["ObjectNumber"] = numpy.arange(1, len(features) + 1)
            for feature in measurements.get_feature_names(IMAGE):
                if feature.startswith("Metadata_"):
                    value = measurements.get_current_image_measurement(feature)
                    keys[feature] = "" if value is None else value
            _parquet.write_part(self.parts(workspace), kind, measurements.image_set_number, keys, features)

    def parts(self, workspace):
        """The folder of this run's image sets, the same in all of its processes."""
        started = workspace.measurements.get_experiment_measurement("Run_Timestamp")
        folder = self.folder.get_absolute_path(workspace.measurements)
        return os.path.join(folder, f"{self.prefix.value}-{started.replace(':', '-')}-{self.module_num}.unfinished")

    def post_run(self, workspace):
        if not self.writes_parquet or workspace.pipeline.test_mode:
            return
        parts = self.parts(workspace)
        ids = {naming.FEATURE_SET: self.net().feature_set_id}
        if self.reduce:
            ids[naming.PROJECTION] = self.loaded_projection().id
        for kind in self.kinds():
            path = os.path.join(os.path.dirname(parts), f"{self.prefix.value}_{kind}.parquet")
            rows = _parquet.gather(parts, kind, self.names(), ids, path)
            logging.info("%s wrote %d rows to %s", self.module_name, rows, path)
        if os.path.isdir(parts):
            os.rmdir(parts)

    def get_measurement_columns(self, pipeline):
        columns = [(EXPERIMENT, FEATURE_SET, "varchar(128)")]
        if self.reduce:
            columns += [(EXPERIMENT, PROJECTION, "varchar(128)")]
        if self.writes_tables:
            columns += [(kind, name, COLTYPE_FLOAT) for kind in self.kinds() for name in self.names()]
        return columns

    def get_categories(self, pipeline, object_name):
        return [PREFIX] if self.writes_tables and object_name in self.kinds() else []

    def get_measurements(self, pipeline, object_name, category):
        if category not in self.get_categories(pipeline, object_name):
            return []
        return self.middles()

    def get_measurement_images(self, pipeline, object_name, category, measurement):
        return list(self.images.value) if measurement in self.get_measurements(pipeline, object_name, category) else []

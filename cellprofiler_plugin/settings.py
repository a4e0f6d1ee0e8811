"""The settings of MeasureStratoFeatures: their choices, defaults and help.

One function makes each setting, in the order in which CellProfiler shows them. Their
order in a saved pipeline is that of ``MeasureStratoFeatures.settings``.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from cellprofiler_core.preferences import (
    ABSOLUTE_FOLDER_NAME,
    DEFAULT_OUTPUT_FOLDER_NAME,
    DEFAULT_OUTPUT_SUBFOLDER_NAME,
)
from cellprofiler_core.setting import Binary, HTMLText, Setting
from cellprofiler_core.setting.choice import Choice
from cellprofiler_core.setting.subscriber import (
    ImageListSubscriber,
    LabelListSubscriber,
)
from cellprofiler_core.setting.text import Directory, Integer, Pathname, Text

from cellprofiler_plugin.illumination import list_functions
from cellprofiler_plugin.recipes import (
    CUSTOM,
    FROM_EXTRACT,
    GIVEN_NUMBERS,
    IN_MICROMETRES,
)
from stratonet.naming import PREFIX

if TYPE_CHECKING:
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet

    from cellprofiler_core.pipeline import Pipeline

    from cellprofiler_plugin.plugins.measurestratofeatures import MeasureStratoFeatures

# Saved pipelines contain these words: if they change, older pipelines need an upgrade.
WHOLE_IMAGES, OBJECTS, IMAGES_AND_OBJECTS = "Whole images", "Objects", "Both"
AUTOMATIC = "Automatic (recommended)"
TABLES, PARQUET = "CellProfiler's tables", "A Parquet file"
TABLES_AND_PARQUET = "Both"
SHIPPED, FAST, FROM_FILE = "stratonet50", "stratonet50-int8", "From a file"

# As many columns as CellProfiler's tables take in about a second per image set, and one
# table of an SQLite database at most.
MOST_TABLE_COLUMNS = 2000
# As in `stratonet extract`, so that both give the same numbers by default.
CROP_SIZE = 96
# Sizes outside this range are probably typing errors.
SMALLEST_CROP, LARGEST_CROP = 8, 4096

# Metadata in the name of a file, in CellProfiler's present and earlier notation.
METADATA_TAG = re.compile(r"\\g<.+?>|\(\?<.+?>\)")

Names = TypeVar("Names", bound="Sequence[Any]")


def read_or_empty(read: Callable[..., Names], *arguments: Any) -> Names | list[Any]:
    """Call ``read``, and return an empty list if a file that it needs is missing.

    CellProfiler asks for choices and columns whenever it redraws, even while the path
    of a weights file is being typed. The setting of the file reports what is wrong.

    Parameters
    ----------
    read : callable
        Returns a list.
    *arguments : object
        Arguments for ``read``.

    Returns
    -------
    sequence
        What ``read`` returns, or an empty list after an ``OSError`` or ``ValueError``.

    Examples
    --------
    >>> from stratonet.weights_file import read_card
    >>> read_or_empty(lambda: read_card("nowhere.onnx").taps)
    []
    """
    try:
        return read(*arguments)
    except (OSError, ValueError):
        return []


class ImagePicker(ImageListSubscriber):
    """The setting of the images to measure, which knows the illumination functions.

    Attributes
    ----------
    functions : set of str
        The illumination functions of the pipeline for which choices were last listed:
        CellProfiler lists them whenever it draws or checks the setting.
    """

    functions: AbstractSet[str] = frozenset()

    def get_choices(self, pipeline: Pipeline) -> list[tuple[Any, ...]]:
        """List the images that the pipeline has so far.

        Parameters
        ----------
        pipeline : cellprofiler_core.pipeline.Pipeline
            The pipeline that holds the setting.
        """
        self.functions = list_functions(pipeline)
        return super().get_choices(pipeline)

    def get_functions(self) -> list[str]:
        """List the illumination functions among the images that are selected."""
        return [name for name in self.value if name in self.functions]


class WrittenText(HTMLText):
    """A text that is renewed whenever the window draws it.

    Parameters
    ----------
    text : str
        The setting's name, as CellProfiler shows it.
    write : callable
        Returns the text.
    size : (int, int)
        Size of its control.
    **options : object
        See ``cellprofiler_core.setting.Setting``.
    """

    def __init__(
        self, text: str, write: Callable[[], str], size: tuple[int, int], **options: Any
    ) -> None:
        # HTMLText.__init__ calls the parent of the object's class: here, itself.
        Setting.__init__(self, text, "", **options)
        self.write = write
        self.size = size

    @property
    def content(self) -> str:
        """The text, escaped: the ``<Plate>`` of a prefix would pass for a HTML tag."""
        return html.escape(self.write(), quote=False)


def make_image_list() -> ImagePicker:
    """Make the setting of the images to measure."""
    return ImagePicker(
        "Select images to measure",
        [],
        doc="""\
Select the grayscale images to measure. Each gives features of its own. For color images
use **ColorToGray** first. *Select All*, in the context menu, also selects illumination
functions: the module then names them in a warning, so that you can clear their
ticks.""",
    )


def make_region_choice() -> Choice:
    """Make the choice of what is measured: whole images, objects or both."""
    return Choice(
        "Measure whole images or objects?",
        [WHOLE_IMAGES, OBJECTS, IMAGES_AND_OBJECTS],
        doc=f"""\
-  *{WHOLE_IMAGES}:* one row per image set. No segmentation is needed.
-  *{OBJECTS}:* one row per object, measured in a square around it.
-  *{IMAGES_AND_OBJECTS}:* both.""",
    )


def make_object_list() -> LabelListSubscriber:
    """Make the setting of the objects to measure."""
    return LabelListSubscriber(
        "Select objects to measure",
        [],
        doc="*(Used only when objects are measured)* Select the objects.",
    )


def make_crop_size() -> Integer:
    """Make the setting of the square around each object, in pixels."""
    return Integer(
        "Width of the square around each object",
        CROP_SIZE,
        minval=SMALLEST_CROP,
        maxval=LARGEST_CROP,
        doc="""\
*(Used only when objects are measured)* In pixels. The width is the same for all
objects, so that large objects look large to the network. Choose it a little wider than
the largest object. For nuclei, make it as wide as the whole cell if the rest of the
cell matters.
""",
    )


def make_hide_neighbors() -> Binary:
    """Make the setting that blanks other objects in the square."""
    return Binary(
        "Hide neighboring objects?",
        False,
        doc="""\
*(Used only when objects are measured)* *Yes* sets the pixels of other objects within
the square to background. *No* leaves the surroundings of the object as they are.""",
    )


def make_reduce() -> Binary:
    """Make the setting that writes principal components in place of features."""
    return Binary(
        "Reduce the features to components?",
        False,
        doc="""\
*Yes* writes principal components in place of the features, a few dozen columns per
image (*StratoFeatures_PC0001_DNA*), in tables and Parquet files alike. They fit into
**ExportToDatabase** and CellProfiler Analyst.""",
    )


def make_projection_path() -> Pathname:
    """Make the setting of the projection file."""
    return Pathname(
        "Projection file",
        "",
        wildcard="Projections (*.npz)|*.npz",
        doc="""\
*(Used only when features are reduced)* The file that ``stratonet project`` has fitted
to a table of features, for example of a pilot run. It is valid only for the network,
taps, recipe and images (by name) that it was fitted to, and so either for whole images
or for objects: add one module for each. Its id is written to the Parquet file and to
the table of the experiment: only components of the same projection can be compared.""",
    )


def make_output_choice() -> Choice:
    """Make the choice of where the features are written."""
    return Choice(
        "Write the features to",
        [AUTOMATIC, TABLES, PARQUET, TABLES_AND_PARQUET],
        doc=f"""\
-  *{AUTOMATIC}:* CellProfiler's tables for up to {MOST_TABLE_COLUMNS:,} columns in all,
   a Parquet file for more. *Columns* says which of them it will be.
-  *{TABLES}:* measurements like all others: other modules can use them, and
   **ExportToSpreadsheet** and **ExportToDatabase** write them. Suits *low* of one
   channel, and components.
-  *{PARQUET}:* one file for the images and one for each type of object. With 5,120
   columns it takes 0.2 s per image set, CellProfiler's tables more than 3 s. pandas, R
   and pycytominer read it. Each row has its ImageNumber, its ObjectNumber and the image
   set's metadata. Needs the Python package *pyarrow*. Suits whole plates.
-  *{TABLES_AND_PARQUET}:* both.""",
    )


def make_folder() -> Directory:
    """Make the setting of the Parquet file's folder."""
    return Directory(
        "Folder of the Parquet file",
        dir_choices=[
            DEFAULT_OUTPUT_FOLDER_NAME,
            DEFAULT_OUTPUT_SUBFOLDER_NAME,
            ABSOLUTE_FOLDER_NAME,
        ],
        # All image sets go to one file, which cannot be in a folder of each plate.
        allow_metadata=False,
        doc="""\
*(Used only for Parquet)* The folder to which the file is written at the end of the
run.""",
    )


def make_prefix() -> Text:
    """Make the setting of the beginning of the Parquet file's name."""
    return Text(
        "Prefix of the Parquet file",
        PREFIX,
        doc=f"""\
*(Used only for Parquet)* The beginning of the file's name: *{PREFIX}* gives
*{PREFIX}_Image.parquet*, *{PREFIX}_Nuclei.parquet*, ... Metadata may be part of it:
*\\g<Plate>_{PREFIX}* gives each plate files of its own.""",
        metadata=True,
    )


def make_network_choice() -> Choice:
    """Make the choice of the network: one that ships, or one from a file."""
    return Choice(
        "Network",
        [SHIPPED, FAST, FROM_FILE],
        doc=f"""\
-  *{SHIPPED}:* the network that comes with StratoNet.
-  *{FAST}:* the same network in integers of 8 bits, about three times as fast on recent
   processors (AVX-512 VNNI, AVX-VNNI, Apple's). Its features are nearly the same, and
   must not be mixed with those of the other.
-  *{FROM_FILE}:* a weights file of your own.""",
    )


def make_weights_path() -> Pathname:
    """Make the setting of the weights file."""
    return Pathname(
        "Weights file",
        "",
        wildcard="Weights (*.onnx)|*.onnx",
        doc="""\
*(Used only for a network from a file)* The .onnx file of the network, which must hold a
StratoNet card.""",
    )


def make_column_count(describe: Callable[[], str]) -> WrittenText:
    """Make the text that says how many columns the run will write, and its cost.

    Parameters
    ----------
    describe : callable
        Returns the text.
    """
    return WrittenText(
        "Columns",
        describe,
        (12, 5),
        doc="""\
How many columns the run will write, and where; how long the network takes on one
processor core; and whether it recommends a recipe other than the one you have set.""",
    )


def list_visible(module: MeasureStratoFeatures) -> list[Setting]:
    """List the settings that the window shows for the choices made so far.

    Parameters
    ----------
    module : MeasureStratoFeatures
        The module whose settings they are.
    """
    visible = [module.images, module.region_choice]
    if module.measures_images:
        visible.append(module.view)
        if module.view.value == IN_MICROMETRES:
            visible.append(module.tile_width)
        if module.view.value == CUSTOM:
            visible.append(module.view_text)
        if module.in_micrometres:
            visible.append(module.pixel_size)
    if module.measures_objects:
        visible += [module.objects, module.crop_size, module.square_view]
        if module.square_view.value == CUSTOM:
            visible.append(module.square_view_text)
        visible.append(module.hide_neighbors)
    visible.append(module.tap_words)
    if module.tap_words.value == CUSTOM:
        visible.append(module.taps)
    visible += [module.statistics, module.grey_range]
    if module.grey_range.value == FROM_EXTRACT:
        visible.append(module.limits_file)
    if module.grey_range.value == GIVEN_NUMBERS:
        visible.append(module.limits)
    visible.append(module.reduce)
    if module.reduce.value:
        visible.append(module.projection)
    visible += [module.column_count, module.output]
    if module.writes_parquet:
        visible += [module.folder, module.prefix]
    visible.append(module.network)
    if module.network.value == FROM_FILE:
        visible.append(module.weights)
    return visible

"""The settings of MeasureStratoFeatures that make up the recipe, and their upgrade.

New modules start with what the network recommends; pipelines that were saved earlier
keep their settings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellprofiler_core.constants.measurement import IMAGE
from cellprofiler_core.setting.choice import Choice
from cellprofiler_core.setting.text import Float, Pathname, Text

from cellprofiler_plugin import recipes
from cellprofiler_plugin.recipes import (
    CUSTOM,
    FROM_EXTRACT,
    GIVEN_NUMBERS,
    OF_EACH_IMAGE,
    SQUARE_VIEWS,
    STATISTICS,
    VIEWS,
    find_words,
)
from cellprofiler_plugin.settings import CROP_SIZE, SHIPPED
from cellprofiler_plugin.tap_settings import find_tap_words
from stratonet.views import LARGEST_TILE, SMALLEST_TILE
from stratonet.weights_file import read_card

if TYPE_CHECKING:
    from cellprofiler_plugin.plugins.measurestratofeatures import MeasureStratoFeatures

# Index of the list of taps among the saved settings.
TAP_LIST = 5
# What 224 pixels cover at 20x, binned by two: the scale of most screens.
TILE_WIDTH = 150.0


def make_view_choice() -> Choice:
    """Make the choice of how whole images are shown; default: as recommended."""
    whole_image, two_across, tiles, in_micrometres, whole_and_tiles = VIEWS
    words = find_words(VIEWS, recommend_views(), read_card(SHIPPED))
    return Choice(
        "How images are shown to the network",
        [*VIEWS, CUSTOM],
        value=words if words in VIEWS else CUSTOM,
        doc=f"""\
*(Used only when whole images are measured)* The network recognizes textures and shapes
a few pixels wide, so what it sees of a cell depends on how large the cell is shown.

-  *{whole_image}:* resized to 224 x 224 pixels. Fast; single cells become small.
-  *{two_across}:* resized until two tiles of 224 x 224 pixels fit into the shorter
   side, and cut into tiles; the features are averaged over them. Cells are twice as
   large as in a whole image; a square image takes four times as long.
-  *{tiles}:* cut into tiles of 224 x 224 pixels, without resizing. Shows single cells
   in the most detail; the time grows with the number of tiles.
-  *{in_micrometres}:* resized until a tile of 224 x 224 pixels has the width that you
   give, and cut into tiles. A cell has the same size at every magnification, so that
   the features of different objectives can be compared.
-  *{whole_and_tiles}:* the whole image and tiles at the cells' scale; each gives
   features of its own, so there are twice as many columns.
-  *{CUSTOM}* lets you write the view in the notation of recipes.""",
    )


def recommend_views(crop: int | None = None) -> str:
    """Return the views that the network recommends, in the notation of recipes.

    Parameters
    ----------
    crop : int, optional
        Side of the squares around objects; None for whole images.

    Examples
    --------
    >>> recommend_views()
    'tiles224-across2'
    """
    views, _ = read_card(SHIPPED).choose_recipe(crop=crop).text.split("/")
    return views


def make_view_text() -> Text:
    """Make the setting of views that are not among the choices."""
    return Text(
        "Custom view of images",
        recommend_views(),
        doc=f"""\
*(Used only for {CUSTOM})* In the notation of recipes: *whole224*, *tiles224* (at the
cells' scale), *tiles224-across3* (three tiles across), *tiles224-overlap50* (each tile
overlaps the next by half its width), *tiles224-75um* (75 micrometres wide), or a whole
image and tiles, each with features of its own: *whole224+tiles224-across2*.""",
    )


def make_square_view_text() -> Text:
    """Make the setting of views of squares that are not among the choices."""
    return Text(
        "Custom view of squares",
        recommend_views(CROP_SIZE),
        doc=f"""\
*(Used only for {CUSTOM})* In the notation of recipes: *tiles224* (pixels as they are),
*tiles224-smallest64* (only squares of less than 64 pixels are enlarged), *whole224*
(resized), or both, each with features of its own: *whole224+tiles224*.""",
    )


def make_tile_width() -> Float:
    """Make the setting of the width of tiles in micrometres."""
    return Float(
        "Width of a tile, in micrometres",
        TILE_WIDTH,
        minval=SMALLEST_TILE,
        maxval=LARGEST_TILE,
        doc="""\
*(Used only for tiles of a width in micrometres)* 150 micrometres are five to ten cells
across. The width is part of the id of the features; the size of a pixel is not.""",
    )


def make_pixel_size() -> Text:
    """Make the setting of the size of a pixel."""
    return Text(
        "Size of a pixel, in micrometres",
        "",
        metadata=True,
        doc="""\
*(Used only for tiles of a width in micrometres)* The size of the camera's pixels,
divided by the magnification (and multiplied by the binning): for 6.5 micrometres and a
20x objective, 0.325. If plates differ, use metadata: *\\g<PixelSize>*.""",
    )


def make_square_view_choice() -> Choice:
    """Make the choice of how squares are shown; default: as recommended."""
    own_scale, enlarged = SQUARE_VIEWS
    views = recommend_views(CROP_SIZE)
    words = find_words(SQUARE_VIEWS, views, read_card(SHIPPED))
    return Choice(
        "How squares are shown to the network",
        [*SQUARE_VIEWS, CUSTOM],
        value=words if words in SQUARE_VIEWS else CUSTOM,
        doc=f"""\
*(Used only when objects are measured)*

-  *{own_scale}:* the pixels as they are; only squares of less than 96 pixels are
   enlarged. Several times as fast.
-  *{enlarged}:* resized to 224 x 224 pixels.
-  *{CUSTOM}* lets you write the view in the notation of recipes.""",
    )


def make_statistics_choice() -> Choice:
    """Make the choice of statistics of the network's maps; default: as recommended."""
    mean, mean_and_sd = STATISTICS
    card = read_card(SHIPPED)
    _, statistics = card.choose_recipe().text.split("/")
    return Choice(
        "Statistics",
        list(STATISTICS),
        value=find_words(STATISTICS, statistics, card),
        doc=f"""\
Each output of the network is a map of the image. *{mean}* keeps the average of the map,
*{mean_and_sd}* also how much it varies across the image, which tells a few bright cells
from many dim ones. That makes twice as many columns (*..._HighSD0012_DNA*).""",
    )


def make_grey_range_choice() -> Choice:
    """Make the choice of which grey values become black and white."""
    return Choice(
        "Grey range",
        [OF_EACH_IMAGE, FROM_EXTRACT, GIVEN_NUMBERS],
        doc=f"""\
Which grey values the network sees as black and as white.

-  *{OF_EACH_IMAGE}:* between the darkest and brightest percentiles of each image, or of
   each square. Exposure and bit depth do not matter.
-  *{FROM_EXTRACT}:* the same for all images of a plate, so that a dim image stays dim.
   ``stratonet extract --grey-range plate`` measures the plate and writes the file.
-  *{GIVEN_NUMBERS}:* the same for all images, as you type them.""",
    )


def make_limits_path() -> Pathname:
    """Make the setting of the file with the limits of plates."""
    return Pathname(
        "File of grey ranges",
        "",
        wildcard="Grey ranges (*.json)|*.json",
        doc="""\
*(Used only for grey ranges from a file)* The file names plates and channels: the plate
is the image set's *Metadata_Plate*, and the channels must have the names of your
images. For image sets without a plate, use a file with one plate.""",
    )


def make_limits_text() -> Text:
    """Make the setting of the limits that the user types."""
    return Text(
        "Grey ranges",
        "",
        doc="""\
*(Used only for given numbers)* The grey values that become black and white in each
image, for example *DNA: 100-4000, ER: 50-900*, in the units of the files: 0 to 255 or
0 to 65535 for images of 8 or 16 bits. Values outside the range become black or white,
too. An image that a module has made from a loaded one is taken to be in the units of
the loaded one; any other is in CellProfiler's own units, 0 to 1.""",
    )


def write_views(module: MeasureStratoFeatures, object_name: str) -> str:
    """Return the views of images, or of squares, in the notation of recipes.

    Parameters
    ----------
    module : MeasureStratoFeatures
        The module whose settings are used.
    object_name : str
        ``Image`` or the name of the objects.

    Returns
    -------
    str

    Raises
    ------
    OSError, ValueError
        The choice or the network does not exist.
    """
    table, choice, text = VIEWS, module.view, module.view_text
    if object_name != IMAGE:
        table, choice = SQUARE_VIEWS, module.square_view
        text = module.square_view_text
    card, width = module.get_card(), module.tile_width.value
    return recipes.write_views(table, choice.value, text.value, card, width)


def upgrade(values: list[str], revision: int) -> tuple[list[str], int]:
    """Convert the values of settings that an earlier version saved.

    Parameters
    ----------
    values : list of str
        The values, in the order in which they were saved.
    revision : int
        Revision of the module that saved them.

    Returns
    -------
    tuple of (list of str, int)
        The values, and the revision that they now have.
    """
    # Revision 1 could not reduce features to components.
    if revision == 1:
        values, revision = [*values, "No", ""], 2
    # Revision 2 had one fixed recipe.
    if revision == 2:
        whole_image, *_ = VIEWS
        _, enlarged = SQUARE_VIEWS
        mean, _ = STATISTICS
        values = [*values, whole_image, enlarged, mean, OF_EACH_IMAGE, "", ""]
        revision = 3
    # Revision 3 had no views in micrometres.
    if revision == 3:
        values, revision = [*values, str(TILE_WIDTH), ""], 4
    # Revision 4 had only a list of taps, and no custom views.
    if revision == 4:
        words = find_tap_words(values[TAP_LIST])
        values = [*values, words, recommend_views(), recommend_views(CROP_SIZE)]
        revision = 5
    return values, revision

"""Names of the columns that all feature tables share."""

from __future__ import annotations

from collections.abc import Iterable

SOURCE = "Metadata_Source"
BATCH = "Metadata_Batch"
PLATE = "Metadata_Plate"
WELL = "Metadata_Well"
SITE = "Metadata_Site"
# Side of a pixel of an image set, in micrometres.
PIXEL_SIZE = "Metadata_PixelSize"
# How the planes in z of an image set were projected to one.
STACK_PROJECTION = "Metadata_StackProjection"
# The label image of the objects, as a SpatialData store calls it.
REGION = "Metadata_Region"
# The columns that identify a plate, from the largest unit to the smallest.
PLATE_KEYS = (SOURCE, BATCH, PLATE)

# CellProfiler's own columns, which its module writes, too, and the columns of the same
# meaning in tables of `stratonet extract` and in all tables after they have been read.
IMAGE_NUMBER = "ImageNumber"
OBJECT_NUMBER = "ObjectNumber"
IMAGE = "Metadata_ImageNumber"
OBJECT = "Metadata_ObjectNumber"
# The columns that identify a row. An object's number is unique within its image only.
KEYS = (PLATE, WELL, SITE, REGION, IMAGE, OBJECT)
# CellProfiler's names for the row and column of an object's centre, in pixels.
CENTER = ("Location_Center_Y", "Location_Center_X")

# The id of the feature set, and the id of the projection if features were reduced to
# components.
FEATURE_SET = "Metadata_StratoFeatures"
PROJECTION = "Metadata_StratoProjection"
# Version of the package that measured, and the reason why a row was not measured.
VERSION = "Metadata_StratoNetVersion"
ERROR = "Metadata_Error"


def find_object_column(frame: Iterable[str]) -> str | None:
    """Find the column with the numbers of a table's objects, whatever it is called.

    Parameters
    ----------
    frame : pandas.DataFrame or iterable of str
        A frame, or names of columns.

    Returns
    -------
    str or None
        ``Metadata_ObjectNumber`` of `stratonet extract`, or ``ObjectNumber`` of the
        CellProfiler module; None if rows are not objects.

    Examples
    --------
    >>> find_object_column(["ImageNumber", "ObjectNumber", "Metadata_Well"])
    'ObjectNumber'
    >>> find_object_column(["Metadata_Plate", "Metadata_Well"])
    """
    names = set(frame)
    for name in (OBJECT, OBJECT_NUMBER):
        if name in names:
            return name
    return None

"""The columns that tables of features share, whoever writes or reads them."""

from __future__ import annotations

from collections.abc import Iterable

SOURCE = "Metadata_Source"
BATCH = "Metadata_Batch"
PLATE = "Metadata_Plate"
WELL = "Metadata_Well"
SITE = "Metadata_Site"
# Micrometres along the side of a pixel of an image set.
PIXEL_SIZE = "Metadata_PixelSize"
# How the planes in z of an image set became one.
STACK_PROJECTION = "Metadata_StackProjection"
# The label image that objects are in, as a store of SpatialData calls it.
REGION = "Metadata_Region"
# What names a plate, the widest first.
PLATE_KEYS = (SOURCE, BATCH, PLATE)

# CellProfiler's own columns, which its module writes too, and those of the same meaning
# in tables of `stratonet extract` and of all that has been read.
IMAGE_NUMBER = "ImageNumber"
OBJECT_NUMBER = "ObjectNumber"
IMAGE = "Metadata_ImageNumber"
OBJECT = "Metadata_ObjectNumber"
# What tells one row from another. An object's number is its own within an image only.
KEYS = (PLATE, WELL, SITE, REGION, IMAGE, OBJECT)
# Row and column of an object's centre, in pixels, as CellProfiler names them.
CENTER = ("Location_Center_Y", "Location_Center_X")

# The id of the feature set, and of the projection where features were reduced to
# components.
FEATURE_SET = "Metadata_StratoFeatures"
PROJECTION = "Metadata_StratoProjection"
# Version of the package that measured, and why something could not be measured.
VERSION = "Metadata_StratoNetVersion"
ERROR = "Metadata_Error"


def find_object_column(frame: Iterable[str]) -> str | None:
    """Find the column that numbers the objects of a table, whoever has written it.

    Parameters
    ----------
    frame : pandas.DataFrame or iterable of str
        A frame, or the names of its columns.

    Returns
    -------
    str or None
        ``Metadata_ObjectNumber`` of `stratonet extract`, or ``ObjectNumber`` of the
        CellProfiler module; None where rows are no objects.

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

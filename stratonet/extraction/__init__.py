"""From tables of image sets to feature tables: locally, with S3, or on a cluster.

>>> from stratonet.extraction import ImageSource, ObjectsFromLabels, extract
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stratonet.extras import import_when_used

if TYPE_CHECKING:
    from stratonet.extraction.engine import Shard
    from stratonet.extraction.job import (
        ObjectsFromCenters,
        ObjectsFromLabels,
        WholeImages,
    )
    from stratonet.extraction.layouts import GalleryLayout, PlateLayout
    from stratonet.extraction.local_engine import LocalEngine
    from stratonet.extraction.ray_engine import RayEngine as RayEngine
    from stratonet.extraction.run import extract
    from stratonet.extraction.sources.imagesets import ImageSource
    from stratonet.extraction.summary import Summary

# RayEngine is left out: `import *` must work without Ray.
__all__ = [
    "GalleryLayout",
    "ImageSource",
    "LocalEngine",
    "ObjectsFromCenters",
    "ObjectsFromLabels",
    "PlateLayout",
    "Shard",
    "Summary",
    "WholeImages",
    "extract",
]
# The modules that define what users import.
_HOMES = {
    "GalleryLayout": "stratonet.extraction.layouts",
    "ImageSource": "stratonet.extraction.sources.imagesets",
    "LocalEngine": "stratonet.extraction.local_engine",
    "ObjectsFromCenters": "stratonet.extraction.job",
    "ObjectsFromLabels": "stratonet.extraction.job",
    "PlateLayout": "stratonet.extraction.layouts",
    "RayEngine": "stratonet.extraction.ray_engine",
    "Shard": "stratonet.extraction.engine",
    "Summary": "stratonet.extraction.summary",
    "WholeImages": "stratonet.extraction.job",
    "extract": "stratonet.extraction.run",
}

# pandas, pyarrow and Ray take seconds to import, so they are imported on first use.
__getattr__, __dir__ = import_when_used(
    __name__, _HOMES, "extract", others={"RayEngine": "ray"}
)

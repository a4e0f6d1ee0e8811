"""From tables of image sets to feature tables: here, from and to S3, on a cluster.

>>> from stratonet.extraction import ImageSource, ObjectsFromLabels, extract
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from stratonet.extras import name_missing_extra

# Where what users import is defined.
_HOMES = {
    "GalleryLayout": "layouts",
    "ImageSource": "sources.imagesets",
    "LocalEngine": "local_engine",
    "ObjectsFromCenters": "job",
    "ObjectsFromLabels": "job",
    "PlateLayout": "layouts",
    "RayEngine": "ray_engine",
    "Shard": "engine",
    "Summary": "summary",
    "WholeImages": "job",
    "extract": "run",
}
# Not all who extract have Ray: importing everything must not need it.
__all__ = [name for name in _HOMES if name != "RayEngine"]


def __getattr__(name: str) -> Any:
    # pandas, pyarrow and Ray take seconds to import: not before they are used.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    extra = "ray" if name == "RayEngine" else "extract"
    with name_missing_extra(f"stratonet.extraction.{name}", extra):
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

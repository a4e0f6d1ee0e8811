"""From tables of image sets to feature tables: here, from and to S3, on a cluster.

What is offered here is imported when it is used: pandas, pyarrow and Ray take seconds.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "GalleryLayout": "layouts",
    "ImageSource": "sources.imagesets",
    "LocalEngine": "local_engine",
    "ObjectsFromCenters": "recipe",
    "ObjectsFromLabels": "recipe",
    "PlateLayout": "layouts",
    "RayEngine": "ray_engine",
    "Shard": "engine",
    "Summary": "summary",
    "WholeImages": "recipe",
    "extract": "run",
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)

"""Which image sets a run measures: what tells one from another, in a few letters.

The process that plans and those that measure each ask this of their own image sets.
Where the answers differ, they would measure different images under the same numbers.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cellprofiler_core.constants.measurement import IMAGE
from cellprofiler_core.utilities.pathname import url2pathname

from cellprofiler_plugin.measurements import IDENTIFYING

if TYPE_CHECKING:
    from cellprofiler_core.measurement import Measurements

# How they begin that say which label images are loaded as objects; see `IDENTIFYING`.
OBJECTS = "Objects"
URLS = ("URL_", "ObjectsURL_")
# Letters of a digest: of ten million image sets, no two are the same by chance.
LENGTH = 16


def identify_image_sets(
    measurements: Measurements, numbers: Sequence[int]
) -> list[tuple[str, str]]:
    """Tell image sets from each other, and each from what its files held before.

    Parameters
    ----------
    measurements : cellprofiler_core.measurement.Measurements
        Of a run that is prepared.
    numbers : sequence of int
        Numbers of image sets.

    Returns
    -------
    list of (str, str)
        Of each image set: digests of its files' names and metadata, and of the sizes
        and dates of its files.
    """
    names: list[list[str]] = [[] for _ in numbers]
    files: list[list[str]] = [[] for _ in numbers]
    for feature in sorted(measurements.get_feature_names(IMAGE)):
        if not feature.startswith((*IDENTIFYING, OBJECTS)):
            continue
        values = measurements.get_measurement(IMAGE, feature, numbers)
        for index, value in enumerate(values):
            names[index].append(f"{feature}={value}")
            if feature.startswith(URLS):
                files[index].append(_describe_file(str(value)))
    return [(_digest(own), _digest(state)) for own, state in zip(names, files)]


def _describe_file(url: str) -> str:
    """Size and date of a file on a disk; empty where there is none."""
    if not url.startswith("file:"):
        return ""
    try:
        found = os.stat(url2pathname(url))
    except (OSError, ValueError):
        return ""
    return f"{found.st_size} {found.st_mtime_ns}"


def _digest(words: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:LENGTH]

"""Identify the image sets that a run measures, by short digests.

The process that plans a run and those that measure each compute this for their own
image sets. If the digests differ, the same numbers stand for different images.
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

# Prefix of the measurements that say which label images are loaded as objects; see
# `IDENTIFYING`.
OBJECTS = "Objects"
URLS = ("URL_", "ObjectsURL_")
# Characters of a digest: enough that no two of ten million image sets agree by chance.
DIGEST_LENGTH = 16


def identify_image_sets(
    measurements: Measurements, numbers: Sequence[int]
) -> list[tuple[str, str]]:
    """Compute digests that identify image sets, and the state of their files.

    Parameters
    ----------
    measurements : cellprofiler_core.measurement.Measurements
        The measurements of a prepared run.
    numbers : sequence of int
        Numbers of image sets.

    Returns
    -------
    list of (str, str)
        For each image set, a digest of the names of its files and its metadata, and one
        of the sizes and dates of its files.
    """
    all_names: list[list[str]] = [[] for _ in numbers]
    all_files: list[list[str]] = [[] for _ in numbers]
    for feature in sorted(measurements.get_feature_names(IMAGE)):
        if not feature.startswith((*IDENTIFYING, OBJECTS)):
            continue
        values = measurements.get_measurement(IMAGE, feature, numbers)
        for index, value in enumerate(values):
            all_names[index].append(f"{feature}={value}")
            if feature.startswith(URLS):
                all_files[index].append(_describe_file(str(value)))
    return [
        (_digest(own_names), _digest(own_files))
        for own_names, own_files in zip(all_names, all_files)
    ]


def _describe_file(url: str) -> str:
    """Return size and date of a file on a disk; empty if there is no such file."""
    if not url.startswith("file:"):
        return ""
    try:
        status = os.stat(url2pathname(url))
    except (OSError, ValueError):
        return ""
    return f"{status.st_size} {status.st_mtime_ns}"


def _digest(words: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:DIGEST_LENGTH]

"""What CellProfiler computes from all image sets at the end of a run.

MeasureImageQuality adds the mean, the median and the standard deviation of its
thresholds over the experiment. A part has only its own image sets: it stores their
thresholds, and the statistics are computed from all of them when the parts are merged.
"""

from __future__ import annotations

import csv
import io
import sqlite3
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cellprofiler_plugin.merge_sqlite import is_sqlite
from stratonet.files.atomic import write_atomically

if TYPE_CHECKING:
    from cellprofiler_core.measurement import Measurements
    from cellprofiler_core.module import Module
    from cellprofiler_core.workspace import Workspace

    # Name of the threshold, and for each statistic the name of the measurement that
    # the experiment gets.
    Threshold = tuple[str, dict[str, str]]

# By the names that MeasureImageQuality uses.
STATISTICS = {"Mean": np.mean, "Median": np.median, "Std": np.std}
# The first line of ExportToSpreadsheet's table of the experiment.
HEADER = ["Key", "Value"]
# One cell of the table of the experiment holds the whole pipeline.
LONGEST_CELL = 2**31 - 1


def keep_thresholds(workspace: Workspace) -> list[dict[str, Any]]:
    """Collect the thresholds of a part, instead of computing statistics from them.

    Parameters
    ----------
    workspace : cellprofiler_core.workspace.Workspace
        The workspace of a run that has measured its last image set. This keeps
        MeasureImageQuality from computing anything more, and sets what it would add to
        the experiment to NaN.

    Returns
    -------
    list of dict
        ``names``: names of the experiment's measurements, by statistic; ``values``: the
        thresholds of the image sets, in order.
    """
    thresholds = []
    measurements = workspace.measurements
    for module in workspace.pipeline.modules():
        if module.module_name != "MeasureImageQuality":
            continue
        for feature, names in _list_thresholds(module, workspace):
            values = _read_values(measurements, feature)
            thresholds.append({"names": names, "values": values})
            for name in names.values():
                measurements.add_experiment_measurement(name, np.nan)
        module.post_run = _do_nothing
    return thresholds


def _list_thresholds(module: Module, workspace: Workspace) -> Iterator[Threshold]:
    for group in module.image_groups:
        if not group.calculate_threshold.value:
            continue
        for image in module.images_to_process(group, workspace):
            for threshold in module.get_all_threshold_groups(group):
                names = {
                    statistic: threshold.threshold_feature_name(image, agg=statistic)
                    for statistic in STATISTICS
                }
                yield threshold.threshold_feature_name(image), names


def _read_values(measurements: Measurements, feature: str) -> list[float]:
    # If no image set has reached the module, the measurement does not exist.
    if not measurements.has_feature("Image", feature):
        return []
    numbers = measurements.get_image_numbers()
    return [float(v) for v in measurements.get_measurement("Image", feature, numbers)]


def _do_nothing(*_: Any) -> None:
    pass


def compute_statistics(parts: Iterable[list[dict[str, Any]]]) -> dict[str, float]:
    """Compute the experiment's measurements from the thresholds of all parts.

    Parameters
    ----------
    parts : iterable of list of dict
        What `keep_thresholds` returned for each part, in the order of the image sets.

    Returns
    -------
    dict of str to float
        The values by the names of the measurements; NaN if no image set has one.

    Examples
    --------
    >>> names = {"Mean": "ImageQuality_MeanThresholdOtsu_DNA_2W"}
    >>> parts = [[{"names": names, "values": [values]}] for values in (1.0, 2.0)]
    >>> compute_statistics(parts)
    {'ImageQuality_MeanThresholdOtsu_DNA_2W': 1.5}
    """
    values: dict[str, list[float]] = {}
    statistics: dict[str, str] = {}
    for part in parts:
        for threshold in part:
            for statistic, name in threshold["names"].items():
                statistics[name] = statistic
                values.setdefault(name, []).extend(threshold["values"])
    with warnings.catch_warnings():
        # The mean of no values is NaN, with a warning.
        warnings.simplefilter("ignore", RuntimeWarning)
        return {
            name: float(STATISTICS[statistics[name]](array[np.isfinite(array)]))
            for name, array in (
                (name, np.array(array)) for name, array in values.items()
            )
        }


def write_statistics(values: Mapping[str, float], files: Iterable[Path]) -> None:
    """Write the experiment's measurements into the files that CellProfiler exported.

    Parameters
    ----------
    values : mapping of str to float
        From `compute_statistics`.
    files : iterable of pathlib.Path
        The files that a run has written. In tables of the experiment, from
        ExportToSpreadsheet or in databases of ExportToDatabase, these values replace
        those of the same name.
    """
    if not values:
        return
    for path in files:
        if is_sqlite(path):
            _write_to_database(values, path)
        elif path.suffix.lower() in (".csv", ".txt", ".tsv"):
            _write_to_sheet(values, path)


def _write_to_sheet(values: Mapping[str, float], path: Path) -> None:
    with open(path, encoding="utf-8", errors="replace", newline="") as file:
        delimiter = "\t" if "\t" in file.readline(100) else ","
        file.seek(0)
        csv.field_size_limit(LONGEST_CELL)
        rows = csv.reader(file, delimiter=delimiter)
        # The first line tells other tables, which may be long, from this one.
        if next(rows, None) != HEADER:
            return
        content = [HEADER, *rows]
    for row in content[1:]:
        if row and row[0] in values:
            row[1:] = [str(values[row[0]])]
    words = io.StringIO(newline="")
    csv.writer(words, delimiter=delimiter).writerows(content)
    with write_atomically(path) as unfinished:
        unfinished.write_bytes(words.getvalue().encode())


def _write_to_database(values: Mapping[str, float], path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        tables = database.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table'"
            " AND name LIKE '%Per_Experiment'"
        ).fetchall()
        for (table,) in tables:
            info = database.execute(f'PRAGMA table_info("{table}")').fetchall()
            for _, column, *_ in info:
                if column in values:
                    # Text, as in ExportToDatabase: SQLite stores a NaN as NULL.
                    database.execute(
                        f'UPDATE "{table}" SET "{column}" = ?', [str(values[column])]
                    )
        database.commit()

"""Asks CellProfiler what a headless run would do, without doing it.

    python -m cellprofiler_plugin.plan PLAN -c -r --pipeline=... --output-directory=...

CellProfiler reads its own arguments and prepares the run; the file PLAN then holds, as
JSON,

- ``image_sets``: [number, number of its group] of each, in the order of the run;
- ``groups``: for each group its keys and values as ``--group`` takes them, {} where the
  pipeline does not group;
- ``whole``: names of modules that need all image sets of a group at once;
- ``writes``: names of files that each process has to write; ``tables``: whether it has
  to write CSV tables;
- ``last_module``: its number;
- ``searches``: whether it takes what lies in the image directory, rather than a table
  of LoadData;
- ``digest``: of the pipeline, its weights and projections, and of what it measures;
- or ``error``: why it cannot be run, or not in parts.
"""

import hashlib
import json
import sys

import cellprofiler.__main__ as cellprofiler
from cellprofiler_core.constants.measurement import EXPERIMENT, IMAGE
from cellprofiler_core.image import ImageSetList
from cellprofiler_core.measurement import Measurements
from cellprofiler_core.module import Module
from cellprofiler_core.pipeline import Pipeline
from cellprofiler_core.pipeline.event import LoadException, PrepareRunError
from cellprofiler_core.pipeline.event.run_exception import PrepareRunException
from cellprofiler_core.preferences import (
    DEFAULT_OUTPUT_FOLDER_NAME,
    DEFAULT_OUTPUT_SUBFOLDER_NAME,
)
from cellprofiler_core.setting.text import Directory
from cellprofiler_core.workspace import Workspace

from stratonet import __version__
from stratonet.naming import PREFIX

OF_IMAGE_SETS = (
    "FileName_",
    "PathName_",
    "URL_",
    "Frame_",
    "Series_",
    "Objects",
    "Metadata_",
)
EXPORTS = ("ExportToSpreadsheet", "ExportToDatabase", "MeasureStratoFeatures")


class Planned(Pipeline):
    """A pipeline that says what it would do in place of doing it."""

    path = None

    def __init__(self):
        super().__init__()
        self.errors = []
        self.add_listener(self.hear)

    def hear(self, pipeline, event):
        if isinstance(event, PrepareRunError):
            self.errors.append(event.message)
        elif isinstance(event, LoadException):
            self.errors.append(
                f"The module {event.module_name} cannot be loaded: {event.error}"
            )
        elif isinstance(event, PrepareRunException):
            found = self.measurements.image_set_count
            self.errors.append(
                f"{event.module.module_name}: {event.error}"
                if found
                else "CellProfiler finds no image sets among the images."
            )

    def run(
        self, image_set_start, image_set_end, grouping, initial_measurements=None, **_
    ):
        try:
            plan = self.plan(
                image_set_start, image_set_end, grouping, initial_measurements
            )
        except ValueError as error:
            plan = {"error": str(error)}
        with open(self.path, "w") as file:
            json.dump(plan, file)
        sys.exit()

    def plan(self, first, last, grouping, initial_measurements):
        self.check()
        self.measurements = measurements = Measurements(
            image_set_start=first, copy=initial_measurements
        )
        workspace = Workspace(
            self, None, None, None, measurements, ImageSetList(), None
        )
        if not self.prepare_run(workspace):
            raise ValueError(
                " ".join(self.errors) or "CellProfiler could not prepare the run."
            )
        chosen = self.group(grouping, first, last, measurements, workspace)
        image_sets = [
            [int(number), int(group)]
            for group, _, number, _ in chosen
            if number is not None
        ]
        if not image_sets:
            raise ValueError(
                "There is no image set to run: the first, the last or the group that"
                " was given leaves none."
            )
        keys, groupings = self.get_groupings(workspace)
        return {
            "image_sets": image_sets,
            "groups": [
                {key: str(values[key]) for key in keys} for values, _ in groupings
            ],
            "whole": sorted(
                {
                    module.module_name
                    for module in self.modules()
                    if module.is_aggregation_module()
                }
            ),
            **self.written(),
            "searches": any(
                module.module_name == "Images" for module in self.modules()
            ),
            "last_module": max(module.module_num for module in self.modules()),
            "digest": self.digest(measurements),
        }

    def check(self):
        """Refuse what does not load, and what cannot be put together from parts."""
        if self.errors:
            raise ValueError(" ".join(self.errors))
        for module in self.modules():
            place = f"{module.module_name} (module {module.module_num})"
            if module.module_name == "CreateBatchFiles" and not self.in_batch_mode():
                raise ValueError(
                    f"{place} would only prepare a run. Remove it, or give the"
                    " Batch_data.h5 it has written."
                )
            if module.module_name in EXPORTS:
                self.check_export(module, place)
            elif type(module).post_run is not Module.post_run:
                columns = module.get_measurement_columns(self)
                if module.module_name == "CalculateStatistics" or any(
                    kind == EXPERIMENT for kind, *_ in columns
                ):
                    raise ValueError(
                        f"{place} computes from all image sets at once. Run the"
                        " pipeline with cellprofiler -c -r."
                    )

    def check_export(self, module, place):
        for setting in module.visible_settings():
            if isinstance(setting, Directory) and setting.dir_choice not in (
                DEFAULT_OUTPUT_FOLDER_NAME,
                DEFAULT_OUTPUT_SUBFOLDER_NAME,
            ):
                raise ValueError(
                    f"{place} writes to a folder of its own, where all processes would"
                    f' meet. Set "{setting.text}" to {DEFAULT_OUTPUT_FOLDER_NAME}.'
                    f" Received: {setting.dir_choice}"
                )
        if (
            module.module_name == "ExportToSpreadsheet"
            and module.wants_genepattern_file
        ):
            raise ValueError(
                f"{place} writes a GenePattern file, which cannot be put together from"
                " parts. Switch it off."
            )
        if (
            module.module_name == "ExportToDatabase"
            and module.db_type.value != "SQLite"
        ):
            raise ValueError(
                f"{place} writes to {module.db_type.value}. Only SQLite can be put"
                " together from parts."
            )

    def written(self):
        files, tables = [], False
        for module in self.modules():
            tables |= module.module_name == "ExportToSpreadsheet"
            if module.module_name == "ExportToDatabase":
                files.append(module.sqlite_file.value)
            if module.module_name == "MeasureStratoFeatures" and module.writes_parquet:
                files += [
                    f"{module.prefix.value}_{kind}.parquet" for kind in module.kinds()
                ]
        return {"writes": files, "tables": tables}

    def digest(self, measurements):
        digest = hashlib.sha256(__version__.encode())
        for module in self.modules():
            digest.update(
                repr(
                    [
                        module.module_name,
                        [setting.value for setting in module.settings()],
                    ]
                ).encode()
            )
        for feature in sorted(measurements.get_feature_names(EXPERIMENT)):
            if feature.startswith(
                PREFIX
            ):  # ids of weights and projections, whose files may change under their names
                digest.update(
                    repr(
                        [feature, measurements.get_experiment_measurement(feature)]
                    ).encode()
                )
        for feature in sorted(measurements.get_feature_names(IMAGE)):
            if feature.startswith(OF_IMAGE_SETS):
                values = measurements.get_measurement(
                    IMAGE, feature, measurements.get_image_numbers()
                )
                digest.update(repr([feature, list(map(str, values))]).encode())
        return digest.hexdigest()[:12]


if __name__ == "__main__":
    Planned.path, *arguments = sys.argv[1:]
    cellprofiler.Pipeline = Planned
    cellprofiler.main(["cellprofiler", *arguments])

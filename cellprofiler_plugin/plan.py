"""Asks CellProfiler what a headless run would do, without doing it.

    python -m cellprofiler_plugin.plan ANSWER OUTPUT -c -r --pipeline=... ...

CellProfiler reads its own arguments and prepares the run, so that groups, ranges and
searched folders are what they would be. The file ANSWER then holds, as JSON, the fields
of `batch_plan.RunPlan`; or ``error``: why the pipeline cannot be run, or not in parts.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

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

from cellprofiler_plugin.batch_plan import RunPlan
from cellprofiler_plugin.measurements import list_plates
from cellprofiler_plugin.written_files import WrittenFiles
from stratonet import __version__
from stratonet.naming import METADATA, PREFIX

if TYPE_CHECKING:
    from cellprofiler_core.pipeline.event import Event

# Measurements of an image set that say what is measured.
IDENTIFYING = (
    "FileName_",
    "PathName_",
    "URL_",
    "Frame_",
    "Series_",
    "Objects",
    METADATA,
)
# These write what can be put together from parts; their settings are looked at below.
EXPORTS = ("ExportToSpreadsheet", "ExportToDatabase", "MeasureStratoFeatures")
# Each part has its own default output folder. In any other folder the processes would
# overwrite each other's files.
OUTPUT_FOLDERS = (DEFAULT_OUTPUT_FOLDER_NAME, DEFAULT_OUTPUT_SUBFOLDER_NAME)


class PlanningPipeline(Pipeline):
    """A pipeline that says what it would do in place of doing it.

    Attributes
    ----------
    answer : str
        Path of the file that gets the plan; of the class, because CellProfiler makes
        the pipeline itself.
    output : str
        The user's default output folder; of the class, too.
    errors : list of str
        What CellProfiler has reported while loading and preparing.
    """

    answer: str = ""
    output: str = ""

    def __init__(self) -> None:
        super().__init__()
        self.errors: list[str] = []
        self.measurements: Measurements | None = None
        self.add_listener(self.keep_error)

    def keep_error(self, pipeline: Pipeline, event: Event) -> None:
        """Keep what CellProfiler would only print.

        Parameters
        ----------
        pipeline : cellprofiler_core.pipeline.Pipeline
            This one.
        event : cellprofiler_core.pipeline.event.Event
            Errors are kept, all else is passed over.
        """
        if isinstance(event, PrepareRunError):
            self.errors.append(event.message)
        elif isinstance(event, LoadException):
            self.errors.append(
                f"The module {event.module_name} cannot be loaded: {event.error}"
            )
        elif isinstance(event, PrepareRunException):
            self.errors.append(self._describe_preparation_error(event))

    def _describe_preparation_error(self, event: PrepareRunException) -> str:
        # Without image sets some module fails with words that say nothing of them.
        if self.measurements is None or not self.measurements.image_set_count:
            return "CellProfiler finds no image sets among the images."
        return f"{event.module.module_name}: {event.error}"

    def run(
        self,
        image_set_start: int,
        image_set_end: int | None,
        grouping: dict[str, str] | None,
        initial_measurements: Measurements | None = None,
        **_: Any,
    ) -> NoReturn:
        """Write the plan and end the process; CellProfiler would start to measure here.

        Parameters
        ----------
        image_set_start, image_set_end, grouping, initial_measurements
            As ``Pipeline.run`` takes them.
        """
        try:
            plan = self.make_plan(
                image_set_start, image_set_end, grouping, initial_measurements
            )
            content = asdict(plan)
        except ValueError as error:
            content = {"error": str(error)}
        with open(self.answer, "w") as file:
            json.dump(content, file)
        # After a run CellProfiler would write files of its own.
        sys.exit()

    def make_plan(
        self,
        first: int,
        last: int | None,
        grouping: dict[str, str] | None,
        initial_measurements: Measurements | None,
    ) -> RunPlan:
        """Prepare the run, and tell what it would do.

        Parameters
        ----------
        first, last : int
            Image sets, counted from 1; None for the last one there is.
        grouping : dict of str to str, optional
            Only this group.
        initial_measurements : cellprofiler_core.measurement.Measurements, optional
            Of a project or batch file.

        Returns
        -------
        RunPlan

        Raises
        ------
        ValueError
            The pipeline cannot be run, or not in parts.
        """
        self.check_modules()
        measurements = Measurements(image_set_start=first, copy=initial_measurements)
        self.measurements = measurements
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
            # Each group ends with an item that has no image set.
            if number is not None
        ]
        if not image_sets:
            raise ValueError(
                "There is no image set to run: the first, the last or the group that"
                " was asked for leaves none."
            )
        numbers = {number: group for number, group in image_sets}
        reasons = WrittenFiles(workspace, numbers, Path(self.output)).list_reasons()
        if reasons:
            raise ValueError(" ".join(reasons))
        names = {module.module_name for module in self.modules()}
        return RunPlan(
            image_sets=image_sets,
            groups=self._list_groups(workspace),
            whole=self._list_aggregating_modules(),
            writes=self._list_written_files(),
            writes_tables="ExportToSpreadsheet" in names,
            last_module=max(module.module_num for module in self.modules()),
            searches_images="Images" in names,
            digest=self._compute_digest(measurements),
        )

    def check_modules(self) -> None:
        """Refuse what does not load, and what cannot be put together from parts.

        Raises
        ------
        ValueError
            With the module, and the setting to change.
        """
        if self.errors:
            raise ValueError(" ".join(self.errors))
        for module in self.modules():
            title = f"{module.module_name} (module {module.module_num})"
            if module.module_name == "CreateBatchFiles" and not self.in_batch_mode():
                raise ValueError(
                    f"{title} would only prepare a run. Remove it, or give the"
                    " Batch_data.h5 it has written."
                )
            if module.module_name in EXPORTS:
                _check_folders(module, title)
                _check_format(module, title)
            elif self._computes_from_all(module):
                raise ValueError(
                    f"{title} computes from all image sets at once. Run the pipeline"
                    " with cellprofiler -c -r."
                )

    def _computes_from_all(self, module: Module) -> bool:
        """Whether a module makes something of all image sets after the run."""
        if type(module).post_run is Module.post_run:
            return False
        if module.module_name == "CalculateStatistics":
            return True
        # Of modules that are not CellProfiler's own, what they declare tells.
        columns = module.get_measurement_columns(self)
        return any(object_name == EXPERIMENT for object_name, *_ in columns)

    def _list_groups(self, workspace: Workspace) -> list[dict[str, str]]:
        # Without grouping there are no keys, and one group of all image sets.
        keys, groupings = self.get_groupings(workspace)
        return [{key: str(values[key]) for key in keys} for values, _ in groupings]

    def _list_aggregating_modules(self) -> list[str]:
        return sorted(
            {
                module.module_name
                for module in self.modules()
                if module.is_aggregation_module()
            }
        )

    def _list_written_files(self) -> list[str]:
        files: list[str] = []
        for module in self.modules():
            if module.module_name == "ExportToDatabase":
                files.append(module.sqlite_file.value)
            if module.module_name == "MeasureStratoFeatures" and module.writes_parquet:
                files += module.list_parquet_files()
        return files

    def _compute_digest(self, measurements: Measurements) -> str:
        """Digest of the pipeline and of what it measures, in 12 digits."""
        # Another version may write other columns: its parts must not be mixed in.
        digest = hashlib.sha256(__version__.encode())
        for fact in self._list_facts(measurements):
            digest.update(repr(fact).encode())
        return digest.hexdigest()[:12]

    def _list_facts(self, measurements: Measurements) -> Iterable[list[Any]]:
        for module in self.modules():
            values = [setting.value for setting in module.settings()]
            yield [module.module_name, values]
            if module.module_name == "MeasureStratoFeatures":
                # The file of grey ranges may change under its name.
                yield [
                    [plate, module.choose_limits(plate)]
                    for plate in list_plates(measurements)
                ]
        # Ids of weights and projections, whose files may change under their names.
        for feature in sorted(measurements.get_feature_names(EXPERIMENT)):
            if feature.startswith(PREFIX):
                yield [feature, measurements.get_experiment_measurement(feature)]
        numbers = measurements.get_image_numbers()
        for feature in sorted(measurements.get_feature_names(IMAGE)):
            if feature.startswith(IDENTIFYING):
                values = measurements.get_measurement(IMAGE, feature, numbers)
                yield [feature, [str(value) for value in values]]


def _check_folders(module: Module, title: str) -> None:
    for setting in module.visible_settings():
        if not isinstance(setting, Directory):
            continue
        if setting.dir_choice not in OUTPUT_FOLDERS:
            raise ValueError(
                f"{title} writes to a folder of its own, where all processes would"
                f' meet. Set "{setting.text}" to {DEFAULT_OUTPUT_FOLDER_NAME}.'
                f" Received: {setting.dir_choice}"
            )


def _check_format(module: Module, title: str) -> None:
    name = module.module_name
    if name == "ExportToSpreadsheet" and module.wants_genepattern_file.value:
        raise ValueError(
            f"{title} writes a GenePattern file, which cannot be put together from"
            " parts. Switch it off."
        )
    if name == "ExportToDatabase" and module.db_type.value != "SQLite":
        raise ValueError(
            f"{title} writes to {module.db_type.value}. Only SQLite can be put together"
            " from parts."
        )


def main() -> None:
    """Run CellProfiler's own command line with a pipeline that only plans."""
    PlanningPipeline.answer, PlanningPipeline.output, *arguments = sys.argv[1:]
    cellprofiler.Pipeline = PlanningPipeline
    cellprofiler.main(["cellprofiler", *arguments])


if __name__ == "__main__":
    main()

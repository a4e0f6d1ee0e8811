"""Ask CellProfiler what a headless run would do, without running it.

    python -m cellprofiler_plugin.plan ANSWER OUTPUT -c -r --pipeline=... ...

CellProfiler reads its own arguments and prepares the run, so that groups, ranges and
searched folders are those of a real run. The file ANSWER then holds, as JSON, the
fields of `batch_plan.RunPlan`; or ``error``: why the pipeline cannot be run. OUTPUT is
the user's default output folder, from which modules may read.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import cellprofiler.__main__ as cellprofiler
from cellprofiler_core.constants.measurement import EXPERIMENT
from cellprofiler_core.pipeline import Pipeline
from cellprofiler_core.pipeline.event import LoadException, PrepareRunError
from cellprofiler_core.pipeline.event.run_exception import PrepareRunException
from cellprofiler_core.preferences import (
    DEFAULT_OUTPUT_FOLDER_NAME,
    get_always_continue,
    get_plugin_directory,
)
from cellprofiler_core.setting.text import Directory

from cellprofiler_plugin.batch_plan import RunPlan
from cellprofiler_plugin.folders import OUTPUT_FOLDERS, OutputPipeline
from cellprofiler_plugin.image_sets import identify_image_sets
from cellprofiler_plugin.measurements import list_plates
from cellprofiler_plugin.sequence import (
    list_group_reasons,
    list_run_reasons,
    name_module,
)
from cellprofiler_plugin.written_files import WrittenFiles
from stratonet import __version__
from stratonet.naming import PREFIX

if TYPE_CHECKING:
    from cellprofiler_core.measurement import Measurements
    from cellprofiler_core.module import Module
    from cellprofiler_core.pipeline.event import Event
    from cellprofiler_core.workspace import Workspace

# Modules whose files can be merged from parts, with some settings: see _list_refusals.
EXPORTS = ("ExportToSpreadsheet", "ExportToDatabase", "MeasureStratoFeatures")


class PlanningPipeline(OutputPipeline):
    """A pipeline that writes down what it would do instead of doing it.

    Attributes
    ----------
    answer : str
        Path of the file to which the plan is written. A class attribute, because
        CellProfiler makes the pipeline itself.
    output : str
        The user's default output folder; a class attribute, too.
    errors : list of str
        Errors that CellProfiler reported while loading and preparing.
    """

    answer: str = ""

    def __init__(self) -> None:
        super().__init__()
        self.errors: list[str] = []
        self.measurements: Measurements | None = None
        self.add_listener(self.record_error)

    def record_error(self, pipeline: Pipeline, event: Event) -> None:
        """Keep an error that CellProfiler would only print.

        Parameters
        ----------
        pipeline : cellprofiler_core.pipeline.Pipeline
            This pipeline.
        event : cellprofiler_core.pipeline.event.Event
            Events other than errors are ignored.
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
        # Without image sets some module fails, with an unhelpful message.
        if self.measurements is None or not self.measurements.image_set_count:
            return "CellProfiler finds no image sets among the images."
        return f"{event.module.module_name}: {event.error}"

    def prepare_run(self, workspace: Workspace, *arguments: Any) -> bool:
        """Prepare the run as CellProfiler does; if this fails, answer why.

        Parameters
        ----------
        workspace : cellprofiler_core.workspace.Workspace
            The workspace of the run.
        *arguments
            See ``Pipeline.prepare_run``.
        """
        self.measurements = workspace.measurements
        try:
            self.check_modules()
        except ValueError as error:
            self._answer({"error": str(error)})
        if not super().prepare_run(workspace, *arguments):
            reasons = " ".join(self.errors)
            self._answer(
                {"error": reasons or "CellProfiler could not prepare the run."}
            )
        return True

    def group(
        self,
        grouping: dict[str, str] | None,
        image_set_start: int,
        image_set_end: int | None,
        initial_measurements: Measurements,
        workspace: Workspace,
    ) -> NoReturn:
        """Write the plan and end the process where CellProfiler would begin measuring.

        By now CellProfiler has read the project or batch file, prepared the run and
        dropped the image sets that were not requested.

        Parameters
        ----------
        grouping, image_set_start, image_set_end, initial_measurements, workspace
            See ``Pipeline.group``.
        """
        try:
            chosen = super().group(
                grouping,
                image_set_start,
                image_set_end,
                initial_measurements,
                workspace,
            )
            # Each group ends with an item that has no image set.
            numbers = {
                int(number): int(group)
                for group, _, number, _ in chosen
                if number is not None
            }
            plan = self.make_plan(numbers, workspace)
        except ValueError as error:
            self._answer({"error": str(error)})
        self._answer(asdict(plan))

    def _answer(self, content: dict[str, Any]) -> NoReturn:
        with open(self.answer, "w") as file:
            json.dump(content, file)
        # After a run CellProfiler would write files of its own.
        sys.exit()

    def make_plan(self, numbers: dict[int, int], workspace: Workspace) -> RunPlan:
        """Describe what a prepared run would do.

        Parameters
        ----------
        numbers : dict of int to int
            The group of each image set, in the order of the run.
        workspace : cellprofiler_core.workspace.Workspace
            The workspace of the run.

        Returns
        -------
        RunPlan

        Raises
        ------
        ValueError
            There is nothing to run.
        """
        if not numbers:
            raise ValueError(
                "There is no image set to run: the first or last image set, or the"
                " group, that was requested leaves none."
            )
        measurements = workspace.measurements
        identities = identify_image_sets(measurements, list(numbers))
        image_sets = [
            [number, group, *words]
            for (number, group), words in zip(numbers.items(), identities)
        ]
        names = {module.module_name for module in self.modules()}
        written = WrittenFiles(workspace, numbers, Path(self.output))
        return RunPlan(
            image_sets=image_sets,
            groups=self._list_groups(workspace),
            group_reasons=list_group_reasons(self),
            sequential=list_run_reasons(self, bool(get_always_continue())),
            refusals=[*self.list_refusals(), *written.list_reasons()],
            writes=self._list_written_files(),
            writes_tables="ExportToSpreadsheet" in names,
            last_module=max(module.module_num for module in self.modules()),
            searches_images="Images" in names,
            digest=self._compute_digest(measurements, image_sets),
        )

    def check_modules(self) -> None:
        """Refuse modules that cannot be loaded, or that prevent measuring.

        Raises
        ------
        ValueError
            The message names the module and says what to do.
        """
        if self.errors:
            raise ValueError(" ".join(self.errors))
        for module in self.modules():
            if module.module_name == "CreateBatchFiles" and not self.in_batch_mode():
                raise ValueError(
                    f"{name_module(module)} would only prepare a run. Remove it, or"
                    " give the Batch_data.h5 it has written."
                )

    def list_refusals(self) -> list[str]:
        """List settings whose files cannot be merged from parts.

        Returns
        -------
        list of str
            A sentence or two for each setting to change.
        """
        exports = [module for module in self.modules() if module.module_name in EXPORTS]
        return [words for module in exports for words in _list_refusals(module)]

    def _list_groups(self, workspace: Workspace) -> list[dict[str, str]]:
        # Without grouping there are no keys, and one group of all image sets.
        keys, groupings = self.get_groupings(workspace)
        return [{key: str(values[key]) for key in keys} for values, _ in groupings]

    def _list_written_files(self) -> list[str]:
        files: list[str] = []
        for module in self.modules():
            if module.module_name == "ExportToDatabase":
                files.append(module.sqlite_file.value)
            if module.module_name == "MeasureStratoFeatures" and module.writes_parquet:
                files += module.list_parquet_files()
        return files

    def _compute_digest(
        self, measurements: Measurements, image_sets: list[list[Any]]
    ) -> str:
        """Digest the pipeline and what it measures, in 12 digits."""
        # Another version may write other columns: parts of both must not be mixed.
        digest = hashlib.sha256(__version__.encode())
        digest.update(repr(get_plugin_directory()).encode())
        # The last item depends on the dates of files, which do not make another run.
        for number, group, name, _ in image_sets:
            digest.update(f"{number} {group} {name}\n".encode())
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


def _list_refusals(module: Module) -> Iterator[str]:
    title, name = name_module(module), module.module_name
    for setting in module.visible_settings():
        if isinstance(setting, Directory) and setting.dir_choice not in OUTPUT_FOLDERS:
            yield (
                f"{title} writes to a folder of its own, where processes would"
                f' overwrite each other\'s files. Set "{setting.text}" to'
                f" {DEFAULT_OUTPUT_FOLDER_NAME}. Received: {setting.dir_choice}"
            )
    if name == "ExportToSpreadsheet" and module.wants_genepattern_file.value:
        yield (
            f"{title} writes a GenePattern file, which cannot be merged from parts."
            " Switch it off."
        )
    if name == "ExportToDatabase" and module.db_type.value != "SQLite":
        yield (
            f"{title} writes to {module.db_type.value}. Only SQLite databases can be"
            " merged from parts."
        )


def main() -> None:
    """Run CellProfiler's own command line with a pipeline that only plans."""
    PlanningPipeline.answer, PlanningPipeline.output, *arguments = sys.argv[1:]
    cellprofiler.Pipeline = PlanningPipeline
    cellprofiler.main(["cellprofiler", *arguments])


if __name__ == "__main__":
    main()

"""Folders of a run in parts: each part writes to one of its own, but reads the user's.

The default output folder of a part is its own folder, so that processes do not write
over each other's files. What a module reads from the default output folder lies in the
user's: in the part's it would not be found.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from cellprofiler_core.pipeline import Pipeline
from cellprofiler_core.preferences import (
    DEFAULT_OUTPUT_FOLDER_NAME,
    DEFAULT_OUTPUT_SUBFOLDER_NAME,
    get_default_output_directory,
)
from cellprofiler_core.setting.text import Directory

if TYPE_CHECKING:
    from cellprofiler_core.module import Module

# In any other folder the processes would overwrite each other's files.
OUTPUT_FOLDERS = (DEFAULT_OUTPUT_FOLDER_NAME, DEFAULT_OUTPUT_SUBFOLDER_NAME)
# CellProfiler's modules that write to the folders in their settings; the others read.
WRITERS = (
    "CalculateStatistics",
    "ExportToDatabase",
    "ExportToSpreadsheet",
    "MeasureObjectSkeleton",
    "SaveCroppedObjects",
    "SaveImages",
)
PACKAGES = ("cellprofiler", "cellprofiler_core")


class OutputPipeline(Pipeline):
    """A pipeline whose modules read from the user's output folder.

    Attributes
    ----------
    output : str
        The user's default output folder; of the class, because CellProfiler makes the
        pipeline itself.
    """

    output: str = ""

    def load(self, *source: Any) -> None:
        """Load modules, which then read from the user's output folder.

        Parameters
        ----------
        *source
            As ``Pipeline.load`` takes it.
        """
        super().load(*source)
        read_from_output(self, self.output)


def read_from_output(pipeline: Pipeline, output: str) -> None:
    """Let modules read from the user's output folder, whatever the process writes to.

    Parameters
    ----------
    pipeline : cellprofiler_core.pipeline.Pipeline
        Its settings stay as they are.
    output : str
        The user's default output folder.
    """
    for module in pipeline.modules(False):
        if not _only_reads(module):
            continue
        for setting in module.settings():
            if isinstance(setting, Directory):
                _redirect(setting, output)


def _only_reads(module: Module) -> bool:
    # Of modules that are not CellProfiler's own, nobody knows.
    if is_foreign(module) or module.module_name in WRITERS:
        return False
    # A training set of UntangleWorms is written where it is otherwise read.
    return not (
        module.module_name == "UntangleWorms" and module.is_aggregation_module()
    )


def is_foreign(module: Module) -> bool:
    """Whether a module is none of CellProfiler's own.

    Parameters
    ----------
    module : cellprofiler_core.module.Module
        One of a pipeline.
    """
    return type(module).__module__.partition(".")[0] not in PACKAGES


def _redirect(setting: Directory, output: str) -> None:
    # A project loads its pipeline twice.
    if "get_absolute_path" in vars(setting):
        return
    own = setting.get_absolute_path

    def get_absolute_path(*arguments: Any, **named: Any) -> str:
        path = own(*arguments, **named)
        if setting.dir_choice not in OUTPUT_FOLDERS:
            return path
        inside = os.path.relpath(path, get_default_output_directory())
        return os.path.normpath(os.path.join(output, inside))

    setting.get_absolute_path = get_absolute_path

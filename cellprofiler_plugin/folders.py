"""Folders of a run in parts: each part writes to its own, but reads from the user's.

Each part has its own default output folder, so that processes do not overwrite each
other's files. Files that a module reads from the default output folder are in the
user's folder, so reading is redirected there.
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

# Folders that each part has for itself; in others, processes would overwrite each
# other's files.
OUTPUT_FOLDERS = (DEFAULT_OUTPUT_FOLDER_NAME, DEFAULT_OUTPUT_SUBFOLDER_NAME)
# CellProfiler's modules that write to the folders in their settings; the others only
# read from them.
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
        The user's default output folder. A class attribute, because CellProfiler makes
        the pipeline itself.
    """

    output: str = ""

    def load(self, *source: Any) -> None:
        """Load modules, and let them read from the user's output folder.

        Parameters
        ----------
        *source
            See ``Pipeline.load``.
        """
        super().load(*source)
        read_from_output(self, self.output)


def read_from_output(pipeline: Pipeline, output: str) -> None:
    """Let modules read from the user's output folder, wherever the process writes.

    Parameters
    ----------
    pipeline : cellprofiler_core.pipeline.Pipeline
        The pipeline. The values of its settings stay as they are.
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
    # What modules other than CellProfiler's own do is unknown.
    if is_foreign(module) or module.module_name in WRITERS:
        return False
    # UntangleWorms writes a training set to the folder that it otherwise reads from.
    return not (
        module.module_name == "UntangleWorms" and module.is_aggregation_module()
    )


def is_foreign(module: Module) -> bool:
    """Whether a module is not one of CellProfiler's own.

    Parameters
    ----------
    module : cellprofiler_core.module.Module
        A module of a pipeline.
    """
    return type(module).__module__.partition(".")[0] not in PACKAGES


def _redirect(setting: Directory, output: str) -> None:
    # A project loads its pipeline twice: do not redirect again.
    if "get_absolute_path" in vars(setting):
        return
    original = setting.get_absolute_path

    def get_absolute_path(*arguments: Any, **keywords: Any) -> str:
        path = original(*arguments, **keywords)
        if setting.dir_choice not in OUTPUT_FOLDERS:
            return path
        relative_path = os.path.relpath(path, get_default_output_directory())
        return os.path.normpath(os.path.join(output, relative_path))

    setting.get_absolute_path = get_absolute_path

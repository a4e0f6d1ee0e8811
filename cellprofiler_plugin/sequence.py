"""Modules whose results depend on image sets measured before.

They keep something of one image set for later ones, or compute from all image sets. A
pipeline with such a module cannot be divided at just any image set: either its groups
stay together, or one process runs all of it.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from cellprofiler_core.module import Module

from cellprofiler_plugin.folders import is_foreign

if TYPE_CHECKING:
    from cellprofiler_core.pipeline import Pipeline

# What these modules do after a run is done again when the parts are merged.
MERGED = (
    "ExportToDatabase",
    "ExportToSpreadsheet",
    "MeasureImageQuality",
    "MeasureStratoFeatures",
)


def name_module(module: Module) -> str:
    """Name a module as CellProfiler's list of modules shows it.

    Parameters
    ----------
    module : cellprofiler_core.module.Module
        A module of a pipeline.
    """
    return f"{module.module_name} (module {module.module_num})"


def list_group_reasons(pipeline: Pipeline) -> list[str]:
    """List reasons why a group of image sets has to be measured by one process.

    Parameters
    ----------
    pipeline : cellprofiler_core.pipeline.Pipeline
        The pipeline, with its settings.

    Returns
    -------
    list of str
        A sentence for each module that requires it.
    """
    reasons = []
    for module in pipeline.modules():
        if module.is_aggregation_module():
            reasons.append(f"{name_module(module)} works on all image sets of a group.")
        elif _crops_as_first(module):
            reasons.append(
                f"{name_module(module)} crops all images as the first of their group."
            )
    return reasons


def list_run_reasons(pipeline: Pipeline, skips: bool) -> list[str]:
    """List reasons why all image sets have to be measured by one process.

    Parameters
    ----------
    pipeline : cellprofiler_core.pipeline.Pipeline
        The pipeline, with its settings.
    skips : bool
        Whether image sets with an error are skipped.

    Returns
    -------
    list of str
        A sentence for each module that requires it.
    """
    modules = list(pipeline.modules())
    skips = skips or any(module.module_name == "FlagImage" for module in modules)
    return [
        f"{name_module(module)} {reason}."
        for module in modules
        for reason in _list_reasons(module, skips)
    ]


def _list_reasons(module: Module, skips: bool) -> Iterator[str]:
    if module.module_name == "DefineGrid" and _keeps_grid(module):
        yield "uses the grid of an earlier image set"
    # If the first image of a group is skipped, it crops as in the previous group.
    elif _crops_as_first(module) and skips:
        yield "crops all images as the first one, which may be skipped"
    elif is_foreign(module) and _keeps_something(module):
        yield "may keep something of earlier image sets"
    if _works_after_run(module):
        yield "works on all image sets at the end of the run"


def _crops_as_first(module: Module) -> bool:
    return module.module_name == "Crop" and module.individual_or_once.value == "First"


def _keeps_grid(module: Module) -> bool:
    return (
        module.each_or_once.value == "Once" or module.failed_grid_choice.value != "No"
    )


def _keeps_something(module: Module) -> bool:
    """Whether a module's code asks CellProfiler for data kept from other image sets."""
    if module.module_name == "MeasureStratoFeatures":
        return False
    return any("get_dictionary(" in text for text in _read_sources(module))


def _works_after_run(module: Module) -> bool:
    if module.module_name in MERGED:
        return False
    return type(module).post_run is not Module.post_run


def _read_sources(module: Module) -> Iterable[str]:
    for owner in type(module).__mro__:
        if owner is Module:
            return
        try:
            yield inspect.getsource(owner)
        except (OSError, TypeError):
            continue

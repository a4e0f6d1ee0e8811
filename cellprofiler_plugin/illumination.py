"""Find illumination functions, which are not images of cells, among the images.

*Select All* selects them like all others. What the pipeline says of an image is known
before the run; the names of its files, once the image sets are known.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from cellprofiler_core.constants.measurement import IMAGE
from cellprofiler_core.setting.text import ImageName

if TYPE_CHECKING:
    from cellprofiler_core.measurement import Measurements
    from cellprofiler_core.module import Module
    from cellprofiler_core.pipeline import Pipeline
    from cellprofiler_core.workspace import Workspace

# What NamesAndTypes calls them, and its option to set the type of each image.
TYPE, BY_RULES = "Illumination function", "Images matching rules"
# Suffixes with which CellProfiler saves them; microscopes do not save such files.
SUFFIXES = (".npy", ".mat")
# Published pipelines and LoadData tables give them names such as IllumDNA.
PREFIX = "illum"


def list_functions(pipeline: Pipeline) -> set[str]:
    """List the images that a pipeline makes, loads or uses as illumination functions.

    Parameters
    ----------
    pipeline : cellprofiler_core.pipeline.Pipeline
        The pipeline whose modules are searched.
    """
    return {
        name for module in pipeline.modules() for name in _list_module_functions(module)
    }


def _list_module_functions(module: Module) -> Iterator[str]:
    if module.module_name == "NamesAndTypes":
        if module.assignment_method == BY_RULES:
            for group in (*module.assignments, *module.single_images):
                if group.load_as_choice == TYPE:
                    yield group.image_name.value
    elif module.module_name == "LoadData":
        for name in module.other_providers("imagegroup"):
            if name.lower().startswith(PREFIX):
                yield name
    elif module.module_name == "CorrectIlluminationCalculate":
        for setting in module.visible_settings():
            if isinstance(setting, ImageName):
                yield setting.value
    elif module.module_name == "CorrectIlluminationApply":
        for group in module.images:
            yield group.illum_correct_function_image_name.value


def find_functions(workspace: Workspace, images: Sequence[str]) -> list[str]:
    """Find illumination functions among images, in a run.

    Parameters
    ----------
    workspace : cellprofiler_core.workspace.Workspace
        The workspace, whose pipeline and image sets are searched.
    images : sequence of str
        Names of the images.
    """
    functions = list_functions(workspace.pipeline)
    return [
        name
        for name in images
        if name in functions or _has_function_file(workspace.measurements, name)
    ]


def _has_function_file(recorded: Measurements, image: str) -> bool:
    feature = f"FileName_{image}"
    if not recorded.has_feature(IMAGE, feature):
        return False
    numbers = recorded.get_image_numbers()
    files = recorded.get_measurement(IMAGE, feature, numbers)
    return any(str(file).lower().endswith(SUFFIXES) for file in files)


def describe_functions(names: Sequence[str]) -> str:
    """Say what is wrong with measuring illumination functions, and what to do.

    Parameters
    ----------
    names : sequence of str
        Names of the images.

    Examples
    --------
    >>> print(describe_functions(["IllumDNA"])[:62])
    IllumDNA: an illumination function, not an image of cells. Its
    """
    listed = ", ".join(names)
    description, possessive = "illumination functions, not images", "Their"
    if len(names) == 1:
        description, possessive = "an illumination function, not an image", "Its"
    return (
        f"{listed}: {description} of cells. {possessive} features say nothing about a"
        ' treatment: clear the ticks in "Select images to measure".'
    )

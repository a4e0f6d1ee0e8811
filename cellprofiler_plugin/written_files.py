"""Which files the modules of a pipeline write, and why some cannot be written.

A run in parts writes files to folders of its own and merges them at the end. So this
checks, before the run, what a single process would refuse to write, and what it would
do with files that exist already.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from cellprofiler_core.constants.measurement import EXPERIMENT, IMAGE
from cellprofiler_core.preferences import get_default_output_directory

from cellprofiler_plugin.measurements import read_screen
from cellprofiler_plugin.merge_sqlite import list_database_tables
from cellprofiler_plugin.output import list_tables
from cellprofiler_plugin.placing import check_target
from cellprofiler_plugin.sequence import name_module

if TYPE_CHECKING:
    from cellprofiler_core.module import Module
    from cellprofiler_core.workspace import Workspace

    # Takes the files of a run and a module; yields why a file cannot be written.
    Check = Callable[["WrittenFiles", Module], Iterator[str]]

RELATIONSHIPS = "Object relationships"
FIRST, LAST, MOVIE = "First cycle", "Last cycle", "Movie/Stack"


class WrittenFiles:
    """The files that a planned run will write.

    Parameters
    ----------
    workspace : cellprofiler_core.workspace.Workspace
        The workspace of the prepared run.
    numbers : mapping of int to int
        The image sets to run, and the group of each.
    output : pathlib.Path
        The user's default output folder. While a run is being planned, CellProfiler's
        own setting points to another one.
    """

    def __init__(
        self, workspace: Workspace, numbers: Mapping[int, int], output: Path
    ) -> None:
        self.workspace = workspace
        self.numbers = numbers
        self.output = output
        # For each saved image: the module that saves it, and in which image set.
        self.saved: dict[Path, tuple[str, int]] = {}

    def list_reasons(self) -> list[str]:
        """List why files cannot be written, or not by a run in parts.

        Returns
        -------
        list of str
            Each names the module, the file and the setting to change.
        """
        return [
            reason
            for module in self.workspace.pipeline.modules()
            if module.module_name in CHECKS
            for reason in CHECKS[module.module_name](self, module)
        ]

    def resolve_path(self, path: str) -> Path:
        """Return the path that a file will have at the end of the run.

        Parameters
        ----------
        path : str
            The path as the module gives it now.
        """
        try:
            return self.output / Path(path).relative_to(get_default_output_directory())
        except ValueError:
            return Path(path)

    def is_shared(self, path: Path) -> bool:
        """Whether all processes write this file, rather than each its part's own copy.

        Parameters
        ----------
        path : pathlib.Path
            From `resolve_path`.
        """
        return self.output not in path.parents

    def list_saving_image_sets(self, module: Module) -> Sequence[int]:
        """List the image sets in which SaveImages saves a file.

        Parameters
        ----------
        module : cellprofiler_core.module.Module
            SaveImages.
        """
        if module.save_image_or_figure == MOVIE or module.when_to_save == FIRST:
            index = self.workspace.measurements
            return [n for n in self.numbers if index[IMAGE, "Group_Index", n] == 1]
        if module.when_to_save == LAST:
            return sorted({group: n for n, group in self.numbers.items()}.values())
        return list(self.numbers)


def _check_saved_images(files: WrittenFiles, module: Module) -> Iterator[str]:
    title = name_module(module)
    advice = f'Make names differ, or set "{module.overwrite.text}" to Yes.'
    for number in files.list_saving_image_sets(module):
        path = _find_image(files, module, number)
        if path is None:
            continue
        previous = files.saved.setdefault(path, (title, number))
        is_repeated = previous != (title, number) and previous[1] != number
        if not module.overwrite.value and previous != (title, number):
            yield (
                f"{title} would save image sets {previous[1]} and {number} as"
                f" {path.name}, and must not overwrite. {advice}"
            )
            return
        if not module.overwrite.value and path.is_file():
            yield f"{title} must not overwrite {path}, which exists. {advice}"
            return
        if is_repeated and files.is_shared(path):
            yield _describe_conflict(title, previous[1], number, path)
            return


def _find_image(files: WrittenFiles, module: Module, number: int) -> Path | None:
    """Return the file of an image set; None if its name is known only in the run."""
    files.workspace.measurements.image_set_number = number
    try:
        name = module.get_filename(
            files.workspace, make_dirs=False, check_overwrite=False
        )
    # Metadata made by a module do not exist yet, which raises errors of many types.
    except Exception:
        return None
    return files.resolve_path(name)


def _describe_conflict(title: str, first: int, second: int, path: Path) -> str:
    return (
        f"{title} writes {path} in image sets {first} and {second}, so that several"
        " processes might write to it at once. Write to the Default Output Folder, or"
        " make names differ."
    )


def _check_cropped_objects(files: WrittenFiles, module: Module) -> Iterator[str]:
    measurements = files.workspace.measurements
    seen_paths: dict[Path, int] = {}
    for number in files.numbers:
        measurements.image_set_number = number
        folder = files.resolve_path(module.directory.get_absolute_path(measurements))
        name = module.objects_name.value
        if module.use_filename.value:
            feature = module.source_file_name_feature
            name = f"{measurements.get_measurement(IMAGE, feature, number)} {name}"
        previous = seen_paths.setdefault(folder / name, number)
        if previous != number and files.is_shared(folder / name):
            title = name_module(module)
            yield _describe_conflict(title, previous, number, folder / name)
            return


def _check_spreadsheets(files: WrittenFiles, module: Module) -> Iterator[str]:
    if module.wants_overwrite_without_warning.value:
        return
    existing = {
        str(path)
        for path in map(files.resolve_path, _list_spreadsheets(files, module))
        if path.is_file()
    }
    if existing:
        setting = module.wants_overwrite_without_warning.text
        yield (
            f"{name_module(module)} must not overwrite {', '.join(sorted(existing))},"
            f' which exists. Choose another folder, or set "{setting}" to Yes.'
        )


def _list_spreadsheets(files: WrittenFiles, module: Module) -> Iterator[str]:
    workspace = files.workspace
    if module.wants_everything.value:
        objects = workspace.pipeline.get_provider_dictionary("objectgroup", module)
        names = [IMAGE, EXPERIMENT, RELATIONSHIPS, *objects]
        groups = [(name, None) for name in names]
    else:
        groups = [
            (group.name.value, group)
            for number, group in enumerate(module.object_groups)
            if number == 0 or module.last_in_file(number - 1)
        ]
    for name, group in groups:
        for images in module.get_metadata_groups(workspace, group):
            number = images.image_numbers[0]
            yield module.make_objects_file_name(name, workspace, number, group)


def _check_database(files: WrittenFiles, module: Module) -> Iterator[str]:
    path = files.resolve_path(module.make_full_filename(module.sqlite_file.value))
    choice = module.allow_overwrite
    if module.db_type.value != "SQLite" or choice.value == "Data and schema":
        return
    objects = files.workspace.pipeline.get_provider_dictionary("objectgroup", module)
    names = {module.get_table_name(name) for name in (IMAGE, "Object", *objects)}
    existing = sorted(names & _read_database_tables(path))
    if existing:
        yield (
            f"{name_module(module)} finds {existing[0]} in {path}, and"
            f' "{choice.text}" is "{choice.value}". A run in parts always writes new'
            ' tables: choose another database, or "Data and schema".'
        )


def _read_database_tables(path: Path) -> set[str]:
    if not path.is_file():
        return set()
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as database:
        return set(list_database_tables(database))


def _check_graphs(files: WrittenFiles, module: Module) -> Iterator[str]:
    if not module.wants_objskeleton_graph.value:
        return
    measurements, title = files.workspace.measurements, name_module(module)
    pairs = {module.get_graph_file_paths(measurements, n) for n in files.numbers}
    if len(pairs) > 1:
        # CellProfiler writes the header into one of them only.
        yield (
            f"{title} writes graphs to several files. Give the vertex file and the edge"
            " file one name each, without metadata."
        )
        return
    for path in map(files.resolve_path, pairs.pop()):
        if files.is_shared(path):
            yield (
                f"{title} appends to {path}, and all processes would write to it at"
                f' once. Set "{module.directory.text}" to Default Output Folder.'
            )
        elif path.exists():
            yield f"{title} does not overwrite {path}, which exists. Move it away."


def _check_parquet(files: WrittenFiles, module: Module) -> Iterator[str]:
    if not module.writes_parquet:
        return
    measurements = files.workspace.measurements
    for path in list_tables(module, measurements):
        try:
            check_target(files.resolve_path(path), read_screen(measurements))
        except (OSError, ValueError) as error:
            yield f"{name_module(module)}: {error}"


CHECKS: Mapping[str, Check] = {
    "SaveImages": _check_saved_images,
    "SaveCroppedObjects": _check_cropped_objects,
    "ExportToSpreadsheet": _check_spreadsheets,
    "ExportToDatabase": _check_database,
    "MeasureObjectSkeleton": _check_graphs,
    "MeasureStratoFeatures": _check_parquet,
}

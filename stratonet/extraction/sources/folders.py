"""Folders of images whose file names give the image set and the channel."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NoReturn, Union

import pandas as pd

from stratonet.extraction.sources.filenames import (
    ONLY_CHANNEL,
    READY_PATTERNS,
    is_beside_images,
)
from stratonet.extraction.sources.imagesets import (
    ImageSets,
    ImageSource,
    NotMine,
    make_sort_key,
)
from stratonet.extraction.sources.microscopes import (
    choose_scene_files,
    read_scene_files,
)
from stratonet.files.images import PILLOW, TIFF
from stratonet.files.spelling import find_folder
from stratonet.files.storage import Storage
from stratonet.files.urls import redact_url
from stratonet.messages import shorten_list
from stratonet.naming import METADATA, URL, image_column
from stratonet.tables.wells import make_well_name, parse_well

# Image formats that are not read here. Such files in a folder are reported as skipped.
OTHER_IMAGES = (
    ".bmp",
    ".c01",
    ".czi",
    ".dib",
    ".flex",
    ".gif",
    ".jp2",
    ".lif",
    ".lsm",
    ".nd2",
    ".oib",
    ".oir",
    ".stk",
    ".vsi",
)

# Names of tables of image sets that may lie beside their images.
TABLES = ("labels.csv", "load_data.csv")


class FolderSource:
    """Folders and S3 prefixes of images whose names give image set and channel."""

    def read(self, source: ImageSource) -> ImageSets:
        """Read the image sets of a folder, see `Source.read`.

        Parameters
        ----------
        source : ImageSource
            A folder or S3 prefix, and optionally a pattern.
        """
        folder = find_folder(source.path, source.storage)
        if folder is None:
            raise NotMine
        folder = folder.rstrip("/")
        files = source.storage.list(folder)
        scene_files = choose_scene_files(files, source.pattern)
        if scene_files:
            image_sets = read_scene_files(folder, scene_files, source)
            skipped = _list_skipped(folder, files, scene_files)
            return replace(image_sets, skipped=skipped)
        return _match_files(folder, files, source.pattern)


def read_folder(folder: str, storage: Storage, pattern: str | None = None) -> ImageSets:
    """Find the image sets of a folder by the names of its files.

    Parameters
    ----------
    folder : str
        Absolute path or URL.
    storage : Storage
        What lists the folder.
    pattern : str, optional
        The name of a ready pattern, one of `READY_PATTERNS`; or a regular expression
        with named groups, which is searched for in the path of each image relative to
        the folder, with ``/`` between folders: ``Channel``; ``Well``, or ``Row`` and
        ``Column`` (from 1; rows also as letters); and any others, such as ``Plate``,
        ``Site``, ``Z`` and ``Time``. All groups but the channel tell image sets apart
        and become ``Metadata_*``. Without ``Plate``, the plate gets the folder's name.
        Default: the ready pattern that matches most files.

    Returns
    -------
    ImageSets
        Sorted by plate, well and site.

    Raises
    ------
    ValueError
        The pattern is wrong or matches nothing, there is no image, or two images have
        the same image set and channel.
    """
    folder = folder.rstrip("/")
    if pattern is not None:
        # A mistake is reported before the folder is listed, which may take long.
        _compile_pattern(pattern)
    return _match_files(folder, storage.list(folder), pattern)


def _match_files(folder: str, files: Sequence[str], pattern: str | None) -> ImageSets:
    patterns = list(READY_PATTERNS) if pattern is None else [pattern]
    regexes = {name: _compile_pattern(name) for name in patterns}
    paths = [path for path in files if _is_image(path, TIFF + PILLOW)]
    if not paths:
        _refuse_without_images(folder, files)
    # Patterns are tried on all names: the first few may be thumbnails.
    matches = [_match_paths(folder, paths, *item) for item in regexes.items()]
    parsed_names = max(matches, key=len)
    if not parsed_names:
        expected = " or ".join(patterns)
        examples = shorten_list(_make_relative(folder, paths[:3]))
        raise ValueError(
            f"{redact_url(folder)}: no image has a name that matches {expected}."
            f" Received: {len(paths)} images, such as {examples}. Give a `pattern`: one"
            f" of {', '.join(READY_PATTERNS)}, or a regular expression."
            f"{_suggest_table(folder, files)}"
        )
    skipped = _list_skipped(folder, files, parsed_names)
    return ImageSets(_build_frame(folder, parsed_names), skipped)


def _list_skipped(
    folder: str, files: Sequence[str], used_paths: Collection[str]
) -> tuple[str, ...]:
    """List the images of a folder that belong to no image set."""
    skipped = [
        path
        for path in files
        if path not in used_paths
        and _is_image(path, TIFF + PILLOW + OTHER_IMAGES)
        and not is_beside_images(path)
    ]
    return tuple(_make_relative(folder, skipped))


def _suggest_table(folder: str, files: Sequence[str]) -> str:
    """Suggest a table in the folder that may describe its images."""
    names = _make_relative(folder, files)
    tables = [name for name in names if posixpath.basename(name) in TABLES]
    return f" Or give the table {tables[0]} in place of the folder." if tables else ""


def _refuse_without_images(folder: str, files: Sequence[str]) -> NoReturn:
    names = shorten_list(_make_relative(folder, files), most=3) or "nothing"
    if any(".zarr/" in path for path in files):
        raise ValueError(
            f"{redact_url(folder)} holds OME-Zarr. Received: {names}. Give the folders"
            " that end in .zarr instead, each as a source."
        )
    raise ValueError(
        f"{redact_url(folder)} holds no images ({', '.join(TIFF + PILLOW)}). Received:"
        f" {names}. Is it the right folder? Hidden folders are skipped."
    )


def _is_image(path: str, extensions: tuple[str, ...]) -> bool:
    # On disks of other systems, macOS writes ._name.tif beside name.tif.
    if posixpath.basename(path).startswith("."):
        return False
    return path.lower().endswith(extensions)


def _make_relative(folder: str, paths: Sequence[str]) -> list[str]:
    return [path.removeprefix(f"{folder}/") for path in paths]


# Names of groups, such as Plate, Well and Site, and the texts that they match; these
# tell image sets apart. None where an optional group matches nothing.
_Metadata = tuple[tuple[str, Union[str, None]], ...]


@dataclass(frozen=True)
class _ParsedName:
    """The channel and the metadata in the name of a file."""

    channel: str
    metadata: _Metadata


def _match_paths(
    folder: str, paths: Sequence[str], pattern: str, regex: re.Pattern[str]
) -> dict[str, _ParsedName]:
    """Parse the names of those paths that match."""
    # Ready patterns see the whole path, so that they find the plate even if the user
    # gives its folder Images or TimePoint_1.
    is_ready = pattern in READY_PATTERNS
    texts = paths if is_ready else _make_relative(folder, paths)
    default_plate = posixpath.basename(folder)
    parsed_names = {}
    for path, text in zip(paths, texts):
        match = regex.search(text)
        parsed = _parse_name(match, default_plate, pattern) if match else None
        if parsed is not None:
            parsed_names[path] = parsed
    return parsed_names


def _parse_name(
    match: re.Match[str], default_plate: str, pattern: str
) -> _ParsedName | None:
    """Parse a name; return None if it lacks the channel or the well."""
    groups = _merge_groups(match.groupdict())
    channel = groups.pop("Channel") or ONLY_CHANNEL.get(pattern)
    if not channel:
        return None
    plate = groups.pop("Plate", None) or default_plate
    well = groups.pop("Well", None)
    row = groups.pop("Row", None)
    column = groups.pop("Column", None)
    if not well and row and column:
        well = _name_well(row, column, pattern)
    if not well:
        return None
    # Channels become part of column names.
    channel = re.sub(r"\W+", "_", channel, flags=re.ASCII)
    # The sort is stable: the other groups keep the order of the pattern.
    site_first = sorted(groups.items(), key=lambda group: group[0] != "Site")
    return _ParsedName(channel, (("Plate", plate), ("Well", well), *site_first))


def _merge_groups(groups: Mapping[str, str | None]) -> dict[str, str | None]:
    """Merge groups for one value at two positions of a path, such as Z and Z_."""
    merged: dict[str, str | None] = {}
    for name, text in groups.items():
        name = name.rstrip("_")
        merged[name] = merged.get(name) or text
    return merged


def _name_well(row: str, column: str, pattern: str) -> str:
    try:
        return make_well_name(row, column)
    except ValueError as error:
        raise ValueError(f"The `pattern` {pattern!r} finds no well. {error}") from None


def _compile_pattern(pattern: str) -> re.Pattern[str]:
    try:
        regex = re.compile(READY_PATTERNS.get(pattern, pattern))
    except re.error as error:
        raise ValueError(
            f"The `pattern` {pattern!r} is not a regular expression: {error}."
        ) from None
    groups = set(regex.groupindex)
    has_well = "Well" in groups or {"Row", "Column"} <= groups
    if "Channel" not in groups or not has_well:
        raise ValueError(
            "A `pattern` needs the named groups (?P<Channel>...), and (?P<Well>...) or"
            " (?P<Row>...) and (?P<Column>...); or it is the name of a ready one:"
            f" {', '.join(READY_PATTERNS)}. Received: {pattern!r}"
        )
    return regex


def _build_frame(folder: str, parsed_names: Mapping[str, _ParsedName]) -> pd.DataFrame:
    """Build the table in normal form, sorted by the metadata of image sets."""
    image_sets = _group_channels(folder, parsed_names)
    channels = {parsed.channel for parsed in parsed_names.values()}
    sorted_channels = sorted(channels, key=make_sort_key)
    rows = []
    for metadata in sorted(
        image_sets, key=lambda metadata: make_sort_key(*dict(metadata).values())
    ):
        row = {f"{METADATA}{name}": text for name, text in metadata}
        for channel in sorted_channels:
            row[image_column(URL, channel)] = image_sets[metadata].get(channel)
        rows.append(row)
    # A group that never matches anything, such as a time point, gets no column.
    return pd.DataFrame(rows, dtype=object).dropna(axis=1, how="all")


def _group_channels(
    folder: str, parsed_names: Mapping[str, _ParsedName]
) -> dict[_Metadata, dict[str, str]]:
    """Return the paths of each image set by channel, by the image set's metadata."""
    image_sets: dict[_Metadata, dict[str, str]] = {}
    for path, parsed in parsed_names.items():
        images = image_sets.setdefault(parsed.metadata, {})
        if parsed.channel in images:
            other = images[parsed.channel]
            raise ValueError(
                f"{redact_url(folder)} has two images for channel {parsed.channel} of"
                f" one image set: {redact_url(other)} and {redact_url(path)}. Give a"
                " `pattern` with a group that tells them apart, such as (?P<Z>...), or"
                " the folder of one plate."
            )
        images[parsed.channel] = path
    _check_wells(folder, image_sets)
    return image_sets


def _check_wells(
    folder: str, image_sets: Mapping[_Metadata, Mapping[str, str]]
) -> None:
    """Refuse a well that has two names on one plate, such as A1 and A01."""
    names: dict[tuple[str | None, object], str] = {}
    for metadata in image_sets:
        texts = dict(metadata)
        plate, well = texts["Plate"], texts["Well"]
        assert well is not None
        name = names.setdefault((plate, parse_well(well) or well), well)
        if name != well:
            raise ValueError(
                f"{redact_url(folder)}: plate {plate} has one well under two names,"
                f" {name} and {well}. Name each well the same way in all files."
            )

"""Plate, well and site of images in microscope files that hold several images.

They come from the file itself, or from a `pattern` for the names of file and image.
"""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from stratonet.files.microscopes.scenes import Scene
from stratonet.files.urls import drop_query, redact_url
from stratonet.tables.wells import format_well, make_well_name, parse_well

# The word well, and the well's name: OMERO calls images "P.xdce [Well A-1, Field #2]",
# and NIS-Elements calls files "WellB03_Seq0007.nd2".
_WORD = re.compile(
    r"(?<![A-Za-z])[Ww]ell[ _-]?(?P<Row>[A-Z]{1,2})-?(?P<Column>\d{1,2})(?!\d)"
    r"(?:[, _]+(?:[Ff]ield|[Ss]ite|[Pp]oint)[ _]?#?(?P<Site>\d+))?"
)
# Names of positions that are wells: B03 and B03_0001, always with two digits, since R1
# and P1 are names of positions in a well; and B/3/R1, the folders that LAS X makes.
_POSITION = re.compile(
    r"(?P<Row>[A-Z]{1,2})(?P<Column>\d\d)(?:_(?P<Site>\d+))?"
    r"|(?:.*/)?(?P<Row_>[A-Z]{1,2})/(?P<Column_>\d{1,2})(?:/\D{0,9}(?P<Site_>\d+))?"
)
# An example for messages.
_EXAMPLE_FLAG = r"--pattern '(?P<Well>[A-P]\d\d)'"


@dataclass(frozen=True)
class PlacedScene:
    """A scene, and the metadata that identify its image set.

    Attributes
    ----------
    scene : Scene
    metadata : tuple of (str, str or None)
        Names and values: Plate, Well, Site, and any others.
    """

    scene: Scene
    metadata: tuple[tuple[str, str | None], ...]


def compile_scene_pattern(pattern: str) -> re.Pattern[str]:
    """Compile a pattern for files that contain the names of their channels.

    Parameters
    ----------
    pattern : str
        A regular expression with the groups ``Well``, or ``Row`` and ``Column``.

    Returns
    -------
    re.Pattern

    Raises
    ------
    ValueError
        It is not a regular expression, or lacks the groups.
    """
    try:
        regex = re.compile(pattern)
    except re.error as error:
        raise ValueError(
            f"The `pattern` {pattern!r} is not a regular expression: {error}."
        ) from None
    groups = set(regex.groupindex)
    if not ("Well" in groups or {"Row", "Column"} <= groups):
        raise ValueError(
            "A `pattern` for files that name their channels needs the named groups"
            " (?P<Well>...), or (?P<Row>...) and (?P<Column>...). Received:"
            f" {pattern!r}"
        )
    return regex


def place_scenes(
    scenes: Sequence[Scene], folder: str, plate: str, pattern: str | None
) -> list[PlacedScene]:
    """Find the plate, well and site of scenes.

    Parameters
    ----------
    scenes : sequence of Scene
        The scenes of one source.
    folder : str
        Path or URL. The pattern is searched for in paths relative to this folder.
    plate : str
        Name of the plate if neither file nor pattern gives it.
    pattern : str, optional
        A regular expression, which is searched for in each file's path, a slash, and
        the scene's name. Without it, the well comes from the file or its name.

    Returns
    -------
    list of PlacedScene
        In the order of the scenes.

    Raises
    ------
    ValueError
        The well of a scene is not found; the message says what was searched, and what
        to do.
    """
    regex = None if pattern is None else compile_scene_pattern(pattern)
    groups_of_scenes = [_find_groups(scene, folder, regex) for scene in scenes]
    _check_all_placed(scenes, groups_of_scenes, folder, pattern)
    counts: Counter[tuple[str, str]] = Counter()
    placed_scenes = []
    for scene, groups in zip(scenes, groups_of_scenes):
        assert groups is not None
        names = {
            "Plate": groups.pop("Plate", None) or scene.plate or plate,
            "Well": groups.pop("Well"),
        }
        well_key = (str(names["Plate"]), str(names["Well"]))
        counts[well_key] += 1
        # Sites without names are numbered within their well.
        site = groups.pop("Site", None) or scene.site or str(counts[well_key])
        placed_scenes.append(
            PlacedScene(scene, (*names.items(), ("Site", site), *groups.items()))
        )
    return placed_scenes


def _find_groups(
    scene: Scene, folder: str, regex: re.Pattern[str] | None
) -> dict[str, str | None] | None:
    """Find the metadata of a scene, including the well; None if there is no well."""
    others = {"Acquisition": scene.acquisition, "Image": scene.element}
    others = {name: text for name, text in others.items() if text is not None}
    if regex is not None:
        match = regex.search(_make_search_text(scene, folder))
        groups = match and _name_well(match.groupdict())
        return {**groups, **others} if groups else None
    if scene.element:
        # SpatialData stores have no wells, so the name is used as it is, even S1.
        return {"Well": scene.element, **others}
    if scene.well:
        return {"Well": _normalize_well(scene.well), **others}
    match = _POSITION.fullmatch(scene.name) or _WORD.search(scene.name)
    match = match or _WORD.search(posixpath.basename(drop_query(scene.url)))
    groups = match and _name_well(match.groupdict())
    return {**groups, **others} if groups else None


def _make_search_text(scene: Scene, folder: str) -> str:
    path = drop_query(scene.url).removeprefix(f"{folder}/")
    return f"{path}/{scene.name}"


def _name_well(groups: Mapping[str, str | None]) -> dict[str, str | None] | None:
    merged: dict[str, str | None] = {}
    for name, text in groups.items():
        name = name.rstrip("_")
        merged[name] = merged.get(name) or text
    row, column = merged.pop("Row", None), merged.pop("Column", None)
    if not merged.get("Well") and row and column:
        merged["Well"] = make_well_name(row, column)
    well = merged.get("Well")
    return {**merged, "Well": _normalize_well(well)} if well else None


def _normalize_well(text: str) -> str:
    """Return A01 for other spellings, such as A1; other names as they are."""
    parsed = parse_well(text)
    return format_well(*parsed) if parsed else text


def _check_all_placed(
    scenes: Sequence[Scene],
    groups_of_scenes: Iterable[object],
    folder: str,
    pattern: str | None,
) -> None:
    missing = [
        scene for scene, groups in zip(scenes, groups_of_scenes) if groups is None
    ]
    if not missing:
        return
    first_scene = missing[0]
    text = redact_url(_make_search_text(first_scene, folder))
    if pattern is None:
        raise ValueError(
            f"{redact_url(first_scene.url)}: no well was found for {len(missing)} of"
            f" {len(scenes)} images: neither the file names one, nor {text!r}, its path"
            " and the image's name. Give a `pattern` that finds the well there, such as"
            f" {_EXAMPLE_FLAG}"
        )
    raise ValueError(
        f"{redact_url(first_scene.url)}: the `pattern` {pattern!r} finds no well for"
        f" {len(missing)} of {len(scenes)} images. It is searched for in the path of"
        f" the file, a slash and the image's name. Received: {text!r}"
    )

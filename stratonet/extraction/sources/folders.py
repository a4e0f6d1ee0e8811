"""Folders of images whose names say which image set and channel they are."""

import posixpath
import re

import pandas as pd

from stratonet.extraction.sources.imagesets import ImageSets, ImageSource, NotMine
from stratonet.files.images import PILLOW, TIFF
from stratonet.files.urls import redact_url
from stratonet.messages import shorten_list

_GUID = r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
_WELL = r"(?P<Well>[A-Z]{1,2}\d{2})"
_METAXPRESS = (
    rf"(?:[^/]*_)?{_WELL}(?:_s(?P<Site>\d+))?_(?P<Channel>w\d{{1,2}})(?:{_GUID})?\.\w+$"
)
READY = {
    # <plate>/Images/HTS_A01_s1_w1<GUID>.tif, as the cellpainting-gallery keeps JUMP
    "jump": rf"(?:^|/)(?P<Plate>[^/]+)/Images/{_METAXPRESS}",
    # <plate>/TimePoint_1/ZStep_1/<any>_A01_s1_w1<GUID>.tif, all but the well and w1 optional
    "imagexpress": (
        rf"(?:^|/)(?P<Plate>[^/]+)/(?:TimePoint_(?P<Time>\d+)/)?(?:ZStep_(?P<Z>\d+)/)?{_METAXPRESS}"
    ),
    # <plate>__2021-05-02T16_02_51-Measurement1/Images/r01c01f01p01-ch2sk1fk1fl1.tiff
    "phenix": (
        r"(?:^|/)(?P<Plate>[^/]+?)(?:__\d{4}-\d\d-\d\dT[^/]*)?/(?:Images/)?"
        r"r(?P<Row>\d+)c(?P<Column>\d+)f(?P<Site>\d+)p(?P<Plane>\d+)-(?P<Channel>ch\d+)sk(?P<Time>\d+)\w*\.\w+$"
    ),
    # <plate>/AssayPlate_Greiner_#781896_A02_T0001F001L01A01Z01C01.tif: the prefix names the kind of plate
    "cellvoyager": (
        rf"(?:^|/)(?P<Plate>[^/]+)/[^/]*_{_WELL}"
        r"_T(?P<Time>\d+)F(?P<Site>\d+)L\d+A\d+Z(?P<Z>\d+)(?P<Channel>C\d+)\.\w+$"
    ),
}
NAMED = ("Channel", "Plate", "Well", "Row", "Column")


class FolderSource:
    """Folders and S3 prefixes of images whose names say what they are."""

    def read(self, source: ImageSource) -> ImageSets:
        """Read the image sets of a folder, see `Source.read`."""
        if not source.storage.is_folder(source.path):
            raise NotMine
        return read_folder(source.path, source.storage, source.pattern)


def read_folder(folder, storage, pattern=None):
    """Find the image sets of a folder by the names of its files.

    Parameters
    ----------
    folder : str
        Absolute path or URL.
    storage : Storage
    pattern : str, optional
        The name of a ready pattern, one of `READY`; or a regular expression with named
        groups, which is searched for in the path of each image relative to the folder,
        with ``/`` between folders: ``Channel``; ``Well``, or ``Row`` and ``Column``
        (from 1; rows also as letters); and any others, such as ``Plate``, ``Site``,
        ``Z`` and ``Time``. All but the channel tell image sets apart and become
        ``Metadata_*``. Without ``Plate`` the plate has the folder's name. Default: the
        ready pattern that matches most files.

    Returns
    -------
    ImageSets
        Sorted by plate, well and site.

    Raises
    ------
    ValueError
        The pattern is wrong or matches nothing, there is no image, or two have the same
        image set and channel.
    """
    folder = folder.rstrip("/")
    paths = [path for path in storage.list(folder) if _is_image(path)]
    if not paths:
        raise ValueError(
            f"{redact_url(folder)} holds no images ({', '.join(TIFF + PILLOW)}). Is it"
            " the right folder?"
        )
    patterns = READY if pattern is None else [pattern]
    matched = max(
        (_match_paths(folder, paths, pattern) for pattern in patterns), key=len
    )
    if not matched:
        raise ValueError(
            f"{redact_url(folder)}: no image has a name as {' or '.join(patterns)}"
            f" expects. Received: {len(paths)} images, such as"
            f" {shorten_list(_make_relative(folder, paths[:3]))}. Give a pattern: one"
            f" of {', '.join(READY)}, or a regular expression."
        )
    files, channels = {}, set()
    for path, groups in matched.items():
        channel = re.sub(r"\W", "_", groups.pop("Channel"), flags=re.ASCII)
        channels.add(channel)
        images = files.setdefault(tuple(groups.items()), {})
        if channel in images:
            raise ValueError(
                f"{redact_url(folder)} has two images for channel {channel} of one"
                f" image set: {redact_url(images[channel])} and {redact_url(path)}."
                " Give a pattern with a group for what tells them apart, such as"
                " (?P<Z>...)."
            )
        images[channel] = path
    rows = []
    for image_set in sorted(
        files, key=lambda items: [_natural_key(text) for _, text in items]
    ):
        rows.append({f"Metadata_{name}": text for name, text in image_set})
        rows[-1].update(
            {
                f"URL_{channel}": files[image_set].get(channel)
                for channel in sorted(channels, key=_natural_key)
            }
        )
    frame = pd.DataFrame(rows, dtype=object).dropna(axis=1, how="all")
    return ImageSets(frame, len(paths) - len(matched))


def _is_image(path):
    return path.lower().endswith(TIFF + PILLOW) and not posixpath.basename(
        path
    ).startswith(".")


def _make_relative(folder, paths):
    return [path.removeprefix(f"{folder}/") for path in paths]


def _match_paths(folder, paths, pattern):
    """For each path that matches, its groups: plate, well and site first."""
    regex = _compile_pattern(pattern)
    # Ready patterns find the plate above the folder too, where somebody gives its Images or TimePoint_1.
    texts = paths if pattern in READY else _make_relative(folder, paths)
    matched = {}
    for path, match in zip(paths, map(regex.search, texts)):
        groups = match.groupdict() if match else {}
        channel, plate, well, row, column = (groups.pop(name, None) for name in NAMED)
        if channel and (well or row and column):
            plate, well = (
                plate or posixpath.basename(folder),
                well or _name_well(row, column, pattern),
            )
            others = dict(sorted(groups.items(), key=_site_first))
            matched[path] = {"Channel": channel, "Plate": plate, "Well": well, **others}
    return matched


def _site_first(group):
    return group[0] != "Site"


def _compile_pattern(pattern):
    try:
        regex = re.compile(READY.get(pattern, pattern))
    except re.error as error:
        raise ValueError(
            f"The pattern {pattern!r} is not a regular expression: {error}."
        ) from None
    groups = set(regex.groupindex)
    if "Channel" not in groups or not ("Well" in groups or {"Row", "Column"} <= groups):
        raise ValueError(
            "A pattern has the named groups (?P<Channel>...), and (?P<Well>...) or"
            " (?P<Row>...) and (?P<Column>...); or it is the name of a ready one:"
            f" {', '.join(READY)}. Received: {pattern!r}"
        )
    return regex


def _name_well(row, column, pattern):
    """A01 for the row 1, 01 or A, and the column 1 or 01; after row Z comes AA."""
    if not (row.isalpha() or row.isdecimal() and int(row)) or not (
        column.isdecimal() and int(column)
    ):
        raise ValueError(
            f"Row and Column are numbers from 1, or Row letters. Received: {row!r} and"
            f" {column!r}, from the pattern {pattern!r}. Correct it."
        )
    letters, number = (row.upper(), 0) if row.isalpha() else ("", int(row))
    while number:
        number, rest = divmod(number - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return f"{letters}{int(column):02d}"


def _natural_key(text):
    """Sorts A2 before A10."""
    return [
        int(part) if part.isdecimal() else part
        for part in re.split(r"(\d+)", text or "")
    ]

"""Sources of image sets: tables, folders and the plates of the cellpainting-gallery, all in one *normal form*.

One row an image set. Its columns, in this order:

    Metadata_*        as the source gives them; always Metadata_Plate and Metadata_Well
    URL_<X>           for each channel X: where its image is, an absolute path or a URL; None where no file is named
    Frame_<X>         the plane in a stack and the image in the file, from 0; only where the source gives them
    Series_<X>
    Illumination_<X>  where the illumination function of X is; only where the source gives it
    Labels_<N>        for each label image N: where it is
"""

import os
import re

from ..images import is_url
from .folders import read_folder
from .loaddata import local, read_loaddata
from .storage import shown

BUCKET = "s3://cellpainting-gallery"
GALLERY = "jump:"
LOAD_DATA = ("load_data_with_illum.parquet", "load_data_with_illum.csv", "load_data.csv.gz", "load_data.csv")
OF_CHANNEL = ("URL", "Frame", "Series", "Illumination")


def read_source(source, storage, *, channels=None, pattern=None, images=None, replace=()):
    """Read the image sets of one source.

    Parameters
    ----------
    source : str or path
        A table (CellProfiler's LoadData as ``.csv``, ``.csv.gz`` or ``.parquet``; the image table of BBBC021), a folder
        or S3 prefix of images, or ``jump:<source>/<batch>/<plate>``, a plate of the cellpainting-gallery.
    storage : Storage
    channels : dict, optional
        The channels to take, in this order: ``{name in the features: name in the source}``. Default: all.
    pattern : str, optional
        For folders: see `stratonet.extraction.folders.read_folder`.
    images : str, optional
        For tables: folder or URL where relative paths of images start. Default: the folder of the table.
    replace : sequence of (str, str)
        For tables: folders at the start of paths, and what to put there instead. The first that fits counts.

    Returns
    -------
    pandas.DataFrame
        In normal form. For folders, ``attrs["ignored"]`` is the number of images that the pattern does not match.

    Raises
    ------
    FileNotFoundError
        There is no such table, folder or plate.
    ValueError
        The source cannot be understood, names no image sets, names one twice, or lacks a channel that was asked for.
    """
    source = local(os.fspath(source))
    if not source.startswith(GALLERY) and not is_url(source):
        source = os.path.abspath(source)
    if source.startswith(GALLERY):
        frame = _read_gallery(source, storage, images, replace)
    elif storage.is_folder(source):
        frame = read_folder(source, storage, pattern)
    elif storage.exists(source):
        frame = read_loaddata(source, storage, images, replace)
    else:
        raise FileNotFoundError(f"{shown(source)} is not there: give a table, a folder of images, or {GALLERY}...")
    return frame if channels is None else _choose(frame, channels, source)


def _read_gallery(name, storage, images, replace):
    """A plate of JUMP, whose tables name paths on the machines that they were made on."""
    match = re.fullmatch(rf"{GALLERY}(source_\w+)/([^/]+)/([^/]+)", name)
    if not match:
        raise ValueError(
            f"A plate of JUMP is named {GALLERY}<source>/<batch>/<plate>, for example {GALLERY}source_8/J3/A1170384. "
            f"Received: {name!r}"
        )
    source, batch, plate = match.groups()
    folder = f"{BUCKET}/cpg0016-jump/{source}/workspace/load_data_csv/{batch}/{plate}"
    table = next((url for url in (f"{folder}/{file}" for file in LOAD_DATA) if storage.exists(url)), None)
    if table is None:
        raise FileNotFoundError(f"{name}: {folder} has none of {', '.join(LOAD_DATA)}. Is it the name of a plate?")
    frame = read_loaddata(table, storage, images, [*replace, ("/home/ubuntu/bucket", BUCKET)])
    for column, value in (("Metadata_Batch", batch), ("Metadata_Source", source)):
        if column not in frame:
            frame.insert(0, column, value)
    names = channels_of(frame)
    return _choose(frame, {_without_orig(name, names): name for name in names}, name)


def _without_orig(name, names):
    short = name.removeprefix("Orig")
    return name if short in names else short


def channels_of(frame):
    """The names of the channels of a frame in normal form."""
    return [name.removeprefix("URL_") for name in frame if name.startswith("URL_")]


def _choose(frame, channels, source):
    """The frame with some of its channels under other names: ``{new: old}``."""
    there = channels_of(frame)
    unknown = [name for name in channels.values() if name not in there]
    if unknown:
        raise ValueError(
            f"{shown(source)} has the channels {', '.join(there)}. Received: {', '.join(unknown)}. Choose among them."
        )
    taken = [
        (f"{kind}_{old}", f"{kind}_{new}")
        for new, old in channels.items()
        for kind in OF_CHANNEL
        if f"{kind}_{old}" in frame
    ]
    metadata, labels = ([name for name in frame if name.startswith(kind)] for kind in ("Metadata_", "Labels_"))
    chosen = frame[[*metadata, *(old for old, _ in taken), *labels]]
    chosen.columns = [*metadata, *(new for _, new in taken), *labels]
    return chosen

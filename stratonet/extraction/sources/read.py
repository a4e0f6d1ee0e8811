"""Image sets from whatever names them."""

import os

from stratonet.extraction.sources.folders import read_folder
from stratonet.extraction.sources.gallery import GALLERY, read_gallery
from stratonet.extraction.sources.imagesets import choose_channels
from stratonet.extraction.sources.loaddata import read_loaddata
from stratonet.files.urls import is_url, redact_url, to_local_path


def read_source(
    source, storage, *, channels=None, pattern=None, images=None, replace=()
):
    """Read the image sets of one source.

    Parameters
    ----------
    source : str or path
        A table (CellProfiler's LoadData as ``.csv``, ``.csv.gz`` or ``.parquet``; the
        image table of BBBC021), a folder or S3 prefix of images, or
        ``jump:<source>/<batch>/<plate>``, a plate of the cellpainting-gallery.
    storage : Storage
    channels : dict, optional
        The channels to take, in this order: ``{name in the features: name in the
        source}``. Default: all.
    pattern : str, optional
        For folders: see `stratonet.extraction.sources.folders.read_folder`.
    images : str, optional
        For tables: folder or URL where relative paths of images start. Default: the
        folder of the table.
    replace : sequence of (str, str)
        For tables: folders at the start of paths, and what to put there instead. The
        first that fits counts.

    Returns
    -------
    pandas.DataFrame
        In normal form. For folders, ``attrs["ignored"]`` is the number of images that
        the pattern does not match.

    Raises
    ------
    FileNotFoundError
        There is no such table, folder or plate.
    ValueError
        The source cannot be understood, names no image sets, names one twice, or lacks
        a channel that was asked for.
    """
    source = to_local_path(os.fspath(source))
    if not source.startswith(GALLERY) and not is_url(source):
        source = os.path.abspath(source)
    if source.startswith(GALLERY):
        frame = read_gallery(source, storage, images, replace)
    elif storage.is_folder(source):
        frame = read_folder(source, storage, pattern)
    elif storage.exists(source):
        frame = read_loaddata(source, storage, images, replace)
    else:
        raise FileNotFoundError(
            f"{redact_url(source)} is not there: give a table, a folder of images, or"
            f" {GALLERY}..."
        )
    return frame if channels is None else choose_channels(frame, channels, source)

"""Open files of several images with the library for their format, and cache them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache

import numpy as np

from stratonet.extras import name_missing_extra
from stratonet.files.microscopes.scenes import Scene, SceneFile
from stratonet.files.refusal import Refused
from stratonet.files.spelling import find_file
from stratonet.files.storage import Storage
from stratonet.files.urls import Unreachable, is_url, redact_url

OME_TIFF = (".ome.tif", ".ome.tiff")
# Formats whose files are always read here, whichever plane is requested.
OF_MICROSCOPES = (".nd2", ".czi", ".lif")
# The files that describe an image of OME-Zarr: up to version 0.4, and in 0.5.
OF_ZARR = (".zattrs", "zarr.json")
# Names of the formats, for messages.
FORMAT_NAMES = {
    ".nd2": "an ND2 file",
    ".czi": "a CZI file",
    ".lif": "a LIF file",
    ".ome.tif": "an OME-TIFF file",
    ".ome.tiff": "an OME-TIFF file",
    ".zattrs": "OME-Zarr",
    "zarr.json": "OME-Zarr",
}
# Opening a file parses its header, so as many stay open as wells are read at once.
OPEN_FILES = 8


def find_format(url: str) -> str | None:
    """Find the format of a file of several images by its name.

    Parameters
    ----------
    url : str
        Path or URL.

    Returns
    -------
    str or None
        One of `FORMAT_NAMES`; None for any other file.

    Examples
    --------
    >>> find_format("s3://bucket/Plate1.ND2"), find_format("a.tif")
    ('.nd2', None)
    """
    name = os.path.basename(redact_url(url)).lower()
    for extension in FORMAT_NAMES:
        if name.endswith(extension):
            return extension
    return None


def holds_scenes(url: str, frame: int | None) -> bool:
    """Whether a plane is read from a file of several images.

    Parameters
    ----------
    url : str
        Path or URL.
    frame : int, optional
        The requested plane. OME-TIFF files of one plane are read as TIFF files.
    """
    file_format = find_format(url)
    return file_format is not None and (
        file_format not in OME_TIFF or frame is not None
    )


def list_scenes(url: str, storage: Storage) -> Sequence[Scene]:
    """List the images of a file.

    Parameters
    ----------
    url : str
        Path or URL of a file in one of the formats in `FORMAT_NAMES`.
    storage : Storage
        Reads it.

    Returns
    -------
    sequence of Scene

    Raises
    ------
    FileNotFoundError, PermissionError
        The file cannot be read.
    ValueError
        The file is damaged or of an unsupported layout; the message names it.
    ImportError
        The library for its format is missing.
    """
    file = _open_file(url, storage)
    with name_damage(url):
        return file.scenes


def read_scene_plane(
    url: str,
    storage: Storage,
    series: int | None = None,
    frame: int | None = None,
    projection: str | None = None,
) -> np.ndarray:
    """Read one plane of a file of several images, or a projection.

    Parameters
    ----------
    url, storage
        See `list_scenes`.
    series, frame, projection
        See `stratonet.files.microscopes.scenes.SceneFile.read`.

    Returns
    -------
    numpy.ndarray (height, width)
        As it is stored.

    Raises
    ------
    FileNotFoundError, PermissionError, ValueError, ImportError
        See `list_scenes`.
    """
    file = _open_file(url, storage)
    with name_damage(url):
        return file.read(series, frame, projection)


@contextmanager
def name_damage(url: str) -> Iterator[None]:
    """Turn the errors of libraries into a ValueError that names the file.

    Parameters
    ----------
    url : str
        Path or URL.

    Raises
    ------
    ValueError
        Instead of any error that a library raises for a damaged file.
    """
    # Users name the folder of an image of OME-Zarr, not the file that describes it.
    name = redact_url(url)
    for file in OF_ZARR:
        name = name.removesuffix(f"/{file}")
    try:
        yield
    except (MemoryError, ImportError, Unreachable):
        raise
    except Refused as refused:
        raise ValueError(f"{name}: {refused}") from None
    except Exception as error:
        # Libraries raise OSError, too; those of the operating system have a number.
        if isinstance(error, OSError) and _is_of_system(error):
            raise
        format_name = FORMAT_NAMES[find_format(url) or ".zattrs"]
        raise ValueError(
            f"{name}: cannot be read as {format_name} ({type(error).__name__}:"
            f" {error}). Is the file damaged, or only partly copied?"
        ) from error


def _is_of_system(error: OSError) -> bool:
    return error.errno is not None or isinstance(
        error, (FileNotFoundError, PermissionError, IsADirectoryError)
    )


def _open_file(url: str, storage: Storage) -> SceneFile:
    path = find_file(url, storage)
    if path is None:
        raise FileNotFoundError(f"{redact_url(url)} is not there.")
    version = None
    if not is_url(path):
        # A file that has been replaced by another is opened again.
        status = os.stat(path)
        version = (status.st_mtime_ns, status.st_size)
    with name_damage(path):
        # An array on a disk opens quickly, and may be rewritten while the file that
        # describes it stays the same.
        if version and find_format(path) in OF_ZARR:
            return _open_uncached(path, storage)
        return _open_version(path, storage, version)


def forget_open_files() -> None:
    """Open all files again when they are next read.

    A file at a URL may have been replaced since it was opened; of local files, this is
    noticed anyway.
    """
    _open_version.cache_clear()


@lru_cache(maxsize=OPEN_FILES)
def _open_version(
    url: str, storage: Storage, version: tuple[int, int] | None
) -> SceneFile:
    return _open_uncached(url, storage)


def _open_uncached(url: str, storage: Storage) -> SceneFile:
    file_format = find_format(url)
    assert file_format is not None
    with name_missing_extra(
        f"{redact_url(url)}: reading {FORMAT_NAMES[file_format]}", "microscopes"
    ):
        opener = _import_opener(file_format)
    try:
        return opener(url, storage)
    except MemoryError:
        raise ValueError("its header asks for more memory than there is") from None


def _import_opener(file_format: str) -> Callable[[str, Storage], SceneFile]:
    """Return the class that opens files of a format, and import its library."""
    if file_format in OF_ZARR:
        from stratonet.files.microscopes.omezarr import ZarrImage

        return ZarrImage
    if file_format in OME_TIFF:
        from stratonet.files.microscopes.ometiff import OmeTiffFile

        return OmeTiffFile
    if file_format == ".nd2":
        from stratonet.files.microscopes.nd2files import Nd2File

        return Nd2File
    if file_format == ".czi":
        from stratonet.files.microscopes.czi import CziFile

        return CziFile
    from stratonet.files.microscopes.lif import LifFile

    return LifFile


def find_plane_file(path: str, storage: Storage) -> str:
    """Find the file that describes an image of OME-Zarr, given the image's folder.

    Parameters
    ----------
    path : str
        Path or URL.
    storage : Storage
        Looks for it.

    Returns
    -------
    str
        The JSON file in a folder of OME-Zarr; any other path unchanged.
    """
    if ".zarr" not in path or find_format(path):
        return path
    for file in OF_ZARR:
        if storage.exists(f"{path.rstrip('/')}/{file}"):
            return f"{path.rstrip('/')}/{file}"
    return path

"""Which library reads a file of several images, and files that are held open."""

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
# Formats of which every file is read here, whichever plane of it is asked for.
OF_MICROSCOPES = (".nd2", ".czi", ".lif")
# The files that describe an image of OME-Zarr, of version 0.4 and before, and of 0.5.
OF_ZARR = (".zattrs", "zarr.json")
# What a file should be, for messages.
KINDS = {
    ".nd2": "an ND2 file",
    ".czi": "a CZI file",
    ".lif": "a LIF file",
    ".ome.tif": "an OME-TIFF file",
    ".ome.tiff": "an OME-TIFF file",
    ".zattrs": "OME-Zarr",
    "zarr.json": "OME-Zarr",
}
# Opening a file parses its header: as many are kept open as wells are read at once.
OPEN_FILES = 8


def find_format(url: str) -> str | None:
    """Find by its name which kind of file of several images it is.

    Parameters
    ----------
    url : str
        Path or URL.

    Returns
    -------
    str or None
        One of `KINDS`; None for any other file.

    Examples
    --------
    >>> find_format("s3://bucket/Plate1.ND2"), find_format("a.tif")
    ('.nd2', None)
    """
    name = os.path.basename(redact_url(url)).lower()
    for extension in KINDS:
        if name.endswith(extension):
            return extension
    return None


def holds_scenes(url: str, frame: int | None) -> bool:
    """Whether a plane is read as one of a file of several images.

    Parameters
    ----------
    url : str
        Path or URL.
    frame : int, optional
        Which plane is asked for. OME-TIFF files of one plane are TIFF files.
    """
    found = find_format(url)
    return found is not None and (found not in OME_TIFF or frame is not None)


def list_scenes(url: str, storage: Storage) -> Sequence[Scene]:
    """List the images of a file.

    Parameters
    ----------
    url : str
        Path or URL of a file of one of `KINDS`.
    storage : Storage
        What reads it.

    Returns
    -------
    sequence of Scene

    Raises
    ------
    FileNotFoundError, PermissionError
        It cannot be read.
    ValueError
        It is damaged, or holds what is not read; the message names it.
    ImportError
        The library that reads it is missing.
    """
    file = _open(url, storage)
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
    file = _open(url, storage)
    with name_damage(url):
        return file.read(series, frame, projection)


@contextmanager
def name_damage(url: str) -> Iterator[None]:
    """Turn what libraries raise into a ValueError that names the file.

    Parameters
    ----------
    url : str
        Path or URL.

    Raises
    ------
    ValueError
        Instead of whatever a library raises of a damaged file.
    """
    # What describes an image of OME-Zarr is not what a user has named.
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
        # Libraries raise OSError of their own, too, which no system has numbered.
        if isinstance(error, OSError) and _is_of_system(error):
            raise
        kind = KINDS[find_format(url) or ".zattrs"]
        raise ValueError(
            f"{name}: cannot be read as {kind} ({type(error).__name__}: {error}). Is"
            " the file damaged, or only partly copied?"
        ) from error


def _is_of_system(error: OSError) -> bool:
    return error.errno is not None or isinstance(
        error, (FileNotFoundError, PermissionError, IsADirectoryError)
    )


def _open(url: str, storage: Storage) -> SceneFile:
    found = find_file(url, storage)
    if found is None:
        raise FileNotFoundError(f"{redact_url(url)} is not there.")
    version = None
    if not is_url(found):
        # Another file of the same name is opened anew.
        status = os.stat(found)
        version = (status.st_mtime_ns, status.st_size)
    with name_damage(found):
        # An array on a disk is quickly looked at, and may be written anew without the
        # file that describes it.
        if version and find_format(found) in OF_ZARR:
            return _open_anew(found, storage)
        return _open_version(found, storage, version)


@lru_cache(maxsize=OPEN_FILES)
def _open_version(
    url: str, storage: Storage, version: tuple[int, int] | None
) -> SceneFile:
    return _open_anew(url, storage)


def _open_anew(url: str, storage: Storage) -> SceneFile:
    kind = find_format(url)
    assert kind is not None
    with name_missing_extra(f"{redact_url(url)}: reading {KINDS[kind]}", "microscopes"):
        opener = _import_opener(kind)
    try:
        return opener(url, storage)
    except MemoryError:
        raise ValueError("its header asks for more memory than there is") from None


def _import_opener(kind: str) -> Callable[[str, Storage], SceneFile]:
    """The class that opens files of a kind; its library is imported only now."""
    if kind in OF_ZARR:
        from stratonet.files.microscopes.omezarr import ZarrImage

        return ZarrImage
    if kind in OME_TIFF:
        from stratonet.files.microscopes.ometiff import OmeTiffFile

        return OmeTiffFile
    if kind == ".nd2":
        from stratonet.files.microscopes.nd2files import Nd2File

        return Nd2File
    if kind == ".czi":
        from stratonet.files.microscopes.czi import CziFile

        return CziFile
    from stratonet.files.microscopes.lif import LifFile

    return LifFile


def find_plane_file(path: str, storage: Storage) -> str:
    """Find what describes an image of OME-Zarr, whose folder a user names.

    Parameters
    ----------
    path : str
        Path or URL.
    storage : Storage
        What looks for it.

    Returns
    -------
    str
        The JSON file in a folder of OME-Zarr; anything else as it is.
    """
    if ".zarr" not in path or find_format(path):
        return path
    for file in OF_ZARR:
        if storage.exists(f"{path.rstrip('/')}/{file}"):
            return f"{path.rstrip('/')}/{file}"
    return path

"""Read a plane of a Zarr array, whose chunks are read by `Storage`.

It works with zarr 2, the last version for Python 3.10, and with zarr 3.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, MutableMapping
from typing import Any

import numpy as np
import zarr

from stratonet.files.refusal import Refused
from stratonet.files.storage import Storage

IS_ZARR_3 = int(zarr.__version__.partition(".")[0]) >= 3


def read_array_plane(
    array: str, selection: tuple[int | slice, ...], is_new: bool, storage: Storage
) -> np.ndarray:
    """Read only the chunks of an array that hold a plane.

    Parameters
    ----------
    array : str
        Path or URL of its folder.
    selection : tuple of int or slice
        The index or slice of each axis.
    is_new : bool
        Whether the array is in Zarr 3, which NGFF 0.5 uses.
    storage : Storage
        Reads its files.

    Returns
    -------
    numpy.ndarray (height, width)

    Raises
    ------
    Refused
        The installed zarr cannot read this version, or all chunks are missing.
    Exception
        Of any type, for damaged chunks.
    """
    if is_new and not IS_ZARR_3:
        raise Refused(
            "OME-Zarr 0.5 was received. It uses Zarr 3, which needs version 3 of the"
            f" package zarr and Python 3.11; zarr {zarr.__version__} is installed. Run"
            " StratoNet in Python 3.11 or later, or save the plate as OME-Zarr 0.4."
        )
    files = _Files(array, storage)
    zarr_array: Any
    if IS_ZARR_3:
        store = _make_store(files)
        zarr_array = zarr.open_array(store, mode="r", zarr_format=3 if is_new else 2)
    else:
        zarr_array = zarr.Array(files, read_only=True)
    plane = np.asarray(zarr_array[selection])
    # In Zarr, a missing chunk is empty. If all are missing, something went wrong.
    if not files.found_chunk:
        raise Refused(
            "none of the chunks of this plane exists. Is the image only partly copied?"
        )
    return plane


class _Files(MutableMapping[str, bytes]):
    """The files of an array as a mapping by name, for zarr 2."""

    def __init__(self, folder: str, storage: Storage) -> None:
        self._folder = folder
        self._storage = storage
        # zarr asks whether a file exists, and then for its content.
        self._next: dict[str, bytes] = {}
        self.found_chunk = False

    def __contains__(self, name: object) -> bool:
        try:
            self._next = {str(name): self[str(name)]}
        except KeyError:
            return False
        return True

    def __getitem__(self, name: str) -> bytes:
        if name in self._next:
            return self._next.pop(name)
        try:
            content = self._storage.read(f"{self._folder}/{name}")
        except FileNotFoundError:
            raise KeyError(name) from None
        self.found_chunk |= not name.endswith((".zarray", ".zattrs", ".json"))
        return content

    def __setitem__(self, name: str, content: bytes) -> None:
        raise PermissionError(f"{self._folder} is only read.")

    def __delitem__(self, name: str) -> None:
        raise PermissionError(f"{self._folder} is only read.")

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0

    def read_part(self, name: str, byte_range: Any) -> bytes:
        """Read a part of a file, or the whole file, for zarr 3."""
        if byte_range is None:
            return self[name]
        try:
            with self._storage.open(f"{self._folder}/{name}") as file:
                start, length = _find_part(byte_range, file.seek(0, 2))
                file.seek(start)
                content = file.read(length)
        except FileNotFoundError:
            raise KeyError(name) from None
        self.found_chunk = True
        return content


def _find_part(byte_range: Any, size: int) -> tuple[int, int]:
    """Return the start of a part of a file, and its length."""
    if hasattr(byte_range, "suffix"):
        return max(size - byte_range.suffix, 0), byte_range.suffix
    if hasattr(byte_range, "offset"):
        return byte_range.offset, size - byte_range.offset
    return byte_range.start, byte_range.end - byte_range.start


def _make_store(files: _Files) -> Any:
    """Wrap the files in a store for zarr 3."""
    from zarr.abc.store import Store

    class FileStore(Store):
        """A read-only store."""

        supports_writes = False
        supports_deletes = False
        supports_listing = False

        def __eq__(self, other: object) -> bool:
            return self is other

        async def get(
            self, key: str, prototype: Any, byte_range: Any = None
        ) -> Any | None:
            try:
                content = await asyncio.to_thread(files.read_part, key, byte_range)
            except KeyError:
                return None
            return prototype.buffer.from_bytes(content)

        async def get_partial_values(self, prototype: Any, key_ranges: Any) -> Any:
            return [await self.get(key, prototype, part) for key, part in key_ranges]

        async def exists(self, key: str) -> bool:
            return await asyncio.to_thread(files.__contains__, key)

        async def set(self, key: str, value: Any) -> None:
            raise PermissionError(key)

        async def delete(self, key: str) -> None:
            raise PermissionError(key)

        def list(self) -> Any:
            raise NotImplementedError

        def list_prefix(self, prefix: str) -> Any:
            raise NotImplementedError

        def list_dir(self, prefix: str) -> Any:
            raise NotImplementedError

    return FileStore(read_only=True)

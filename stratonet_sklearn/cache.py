"""A cache on disk of features that were computed before, shared by processes.

All rows are in one SQLite file. SQLite comes with Python and is exceptionally well
maintained; it lets several processes write, and keeps the file intact if one is killed.
Rows are stored as bytes: unlike pickles, a file of unknown origin cannot run code.
"""

from __future__ import annotations

import os
import re
import sqlite3
import threading
import time
import warnings
from collections.abc import Callable
from contextlib import closing, suppress
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import numpy as np

from stratonet.extras import name_missing_extra
from stratonet.files.urls import is_url

T = TypeVar("T")
# Instead of a folder: use the one where the system keeps a user's caches.
AUTO = "auto"
# The number is the version of the file's layout: a new layout gets a new file.
FILE = "stratonet-features-1.sqlite"
# Maximum size of the file in bytes: some 140,000 planes of 224 x 224 pixels in one
# view.
LARGEST = 10 * 2**30
# When the file is full, the tenth of the rows that was unused for longest is removed.
TENTH = 10
# Bytes of the digest of a row's key and numbers, which is stored before the numbers.
DIGEST = 16
# Seconds that a process waits while others write.
PATIENCE = 60

# Warnings already given in this process: each is given once.
_given_warnings: set[str] = set()


class FeatureCache:
    """Store rows of float32 by key, in a folder; drop the least recently used first.

    A problem with the folder or the file is never an error: a row that cannot be read
    counts as missing, a row that cannot be written is not kept, and a warning says so,
    once per process. A damaged file is replaced by a new one.

    Parameters
    ----------
    folder : pathlib.Path
        Created if it is missing. On a network share, SQLite's locks may not work.
    largest : int
        Maximum size of the file in bytes.

    Examples
    --------
    >>> import tempfile
    >>> with FeatureCache(Path(tempfile.mkdtemp())) as cache:
    ...     cache.put(b"key", np.array([1.5, 2.5], np.float32))
    ...     cache.get(b"key", 2), cache.get(b"another", 2)
    (array([1.5, 2.5], dtype=float32), None)
    """

    def __init__(self, folder: Path, largest: int = LARGEST) -> None:
        self.path = folder / FILE
        self.largest = largest
        self._is_writable = True
        # Keys and times of rows that were read since the last row was written.
        self._used: dict[bytes, int] = {}
        # Threads of a process take turns.
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def __enter__(self) -> FeatureCache:
        with self._lock:
            self._open()
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._used:
            self._write(self._note_uses)
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def get(self, key: bytes, width: int) -> np.ndarray | None:
        """Return the row of a key.

        Parameters
        ----------
        key : bytes
            The key under which the row was stored.
        width : int
            Number of features of the row.

        Returns
        -------
        numpy.ndarray (width,), float32, or None
            None if there is no such row, or if it is damaged.
        """
        query = "SELECT content FROM features WHERE key = ?"
        record = self._attempt(lambda file: file.execute(query, (key,)).fetchone())
        row = record and _unpack_row(key, record[0], width)
        if row is None:
            return None
        with self._lock:
            self._used[key] = time.time_ns()
        return row

    def put(self, key: bytes, row: np.ndarray) -> None:
        """Store a row, replacing an older one; other processes see it at once.

        Parameters
        ----------
        key : bytes
            Whatever determines the numbers, or a digest of it.
        row : numpy.ndarray
            (width,), float32.
        """
        content = _pack_row(key, row)

        def insert(file: sqlite3.Connection) -> None:
            self._note_uses(file)
            self._make_room(file)
            values = (key, time.time_ns(), content)
            file.execute("INSERT OR REPLACE INTO features VALUES (?, ?, ?)", values)

        self._write(insert)

    def _write(self, change: Callable[[sqlite3.Connection], None]) -> None:
        """Change the file, all at once or not at all."""
        if not self._is_writable:
            return

        def commit(file: sqlite3.Connection) -> None:
            try:
                # Lock from the start: of two processes that have read, one could not
                # write.
                file.execute("BEGIN IMMEDIATE")
                change(file)
                file.execute("COMMIT")
            except sqlite3.OperationalError as error:
                if _is_damage(error):
                    raise
                # The disk is full or read-only: existing rows can still be read.
                self._is_writable = False
                self._warn_once(error)
            finally:
                if file.in_transaction:
                    with suppress(sqlite3.Error):
                        file.execute("ROLLBACK")

        self._attempt(commit)

    def _attempt(self, action: Callable[[sqlite3.Connection], T]) -> T | None:
        """Return the result of an action; None if the file cannot be used."""
        with self._lock:
            if self._connection is None:
                return None
            try:
                return action(self._connection)
            except sqlite3.Error as error:
                self._replace_file(error)
        return None

    def _open(self) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = _connect(self.path)
        except (sqlite3.Error, OSError) as error:
            self._replace_file(error)

    def _replace_file(self, error: Exception) -> None:
        """Replace a damaged file. Processes that have it open keep the old one."""
        if not _is_damage(error):
            self._stop_using(error)
            return
        try:
            if self._connection is not None:
                self._connection.close()
            for name in (FILE, f"{FILE}-journal"):
                self.path.with_name(name).unlink(missing_ok=True)
            self._connection = _connect(self.path)
        except (sqlite3.Error, OSError) as error:
            self._stop_using(error)

    def _stop_using(self, error: Exception) -> None:
        self._connection = None
        self._warn_once(error)

    def _warn_once(self, error: Exception) -> None:
        text = (
            f"The cache {self.path} cannot be used, and images are measured without it:"
            f" {error}. Free space there, or give `cache` another folder."
        )
        if text not in _given_warnings:
            _given_warnings.add(text)
            warnings.warn(text, stacklevel=2)

    def _note_uses(self, file: sqlite3.Connection) -> None:
        """Record when rows were last used: many at a time, as each is a small write."""
        used, self._used = self._used, {}
        rows = [(moment, key) for key, moment in used.items()]
        file.executemany("UPDATE features SET used = ? WHERE key = ?", rows)

    def _make_room(self, file: sqlite3.Connection) -> None:
        """Remove the rows that were unused for longest, if the file is full."""
        pages = _query_number(file, "PRAGMA page_count") - _query_number(
            file, "PRAGMA freelist_count"
        )
        if pages * _query_number(file, "PRAGMA page_size") < self.largest:
            return
        count = 1 + _query_number(file, "SELECT count(*) FROM features") // TENTH
        oldest = "SELECT key FROM features ORDER BY used LIMIT ?"
        file.execute(f"DELETE FROM features WHERE key IN ({oldest})", (count,))


def find_folder(cache: str | os.PathLike[str]) -> Path:
    """Return the folder of a cache.

    Parameters
    ----------
    cache : str or path-like
        ``"auto"`` or a folder; ``~`` is the user's home.

    Raises
    ------
    ValueError
        It is not a folder on this machine.

    Examples
    --------
    >>> find_folder("features").is_absolute(), find_folder("auto").name
    (True, 'stratonet')
    """
    if cache == AUTO:
        with name_missing_extra("cache='auto'", "sklearn"):
            import platformdirs

        return Path(platformdirs.user_cache_path("stratonet", appauthor=False))
    if not os.fspath(cache) or is_url(cache):
        raise ValueError(
            f"`cache` must be None, {AUTO!r} or a folder on this machine. Received:"
            f" {cache!r}"
        )
    return Path(cache).expanduser().absolute()


def _connect(path: Path) -> sqlite3.Connection:
    """Open the file, and create its table and index if they are missing."""
    # Transactions are started explicitly; the cache's lock coordinates its threads.
    file = sqlite3.connect(
        path, PATIENCE, isolation_level=None, check_same_thread=False
    )
    try:
        # A power cut may lose rows or damage the file; they are then measured again.
        # Waiting for the disk at each row would take longer.
        file.execute("PRAGMA synchronous = OFF")
        # `used` comes before the content: recording a use does not touch the numbers.
        file.execute(
            "CREATE TABLE IF NOT EXISTS features"
            " (key BLOB PRIMARY KEY, used INTEGER, content BLOB)"
        )
        file.execute("CREATE INDEX IF NOT EXISTS uses ON features (used)")
    except sqlite3.Error:
        file.close()
        raise
    return file


def _is_damage(error: Exception) -> bool:
    """Whether an error concerns the content of the file, not the disk or the lock."""
    # A damaged list of tables, or another layout, shows up as an error in our SQL.
    if isinstance(error, sqlite3.OperationalError):
        return re.search("no such|columns", str(error)) is not None
    return isinstance(error, sqlite3.DatabaseError)


def _query_number(file: sqlite3.Connection, query: str) -> int:
    with closing(file.execute(query)) as answer:
        return int(answer.fetchone()[0])


def _pack_row(key: bytes, row: np.ndarray) -> bytes:
    content = row.astype("<f4").tobytes()
    return _digest(key, content) + content


def _unpack_row(key: bytes, packed: object, width: int) -> np.ndarray | None:
    """Return the numbers of a row; None if it is damaged or has another key."""
    if not isinstance(packed, bytes) or len(packed) != DIGEST + 4 * width:
        return None
    content = packed[DIGEST:]
    if _digest(key, content) != packed[:DIGEST]:
        return None
    return np.frombuffer(content, "<f4").astype(np.float32)


def _digest(key: bytes, content: bytes) -> bytes:
    return sha256(key + content).digest()[:DIGEST]

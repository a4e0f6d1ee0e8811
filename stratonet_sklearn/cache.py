"""Rows of numbers that were computed before, on disk, where many processes share them.

All rows are in one SQLite file. SQLite comes with Python and is kept like few other
libraries; it lets processes write at once, and leaves the file whole if one is killed.
Rows are stored as bytes: nothing in a file of unknown origin can run code, as in one of
pickles.
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
# In place of a folder: where the system keeps the caches of a user.
AUTO = "auto"
# The number is that of the layout: another layout is another file.
FILE = "stratonet-features-1.sqlite"
# Bytes of the file: some 140,000 planes of 224 x 224 pixels in one view.
LARGEST = 10 * 2**30
# What goes when the file is full: the tenth of the rows that is longest unused.
TENTH = 10
# Before the numbers of a row stands a digest of its key and of them.
DIGEST = 16
# Seconds for which a process waits while others write.
PATIENCE = 60

# What was said in this process: each cache says once what is wrong with it.
_said: set[str] = set()


class FeatureCache:
    """Rows of float32 by key, in a folder; the least recently used go first.

    Nothing that is wrong with the folder or the file is an error: a row that cannot be
    read is not there, one that cannot be written is not kept, and a warning says so,
    once in a process. A damaged file is begun anew.

    Parameters
    ----------
    folder : pathlib.Path
        Made if it is missing. On a network share SQLite's locks may not work.
    largest : int
        Bytes that the file may take.

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
            As it was put.
        width : int
            Of the row.

        Returns
        -------
        numpy.ndarray (width,), float32, or None
            None where there is none, or a damaged one.
        """
        query = "SELECT content FROM features WHERE key = ?"
        found = self._attempt(lambda file: file.execute(query, (key,)).fetchone())
        row = found and _unpack_row(key, found[0], width)
        if row is None:
            return None
        with self._lock:
            self._used[key] = time.time_ns()
        return row

    def put(self, key: bytes, row: np.ndarray) -> None:
        """Keep a row, in place of an older one; other processes see it at once.

        Parameters
        ----------
        key : bytes
            Whatever decides the numbers, or a digest of it.
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
                # From the start: two that have read could not both go on to write.
                file.execute("BEGIN IMMEDIATE")
                change(file)
                file.execute("COMMIT")
            except sqlite3.OperationalError as error:
                if _is_damage(error):
                    raise
                # A full disk or a read-only one: what is there can still be read.
                self._is_writable = False
                self._say(error)
            finally:
                if file.in_transaction:
                    with suppress(sqlite3.Error):
                        file.execute("ROLLBACK")

        self._attempt(commit)

    def _attempt(self, action: Callable[[sqlite3.Connection], T]) -> T | None:
        """Return what an action returns; None where the file cannot be used."""
        with self._lock:
            if self._connection is None:
                return None
            try:
                return action(self._connection)
            except sqlite3.Error as error:
                self._mend(error)
        return None

    def _open(self) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = _connect(self.path)
        except (sqlite3.Error, OSError) as error:
            self._mend(error)

    def _mend(self, error: Exception) -> None:
        """Replace a damaged file. Who else has it open goes on with the old one."""
        if not _is_damage(error):
            self._give_up(error)
            return
        try:
            if self._connection is not None:
                self._connection.close()
            for name in (FILE, f"{FILE}-journal"):
                self.path.with_name(name).unlink(missing_ok=True)
            self._connection = _connect(self.path)
        except (sqlite3.Error, OSError) as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        self._connection = None
        self._say(error)

    def _say(self, error: Exception) -> None:
        text = (
            f"The cache {self.path} cannot be used, and images are measured without it:"
            f" {error}. Free space there, or give `cache` another folder."
        )
        if text not in _said:
            _said.add(text)
            warnings.warn(text, stacklevel=2)

    def _note_uses(self, file: sqlite3.Connection) -> None:
        """Note when rows were last used, many at a time: each is a small write."""
        used, self._used = self._used, {}
        rows = [(moment, key) for key, moment in used.items()]
        file.executemany("UPDATE features SET used = ? WHERE key = ?", rows)

    def _make_room(self, file: sqlite3.Connection) -> None:
        """Remove the rows that are longest unused, where the file is full."""
        pages = _ask(file, "PRAGMA page_count") - _ask(file, "PRAGMA freelist_count")
        if pages * _ask(file, "PRAGMA page_size") < self.largest:
            return
        count = 1 + _ask(file, "SELECT count(*) FROM features") // TENTH
        oldest = "SELECT key FROM features ORDER BY used LIMIT ?"
        file.execute(f"DELETE FROM features WHERE key IN ({oldest})", (count,))


def find_folder(cache: str | os.PathLike[str]) -> Path:
    """Return the folder of a cache.

    Parameters
    ----------
    cache : str or path-like
        ``"auto"`` or a folder; ``~`` is the user's.

    Raises
    ------
    ValueError
        It is no folder of this machine.

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
            f"`cache` is None, {AUTO!r} or a folder of this machine. Received:"
            f" {cache!r}"
        )
    return Path(cache).expanduser().absolute()


def _connect(path: Path) -> sqlite3.Connection:
    """Open the file, and make what belongs in it."""
    # Transactions are begun by hand; the lock of the cache guards its threads.
    file = sqlite3.connect(
        path, PATIENCE, isolation_level=None, check_same_thread=False
    )
    try:
        # A machine without power may lose rows or damage the file; then they are
        # measured again. Waiting for the disk at each row would take longer.
        file.execute("PRAGMA synchronous = OFF")
        # `used` stands before the content: noting a use does not touch the numbers.
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
    """Whether an error concerns what stands in the file, not the disk or the lock."""
    # A damaged list of tables, or another layout, comes as a fault in our commands.
    if isinstance(error, sqlite3.OperationalError):
        return re.search("no such|columns", str(error)) is not None
    return isinstance(error, sqlite3.DatabaseError)


def _ask(file: sqlite3.Connection, question: str) -> int:
    with closing(file.execute(question)) as answer:
        return int(answer.fetchone()[0])


def _pack_row(key: bytes, row: np.ndarray) -> bytes:
    content = row.astype("<f4").tobytes()
    return _digest(key, content) + content


def _unpack_row(key: bytes, packed: object, width: int) -> np.ndarray | None:
    """Return the numbers of a row, if it is whole and that of the key."""
    if not isinstance(packed, bytes) or len(packed) != DIGEST + 4 * width:
        return None
    content = packed[DIGEST:]
    if _digest(key, content) != packed[:DIGEST]:
        return None
    return np.frombuffer(content, "<f4").astype(np.float32)


def _digest(key: bytes, content: bytes) -> bytes:
    return sha256(key + content).digest()[:DIGEST]

"""Read and write files on disks and S3, and read files from web servers.

Only this module and `stratonet.files.remote` touch them. Local files need the standard
library only: the packages for S3 and the web are imported once a URL needs them.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from stratonet.extras import name_missing_extra
from stratonet.files.atomic import (
    TEMPORARY,
    explain_os_error,
    remove_unfinished,
    write_atomically,
)
from stratonet.files.listing import list_folder
from stratonet.files.urls import Unreachable, redact_url, to_local_path

# Attempts at writing a file whose folder vanishes: another process may remove an empty
# folder before the file is in it.
ATTEMPTS = 3
# An alias, since methods called list hide the type from the methods that follow.
Paths = list[str]


class _Location(Protocol):
    """A path or URL as `Storage` uses it; the methods are described there."""

    def read(self) -> bytes: ...
    def open(self) -> BinaryIO: ...
    def exists(self) -> bool: ...
    def is_folder(self) -> bool: ...
    def list(self) -> Paths: ...
    def remove(self) -> None: ...
    def write(self, content: bytes) -> None: ...
    def write_file(self, path: str | os.PathLike[str]) -> None: ...
    def create(self, content: bytes) -> None: ...
    def tidy(self) -> None: ...
    def prune(self) -> None: ...
    def check(self, writing: bool) -> None: ...


@dataclass(frozen=True)
class Storage:
    """Reads and writes local files and ``s3://`` keys; reads ``https://``, ``http://``.

    It is small and holds no credentials: it can be sent to other processes and
    machines, which find their own. Requests to S3 are

    1. never signed, if ``anonymous``;
    2. signed, if there are credentials in the usual places: environment, ``~/.aws``,
       the role of the machine;
    3. anonymous, if there are none;
    4. for reading, repeated anonymously if signed requests are refused, as public
       buckets refuse the keys of another provider. Whichever worked last in a bucket
       is tried first. Writing is never repeated anonymously.

    After errors that may be temporary (no connection, broken answers, "slow down"), a
    request is tried five times within 7 s.

    Parameters
    ----------
    endpoint : str, optional
        URL of an S3 service other than Amazon's. Default: ``AWS_ENDPOINT_URL`` and
        whatever else botocore reads.
    region : str, optional
        Default: ``AWS_REGION``, ``AWS_DEFAULT_REGION`` or the region of the profile.
    anonymous : bool
        Never sign requests.

    Raises
    ------
    FileNotFoundError, PermissionError, IsADirectoryError
        By all methods, about a single file, which the message names.
    Unreachable
        By all methods: no connection, no such bucket, no valid credentials, or no
        answer after all attempts.
    ValueError
        By all methods: the URL is invalid or of another kind, or a web server was to be
        written to or listed.
    ImportError
        By all methods, for a URL: a package that it needs is missing.

    Examples
    --------
    >>> import tempfile
    >>> storage = Storage()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     storage.write(f"{folder}/P1/A01.txt", b"a well")
    ...     names = [path[len(folder) :] for path in storage.list(folder)]
    ...     storage.read(f"{folder}/P1/A01.txt"), names
    (b'a well', ['/P1/A01.txt'])
    """

    endpoint: str | None = None
    region: str | None = None
    anonymous: bool = False

    def __post_init__(self) -> None:
        """Refuse an endpoint that is not a URL, or that contains a password."""
        if self.endpoint and not re.fullmatch(r"https?://[^@\s]+", self.endpoint):
            raise ValueError(
                "An endpoint is a URL such as https://host:9000, without user and"
                " password."
            )

    def read(self, url: str | os.PathLike[str]) -> bytes:
        """Return the whole content of a file."""
        return self._locate(url).read()

    def write(self, url: str | os.PathLike[str], content: bytes) -> None:
        """Write bytes to a file, making its folders.

        Readers see the complete file or none at all.
        """
        self._locate(url).write(content)

    def write_file(
        self, url: str | os.PathLike[str], path: str | os.PathLike[str]
    ) -> None:
        """Write the content of the local file ``path``, as `write` does.

        The local file is removed afterwards.
        """
        self._locate(url).write_file(path)

    def create(self, url: str | os.PathLike[str], content: bytes) -> None:
        """Write bytes to a file as `write` does, unless it exists already.

        Of several processes that write it at once, the first wins, and all read its
        content.
        """
        self._locate(url).create(content)

    def exists(self, url: str | os.PathLike[str]) -> bool:
        """Whether the file exists."""
        return self._locate(url).exists()

    def is_folder(self, url: str | os.PathLike[str]) -> bool:
        """Whether it is a folder; on S3, whether any keys below it can be listed."""
        return self._locate(url).is_folder()

    def list(self, url: str | os.PathLike[str]) -> Paths:
        """List the files in a folder and its subfolders.

        Returns
        -------
        list of str
            Sorted, as paths or URLs like ``url``; empty if there are none. Hidden
            folders and those of the system are skipped, and no file is listed twice,
            see `stratonet.files.listing`.
        """
        return self._locate(url).list()

    def remove(self, url: str | os.PathLike[str]) -> None:
        """Remove a file, or a folder with everything in it.

        Nothing happens if it does not exist.
        """
        self._locate(url).remove()

    def tidy(self, url: str | os.PathLike[str]) -> None:
        """Remove the incomplete files that killed processes of this machine left.

        On S3 nothing is done: incomplete uploads are not visible as files.
        """
        self._locate(url).tidy()

    def prune(self, url: str | os.PathLike[str]) -> None:
        """Remove a local folder and its subfolders as far as they hold no files."""
        self._locate(url).prune()

    def open(self, url: str | os.PathLike[str]) -> BinaryIO:
        """Open a file in order to read parts of it.

        Returns
        -------
        file object
            Binary and seekable. On S3, each read is a request, and all read the same
            version of the file.
        """
        return self._locate(url).open()

    def check(self, url: str | os.PathLike[str], writing: bool = False) -> None:
        """Raise `Unreachable` at once if nothing can be read, or written.

        Parameters
        ----------
        url : str or path
            A file, which may be missing, or a folder.
        writing : bool
            ``url`` is a folder to write to. A local folder is created.
        """
        self._locate(url).check(writing)

    def _locate(self, url: str | os.PathLike[str]) -> _Location:
        url = to_local_path(os.fspath(url))
        scheme = url.partition("://")[0].lower() if "://" in url else ""
        if not scheme:
            return _LocalPath(url)
        if scheme not in ("s3", "https", "http"):
            raise ValueError(
                "Files are local, or at s3://, https:// or http://. Received:"
                f" {redact_url(url)}"
            )
        purpose = f"{redact_url(url)}: reaching URLs"
        with name_missing_extra(purpose, "sklearn", "extract"):
            from stratonet.files import remote

            remote.import_clients(scheme)
        if scheme == "s3":
            return remote.S3Url(url, self)
        return remote.WebUrl(url, self)


@contextmanager
def _name_path(path: str, failure: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise explain_os_error(error, path, failure) from None


class _LocalPath:
    """A path on a local or mounted disk."""

    def __init__(self, path: str) -> None:
        self.path = path

    def read(self) -> bytes:
        with _name_path(self.path, "cannot be read"), open(self.path, "rb") as file:
            return file.read()

    def open(self) -> BinaryIO:
        with _name_path(self.path, "cannot be read"):
            return open(self.path, "rb")

    def exists(self) -> bool:
        return os.path.isfile(self.path)

    def is_folder(self) -> bool:
        return os.path.isdir(self.path)

    def list(self) -> Paths:
        with _name_path(self.path, "cannot be listed"):
            paths = list_folder(self.path)
        return [
            path for path in paths if not os.path.basename(path).startswith(TEMPORARY)
        ]

    def remove(self) -> None:
        with _name_path(self.path, "cannot be removed"):
            while os.path.isdir(self.path) and not os.path.islink(self.path):
                # Another process may be removing it, too, or put a new file into it.
                with suppress(FileNotFoundError):
                    shutil.rmtree(self.path)
            with suppress(FileNotFoundError, NotADirectoryError):
                os.remove(self.path)

    def tidy(self) -> None:
        remove_unfinished(self.path)

    def prune(self) -> None:
        for folder, _, _ in os.walk(self.path, topdown=False):
            # It is not empty, or another process is removing it, too.
            with suppress(OSError):
                os.rmdir(folder)

    def write(self, content: bytes) -> None:
        self._make_file(lambda unfinished: unfinished.write_bytes(content))

    def write_file(self, path: str | os.PathLike[str]) -> None:
        def link_or_copy(unfinished: Path) -> None:
            # A link costs nothing, and the original stays until everything is done.
            try:
                os.link(path, unfinished)
            except OSError:
                shutil.copyfile(path, unfinished)

        self._make_file(link_or_copy)
        os.remove(path)

    def create(self, content: bytes) -> None:
        with suppress(FileExistsError):
            self._make_file(
                lambda unfinished: unfinished.write_bytes(content), must_be_new=True
            )

    def check(self, writing: bool) -> None:
        if not writing:
            return
        try:
            os.makedirs(self.path, exist_ok=True)
            tempfile.TemporaryFile(dir=self.path, prefix=TEMPORARY).close()
        except OSError as error:
            raise Unreachable(
                f"{self.path} cannot be written to: {error.strerror}."
            ) from None

    def _make_file(
        self, write_content: Callable[[Path], object], must_be_new: bool = False
    ) -> None:
        """Write the file with ``fill``, which takes the path of the unfinished file."""
        path = Path(self.path)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                self._make_folder()
                with write_atomically(path, must_be_new) as unfinished:
                    write_content(unfinished)
                return
            except FileNotFoundError:
                if attempt == ATTEMPTS:
                    raise

    def _make_folder(self) -> None:
        with _name_path(self.path, "cannot be written"):
            os.makedirs(os.path.dirname(self.path) or ".", exist_ok=True)

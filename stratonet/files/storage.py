"""Files on disks, on S3 and on web servers.

With `remote`, the one place of the extraction that touches them.
"""

import os
import platform
import re
import shutil
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import psutil
import tenacity

from stratonet.files.urls import Unreachable, redact_url

# Another process may remove an empty folder before a file is in it.
VANISHED = tenacity.retry_if_exception_type(FileNotFoundError)
TEMPORARY = ".stratonet-"  # names of files that are not whole yet begin so


@dataclass(frozen=True)
class Storage:
    """Reads and writes local files and ``s3://`` keys; reads ``https://`` and ``http://``.

    Small and without credentials: it travels to other processes and machines, which
    find their own. S3 is asked

    1. never signed, if ``anonymous``;
    2. signed, if there are credentials in the usual places: environment, ``~/.aws``,
       the role of the machine;
    3. anonymously, if there are none;
    4. to read: anonymously after all where signed requests are refused, as public
       buckets refuse the keys of another
       provider. What worked last is tried first in each bucket. Writing is not tried
       again in this way.

    What may be over in a moment is tried five times within 7 s: no connection, broken
    answers, "slow down".

    Parameters
    ----------
    endpoint : str, optional
        Of an S3 that is not Amazon's. Default: ``AWS_ENDPOINT_URL`` and what else
        botocore reads.
    region : str, optional
        Default: ``AWS_REGION``, ``AWS_DEFAULT_REGION`` or the profile's.
    anonymous : bool
        Never sign.

    Raises
    ------
    FileNotFoundError, PermissionError, IsADirectoryError
        By all methods, about one file, which the message names.
    Unreachable
        By all methods: no connection, no such bucket, no valid credentials, or no
        answer after all attempts.
    ValueError
        By all methods: no valid URL, one of another kind, or a web server that should
        be written to or listed.
    """

    endpoint: str = None
    region: str = None
    anonymous: bool = False

    def __post_init__(self):
        if self.endpoint and not re.fullmatch(r"https?://[^@\s]+", self.endpoint):
            raise ValueError(
                "An endpoint is a URL such as https://host:9000, without user and"
                " password."
            )

    def read(self, url):
        """The content of a file as bytes, whole."""
        return self._at(url).read()

    def write(self, url, content):
        """Write bytes to a file, with its folders.

        It is there whole or, for every reader, not at all.
        """
        self._at(url).write(content)

    def write_file(self, url, path):
        """Write what the local file ``path`` holds, as `write` does.

        The local file is gone afterwards.
        """
        self._at(url).write_file(path)

    def exists(self, url):
        """Whether there is such a file."""
        return self._at(url).exists()

    def is_folder(self, url):
        """Whether it is a folder; on S3, whether anything is seen to be under it."""
        return self._at(url).is_folder()

    def list(self, url):
        """All files in a folder and the folders in it, sorted, as paths or URLs like ``url``; [] if there are none."""
        return self._at(url).list()

    def remove(self, url):
        """Remove a file, or a folder with all in it.

        Nothing happens if there is none.
        """
        self._at(url).remove()

    def tidy(self, url):
        """Remove what processes of this machine that were killed had begun to write to a local folder."""
        self._at(url).tidy()

    def prune(self, url):
        """Remove a local folder and those in it, as far as there is no file in them."""
        self._at(url).prune()

    def open(self, url):
        """A seekable binary file to read parts from.

        On S3 each read is a request, all of one version of the file.
        """
        return self._at(url).open()

    def check(self, url, writing=False):
        """Raise `Unreachable` at once where nothing can be read, or written.

        Parameters
        ----------
        url : str
            A file, which may be missing, or a folder.
        writing : bool
            ``url`` is a folder to write to. A local one is made.
        """
        self._at(url).check(writing)

    def _at(self, url):
        url = os.fspath(url)
        scheme = url.partition("://")[0].lower() if "://" in url else ""
        if not scheme:
            return _LocalPath(url)
        from stratonet.files import remote

        kinds = {"s3": remote.S3Url, "https": remote.WebUrl, "http": remote.WebUrl}
        if scheme not in kinds:
            raise ValueError(
                "Files are local, or at s3://, https:// or http://. Received:"
                f" {redact_url(url)}"
            )
        return kinds[scheme](url, self)


@contextmanager
def _name_path(path, what):
    try:
        yield
    except OSError as error:
        raise type(error)(f"{path} {what}: {error.strerror or error}") from None


class _LocalPath:
    def __init__(self, path):
        self.path = path

    def read(self):
        with _name_path(self.path, "cannot be read"), open(self.path, "rb") as file:
            return file.read()

    def open(self):
        with _name_path(self.path, "cannot be read"):
            return open(self.path, "rb")

    def exists(self):
        return os.path.isfile(self.path)

    def is_folder(self):
        return os.path.isdir(self.path)

    def list(self):
        def refuse(error):
            if not isinstance(error, (FileNotFoundError, NotADirectoryError)):
                raise error

        walk = os.walk(self.path, onerror=refuse, followlinks=True)
        paths = (
            os.path.join(folder, name) for folder, _, names in walk for name in names
        )
        return sorted(
            path for path in paths if not os.path.basename(path).startswith(TEMPORARY)
        )

    def remove(self):
        with _name_path(self.path, "cannot be removed"):
            while os.path.isdir(self.path) and not os.path.islink(self.path):
                with suppress(FileNotFoundError):  # another process removes it too
                    shutil.rmtree(self.path)
            with suppress(FileNotFoundError, NotADirectoryError):
                os.remove(self.path)

    def tidy(self):
        for folder, _, names in os.walk(self.path):
            for name in names:
                match = re.fullmatch(rf"{TEMPORARY}(.+)-(\d+)-[0-9a-f]{{32}}", name)
                if (
                    match
                    and match[1] == platform.node()
                    and not psutil.pid_exists(int(match[2]))
                ):
                    with suppress(FileNotFoundError):
                        os.remove(os.path.join(folder, name))

    def prune(self):
        for folder, _, _ in os.walk(self.path, topdown=False):
            with suppress(
                OSError
            ):  # it is not empty, or another process removes it too
                os.rmdir(folder)

    def write(self, content):
        self._put(lambda temporary: Path(temporary).write_bytes(content))

    def write_file(self, path):
        def fill(temporary):
            try:
                os.link(
                    path, temporary
                )  # costs nothing, and leaves the file where it is until all is done
            except OSError:
                shutil.copyfile(path, temporary)

        self._put(fill)
        os.remove(path)

    def check(self, writing):
        if writing:
            try:
                os.makedirs(self.path, exist_ok=True)
                tempfile.TemporaryFile(dir=self.path, prefix=TEMPORARY).close()
            except OSError as error:
                raise Unreachable(
                    f"{self.path} cannot be written to: {error.strerror}."
                ) from None

    @tenacity.retry(retry=VANISHED, stop=tenacity.stop_after_attempt(3), reraise=True)
    def _put(self, fill):
        folder = os.path.dirname(self.path)
        temporary = os.path.join(
            folder, f"{TEMPORARY}{platform.node()}-{os.getpid()}-{uuid4().hex}"
        )
        try:
            with _name_path(self.path, "cannot be written"):
                os.makedirs(folder or ".", exist_ok=True)
                fill(temporary)
                os.replace(temporary, self.path)
        finally:
            with suppress(OSError):
                os.remove(temporary)

"""Files on disks, on S3 and on web servers: the one place of the extraction that touches them."""

import io
import os
import platform
import re
import shutil
import tempfile
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from uuid import uuid4

import psutil
import tenacity

# Attempts at one request, and at one of `Storage.check`; none begins when so many seconds have passed.
ATTEMPTS, CHECKS, PATIENCE = 5, 3, 90
# Between them: 6 to 7 s in all.
WAIT = tenacity.wait_exponential(multiplier=0.25, exp_base=2.5) + tenacity.wait_random(0, 0.25)
CONNECT, ANSWER, CONNECTIONS = 5, 60, 64  # seconds, seconds, requests at once
# Another process may remove an empty folder before a file is in it.
VANISHED = tenacity.retry_if_exception_type(FileNotFoundError)
TEMPORARY = ".stratonet-"  # names of files that are not whole yet begin so
FIRST = "bytes=0-0"

BUSY = {"InternalError", "SlowDown", "ServiceUnavailable", "RequestTimeout", "Throttling", "ThrottlingException"}
BUSY |= {"RequestLimitExceeded", "TooManyRequests", "IncompleteBody", "BadDigest", "OperationAborted"}
DENIED = {"AccessDenied", "403", "Forbidden"}
CREDENTIALS, REGION = "Renew your AWS credentials.", "The bucket is in another region: name that."
ADVICE = {
    "NoSuchBucket": "Check the bucket's name and the endpoint.",
    "RequestTimeTooSkewed": "Set the clock of this machine.",
    **dict.fromkeys(("PermanentRedirect", "TemporaryRedirect", "AuthorizationHeaderMalformed"), REGION),
    **dict.fromkeys(("ExpiredToken", "InvalidToken", "InvalidAccessKeyId", "SignatureDoesNotMatch"), CREDENTIALS),
}
OTHERWISE = "Check endpoint, network and AWS settings, or try again later."


def shown(url):
    """A path or URL for people: without ``user:password@``, and without the query of a web address, which may sign it."""
    url = re.sub("://[^/?#]*@", "://", os.fspath(url))
    return re.split("[?#]", url)[0] if re.match("(?!s3:)[a-z]+://", url, re.IGNORECASE) else url


class Unreachable(OSError):
    """A place of files cannot be reached, or refuses: nothing there can be read or written, and a run must stop."""


@dataclass(frozen=True)
class Storage:
    """Reads and writes local files and ``s3://`` keys; reads ``https://`` and ``http://``.

    Small and without credentials: it travels to other processes and machines, which find their own. S3 is asked

    1. never signed, if ``anonymous``;
    2. signed, if there are credentials in the usual places: environment, ``~/.aws``, the role of the machine;
    3. anonymously, if there are none;
    4. to read: anonymously after all where signed requests are refused, as public buckets refuse the keys of another
       provider. What worked last is tried first in each bucket. Writing is not tried again in this way.

    What may be over in a moment is tried five times within 7 s: no connection, broken answers, "slow down".

    Parameters
    ----------
    endpoint : str, optional
        Of an S3 that is not Amazon's. Default: ``AWS_ENDPOINT_URL`` and what else botocore reads.
    region : str, optional
        Default: ``AWS_REGION``, ``AWS_DEFAULT_REGION`` or the profile's.
    anonymous : bool
        Never sign.

    Raises
    ------
    FileNotFoundError, PermissionError, IsADirectoryError
        By all methods, about one file, which the message names.
    Unreachable
        By all methods: no connection, no such bucket, no valid credentials, or no answer after all attempts.
    ValueError
        By all methods: no valid URL, one of another kind, or a web server that should be written to or listed.
    """

    endpoint: str = None
    region: str = None
    anonymous: bool = False

    def __post_init__(self):
        if self.endpoint and not re.fullmatch(r"https?://[^@\s]+", self.endpoint):
            raise ValueError("An endpoint is a URL such as https://host:9000, without user and password.")

    def read(self, url):
        """The content of a file as bytes, whole."""
        return self._at(url).read()

    def write(self, url, content):
        """Write bytes to a file, with its folders. It is there whole or, for every reader, not at all."""
        self._at(url).write(content)

    def write_file(self, url, path):
        """Write what the local file ``path`` holds, as `write` does. The local file is gone afterwards."""
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
        """Remove a file, or a folder with all in it. Nothing happens if there is none."""
        self._at(url).remove()

    def tidy(self, url):
        """Remove what processes of this machine that were killed had begun to write to a local folder."""
        self._at(url).tidy()

    def open(self, url):
        """A seekable binary file to read parts from. On S3 each read is a request, all of one version of the file."""
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
        kinds = {"": _Local, "s3": _S3, "https": _Web, "http": _Web}
        if scheme not in kinds:
            raise ValueError(f"Files are local, or at s3://, https:// or http://. Received: {shown(url)}")
        return kinds[scheme](url, self)


@contextmanager
def _naming(path, what):
    try:
        yield
    except OSError as error:
        raise type(error)(f"{path} {what}: {error.strerror or error}") from None


class _Local:
    def __init__(self, path, _storage):
        self.path = path

    def read(self):
        with _naming(self.path, "cannot be read"), open(self.path, "rb") as file:
            return file.read()

    def open(self):
        with _naming(self.path, "cannot be read"):
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
        paths = (os.path.join(folder, name) for folder, _, names in walk for name in names)
        return sorted(path for path in paths if not os.path.basename(path).startswith(TEMPORARY))

    def remove(self):
        with _naming(self.path, "cannot be removed"):
            while os.path.isdir(self.path) and not os.path.islink(self.path):
                with suppress(FileNotFoundError):  # another process removes it too
                    shutil.rmtree(self.path)
            with suppress(FileNotFoundError, NotADirectoryError):
                os.remove(self.path)

    def tidy(self):
        for folder, _, names in os.walk(self.path):
            for name in names:
                if name.startswith(TEMPORARY):
                    host, process, _ = name[len(TEMPORARY) :].rsplit("-", 2)
                    if host == platform.node() and not psutil.pid_exists(int(process)):
                        with suppress(FileNotFoundError):
                            os.remove(os.path.join(folder, name))

    def write(self, content):
        self._put(lambda temporary: Path(temporary).write_bytes(content))

    def write_file(self, path):
        def fill(temporary):
            try:
                os.link(path, temporary)  # costs nothing, and leaves the file where it is until all is done
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
                raise Unreachable(f"{self.path} cannot be written to: {error.strerror}.") from None

    @tenacity.retry(retry=VANISHED, stop=tenacity.stop_after_attempt(3), reraise=True)
    def _put(self, fill):
        folder = os.path.dirname(self.path)
        temporary = os.path.join(folder, f"{TEMPORARY}{platform.node()}-{os.getpid()}-{uuid4().hex}")
        try:
            with _naming(self.path, "cannot be written"):
                os.makedirs(folder or ".", exist_ok=True)
                fill(temporary)
                os.replace(temporary, self.path)
        finally:
            with suppress(OSError):
                os.remove(temporary)


class _Remote:
    """What S3 and web servers share: attempts, and errors without the URLs and headers that those of libraries hold."""

    attempts = ATTEMPTS

    def __init__(self, url, storage):
        self.url, self.storage = url, storage

    def tidy(self):
        """Nothing: what is not whole is not there."""

    def check(self, writing):
        self.attempts = CHECKS
        try:
            self._probe(writing)
        except PermissionError as error:
            raise Unreachable(str(error)) from None

    def _ask(self, call, writing=False):
        """What ``call`` makes of a file system, of the first that is not refused."""
        failures = []
        for anonymous in self._ways(writing):
            stop = tenacity.stop_after_attempt(self.attempts) | tenacity.stop_after_delay(PATIENCE)
            retrying = tenacity.Retrying(retry=tenacity.retry_if_exception(_passes), stop=stop, wait=WAIT, reraise=True)
            try:
                answer = retrying(call, self._files(anonymous))
            except _errors()[1] as error:
                failures.append(self._failure(error, anonymous))
                if _answer(error)[1] not in {*DENIED, "InvalidAccessKeyId", "SignatureDoesNotMatch"}:
                    break
            else:
                if failures:
                    (_public.add if anonymous else _public.discard)((self.storage.endpoint, self.bucket))
                return answer
        # Outside the handler, where nothing is chained to it.
        raise next((failure for failure in failures if isinstance(failure, FileNotFoundError)), failures[0])

    def _failure(self, error, anonymous):
        status, code = _answer(error)
        name = shown(self.url)
        if code in self.missing:
            return FileNotFoundError(f"{name} is not there.")
        if code in self.refused:
            return PermissionError(f"{name}: {self.host} refuses access ({code}{', asked anonymously' * anonymous}).")
        if not status and isinstance(error, ValueError):
            return ValueError(f"{name} cannot be reached: it, or the endpoint, is not a valid URL.")
        said = f"answered {code}" if status else f"gave no whole answer ({type(error).__name__})"
        return Unreachable(f"{name} cannot be reached: {self.host} {said}. {ADVICE.get(code, OTHERWISE)}")


class _S3(_Remote):
    missing = ("NoSuchKey", "NoSuchVersion", "PreconditionFailed")  # the last: replaced while it was read
    refused = (*DENIED, "InvalidObjectState")

    def __init__(self, url, storage):
        super().__init__(url, storage)
        scheme, _, path = url.partition("://")
        self.bucket, _, self.key = path.partition("/")
        if not re.fullmatch(r"[\w.-]+", self.bucket, re.ASCII):
            raise ValueError(f"{shown(url)}: on S3 URLs are s3://bucket/key, without user and password.")
        self.root = f"{scheme}://{self.bucket}/"
        self.folder = self.key and self.key.rstrip("/") + "/"
        names = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
        self.host = shown(storage.endpoint or next(filter(None, map(os.environ.get, names)), "Amazon S3"))

    def read(self):
        return self._get()[0]

    def open(self):
        from fsspec.spec import AbstractBufferedFile

        _, answer = self._get(Range=FIRST)
        size = int(answer.get("ContentRange", "/0").rpartition("/")[2])
        file = AbstractBufferedFile(None, self.url, size=size, cache_type="none")
        file.cache.fetcher = lambda start, end: self._get(Range=f"bytes={start}-{end - 1}", IfMatch=answer["ETag"])[0]
        return file

    def exists(self):
        # Not HEAD, whose errors have no code: a missing bucket would be a missing key, an expired token a bad request.
        with suppress(FileNotFoundError, IsADirectoryError):
            self._get(Range=FIRST)
            return True
        return False

    def is_folder(self):
        with suppress(PermissionError):  # many may read files and not list them
            return any(True for _ in self._keys(MaxKeys=1))
        return False

    def list(self):
        return sorted(self.root + key for key in self._keys() if not key.endswith("/"))

    def remove(self):
        for key in filter(None, (self.key, *self._keys())):
            self._ask(lambda files: files.call_s3("delete_object", Bucket=self.bucket, Key=key), writing=True)  # noqa: B023

    def write(self, content):
        place = self._file()
        self._ask(lambda files: files.call_s3("put_object", Body=content, **place), writing=True)

    def write_file(self, path):
        place = "{Bucket}/{Key}".format(**self._file())
        # Two parts of 50 MB at once. An upload that breaks is taken back.
        self._ask(lambda files: files.put_file(path, place, max_concurrency=2), writing=True)
        os.remove(path)

    def _probe(self, writing):
        if not writing and self.key not in ("", self.folder):
            with suppress(PermissionError):  # who may not list is refused a missing key, too
                self.exists()
                return
        next(self._keys(MaxKeys=1), None)
        if writing:
            self._ask(self._begin, writing=True)

    def _begin(self, files):
        """Begin to write something and give it up: that needs the permission to write, and leaves nothing."""
        place = {"Bucket": self.bucket, "Key": f"{self.folder}{TEMPORARY}{uuid4().hex}"}
        upload = files.call_s3("create_multipart_upload", **place)["UploadId"]
        with suppress(PermissionError):
            files.call_s3("abort_multipart_upload", UploadId=upload, **place)

    def _file(self):
        if self.key in ("", self.folder):
            raise IsADirectoryError(f"{shown(self.url)} is a folder.")
        return {"Bucket": self.bucket, "Key": self.key}

    def _get(self, **part):
        """The content and the rest of S3's answer."""
        from fsspec.asyn import sync

        place = {**self._file(), **part}
        return self._ask(lambda files: sync(files.loop, _fetch, files, place))

    def _keys(self, **page):
        """Yield the keys in the folder, those that stand for folders included."""
        page.update(Bucket=self.bucket, Prefix=self.folder)
        while page:
            answer = self._ask(lambda files: files.call_s3("list_objects_v2", **page))  # noqa: B023
            yield from (item["Key"] for item in answer.get("Contents", ()))
            page = answer.get("IsTruncated") and {**page, "ContinuationToken": answer["NextContinuationToken"]}

    def _ways(self, writing):
        if self.storage.anonymous or not _once(_credentials):
            return [True]
        public = (self.storage.endpoint, self.bucket) in _public
        return [False] if writing else [public, not public]

    def _files(self, anonymous):
        return _once(_s3, self.storage.endpoint, self.storage.region, anonymous)


class _Web(_Remote):
    missing = ("404", "410")
    refused = {str(status) for status in range(400, 500)} - {*missing, "407", "408", "429"}

    def __init__(self, url, storage):
        super().__init__(url, storage)
        self.host = "/".join(shown(url).split("/")[:3])
        self.sent = url.replace(" ", "%20")

    def read(self):
        return self._ask(lambda files: files.cat_file(self.sent))

    def open(self):
        return io.BytesIO(self.read())

    def exists(self):
        with suppress(FileNotFoundError):
            return self._ask(lambda files: files.exists(self.sent, strict=True))
        return False

    def is_folder(self):
        return False

    def list(self):
        raise ValueError(f"{shown(self.url)} cannot be listed, as no web server can. Give a table of its files.")

    def write(self, _content=None):
        raise ValueError(f"{shown(self.url)} can only be read. Write to a folder, or to s3://.")

    write_file = remove = write

    def _probe(self, writing):
        if writing:
            self.write()
        self.exists()

    def _ways(self, _writing):
        return [False]

    def _files(self, _anonymous):
        return _once(_web, "%" in self.sent)


# Endpoints and buckets where unsigned requests are taken and signed ones are not.
_public = set()
_lock = threading.RLock()


def _once(function, *what):
    """What a process finds out or makes once, for all of its threads."""
    with _lock:
        return function(os.getpid(), *what)


@lru_cache(maxsize=None)
def _credentials(_process):
    from botocore.exceptions import BotoCoreError
    from botocore.session import get_session

    try:
        return get_session().get_credentials() is not None
    except BotoCoreError:  # s3fs meets the same when it asks
        return True


@lru_cache(maxsize=None)
def _s3(_process, endpoint, region, anonymous):
    from s3fs import S3FileSystem

    region = region or os.environ.get("AWS_REGION")  # which botocore does not read
    client = {"endpoint_url": endpoint, "region_name": region}
    config = {"connect_timeout": CONNECT, "read_timeout": ANSWER, "max_pool_connections": CONNECTIONS}
    config["retries"] = {"total_max_attempts": 1}  # `_Remote` tries again, and so need not s3fs
    # The cache of instances has one for each thread: as many pools of connections.
    files = S3FileSystem(anonymous, client_kwargs=client, config_kwargs=config, skip_instance_cache=True)
    files.retries = 1
    return files


@lru_cache(maxsize=None)
def _web(_process, encoded):
    from aiohttp import ClientTimeout
    from fsspec.implementations.http import HTTPFileSystem

    # The environment names proxies: botocore takes them, too.
    client = {"trust_env": True, "timeout": ClientTimeout(total=None, sock_connect=CONNECT, sock_read=ANSWER)}
    # What is encoded already was perhaps signed so.
    return HTTPFileSystem(encoded=encoded, client_kwargs=client, skip_instance_cache=True)


async def _fetch(files, place):
    try:
        answer = await files._call_s3("get_object", **place)
    except OSError as error:
        if _answer(error)[1] == "InvalidRange":  # of a file without content
            return b"", {}
        raise
    async with answer["Body"] as body:
        return await body.read(), answer


@lru_cache(maxsize=None)
def _errors():
    """What libraries raise when a connection breaks, and all that they raise."""
    import asyncio

    from aiohttp import ClientError
    from botocore import exceptions as boto
    from botocore.parsers import ResponseParserError

    broken = (boto.HTTPClientError, boto.ConnectionError, boto.IncompleteReadError, boto.FlexibleChecksumError)
    broken += (ClientError, ConnectionError, asyncio.TimeoutError, ResponseParserError)
    return broken, (*broken, OSError, ValueError, boto.BotoCoreError, boto.ClientError)


def _passes(error):
    """Whether the same may succeed in a moment."""
    status, code = _answer(error)
    if status:
        return status >= 500 or status in (408, 429) or code in BUSY
    return isinstance(error, _errors()[0]) and not isinstance(error, ValueError)


def _answer(error):
    """The status and the code with which S3 or a web server refuses; (0, None) where none was received."""
    for one in (error, error.__cause__):  # s3fs puts an error of its own in front
        if isinstance(response := getattr(one, "response", None), dict):
            return response["ResponseMetadata"].get("HTTPStatusCode", 0), response["Error"]["Code"]
        if isinstance(status := getattr(one, "status", None), int):
            return status, str(status)
    return (404, "404") if isinstance(error, FileNotFoundError) else (0, None)

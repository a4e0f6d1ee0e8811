"""S3 and web servers, for `stratonet.files.storage`.

Attempts, signed or not, and errors without secrets.
"""

from __future__ import annotations

import builtins
import io
import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn
from uuid import uuid4

import tenacity

from stratonet.files.atomic import TEMPORARY
from stratonet.files.clients import (
    call_once,
    fetch_object,
    get_all_errors,
    get_status_and_code,
    has_credentials,
    import_clients,
    is_temporary,
    open_s3,
    open_web,
)
from stratonet.files.listing import is_listed
from stratonet.files.urls import Unreachable, encode_url, redact_url

if TYPE_CHECKING:
    from stratonet.files.storage import Storage

__all__ = ["S3Url", "WebUrl", "import_clients"]

# Attempts at one request, and at one of `Storage.check`; none begins when so many
# seconds have passed.
ATTEMPTS, CHECKS, PATIENCE = 5, 3, 90
# Between attempts: 6 to 7 s in all, and never the same for two processes.
WAIT = tenacity.wait_exponential(multiplier=0.25, exp_base=2.5) + tenacity.wait_random(
    0, 0.25
)
FIRST_BYTE = "bytes=0-0"

DENIED = {"AccessDenied", "403", "Forbidden"}
# Codes after which the other way of asking, signed or not, may be answered.
WRONG_KEYS = {"InvalidAccessKeyId", "SignatureDoesNotMatch"}
CREDENTIALS = "Renew your AWS credentials."
REGION = "The bucket is in another region: name that."
ADVICE = {
    "NoSuchBucket": "Check the bucket's name and the endpoint.",
    "RequestTimeTooSkewed": "Set the clock of this machine.",
    "PermanentRedirect": REGION,
    "TemporaryRedirect": REGION,
    "AuthorizationHeaderMalformed": REGION,
    "ExpiredToken": CREDENTIALS,
    "InvalidToken": CREDENTIALS,
    "InvalidAccessKeyId": CREDENTIALS,
    "SignatureDoesNotMatch": CREDENTIALS,
}
OTHERWISE = "Check endpoint, network and AWS settings, or try again later."

# Endpoints and buckets where unsigned requests are taken and signed ones are not.
_public: set[tuple[str | None, str]] = set()


class _RemoteUrl:
    """What S3 and web servers share.

    Attempts, and errors without the URLs and headers that those of libraries hold.
    """

    attempts = ATTEMPTS
    missing: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    host = ""
    endpoint: str | None = None
    bucket = ""

    def __init__(self, url: str, storage: Storage) -> None:
        self.url = url
        self.storage = storage

    def tidy(self) -> None:
        """Do nothing: what is not whole is not there."""

    def prune(self) -> None:
        """Do nothing: there are no folders without files."""

    def check(self, writing: bool) -> None:
        """Raise `Unreachable` where nothing can be read, or written."""
        self.attempts = CHECKS
        try:
            self._probe(writing)
        except PermissionError as error:
            raise Unreachable(str(error)) from None

    def _probe(self, writing: bool) -> None:
        raise NotImplementedError

    def _list_ways(self, writing: bool) -> list[bool]:
        """Say for each way of asking, in order, whether it is anonymous."""
        raise NotImplementedError

    def _open_files(self, anonymous: bool) -> Any:
        raise NotImplementedError

    def _ask(self, call: Callable[[Any], Any], writing: bool = False) -> Any:
        """Return what ``call`` makes of a file system, of the first not refused."""
        failures: list[OSError | ValueError] = []
        for anonymous in self._list_ways(writing):
            try:
                answer = self._make_attempts()(call, self._open_files(anonymous))
            except get_all_errors() as error:
                failures.append(self._explain(error, anonymous))
                code = get_status_and_code(error)[1]
                if code not in DENIED | WRONG_KEYS:
                    break
            else:
                if failures:
                    self._remember_way(anonymous)
                return answer
        # Outside the handler, where nothing is chained to it. That a file is missing
        # says more than that another way of asking was refused.
        for failure in failures:
            if isinstance(failure, FileNotFoundError):
                raise failure
        raise failures[0]

    def _make_attempts(self) -> tenacity.Retrying:
        few = tenacity.stop_after_attempt(self.attempts)
        late = tenacity.stop_after_delay(PATIENCE)
        return tenacity.Retrying(
            retry=tenacity.retry_if_exception(is_temporary),
            stop=few | late,
            wait=WAIT,
            reraise=True,
        )

    def _remember_way(self, anonymous: bool) -> None:
        if anonymous:
            _public.add((self.endpoint, self.bucket))
        else:
            _public.discard((self.endpoint, self.bucket))

    def _explain(self, error: Exception, anonymous: bool) -> OSError | ValueError:
        """Make an error in words of ours, without secrets."""
        status, code = get_status_and_code(error)
        name = redact_url(self.url)
        if code in self.missing:
            return FileNotFoundError(f"{name} is not there.")
        if code in self.refused:
            how = ", asked anonymously" if anonymous else ""
            return PermissionError(f"{name}: {self.host} refuses access ({code}{how}).")
        if not status and isinstance(error, ValueError):
            return ValueError(
                f"{name} cannot be reached: it, or the endpoint, is not a valid URL."
            )
        answer = f"gave no whole answer ({type(error).__name__})"
        if status:
            answer = f"answered {code}"
        advice = ADVICE.get(code or "", OTHERWISE)
        return Unreachable(f"{name} cannot be reached: {self.host} {answer}. {advice}")


class S3Url(_RemoteUrl):
    """A key of S3, or a prefix that stands for a folder."""

    # The last: replaced while it was read.
    missing = ("NoSuchKey", "NoSuchVersion", "PreconditionFailed")
    refused = (*DENIED, "InvalidObjectState")

    def __init__(self, url: str, storage: Storage) -> None:
        super().__init__(url, storage)
        scheme, _, path = url.partition("://")
        self.bucket, _, self.key = path.partition("/")
        if not re.fullmatch(r"[\w.-]+", self.bucket, re.ASCII):
            raise ValueError(
                f"{redact_url(url)}: on S3 URLs are s3://bucket/key, without user and"
                " password."
            )
        self.root = f"{scheme}://{self.bucket}/"
        self.folder = self.key and self.key.rstrip("/") + "/"
        self.endpoint = (
            storage.endpoint
            or os.environ.get("AWS_ENDPOINT_URL_S3")
            or os.environ.get("AWS_ENDPOINT_URL")
            or None
        )
        self.host = redact_url(self.endpoint or "Amazon S3")

    def read(self) -> bytes:
        """Return the whole content."""
        return self._get()[0]

    def open(self) -> BinaryIO:
        """Open it; each read is a request, all of one version."""
        from fsspec.spec import AbstractBufferedFile

        _, answer = self._get(Range=FIRST_BYTE)
        # "bytes 0-0/1234", and nothing for a file without content.
        size = int(answer.get("ContentRange", "/0").rpartition("/")[2])

        def fetch(start: int, end: int) -> bytes:
            content, _ = self._get(
                Range=f"bytes={start}-{end - 1}", IfMatch=answer["ETag"]
            )
            return content

        file = AbstractBufferedFile(None, self.url, size=size, cache_type="none")
        file.cache.fetcher = fetch
        return file

    def exists(self) -> bool:
        """Whether there is such a key."""
        # Not HEAD, whose errors have no code: a missing bucket would be a missing key,
        # an expired token a bad request.
        with suppress(FileNotFoundError, IsADirectoryError):
            self._get(Range=FIRST_BYTE)
            return True
        return False

    def is_folder(self) -> bool:
        """Whether anything is seen to be under it."""
        # Many may read files and not list them.
        with suppress(PermissionError):
            return any(True for _ in self._keys(MaxKeys=1))
        return False

    def list(self) -> builtins.list[str]:
        """List the URLs of all files under it."""
        below = len(self.folder)
        keys = [key for key in self._keys() if is_listed(key[below:])]
        return sorted(self.root + key for key in keys)

    def remove(self) -> None:
        """Remove it, and all under it."""
        for key in filter(None, (self.key, *self._keys())):
            self._call("delete_object", writing=True, Bucket=self.bucket, Key=key)

    def write(self, content: bytes) -> None:
        """Write it in one request."""
        self._call("put_object", writing=True, Body=content, **self._locate_file())

    def create(self, content: bytes) -> None:
        """Write it in one request, unless it is there."""
        # Clients of before 2024 leave the condition out: then only those who write at
        # the very same moment replace each other's.
        if self.exists():
            return
        request = {"Body": content, "IfNoneMatch": "*", **self._locate_file()}
        # What `missing` says of reading: here it is there already.
        with suppress(FileNotFoundError):
            self._call("put_object", writing=True, **request)

    def write_file(self, path: str | os.PathLike[str]) -> None:
        """Write what a local file holds, and remove that."""
        target = "{Bucket}/{Key}".format(**self._locate_file())

        # Two parts of 50 MB at once. An upload that breaks is taken back.
        def put(files: Any) -> None:
            files.put_file(path, target, max_concurrency=2)

        self._ask(put, writing=True)
        os.remove(path)

    def _probe(self, writing: bool) -> None:
        if not writing and self.key not in ("", self.folder):
            # Who may not list is refused a missing key, too.
            with suppress(PermissionError):
                self.exists()
                return
        next(self._keys(MaxKeys=1), None)
        if writing:
            self._ask(self._try_to_write, writing=True)

    def _try_to_write(self, files: Any) -> None:
        """Begin to write something and give it up.

        That needs the permission to write, and leaves nothing.
        """
        key = f"{self.folder}{TEMPORARY}{uuid4().hex}"
        target = {"Bucket": self.bucket, "Key": key}
        upload = files.call_s3("create_multipart_upload", **target)["UploadId"]
        with suppress(PermissionError):
            files.call_s3("abort_multipart_upload", UploadId=upload, **target)

    def _locate_file(self) -> dict[str, str]:
        if self.key in ("", self.folder):
            raise IsADirectoryError(f"{redact_url(self.url)} is a folder.")
        return {"Bucket": self.bucket, "Key": self.key}

    def _call(self, operation: str, writing: bool = False, **arguments: Any) -> Any:
        return self._ask(lambda files: files.call_s3(operation, **arguments), writing)

    def _get(self, **options: str) -> tuple[bytes, dict[str, Any]]:
        """Return the content, and the rest of S3's answer."""
        from fsspec.asyn import sync

        request = {**self._locate_file(), **options}
        return self._ask(lambda files: sync(files.loop, fetch_object, files, request))

    def _keys(self, **options: Any) -> Iterator[str]:
        """Yield the keys in the folder, those that stand for folders included."""
        options.update(Bucket=self.bucket, Prefix=self.folder)
        while True:
            answer = self._call("list_objects_v2", **options)
            for entry in answer.get("Contents", ()):
                yield entry["Key"]
            if not answer.get("IsTruncated"):
                return
            options["ContinuationToken"] = answer["NextContinuationToken"]

    def _list_ways(self, writing: bool) -> builtins.list[bool]:
        if self.storage.anonymous or not call_once(has_credentials):
            return [True]
        if writing:
            return [False]
        is_public = (self.endpoint, self.bucket) in _public
        return [is_public, not is_public]

    def _open_files(self, anonymous: bool) -> Any:
        return call_once(open_s3, self.endpoint, self.storage.region, anonymous)


class WebUrl(_RemoteUrl):
    """A file on a web server, which can only be read."""

    missing = ("404", "410")
    # All that the server will say again; the others may pass, or concern a proxy.
    refused = tuple(
        str(status)
        for status in range(400, 500)
        if status not in (404, 407, 408, 410, 429)
    )

    def __init__(self, url: str, storage: Storage) -> None:
        super().__init__(url, storage)
        self.host = "/".join(redact_url(url).split("/")[:3])
        self.encoded_url = encode_url(url)

    def read(self) -> bytes:
        """Return the whole content."""
        return self._ask(lambda files: files.cat_file(self.encoded_url))

    def open(self) -> BinaryIO:
        """Open it, whole in memory."""
        return io.BytesIO(self.read())

    def exists(self) -> bool:
        """Whether there is such a file."""
        with suppress(FileNotFoundError):
            return self._ask(lambda files: files.exists(self.encoded_url, strict=True))
        return False

    def is_folder(self) -> bool:
        """Say no: web servers have no folders."""
        return False

    def list(self) -> NoReturn:
        """Refuse."""
        raise ValueError(
            f"{redact_url(self.url)} cannot be listed, as no web server can. Give a"
            " table of its files."
        )

    def write(self, content: bytes) -> NoReturn:
        """Refuse."""
        self._refuse_writing()

    def write_file(self, path: str | os.PathLike[str]) -> NoReturn:
        """Refuse."""
        self._refuse_writing()

    def create(self, content: bytes) -> NoReturn:
        """Refuse."""
        self._refuse_writing()

    def remove(self) -> NoReturn:
        """Refuse."""
        self._refuse_writing()

    def _refuse_writing(self) -> NoReturn:
        raise ValueError(
            f"{redact_url(self.url)} can only be read. Write to a folder, or to s3://."
        )

    def _probe(self, writing: bool) -> None:
        if writing:
            self._refuse_writing()
        self.exists()

    def _list_ways(self, writing: bool) -> builtins.list[bool]:
        return [False]

    def _open_files(self, anonymous: bool) -> Any:
        return call_once(open_web, "%" in self.encoded_url)

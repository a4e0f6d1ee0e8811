"""Access to S3 and web servers, for `stratonet.files.storage`.

Requests are repeated, signed or anonymous, and errors contain no secrets.
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

# Attempts at a request, and at a request of `Storage.check`; after so many seconds, no
# further attempt is made.
ATTEMPTS, CHECKS, PATIENCE = 5, 3, 90
# Pauses between attempts: 6 to 7 s in all, with a random part so that processes do not
# keep in step.
WAIT = tenacity.wait_exponential(multiplier=0.25, exp_base=2.5) + tenacity.wait_random(
    0, 0.25
)
FIRST_BYTE = "bytes=0-0"

DENIED = {"AccessDenied", "403", "Forbidden"}
# Codes after which the same request may succeed if it is signed instead of anonymous,
# or the other way round.
WRONG_KEYS = {"InvalidAccessKeyId", "SignatureDoesNotMatch"}
CREDENTIALS = "Renew your AWS credentials."
REGION = "The bucket is in another region: name that region."
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
DEFAULT_ADVICE = "Check endpoint, network and AWS settings, or try again later."

# Endpoints and buckets that accept unsigned requests but refuse signed ones.
_public: set[tuple[str | None, str]] = set()


class _RemoteUrl:
    """What S3 and web servers have in common.

    Requests are repeated, and errors do not contain the URLs and headers that the
    errors of libraries do.
    """

    attempts = ATTEMPTS
    missing_codes: tuple[str, ...] = ()
    refusal_codes: tuple[str, ...] = ()
    host = ""
    endpoint: str | None = None
    bucket = ""

    def __init__(self, url: str, storage: Storage) -> None:
        self.url = url
        self.storage = storage

    def tidy(self) -> None:
        """Do nothing: an incomplete upload is not visible as a file."""

    def prune(self) -> None:
        """Do nothing: there are no empty folders."""

    def check(self, writing: bool) -> None:
        """Raise `Unreachable` if nothing can be read, or written."""
        self.attempts = CHECKS
        try:
            self._probe(writing)
        except PermissionError as error:
            raise Unreachable(str(error)) from None

    def _probe(self, writing: bool) -> None:
        raise NotImplementedError

    def _list_modes(self, writing: bool) -> list[bool]:
        """List the kinds of request to try, in order: whether each is anonymous."""
        raise NotImplementedError

    def _open_files(self, anonymous: bool) -> Any:
        raise NotImplementedError

    def _request(self, call: Callable[[Any], Any], writing: bool = False) -> Any:
        """Call ``call`` with each file system in turn, until one is not refused."""
        failures: list[OSError | ValueError] = []
        for anonymous in self._list_modes(writing):
            try:
                answer = self._make_attempts()(call, self._open_files(anonymous))
            except get_all_errors() as error:
                failures.append(self._explain(error, anonymous))
                code = get_status_and_code(error)[1]
                if code not in DENIED | WRONG_KEYS:
                    break
            else:
                if failures:
                    self._remember_mode(anonymous)
                return answer
        # Raised outside the handler, so that no other error is chained to it. That a
        # file is missing says more than that another kind of request was refused.
        for failure in failures:
            if isinstance(failure, FileNotFoundError):
                raise failure
        raise failures[0]

    def _make_attempts(self) -> tenacity.Retrying:
        attempt_limit = tenacity.stop_after_attempt(self.attempts)
        time_limit = tenacity.stop_after_delay(PATIENCE)
        return tenacity.Retrying(
            retry=tenacity.retry_if_exception(is_temporary),
            stop=attempt_limit | time_limit,
            wait=WAIT,
            reraise=True,
        )

    def _remember_mode(self, anonymous: bool) -> None:
        if anonymous:
            _public.add((self.endpoint, self.bucket))
        else:
            _public.discard((self.endpoint, self.bucket))

    def _explain(self, error: Exception, anonymous: bool) -> OSError | ValueError:
        """Return an error with a message of our own, without secrets."""
        status, code = get_status_and_code(error)
        name = redact_url(self.url)
        if code == "PreconditionFailed":
            return FileNotFoundError(
                f"{name} was replaced while it was being read. Run the command again."
            )
        if code in self.missing_codes:
            return FileNotFoundError(f"{name} is not there.")
        if code in self.refusal_codes:
            mode = ", asked anonymously" if anonymous else ""
            return PermissionError(
                f"{name}: {self.host} refuses access ({code}{mode})."
            )
        if not status and isinstance(error, ValueError):
            return ValueError(
                f"{name} cannot be reached: it, or the endpoint, is not a valid URL."
            )
        answer = f"sent no complete answer ({type(error).__name__})"
        if status:
            answer = f"answered {code}"
        advice = ADVICE.get(code or "", DEFAULT_ADVICE)
        return Unreachable(f"{name} cannot be reached: {self.host} {answer}. {advice}")


class S3Url(_RemoteUrl):
    """A key of S3, or a prefix that stands for a folder."""

    missing_codes = ("NoSuchKey", "NoSuchVersion")
    refusal_codes = (*DENIED, "InvalidObjectState")

    def __init__(self, url: str, storage: Storage) -> None:
        super().__init__(url, storage)
        scheme, _, path = url.partition("://")
        self.bucket, _, self.key = path.partition("/")
        if not re.fullmatch(r"[\w.-]+", self.bucket, re.ASCII):
            raise ValueError(
                f"{redact_url(url)}: URLs on S3 are written s3://bucket/key, without"
                " user and password."
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
        """Return the content of the file."""
        return self._get()[0]

    def open(self) -> BinaryIO:
        """Open the file; each read is a request, and all read the same version."""
        from fsspec.spec import AbstractBufferedFile

        _, answer = self._get(Range=FIRST_BYTE)
        # "bytes 0-0/1234", or nothing for an empty file.
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
        """Whether the key exists."""
        # Not HEAD, whose errors have no code: a missing bucket would look like a
        # missing key, and an expired token like a bad request.
        with suppress(FileNotFoundError, IsADirectoryError):
            self._get(Range=FIRST_BYTE)
            return True
        return False

    def is_folder(self) -> bool:
        """Whether any keys below it can be listed."""
        # Many users may read files but not list them.
        with suppress(PermissionError):
            return any(True for _ in self._list_keys(MaxKeys=1))
        return False

    def list(self) -> builtins.list[str]:
        """List the URLs of all files below it."""
        prefix_length = len(self.folder)
        keys = [key for key in self._list_keys() if is_listed(key[prefix_length:])]
        return sorted(self.root + key for key in keys)

    def remove(self) -> None:
        """Remove the key and all keys below it."""
        for key in filter(None, (self.key, *self._list_keys())):
            self._call("delete_object", writing=True, Bucket=self.bucket, Key=key)

    def write(self, content: bytes) -> None:
        """Write the file in one request."""
        self._call("put_object", writing=True, Body=content, **self._locate_file())

    def create(self, content: bytes) -> None:
        """Write the file in one request, unless it exists."""
        # Clients from before 2024 drop the condition: then processes replace each
        # other's files only if they write at the very same moment.
        if self.exists():
            return
        request = {"Body": content, "IfNoneMatch": "*", **self._locate_file()}
        # If the condition fails, the file exists already.
        with suppress(FileNotFoundError):
            self._call("put_object", writing=True, **request)

    def write_file(self, path: str | os.PathLike[str]) -> None:
        """Write the content of a local file, and remove the local file."""
        target = "{Bucket}/{Key}".format(**self._locate_file())

        # Two parts of 50 MB at once. An upload that fails is aborted.
        def put(files: Any) -> None:
            files.put_file(path, target, max_concurrency=2)

        self._request(put, writing=True)
        os.remove(path)

    def _probe(self, writing: bool) -> None:
        if not writing and self.key not in ("", self.folder):
            # For a missing key, users without permission to list are refused, too.
            with suppress(PermissionError):
                self.exists()
                return
        next(self._list_keys(MaxKeys=1), None)
        if writing:
            self._request(self._try_to_write, writing=True)

    def _try_to_write(self, files: Any) -> None:
        """Start an upload and abort it.

        This needs permission to write, and leaves nothing behind.
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
        return self._request(
            lambda files: files.call_s3(operation, **arguments), writing
        )

    def _get(self, **options: str) -> tuple[bytes, dict[str, Any]]:
        """Return the content, and the remaining fields of S3's answer."""
        from fsspec.asyn import sync

        request = {**self._locate_file(), **options}
        return self._request(
            lambda files: sync(files.loop, fetch_object, files, request)
        )

    def _list_keys(self, **options: Any) -> Iterator[str]:
        """Yield the keys in the folder, including those that stand for folders."""
        options.update(Bucket=self.bucket, Prefix=self.folder)
        while True:
            answer = self._call("list_objects_v2", **options)
            for entry in answer.get("Contents", ()):
                yield entry["Key"]
            if not answer.get("IsTruncated"):
                return
            options["ContinuationToken"] = answer["NextContinuationToken"]

    def _list_modes(self, writing: bool) -> builtins.list[bool]:
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

    missing_codes = ("404", "410")
    # Codes that would come again; the others may be temporary, or concern a proxy.
    refusal_codes = tuple(
        str(status)
        for status in range(400, 500)
        if status not in (404, 407, 408, 410, 429)
    )

    def __init__(self, url: str, storage: Storage) -> None:
        super().__init__(url, storage)
        self.host = "/".join(redact_url(url).split("/")[:3])
        self.encoded_url = encode_url(url)

    def read(self) -> bytes:
        """Return the content of the file."""
        return self._request(lambda files: files.cat_file(self.encoded_url))

    def open(self) -> BinaryIO:
        """Read the whole file into memory and open it there."""
        return io.BytesIO(self.read())

    def exists(self) -> bool:
        """Whether the file exists."""
        with suppress(FileNotFoundError):
            return self._request(
                lambda files: files.exists(self.encoded_url, strict=True)
            )
        return False

    def is_folder(self) -> bool:
        """Return False: web servers have no folders."""
        return False

    def list(self) -> NoReturn:
        """Refuse."""
        raise ValueError(
            f"{redact_url(self.url)} cannot be listed: web servers do not list files."
            " Give a table of them."
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

    def _list_modes(self, writing: bool) -> builtins.list[bool]:
        return [False]

    def _open_files(self, anonymous: bool) -> Any:
        return call_once(open_web, "%" in self.encoded_url)

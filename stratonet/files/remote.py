"""S3 and web servers, for `stratonet.files.storage`.

Attempts, signed or not, and errors without secrets.
"""

import io
import os
import re
import threading
from contextlib import suppress
from functools import cache, lru_cache
from uuid import uuid4

import tenacity

from stratonet.files.storage import TEMPORARY
from stratonet.files.urls import Unreachable, redact_url

# Attempts at one request, and at one of `Storage.check`; none begins when so many seconds have passed.
ATTEMPTS, CHECKS, PATIENCE = 5, 3, 90
# Between them: 6 to 7 s in all.
WAIT = tenacity.wait_exponential(multiplier=0.25, exp_base=2.5) + tenacity.wait_random(
    0, 0.25
)
CONNECT, ANSWER, CONNECTIONS = 5, 60, 64  # seconds, seconds, requests at once
FIRST = "bytes=0-0"

BUSY = {
    "InternalError",
    "SlowDown",
    "ServiceUnavailable",
    "RequestTimeout",
    "Throttling",
    "ThrottlingException",
}
BUSY |= {
    "RequestLimitExceeded",
    "TooManyRequests",
    "IncompleteBody",
    "BadDigest",
    "OperationAborted",
}
DENIED = {"AccessDenied", "403", "Forbidden"}
CREDENTIALS, REGION = (
    "Renew your AWS credentials.",
    "The bucket is in another region: name that.",
)
ADVICE = {
    "NoSuchBucket": "Check the bucket's name and the endpoint.",
    "RequestTimeTooSkewed": "Set the clock of this machine.",
    **dict.fromkeys(
        ("PermanentRedirect", "TemporaryRedirect", "AuthorizationHeaderMalformed"),
        REGION,
    ),
    **dict.fromkeys(
        ("ExpiredToken", "InvalidToken", "InvalidAccessKeyId", "SignatureDoesNotMatch"),
        CREDENTIALS,
    ),
}
OTHERWISE = "Check endpoint, network and AWS settings, or try again later."


class _RemoteUrl:
    """What S3 and web servers share.

    Attempts, and errors without the URLs and headers that those of libraries hold.
    """

    attempts = ATTEMPTS

    def __init__(self, url, storage):
        self.url, self.storage = url, storage

    def tidy(self):
        """Nothing: what is not whole is not there."""

    def prune(self):
        """Nothing: there are no folders without files."""

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
            stop = tenacity.stop_after_attempt(
                self.attempts
            ) | tenacity.stop_after_delay(PATIENCE)
            retrying = tenacity.Retrying(
                retry=tenacity.retry_if_exception(_is_temporary),
                stop=stop,
                wait=WAIT,
                reraise=True,
            )
            try:
                answer = retrying(call, self._files(anonymous))
            except _get_error_types()[1] as error:
                failures.append(self._failure(error, anonymous))
                if _get_status_and_code(error)[1] not in {
                    *DENIED,
                    "InvalidAccessKeyId",
                    "SignatureDoesNotMatch",
                }:
                    break
            else:
                if failures:
                    (_public.add if anonymous else _public.discard)(
                        (self.endpoint, self.bucket)
                    )
                return answer
        # Outside the handler, where nothing is chained to it.
        raise next(
            (failure for failure in failures if isinstance(failure, FileNotFoundError)),
            failures[0],
        )

    def _failure(self, error, anonymous):
        status, code = _get_status_and_code(error)
        name = redact_url(self.url)
        if code in self.missing:
            return FileNotFoundError(f"{name} is not there.")
        if code in self.refused:
            return PermissionError(
                f"{name}: {self.host} refuses access"
                f" ({code}{', asked anonymously' * anonymous})."
            )
        if not status and isinstance(error, ValueError):
            return ValueError(
                f"{name} cannot be reached: it, or the endpoint, is not a valid URL."
            )
        said = (
            f"answered {code}"
            if status
            else f"gave no whole answer ({type(error).__name__})"
        )
        return Unreachable(
            f"{name} cannot be reached: {self.host} {said}."
            f" {ADVICE.get(code, OTHERWISE)}"
        )


class S3Url(_RemoteUrl):
    missing = (
        "NoSuchKey",
        "NoSuchVersion",
        "PreconditionFailed",
    )  # the last: replaced while it was read
    refused = (*DENIED, "InvalidObjectState")

    def __init__(self, url, storage):
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
        names = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
        self.endpoint = storage.endpoint or next(
            filter(None, map(os.environ.get, names)), None
        )
        self.host = redact_url(self.endpoint or "Amazon S3")

    def read(self):
        return self._get()[0]

    def open(self):
        from fsspec.spec import AbstractBufferedFile

        _, answer = self._get(Range=FIRST)
        size = int(answer.get("ContentRange", "/0").rpartition("/")[2])
        file = AbstractBufferedFile(None, self.url, size=size, cache_type="none")
        file.cache.fetcher = lambda start, end: self._get(
            Range=f"bytes={start}-{end - 1}", IfMatch=answer["ETag"]
        )[0]
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
            self._ask(
                lambda files: files.call_s3(
                    "delete_object", Bucket=self.bucket, Key=key
                ),
                writing=True,
            )  # noqa: B023

    def write(self, content):
        place = self._file()
        self._ask(
            lambda files: files.call_s3("put_object", Body=content, **place),
            writing=True,
        )

    def write_file(self, path):
        place = "{Bucket}/{Key}".format(**self._file())
        # Two parts of 50 MB at once. An upload that breaks is taken back.
        self._ask(
            lambda files: files.put_file(path, place, max_concurrency=2), writing=True
        )
        os.remove(path)

    def _probe(self, writing):
        if not writing and self.key not in ("", self.folder):
            with suppress(
                PermissionError
            ):  # who may not list is refused a missing key, too
                self.exists()
                return
        next(self._keys(MaxKeys=1), None)
        if writing:
            self._ask(self._begin, writing=True)

    def _begin(self, files):
        """Begin to write something and give it up.

        That needs the permission to write, and leaves nothing.
        """
        place = {"Bucket": self.bucket, "Key": f"{self.folder}{TEMPORARY}{uuid4().hex}"}
        upload = files.call_s3("create_multipart_upload", **place)["UploadId"]
        with suppress(PermissionError):
            files.call_s3("abort_multipart_upload", UploadId=upload, **place)

    def _file(self):
        if self.key in ("", self.folder):
            raise IsADirectoryError(f"{redact_url(self.url)} is a folder.")
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
            page = answer.get("IsTruncated") and {
                **page,
                "ContinuationToken": answer["NextContinuationToken"],
            }

    def _ways(self, writing):
        if self.storage.anonymous or not _call_once(_has_credentials):
            return [True]
        public = (self.endpoint, self.bucket) in _public
        return [False] if writing else [public, not public]

    def _files(self, anonymous):
        return _call_once(_open_s3, self.endpoint, self.storage.region, anonymous)


class WebUrl(_RemoteUrl):
    missing = ("404", "410")
    refused = {str(status) for status in range(400, 500)} - {
        *missing,
        "407",
        "408",
        "429",
    }

    def __init__(self, url, storage):
        super().__init__(url, storage)
        self.host = "/".join(redact_url(url).split("/")[:3])
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
        raise ValueError(
            f"{redact_url(self.url)} cannot be listed, as no web server can. Give a"
            " table of its files."
        )

    def write(self, _content=None):
        raise ValueError(
            f"{redact_url(self.url)} can only be read. Write to a folder, or to s3://."
        )

    write_file = remove = write

    def _probe(self, writing):
        if writing:
            self.write()
        self.exists()

    def _ways(self, _writing):
        return [False]

    def _files(self, _anonymous):
        return _call_once(_open_web, "%" in self.sent)


# Endpoints and buckets where unsigned requests are taken and signed ones are not.
_public = set()
_lock = threading.RLock()


def _call_once(function, *what):
    """What a process finds out or makes once, for all of its threads."""
    with _lock:
        return function(os.getpid(), *what)


@cache
def _has_credentials(_process):
    from botocore.exceptions import BotoCoreError
    from botocore.session import get_session

    try:
        return get_session().get_credentials() is not None
    except BotoCoreError:  # s3fs meets the same when it asks
        return True


@cache
def _open_s3(_process, endpoint, region, anonymous):
    from s3fs import S3FileSystem

    region = region or os.environ.get("AWS_REGION")  # which botocore does not read
    client = {"endpoint_url": endpoint, "region_name": region}
    config = {
        "connect_timeout": CONNECT,
        "read_timeout": ANSWER,
        "max_pool_connections": CONNECTIONS,
    }
    config["retries"] = {
        "total_max_attempts": 1
    }  # `_Remote` tries again, and so need not s3fs
    # One for all threads: the instances that s3fs itself keeps are one for each.
    files = S3FileSystem(
        anonymous, client_kwargs=client, config_kwargs=config, skip_instance_cache=True
    )
    files.retries = 1
    return files


@cache
def _open_web(_process, encoded):
    from aiohttp import ClientTimeout
    from fsspec.implementations.http import HTTPFileSystem

    # The environment names proxies: botocore takes them, too.
    client = {
        "trust_env": True,
        "timeout": ClientTimeout(total=None, sock_connect=CONNECT, sock_read=ANSWER),
    }
    # What is encoded already was perhaps signed so.
    return HTTPFileSystem(
        encoded=encoded, client_kwargs=client, skip_instance_cache=True
    )


async def _fetch(files, place):
    try:
        answer = await files._call_s3("get_object", **place)
    except OSError as error:
        if (
            _get_status_and_code(error)[1] == "InvalidRange"
        ):  # of a file without content
            return b"", {}
        raise
    async with answer["Body"] as body:
        return await body.read(), answer


@cache
def _get_error_types():
    """What libraries raise when a connection breaks, and all that they raise."""
    import asyncio

    from aiohttp import ClientError
    from botocore import exceptions as boto
    from botocore.parsers import ResponseParserError

    broken = (
        boto.HTTPClientError,
        boto.ConnectionError,
        boto.IncompleteReadError,
        boto.FlexibleChecksumError,
    )
    broken += (ClientError, ConnectionError, asyncio.TimeoutError, ResponseParserError)
    return broken, (*broken, OSError, ValueError, boto.BotoCoreError, boto.ClientError)


def _is_temporary(error):
    """Whether the same may succeed in a moment."""
    status, code = _get_status_and_code(error)
    if status:
        return status >= 500 or status in (408, 429) or code in BUSY
    return isinstance(error, _get_error_types()[0]) and not isinstance(
        error, ValueError
    )


def _get_status_and_code(error):
    """The status and the code with which S3 or a web server refuses.

    (0, None) where none was received.
    """
    for one in (error, error.__cause__):  # s3fs puts an error of its own in front
        if isinstance(response := getattr(one, "response", None), dict):
            return (
                response["ResponseMetadata"].get("HTTPStatusCode", 0),
                response["Error"]["Code"],
            )
        if isinstance(status := getattr(one, "status", None), int):
            return status, str(status)
    return (404, "404") if isinstance(error, FileNotFoundError) else (0, None)

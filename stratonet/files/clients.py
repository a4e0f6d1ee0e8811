"""Clients for S3 and web servers, one per process, and what their errors mean."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fsspec.implementations.http import HTTPFileSystem
    from s3fs import S3FileSystem

CONNECT_TIMEOUT, ANSWER_TIMEOUT = 5, 60  # seconds
CONNECTIONS = 64  # requests at once

# S3's error codes after which the same request may succeed in a moment.
BUSY_CODES = {
    "BadDigest",
    "IncompleteBody",
    "InternalError",
    "OperationAborted",
    "RequestLimitExceeded",
    "RequestTimeout",
    "ServiceUnavailable",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequests",
}

_lock = threading.RLock()


def import_clients(scheme: str) -> None:
    """Import the packages that a URL needs, so that a missing one is reported first.

    Parameters
    ----------
    scheme : {"s3", "https", "http"}
        Scheme of the URL.

    Raises
    ------
    ImportError
        A package is missing.
    """
    # Both in any case: `get_connection_errors` names the errors of both.
    import aiohttp  # noqa: F401
    import botocore  # noqa: F401
    import fsspec  # noqa: F401

    if scheme == "s3":
        import s3fs  # noqa: F401


def call_once(function: Callable[..., Any], *arguments: object) -> Any:
    """Call a function once per process, and share its result between all threads.

    Parameters
    ----------
    function : callable
        A cached function whose first argument is the number of the process: connections
        do not survive a fork.
    *arguments : object
        Its other arguments.
    """
    # A cache alone would let two threads compute the same result at the same time.
    with _lock:
        return function(os.getpid(), *arguments)


@cache
def has_credentials(process: int) -> bool:
    """Whether there are AWS credentials in the usual places."""
    from botocore.exceptions import BotoCoreError
    from botocore.session import get_session

    try:
        return get_session().get_credentials() is not None
    except BotoCoreError:  # s3fs will meet and raise the same error
        return True


@cache
def open_s3(
    process: int, endpoint: str | None, region: str | None, anonymous: bool
) -> S3FileSystem:
    """Open a client for S3, shared by all threads of a process."""
    from s3fs import S3FileSystem

    # botocore reads AWS_DEFAULT_REGION only.
    region = region or os.environ.get("AWS_REGION")
    config = {
        "connect_timeout": CONNECT_TIMEOUT,
        "read_timeout": ANSWER_TIMEOUT,
        "max_pool_connections": CONNECTIONS,
        # `remote` repeats requests, so botocore need not ...
        "retries": {"total_max_attempts": 1},
    }
    # s3fs's own cache would hold one instance per thread.
    files = S3FileSystem(
        anonymous,
        client_kwargs={"endpoint_url": endpoint, "region_name": region},
        config_kwargs=config,
        skip_instance_cache=True,
    )
    files.retries = 1  # ... nor s3fs
    return files


@cache
def open_web(process: int, encoded: bool) -> HTTPFileSystem:
    """Open a client for web servers, shared by all threads of a process.

    Parameters
    ----------
    process : int
        Number of the process.
    encoded : bool
        URLs are percent-encoded already and are sent unchanged: a signed URL may have
        been signed in this form.
    """
    from aiohttp import ClientTimeout
    from fsspec.implementations.http import HTTPFileSystem

    timeout = ClientTimeout(
        total=None, sock_connect=CONNECT_TIMEOUT, sock_read=ANSWER_TIMEOUT
    )
    # Proxies are taken from the environment, as botocore does.
    options = {"trust_env": True, "timeout": timeout}
    return HTTPFileSystem(
        encoded=encoded, client_kwargs=options, skip_instance_cache=True
    )


async def fetch_object(
    files: S3FileSystem, request: Mapping[str, str]
) -> tuple[bytes, dict[str, Any]]:
    """Fetch an object from S3: its content and the remaining fields of the answer."""
    try:
        answer = await files._call_s3("get_object", **request)
    except OSError as error:
        # A range of an empty file.
        if get_status_and_code(error)[1] == "InvalidRange":
            return b"", {}
        raise
    async with answer["Body"] as body:
        return await body.read(), answer


@cache
def get_connection_errors() -> tuple[type[Exception], ...]:
    """Return the errors that libraries raise when a connection breaks."""
    import asyncio

    from aiohttp import ClientError
    from botocore import exceptions as boto
    from botocore.parsers import ResponseParserError

    return (
        boto.HTTPClientError,
        boto.ConnectionError,
        boto.IncompleteReadError,
        boto.FlexibleChecksumError,
        ClientError,
        ConnectionError,
        asyncio.TimeoutError,
        ResponseParserError,
    )


@cache
def get_all_errors() -> tuple[type[Exception], ...]:
    """Return all errors that libraries raise when a request fails."""
    from botocore import exceptions as boto

    others = (OSError, ValueError, boto.BotoCoreError, boto.ClientError)
    return (*get_connection_errors(), *others)


def is_temporary(error: BaseException) -> bool:
    """Whether the same request may succeed in a moment."""
    status, code = get_status_and_code(error)
    if status:
        return status >= 500 or status in (408, 429) or code in BUSY_CODES
    # For an invalid URL, aiohttp's ClientError is also a ValueError.
    is_broken = isinstance(error, get_connection_errors())
    return is_broken and not isinstance(error, ValueError)


def get_status_and_code(error: BaseException) -> tuple[int, str | None]:
    """Return the status and the code with which S3 or a web server refused.

    Returns
    -------
    (int, str)
        (0, None) if none was received.
    """
    # s3fs wraps the original error in one of its own.
    for candidate in (error, error.__cause__):
        response = getattr(candidate, "response", None)
        if isinstance(response, dict):
            status = response["ResponseMetadata"].get("HTTPStatusCode", 0)
            return status, response["Error"]["Code"]
        status = getattr(candidate, "status", None)
        if isinstance(status, int):
            return status, str(status)
    if isinstance(error, FileNotFoundError):
        return 404, "404"
    return 0, None

"""An S3 over real HTTP that other processes reach too.

Moto, behind a server that fails when it is told to.
"""

import http.client
import itertools
import re
import socket
import struct
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote

SECRETS = ("AKIDSTRATONET00001", "secretsecretsecret/STRATONET")
SLOW_DOWN, DENIED = (503, "SlowDown"), (403, "AccessDenied")
RESET, TRUNCATED = "reset", "truncated"
PUBLIC = "public-read"


@dataclass
class Failure:
    """What goes wrong.

    An error's status and code, `RESET` or `TRUNCATED`; of which requests, and how many.
    """

    how: object
    path: str = ""
    times: float = float("inf")
    method: str = ""
    key_id: str = None
    happened: int = 0

    def meets(self, method, path, key_id):
        if (
            self.path not in path
            or self.method not in method
            or self.happened >= self.times
        ):
            return False
        return self.key_id is None or self.key_id == key_id


@dataclass
class S3Server:
    """A context manager, whose URL is ``endpoint``.

    moto checks no signature, and what `put` puts is public.

    Attributes
    ----------
    requests : list of (method, path with query, access key or None)
        What it was asked, in order.
    """

    requests: list = field(default_factory=list)

    def __enter__(self):
        from moto.server import ThreadedMotoServer

        self._moto = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        self._moto.start()
        self._failures, self._lock = [], threading.Lock()
        self._front = _Front(("127.0.0.1", 0), _Handler)
        self._front.s3 = self
        threading.Thread(
            target=self._front.serve_forever, args=(0.05,), daemon=True
        ).start()
        return self

    def __exit__(self, *_):
        for server in (self._front, self._moto._server):
            server.shutdown()
            server.server_close()

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self._front.server_address[1]}"

    @property
    def env(self):
        """The environment variables with which a process asks this server."""
        return {
            "AWS_ACCESS_KEY_ID": SECRETS[0],
            "AWS_SECRET_ACCESS_KEY": SECRETS[1],
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def put(self, bucket, files=()):
        """Make a bucket, or add to it: ``{key: content}``."""
        self._forward("PUT", f"/{bucket}")
        for key, content in dict(files).items():
            status = self._forward("PUT", f"/{bucket}/{_quoted(key)}", content)[0]
            assert status == 200, status

    def get(self, bucket, key):
        """The content of a key, or None."""
        status, _, content = self._forward("GET", f"/{bucket}/{_quoted(key)}")
        return content if status == 200 else None

    def fail(self, how, path="", **which):
        """Fail requests whose path and query contain ``path``; the `Failure` counts."""
        self._failures.append(Failure(how, path, **which))
        return self._failures[-1]

    def reset(self):
        """Empty: no bucket, no failure, no request."""
        self._forward("POST", "/moto-api/reset")
        self._failures.clear()
        self.requests.clear()

    def _forward(self, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection(
            *self._moto.get_host_and_port(), timeout=30
        )
        try:
            connection.request(
                method,
                path,
                body,
                headers or {"Authorization": "AWS test:test", "x-amz-acl": PUBLIC},
            )
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()

    def _failure(self, method, path, key_id):
        with self._lock:
            self.requests.append((method, path, key_id))
            failure = next(
                (
                    failure
                    for failure in self._failures
                    if failure.meets(method, path, key_id)
                ),
                None,
            )
            if failure:
                failure.happened += 1
            return failure and failure.how


class _Front(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        """A client that went away is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and content in one packet

    def log_message(self, *_):
        pass

    def handle_expect_100(self):
        going_on = super().handle_expect_100()
        self.wfile.flush()
        return going_on

    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        found = re.search(r"Credential=([^/]+)", self.headers.get("Authorization", ""))
        how = self.server.s3._failure(self.command, self.path, found and found[1])
        if how == RESET:
            self.connection.setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
            self.connection.close()
            self.close_connection = True
            return
        if isinstance(how, tuple):
            status, headers = (
                how[0],
                [
                    ("Content-Type", "application/xml"),
                    ("x-amz-bucket-region", "eu-west-1"),
                ],
            )
            error = f"<Code>{how[1]}</Code><Message>no</Message>"
            content = f"<?xml version='1.0'?><Error>{error}</Error>".encode()
        else:
            status, headers, content = self.server.s3._forward(
                self.command, self.path, body, dict(self.headers)
            )
        self.send_response_only(status)
        length = str(len(content))
        if self.command == "HEAD":
            length = dict(headers).get("Content-Length", length)
        for name, value in itertools.chain(headers, [("Content-Length", length)]):
            if (
                name.lower()
                not in ("content-length", "connection", "transfer-encoding")
                or value is length
            ):
                self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(
                content[: len(content) // 2] if how == TRUNCATED else content
            )
        self.wfile.flush()
        self.close_connection = self.close_connection or how == TRUNCATED

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = answer


def _quoted(key):
    return quote(key, safe="/")

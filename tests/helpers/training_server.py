"""Processes of training that start in no time: TensorFlow was imported before.

A server imports it once, uses nothing of it, and is forked for each process, which has
arguments, an environment, output, an exit code and a process group of its own.
"""

import multiprocessing
import os
import sys
import tempfile
from contextlib import contextmanager
from multiprocessing.forkserver import ForkServer
from unittest import mock

# Not the one that other tests share: it would have imported other things, or nothing.
_server = ForkServer()
_server.set_forkserver_preload(["training.trainer"])
_get_context = multiprocessing.get_context


@contextmanager
def quick_starts():
    """Within it, processes of ``multiprocessing`` are those of the server."""
    connect = _server.connect_to_new_process
    with (
        mock.patch("multiprocessing.forkserver.connect_to_new_process", connect),
        mock.patch("multiprocessing.get_context", lambda _: _get_context("forkserver")),
    ):
        yield


class Started:
    """A process of the server, with what is asked of a ``subprocess.Popen``."""

    def __init__(self, work, *arguments, environment):
        # It goes with this object.
        self.stdout = tempfile.NamedTemporaryFile("r")  # noqa: SIM115
        self._process = _get_context("forkserver").Process(
            target=_work, args=(self.stdout.name, environment, work, arguments)
        )
        with quick_starts():
            self._process.start()
        self.pid = self._process.pid

    def poll(self):
        return self._process.exitcode

    @property
    def returncode(self):
        return self.poll()

    def wait(self, timeout=None):
        self._process.join(timeout)
        assert self.returncode is not None, self.stdout.read()

    def communicate(self, timeout=None):
        self.wait(timeout)
        return self.stdout.read(), None


def run_command(*arguments):
    """What ``python -m training`` does."""
    from training.__main__ import main

    main(arguments)


def run_code(code, *arguments):
    """What ``python -c`` does."""
    sys.argv = ["-c", *arguments]
    exec(code, {"__name__": "__main__"})


def _work(output, environment, work, arguments):
    os.setsid()
    file = os.open(output, os.O_WRONLY | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.environ.clear()
    os.environ.update(environment)
    # Its own processes are forked in turn.
    with mock.patch("multiprocessing.get_context", lambda _: _get_context("fork")):
        work(*arguments)

"""CellProfiler processes that start in a second instead of six.

A server imports CellProfiler once and is forked for each run, so that a run still has a
process, arguments, output and an exit code of its own::

    with quick_starts():
        headless.run_pipeline(...)

So are parts of ``run-cellprofiler`` within it, several at once. They are children of
the server's children, and nobody asks for their exit codes.
"""

import json
import os
import runpy
import subprocess
import sys
import time
import traceback
from contextlib import contextmanager
from functools import cache
from unittest import mock

import psutil

_run_slowly = subprocess.run


@contextmanager
def quick_starts():
    """Within it, ``subprocess.run([python, "-m", module, ...])`` asks the server.

    So does ``psutil.Popen``.
    """
    with mock.patch("subprocess.run", _run), mock.patch("psutil.Popen", _start):
        yield


class Started(psutil.Process):
    """A process of the server, with what is asked of a ``psutil.Popen``."""

    def poll(self):
        try:
            has_ended = self.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            has_ended = True
        return 0 if has_ended else None

    def wait(self, timeout=None):
        while self.poll() is None:
            time.sleep(0.05)


def _start(command, *, stdout, stderr, env):
    assert list(command[:2]) == [sys.executable, "-m"]
    return Started(_ask_server(command, stdout, env, wait=False))


def _run(command, *, stdout=None, stderr=None, env=None, **more):
    is_module = list(command[:2]) == [sys.executable, "-m"]
    if more or stdout is None or not is_module:
        return _run_slowly(command, stdout=stdout, stderr=stderr, env=env, **more)
    return subprocess.CompletedProcess(command, _ask_server(command, stdout, env))


def _ask_server(command, log, env, wait=True):
    """The exit code of a process, or its number if it is not to be waited for."""
    server = _start_server()
    request = {"module": command[2], "arguments": command[3:], "log": log.name}
    server.stdin.write(json.dumps({**request, "env": env, "wait": wait}) + "\n")
    server.stdin.flush()
    return int(server.stdout.readline())


@cache
def _start_server():
    # It ends with its input, which ends with this process.
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", __file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _serve():
    from cellprofiler_core import preferences

    from cellprofiler_plugin.headless import PLUGINS

    preferences.set_headless()
    preferences.set_plugin_directory(str(PLUGINS), globally=False)
    # Importing them is what takes the time; the second loads all modules, ours too.
    import cellprofiler.__main__  # noqa: F401
    import cellprofiler_core.modules  # noqa: F401

    for line in sys.stdin:
        request = json.loads(line)
        wait = request.pop("wait")
        child = os.fork()
        if child == 0:
            grandchild = 0 if wait else os.fork()
            if grandchild:
                os.write(1, b"%d\n" % grandchild)
                os._exit(0)
            _run_module(**request)
        _, status = os.waitpid(child, 0)
        if not wait:
            continue
        code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else -status
        print(code, flush=True)


def _run_module(module, arguments, log, env):
    """What ``python -m`` does, in a process of its own that prints to a file."""
    code = 1
    try:
        file = os.open(log, os.O_WRONLY | os.O_APPEND)
        os.dup2(file, 1)
        os.dup2(file, 2)
        os.environ.clear()
        os.environ.update(env)
        sys.argv = [module, *arguments]
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as exit:
        code = exit.code if isinstance(exit.code, int) else int(exit.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code & 255)


if __name__ == "__main__":
    _serve()

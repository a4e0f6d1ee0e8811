"""Work in a process that is killed or stopped on its way, at a chosen moment.

    while kill_at_file(work, folder, number):
        number += 1

kills it at each file of a folder in turn, until the work comes to its end.
"""

import multiprocessing
import os
import resource
import signal
import sys
from contextlib import contextmanager

import psutil

# What Python tells of files: opened, moved, linked, removed, folders made, databases.
FILES = (
    *("open", "os.rename", "os.link", "os.remove", "os.mkdir", "os.rmdir"),
    *("shutil.rmtree", "sqlite3.connect"),
)
# Forked from one that has imported what takes long, and has no threads.
PRELOADED = [
    "cellprofiler_plugin.batches",
    "stratonet.tables.writing",
    "pyarrow.dataset",
    "spatialdata._io.io_zarr",
]
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(PRELOADED)


def kill_at_file(work, folder, number):
    """Kill it (SIGKILL) when it is about to touch files of a folder the n-th time.

    Returns whether it was killed; it has come to its end otherwise.
    """
    killed = signal.SIGKILL
    return _run(_count_files, work, str(folder), number, killed) == -killed


@contextmanager
def stopped_at_file(work, folder, number):
    """Within it, the work stands still where `kill_at_file` would kill it."""
    arguments = (_count_files, work, str(folder), number, signal.SIGSTOP)
    process = _context.Process(target=_work, args=arguments)
    process.start()
    try:
        while psutil.Process(process.pid).status() != psutil.STATUS_STOPPED:
            assert process.is_alive()
        yield
    finally:
        os.kill(process.pid, signal.SIGCONT)
        process.join()
    assert process.exitcode == 0


def kill_at_size(work, size):
    """Kill it when it writes more than so many bytes to a file."""
    return _run(_limit_files, work, size) == -signal.SIGXFSZ


def _run(prepare, work, *arguments):
    process = _context.Process(target=_work, args=(prepare, work, *arguments))
    process.start()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL, -signal.SIGXFSZ)
    return process.exitcode


def _work(prepare, work, *arguments):
    prepare(*arguments)
    work()


def _count_files(folder, number, what):
    left = number

    def look(event, arguments):
        nonlocal left
        if event not in FILES:
            return
        touched = any(folder in str(argument) for argument in arguments)
        reads = event == "open" and arguments[1] in ("r", "rb")
        if touched and not reads:
            if left == 0:
                os.kill(os.getpid(), what)
            left -= 1

    sys.addaudithook(look)


def _limit_files(size):
    # Python would only raise an error.
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

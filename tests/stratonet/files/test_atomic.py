"""Files that are whole or not there, and folders that one process has to itself."""

import errno
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from stratonet.files import atomic
from stratonet.files.atomic import (
    HOLDER,
    LOCK,
    FolderInUse,
    lock_folder,
    remove_unfinished,
    write_arrays_atomically,
    write_atomically,
)

pytestmark = pytest.mark.stock_cellprofiler
ROOT = Path(__file__).parents[3]


def start(code, *arguments):
    """Run code in another process."""
    head = "import os, sys, time\nfrom pathlib import Path\nfrom stratonet.files.atomic"
    return subprocess.Popen(
        [sys.executable, "-c", f"{head} import *\n{code}", *map(str, arguments)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "plan.json"
    for text in ("first", "second"):
        with write_atomically(path) as unfinished:
            unfinished.write_text(text)
            assert unfinished.parent == path.parent
            assert path.exists() == (text == "second")
        assert path.read_text() == text
    assert list(tmp_path.iterdir()) == [path]


def test_what_goes_wrong_leaves_what_was_there(tmp_path):
    path = tmp_path / "plan.json"
    path.write_text("before")
    with pytest.raises(KeyError), write_atomically(path) as unfinished:
        unfinished.write_text("half")
        raise KeyError("x")
    assert path.read_text() == "before" and list(tmp_path.iterdir()) == [path]


def test_a_killed_process_leaves_the_earlier_file(tmp_path):
    path = tmp_path / "plan.json"
    path.write_text("before")
    code = (
        "with write_atomically(Path(sys.argv[1])) as unfinished:\n"
        "    unfinished.write_text('half')\n"
        "    print('half', flush=True)\n"
        "    sys.stdin.read()"
    )
    with start(code, path) as writer:
        assert writer.stdout.readline() == "half\n"
        # Not while it may still finish.
        remove_unfinished(tmp_path)
        assert len(list(tmp_path.iterdir())) == 2
        writer.kill()
    assert path.read_text() == "before" and len(list(tmp_path.iterdir())) == 2
    remove_unfinished(tmp_path)
    assert list(tmp_path.iterdir()) == [path]


def test_unfinished_files_of_other_machines_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(atomic.platform, "node", lambda: "elsewhere")
    try:
        with write_atomically(tmp_path / "a") as unfinished:
            unfinished.write_text("half")
            monkeypatch.undo()
            monkeypatch.setattr(atomic, "_is_running", lambda process: False)
            remove_unfinished(tmp_path)
            assert unfinished.exists()
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        assert not list(tmp_path.iterdir())
    remove_unfinished(tmp_path / "missing")


def test_a_full_disk_is_named(tmp_path):
    """The operating system breaks off half-way, as where a disk is full."""
    path = tmp_path / "features.npz"
    path.write_text("before")
    code = (
        "import resource, signal, numpy\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10**5, 10**5))\n"
        "try:\n"
        "    write_arrays_atomically(Path(sys.argv[1]), {'a': numpy.zeros(10**6)})\n"
        "except OSError as error:\n"
        "    print(error)"
    )
    with start(code, path) as writer:
        said = writer.stdout.read()
    assert said == f"{path} cannot be written: File too large\n"
    assert path.read_text() == "before" and list(tmp_path.iterdir()) == [path]


def test_errors_keep_their_class_and_name_the_file(tmp_path):
    path = tmp_path / "a"
    with (
        pytest.raises(FileNotFoundError, match="none/a cannot be written: No such"),
        write_atomically(tmp_path / "none" / "a") as unfinished,
    ):
        unfinished.write_text("half")
    with (
        pytest.raises(OSError, match=f"{path} cannot be written: No space left"),
        write_atomically(path),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")

    class HttpError(OSError):
        def __init__(self, code, reason):
            super().__init__(code, reason)

    with (
        pytest.raises(OSError, match=f"{path} cannot be written: gone"),
        write_atomically(path),
    ):
        raise HttpError(410, "gone")


def test_a_file_that_is_only_read_keeps_its_error(tmp_path):
    with (
        pytest.raises(FileNotFoundError, match="missing.csv") as raised,
        write_atomically(tmp_path / "a") as unfinished,
    ):
        unfinished.write_text((tmp_path / "missing.csv").read_text())
    assert "cannot be written" not in str(raised.value)


def test_arrays_come_back(tmp_path):
    arrays = {"features": np.arange(6.0).reshape(2, 3), "wells": np.array(["A01"])}
    write_arrays_atomically(tmp_path / "a.npz", arrays)
    with np.load(tmp_path / "a.npz") as file:
        assert sorted(file.files) == ["features", "wells"]
        for name, values in arrays.items():
            np.testing.assert_array_equal(file[name], values)


def test_two_processes_and_a_reader(tmp_path):
    path = tmp_path / "a"
    code = (
        "print('ready', flush=True)\n"
        "while True:\n"
        "    with write_atomically(Path(sys.argv[1])) as unfinished:\n"
        "        unfinished.write_bytes(sys.argv[2].encode() * 2**18)"
    )
    seen = set()
    with start(code, path, "a") as first, start(code, path, "b") as second:
        try:
            assert first.stdout.readline() == second.stdout.readline() == "ready\n"
            end = time.monotonic() + 30
            while seen != {b"a", b"b"} and time.monotonic() < end:
                if path.exists():
                    content = path.read_bytes()
                    assert len(content) == 2**18 and len(set(content)) == 1
                    seen.add(content[:1])
        finally:
            first.kill()
            second.kill()
    assert seen == {b"a", b"b"}
    remove_unfinished(tmp_path)
    assert list(tmp_path.iterdir()) == [path]


def test_threads_that_write_the_same_file(tmp_path):
    path = tmp_path / "a"
    barrier = threading.Barrier(8)
    failures = []

    def write(number):
        try:
            with write_atomically(path) as unfinished:
                unfinished.write_bytes(bytes([number]) * 10_000)
                barrier.wait(10)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures and len(set(path.read_bytes())) == 1
    assert list(tmp_path.iterdir()) == [path]


HOLD = (
    "with lock_folder(Path(sys.argv[1])):\n"
    "    print('locked', flush=True)\n"
    "    sys.stdin.read()"
)


@pytest.fixture
def filelock():
    return pytest.importorskip("filelock", reason="locks need filelock")


def test_a_folder_is_for_one_process(tmp_path, filelock):
    with start(HOLD, tmp_path) as other:
        assert other.stdout.readline() == "locked\n"
        message = rf"process {other.pid}\) is using {tmp_path}. Wait for it"
        with pytest.raises(FolderInUse, match=message), lock_folder(tmp_path):
            pass
        other.stdin.close()
        assert other.wait(10) == 0
    with lock_folder(tmp_path):
        assert (tmp_path / HOLDER).read_text() == str(os.getpid())
        with pytest.raises(FolderInUse), lock_folder(tmp_path):
            pass
    assert not (tmp_path / HOLDER).exists()


def test_a_dead_process_locks_nobody_out(tmp_path, filelock):
    with start(HOLD, tmp_path) as other:
        assert other.stdout.readline() == "locked\n"
        other.kill()
    assert (tmp_path / LOCK).exists() and (tmp_path / HOLDER).exists()
    with lock_folder(tmp_path):
        pass


@pytest.mark.parametrize("content", ["", "12 half a", "999999999"])
def test_what_a_lock_file_holds_does_not_matter(tmp_path, filelock, content):
    for name in (LOCK, HOLDER):
        (tmp_path / name).write_text(content)
    with lock_folder(tmp_path):
        (tmp_path / HOLDER).write_text("")
        with (
            pytest.raises(FolderInUse, match="^Another run is using"),
            lock_folder(tmp_path),
        ):
            pass


@pytest.mark.slow
def test_one_of_many_that_start_at_once_gets_the_folder(tmp_path, filelock):
    code = (
        "print('ready', flush=True)\n"
        "sys.stdin.readline()\n"
        "try:\n"
        "    with lock_folder(Path(sys.argv[1])):\n"
        "        time.sleep(3)\n"
        "        print('got it')\n"
        "except FolderInUse:\n"
        "    print('in use')"
    )
    others = [start(code, tmp_path) for _ in range(4)]
    for other in others:
        assert other.stdout.readline() == "ready\n"
    for other in others:
        other.stdin.write("\n")
        other.stdin.flush()
    said = [other.communicate()[0] for other in others]
    assert sorted(said) == ["got it\n", "in use\n", "in use\n", "in use\n"]


def test_errors_within_a_locked_folder_are_passed_on(tmp_path, filelock):
    with pytest.raises(KeyError), lock_folder(tmp_path):
        raise KeyError("x")
    with pytest.raises(filelock.Timeout), lock_folder(tmp_path):
        raise filelock.Timeout("another lock")
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError), lock_folder(tmp_path / "file"):
        pass


def test_a_missing_package_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "filelock", None)
    message = r"needs the package filelock. Install stratonet\[cellprofiler\]"
    with pytest.raises(ImportError, match=message), lock_folder(tmp_path):
        pass

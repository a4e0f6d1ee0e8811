"""Runs in their folders: prepared, started, stopped, killed, resumed."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import psutil
import pytest
from app_plates import write_plate

from stratonet.files.atomic import FolderInUse, lock_folder
from stratonet_app.choices import Choices
from stratonet_app.progress import describe_seconds, read_progress
from stratonet_app.runs import (
    EXTRACT,
    FAILED,
    KILLED,
    STOPPED,
    WORKING,
    State,
    ask_to_stop,
    find_run,
    list_runs,
    prepare_run,
    start_run,
)
from stratonet_app.worker import main, start_command, wait_for_command


@pytest.fixture
def choices(plate):
    return Choices(str(plate), recipe="whole224/mean")


def test_a_run_is_found_by_its_folder(tmp_path, choices):
    run = prepare_run(tmp_path / "out", choices, 12)
    assert find_run(tmp_path / "out") == run
    assert list_runs(tmp_path) == [run]
    assert find_run(tmp_path) is None and find_run(tmp_path / "gone") is None
    assert run.read_state().step == "new"


def test_only_what_is_evaluated_may_change(tmp_path, choices):
    prepare_run(tmp_path / "out", choices, 12)
    again = prepare_run(tmp_path / "out", replace(choices, negative="A01"), 12)
    assert again.choices.negative == "A01"
    other = replace(choices, recipe="", pattern="phenix")
    with pytest.raises(ValueError, match="with another pattern, recipe. Choose"):
        prepare_run(tmp_path / "out", other, 12)
    assert find_run(tmp_path / "out") == again


def test_folders_in_which_a_run_would_meet_others(tmp_path, plate, choices):
    with pytest.raises(ValueError, match="in the folder of the images"):
        prepare_run(plate / "out", choices, 12)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.doc").touch()
    with pytest.raises(ValueError, match="holds other files"):
        prepare_run(tmp_path / "mine", choices, 12)
    with pytest.raises(ValueError, match="is a file"):
        prepare_run(tmp_path / "mine" / "thesis.doc", choices, 12)
    assert os.listdir(tmp_path / "mine") == ["thesis.doc"]
    # A table may lie beside its results.
    (tmp_path / "a.csv").touch()
    prepare_run(tmp_path / "out", Choices(str(tmp_path / "a.csv")), 1)


def test_a_folder_that_cannot_be_written_to(tmp_path, choices):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="cannot be written to .*Choose another folder"):
        prepare_run(tmp_path / "file" / "out", choices, 12)
    if os.path.isdir("/proc"):
        # Where not even root makes folders.
        with pytest.raises(OSError, match="cannot be written to"):
            prepare_run(type(tmp_path)("/proc/out"), choices, 12)


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"choices": {"x": "y"}, "wells": 1}']
)
def test_a_damaged_file_is_named(tmp_path, choices, text):
    run = prepare_run(tmp_path / "out", choices, 12)
    (run.private / "run.json").write_text(text)
    with pytest.raises(ValueError, match="run.json cannot be read"):
        find_run(run.folder)
    assert list_runs(tmp_path) == []


def test_a_folder_in_use_is_not_prepared(tmp_path, choices):
    run = prepare_run(tmp_path / "out", choices, 12)
    with lock_folder(run.private), pytest.raises(FolderInUse):
        prepare_run(tmp_path / "out", replace(choices, negative="A01"), 12)
    assert find_run(tmp_path / "out") == run


def test_what_is_no_process_of_the_run(tmp_path, choices):
    run = prepare_run(tmp_path / "out", choices, 12)
    mine = psutil.Process()
    state = State(EXTRACT, mine.pid, mine.create_time(), os.uname().nodename)
    run.write_state(state)
    assert run.read_state().step == EXTRACT
    # The number of a process that is gone was given to another one.
    run.write_state(replace(state, created=state.created - 100))
    assert run.read_state().step == KILLED
    run.write_state(replace(state, process=2**22 + 1))
    assert run.read_state().step == KILLED
    # Of another machine, on the same disk, nobody can tell.
    run.write_state(replace(state, created=0, machine="another"))
    assert run.read_state().step == EXTRACT
    (run.private / "state.json").write_text("{")
    assert run.read_state().step == "new"


def test_the_time_that_is_left(tmp_path, choices):
    run = prepare_run(tmp_path / "out", choices, 100)
    mine = psutil.Process()
    state = State(
        EXTRACT, mine.pid, mine.create_time(), os.uname().nodename, 1000.0, 10
    )
    run.write_state(state)
    units = run.features / "_units" / "P1"
    units.mkdir(parents=True)
    for number in range(10):
        (units / f"A{number:02d}.0.parquet").touch()
    assert "can be estimated after the first wells" in read_progress(run, 1060).text
    # Those of a plate that is complete.
    done = run.features / "_done" / "P2"
    done.mkdir(parents=True)
    (done / "x.json").write_text(json.dumps({"units": {"A01.1": 0, "A02.1": 0}}))
    progress = read_progress(run, 1060)
    assert (progress.n_done, progress.n_wells) == (12, 100)
    # Two wells in a minute, and 88 to go.
    assert "At work for 1 minute, about 44 minutes left." in progress.text
    (run.private / "stop").touch()
    assert read_progress(run, 1060).is_stopping
    assert describe_seconds(3600) == "1 hour" and describe_seconds(0.2) == "1 second"


@pytest.mark.parametrize(
    ("status", "words"), [(1, "exit status 1"), (-9, "memory ran out")]
)
def test_how_a_failure_is_worded(tmp_path, choices, status, words):
    run = prepare_run(tmp_path / "out", choices, 12)
    run.locate_log("extract").write_text("stratonet: the disk is full.\n")
    run.write_state(State(FAILED, command="extract", status=status))
    progress = read_progress(run)
    assert words in progress.text and progress.log == "stratonet: the disk is full."
    assert not progress.is_working and not progress.has_report


@pytest.mark.parametrize(
    ("arguments", "status"), [(["card", "gone.onnx"], 1), (["extract"], 2)]
)
def test_a_command_is_run_as_in_a_terminal(tmp_path, arguments, status):
    log = tmp_path / "command.log"
    with start_command(arguments, log) as command:
        assert wait_for_command(command, tmp_path / "stop") == status
    assert "stratonet" in log.read_text()


def test_a_folder_without_a_run(tmp_path, capsys):
    assert main([str(tmp_path)]) == 1
    assert "There is no run" in capsys.readouterr().err


SERVER = """
import os, pathlib, sys
from stratonet_app.runs import find_run, start_run
start_run(find_run(pathlib.Path(sys.argv[1])))
os._exit(0)
"""


def wait_until(condition, seconds=90):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def is_alive(process):
    try:
        return psutil.Process(process).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def check_that_nothing_begins(run):
    """Neither a second process, nor with other choices."""
    assert main([str(run.folder)]) == 1
    with pytest.raises(FolderInUse, match="process"):
        prepare_run(run.folder, replace(run.choices, negative="A01"), run.n_wells)
    processes = psutil.process_iter(["cmdline"])
    commands = [process.info["cmdline"] or [] for process in processes]
    assert sum(str(run.features) in words for words in commands) == 1


def stop(run):
    """Stop it, and return how many wells are measured."""
    ask_to_stop(run)
    wait_until(lambda: run.read_state().step not in WORKING)
    assert run.read_state().step == STOPPED
    assert "interrupted" in read_progress(run).log
    return read_progress(run).n_done


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_stopped_started_twice_and_killed(tmp_path):
    """Of a plate that takes longer than the test."""
    wells = [f"{row}{column:02d}" for row in "ABCDEFGH" for column in range(1, 25)]
    plate = write_plate(tmp_path, wells)
    choices = Choices(str(plate), recipe="whole224/mean")
    run = prepare_run(tmp_path / "out", choices, len(wells))
    # Twice at once, as by a double click.
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(start_run, [run, run]))
    first = run.read_state()
    assert first.step in WORKING and os.getsid(first.process) == first.process
    # Once more, from the same server or another: the same process goes on.
    start_run(run)
    assert run.read_state().process == first.process
    check_that_nothing_begins(run)
    wait_until(lambda: read_progress(run).n_done > 1)
    n_done = stop(run)
    assert 1 < n_done < len(wells)

    # Resumed, and killed without the command that it has started.
    start_run(run)
    alone = run.read_state()
    os.kill(alone.process, signal.SIGKILL)
    wait_until(lambda: not is_alive(alone.process))
    wait_until(lambda: read_progress(run).n_done > n_done)
    assert read_progress(run).is_working
    start_run(run)
    assert run.read_state() == alone
    check_that_nothing_begins(run)
    n_done = stop(run)
    assert n_done < len(wells) and not is_alive(alone.command_process)

    # Resumed by a server that is gone at once; and killed with all that it has started.
    subprocess.run([sys.executable, "-c", SERVER, str(run.folder)], check=True)
    state = run.read_state()
    assert state.step in WORKING and state.wells_before == n_done
    wait_until(lambda: read_progress(run).n_done > n_done)
    family = psutil.Process(state.process).children(recursive=True)
    for process in [psutil.Process(state.process), *family]:
        process.send_signal(signal.SIGKILL)
    wait_until(lambda: run.read_state().step == KILLED)
    assert "killed" in read_progress(run).text
    assert read_progress(run).n_done >= n_done

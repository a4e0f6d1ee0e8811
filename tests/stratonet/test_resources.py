"""The resources of a run."""

import csv
import io
import pickle
import subprocess
import sys
import threading
import time

import psutil
import pytest

from stratonet import resources
from stratonet.resources import Monitor, format_resources_csv, summarize_resources


def busy(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sum(range(1000))


def test_a_run_shorter_than_a_second():
    with Monitor() as monitor:
        busy(0.3)
    report = monitor.report()
    percent = [
        f"{what}_percent_{which}"
        for what in ("cpu", "memory")
        for which in ("mean", "max")
    ]
    assert list(report) == [*percent, "process_memory_max_mb", "hours", "cores", "host"]
    assert (
        100 / report["cores"] * 0.3
        < report["cpu_percent_mean"]
        == report["cpu_percent_max"]
        <= 100
    )
    assert 0 < report["memory_percent_mean"] <= report["memory_percent_max"] < 100
    assert 0.3 <= report["hours"] * 3600 < 3
    assert monitor.report() == report  # it has ended
    assert not any(
        thread.name == "stratonet-monitor" for thread in threading.enumerate()
    )


def test_the_busiest_period_the_mean_and_the_largest_memory(monkeypatch):
    monkeypatch.setattr(resources, "PERIOD", 0.1)
    processor = iter(
        [(0, 0), (0, 0), (10, 100), (100, 200), (100, 300)] + [(110, 400)] * 1000
    )
    memory = iter([30, 60, 20, 50] + [40] * 1000)
    monkeypatch.setattr(resources, "_read_cpu_seconds", lambda: next(processor))
    monkeypatch.setattr(
        psutil, "virtual_memory", lambda: type("Memory", (), {"percent": next(memory)})
    )
    monkeypatch.setattr(resources, "get_resident_bytes", lambda: 5 * 2**20)
    with Monitor() as monitor:
        while monitor._samples < 5:
            time.sleep(0.01)
    report = monitor.report()
    assert report["cpu_percent_max"] == 90 and report[
        "cpu_percent_mean"
    ] == pytest.approx(27.5)
    assert report["memory_percent_max"] == 60 and report["process_memory_max_mb"] == 5
    assert report["memory_percent_mean"] == pytest.approx(
        (160 + 40 * (monitor._samples - 4)) / monitor._samples
    )


OWN_AND_CHILD = """
import subprocess, sys
import numpy as np
from stratonet.resources import Monitor
with Monitor() as monitor:
    before = monitor.report()["process_memory_max_mb"]
    mine = np.ones(50 * 2**17)  # 50 MiB
    code = "held = b'x' * (60 * 2**20); print(flush=True); input()"
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    child.stdout.readline()
    grown = monitor.report()["process_memory_max_mb"] - before
    child.communicate(b"\\n")
print(grown, monitor.report()["process_memory_max_mb"] - before)
"""


def test_memory_of_this_process_and_its_children():
    # In a process of its own: what other tests have freed or started would count.
    command = [sys.executable, "-c", OWN_AND_CHILD]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    grown, largest = map(float, done.stdout.split())
    assert grown > 100
    assert largest >= grown  # the largest, not the last


def test_memory_of_another_process_and_of_one_that_has_ended():
    code = "held = b'x' * (60 * 2**20); print(flush=True); input()"
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    child.stdout.readline()
    process = psutil.Process(child.pid)
    assert 60 * 2**20 < resources.get_resident_bytes(process) < 2**30
    child.communicate(b"\n")
    assert resources.get_resident_bytes(process) == 0


def test_an_actor_reports_while_it_watches():
    monitor = pickle.loads(pickle.dumps(Monitor()))
    monitor.start()
    first = monitor.report()
    time.sleep(0.02)
    assert monitor.report()["hours"] > first["hours"] > 0
    monitor.stop()


def test_table():
    with Monitor() as monitor:
        pass
    report = {
        **monitor.report(),
        "hours": 117.8,
        "cpu_percent_mean": 19.9,
        "cpu_percent_max": 98.1,
    }
    head, numbers = summarize_resources(
        [{**report, "memory_percent_mean": 14.4, "memory_percent_max": 34.1}]
    ).splitlines()
    assert numbers.split() == ["19.9", "98.1", "14.4", "34.1", "117.800", "1"]
    ends = [
        head.index(word) + len(word)
        for word in ("average", "max   M", "max   R", "hours)")
    ]
    assert [len(numbers[:end].split()) for end in ends] == [1, 2, 4, 5]
    rows = list(
        csv.DictReader(
            io.StringIO(
                format_resources_csv([{"engine": "a, b", **report}] * 2).decode()
            )
        )
    )
    assert (
        len(rows) == 2
        and rows[0]["engine"] == "a, b"
        and float(rows[1]["hours"]) == 117.8
    )

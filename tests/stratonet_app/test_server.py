"""The command: where it listens, its address, its end."""

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import contextmanager
from http.cookiejar import CookieJar

import psutil
import pytest

import stratonet_cli
from stratonet_app.server import has_browser, open_listener


@contextmanager
def started_app(folder, *flags, **environment):
    """The command at work, and the address that it has printed."""

    def heed_ctrl_c():
        # Tests may run in the background, where it is ignored.
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    app = subprocess.Popen(
        [sys.executable, "-m", "stratonet_cli", "app", str(folder), *flags],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_ctrl_c,
    )
    try:
        line = app.stdout.readline()
        match = re.search(r"http://127\.0\.0\.1:(\d+)/\?ticket=\S+", line)
        assert match, line + app.stderr.read()
        yield app, match[0], int(match[1])
    finally:
        app.kill()
        app.communicate()


def open_page(address):
    """What a browser shows at an address, cookies and all."""
    cookies = urllib.request.HTTPCookieProcessor(CookieJar())
    opener = urllib.request.build_opener(cookies)
    return opener.open(address, timeout=30).read().decode()


def list_listening(process):
    connections = psutil.Process(process.pid).net_connections()
    found = [one for one in connections if one.status == psutil.CONN_LISTEN]
    return [tuple(one.laddr) for one in found]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_it_listens_on_this_machine_alone_and_two_do_not_meet(tmp_path):
    browser, opened = tmp_path / "browser", tmp_path / "opened"
    browser.write_text(
        f'#!/bin/sh\necho "$1" > {opened}.part\nmv {opened}.part {opened}'
    )
    browser.chmod(0o755)
    with started_app(tmp_path, BROWSER=str(browser)) as (app, address, port):
        assert list_listening(app) == [("127.0.0.1", port)]
        # By another address of this machine nobody answers.
        with socket.socket() as other, pytest.raises(OSError):
            other.settimeout(2)
            other.connect(("127.0.0.2", port))
        with pytest.raises(urllib.error.HTTPError, match="403"):
            open_page(f"http://127.0.0.1:{port}/")
        assert "Choose the folder of your images" in open_page(address)
        app.stdout.readline()
        assert "For another browser: http" in app.stdout.readline()
        # The browser was opened by itself, at the address that was good then.
        assert opened.read_text().strip() == address

        taken = [sys.executable, "-m", "stratonet_cli", "app", "--port", str(port)]
        done = subprocess.run(taken, capture_output=True, text=True, timeout=60)
        assert done.returncode == 1 and "is taken" in done.stderr
        assert "leave it out" in done.stderr and done.stdout == ""
        app.send_signal(signal.SIGINT)
        _, said = app.communicate(timeout=30)
        assert app.returncode == 130
        assert said == (
            "stratonet: interrupted. The page is closed; a run that was started goes"
            " on.\n"
        )


def test_ports_that_are_none_and_folders_that_are_gone(tmp_path, capsys):
    for port in ("0", "65536", "-1", "http"):
        with pytest.raises(SystemExit) as stopped:
            stratonet_cli.main(["app", "--port", port])
        assert stopped.value.code == 2
    assert stratonet_cli.main(["app", str(tmp_path / "gone")]) == 1
    assert "gone is not a folder" in capsys.readouterr().err


def test_without_its_libraries_the_extra_is_named(monkeypatch, capsys):
    monkeypatch.delitem(sys.modules, "stratonet_app.server")
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert stratonet_cli.main(["app"]) == 1
    said = capsys.readouterr().err
    assert "stratonet app needs the package uvicorn. Install stratonet[app]." in said


def test_a_port_is_free_again():
    with open_listener(0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(OSError, match=f"--port {port}: is taken"):
            open_listener(port)
    open_listener(port).close()


def test_a_browser_for_terminals_is_not_opened(monkeypatch):
    for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert has_browser() == (sys.platform in ("win32", "darwin"))
    monkeypatch.setenv("DISPLAY", ":0")
    assert has_browser()

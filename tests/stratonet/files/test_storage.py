"""Files on disks, on S3 and on web servers, and what is said where that fails."""

import errno
import json
import pickle
import re
import subprocess
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import tenacity
from s3_server import DENIED, RESET, SECRETS, SLOW_DOWN, TRUNCATED, S3Server

from stratonet.files import clients, remote, storage
from stratonet.files.storage import TEMPORARY, Storage
from stratonet.files.urls import Unreachable, redact_url

ROOT = Path(__file__).parents[3]
PLATE = {"a/2.tif": b"two", "a/b/1.tif": b"one", "ab.tif": b"beside", "empty": b""}


@pytest.fixture(scope="module")
def server():
    forget()
    with S3Server() as server:
        yield server
    forget()


@pytest.fixture
def s3(server, monkeypatch):
    """An S3 with only the bucket ``plates``, in a process that tries again at once."""
    for name in (
        "AWS_PROFILE",
        "AWS_DEFAULT_REGION",
        "AWS_SESSION_TOKEN",
        "AWS_ENDPOINT_URL_S3",
    ):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/nonexistent")
    for name, value in server.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(remote, "WAIT", tenacity.wait_none())
    remote._public.clear()
    server.reset()
    server.put("plates", PLATE)
    return server


@pytest.fixture
def new(s3):
    """A process that has asked nothing yet."""
    forget()
    yield
    forget()


def forget():
    for known in (clients.has_credentials, clients.open_s3, clients.open_web):
        known.cache_clear()
    remote._public.clear()


@pytest.fixture(params=["local", "s3"])
def folder(request, tmp_path):
    """The URL of a folder that holds `PLATE`."""
    if request.param == "s3":
        request.getfixturevalue("s3")
        return "s3://plates"
    for name, content in PLATE.items():
        path = tmp_path / "plates" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return str(tmp_path / "plates")


def python(code, *arguments):
    """Run code in another process."""
    command = [
        sys.executable,
        "-c",
        f"from stratonet.files.storage import Storage\n{code}",
        *arguments,
    ]
    return subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def test_files_are_read_and_found(folder):
    place = Storage()
    assert {name: place.read(f"{folder}/{name}") for name in PLATE} == PLATE
    assert all(place.exists(f"{folder}/{name}") for name in PLATE)
    assert not any(
        map(place.exists, (f"{folder}/a", f"{folder}/a.tif", f"{folder}/ab.tif/c"))
    )
    assert [
        place.is_folder(f"{folder}{name}")
        for name in ("", "/a", "/a/", "/ab.tif", "/c")
    ] == [True] * 3 + [False] * 2
    assert place.list(folder) == sorted(f"{folder}/{name}" for name in PLATE)
    assert (
        place.list(f"{folder}/a/")
        == place.list(f"{folder}/a")
        == [f"{folder}/a/2.tif", f"{folder}/a/b/1.tif"]
    )
    assert place.list(f"{folder}/c") == place.list(f"{folder}/ab.tif") == []
    with pytest.raises(FileNotFoundError, match=f"{folder}/a.tif"):
        place.read(f"{folder}/a.tif")
    with pytest.raises(IsADirectoryError, match=folder):
        place.read(folder)


def test_files_are_written_and_removed(folder, tmp_path):
    place, big = Storage(), tmp_path / "big"
    place.check(f"{folder}/new", writing=True)
    assert place.list(f"{folder}/new") == []
    place.write(f"{folder}/new/c/3.json", b"first")
    place.write(f"{folder}/new/c/3.json", b"3")
    for content in (b"4", b"big" * 10**6):
        big.write_bytes(content)
        place.write_file(f"{folder}/new/d/4", big)
        assert not big.exists()
    assert place.list(f"{folder}/new") == [
        f"{folder}/new/c/3.json",
        f"{folder}/new/d/4",
    ]
    assert (
        place.read(f"{folder}/new/c/3.json") == b"3"
        and place.read(f"{folder}/new/d/4") == content
    )
    for name in ("ab.tif", "a", "new/c", "none", "ab.tif/none"):
        place.remove(f"{folder}/{name}")
    assert place.list(folder) == [f"{folder}/empty", f"{folder}/new/d/4"]


def test_only_folders_without_files_are_pruned(folder):
    place = Storage()
    for name in ("units/P1/A01", "units/P2/A01", f"units/P3/{TEMPORARY}A01"):
        place.write(f"{folder}/{name}", b"1")
    place.remove(f"{folder}/units/P1/A01")
    for left in (1, 0):
        place.prune(f"{folder}/units")
        assert not place.is_folder(f"{folder}/units/P1")
        assert place.exists(f"{folder}/units/P2/A01") == bool(left)
        assert place.exists(f"{folder}/units/P3/{TEMPORARY}A01") == bool(left)
        for name in ("P2/A01", f"P3/{TEMPORARY}A01"):
            place.remove(f"{folder}/units/{name}")
    assert not place.is_folder(f"{folder}/units")
    place.prune(f"{folder}/units")


def test_parts_of_a_file_are_read(folder):
    content = bytes(range(256)) * 4096
    place = Storage()
    place.write(f"{folder}/table", content)
    with place.open(f"{folder}/table") as file:
        assert file.seek(-8, 2) == len(content) - 8 and file.read(100) == content[-8:]
        assert (
            file.seek(1000) == 1000
            and file.read(5) == content[1000:1005]
            and file.tell() == 1005
        )
        assert file.read() == content[1005:]
    with place.open(f"{folder}/empty") as file:
        assert file.read() == b""
    with pytest.raises(FileNotFoundError, match="none"):
        place.open(f"{folder}/none")


def test_a_part_of_another_version_is_not_read(s3):
    with Storage().open("s3://plates/a/2.tif") as file:
        s3.put("plates", {"a/2.tif": b"new"})
        with pytest.raises(FileNotFoundError, match="a/2.tif"):
            file.read(1)


def test_of_several_who_create_a_file_the_first_wins(folder):
    url = f"{folder}/new/limits.json"
    contents = [bytes([number]) * 1000 for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda content: Storage().create(url, content), contents))
    first = Storage().read(url)
    assert first in contents
    Storage().create(url, b"later")
    assert Storage().read(url) == first
    assert Storage().list(f"{folder}/new") == [url]


def test_a_file_is_created_where_there_are_no_links(tmp_path, monkeypatch):
    def refuse(source, target):
        raise PermissionError(errno.EPERM, "Operation not permitted", source)

    monkeypatch.setattr("os.link", refuse)
    for content in (b"first", b"later"):
        Storage().create(tmp_path / "new" / "limits.json", content)
    assert (tmp_path / "new" / "limits.json").read_bytes() == b"first"
    assert len(list((tmp_path / "new").iterdir())) == 1


@pytest.mark.slow
def test_a_reader_sees_no_half_of_a_file(folder):
    url, seen = f"{folder}/half", []
    code = (
        "import random, sys\nwhile True: Storage().write(sys.argv[1],"
        " bytes([random.choice(b'ab')]) * 2**18)"
    )
    with python(code, url) as writer:
        end = time.time() + 20
        try:
            while (len(seen) < 10 or len(set(seen)) < 2) and time.time() < end:
                if Storage().exists(url):
                    content = Storage().read(url)
                    assert len(content) == 2**18 and len(set(content)) == 1
                    seen.append(content[0])
        finally:
            writer.kill()
    assert set(seen) == set(b"ab")


def test_what_is_not_a_file_yet_is_not_listed(s3, tmp_path, monkeypatch):
    s3.put("plates", {"new/": b"", "new/a": b""})  # as S3's own web page makes a folder
    assert Storage().list("s3://plates/new") == ["s3://plates/new/a"]
    Storage().remove("s3://plates/new/a")
    assert Storage().list("s3://plates/new") == [] and Storage().is_folder(
        "s3://plates/new"
    )
    Storage().remove("s3://plates/new")
    assert not Storage().is_folder("s3://plates/new")
    listed, replace = [], storage.os.replace
    monkeypatch.setattr(
        storage.os,
        "replace",
        lambda *paths: listed.append(Storage().list(tmp_path)) or replace(*paths),
    )
    Storage().write(tmp_path / "a", b"a")
    assert [*listed, Storage().list(tmp_path)] == [[], [str(tmp_path / "a")]]


def test_long_listings_are_whole(s3, monkeypatch):
    ask = remote.S3Url._list_keys
    monkeypatch.setattr(
        remote.S3Url,
        "_list_keys",
        lambda self, **page: ask(self, **{"MaxKeys": 3, **page}),
    )
    s3.put("plates", {f"many/{number}": b"" for number in range(10)})
    assert len(Storage().list("s3://plates/many")) == 10
    Storage().remove("s3://plates/many")
    assert not Storage().is_folder("s3://plates/many")


HIDDEN = (
    ".AppleDouble",
    ".snapshot/daily",
    ".Trash-0/files/P",
    "@eaDir",
    "#recycle/P",
    "$RECYCLE.BIN",
    "__MACOSX",
    "lost+found",
)


def test_hidden_folders_are_not_listed_unless_asked_for(s3, tmp_path):
    names = ["P/a.tif", *(f"P/{folder}/a.tif" for folder in HIDDEN)]
    s3.put("plates", dict.fromkeys([f"hidden/{name}" for name in names], b"x"))
    for name in names:
        path = tmp_path / "hidden" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    for root in ("s3://plates/hidden", str(tmp_path / "hidden")):
        assert Storage().list(root) == [f"{root}/P/a.tif"]
        # A backup is measured where somebody asks for it.
        backup = f"{root}/P/.snapshot"
        assert Storage().list(backup) == [f"{backup}/daily/a.tif"]


def test_links_lead_to_no_file_twice(tmp_path):
    root = tmp_path / "screen"
    for name in ("screen/P/a.tif", "other/Q/b.tif", "other/c.tif"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    links = {
        "P/circle": "..",
        "P/above": "../..",
        "latest": "P",
        "itself": "itself",
        "P/same.tif": "a.tif",
        "Q": "../other/Q",
        "Q_again": "../other/Q",
        "P/elsewhere.tif": "../../other/c.tif",
        "P/gone.tif": "nothing.tif",
    }
    for link, target in links.items():
        (root / link).symlink_to(target)
    expected = ["P/a.tif", "P/elsewhere.tif", "P/gone.tif", "Q/b.tif", "itself"]
    assert Storage().list(root) == [f"{root}/{name}" for name in expected]


def test_a_folder_that_cannot_be_listed_is_named(tmp_path, monkeypatch):
    (tmp_path / "P").mkdir()

    def scan(path):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("stratonet.files.listing.os.scandir", scan)
    with pytest.raises(PermissionError, match="P cannot be listed: Permission denied"):
        Storage().list(tmp_path / "P")


def test_names_are_literal(folder):
    place = Storage()
    for name in (
        "c d.tif",
        "c+d.tif",
        "c#d.tif",
        "c?d.tif",
        "c%2Fd.tif",
        "[c]*.tif",
        "ü.tif",
        "c?versionId=1",
    ):
        url, others = (
            f"{folder}/odd/{name}",
            [f"{folder}/odd/c", f"{folder}/odd/cc.tif"],
        )
        for one in (*others, url):
            place.write(one, one.encode())
        assert place.read(url) == url.encode()
        assert place.list(f"{folder}/odd") == sorted([url, *others])
        place.remove(url)
        assert place.list(f"{folder}/odd") == others


@pytest.mark.parametrize("keep", [b"before", None])
def test_a_full_disk_is_said_and_leaves_what_was_there(tmp_path, monkeypatch, keep):
    path = tmp_path / "a" / "b"
    if keep:
        Storage().write(path, keep)

    def full(self, content):
        self.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match=f"{path} cannot be written: No space"):
        Storage().write(path, b"new")
    assert list(path.parent.iterdir()) == ([path] if keep else [])


def test_a_folder_that_vanishes_is_made_again(tmp_path, monkeypatch):
    replace, calls = storage.os.replace, []

    def vanishing(source, target):
        calls.append(source)
        if len(calls) == 1:
            storage.shutil.rmtree(tmp_path / "units")
        replace(source, target)

    monkeypatch.setattr(storage.os, "replace", vanishing)
    (tmp_path / "unit").write_bytes(b"unit")
    Storage().write_file(tmp_path / "units" / "unit", tmp_path / "unit")
    assert len(calls) == 2 and Storage().read(tmp_path / "units" / "unit") == b"unit"


def test_a_file_is_copied_where_it_cannot_be_moved(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(storage.os, "link", refuse)
    (tmp_path / "a").write_bytes(b"a")
    Storage().write_file(tmp_path / "new" / "b", tmp_path / "a")
    assert Storage().list(tmp_path) == [str(tmp_path / "new" / "b")]


@pytest.mark.parametrize("how", [SLOW_DOWN, (500, "InternalError"), RESET, TRUNCATED])
@pytest.mark.parametrize("kind", ["s3", "http"])
def test_what_passes_is_tried_again(s3, how, kind):
    content = bytes(10**5)
    s3.put("plates", {"t.tif": content})
    url = "s3://plates/t.tif" if kind == "s3" else f"{s3.endpoint}/plates/t.tif"
    failing = s3.fail(how, "t.tif", times=3)
    assert Storage().read(url) == content and failing.happened == 3
    failing.times = float("inf")
    with pytest.raises(Unreachable, match="t.tif cannot be reached: http://127.0.0.1"):
        Storage().read(url)
    # aiohttp itself repeats what a connection that was open before did not answer.
    assert failing.happened - 3 == remote.ATTEMPTS * (1 if how != RESET else 2)


def test_writing_is_tried_again_and_leaves_nothing_half(s3, tmp_path):
    failing = s3.fail(SLOW_DOWN, "new", times=2, method="PUT")
    Storage().write("s3://plates/new", b"whole")
    assert s3.get("plates", "new") == b"whole" and failing.happened == 2
    failing = s3.fail(RESET, "other", method="PUT")
    (tmp_path / "file").write_bytes(b"whole")
    with pytest.raises(Unreachable, match="s3://plates/other"):
        Storage().write_file("s3://plates/other", tmp_path / "file")
    assert s3.get("plates", "other") is None and (tmp_path / "file").exists()


def test_waits_are_short():
    waits = [
        [remote.WAIT(SimpleNamespace(attempt_number=number)) for number in range(1, 5)]
        for _ in range(100)
    ]
    assert (
        all(5 < sum(wait) < 8 for wait in waits)
        and len({sum(wait) for wait in waits}) > 50
    )


def test_a_file_that_is_replaced_while_it_is_read_is_refused(server, monkeypatch):
    for name, value in server.env.items():
        monkeypatch.setenv(name, value)
    server.put("plates", {"large.czi": b"before"})
    with Storage().open("s3://plates/large.czi") as file:
        assert file.read(3) == b"bef"
        server.put("plates", {"large.czi": b"behind"})
        with pytest.raises(FileNotFoundError, match="large.czi was replaced while it"):
            file.read(3)


def test_a_dead_endpoint_is_said_at_once(server, monkeypatch):
    for name, value in server.env.items():
        monkeypatch.setenv(name, value)
    dead = ("http://127.0.0.1:9", "http://s3.invalid")

    def check(place, url):
        start = time.perf_counter()
        with pytest.raises(Unreachable) as error:
            place.check(url)
        # Without a pause of seconds before each of several tries.
        assert time.perf_counter() - start < 20
        return str(error.value)

    with ThreadPoolExecutor(4) as pool:
        said = list(
            pool.map(
                check,
                [*map(Storage, dead), Storage(), Storage()],
                ["s3://plates/a"] * 2 + [f"{x}/a" for x in dead],
            )
        )
    for endpoint, text in zip(dead * 2, said):
        assert re.fullmatch(
            f".*/a cannot be reached: {endpoint} sent .*Check endpoint, network .*",
            text,
        ), text


@pytest.mark.parametrize(
    "how, advice",
    [
        ((400, "ExpiredToken"), "Renew your AWS credentials"),
        ((403, "InvalidAccessKeyId"), "Renew your AWS credentials"),
        ((403, "SignatureDoesNotMatch"), "Renew your AWS credentials"),
        ((403, "RequestTimeTooSkewed"), "Set the clock"),
        ((301, "PermanentRedirect"), "another region"),
        ((404, "NoSuchBucket"), "Check the bucket's name"),
        ((503, "ServiceUnavailable"), "try again later"),
    ],
)
def test_what_is_wrong_with_the_place_stops_everything(s3, how, advice):
    s3.fail(how)
    place = Storage()
    calls = [
        place.read,
        place.exists,
        place.list,
        place.is_folder,
        place.remove,
        place.check,
        place.open,
    ]
    calls += [
        lambda url: place.write(url, b""),
        lambda url: place.check(url, writing=True),
    ]
    for call in calls:
        with pytest.raises(
            Unreachable,
            match=(
                f"s3://plates/a cannot be reached: {s3.endpoint} answered"
                f" {how[1]}.*{advice}"
            ),
        ):
            call("s3://plates/a")


def test_a_refused_file_is_one_file(s3):
    s3.fail(DENIED, "ab.tif")
    for call in (Storage().read, Storage().exists, Storage().open):
        with pytest.raises(
            PermissionError,
            match=r"s3://plates/ab.tif: .* refuses access \(AccessDenied\)",
        ) as error:
            call("s3://plates/ab.tif")
        assert not isinstance(error.value, Unreachable)
    assert Storage().read("s3://plates/empty") == b""


def test_check_tells_a_missing_file_from_a_place_that_refuses(s3):
    place = Storage()
    for url in (
        "s3://plates",
        "s3://plates/a",
        "s3://plates/none",
        f"{s3.endpoint}/plates/none",
    ):
        place.check(url)
    with pytest.raises(
        Unreachable, match="none/a cannot be reached: .* answered NoSuchBucket"
    ):
        place.check("s3://none/a")
    listing = s3.fail(DENIED, "list-type")
    place.check("s3://plates/empty")  # may be read, and not listed
    assert not place.is_folder("s3://plates/a")
    s3.fail(DENIED, "/none")
    for url in ("s3://plates/none", f"{s3.endpoint}/plates/none"):
        with pytest.raises(Unreachable, match="refuses access"):
            place.check(url)
    listing.times = 0
    place.check("s3://plates/none")  # a key refused, in a bucket that may be listed


def test_check_tells_whether_a_folder_can_be_written(s3, tmp_path):
    Storage().check("s3://plates/new", writing=True)
    assert b"<Upload>" not in s3._forward("GET", "/plates?uploads")[2]
    s3.fail(DENIED, "uploads", method="POST")
    with pytest.raises(Unreachable, match="s3://plates/new.* refuses access"):
        Storage().check("s3://plates/new", writing=True)
    (tmp_path / "file").write_bytes(b"")
    for path in (tmp_path / "file", tmp_path / "file" / "folder"):
        with pytest.raises(Unreachable, match=f"{path} cannot be written to: "):
            Storage().check(path, writing=True)


def test_requests_are_signed_where_there_are_credentials(s3, new, monkeypatch):
    Storage().read("s3://plates/empty")
    Storage(anonymous=True).read("s3://plates/empty")
    Storage(anonymous=True).write("s3://plates/new", b"")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    Storage().read("s3://plates/empty")  # this process has its credentials
    forget()
    Storage().read("s3://plates/empty")
    assert [key for *_, key in s3.requests] == [
        SECRETS[0],
        None,
        None,
        SECRETS[0],
        None,
    ]


def test_the_region_is_taken_from_the_environment(s3, new, monkeypatch):
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    regions = [
        place._locate("s3://plates/a")._open_files(False).s3.meta.region_name
        for place in (Storage(), Storage(region="x"))
    ]
    assert regions == ["eu-central-1", "x"]


def test_a_bucket_that_refuses_signed_requests_is_read_anonymously(s3):
    s3.put("others", PLATE)
    refusing = s3.fail((403, "InvalidAccessKeyId"), "/plates", key_id=SECRETS[0])
    place = Storage()

    def asked():
        keys = [key for *_, key in s3.requests]
        s3.requests.clear()
        return keys

    assert place.read("s3://plates/empty") == b"" and asked() == [SECRETS[0], None]
    assert (
        place.list("s3://plates/a")
        and place.is_folder("s3://plates/a")
        and asked() == [None, None]
    )
    assert not place.exists("s3://plates/none") and asked() == [None]
    assert place.read("s3://others/empty") == b"" and asked() == [SECRETS[0]]
    with pytest.raises(Unreachable, match="InvalidAccessKeyId"):
        place.write("s3://plates/new", b"")
    assert asked() == [SECRETS[0]]
    refusing.times = 0
    s3.fail(DENIED, "ab.tif", times=1)  # what was public is no more
    assert place.read("s3://plates/ab.tif") and asked() == [None, SECRETS[0]]


def test_credentials_are_looked_for_once_and_one_client_serves_all_threads(
    s3, new, monkeypatch
):
    from botocore.session import Session

    looked, get = [], Session.get_credentials
    monkeypatch.setattr(
        Session,
        "get_credentials",
        lambda self: looked.append(threading.get_ident()) or get(self),
    )
    s3.put("plates", {f"t/{number}": b"%d" % number * 1000 for number in range(64)})
    with ThreadPoolExecutor(64) as pool:
        contents = list(
            pool.map(
                Storage().read, (f"s3://plates/t/{number}" for number in range(64))
            )
        )
    assert contents == [b"%d" % number * 1000 for number in range(64)]
    assert len(looked) == 1 and clients.open_s3.cache_info().misses == 1


def test_web_servers_are_read(s3):
    s3.put("plates", {"c d.tif": b"space"})
    url = f"{s3.endpoint}/plates/c d.tif"
    assert (
        Storage().read(url) == b"space"
        and Storage().exists(url)
        and not Storage().is_folder(url)
    )
    with Storage().open(url) as file:
        assert file.seek(2) == 2 and file.read() == b"ace"
    signed = "/plates/c%20d.tif?response-content-type=image%2Ftiff&X-Sig=a%2Bb%3D"
    assert (
        Storage().read(s3.endpoint + signed) == b"space"
        and s3.requests[-1][1] == signed
    )
    assert (
        Storage().read(s3.endpoint + signed.replace("%20", " ")) == b"space"
        and s3.requests[-1][1] == signed
    )
    assert not Storage().exists(f"{s3.endpoint}/plates/none")
    for call in (
        Storage().list,
        Storage().remove,
        lambda url: Storage().write(url, b""),
        lambda url: Storage().check(url, True),
    ):
        with pytest.raises(
            ValueError, match="c d.tif can(not be listed| only be read)"
        ):
            call(url)


@pytest.mark.parametrize(
    "status, kind",
    [
        (404, FileNotFoundError),
        (410, FileNotFoundError),
        (401, PermissionError),
        (403, PermissionError),
        (502, Unreachable),
    ],
)
def test_web_servers_say_what_is_wrong(s3, status, kind):
    s3.fail((status, ""), "gone.tif")
    with pytest.raises(kind, match=f"{s3.endpoint}/plates/gone.tif"):
        Storage().read(f"{s3.endpoint}/plates/gone.tif?X-Sig=1")


@pytest.mark.slow
def test_no_error_tells_a_secret(s3, new, monkeypatch):
    token, password, signature = "TOKEN0STRATONET", "pass0word", "signature0x"

    class NoError(Exception):
        pass

    def silent(call, url):
        """It fails, and neither the error nor its traceback tell a secret."""
        try:
            call(url)
        except (OSError, ValueError) as error:
            text = "".join(
                traceback.format_exception(type(error), error, error.__traceback__)
            ) + repr(error)
            assert not [
                secret
                for secret in (*SECRETS, token, password, signature)
                if secret in text
            ], text
            assert "direct cause" not in text and "During handling" not in text
        else:
            raise NoError(redact_url(url))

    monkeypatch.setenv("AWS_SESSION_TOKEN", token)
    monkeypatch.setattr(remote._RemoteUrl, "attempts", 2)
    monkeypatch.setattr(remote, "CHECKS", 1)
    host = s3.endpoint.replace("http://", f"http://somebody:{password}@")
    dead = f"http://somebody:{password}@127.0.0.1:9"
    query = f"?X-Amz-Credential={SECRETS[0]}%2Fus&X-Amz-Signature={signature}"
    failing = [
        (Storage(), f"{host}/plates/{name}{query}")
        for name in ("none", "denied", "slow", "reset", "truncated", "gone")
    ]
    failing += [
        (Storage(), f"s3://plates/{name}")
        for name in ("none", "denied", "slow", "reset", "truncated", "expired")
    ]
    failing += [
        (Storage(), url)
        for url in (
            f"{dead}/a{query}",
            f"http://somebody:{password}@host:port/a{query}",
        )
    ]
    failing += [
        (Storage(), url)
        for url in (
            f"s3://{SECRETS[0]}:{password}@plates/a",
            f"ftp://me:{password}@host/a{query}",
        )
    ]
    codes = {"denied": DENIED, "slow": SLOW_DOWN, "expired": (400, "ExpiredToken")}
    for name, how in {
        **codes,
        "reset": RESET,
        "truncated": TRUNCATED,
        "gone": (410, ""),
    }.items():
        s3.fail(how, name)
    s3.put("plates", {"truncated": bytes(10**5)})
    for place, url in failing:
        silent(place.read, url)
        for call in (
            place.check,
            place.list,
            place.exists,
            partial(place.write, content=b""),
        ):
            with suppress(NoError):
                silent(call, url)
    for endpoint in (
        f"http://somebody:{password}@127.0.0.1:9",
        f"somebody:{password}@host",
    ):
        forget()
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        silent(Storage().read, "s3://plates/a")
        silent(Storage, endpoint)


@pytest.mark.slow
def test_it_travels_without_credentials_and_lists_at_once_what_others_write(s3):
    place = Storage(s3.endpoint, "eu-west-1")
    assert place.list("s3://plates/new") == []
    sent = pickle.dumps(place)
    assert pickle.loads(sent) == place and not any(
        secret in repr(place) + str(sent) for secret in SECRETS
    )
    code = (
        "import pickle, sys\nplace = pickle.loads(bytes.fromhex(sys.argv[1]))\nfor name"
        " in '12':\n    place.write('s3://plates/new/' + name,"
        " place.read('s3://plates/ab.tif'))\n    print(name, flush=True)\n   "
        " sys.stdin.readline()"
    )
    with python(code, sent.hex()) as other:
        for count in (1, 2):
            assert other.stdout.readline() == f"{count}\n"
            assert len(place.list("s3://plates/new")) == count and place.is_folder(
                "s3://plates/new"
            )
            other.stdin.write("\n")
            other.stdin.flush()
    assert place.read("s3://plates/new/2") == b"beside"


def test_local_files_need_no_library_for_remote_ones(tmp_path):
    code = (
        "import json, sys\nplace, folder = Storage(), sys.argv[1]\nplace.check(folder,"
        " writing=True)\nplace.write(folder + '/a', b'a')\nassert place.read(folder +"
        " '/a') and place.list(folder) and place.open(folder +"
        " '/a')\nplace.remove(folder)\nprint(json.dumps([name for name in sys.modules"
        " if '.' not in name]))"
    )
    loaded = set(json.loads(python(code, str(tmp_path / "new")).communicate()[0]))
    assert not loaded & {"s3fs", "botocore", "aiobotocore", "aiohttp", "fsspec"}


@pytest.mark.parametrize(
    "url, text",
    [
        (
            "https://me:word@host:8/a%20b.tif?X-Amz-Signature=1#page",
            "https://host:8/a%20b.tif",
        ),
        ("HTTP://host?key=1", "HTTP://host"),
        ("gs://host/a?key=1", "gs://host/a"),
        ("s3://bucket/a?b#c@d.tif", "s3://bucket/a?b#c@d.tif"),
        ("s3://key:secret@bucket/a", "s3://bucket/a"),
        ("/data/a?b#c@d.tif", "/data/a?b#c@d.tif"),
        (Path("/data/a"), "/data/a"),
        ("s3://bucket/a.tif?X-Amz-Signature=1", "s3://bucket/a.tif"),
        (Path("https://me:word@host/a?key=1"), "https:/host/a"),
        ("s3a://key:secret@bucket/a", "s3a://bucket/a"),
        ("git+https://me:word@host/a?key=1", "git+https://host/a"),
        ("https://me:wo/rd@host/a", "https://host/a"),
        ("https://me:wo#rd@host/a", "https://host/a"),
        ("https://host/plate#1/a@b.tif?key=1", "https://host/plate#1/a@b.tif"),
        ("https://host/a.tif#token=1", "https://host/a.tif"),
        ("C:/Data/me@home/a?b.tif", "C:/Data/me@home/a?b.tif"),
    ],
)
def test_shown(url, text):
    assert redact_url(url) == text

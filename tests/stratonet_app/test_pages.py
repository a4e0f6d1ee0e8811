"""The pages, asked without a browser: what is chosen, what is refused."""

import os
import re
from html import unescape

import numpy as np
import pytest
import tifffile

from stratonet_app.runs import FINISHED, State, prepare_run


def read_text(answer):
    """What is read on a page, without tags."""
    text = re.sub(r"<[^>]+>", " ", answer.text)
    return unescape(re.sub(r"\s+", " ", text))


def test_browsing_begins_where_the_app_was_started(client, plate, tmp_path):
    (plate / "Images").mkdir()
    text = read_text(client.get("/"))
    assert str(tmp_path) in text and "P1/" in text
    assert "Images/" in read_text(client.get("/", params={"folder": "P1"}))


@pytest.mark.parametrize("folder", ["..", "/etc", "P1/../..", "gone", "a\0b"])
def test_browsing_does_not_leave_it(client, plate, folder):
    answer = client.get("/", params={"folder": folder})
    assert answer.status_code == 404
    assert "passwd" not in answer.text and "Choose this folder" not in answer.text


@pytest.mark.parametrize("path", ["gone", "", "s3://bucket", "notes.doc"])
def test_what_cannot_be_chosen(client, desk, tmp_path, path):
    (tmp_path / "notes.doc").touch()
    answer = client.post("/choose", data={"path": path})
    assert answer.status_code == 422 and 'role="alert"' in answer.text
    assert not desk.drafts
    assert f'value="{path}"' in answer.text


def test_names_of_files_are_texts(client, tmp_path):
    odd = tmp_path / "<script>alert(1)</script>&"
    odd.mkdir(parents=True)
    assert "<script>alert" not in client.get("/").text
    answer = client.post("/choose", data={"path": str(odd)})
    assert "<script>alert" not in answer.text and "holds no images" in answer.text


def test_names_that_are_no_text_and_odd_ones(client, plate, tmp_path):
    (plate / os.fsdecode(b"\xff.tif")).touch()
    (tmp_path / os.fsdecode(b"\xffzzz")).mkdir()
    odd = tmp_path / "a#b?c&d e%20%é"
    plate.rename(odd)
    first = client.get("/")
    assert "zzz" not in first.text
    (link,) = re.findall(r'href="[^"?]*(/\?folder=a[^"]*)"', first.text)
    assert str(odd) in unescape(client.get(unescape(link)).text)
    answer = client.post("/choose", data={"path": str(odd)})
    assert "12 (A01" in answer.text and "?.tif" in answer.text


def test_a_pattern_is_corrected(client, draft, plate):
    (plate / "B03-overview.tif").write_bytes(b"")
    text = read_text(client.get(f"{draft}/images"))
    assert "Plates 1 (P1)" in text and "Channels 2 (w1, w2)" in text
    assert "1 image file was skipped" in text and "B03-overview.tif" in text
    wrong = client.post(f"{draft}/images", data={"pattern": "("})
    assert "is not a regular expression" in wrong.text and "Channels" not in wrong.text
    # What was typed stays, and other pages lead back to it.
    assert 'value="("' in wrong.text
    assert client.get(f"{draft}/preview").url.path.endswith(f"{draft}/images")
    mended = r"x_(?P<Well>[A-Z]\d\d)_s1_(?P<Channel>w1)"
    right = client.post(f"{draft}/images", data={"pattern": f" {mended} "})
    assert "Channels 1 (w1)" in read_text(right)


def test_an_image_set_is_looked_at(client, draft, plate):
    tifffile.imwrite(
        plate / "x_A01_s1_w1.tif",
        np.arange(60_000, dtype=np.uint16).reshape(200, 300),
    )
    (plate / "x_A01_s1_w2.tif").write_bytes(b"no image")
    answer = client.get(f"{draft}/preview")
    assert answer.text.count("<rect") == 6 and "P1 A01 1" in answer.text
    assert "cannot be read as an image" in answer.text
    form = {"recipe": "whole224/mean", "grey_range": "plate", "number": "2"}
    answer = client.post(f"{draft}/preview", data=form)
    assert "P1 A02 1" in answer.text and "<rect" not in answer.text
    text = read_text(client.get(f"{draft}/start"))
    assert "--recipe whole224/mean --grey-range plate" in text
    # Nothing but what is offered, and no image set that is not there.
    form = {"recipe": "x; rm", "grey_range": "/etc/passwd", "number": "999999999999"}
    answer = client.post(f"{draft}/preview", data=form)
    assert "P1 D03 1" in answer.text
    text = read_text(client.get(f"{draft}/start"))
    assert "--recipe" not in text and "--grey-range" not in text


def test_controls_and_plate_map(client, draft, tmp_path):
    form = {"negative": "A01,B01,C01,D01", "positive": "H12"}
    wrong = client.post(f"{draft}/controls", data=form)
    assert wrong.status_code == 422 and "There is no well H12" in wrong.text
    assert 'value="H12"' in wrong.text
    form["positive"] = "A02:D02"
    assert client.post(f"{draft}/controls", data=form).url.path.endswith(
        f"{draft}/start"
    )
    text = read_text(client.get(f"{draft}/start"))
    assert "--negcon-wells A01:D01 --poscon-wells A02:D02" in text
    path = tmp_path / "map.csv"
    path.write_text("well,drug,dose\nA03,taxol,1\nB03,taxol,3\n")
    answer = client.post(f"{draft}/controls", data={**form, "metadata": "map.csv"})
    # Its columns are chosen next.
    assert answer.url.path.endswith(f"{draft}/controls")
    assert "map.csv: joined by well, 2 of 12 rows." in read_text(answer)
    form |= {"metadata": str(path), "compound": "Metadata_drug", "dose": "nothing"}
    answer = client.post(f"{draft}/controls", data=form)
    text = read_text(answer)
    assert f"--metadata {path} --compound Metadata_drug --neg" in text
    for metadata in ("gone.csv", ".", str(tmp_path / "P1" / "x_A01_s1_w1.tif")):
        answer = client.post(f"{draft}/controls", data={**form, "metadata": metadata})
        assert answer.status_code == 422


def test_a_form_that_is_not_sent_by_its_button_starts_nothing(client, draft, tmp_path):
    answer = client.post(f"{draft}/start", data={"output": "here"})
    assert f"--output {tmp_path}/here/features" in read_text(answer)
    assert not (tmp_path / "here").exists()


@pytest.mark.parametrize("output", ["P1/out", "P1", "mine", "file", "file/out"])
def test_folders_that_are_refused(client, draft, tmp_path, output):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.doc").touch()
    (tmp_path / "file").touch()
    form = {"output": output, "press": "start"}
    answer = client.post(f"{draft}/start", data=form)
    assert answer.status_code == 422 and 'role="alert"' in answer.text
    assert os.listdir(tmp_path / "mine") == ["thesis.doc"]


def test_a_folder_of_another_run_is_refused(client, draft, desk, tmp_path):
    prepare_run(tmp_path / "out", desk.drafts[draft[7:]].choices, 12)
    client.post(f"{draft}/preview", data={"recipe": "whole224/mean"})
    form = {"output": "out", "press": "start"}
    answer = client.post(f"{draft}/start", data=form)
    assert answer.status_code == 422 and "holds a run of" in answer.text


@pytest.fixture
def finished(client, draft, desk, tmp_path):
    """A run with a report, and files that nobody has chosen."""
    run = prepare_run(tmp_path / "out", desk.drafts[draft[7:]].choices, 12)
    run.write_state(State(FINISHED, incomplete=True))
    (run.folder / "report" / "numbers").mkdir(parents=True)
    run.report.write_text("<title>A report</title>")
    (run.folder / "report" / "numbers" / "hits.csv").write_text("a,b\n")
    (tmp_path / "secret.txt").write_text("secret")
    (run.folder / "report" / "out.txt").symlink_to(tmp_path / "secret.txt")
    (run.folder / "report" / "out").symlink_to(tmp_path)
    return run


def test_a_run_is_found_by_its_folder(client, finished, keys):
    assert str(finished.folder) in read_text(client.get("/"))
    answer = client.post("/choose", data={"path": str(finished.folder)})
    path = answer.url.path.removeprefix(keys.home)
    assert path.startswith("/run/")
    text = read_text(answer)
    assert "Finished" in text and "Some images could not be measured" in text
    changed = client.post(f"{path}/change")
    assert changed.url.path.endswith("/controls")
    # Into the same folder: nothing is measured anew.
    start = client.get(str(changed.url).replace("controls", "start"))
    assert f"--output {finished.folder}/features" in read_text(start)


@pytest.fixture
def report(client, finished, keys):
    """Where the report of the run is, as its page links to it."""
    page = client.post("/choose", data={"path": str(finished.folder)}).text
    (address,) = re.findall(r'href="(/report-[^"]+)/report.html"', page)
    return f"{keys.origin}{address}"


def test_a_report_is_a_page_of_another_origin(stranger, report, keys):
    """It may come from anywhere, its scripts run, and it gets no cookie."""
    stranger.cookies.clear()
    headers = {"Origin": "null", "Sec-Fetch-Site": "cross-site"}
    page = stranger.get(f"{report}/report.html", headers=headers)
    assert "A report" in page.text
    policy = page.headers["content-security-policy"]
    assert "sandbox" in policy and "allow-same-origin" not in policy
    # Its key opens reports alone, and only under the right name of the machine.
    assert (
        stranger.get(f"{report}/report.html", headers={"Host": "x"}).status_code == 421
    )
    assert stranger.post(f"{report}/report.html").status_code == 403
    assert stranger.get(f"{keys.origin}{keys.reports}").status_code == 404
    assert stranger.get(f"{report}/../../run/x").status_code in (403, 404)
    assert stranger.get(report.replace("report-", "report-x")).status_code == 403


def test_a_folder_of_the_report_that_leads_out(client, report, finished, tmp_path):
    (finished.folder / "report").rename(tmp_path / "elsewhere")
    (finished.folder / "report").symlink_to(tmp_path / "elsewhere")
    assert client.get(f"{report}/report.html").status_code == 404


def test_nothing_but_the_report_is_read(client, report, tmp_path):
    assert client.get(f"{report}/numbers/hits.csv").text == "a,b\n"
    for path in (
        "../_app/run.json",
        "..%2f_app%2frun.json",
        "%2e%2e/%2e%2e/secret.txt",
        "....//secret.txt",
        "..%5c_app",
        "%2fetc%2fpasswd",
        "out.txt",
        "out/secret.txt",
        "numbers",
        "",
        "gone",
        "a%00b",
    ):
        answer = client.get(f"{report}/{path}")
        assert answer.status_code == 404, path
        assert "secret" not in answer.text.replace(path, "")


@pytest.mark.parametrize(
    "path", ["/run/0123456789ab", "/draft/x/images", "/draft/x/start", "/nothing"]
)
def test_what_was_not_chosen_here(client, finished, path):
    answer = client.get(path)
    assert answer.status_code == 404 and "To the first page" in answer.text


def test_a_run_whose_file_is_damaged(client, finished):
    (finished.private / "run.json").write_text("{")
    answer = client.post("/choose", data={"path": str(finished.folder)})
    assert answer.status_code == 422 and "run.json cannot be read" in answer.text

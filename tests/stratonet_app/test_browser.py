"""From an empty folder to the report in a real browser, and a run that fails."""

import threading
from itertools import product

import pytest
import uvicorn
from app_plates import write_plate
from browser_pages import launch

playwright_api = pytest.importorskip("playwright.sync_api", reason="it drives chromium")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def browser():
    with playwright_api.sync_playwright() as playwright:
        browser = launch(playwright)
        yield browser
        browser.close()


@pytest.fixture
def address(tmp_path, helper):
    """The app at work in a thread: the address to open."""
    from stratonet_app.desk import Desk
    from stratonet_app.guard import Keys
    from stratonet_app.server import make_app, open_listener

    listener = open_listener(0)
    keys = Keys(listener.getsockname()[1], lambda address: None)
    app = make_app(Desk(tmp_path, helper), keys)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, args=[[listener]])
    thread.start()
    yield keys.address
    server.should_exit = True
    thread.join()


@pytest.fixture
def page(browser, address):
    """The opened page; faults of scripts, and what is asked elsewhere, fail."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    faults = []
    home = address.partition("?")[0]
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda request: check(request.url))

    def check(url):
        if not url.startswith((home, "data:", "blob:")):
            faults.append(url)

    page.goto(address)
    # Of the address nothing stays that could be copied.
    assert page.url.startswith(home) and "ticket" not in page.url
    yield page
    context.close()
    assert faults == []


def choose(page, path):
    page.get_by_label("Folder or table").fill(str(path))
    page.get_by_role("button", name="Continue").click()


def test_from_an_empty_folder_to_the_report(page, tmp_path):
    (tmp_path / "P1").mkdir()
    page.reload()
    page.get_by_role("link", name="P1/").click()
    page.get_by_role("button", name="Choose this folder").click()
    assert "holds no images" in page.get_by_role("alert").inner_text()
    write_plate(tmp_path)
    # The table changes while the pattern is typed.
    found = page.locator("#source-content")
    pattern = page.get_by_label("How the files are named")
    pattern.press_sequentially(r"x_(?P<Well>")
    found.get_by_text("is not a regular expression").wait_for()
    pattern.fill(r"x_(?P<Well>[A-Z]\d\d)_s(?P<Site>\d)_(?P<Channel>w1)")
    found.get_by_text("1 (w1)", exact=True).wait_for()
    pattern.fill("")
    found.get_by_text("2 (w1, w2)", exact=True).wait_for()
    assert found.get_by_role("row").count() == 9

    page.get_by_role("link", name="Next").click()
    assert page.get_by_role("img").count() == 2
    page.get_by_label("How images are shown").select_option("whole224/mean")
    page.get_by_text("about 24 for all").wait_for()
    page.get_by_role("link", name="Next").click()

    # A column by the mouse, the others by keys alone.
    page.get_by_role("button", name="column 1", exact=True).click()
    well = page.get_by_role("button", name="A01")
    assert well.get_attribute("aria-label") == "A01, negative control"
    page.get_by_role("button", name="A02").focus()
    for _ in range(4):
        page.keyboard.press("p")
        page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("n")
    page.keyboard.press("Delete")
    assert page.locator("#negative").input_value() == "A01:D01"
    assert page.locator("#positive").input_value() == "A02:D02"
    page.get_by_role("button", name="Next").click()

    page.get_by_label("Folder of the results").fill("out")
    command = page.locator("#commands code").last
    page.get_by_text("out/report").wait_for()
    assert "--negcon-wells A01:D01 --poscon-wells A02:D02" in command.inner_text()
    page.get_by_role("button", name="Start", exact=True).click()
    page.get_by_text("of 12 wells measured").wait_for()
    # It goes on when the page is left, and is found again by its folder.
    page.goto("about:blank")
    page.go_back()
    page.get_by_role("link", name="StratoNet").click()
    page.get_by_role("button", name=str(tmp_path / "out")).click()
    page.get_by_text("Finished").wait_for(timeout=120_000)
    assert "12 measured" in page.locator(".log").inner_text()
    with page.expect_popup() as popup:
        page.get_by_role("link", name="Open the report").click()
    report = popup.value
    # Its scripts run, apart from the app, and its links lead to its files.
    report.wait_for_selector("figure[data-name=map] .scatterlayer path.point")
    assert "Z' 0." in report.locator(".answer").inner_text()
    assert report.evaluate("origin") == "null"
    picture = report.evaluate("document.querySelector('a.picture').href")
    report.evaluate("address => { location = address; }", picture)
    report.wait_for_url("**/figures/*.png")
    assert report.evaluate("document.images[0].naturalWidth") > 100


def test_a_run_that_fails_says_why_and_is_resumed(page, tmp_path):
    plate = write_plate(tmp_path, ["A01", "A02"], ["w1"])
    choose(page, plate)
    page.get_by_role("link", name="Preview").click()
    page.get_by_label("How images are shown").select_option("whole224/mean")
    page.get_by_text("about 2 for all").wait_for()
    page.get_by_role("link", name="Start").click()
    # Between choosing and starting, somebody moves the images.
    plate.rename(tmp_path / "moved")
    page.get_by_role("button", name="Start", exact=True).click()
    page.get_by_text("Failed").wait_for(timeout=60_000)
    assert f"{plate} is not there" in page.locator(".log").inner_text()
    assert "exit status 1" in page.locator("#progress").inner_text()
    (tmp_path / "moved").rename(plate)
    page.get_by_role("button", name="Resume").click()
    page.get_by_text("Measuring the images").wait_for()
    page.get_by_role("button", name="Stop").click()
    page.get_by_role("button", name="Resume").wait_for(timeout=60_000)


def test_all_of_it_fits(page, tmp_path):
    choose(page, write_plate(tmp_path, ["A01", "P24"], ["w1"]))
    for step in ("Images", "Preview", "Controls", "Start"):
        page.get_by_role("link", name=step, exact=True).click()
        page.wait_for_load_state()
        for width, scheme in product((1280, 400), ("light", "dark")):
            page.set_viewport_size({"width": width, "height": 900})
            page.emulate_media(color_scheme=scheme)
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= width, (step, width)
            color = page.evaluate("getComputedStyle(document.body).backgroundColor")
            assert (color == "rgb(255, 255, 255)") == (scheme == "light")

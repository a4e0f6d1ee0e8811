"""The page in a real browser: pointed at, typed at, printed, without scripts."""

import pytest
from browser_pages import TREATMENTS, launch, write_small_page

playwright_api = pytest.importorskip("playwright.sync_api", reason="it drives chromium")

pytestmark = pytest.mark.slow

PANE = ".pane-well"


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write_small_page(tmp_path_factory.mktemp("page"))


@pytest.fixture(scope="module")
def browser():
    with playwright_api.sync_playwright() as playwright:
        browser = launch(playwright)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser, path):
    """Open the page; what the console says, and what is asked of a network, fails."""
    contexts, faults = [], []

    def open_page(width=1280, **options):
        size = {"width": width, "height": 900}
        context = browser.new_context(viewport=size, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: faults.append(message.text))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda request: check(request.url))
        page.goto(path.as_uri())
        if options.get("java_script_enabled", True) and width >= 600:
            page.wait_for_selector("figure[data-name=map] .scatterlayer path.point")
        return page

    def check(url):
        if not url.startswith((path.as_uri(), "data:", "blob:")):
            faults.append(url)

    yield open_page
    for context in contexts:
        context.close()
    assert faults == []


def find_point(page, figure, row, plot=0):
    """Where a row of a figure is drawn, on the screen."""
    name = f"figure[data-name={figure}]"
    page.locator(f"{name} .plots").scroll_into_view_if_needed()
    return page.evaluate(
        """([name, row, plot]) => {
          const figure = explore.figures[name];
          const div = figure.plots[plot];
          const box = div.getBoundingClientRect();
          const { xaxis, yaxis } = div._fullLayout;
          return [
            box.left + xaxis._offset + xaxis.l2p(figure.x[row]),
            box.top + yaxis._offset + yaxis.l2p(figure.y[row]),
          ];
        }""",
        [figure, row, plot],
    )


def read_marked(page):
    return page.evaluate("listMarked()").splitlines()


@pytest.mark.parametrize(
    ("width", "scheme"),
    [(1280, "light"), (1280, "dark"), (700, "dark"), (400, "light")],
)
def test_all_of_it_fits(visit, width, scheme):
    page = visit(width, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    color = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (color == "rgb(255, 255, 255)") == (scheme == "light")
    for name in ("map", "plates"):
        figure = page.locator(f"figure[data-name={name}]")
        assert figure.locator(".interactive").is_visible() == (width >= 600)
        assert figure.locator("a.picture").is_visible() == (width < 600)
    # Letters of the plates are those of the page: read in the dark, too.
    if width >= 600:
        ink = page.evaluate("getComputedStyle(document.body).color")
        letters = page.locator("figure[data-name=plates] .ytick text").first
        assert letters.evaluate("e => getComputedStyle(e).fill") == ink


@pytest.mark.parametrize(("figure", "plot"), [("map", 0), ("plates", 0), ("plates", 1)])
def test_pointing_shows_the_well_beside_a_control(visit, figure, plot):
    page = visit()
    page.mouse.move(*find_point(page, figure, 14, plot))
    pane = page.locator(f"figure[data-name={figure}] {PANE}")
    pane.get_by_text("P1 B03").first.wait_for()
    assert TREATMENTS[2] in pane.inner_text()
    assert "DNA is green." in pane.inner_text()
    alts = [image.get_attribute("alt") for image in pane.locator("img").all()]
    assert alts == ["P1 B03, this well", "P1 A01, a control"]
    widths = pane.locator("img").evaluate_all("all => all.map(i => i.naturalWidth)")
    assert widths == [16, 16]
    # A ring is around the same well in every figure.
    rings = page.evaluate(
        "Object.values(explore.figures).map(f => f.plots[0].layout.shapes.length)"
    )
    assert rings == [1, 1]


def test_a_well_without_a_picture_is_named(visit):
    page = visit()
    page.mouse.move(*find_point(page, "plates", 95))
    pane = page.locator(f"figure[data-name=plates] {PANE}")
    pane.get_by_text("P1 H12").first.wait_for()
    assert pane.locator("img").count() == 0 and TREATMENTS[3] in pane.inner_text()


def test_clicks_mark_and_the_list_is_copied(visit, path):
    page = visit()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.mouse.click(*find_point(page, "plates", 1))
    page.mouse.click(*find_point(page, "map", 14))
    assert read_marked(page) == ["P1\tA02\ttaxol 1", "P1\tB03\ttaxol 10"]
    pane = page.locator("figure[data-name=map] .pane")
    assert pane.locator("textarea").input_value().splitlines() == read_marked(page)
    pane.get_by_role("button", name="Copy").click()
    pane.get_by_text("2 marked wells copied.").wait_for()
    assert page.evaluate("navigator.clipboard.readText()").splitlines() == (
        read_marked(page)
    )
    page.mouse.click(*find_point(page, "map", 14))
    assert read_marked(page) == ["P1\tA02\ttaxol 1"]
    pane.get_by_role("button", name="Clear").click()
    assert read_marked(page) == [] and not pane.locator("textarea").is_visible()


def test_a_frame_marks_all_in_it(visit):
    page = visit()
    left, top = find_point(page, "plates", 13)  # B02
    right, bottom = find_point(page, "plates", 27)  # C04
    page.mouse.move(left - 9, top - 9)
    page.mouse.down()
    page.mouse.move(right, bottom, steps=4)
    page.mouse.move(right + 9, bottom + 9, steps=2)
    page.mouse.up()
    page.get_by_text("6 marked wells.").first.wait_for()
    wells = [line.split("\t")[1] for line in read_marked(page)]
    assert wells == ["B02", "B03", "B04", "C02", "C03", "C04"]


@pytest.mark.parametrize("treatment", ["taxol 10", TREATMENTS[3]])
def test_one_treatment_is_shown(visit, treatment):
    page = visit()
    choice = page.locator("figure[data-name=map] select.treatments")
    choice.select_option(treatment)
    shown = page.evaluate(
        """() => explore.figures.map.plots[0].data.flatMap((trace) =>
          [].concat(trace.marker.opacity || [])
            .map((opacity, i) => [opacity, trace.customdata[i]])
            .filter(([opacity]) => opacity === 1)
            .map(([_, row]) => explore.figures.map.well[row]))
          .map((well) => explore.wells.treatment[well])"""
    )
    assert set(shown) == {treatment} and len(shown) == 24
    # All choices of treatment are one.
    other = page.locator("figure[data-name=plates] select.treatments")
    assert other.input_value() == treatment
    page.locator(".gallery summary").click()
    assert page.locator(".gallery figure:visible").count() in (23, 24)
    assert page.locator(".gallery h3:visible").all_inner_texts() == [treatment]


def test_tables_are_sorted_and_lead_to_wells(visit):
    page = visit()
    table = page.locator("table").first

    def read(column):
        # The first has pictures.
        cells = table.locator(f"tbody tr td:nth-child({column + 1})")
        return cells.all_inner_texts()

    heading = table.get_by_role("columnheader")
    heading.nth(2).get_by_role("button").click()
    assert read(2) == ["1e-3", "0.02", "none"]
    heading.nth(2).get_by_role("button").press("Enter")
    assert read(2) == ["0.02", "1e-3", "none"]  # what has no number stays last
    assert heading.nth(2).get_attribute("aria-sort") == "descending"
    heading.nth(3).get_by_role("button").click()
    assert read(3) == ["9", "30", "1,200"]
    heading.nth(1).get_by_role("button").click()
    assert read(1) == [TREATMENTS[3], "taxol 1", "taxol 10"]
    table.get_by_role("button", name="taxol 10").click()
    pictures = page.locator(".table + .pictures img")
    assert pictures.count() == 9
    assert pictures.last.get_attribute("alt").endswith("control, P1 A01")
    page.get_by_role("button", name="Mark all 24").click()
    assert len(read_marked(page)) == 24
    table.get_by_role("button", name="taxol 10").click()
    assert pictures.count() == 0


def test_by_keyboard(visit):
    page = visit()
    page.locator("figure[data-name=plates] .plots").focus()
    said = page.locator(f"figure[data-name=plates] {PANE} .pane-name")
    for key, well in [
        ("ArrowRight", "A01"),
        ("ArrowRight", "A02"),
        ("ArrowDown", "B02"),
        ("ArrowLeft", "B01"),
        ("ArrowLeft", "B01"),
        ("ArrowUp", "A01"),
    ]:
        page.keyboard.press(key)
        assert said.inner_text() == f"P1 {well}"
    page.keyboard.press("Enter")
    assert read_marked(page) == [f"P1\tA01\t{TREATMENTS[0]}"]
    page.keyboard.press("Space")
    assert read_marked(page) == []
    page.locator("figure[data-name=map] .plots").focus()
    page.keyboard.press("ArrowRight")
    name = page.locator(f"figure[data-name=map] {PANE} .pane-name").inner_text()
    assert name != "P1 A01"
    # What has the focus is seen.
    outline = page.locator("figure[data-name=map] .plots").evaluate(
        "e => getComputedStyle(e).outlineStyle"
    )
    assert outline == "solid"


def test_every_choice_draws(visit):
    page = visit()
    for figure in ("map", "plates"):
        for select in page.locator(f"figure[data-name={figure}] .tools select").all():
            values = select.locator("option").evaluate_all(
                "all => all.map(o => o.value)"
            )
            for value in values:
                select.select_option(value)
            select.select_option(values[0])
    # Nothing of the library leads away from the page.
    titles = page.locator(".modebar-btn").evaluate_all(
        "all => [...new Set(all.map((one) => one.dataset.title))]"
    )
    assert (
        {"Lasso Select", "Box Select"}
        <= set(titles)
        <= {
            *("Zoom", "Pan", "Box Select", "Lasso Select", "Reset axes"),
        }
    )
    button = page.locator("figure[data-name=map]").get_by_role("button", name="Picture")
    button.click()
    assert page.locator("figure[data-name=map] a.picture").is_visible()
    assert not page.locator("figure[data-name=map] .plots").is_visible()
    button.click()
    assert page.locator("figure[data-name=map] .plots").is_visible()
    page.set_viewport_size({"width": 400, "height": 900})
    assert page.locator("figure[data-name=map] a.picture").is_visible()


def test_hits_have_thumbnails_beside_a_control(visit):
    page = visit()
    names = page.locator("td.thumbnails").evaluate_all(
        "cells => cells.map((cell) => [...cell.children].map((image) => image.alt))"
    )
    assert names == [
        ["P1 A03, this well", "P1 A01, a control"],
        ["P1 A02, this well", "P1 A01, a control"],
        [],
    ]
    caption = page.locator("table caption").first.inner_text()
    assert caption == "Three treatments. DNA is green."
    # Pictures have no order.
    assert page.locator("th.thumbnails button").count() == 0


def test_without_scripts_all_is_there(visit):
    page = visit(java_script_enabled=False)
    assert page.locator("figure > a.picture > img:visible").count() == 3
    assert page.locator(".interactive, .pane, table button").count() == 0
    assert page.locator(".gallery figure").count() == 95
    assert page.locator("table tbody tr").count() == 3
    assert page.locator("td.thumbnails img:visible").count() == 4


def test_narrow_screens_get_the_picture_itself(visit):
    page = visit(400)
    link = page.locator("figure[data-name=map] a.picture")
    assert link.get_attribute("href") == "figures/map.png"
    with page.context.expect_page() as opened:
        link.click()
    picture = opened.value
    picture.wait_for_load_state()
    assert picture.url.startswith("blob:")
    assert picture.evaluate("document.images[0].naturalWidth") == 1100


def test_printed_as_pictures(visit):
    page = visit(color_scheme="dark")
    page.emulate_media(media="print")
    assert page.locator("figure > a.picture > img:visible").count() == 3
    assert page.locator(".interactive:visible, .pane:visible").count() == 0
    ground = page.evaluate(
        "getComputedStyle(document.documentElement).getPropertyValue('--paper')"
    )
    assert ground.strip() == "#ffffff"
    assert page.pdf(format="A4").startswith(b"%PDF")

"""The dashboard in a browser: each page at three widths, light and dark; by keyboard, in print, hovered."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, expect
from sqlalchemy import Engine

from support import operated_homes, planned_experiments, request_logs
from support.browsers import Browser, browsing, overhang
from support.dashboard_homes import dashboard_server, measurement
from support.dashboard_shops import BAD_DAY, BEFORE, CHAMPION, answers, fill
from support.planted_rollouts import plant_rollouts
from support.planted_trainings import plant_trainings
from tastemaker.dashboard.pages import PAGES
from tastemaker.settings import load_settings

pytestmark = pytest.mark.servers

NOW = datetime.now(UTC)
WIDTHS = (1_280, 390, 320)
ADDRESSES = {
    "/models/{version:path}": f"/models/{CHAMPION}",
    "/alerts/{number:int}": "/alerts/1",
    "/experiments/{name}": "/experiments/ranker-v2",
    "/rollouts/{number:int}": "/rollouts/3",
    "/reports/{number:int}": "/reports/1",
    "/requests/{request_id}": f"/requests/{0:032x}",
}
"""An address of each page whose path has a part that changes."""
LONG = "a-very-long-name-of-a-model-that-a-person-chose-without-thinking-of-tables" + "-x" * 30


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A dashboard of a shop with known figures, and versions with long names, little data or one day."""
    home = tmp_path_factory.mktemp("dashboard")
    request_logs.fill(home / "spool", answers(NOW))

    def plant(engine: Engine) -> None:
        operated_homes.plant_version(engine)
        operated_homes.plant_reports(engine, load_settings(home=home))
        fill(engine, NOW)
        planned_experiments.plant_some(engine, NOW)
        plant_rollouts(engine, NOW, CHAMPION, BEFORE)
        plant_trainings(engine, NOW)

    rows = [
        measurement("ctr_list", 0.05, 28, model=LONG, version=LONG),
        measurement("ctr_list", 0.05, 1, model=LONG, version=LONG),
        measurement("ctr_list", None, 28, model="little", version="v1", n=12),
    ]
    with dashboard_server(home, rows, fill=plant) as address:
        yield address


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser in California: days of the shop must not become the day before."""
    with browsing(tmp_path_factory.mktemp("browser"), timezone="America/Los_Angeles") as found:
        yield found


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:
    found = browser.open(f"{url}/today", settle_ms=0)
    yield found
    found.close()
    assert browser.errors == []
    assert not browser.foreign


def show(page: Page, address: str) -> None:
    """Open an address, with all pictures."""
    page.goto(address, wait_until="networkidle")
    for picture in page.locator("figure.chart img").all():
        picture.scroll_into_view_if_needed()
    page.wait_for_load_state("networkidle")


@pytest.mark.parametrize("path", [ADDRESSES.get(one.path, one.path) for one in PAGES])
def test_a_page_is_accessible_fits_and_has_no_error(page: Page, url: str, path: str) -> None:
    show(page, f"{url}{path}")
    for picture in page.locator("figure.chart img").all():
        picture.evaluate("one => one.decode()")  # waits for it, and fails where it can't be shown
    for width in WIDTHS:
        assert overhang(page, width) <= 0
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            found = Axe().run(page, options={"resultTypes": ["violations"]})
            assert found.violations_count == 0, f"{width} px, {scheme}: {found.generate_report()}"
    assert page.evaluate("document.getAnimations().length") == 0, "nothing moves"


def test_hover_shows_the_value_of_the_table_and_moves_nothing(page: Page) -> None:
    figure = page.locator("#ctr_list")
    figure.scroll_into_view_if_needed()
    page.wait_for_load_state("networkidle")
    before = figure.bounding_box()
    figure.locator("img").hover()
    expect(page.locator("#ctr_list[data-live=yes]")).to_have_count(1, timeout=30_000)
    assert figure.bounding_box() == before
    tip = page.locator("#vg-tooltip-element.visible")
    hover(page, figure.locator("path[aria-roledescription=point]").nth(10))  # the champion's newest day
    expect(tip).to_contain_text("9.4%")
    cells = [row.locator("td").all_text_contents() for row in figure.locator("tbody tr").all()]
    newest = [row for row in cells if row[2] == CHAMPION][-1]
    day = (NOW - operated_homes.DAY).strftime("%-d %b %Y")
    assert newest[0] == day
    assert newest[3] == f"{100 * BAD_DAY['ctr_list']:.2f} %"
    expect(tip).to_contain_text(day)


def hover(page: Page, mark: Locator) -> None:
    """Point at the middle of a mark."""
    box = mark.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)


def test_a_chart_that_fails_in_the_browser_stays_a_picture(browser: Browser, url: str) -> None:
    page = browser.open(f"{url}/today", settle_ms=0)
    page.route("**/ctr_list.json*", lambda route: route.fulfill(status=200, body="not JSON"))
    figure = page.locator("#ctr_list")
    figure.locator("img").hover()
    expect(page.locator("#ctr_list[data-live=failed]")).to_have_count(1, timeout=30_000)
    expect(figure.locator("img")).to_be_visible()
    page.close()
    assert browser.errors == []


def test_the_keyboard_reaches_everything(page: Page, url: str) -> None:
    page.set_viewport_size({"width": 390, "height": 900})
    show(page, f"{url}/models")
    page.keyboard.press("Tab")
    assert focused(page) == "Skip to the content"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('main') !== null")
    reached = set()
    for _ in range(60):
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineWidth")
        assert outline != "0px", focused(page)
        reached.add(page.evaluate("document.activeElement.tagName"))
        if page.evaluate("document.activeElement.matches('#versions .wide')"):
            break
        page.keyboard.press("Tab")
    assert {"SELECT", "INPUT", "BUTTON", "SUMMARY", "DIV"} <= reached
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(300)
    assert page.evaluate("document.activeElement.scrollLeft") > 0
    summary = page.locator("summary").first
    summary.focus()
    page.keyboard.press("Enter")
    expect(page.locator("details[open] table").first).to_be_visible()


def focused(page: Page) -> str:
    text: str = page.evaluate("document.activeElement.textContent.trim()")
    return text


def test_print_has_figures_and_charts_and_no_controls(page: Page, url: str) -> None:
    show(page, f"{url}/models")
    page.emulate_media(media="print")
    expect(page.locator("nav")).to_be_hidden()
    expect(page.locator("form.filters")).to_be_hidden()
    expect(page.locator("figure.chart img").first).to_be_visible()
    expect(page.locator("#versions table")).to_be_visible()


def test_a_long_name_is_whole_in_the_table(page: Page, url: str) -> None:
    show(page, f"{url}/models")
    expect(page.locator("#versions").get_by_role("link", name=LONG)).to_have_count(2)  # model and version
    expect(page.locator("#versions td.too-little", has_text="12 of 30 users")).to_have_count(1)


def test_a_day_of_a_product_manager(page: Page, url: str, tmp_path: Path) -> None:
    """Why did clicks fall? From the sentence to the alert, its lists, its acknowledgement, and the CSV."""
    show(page, url)
    expect(page.locator(".summary")).to_contain_text(
        "9.40 % (8.90 to 9.90 %) of lists are clicked, less than"
    )
    expect(page.locator(".summary")).to_contain_text("answers 86.1 % of its requests itself")
    expect(page.locator(".summary")).to_contain_text("1 alert is open")
    page.get_by_role("link", name="Open alerts").click()
    expect(page.locator("h1")).to_have_text("Alerts")
    page.locator("#open td a, main table a").first.click()
    expect(page.locator("main")).to_contain_text("13.9 % of ranker's lists come from the fallback")
    page.get_by_role("link", name="Answers of this model in this time").click()
    expect(page.locator("h1")).to_have_text("Requests")
    expect(page.locator("main table").first).to_contain_text("popular")
    page.go_back()
    page.get_by_role("button", name="Acknowledge").click()
    expect(page.get_by_role("button", name="Acknowledge")).to_have_count(0)
    expect(page.locator("main")).to_contain_text("this machine")
    show(page, url)
    page.locator("#ctr_list summary").click()
    with page.expect_download() as download:
        page.locator("#ctr_list").get_by_role("link", name="CSV").click()
    file = tmp_path / "ctr.csv"
    download.value.save_as(file)
    rows = [row for row in csv.DictReader(io.StringIO(file.read_text("utf-8"))) if row["version"] == CHAMPION]
    assert rows[-1]["day"] == (NOW - operated_homes.DAY).date().isoformat()
    assert float(rows[-1]["value"]) == BAD_DAY["ctr_list"]

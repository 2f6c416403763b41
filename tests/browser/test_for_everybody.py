"""The desk for everybody: readable, reachable by keyboard, safe for Chinese input, light."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import openpyxl
import pytest
from playwright.sync_api import Page

from services.cli import sample_roster
from tests.browser.conftest import City, Person

pytestmark = [pytest.mark.alone, pytest.mark.timeout(900)]

Enter = Callable[..., Person]

AXE = (Path(__file__).with_name("axe") / "axe.min.js").read_text(encoding="utf-8")
RUN_AXE = """() => axe.run(document, {
    runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"],
}).then((found) => found.violations.map(
    (each) => `${each.id}: ${each.nodes.map((node) => node.target).join(" | ")}`))"""

ROOMS = [
    "/desk",
    "/desk/intake",
    "/cases",
    "/households",
    "/households/new",
    "/people",
    "/search?q=陈",
    "/responsibility",
    "/letters",
    "/letters/undelivered",
    "/letters/messages",
    "/disbursements",
    "/disbursements/budget/2026",
    "/disbursements/recoveries",
    "/account-changes",
    "/import",
    "/help",
]


def faults(page: Page) -> list[str]:
    """What axe finds wrong on the page (WCAG 2.0 to 2.2, A and AA)."""
    page.evaluate(AXE)
    found: list[str] = page.evaluate(RUN_AXE)
    return found


def behind(person: Person) -> list[str]:
    """The page that the first row of each list leads to."""
    found = []
    for room in ("/cases", "/people", "/disbursements", "/letters/messages", "/responsibility"):
        link = person.go(room).locator("table.list tbody a").first
        if link.count():
            found.append(str(link.get_attribute("href")))
    return found


@pytest.fixture
def roster(tmp_path: Path) -> Path:
    """Sixty people of Honghu's real villages, with their officers."""
    path = tmp_path / "花名册.xlsx"
    sample_roster.write(60, 7, path)
    return path


def hand_in(person: Person, path: Path) -> None:
    """Choose a roster and have it checked."""
    page = person.go("/import")
    page.get_by_label("首次应发月份").fill("2026-11")
    page.locator("input[name=roster]").set_input_files(path)
    person.press("上传并校验")


def test_a_roster_is_checked_first_and_then_imported_whole(
    enter: Enter, city: City, roster: Path, tmp_path: Path
) -> None:
    """One wrong cell: nothing written, a workbook with the reason; put right: all of it is in."""
    city.set_clock(date(2026, 9, 28))
    clerk = enter("intake")
    before = city.ask("intake", "registry/count-people")
    book = openpyxl.load_workbook(roster)
    good = book.worksheets[0].cell(5, 6).value
    book.worksheets[0].cell(5, 6).value = "421083195503070010"
    wrong = tmp_path / "wrong.xlsx"
    book.save(wrong)
    hand_in(clerk, wrong)
    clerk.says("没有写入任何数据")
    with clerk.page.expect_download() as download:
        clerk.page.get_by_role("link", name="下载错误工作簿").click()
    download.value.save_as(tmp_path / "errors.xlsx")
    marked = openpyxl.load_workbook(tmp_path / "errors.xlsx").worksheets[0]
    reasons = [str(cell.value) for cell in marked[5] if cell.value]
    assert any("第 18 位校验不对" in reason for reason in reasons)
    assert city.ask("intake", "registry/count-people") == before

    book.worksheets[0].cell(5, 6).value = good
    book.save(wrong)
    hand_in(clerk, wrong)
    clerk.says("可以导入")
    clerk.press("第二步：导入")
    clerk.says("已导入 60 人")
    assert city.ask("intake", "registry/count-people") == before + 60


def test_no_accessibility_faults_in_any_room(enter: Enter) -> None:
    """axe finds nothing of WCAG 2.2 A and AA, on the desk's screen and on a phone's."""
    officer = enter("intake")
    rooms = [*ROOMS, *behind(officer)]
    assert len(rooms) > len(ROOMS)
    found = {}
    for width, height in ((1366, 768), (390, 844)):
        officer.page.set_viewport_size({"width": width, "height": height})
        for room in rooms:
            page = officer.go(room)
            if wrong := faults(page):
                found[f"{room} at {width}"] = wrong
    assert found == {}


_MENU_IS_CLEAR = """() => {
    const [search, menu] = [".topsearch", ".sidemenu"].map(
        (name) => document.querySelector(name).getBoundingClientRect());
    return search.bottom <= menu.top + 1 && menu.height < 80;
}"""


def test_no_page_scrolls_sideways_on_a_phone(enter: Enter) -> None:
    """At 390 pixels only tables scroll, inside their own frame; the menu is one clear line."""
    officer = enter("intake")
    officer.page.set_viewport_size({"width": 390, "height": 844})
    wide = []
    for room in ROOMS:
        page = officer.go(room)
        if page.evaluate("document.documentElement.scrollWidth > innerWidth + 1"):
            wide.append(room)
        assert page.evaluate(_MENU_IS_CLEAR), room
    assert wide == []


def test_chinese_input_asks_once(enter: Enter) -> None:
    """While an input method composes, nothing is asked; the finished word is asked for once."""
    officer = enter("intake")
    page = officer.go("/search")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "q=" in request.url else None)
    page.locator("#q").focus()
    keyboard = page.context.new_cdp_session(page)
    for text in ("c", "ch", "che", "chen"):
        keyboard.send(
            "Input.imeSetComposition",
            {"text": text, "selectionStart": len(text), "selectionEnd": len(text)},
        )
        page.wait_for_timeout(250)
    assert asked == []
    with page.expect_response(lambda response: "q=" in response.url):
        keyboard.send("Input.insertText", {"text": "陈"})
    page.wait_for_timeout(500)
    assert len(asked) == 1
    assert asked[0].endswith("q=%E9%99%88")


def test_the_window_is_worked_by_keys_alone(enter: Enter) -> None:
    """F2 presses the main button, / goes to search, j and o walk and open a list."""
    officer = enter("intake")
    page = officer.page
    page.keyboard.press("F2")
    page.wait_for_url("**/desk/intake")
    assert page.evaluate("document.activeElement.id") == "identity_number"
    page.keyboard.type("12345")
    page.keyboard.press("F2")
    page.locator(".errors").wait_for()
    assert page.evaluate("document.activeElement.id") == "errors"
    assert page.locator("#identity_number").input_value() == "12345"
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "top-search"
    page = officer.go("/people")
    page.keyboard.press("j")
    page.keyboard.press("o")
    page.wait_for_url("**/households/*")


def test_the_desk_is_light(enter: Enter) -> None:
    """First load of the desk, styles and scripts included, at most 120 KB over the wire."""
    officer = enter("intake")
    page = officer.page
    sizes: list[int] = []
    page.on("requestfinished", lambda request: sizes.append(_weight(request)))
    page.context.clear_cookies(name="nothing")
    keyboard = page.context.new_cdp_session(page)
    keyboard.send("Network.enable")
    keyboard.send("Network.setCacheDisabled", {"cacheDisabled": True})
    officer.go("/desk")
    page.wait_for_load_state("networkidle")
    assert 0 < sum(sizes) <= 120_000


def _weight(request: object) -> int:
    sizes = request.sizes()  # type: ignore[attr-defined]
    return int(sizes["responseBodySize"]) + int(sizes["responseHeadersSize"])

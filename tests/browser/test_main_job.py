"""The main job by hand, from the window to the bank's answer, with and without JavaScript."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from stdnum import luhn
from stdnum.iso7064 import mod_11_2

from tests.browser.conftest import PROJECT, VILLAGE, City, Person

pytestmark = [pytest.mark.alone, pytest.mark.timeout(900)]

Enter = Callable[..., Person]


def identity_number(born: date, serial: int) -> str:
    """A number of Honghu for somebody who does not exist."""
    body = f"421083{born:%Y%m%d}{serial:03d}"
    return body + str(mod_11_2.calc_check_digit(body))


def card_number(serial: int) -> str:
    """A card number that passes Luhn."""
    body = f"62179990{serial:010d}"
    return body + str(luhn.calc_check_digit(body))


def register(person: Person, name: str, number: str, card: str) -> None:
    """Put a household of one on record at the window."""
    page = person.go("/households/new")
    page.get_by_label("村（社区）").select_option(VILLAGE)
    page.get_by_label("第 1 行姓名").fill(name)
    page.get_by_label("第 1 行身份证号").fill(f"{number[:6]} {number[6:14]} {number[14:]}")
    page.get_by_label("第 1 行联系电话").fill("13871650077")
    page.get_by_label("第 1 行银行账号").fill(card)
    page.get_by_label("第 1 行再填一次账号").fill(card)
    person.press("保存建档")
    person.says("已建档")


def look_up(person: Person, number: str, name: str) -> None:
    """Type the identity number at the window; person, household and benefits come up."""
    page = person.go("/desk/intake")
    page.get_by_label("身份证号").fill(number)
    person.press("查")
    person.says(name)
    assert number not in page.url
    person.until(page.url.removeprefix(person.city.url), "在享待遇")


def choose_dibao(person: Person, *, script: bool) -> None:
    """Choose 最低生活保障; its materials and limit come up."""
    page = person.page
    page.locator("input[name=item][value=dibao]").check()
    if not script:
        person.press("选定事项")
    person.says("时限预告")
    person.says("20 个工作日")
    page.locator("input[name=benefit][value=rural_dibao]").check()


def accept(person: Person, *, script: bool) -> str:
    """Tick the papers and accept; the case's address."""
    page = person.page
    choose_dibao(person, script=script)
    for box in page.locator("input[name=material]").all():
        box.check()
    page.get_by_label("情况说明").fill("年老体弱，承包地三亩，无其他收入")
    if script:
        page.keyboard.press("F2")
    else:
        person.press("受理")
    person.says("已受理")
    return page.url.removeprefix(person.city.url)


def fill_act(person: Person, code: str, **fields: str) -> None:
    """Open the form of an act on the case page, fill it and send it."""
    page = person.page
    form = page.locator(f"form[action$='/{code}']")
    drawer = page.locator("details.drawer", has=form)
    if drawer.get_attribute("open") is None:
        drawer.locator("summary").click()
    for name, value in fields.items():
        field = form.locator(f"[name='{name}']")
        if name in SELECTS:
            field.select_option(value)
        else:
            field.first.fill(value)
    for box in form.locator("input[type=checkbox]").all():
        if box.get_attribute("name") in ("signed", "household_signed"):
            box.check()
    form.get_by_role("button").click()
    page.wait_for_load_state()


SELECTS = {"consistent", "favourable", "outcome", "upheld", "passed", "ground", "cause"}


def work_the_case(enter: Enter, city: City, case: str, start: date, *, script: bool) -> None:
    """Investigation, check, opinion, publicity and decision, each by who may."""
    city.set_clock(start + timedelta(days=1))
    reviewer = enter("reviewer", script=script)
    page = reviewer.go(case)
    form = page.locator("form[action$='/investigate']")
    for name in ("彭立新", "罗小满"):
        form.get_by_label(name).check()
    fill_act(reviewer, "investigate", finding="独居，土房一间，无劳动能力", income="400")
    reviewer.says("调查已登记")
    fill_act(reviewer, "means-check", report_no="HD20260929-07", consistent="yes")
    reviewer.says("核对报告已登记")
    reviewer.until(case, "每月金额")
    reviewer.says("政策")
    fill_act(reviewer, "opinion", favourable="yes", reason="情况属实")
    reviewer.says("初审意见已登记")

    city.set_clock(start + timedelta(days=2))
    reviewer.go(case)
    fill_act(reviewer, "publish")
    reviewer.says("公示已开始")
    fill_act(reviewer, "unpublish")
    assert "没有办成" in page.locator("main").inner_text()

    city.set_clock(start + timedelta(days=11))
    reviewer.go(case)
    if page.locator("form[action$='/unpublish']").count():
        fill_act(reviewer, "unpublish")
        reviewer.says("公示已结束")

    decider = enter("decider", script=script)
    decider.go(case)
    fill_act(decider, "decide", outcome="granted")
    decider.says("决定已作出")
    print_letter(decider)


def print_letter(person: Person) -> None:
    """The decision's letter opens in a window of its own as PDF, and nothing of it is stored."""
    with person.page.context.expect_page() as opened:
        person.page.locator("form[action*='/letters/granted']").get_by_role("button").click()
    opened.value.wait_for_url("**/cases/letters/*", wait_until="commit")
    answer = person.page.context.request.get(opened.value.url)
    assert answer.headers["content-type"] == "application/pdf"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.body().startswith(b"%PDF")
    opened.value.close()


def pay(
    enter: Enter, city: City, folder: Path, month: str, *, script: bool, fail_one_in: int
) -> str:
    """Open a month's cycle and take it to the bank and back; the batch's address."""
    city.set_clock(date(2026, int(month[5:]), 10))
    maker = enter("intake", script=script)
    page = maker.go("/disbursements")
    page.locator("form[action='/disbursements/open'] [name=month]").fill(month)
    maker.page.locator("main").get_by_role("button", name="开期").click()
    maker.says("已开期")
    take_to_the_bank(enter, maker, folder, script=script, fail_one_in=fail_one_in)
    return page.url.removeprefix(city.url)


def take_to_the_bank(
    enter: Enter, maker: Person, folder: Path, *, script: bool, fail_one_in: int
) -> None:
    """Compute, check, two signatures, lock, file, the bank's answer, settlement."""
    page, batch = maker.page, maker.page.url.removeprefix(maker.city.url)
    maker.press("计算")
    maker.says("已计算，请校验")
    maker.press("校验")
    maker.says("已校验")

    fill_act(maker, "review")
    assert "没有办成" in page.locator("main").inner_text()

    auditor = enter("auditor", script=script)
    auditor.go(batch)
    fill_act(auditor, "review")
    auditor.says("审核已签署")
    finance = enter("finance", script=script)
    finance.go(batch)
    fill_act(finance, "release", document_no=f"洪财社〔2026〕{batch[-4:]}号")
    finance.says("核拨已签署")

    maker.go(batch)
    maker.press("锁定批次")
    maker.says("已锁定")
    maker.press("生成银行文件")
    maker.says("银行文件已生成")
    shown = page.get_by_text(re.compile(r"^[0-9a-f]{64}$")).inner_text()
    bank_file = _download(maker, folder)
    assert hashlib.sha256(bank_file.read_bytes()).hexdigest() == shown
    assert _download(maker, folder).read_bytes() == bank_file.read_bytes()

    answer = folder / f"return-{bank_file.stem}.xlsx"
    _bank(bank_file, answer, fail_one_in)
    for says in ("回盘已读入", "读入过"):
        page.get_by_label("回盘文件").set_input_files(answer)
        maker.press("读入回盘")
        maker.says(says)
    maker.says("一分不差")


def pay_again(enter: Enter, city: City, folder: Path, batch: str, household: str) -> None:
    """What the bank refused: a new account that two persons agree on, then a batch of its own."""
    window = enter("intake")
    page = window.go(household)
    page.get_by_role("link", name="办理", exact=True).first.click()
    form = page.locator("form[action$='/account']")
    for name in ("account_number", "account_again"):
        form.locator(f"[name={name}]").fill(card_number(77))
    form.locator("[name=reason]").fill("银行退回：户名不符")
    window.press("提出账户变更")
    window.says("待另一人确认后生效")
    window.go("/account-changes")
    window.press("确认")
    assert "没有办成" in page.locator("main").inner_text()
    decider = enter("decider")
    decider.go("/account-changes")
    decider.press("确认")
    decider.says("已确认")

    city.set_clock(date(2026, 11, 13))
    window.go(batch)
    window.press("开补发批次")
    window.says("补发批次已开")
    take_to_the_bank(enter, window, folder, script=True, fail_one_in=1_000_000)
    assert "发放失败" not in window.page.locator("main").inner_text()


def _download(person: Person, folder: Path) -> Path:
    with person.page.expect_download() as download:
        person.page.get_by_role("link", name="下载银行文件").click()
    path = folder / f"bank-{len(list(folder.iterdir()))}.xlsx"
    download.value.save_as(path)
    return path


def _bank(bank_file: Path, answer: Path, fail_one_in: int) -> None:
    """The bank sees only the file and answers every line, some with failure."""
    subprocess.run(
        [
            sys.executable,
            "-m",
            "deploy.local.bank_simulator",
            str(bank_file),
            str(answer),
            "--fail-one-in",
            str(fail_one_in),
        ],
        cwd=PROJECT,
        check=True,
        capture_output=True,
    )


@pytest.mark.parametrize(
    ("script", "name", "born", "start", "month"),
    [
        (True, "向长河", date(1951, 3, 5), date(2026, 9, 28), "2026-11"),
        (False, "周腊梅", date(1949, 8, 19), date(2026, 11, 16), "2026-12"),
    ],
    ids=["with-javascript", "without-javascript"],
)
def test_from_the_window_to_the_bank(
    enter: Enter,
    city: City,
    tmp_path: Path,
    script: bool,
    name: str,
    born: date,
    start: date,
    month: str,
) -> None:
    """Five accounts take a person from the window to the money, by keyboard and mouse alone."""
    city.set_clock(start)
    number = identity_number(born, 901 if script else 902)
    window = enter("intake", script=script)
    register(window, name, number, card_number(1 if script else 2))
    look_up(window, number, name)
    case = accept(window, script=script)
    work_the_case(enter, city, case, start, script=script)
    refused = 1 if script else 1_000_000
    batch = pay(enter, city, tmp_path, month, script=script, fail_one_in=refused)

    window.go(case)
    window.page.get_by_role("link", name="查看家庭档案").click()
    window.says("时间线")
    household = window.page.url.removeprefix(city.url)
    if script:
        window.says("发放失败")
        pay_again(enter, city, tmp_path, batch, household)
        window.go(household)
    timeline = window.page.locator(".timeline-list").inner_text()
    for words in ("登记建户", "受理", "公示", "农村最低生活保障", "已到账"):
        assert words in timeline
    if script:
        see_the_traces(city, case.rsplit("/", 1)[1])


def see_the_traces(city: City, case_id: str) -> None:
    """``zhida trace``: one trace from each click through the services to the letter."""
    city.shell("login", "admin", password=city.passwords["admin"])
    found = json.loads(city.shell("trace", case_id, "--json"))
    assert found["away"] == []
    by_fact = {
        each["what"]: path
        for path in found["traces"]
        for step in _steps(path["steps"])
        for each in step["did"]
        if each["service"] == "cases"
    }
    accepted, decided = by_fact["accepted"], by_fact["decided"]
    assert accepted["steps"][0]["caller"].startswith("portal POST /desk/intake")
    assert decided["steps"][0]["caller"] == "portal POST /cases/{case_id}/{act}"
    assert len({path["trace_id"] for path in found["traces"]}) == len(found["traces"])

    assert set(decided["services"]) == {"registry", "cases", "funding", "notify"}
    names = [step["name"] for step in _steps(decided["steps"])]
    assert names[0] == "cases.decide"
    for caused in ("funding.on_case_decided", "cases.on_entitlements", "notify.tell_of_cases"):
        assert caused in names
    (letter,) = [
        (step, each)
        for step in _steps(decided["steps"])
        for each in step["did"]
        if each["service"] == "notify"
    ]
    assert letter[0]["name"] == "notify.tell_of_cases"
    assert letter[0]["waited_ms"] is not None
    assert any("batch_locked" in str(path["did"]) for path in found["traces"])
    for path in found["traces"]:
        for step in _steps(path["steps"]):
            for caused in step["caused"]:
                assert caused["started_at"] > step["started_at"]
    drawn = city.shell("trace", case_id)
    assert "cases.decide" in drawn and "portal POST" in drawn


def _steps(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Steps with all they caused, in order."""
    return [each for step in steps for each in (step, *_steps(step["caused"]))]


def test_every_count_on_the_desk_is_the_length_of_its_list(enter: Enter) -> None:
    """A number that leads to a list of another length is a lie."""
    officer = enter("intake")
    counts = {
        link.get_attribute("href"): int((link.locator("b").text_content() or "").replace(",", ""))
        for link in officer.page.locator("a.count, .group-list a[href^='/cases?bucket=']").all()
    }
    assert counts
    for address, count in counts.items():
        page = officer.go(str(address))
        assert page.locator("table.list tbody tr").count() == min(count, 50), address

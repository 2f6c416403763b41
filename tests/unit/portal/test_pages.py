"""Every page renders from what the contracts declare, safely, and gives refusals back."""

from __future__ import annotations

import re
import uuid

import pytest
from starlette.testclient import TestClient

from services.contracts.commands.cases import AcceptApplication, GiveOpinion, ReadCase
from services.contracts.commands.registry import RegisterHousehold, SignIn
from services.contracts.errors import Conflict, Invalid, Unauthenticated
from services.portal.headers import CONTENT_SECURITY_POLICY
from tests.unit.portal.double import Double, convert, example

ID = uuid.UUID(int=5)

PAGES = [
    "/desk",
    "/help",
    "/password",
    "/search?q=陈",
    "/desk/intake",
    f"/desk/intake?person={ID}",
    f"/desk/intake?person={ID}&item=421083108007",
    "/cases",
    "/cases?bucket=overdue&item=dibao&state=closed&after=x",
    f"/cases/{ID}",
    "/households",
    "/households/new",
    f"/households/{ID}",
    f"/households/{ID}/changes",
    "/people?beneficiary=yes",
    f"/households/{ID}?member={uuid.UUID(int=20)}",
    "/account-changes",
    "/responsibility",
    "/responsibility/HH001",
    "/letters",
    "/letters/undelivered",
    "/letters/messages",
    f"/letters/messages/{ID}",
    "/disbursements",
    "/disbursements/2026-11",
    "/disbursements/2026-11/payments",
    f"/disbursements/payments/{ID}",
    "/disbursements/budget/2026",
    "/disbursements/recoveries",
    "/import",
]


def csrf(client: TestClient, page: str = "/help") -> str:
    """The token that the session's forms carry."""
    found = re.search(r'name="csrf" value="(\w+)"', client.get(page).text)
    assert found
    return found[1]


@pytest.mark.parametrize("page", PAGES)
def test_every_page_renders_from_the_contracts(officer: TestClient, page: str) -> None:
    """A template that names a field the contract does not have is an error, not an empty place."""
    response = officer.get(page)
    assert response.status_code == 200, re.sub(r"<[^>]+>", "", response.text)[-500:]
    assert 'lang="zh-CN"' in response.text


@pytest.mark.parametrize("page", PAGES)
def test_no_page_is_stored_or_runs_inline_script(officer: TestClient, page: str) -> None:
    """A shared window computer keeps nothing; the policy allows no inline script or style."""
    response = officer.get(page)
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
    assert not re.search(r"<script(?![^>]*src=)|<[^>]+\s(style|on\w+)=", response.text)


@pytest.mark.parametrize("page", PAGES)
def test_every_form_carries_the_token_and_ids_are_unique(officer: TestClient, page: str) -> None:
    """No form can be sent from elsewhere; no two fields of a page share an id."""
    text = officer.get(page).text
    for form in re.findall(r'<form[^>]*method="post".*?</form>', text, re.DOTALL):
        assert 'name="csrf"' in form and 'name="key"' in form
    ids = re.findall(r'\sid="([^"]+)"', text)
    assert sorted(ids) == sorted(set(ids))


@pytest.mark.parametrize("page", [page for page in PAGES if page != "/help"])
def test_no_page_without_sign_in(visitor: TestClient, page: str) -> None:
    """Whoever is not signed in is led to the door."""
    response = visitor.get(page)
    assert response.status_code == 303
    assert response.headers["location"].startswith("/sign-in")


def test_a_form_without_the_token_does_nothing(officer: TestClient, services: Double) -> None:
    """A form sent from another site is refused before any service is asked."""
    response = officer.post("/desk/intake/accept", data={"item": "dibao", "person": str(ID)})
    assert response.status_code == 403
    assert services.commands() == []


def test_a_refusal_gives_back_what_was_typed(officer: TestClient, services: Double) -> None:
    """422 with the error summary first, a link to the field, and the typed words."""
    services.refusals[RegisterHousehold] = Invalid(
        "身份证号第 18 位校验不对", field="identity_number-0", advice="请核对证件"
    )
    response = officer.post(
        "/households/new",
        data={
            "csrf": csrf(officer),
            "division": "421083108007",
            "name-0": "陈桂兰",
            "identity_number-0": "421083195503070017",
            "relation-0": "户主",
        },
    )
    assert response.status_code == 422
    assert 'href="#identity_number-0"' in response.text
    assert "身份证号第 18 位校验不对" in response.text and "请核对证件" in response.text
    assert 'value="陈桂兰"' in response.text
    assert response.text.count("421083195503070017") == 1


def test_a_conflict_shows_the_page_as_it_now_stands(officer: TestClient, services: Double) -> None:
    """A step somebody else has done: 409, the case page, and what to do."""
    case = convert(type(example(ReadCase.result_type())), current=("opinion",), state="in_progress")
    services.answers[ReadCase] = case
    services.refusals[GiveOpinion] = Conflict("初审已经完成，不能重复办理", advice="请办理下一环节")
    response = officer.post(
        f"/cases/{ID}/opinion",
        data={"csrf": csrf(officer), "act": "opinion", "favourable": "yes", "reason": "符合"},
    )
    assert response.status_code == 409
    assert "初审已经完成" in response.text and "请办理下一环节" in response.text
    assert "符合" in response.text


def test_a_form_sent_twice_carries_the_same_key(officer: TestClient, services: Double) -> None:
    """A double click is one command to the service."""
    fields = {"csrf": csrf(officer), "key": "k", "item": "dibao", "person": str(ID)}
    for _ in range(2):
        assert officer.post("/desk/intake/accept", data=fields).status_code == 303
    keys = [key for request, key in services.asked if isinstance(request, AcceptApplication)]
    assert len(keys) == 2 and len(set(keys)) == 1


def test_an_expired_token_leads_to_the_door_and_back(officer: TestClient, services: Double) -> None:
    """The page asked for is where sign-in leads to."""
    services.refusals[ReadCase] = Unauthenticated("登录已失效")
    response = officer.get(f"/cases/{ID}")
    assert response.status_code == 303
    assert response.headers["location"] == f"/sign-in?back=/cases/{ID}"
    assert officer.get("/desk").status_code == 303


@pytest.mark.parametrize("back", ["https://evil.example/", "//evil.example", "/\\evil.example"])
def test_sign_in_leads_only_to_our_own_pages(visitor: TestClient, back: str) -> None:
    """An address elsewhere is not followed."""
    token = csrf(visitor, "/sign-in")
    response = visitor.post(
        "/sign-in", data={"csrf": token, "account": "a", "password": "b", "back": back}
    )
    assert response.status_code == 303
    assert response.headers["location"] in ("/desk", "/password")


def test_a_wrong_password_keeps_the_account_but_not_the_password(
    visitor: TestClient, services: Double
) -> None:
    """The account stays typed; the password never comes back."""
    services.refusals[SignIn] = Unauthenticated("账号或密码不对")
    response = visitor.post(
        "/sign-in",
        data={"csrf": csrf(visitor, "/sign-in"), "account": "wangfang", "password": "hunter2!"},
    )
    assert response.status_code == 401
    assert "wangfang" in response.text and "hunter2!" not in response.text


def test_an_identity_number_is_never_in_an_address(officer: TestClient) -> None:
    """Looking somebody up answers with an address that names an id, not a number."""
    response = officer.post(
        "/desk/intake",
        data={"csrf": csrf(officer), "identity_number": "421083195503070016"},
    )
    assert response.status_code == 303
    assert "421083195503070016" not in response.headers["location"]


@pytest.mark.parametrize(
    ("typed", "leads_to"),
    [
        ("421083-2026-000071", "/cases?case_no=421083-2026-000071"),
        ("陈桂兰", "/search?q=%E9%99%88%E6%A1%82%E5%85%B0"),
        ("421083 19550307 0016", "/households/"),
    ],
)
def test_the_search_at_the_top_leads_to_what_was_meant(
    officer: TestClient, typed: str, leads_to: str
) -> None:
    """A case by its number, a household by an identity number, people by their name."""
    response = officer.post("/search", data={"csrf": csrf(officer), "q": typed})
    assert response.status_code == 303
    assert response.headers["location"].startswith(leads_to)
    assert "19550307" not in response.headers["location"]


def test_unknown_addresses_and_ids_are_answered_in_chinese(officer: TestClient) -> None:
    """404 with a way back."""
    for address in ("/nowhere", "/cases/not-an-id"):
        response = officer.get(address)
        assert response.status_code == 404
        assert "没有这个页面" in response.text


@pytest.mark.parametrize(
    "address",
    [
        "/desk/intake?person=abc",
        "/desk/intake?household=abc",
        "/disbursements/2026-11/payments?after=abc",
    ],
)
def test_a_cut_off_address_leads_nowhere_and_breaks_nothing(
    officer: TestClient, address: str
) -> None:
    """Half an identifier, copied from a chat, is a page not found, not a fault of ours."""
    answer = officer.get(address)
    assert answer.status_code == 404
    assert "这个网址不完整" in answer.text


@pytest.mark.parametrize("rows", ["abc", "-3", "２０", "99999999999", "1"])
def test_the_member_grid_takes_no_other_number_of_rows(officer: TestClient, rows: str) -> None:
    """A tampered row count neither breaks the page nor keeps the portal busy."""
    page = officer.get("/households/new", params={"rows": rows})
    assert page.status_code == 200
    assert page.text.count('name="identity_number-') == 5
    form = {"csrf": csrf(officer), "rows": rows, "division": "421083108007"}
    assert officer.post("/households/new", data=form).status_code == 422

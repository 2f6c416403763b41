"""The whole of Zhida on servers of these tests' own, a town with its staff, and real browsers."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from services.chassis.client import Client
from services.chassis.discovery import NAMES
from services.contracts.actors import Role
from services.contracts.commands.common import SetClock

PROJECT = Path(__file__).resolve().parents[2]
ZHIDA = str(Path(sys.executable).with_name("zhida"))
CHROMIUM = os.environ.get("ZHIDA_CHROMIUM", "/usr/bin/chromium")
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
VILLAGE = "421083100205"
TOWN = VILLAGE[:9]
COUNTY = VILLAGE[:6]
BENEFITS = (
    "urban_dibao",
    "rural_dibao",
    "tekun",
    "orphan",
    "de_facto_orphan",
    "disability_living",
    "disability_care",
    "elderly",
    "temporary_aid",
)
PLENTY_FEN = 100_000_000_00


@dataclass(frozen=True)
class Post:
    """An account of the town."""

    account: str
    name: str
    roles: tuple[Role, ...]
    scope: str


POSTS = (
    Post("intake", "郑玉兰", (Role.TOWN_CLERK, Role.FUNDING_CLERK), COUNTY),
    Post("reviewer", "彭立新", (Role.TOWN_REVIEWER,), TOWN),
    Post("decider", "严国平", (Role.TOWN_DECIDER,), TOWN),
    Post("auditor", "单志刚", (Role.CIVIL_AUDITOR,), COUNTY),
    Post("finance", "覃丽华", (Role.FINANCE_OFFICER,), COUNTY),
    Post("officer", "罗小满", (Role.VILLAGE_OFFICER,), VILLAGE),
)
"""Five who do the main job (the window also makes the batch), and the village's own officer, who
goes along to the home and is responsible for the people."""


@dataclass
class City:
    """A running Zhida, its accounts, and the business date."""

    url: str
    amqp_uri: str
    home: Path
    tokens: dict[str, str] = field(default_factory=dict)
    passwords: dict[str, str] = field(default_factory=dict)

    def api(self, who: str, path: str, /, **body: Any) -> Any:
        """A command over the REST API, as the program of another office would give it."""
        answer = httpx.post(
            f"{self.url}/api/v1/{path}",
            json=body,
            headers={
                "Authorization": f"Bearer {self.tokens[who]}",
                "Idempotency-Key": str(uuid.uuid4()),
            },
            timeout=60,
        )
        assert answer.status_code == 200, answer.text
        return answer.json()

    def ask(self, who: str, path: str, /, **query: Any) -> Any:
        """A question over the REST API."""
        answer = httpx.get(
            f"{self.url}/api/v1/{path}",
            params=query,
            headers={"Authorization": f"Bearer {self.tokens[who]}"},
            timeout=60,
        )
        assert answer.status_code == 200, answer.text
        return answer.json()

    def sign_in(self, account: str, password: str) -> None:
        """Get a token over the API."""
        answer = httpx.post(
            f"{self.url}/api/v1/registry/sign-in",
            json={"account": account, "password": password},
            timeout=60,
        )
        assert answer.status_code == 200, answer.text
        self.tokens[account] = answer.json()["token"]
        self.passwords[account] = password

    def shell(self, *arguments: str, password: str = "") -> str:
        """What a ``zhida`` command prints, at a shell of this stack's machine."""
        return _zhida(self.home, *arguments, ZHIDA_PASSWORD=password)

    def set_clock(self, today: date) -> None:
        """Move the business date of every service."""
        client = Client(self.amqp_uri)
        try:
            for name in NAMES:
                client.call(SetClock(today=today), token=self.tokens["admin"], service=name)
        finally:
            client.close()


def _zhida(home: Path, *arguments: str, **given: str) -> str:
    environment = {k: v for k, v in os.environ.items() if not k.endswith("_URL")}
    done = subprocess.run(
        [ZHIDA, *arguments],
        cwd=PROJECT,
        env={**environment, "ZHIDA_HOME": str(home), **given},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _first_admin(home: Path, password: str) -> None:
    """Put the first administrator in post, where registry runs."""
    from deploy.local.stack import Stack

    stack = msgspec.json.decode((home / "stack.json").read_bytes(), type=Stack)
    keys = dict(
        line.split("=", 1)
        for line in (home / "keys.env").read_text().splitlines()
        if "=" in line and not line.startswith("#")
    )
    subprocess.run(
        [sys.executable, "-m", "services.registry.first_admin", "--keep-password"],
        cwd=PROJECT,
        env={
            "PATH": os.environ["PATH"],
            "AMQP_URI": stack.amqp_uri,
            "REGISTRY_DATABASE_URL": stack.database_urls["registry"],
            "REGISTRY_FIRST_ADMIN_PASSWORD": password,
            "ZHIDA_MODE": stack.mode,
            **keys,
        },
        check=True,
        capture_output=True,
    )


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Iterator[City]:
    """Zhida up, with staff in post, budgets and cash, on 28 September 2026; down with its file,
    so that it takes no processor from the tests that follow.
    """
    from deploy.local.stack import Stack

    home = tmp_path_factory.mktemp("zhida")
    _zhida(home, "up")
    try:
        stack = msgspec.json.decode((home / "stack.json").read_bytes(), type=Stack)
        running = City(stack.portal_url, stack.amqp_uri, home)
        password = secrets.token_urlsafe(12)
        _first_admin(home, password)
        running.sign_in("admin", password)
        running.set_clock(date(2026, 9, 28))
        _staff(running)
        _endow(running)
        yield running
    finally:
        _zhida(home, "down", "--erase", "--yes")


def _staff(city: City) -> None:
    for number, post in enumerate(POSTS, start=1):
        staff_no = f"B{number:03d}"
        city.api(
            "admin",
            "registry/appoint-staff",
            staff_no=staff_no,
            name=post.name,
            division=post.scope,
            roles=list(post.roles),
            scopes=[post.scope],
            phone=f"139716511{number:02d}",
        )
        password = secrets.token_urlsafe(12)
        city.api(
            "admin",
            "registry/open-account",
            staff_no=staff_no,
            account=post.account,
            password=password,
            must_change=False,
        )
        city.sign_in(post.account, password)


def _endow(city: City) -> None:
    for benefit in BENEFITS:
        city.api(
            "finance",
            "funding/allot-budget",
            year=2026,
            benefit=benefit,
            fen=PLENTY_FEN,
            document_no=f"洪财社〔2026〕1号-{benefit}",
        )
    city.api(
        "finance",
        "funding/deposit-funds",
        fen=PLENTY_FEN * len(BENEFITS),
        document_no="洪财库〔2026〕1号",
    )


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, headless."""
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield running
        running.close()


@dataclass
class Person:
    """Somebody at a browser of their own, signed in by hand."""

    page: Page
    city: City
    complaints: list[str]

    def go(self, path: str) -> Page:
        """Open a page."""
        self.page.goto(self.city.url + path)
        return self.page

    def press(self, words: str) -> None:
        """Press a button in the page's body by its words."""
        self.page.locator("main").get_by_role("button", name=words).first.click()
        self.page.wait_for_load_state()

    def says(self, words: str) -> None:
        """The page says these words, now or within ten seconds."""
        self.page.get_by_text(words).first.wait_for(timeout=10_000)

    def until(self, path: str, words: str, seconds: float = 60) -> None:
        """Open a page again and again until it says these words (what the bus still carries)."""
        deadline = time.monotonic() + seconds
        while words not in self.go(path).locator("body").inner_text():
            assert time.monotonic() < deadline, f"{path} never said {words}"
            self.page.wait_for_timeout(300)


@pytest.fixture
def enter(city: City, browser: Browser) -> Iterator[Callable[..., Person]]:
    """``enter("intake")`` signs somebody in at a browser of their own; ``script=False`` without
    JavaScript. A page that breaks its content policy or throws fails the test.
    """
    contexts: list[BrowserContext] = []
    people: list[Person] = []

    def sign_in(account: str, *, script: bool = True) -> Person:
        context = browser.new_context(
            java_script_enabled=script,
            locale="zh-CN",
            viewport={"width": 1366, "height": 768},
            accept_downloads=True,
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console",
            lambda message: (
                complaints.append(message.text)
                if "Content Security Policy" in message.text
                else None
            ),
        )
        person = Person(page, city, complaints)
        people.append(person)
        person.go("/sign-in")
        page.get_by_label("账号").fill(account)
        page.get_by_label("密码").fill(city.passwords[account])
        page.get_by_role("button", name="登录").click()
        page.wait_for_url("**/desk")
        return person

    yield sign_in
    for context in contexts:
        context.close()
    assert [words for person in people for words in person.complaints] == []

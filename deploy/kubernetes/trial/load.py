"""People at work while a cluster is changed: ``python -m deploy.kubernetes.trial.load``.

Three clerks put households on record (each event of it goes to three other services), others ask
all four services; every request is new (no kept-alive connection), through the portal, and made
once: nothing is tried again. Ends when standard input does, and tells what came back.
"""

from __future__ import annotations

import http.client
import itertools
import json
import sys
import threading
import time
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import msgspec
from stdnum.iso7064 import mod_11_2

from deploy.kubernetes.trial.play import Told
from deploy.kubernetes.trial.stage import TOLD

PORTAL = ("portal", 8000)
CLERKS = 3
ASKED = (
    ("town-clerk", "/registry/list-households"),
    ("town-clerk", "/cases/list-cases"),
    ("funding-clerk", "/funding/list-batches"),
    ("leader", "/notify/count-messages"),
)
PAUSE_S = 0.1
PATIENCE_S = 60.0
RENEW_AFTER_S = 600.0

DIGITS = "零一二三四五六七八九"

_numbers = itertools.count()


class Work(msgspec.Struct, kw_only=True):
    """What came of it."""

    seconds: float
    requests: dict[str, int]
    failed: list[str]
    registered: list[str]
    slowest_ms: float


@dataclass
class Tally:
    """What the threads note down."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    requests: dict[str, int] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    registered: list[str] = field(default_factory=list)
    slowest_ms: float = 0.0


class Person:
    """Somebody signed in at the portal's API."""

    def __init__(self, account: str, password: str, tally: Tally) -> None:
        self._account, self._password, self._tally = account, password, tally
        self._token, self._signed_at = "", 0.0

    def ask(self, path: str, body: dict[str, Any] | None = None, **query: str) -> Any:
        """One request; None when it failed."""
        if time.monotonic() - self._signed_at > RENEW_AFTER_S:
            signing = {"account": self._account, "password": self._password}
            answer = self._send("/registry/sign-in", signing, {}, {})
            if answer is None:
                return None
            self._token, self._signed_at = answer["token"], time.monotonic()
        signed = {"Authorization": f"Bearer {self._token}"}
        return self._send(path, body, query, signed)

    def _send(
        self,
        path: str,
        body: dict[str, Any] | None,
        query: dict[str, str],
        headers: dict[str, str],
    ) -> Any:
        began = time.monotonic()
        problem = None
        answer: Any = None
        connection = http.client.HTTPConnection(*PORTAL, timeout=PATIENCE_S)
        try:
            connection.request(
                "GET" if body is None else "POST",
                f"/api/v1{path}" + (f"?{urlencode(query)}" if query else ""),
                body=None if body is None else json.dumps(body),
                headers={
                    "Content-Type": "application/json",
                    "Idempotency-Key": str(uuid4()),
                    "Connection": "close",
                    **headers,
                },
            )
            got = connection.getresponse()
            text = got.read()
            if got.status >= http.client.BAD_REQUEST:
                problem = f"{got.status} {text.decode(errors='replace')[:200]}"
            else:
                answer = json.loads(text)
        except (OSError, http.client.HTTPException, ValueError) as error:
            problem = f"{type(error).__name__}: {error}"
        finally:
            connection.close()
        took = (time.monotonic() - began) * 1000
        with self._tally.lock:
            self._tally.requests[path] = self._tally.requests.get(path, 0) + 1
            self._tally.slowest_ms = max(self._tally.slowest_ms, took)
            if problem:
                when = time.strftime("%H:%M:%S")
                self._tally.failed.append(f"{when} {path} after {took:.0f} ms: {problem}")
        return answer


def somebody() -> dict[str, str]:
    """A head of household who does not exist, of a county that no roster of ours has."""
    number = next(_numbers)
    born = date(1940, 1, 1) + timedelta(days=number % 20_000)
    body = f"420117{born:%Y%m%d}{number // 20_000:03d}"
    return {
        "name": "试" + "".join(DIGITS[int(digit)] for digit in f"{number:04d}"),
        "identity_number": body + str(mod_11_2.calc_check_digit(body)),
        "relation": "户主",
    }


def register(person: Person, village: str, tally: Tally, stop: threading.Event) -> None:
    """Households, one after another."""
    while not stop.wait(PAUSE_S):
        answer = person.ask(
            "/registry/register-household", {"division": village, "members": [somebody()]}
        )
        if answer is not None:
            with tally.lock:
                tally.registered.append(answer["members"][0]["person_id"])


def look(person: Person, path: str, stop: threading.Event) -> None:
    """One page, again and again."""
    while not stop.wait(PAUSE_S):
        person.ask(path)


def main() -> int:
    """The command line."""
    told = msgspec.json.decode(TOLD.read_bytes(), type=Told)
    tally, stop = Tally(), threading.Event()

    def person(account: str) -> Person:
        return Person(account, told.passwords[account], tally)

    threads = [
        threading.Thread(
            target=register, args=(person("town-clerk"), told.village, tally, stop), daemon=True
        )
        for _ in range(CLERKS)
    ] + [
        threading.Thread(target=look, args=(person(account), path, stop), daemon=True)
        for account, path in ASKED
    ]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    sys.stdin.read()
    stop.set()
    for thread in threads:
        thread.join()
    work = Work(
        seconds=round(time.monotonic() - began, 1),
        requests=tally.requests,
        failed=tally.failed,
        registered=tally.registered,
        slowest_ms=round(tally.slowest_ms, 1),
    )
    sys.stdout.buffer.write(msgspec.json.encode(work) + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

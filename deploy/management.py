"""RabbitMQ's management interface: what is defined on one vhost, and who may do what there."""

from __future__ import annotations

import base64
import http.client
import json
from collections.abc import Mapping
from typing import Any, Self
from urllib.parse import quote, unquote, urlsplit

import msgspec


class ManagementError(RuntimeError):
    """The broker refused what was asked; ``status`` is HTTP's."""

    def __init__(self, status: int, what: str) -> None:
        super().__init__(what)
        self.status = status


class Management(msgspec.Struct, frozen=True, kw_only=True):
    """Where the interface stands and how it is entered; ``vhost`` is where we look."""

    host: str
    port: int
    user: str
    password: str
    vhost: str
    tls: bool = False

    @classmethod
    def at(cls, url: str, vhost: str) -> Self:
        """From ``http(s)://user:password@host:port``. Raises ``ValueError``."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("应为 http(s)://用户:密码@主机:端口")
        tls = parts.scheme == "https"
        return cls(
            host=parts.hostname,
            port=parts.port or (15671 if tls else 15672),
            user=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
            vhost=vhost,
            tls=tls,
        )

    def define(self, definitions: Mapping[str, Any]) -> None:
        """Import definitions (users, permissions, queues, bindings …) in one request."""
        self.ask("POST", "definitions", body=definitions)

    def users(self) -> set[str]:
        """The names of all users."""
        return {user["name"] for user in self.ask("GET", "users")}

    def permissions(self, user: str) -> list[dict[str, Any]]:
        """A user's permissions, on every vhost."""
        found: list[dict[str, Any]] = self.ask("GET", "users", user, "permissions")
        return found

    def topic_permissions(self, user: str) -> list[dict[str, Any]]:
        """A user's topic permissions on the vhost."""
        found = self.ask("GET", "users", user, "topic-permissions")
        return [each for each in found if each["vhost"] == self.vhost]

    def names(self, kind: str) -> set[str]:
        """Which ``queues`` or ``exchanges`` stand on the vhost."""
        return {each["name"] for each in self.standing()[kind]}

    def bindings(self, queue: str) -> list[dict[str, Any]]:
        """A queue's bindings but for the default one."""
        found = self.standing()["bindings"]
        return [b for b in found if b["destination"] == queue and b["source"]]

    def standing(self) -> dict[str, list[dict[str, Any]]]:
        """All that is defined on the vhost; answered also by a node that keeps no statistics."""
        found: dict[str, list[dict[str, Any]]] = self.ask("GET", "definitions", self.vhost)
        return found

    def ask(self, method: str, *path: str, body: Mapping[str, Any] | None = None) -> Any:
        """One request; ``path`` in words. Raises ``ManagementError``, ``OSError``."""
        login = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        kind = http.client.HTTPSConnection if self.tls else http.client.HTTPConnection
        connection = kind(self.host, self.port, timeout=15)
        words = "/".join(quote(word, safe="") for word in path)
        try:
            connection.request(
                method,
                f"/api/{words}",
                body=None if body is None else json.dumps(body),
                headers={"Authorization": f"Basic {login}", "Content-Type": "application/json"},
            )
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        if answer.status >= 400:
            raise ManagementError(
                answer.status, f"RabbitMQ {method} /{words}: {answer.status} {text.decode()}"
            )
        return json.loads(text) if text else {}

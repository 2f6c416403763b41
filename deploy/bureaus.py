"""A bureau joins: its entry in the file becomes a user, rights, queues and bindings at the broker.

Everything may be done again: what stands already is left, what the entry no longer allows goes.
"""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import tomlkit

from deploy.management import Management, ManagementError
from services.chassis import bureaus, rights, topology
from services.chassis.bureaus import Bureau
from services.contracts.divisions import path
from services.contracts.errors import Conflict, NotFound

CATALOGUE = "/dev/events"


class Sheet(msgspec.Struct, frozen=True, kw_only=True):
    """What a bureau's developer is handed: all that is needed, and a secret."""

    bureau: str
    title: str
    vhost: str
    amqp_uri: str | None
    """None when the password stands already: it is shown once; ``rotate`` gives a new one."""
    user_id: str
    queue: str
    refusals: str
    exchange: str
    division: str
    division_path: str
    sees: list[str]
    says: list[str]
    public_key: dict[str, Any]
    """Registry's key (JWK) that identity numbers are sealed to: JWE compact, ECDH-ES, A256GCM."""
    catalogue: str
    legal_basis: str


def add(
    broker: Management, bureau: Bureau, *, address: str, public_key: str, portal: str = ""
) -> Sheet:
    """Make whatever is missing; take away what the entry no longer allows."""
    bureaus.check(bureau)
    fresh = bureau.user(broker.vhost) not in broker.users()
    password = secrets.token_urlsafe(24) if fresh else None
    if password is not None:
        _set_password(broker, bureau, password)
    _prepare(broker, bureau)
    _withdraw(broker, bureau)
    return sheet(broker, bureau, password, address=address, public_key=public_key, portal=portal)


def rotate(
    broker: Management,
    bureau: Bureau,
    *,
    address: str,
    public_key: str,
    portal: str = "",
    now: bool = False,
) -> Sheet:
    """A new password. Open connections go on with the old one until they end, or end ``now``."""
    if bureau.user(broker.vhost) not in broker.users():
        raise NotFound(f"消息总线上没有 {bureau.name}", advice="先运行 zhida bureau add")
    password = secrets.token_urlsafe(24)
    if now:
        broker.ask(
            "DELETE", "users", bureau.user(broker.vhost)
        )  # the broker closes the user's connections
    _set_password(broker, bureau, password)
    _prepare(broker, bureau)
    return sheet(broker, bureau, password, address=address, public_key=public_key, portal=portal)


def remove(broker: Management, bureau: Bureau) -> None:
    """Its user (with open connections), its queues and what waits in them. Gone twice is gone."""
    for kind, *name in (
        ("users", bureau.user(broker.vhost)),
        ("queues", broker.vhost, bureau.queue),
        ("queues", broker.vhost, bureau.refusals),
    ):
        try:
            broker.ask("DELETE", kind, *name)
        except ManagementError as error:
            if error.status != 404:
                raise


def sheet(
    broker: Management,
    bureau: Bureau,
    password: str | None,
    *,
    address: str,
    public_key: str,
    portal: str,
) -> Sheet:
    """The connection sheet. ``address`` is ``amqp(s)://host:port`` as the bureau reaches it."""
    uri = None
    if password is not None:
        scheme, _, place = address.rstrip("/").partition("://")
        login = f"{quote(bureau.user(broker.vhost), safe='')}:{quote(password, safe='')}"
        uri = f"{scheme}://{login}@{place}/{quote(broker.vhost, safe='')}"
    where = path(bureau.division)
    return Sheet(
        bureau=bureau.name,
        title=bureau.title,
        vhost=broker.vhost,
        amqp_uri=uri,
        user_id=bureau.user(broker.vhost),
        queue=bureau.queue,
        refusals=bureau.refusals,
        exchange=topology.INBOUND,
        division=bureau.division,
        division_path=where,
        sees=sorted({key for queue, _, key in bureau.bindings() if queue == bureau.queue}),
        says=[f"{bureau.says(declared)}.{where}" for declared in bureau.may_say()],
        public_key=json.loads(public_key),
        catalogue=f"{portal}{CATALOGUE}",
        legal_basis=bureau.legal_basis,
    )


def _set_password(broker: Management, bureau: Bureau, password: str) -> None:
    broker.ask("PUT", "users", bureau.user(broker.vhost), body={"password": password, "tags": ""})


def _prepare(broker: Management, bureau: Bureau) -> None:
    standing = broker.names("exchanges")
    for exchange in (*{e for _, e, _ in bureau.bindings()}, topology.INBOUND):
        if exchange not in standing:
            raise Conflict(
                f"消息总线上还没有交换器 {exchange}",
                advice="先启动直达的各服务（zhida up），再登记部门",
            )
    for name, arguments in rights.bureau_queues(bureau).items():
        try:
            broker.ask(
                "PUT", "queues", broker.vhost, name, body={"durable": True, "arguments": arguments}
            )
        except ManagementError as error:
            if error.status == 400:
                raise Conflict(
                    f"队列 {name} 已有，但限额不同",
                    advice="限额建队列时定下：先 remove 再 add，丢下的消息由部门请求重放",
                ) from error
            raise
    broker.define(
        {
            **rights.of_bureau(bureau, broker.vhost).definitions(broker.vhost),
            "bindings": [
                {
                    "source": exchange,
                    "vhost": broker.vhost,
                    "destination": queue,
                    "destination_type": "queue",
                    "routing_key": key,
                    "arguments": {},
                }
                for queue, exchange, key in bureau.bindings()
            ],
        }
    )
    for limit, value in (
        ("max-connections", rights.MAX_CONNECTIONS),
        ("max-channels", rights.MAX_CHANNELS),
    ):
        broker.ask("PUT", "user-limits", bureau.user(broker.vhost), limit, body={"value": value})


def _withdraw(broker: Management, bureau: Bureau) -> None:
    """Topic rights and bindings that an earlier entry had."""
    allowed = rights.of_bureau(bureau, broker.vhost).topics
    if any(
        each["exchange"] not in allowed
        for each in broker.topic_permissions(bureau.user(broker.vhost))
    ):
        # the interface takes away all of a user's topic permissions at once, so all are given anew
        broker.ask("DELETE", "topic-permissions", broker.vhost, bureau.user(broker.vhost))
        broker.define(rights.of_bureau(bureau, broker.vhost).definitions(broker.vhost))
    wanted = set(bureau.bindings())
    for queue in (bureau.queue, bureau.refusals):
        for bound in broker.bindings(queue):
            if (queue, bound["source"], bound["routing_key"]) not in wanted:
                broker.ask(
                    "DELETE",
                    *("bindings", broker.vhost, "e", bound["source"], "q", queue),
                    bound["routing_key"],
                )


# -- the file ---------------------------------------------------------------------------------


def write_entry(file: Path, bureau: Bureau) -> None:
    """Put a bureau's entry into the file, or renew it; the others and comments stay."""
    document = tomlkit.parse(file.read_text(encoding="utf-8")) if file.exists() else _new_file()
    entry = tomlkit.table()
    for name, value in msgspec.to_builtins(bureau).items():
        if name != "name":
            entry[name] = value
    document[bureau.name] = entry
    _write(file, document)


def drop_entry(file: Path, name: str) -> None:
    """Take a bureau's entry out of the file."""
    document = tomlkit.parse(file.read_text(encoding="utf-8"))
    document.pop(name, None)
    _write(file, document)


def _new_file() -> tomlkit.TOMLDocument:
    document = tomlkit.document()
    document.add(tomlkit.comment("其他部门，一部门一表：zhida bureau add 写入，也可手改后再 add"))
    return document


def _write(file: Path, document: tomlkit.TOMLDocument) -> None:
    text = tomlkit.dumps(document)
    bureaus.parse(text)
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(file.name + ".new")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), "w") as stream:
        stream.write(text)
    draft.replace(file)

"""A bureau's notice of a death: whether its sealed number opens and reads, and its day can be."""

from __future__ import annotations

import json
from datetime import date

from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from services.contracts.errors import ZhidaError
from services.contracts.events.bureaus import DeathRegistered, DeathRevoked
from services.registry.domain import identity_number

ALGORITHMS = ["ECDH-ES+A256KW", "ECDH-ES", "A256GCM", "A128GCM"]


class NotTaken(ZhidaError):
    """What the bureau is told: ``reason`` is the code of the refusal."""

    code = "refused"


def number_of(event: DeathRegistered | DeathRevoked, private_key: str, today: date) -> str:
    """The identity number that a notice names; ``private_key`` is registry's, as JWK.

    Raises ``NotTaken``.
    """
    read = _read(_unseal(event.identity_number, private_key), today)
    if isinstance(event, DeathRegistered):
        _check_date(event.died_on, read.birth, today)
    return read.number


def _read(number: str, today: date) -> identity_number.IdentityNumber:
    try:
        return identity_number.read(number, today)
    except ZhidaError as wrong:
        raise NotTaken(
            wrong.message, field="identity_number", reason="bad_identity_number"
        ) from wrong


def _check_date(died_on: date, born_on: date, today: date) -> None:
    if died_on > today:
        raise NotTaken("死亡日期晚于今天", field="died_on", reason="future_date")
    if died_on < born_on:
        raise NotTaken("死亡日期早于出生", field="died_on", reason="before_birth")


def _unseal(sealed: str, private_key: str) -> str:
    key = ECKey.import_key(json.loads(private_key))
    try:
        opened = jwe.decrypt_compact(sealed, key, algorithms=ALGORITHMS)
    except (JoseError, ValueError) as error:
        raise NotTaken(
            "身份证号密文无法打开：请核对对接单上的公钥",
            field="identity_number",
            reason="cannot_open",
        ) from error
    return (opened.plaintext or b"").decode("utf-8", "replace")

"""What other bureaus say to Zhida, on exchange ``bureaus.events``.

A person is named by ``identity_number``, a JWE (compact) to registry's public key from the
bureau's connection sheet; a plain number is refused.
"""

from __future__ import annotations

from datetime import date

from services.contracts.events.base import Audience, Event, Sealed, event


@event(
    "public_security.death_registered.v1",
    audience=Audience.INBOUND,
    subject="certificate_no",
    sealed={"identity_number": "registry"},
)
class DeathRegistered(Event, frozen=True, kw_only=True):
    """公安机关登记死亡：据此停发当事人的各项待遇。"""

    certificate_no: str
    division: str
    identity_number: Sealed
    died_on: date


@event(
    "public_security.death_revoked.v1",
    audience=Audience.INBOUND,
    subject="certificate_no",
    sealed={"identity_number": "registry"},
)
class DeathRevoked(Event, frozen=True, kw_only=True):
    """公安机关撤销死亡登记：``revokes`` 是原登记事件的编号，待遇恢复并补发。"""

    certificate_no: str
    division: str
    identity_number: Sealed
    revokes: str
    reason: str

"""What other bureaus say to Zhida, on exchange ``bureaus.events``.

A person is named by ``identity_number``, a JWE (compact) to registry's public key from the
bureau's connection sheet; a plain number is refused. What does not fit is answered by
``bureau_event.refused.v1``, what was taken by ``bureau_event.accepted.v1``.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated

import msgspec

from services.contracts.events.base import Audience, Event, Privacy, event

Code = Annotated[str, msgspec.Meta(pattern=r"^([0-9]{2}|[0-9]{4}|[0-9]{6}|[0-9]{9}|[0-9]{12})$")]
"""A division: 2, 4, 6, 9 or 12 digits."""

_PRINTED = r"^[^\x00-\x1f\x7f]+$"

Reference = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=_PRINTED)]
"""A document's number; never a person's."""

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=500, pattern=_PRINTED)]

SealedNumber = Annotated[str, msgspec.Meta(max_length=4000, extra_json_schema={"x-sealed": True})]
"""An identity number as JWE (compact) to the key on the connection sheet."""


@event(
    "public_security.death_registered.v1",
    audience=Audience.INBOUND,
    subject="certificate_no",
    sealed={"identity_number": "registry"},
)
class DeathRegistered(Event, frozen=True, kw_only=True):
    """公安机关登记死亡：据此停发当事人的各项待遇。"""

    certificate_no: Reference
    division: Code
    identity_number: SealedNumber
    died_on: date


@event(
    "public_security.death_revoked.v1",
    audience=Audience.INBOUND,
    subject="certificate_no",
    sealed={"identity_number": "registry"},
)
class DeathRevoked(Event, frozen=True, kw_only=True):
    """公安机关撤销死亡登记：``revokes`` 是原登记事件的编号，待遇恢复并补发。"""

    certificate_no: Reference
    division: Code
    identity_number: SealedNumber
    revokes: Reference
    reason: Text


@event(
    "bureau.replay_requested.v1",
    audience=Audience.INBOUND,
    privacy=Privacy.OPEN,
    subject="division",
)
class ReplayRequested(Event, frozen=True, kw_only=True):
    """请求重放：自某日起，把本部门可见的事件再送一遍到本部门队列，送来的带重放标记。

    Every bureau says it under its own name (``housing.replay_requested.v1``). ``types`` narrows it
    to some of the types (``entitlement.granted.v1``, ``entitlement.*``); empty means all that the
    bureau may see. Never more than its entry allows, whatever is asked.
    """

    division: Code
    from_date: date
    types: Annotated[
        tuple[Annotated[str, msgspec.Meta(pattern=r"^[a-z_*]+(\.[a-z0-9_*]+){0,2}$")], ...],
        msgspec.Meta(max_length=50),
    ] = ()

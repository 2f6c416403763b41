"""Another key for the blind indexes: everything is found again, and nothing stays under the old."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any
from uuid import UUID

import msgspec
import pytest
from sqlalchemy import LargeBinary, text

from services.chassis import reindexing
from services.chassis.actors import ActorSigner
from services.chassis.crypto import FieldCipher, Seals
from services.chassis.discovery import service_class
from services.chassis.key_rings import begin_index, end_index
from services.chassis.service import endpoints
from services.chassis.settings import Settings, SettingsError
from services.chassis.uow import Foundation
from services.contracts.actors import Role
from services.contracts.commands.registry import (
    AppointStaff,
    FindByIdentity,
    NewMember,
    RegisterHousehold,
)
from services.contracts.errors import Conflict
from services.funding import models as funding_models
from services.registry import models as registry_models
from services.registry import people, queries, settings, staff
from services.registry.models import BureauNotice, Person
from tests.builders.funding import Office, bank_answers
from tests.builders.roster import TODAY, identity
from tests.fixtures.services import KEYS, OpenUow, actor
from tests.integration.funding.test_settlement import sent_batch

VILLAGE = "421083108204"
ADMIN, CLERK = actor(Role.SYSTEM_ADMIN), actor(Role.TOWN_CLERK, divisions=("421083108",))
NEW = os.urandom(32)


def after(foundation: Foundation) -> Foundation:
    """As a process is that was started with the new key."""
    known = replace(foundation.settings, index_key=NEW)
    return replace(foundation, settings=known, cipher=FieldCipher(known.field_keys, NEW))


def indexes(foundation: Foundation, metadata: Any) -> set[bytes]:
    """Every blind index that stands in the database."""
    with foundation.begin(ADMIN) as uow:
        return {
            bytes(value)
            for table in metadata.sorted_tables
            for column in table.columns
            if isinstance(column.type, LargeBinary) and column.name.endswith("_index")
            for value in uow.session.scalars(
                text(f'SELECT "{column.name}" FROM "{table.name}" WHERE "{column.name}" <> \'\'')
            )
        }


@pytest.fixture
def registry(
    foundation_for: Callable[[str], Foundation],
    uow_for: OpenUow,
    monkeypatch: pytest.MonkeyPatch,
) -> Foundation:
    """Three people, one removed since; a notice that waits and one that an officer wrote."""
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    settings.registry_settings.cache_clear()
    with uow_for("registry", actor=ADMIN, today=TODAY) as uow:
        staff.appoint(
            uow,
            AppointStaff(
                staff_no="HH0204", name="专干", division=VILLAGE,
                roles=(Role.VILLAGE_OFFICER,), scopes=(VILLAGE,),
            ),
        )  # fmt: skip
    foundation = foundation_for("registry")
    for number in (1, 2):
        with uow_for("registry", actor=CLERK, today=TODAY) as uow:
            people.register(uow, household(number))
    with foundation.begin(ADMIN) as uow:
        known = uow.session.scalars(text("SELECT id FROM person ORDER BY id")).first()
        for event_id, number, state in ((UUID(int=7), 9, "waiting"), (UUID(int=8), 1, "applied")):
            sealed = uow.cipher.encrypt(
                identity(number), table="bureau_notice", row=event_id, column="identity"
            )
            uow.session.add(
                BureauNotice(
                    event_id=event_id, bureau="public_security", kind="died", division=VILLAGE,
                    identity=sealed if state == "waiting" else None,
                    identity_index=uow.cipher.blind_index(identity(number)),
                    happened_on=date(2026, 9, 1), reference="x", state=state, person_id=known,
                )
            )  # fmt: skip
    return foundation


def household(number: int) -> RegisterHousehold:
    """A household of one."""
    member = NewMember(name="单桂兰", identity_number=identity(number), relation="户主")
    return RegisterHousehold(division=VILLAGE, members=(member,))


def test_people_are_found_and_told_apart_under_the_new_key(registry: Foundation) -> None:
    """By the window, by the bureau's notice that waited; nobody is registered twice; done again,
    nothing changes; no old index is left."""
    metadata = registry_models.Base.metadata
    before = indexes(registry, metadata)
    assert len(before) == 3
    done = reindexing.run(registry, "registry", NEW)
    assert done == {"left": 0, "person.identity_index": 2, "bureau_notice.identity_index": 2}
    now = indexes(registry, metadata)
    assert len(now) == 3
    assert not now & before
    # cut short before the key took its place, and done again
    assert reindexing.run(registry, "registry", NEW)["left"] == 0
    assert indexes(registry, metadata) == now
    renewed = after(registry)
    with renewed.begin(CLERK) as uow:
        uow.clock.set_today(TODAY)
        found = queries.find_by_identity(uow, FindByIdentity(identity_number=identity(2)))
        assert found is not None
    with renewed.begin(CLERK) as uow, pytest.raises(Conflict):
        people.register(uow, household(2))
    with renewed.begin(CLERK) as uow:
        told = people.register(uow, household(9)).members[0].person_id
    with renewed.begin(CLERK) as uow:
        assert uow.session.get_one(Person, told).deceased_on == date(2026, 9, 1)


def test_a_hash_that_is_not_of_its_number_stops_everything(registry: Foundation) -> None:
    """Somebody wrote into the database: nothing is changed, and it is said where."""
    metadata = registry_models.Base.metadata
    with registry.begin(ADMIN) as uow:
        wrong = "UPDATE bureau_notice SET identity_index = '\\x01' WHERE identity IS NOT NULL"
        uow.session.execute(text(wrong))
    before = indexes(registry, metadata)
    with pytest.raises(Conflict, match=r"bureau_notice\.identity_index"):
        reindexing.run(registry, "registry", NEW)
    assert indexes(registry, metadata) == before


def test_a_command_asked_again_after_the_change_gets_its_first_answer(
    registry: Foundation,
) -> None:
    """What it was asked with was kept as a hash under the old key."""
    cls = service_class("registry")
    door = endpoints(cls)["register_household"]
    token = ActorSigner(KEYS["ACTOR_SIGNING_KEY"]).token(CLERK)
    context = {"actor_token": token, "idempotency_key": "k1"}
    member = {"name": "单桂兰", "identity_number": identity(5), "relation": "户主"}
    body = {"division": VILLAGE, "members": [member]}

    def ask(foundation: Foundation) -> Any:
        said = door.answer(foundation, people.register, body, context, home=None)
        return json.loads(msgspec.json.encode(said))

    first = ask(registry)
    assert "ok" in first, first
    reindexing.run(registry, "registry", NEW)
    assert ask(after(registry)) == first


@pytest.fixture
def office(uow_for: OpenUow, foundation_for: Callable[[str], Foundation]) -> Office:
    """Funding with nothing in it."""
    keys = foundation_for("funding").settings.transit_keys
    return Office(uow_for, Seals("registry", keys))


def test_a_bank_file_is_settled_after_the_change(
    office: Office, foundation_for: Callable[[str], Foundation]
) -> None:
    """A payment keeps only the hash of the account it went to: it moves with the person's."""
    content = sent_batch(office)
    foundation = foundation_for("funding")
    metadata = funding_models.Base.metadata
    before = indexes(foundation, metadata)
    done = reindexing.run(foundation, "funding", NEW)
    assert done == {"left": 0, "person.account_index": 3, "payment.account_index": 3}
    assert not indexes(foundation, metadata) & before
    renewed = after(foundation)
    office.begin_uow = lambda _service, *, actor, today=None: renewed.begin(actor)
    assert office.settle("2026-11", bank_answers(content)).settled == 3


def test_what_the_bank_still_answers_and_nobody_could_match_holds_the_change_up(
    office: Office, foundation_for: Callable[[str], Foundation]
) -> None:
    """An account was changed after the file went out: its old number is kept nowhere. Once the
    answer is read the change goes through, and says how many hashes were left.
    """
    content = sent_batch(office, lines=1)
    foundation = foundation_for("funding")
    metadata = funding_models.Base.metadata
    with foundation.begin(ADMIN) as uow:
        person = uow.session.scalars(text("SELECT person_id FROM person")).one()
        number = "6222999999999999"
        at: dict[str, Any] = {"table": "person", "row": person, "column": "account_number"}
        uow.session.execute(
            text("UPDATE person SET account_number = :n, account_index = :i"),
            {
                "n": uow.cipher.encrypt(number, **at),
                "i": uow.cipher.blind_index(number),
            },
        )  # fmt: skip
    before = indexes(foundation, metadata)
    with pytest.raises(Conflict, match="payment 有 1 行"):
        reindexing.run(foundation, "funding", NEW)
    assert indexes(foundation, metadata) == before
    assert office.settle("2026-11", bank_answers(content)).settled == 1
    assert reindexing.run(foundation, "funding", NEW)["left"] == 1


def test_a_service_that_runs_holds_the_change_up(
    registry: Foundation, foundation_for: Callable[[str], Foundation]
) -> None:
    """It would go on looking under the old key."""
    with registry.begin(CLERK) as other:
        other.session.execute(text("SELECT 1"))
        with pytest.raises(Conflict, match="还在运行"):
            reindexing.run(registry, "registry", NEW)


def test_nothing_starts_between_the_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """A change that was cut short is finished with the same key; until then the service waits."""
    begun = begin_index("registry", {"REGISTRY_INDEX_KEY": "old", **KEYS})
    assert begin_index("registry", begun) == begun
    for name, value in begun.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match="REGISTRY_INDEX_KEY_NEXT"):
        Settings.from_env("registry")
    following = begun["REGISTRY_INDEX_KEY_NEXT"]
    assert len(base64.b64decode(following)) == 32
    assert end_index("registry", begun, taken=True)["REGISTRY_INDEX_KEY"] == following
    given_up = end_index("registry", begun, taken=False)
    assert given_up["REGISTRY_INDEX_KEY"] == KEYS["REGISTRY_INDEX_KEY"]
    assert "REGISTRY_INDEX_KEY_NEXT" not in given_up

"""A backup put back: one service into the world as it is, or all four together."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from deploy.local import backup
from deploy.local.stack import Stack
from services.contracts.actors import Actor, Role
from services.contracts.commands.registry import ChangePhone, TellAgain
from tests.builders.city import City
from tests.e2e.test_acceptance import Staff, household
from tests.e2e.test_false_death import differences
from tests.fixtures.services import actor

ADMIN: Actor = actor(Role.SYSTEM_ADMIN)


@pytest.fixture
def services() -> tuple[str, ...]:
    """All four are saved."""
    return ("registry", "cases", "funding", "notify")


@pytest.fixture
def stack(city: City, amqp_uri: str) -> Stack:
    """The city's databases and a vhost, as servers that are not ours to make."""
    urls = {name: each.settings.database_url for name, each in city.foundations.items()}
    return Stack(
        amqp_uri=amqp_uri, database_urls=urls, ports={}, mode="test", broker=None, cluster=None
    )


def put_back(city: City, stack: Stack, folder: Path, services: list[str]) -> None:
    """Restore; the city goes on telling after what the restored outboxes hold."""
    for foundation in city.foundations.values():
        foundation.engine.dispose()
    backup.put_back(stack, folder, services)
    for name in services:
        with city.begin(name) as uow:
            city._told[name] = uow.session.scalar(text("SELECT coalesce(max(id), 0) FROM outbox"))


def test_an_older_registry_is_believed_and_what_it_lost_is_shown(
    city: City, staff: Staff, stack: Stack, tmp_path: Path
) -> None:
    """Copies that are ahead by their version give way to the raised epoch; people whom registry has
    forgotten are a difference that reconcile names."""
    kept = household(city, staff, born="19610305", head="向长河").members[0].person_id
    backup.save(stack, tmp_path / "b", hours=1)
    for phone in ("13971650003", "13971650004"):
        city.ask(staff["clerk"], ChangePhone(person_id=kept, phone=phone))
    household(city, staff, born="19580101", head="汪水生")
    assert differences(city) == []
    put_back(city, stack, tmp_path / "b", ["registry"])
    registry = city.foundations["registry"]
    settings = replace(registry.settings, epoch=7)
    city.foundations["registry"] = replace(registry, settings=settings)
    assert ("电话", "notify") in differences(city)
    told = city.ask(ADMIN, TellAgain())
    assert (told.epoch, told.events > 300) == (7, True)
    city.settle()
    lost = [("人员", "cases"), ("人员", "funding"), ("人员", "notify")]
    lost += [("家庭", "cases"), ("家庭", "funding"), ("电话", "notify")]
    assert sorted(differences(city)) == sorted([*lost, ("账户", "funding")])
    with city.begin("notify") as uow:
        newest = uow.session.execute(
            text(
                "SELECT epoch, version FROM contact WHERE person_id = :person"
                " ORDER BY epoch DESC, version DESC LIMIT 1"
            ),
            {"person": kept},
        ).one()
    assert tuple(newest) == (7, 1)
    city.ask(staff["clerk"], ChangePhone(person_id=kept, phone="13971650005"))
    with city.begin("funding") as uow:
        epochs = uow.session.scalars(
            text("SELECT epoch FROM person WHERE version IS NOT NULL ORDER BY epoch")
        ).all()
    assert list(epochs) == [0, 7], "the forgotten person stays under the old epoch"

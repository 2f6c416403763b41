"""The running service: events in on the real broker, requests over RPC, a letter from a child."""

from __future__ import annotations

import io
import urllib.request
from collections.abc import Callable
from contextlib import closing
from datetime import date
from uuid import UUID

import pytest
from pypdf import PdfReader

from deploy.local.ports import free_ports
from services.chassis.actors import ActorSigner
from services.chassis.client import Client
from services.contracts.commands import cases as c
from services.contracts.commands.common import SetClock
from services.contracts.errors import Forbidden, NotFound, Unauthenticated
from services.contracts.events.registry import (
    DivisionRegistered,
    HouseholdRecorded,
    StaffAppointed,
)
from tests.builders import case_world as world
from tests.fixtures.services import KEYS, actor
from tests.integration.cases.test_carry_over import carried
from tests.integration.cases.test_reviews_and_limits import ADMIN
from tests.integration.notify.test_service import answers, process, publish, until


@pytest.mark.timeout(240)
def test_a_roster_an_application_and_a_letter(
    amqp_uri: str, database: Callable[[str], str]
) -> None:
    """Carried over once however often told, accepted once a key, its letter typeset."""
    (port,) = free_ports(1)
    health = f"http://127.0.0.1:{port}"
    signer = ActorSigner(KEYS["ACTOR_SIGNING_KEY"])
    clerk, admin = signer.token(world.acting(world.CLERK)), signer.token(ADMIN)
    known = [
        DivisionRegistered(division=code, name=name, parent=None, valid_from=date(2023, 6, 30))
        for code, name in world.PLACES.items()
    ]
    staff = StaffAppointed(
        staff_id=world.CLERK,
        staff_no="HH0001",
        name="王芳",
        division=world.TOWN,
        roles=world.acting(world.CLERK).roles,
        scopes=(world.TOWN,),
        active=True,
        epoch=0,
        version=1,
    )
    household = HouseholdRecorded(
        household_id=world.HOUSEHOLD,
        household_no="1",
        division=world.VILLAGE,
        head_person_id=world.HEAD,
        payee_person_id=world.HEAD,
        members=1,
        epoch=0,
        version=1,
    )
    client = Client(amqp_uri)
    with (
        closing(client),
        process(
            "services.chassis.runner",
            "cases",
            **KEYS,
            AMQP_URI=amqp_uri,
            CASES_DATABASE_URL=database("cases"),
            ZHIDA_MODE="test",
            HEALTH_ADDRESS=f"127.0.0.1:{port}",
        ),
    ):
        until("readiness", lambda: answers(f"{health}/readyz"))
        client.call(SetClock(today=world.MONDAY), token=admin, service="cases")
        publish(amqp_uri, [*known, staff, world.recorded(), household])
        publish(amqp_uri, [carried(1), carried(1), carried(2)])

        def all_carried() -> bool:
            page = client.call(c.ListCases(kind="carried_over"), token=clerk)
            return len(page.cases) == 2

        until("the carried-over cases", all_carried)

        def is_known() -> bool:
            try:
                seen = client.call(c.ReadIntake(person_id=world.HEAD), token=clerk)
            except NotFound:
                return False
            return seen.division_name == "螺山镇中原村"

        until("the copies", is_known)
        accept = c.AcceptApplication(application=world.application())
        view = client.call(accept, token=clerk, key="k1")
        assert client.call(accept, token=clerk, key="k1").case_id == view.case_id
        with pytest.raises(Unauthenticated):
            client.call(c.ReadCase(case_id=view.case_id))
        stranger = signer.token(actor(divisions=("421083109",), staff_id=UUID(int=70)))
        with pytest.raises(Forbidden):
            client.call(c.ReadCase(case_id=view.case_id), token=stranger)
        printed = client.call(
            c.RenderDocument(case_id=view.case_id, letter="acceptance_notice"), token=clerk
        )
        described, content = client.download("cases", printed.file_id, token=clerk)
        assert described.name == f"受理通知书-{view.case_no}.pdf"
        text = PdfReader(io.BytesIO(content)).pages[0].extract_text()
        assert view.case_no in text
        assert "洪湖市螺山镇人民政府" in text
        with urllib.request.urlopen(f"{health}/metrics", timeout=5) as answer:
            metrics = answer.read().decode()
        assert "zhida_cases_by_limit" in metrics
        assert answers(f"{health}/livez")

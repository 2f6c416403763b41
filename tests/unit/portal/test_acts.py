"""The desk offers what the services allow: the same acts to the same posts."""

from __future__ import annotations

import uuid

import pytest
from starlette.datastructures import FormData

from services.cases.service import CasesService
from services.chassis.service import endpoints
from services.contracts.actors import Role
from services.contracts.commands.cases import CaseView
from services.portal.acts import ACTS, Act, acts_for
from services.portal.forms import Form
from tests.unit.portal.double import convert, example

ID = uuid.UUID(int=5)

FILLED = FormData(
    [
        ("material", "identity"),
        ("reason", "理由"),
        ("ground", "objection"),
        ("investigator", str(ID)),
        ("finding", "属实"),
        ("income", "400"),
        ("report_no", "HD1"),
        ("consistent", "yes"),
        ("favourable", "yes"),
        ("content", "异议"),
        ("number", "1"),
        ("upheld", "no"),
        ("passed", "yes"),
        ("outcome", "granted"),
        ("way", "当面送达"),
        ("cause", "periodic"),
    ]
)


@pytest.mark.parametrize("act", ACTS, ids=lambda act: act.code)
def test_an_act_is_offered_to_exactly_the_posts_the_service_admits(act: Act) -> None:
    """A button that is always refused, or work without a button, cannot be."""
    form = Form(FILLED)
    command = act.read(ID, form)
    form.check()
    assert act.roles == set(endpoints(CasesService)[command.method()].access)


def test_nothing_is_offered_on_a_finished_refusal() -> None:
    """A refused and closed case waits for nobody."""
    case = convert(
        type(example(CaseView)),
        state="closed",
        outcome="refused",
        current=(),
        notice=None,
        objections=(),
        decision=None,
        needs_county_visit=False,
    )
    assert acts_for(case, tuple(Role)) == []

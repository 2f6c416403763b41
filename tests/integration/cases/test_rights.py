"""Who may do what: every entrypoint of cases, by post and by place; two at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import date
from uuid import UUID

import pytest

from services.cases.service import CasesService
from services.chassis.service import PUBLIC, endpoints
from services.contracts.actors import Actor, Role
from services.contracts.commands import cases as c
from services.contracts.errors import Conflict, Forbidden, NotFound, ZhidaError
from services.contracts.events.cases import CaseAccepted, CaseDecided
from tests.builders import case_world as world
from tests.integration.cases.conftest import Town
from tests.integration.cases.test_life_of_a_case import accepted, inquired, publicised

OWN = {
    name: endpoint
    for name, endpoint in endpoints(CasesService).items()
    if endpoint.request.__module__.endswith("commands.cases")
}

SAMPLES: dict[str, Callable[[UUID], c.Command[object] | c.Query[object]]] = {
    "complete_papers": lambda i: c.CompletePapers(
        case_id=i, materials=("application_form",), finding="x", signed=True
    ),
    "correct_decision": lambda i: c.CorrectDecision(case_id=i, outcome="refused", reason="x"),
    "decide": lambda i: c.Decide(case_id=i, outcome="granted"),
    "decline_application": lambda i: c.DeclineApplication(case_id=i, reason="x"),
    "end_case": lambda i: c.EndCase(case_id=i, ground="withdrawn", reason="x"),
    "end_publicity": lambda i: c.EndPublicity(case_id=i),
    "extend_deadline": lambda i: c.ExtendDeadline(case_id=i, ground="objection", reason="x"),
    "federation_review": lambda i: c.FederationReview(case_id=i, passed=True),
    "give_opinion": lambda i: c.GiveOpinion(case_id=i, favourable=True),
    "open_publicity": lambda i: c.OpenPublicity(case_id=i),
    "open_review": lambda i: c.OpenReview(case_id=i, cause="periodic", reason="x"),
    "read_case": lambda i: c.ReadCase(case_id=i),
    "record_county_visit": lambda i: c.RecordCountyVisit(
        case_id=i, visitors=world.COUNTY_VISITORS, finding="x"
    ),
    "record_investigation": lambda i: c.RecordInvestigation(
        case_id=i,
        investigators=world.INVESTIGATORS,
        signed_by=world.INVESTIGATORS,
        household_signed=True,
        finding="x",
    ),
    "record_means_check": lambda i: c.RecordMeansCheck(case_id=i, report_no="1", consistent=True),
    "record_objection": lambda i: c.RecordObjection(case_id=i, content="x"),
    "render_document": lambda i: c.RenderDocument(case_id=i, letter="acceptance_notice"),
    "request_assessment": lambda i: c.RequestAssessment(case_id=i),
    "resolve_objection": lambda i: c.ResolveObjection(
        case_id=i, number=1, upheld=False, finding="x"
    ),
    "serve_decision": lambda i: c.ServeDecision(case_id=i, way="x"),
    "supply_material": lambda i: c.SupplyMaterial(case_id=i, materials=("promise",)),
}
"""Every request about one case; a new one without its sample fails below."""


def test_every_request_about_a_case_has_its_sample() -> None:
    """So that the test of places below leaves none out."""
    about_a_case = {name for name, e in OWN.items() if "case_id" in e.request.__struct_fields__}
    assert about_a_case == set(SAMPLES)


def test_no_entrypoint_is_open_to_everybody_by_oversight() -> None:
    """Public: guide, notice board and calendar. Nothing else, and no post decides by accident."""
    public = {name for name, endpoint in OWN.items() if endpoint.access is PUBLIC}
    assert public == {"list_items", "list_notices", "read_calendar"}
    of_the_system = {"load_calendar", "trace_case"}
    for name, endpoint in OWN.items():
        if name not in public:
            assert endpoint.access, name
            assert Role.SYSTEM_ADMIN not in endpoint.access or name in of_the_system  # type: ignore[operator]
    assert set(OWN["decide"].access) == {Role.TOWN_DECIDER, Role.COUNTY_DECIDER}  # type: ignore[arg-type]


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_a_post_of_another_town_gets_nowhere(town: Town, name: str) -> None:
    """The right role in the wrong place: refused for every request, and nothing is written."""
    view = accepted(town)
    roles = tuple(OWN[name].access)  # type: ignore[arg-type]
    stranger = Actor(id=str(UUID(int=77)), name="外镇", roles=roles, divisions=(world.OTHER_TOWN,))
    with pytest.raises(Forbidden):
        town.ask(stranger, SAMPLES[name](view.case_id))
    assert town.ask(world.CLERK, c.ReadCase(case_id=view.case_id)) == view


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_a_case_that_is_not_there_is_not_found(town: Town, name: str) -> None:
    """An unknown id says so in Chinese."""
    roles = tuple(OWN[name].access)  # type: ignore[arg-type]
    somebody = Actor(id=str(UUID(int=77)), name="某人", roles=roles, divisions=("42",))
    with pytest.raises(NotFound, match="没有这个案件"):
        town.ask(somebody, SAMPLES[name](UUID(int=1)))


def at_once(*acts: Callable[[], object]) -> list[object]:
    """Run acts in threads that start together; their answers or refusals."""
    barrier, answers = threading.Barrier(len(acts)), []

    def run(act: Callable[[], object]) -> None:
        barrier.wait()
        try:
            answers.append(act())
        except ZhidaError as error:
            answers.append(error)

    threads = [threading.Thread(target=run, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return answers


def test_two_windows_at_once_take_one_application(town: Town) -> None:
    """The second waits for the first and then finds its case."""
    answers = at_once(lambda: accepted(town), lambda: accepted(town, applicant_id=world.WIFE))
    assert sorted(type(answer).__name__ for answer in answers) == ["CaseView", "Conflict"]
    assert len(town.told(CaseAccepted)) == 1


def test_two_deciders_at_once_make_one_decision(town: Town) -> None:
    """Both press at the same moment: one decision, one event, one refusal."""
    view = publicised(town, inquired(town, accepted(town)))
    other = Actor(
        id=str(UUID(int=33)),
        name="另一审批",
        roles=(Role.TOWN_DECIDER,),
        divisions=(world.TOWN,),
    )
    answers = at_once(
        lambda: town.ask(world.DECIDER, c.Decide(case_id=view.case_id, outcome="granted")),
        lambda: town.ask(other, c.Decide(case_id=view.case_id, outcome="refused", reason="不")),
    )
    assert sorted(type(answer).__name__ for answer in answers) == ["CaseView", "Conflict"]
    assert len(town.told(CaseDecided)) == 1


def test_nothing_is_granted_for_somebody_who_died_meanwhile(town: Town) -> None:
    """The amount was worked out with them: the family applies anew."""
    from services.cases import projections

    view = publicised(town, inquired(town, accepted(town)))
    dead = world.recorded(
        world.WIFE, name="张秀英", relation="配偶", deceased_on=date(2026, 10, 2), version=2
    )
    with town.system() as uow:
        projections.people(uow, [dead])
    with pytest.raises(Conflict, match="张秀英已死亡登记") as error:
        town.ask(world.DECIDER, c.Decide(case_id=view.case_id, outcome="granted"))
    assert error.value.reason == "covered_died"

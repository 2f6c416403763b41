"""Deaths open reviews; limits are told of in time; a new calendar moves them; desk equals lists."""

from __future__ import annotations

from datetime import date, timedelta
from uuid import UUID

import pytest
from sqlalchemy import update
from sqlalchemy.exc import DBAPIError

from services.cases import carry_over, held_benefits, publicity, reminders, reviews
from services.cases.models import FactRow
from services.contracts.actors import Actor, Role
from services.contracts.commands import cases as c
from services.contracts.errors import Conflict, Invalid
from services.contracts.events.cases import CaseClosed, CaseDecided, DeadlineNeared, ReviewOpened
from services.contracts.events.funding import (
    CycleLocked,
    EntitlementEnded,
    EntitlementGranted,
    EntitlementRefused,
)
from services.contracts.events.registry import PersonDeathRevoked, PersonDied
from tests.builders import case_world as world
from tests.integration.cases.conftest import Town
from tests.integration.cases.test_carry_over import carried
from tests.integration.cases.test_life_of_a_case import accepted, granted, inquired

ADMIN = Actor(id=str(UUID(int=9)), name="管理员", roles=(Role.SYSTEM_ADMIN,), divisions=("421083",))


def died(person: UUID, number: int = 1) -> PersonDied:
    """A death as registry tells of it."""
    return PersonDied(
        person_id=person,
        household_id=world.HOUSEHOLD,
        division=world.VILLAGE,
        died_on=date(2026, 10, 20),
        source="public_security",
        source_event_id=f"e{number}",
        officer_id=world.CLERK,
    )


# -- deaths --------------------------------------------------------------------------------------


def test_a_death_opens_a_review_of_each_running_benefit(town: Town) -> None:
    """One a granted case, once however often told, handed to the responsible officer."""
    view = granted(town)
    with town.system() as uow:
        reviews.handle_deaths(uow, [died(world.WIFE), died(world.WIFE)])
    with town.system() as uow:
        reviews.handle_deaths(uow, [died(world.WIFE)])
    opened = town.told(ReviewOpened)
    assert len(opened) == 1
    assert (opened[0].person_id, opened[0].officer_id) == (world.WIFE, world.CLERK)
    review = town.ask(world.CLERK, c.ReadCase(case_id=opened[0].case_id))
    assert review.kind == "review"
    assert review.circumstance == "成员死亡：2026-10-20 死亡登记"
    assert set(review.asked[0].covered_ids) == {world.HEAD, world.CHILD}
    assert review.case_no != view.case_no


def test_a_review_is_opened_whether_or_not_funding_stopped_first(town: Town) -> None:
    """The entitlement's end by the same death does not hide the case."""
    event = carried(1)
    person = event.applicant_person_id
    with town.system() as uow:
        carry_over.handle(uow, [event])
        ended = EntitlementEnded(
            entitlement_id=UUID(int=0x700),
            case_id=event.grant_id,
            household_id=event.household_id,
            person_ids=(person,),
            benefit=event.benefit,
            division=event.division,
            last_month=None,
            reason="death",
        )
        held_benefits.keep(uow, [ended])
        reviews.handle_deaths(uow, [died(person)])
    assert len(town.told(ReviewOpened)) == 1


def test_a_revoked_death_ends_its_review_and_never_opens_one_late(town: Town) -> None:
    """In both orders: after the death, and heard of before it."""
    granted(town)
    revoked = PersonDeathRevoked(
        person_id=world.WIFE,
        household_id=world.HOUSEHOLD,
        division=world.VILLAGE,
        revokes="e1",
        source_event_id="e9",
    )
    with town.system() as uow:
        reviews.handle_deaths(uow, [died(world.WIFE)])
    with town.system() as uow:
        reviews.handle_deaths(uow, [revoked, died(world.WIFE), died(world.HEAD, 2)])
    with town.system() as uow:
        reviews.handle_deaths(uow, [died(world.WIFE)])
    opened = town.told(ReviewOpened)
    assert [event.cause_event_id for event in opened] == ["e1", "e2"]
    states = [town.ask(world.CLERK, c.ReadCase(case_id=event.case_id)).state for event in opened]
    assert states == ["ended", "in_progress"]


@pytest.mark.parametrize(("outcome", "again"), [("ended", True), ("kept", False)])
def test_a_review_decided_by_a_false_death_is_held_again(
    town: Town, outcome: str, again: bool
) -> None:
    """What the decision took away is looked at anew, with the living man among those covered and in
    the hands of the same officer; once, however often the revocation is told."""
    granted(town)
    with town.system() as uow:
        reviews.handle_deaths(uow, [died(world.WIFE)])
    (first,) = town.told(ReviewOpened)
    looked_into(town, first.case_id, "户籍已注销")
    town.ask(world.DECIDER, c.Decide(case_id=first.case_id, outcome=outcome, reason="成员死亡登记"))
    revoked = PersonDeathRevoked(
        person_id=world.WIFE,
        household_id=world.HOUSEHOLD,
        division=world.VILLAGE,
        revokes="e1",
        source_event_id="e9",
    )
    for _ in range(2):
        with town.system() as uow:
            reviews.handle_deaths(uow, [revoked, died(world.WIFE)])
    opened = town.told(ReviewOpened)[1:]
    assert town.ask(world.CLERK, c.ReadCase(case_id=first.case_id)).outcome == outcome
    assert len(opened) == again
    for event in opened:
        assert (event.cause, event.cause_event_id) == ("death_revoked", "e1")
        assert (event.person_id, event.officer_id) == (world.WIFE, world.CLERK)
        review = town.ask(world.CLERK, c.ReadCase(case_id=event.case_id))
        assert review.state == "in_progress"
        assert review.circumstance.startswith(f"死亡登记撤销：复核 {first.case_no} ")
        assert set(review.asked[0].covered_ids) == {world.HEAD, world.WIFE, world.CHILD}


def looked_into(town: Town, case_id: UUID, finding: str, income_fen: int | None = None) -> None:
    """Verified by two, as the law asks before a review is decided."""
    town.ask(
        world.CLERK,
        c.RecordInvestigation(
            case_id=case_id,
            investigators=world.INVESTIGATORS,
            signed_by=world.INVESTIGATORS,
            household_signed=True,
            finding=finding,
            income_fen=income_fen,
        ),
    )


def test_a_review_ends_the_benefit_it_is_about(town: Town) -> None:
    """Verified by two, decided by the body, told to funding by the benefit's name."""
    view = granted(town)
    review = town.ask(
        world.CLERK, c.OpenReview(case_id=view.case_id, cause="income_changed", reason="子女就业")
    )
    with pytest.raises(Conflict, match=review.case_no):
        town.ask(world.CLERK, c.OpenReview(case_id=view.case_id, cause="reported", reason="x"))
    looked_into(town, review.case_id, "子女月收入五千元", income_fen=500_000)
    with pytest.raises(Invalid, match="理由"):
        town.ask(world.DECIDER, c.Decide(case_id=review.case_id, outcome="ended"))
    town.ask(
        world.DECIDER,
        c.Decide(case_id=review.case_id, outcome="ended", reason="收入超过标准"),
    )
    event = town.told(CaseDecided)[-1]
    assert (event.basis, event.outcome) == ("review", "ended")
    assert [b.benefit for b in event.benefits] == ["rural_dibao"]


# -- limits --------------------------------------------------------------------------------------


def test_limits_are_told_of_near_due_and_overdue_once_each(town: Town) -> None:
    """Three working days before, on the day, and after it also to the decider."""
    view = accepted(town)
    stages = []
    for day in (
        date(2026, 10, 23),
        date(2026, 10, 27),
        date(2026, 10, 28),
        date(2026, 10, 30),
        date(2026, 10, 30),
        date(2026, 11, 2),
        date(2026, 11, 3),
    ):
        town.today = day
        with town.system() as uow:
            reminders.remind(uow)
        stages = [(e.stage, e.officer_id) for e in town.told(DeadlineNeared)]
    assert stages == [
        ("near", world.CLERK),
        ("due", world.CLERK),
        ("overdue", world.CLERK),
        ("overdue", world.DECIDER),
    ]
    assert len({e.notice_id for e in town.told(DeadlineNeared)}) == 4
    shown = town.ask(world.CLERK, c.ReadCase(case_id=view.case_id))
    assert shown.deadline is not None
    assert shown.deadline.words == "已超期 2 个工作日（应于10月30日前）"


def test_an_extension_resets_the_reminders(town: Town) -> None:
    """After 20 → 45 days nothing is overdue until the new day."""
    view = accepted(town)
    town.today = date(2026, 10, 28)
    with town.system() as uow:
        reminders.remind(uow)
    after = town.ask(
        world.REVIEWER,
        c.ExtendDeadline(
            case_id=view.case_id, ground="hard_investigation", reason="成员在外省务工"
        ),
    )
    assert after.deadline is not None
    assert after.deadline.extended
    town.today = date(2026, 11, 3)
    with town.system() as uow:
        reminders.remind(uow)
    assert [e.stage for e in town.told(DeadlineNeared)] == ["near"]


def test_a_late_decision_needs_its_reason(town: Town) -> None:
    """Field late_reason is named; with it the decision stands and the timeline says why."""
    from tests.integration.cases.test_life_of_a_case import publicised

    view = publicised(town, inquired(town, accepted(town)))
    town.today = date(2026, 11, 2)
    with pytest.raises(Invalid) as error:
        town.ask(world.DECIDER, c.Decide(case_id=view.case_id, outcome="granted"))
    assert error.value.field == "late_reason"
    decided = town.ask(
        world.DECIDER,
        c.Decide(case_id=view.case_id, outcome="granted", late_reason="汛期道路中断"),
    )
    assert "超期原因：汛期道路中断" in decided.timeline[-1].detail


def notice_2027() -> c.LoadCalendar:
    """A made-up notice: 春节 to 2027-02-12, made up on two Saturdays."""
    off = [date(2027, 1, 1), *(date(2027, 2, day) for day in range(5, 13))]
    return c.LoadCalendar(
        year=2027,
        off=(*off, date(2027, 4, 5), date(2027, 5, 3), date(2027, 6, 9), date(2027, 9, 15)),
        work=(date(2027, 2, 20), date(2027, 1, 30)),
        source="国办发明电〔2026〕12号",
    )


def test_a_loaded_notice_moves_open_limits_with_a_trace(town: Town) -> None:
    """A limit in provisional 2027 is marked; the notice moves it and says so."""
    town.today = date(2027, 1, 18)
    view = accepted(town)
    assert view.deadline is not None
    assert view.deadline.provisional
    assert "暂定" in view.deadline.words
    loaded = town.ask(ADMIN, notice_2027())
    assert loaded.moved == 1
    assert loaded.calendar.status == "published"
    after = town.ask(world.CLERK, c.ReadCase(case_id=view.case_id))
    assert after.deadline is not None
    assert not after.deadline.provisional
    assert after.deadline.due_on != view.deadline.due_on
    assert after.timeline[-1].title == "期限重新计算"
    assert str(view.deadline.due_on) in after.timeline[-1].detail
    again = town.ask(ADMIN, notice_2027())
    assert again.moved == 0


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"off": (date(2026, 1, 1),)}, "off[0]"),
        ({"off": (date(2027, 1, 1),)}, "off"),
        ({"work": (date(2027, 2, 22),)}, "work[0]"),
        ({"source": " "}, "source"),
    ],
)
def test_a_wrong_notice_is_refused_whole(town: Town, change: dict[str, object], field: str) -> None:
    """Another year, too few days, a weekday as make-up day, no source: named, nothing loaded."""
    import msgspec

    with pytest.raises(Invalid) as error:
        town.ask(ADMIN, msgspec.structs.replace(notice_2027(), **change))
    assert error.value.field == field
    assert town.ask(ADMIN, c.ReadCalendar(year=2027)).status == "provisional"


def test_a_year_nobody_knows_stops_acceptance(town: Town) -> None:
    """2031: no notice, no statutory days; the error says what to load and nothing is written."""
    town.today = date(2030, 12, 20)
    with pytest.raises(Conflict, match="2031"):
        accepted(town)
    assert town.ask(world.CLERK, c.ListCases()).cases == ()


# -- the desk ------------------------------------------------------------------------------------


def test_every_count_of_the_desk_equals_its_list(town: Town) -> None:
    """Cases in different states: each bucket's number is the length of the list it opens."""
    granted(town)
    other = c.Application(
        item="temporary_aid",
        applicant_id=world.HEAD,
        route="urgent",
        circumstance="房屋失火",
    )
    view = town.ask(world.CLERK, c.AcceptApplication(application=other))
    for staff in (world.CLERK, world.DECIDER, world.OTHER_CLERK, world.COUNTY_DECIDER):
        counts = {each.bucket: each.count for each in town.ask(staff, c.ReadDesk())}
        for bucket, count in counts.items():
            listed = town.ask(staff, c.ListCases(bucket=bucket)).cases
            assert len(listed) == count, (bucket, staff)
    counts = {each.bucket: each.count for each in town.ask(world.CLERK, c.ReadDesk())}
    assert counts["decision"] == 1
    assert counts["notification"] == 1
    assert counts["mine"] == 2
    assert counts["waiting"] == 2  # a decision that nobody was told yet waits like the others
    assert view.current == ("decision",)
    assert sum(each.count for each in town.ask(world.OTHER_CLERK, c.ReadDesk())) == 0


def test_pages_follow_one_another_without_gap_or_repeat(town: Town) -> None:
    """Keyset paging over 25 carried-over cases, seven at a time."""
    with town.system() as uow:
        carry_over.handle(uow, [carried(n) for n in range(25)])
    seen: list[UUID] = []
    after = None
    while True:
        page = town.ask(world.CLERK, c.ListCases(after=after, limit=7))
        seen += [line.case_id for line in page.cases]
        if (after := page.next) is None:
            break
    assert len(seen) == len(set(seen)) == 25
    with pytest.raises(Invalid, match="翻页"):
        town.ask(world.CLERK, c.ListCases(after="nonsense"))


def test_an_unknown_bucket_is_named(town: Town) -> None:
    """The error lists what there is."""
    with pytest.raises(Invalid) as error:
        town.ask(world.CLERK, c.ListCases(bucket="everything"))
    assert error.value.field == "bucket"
    assert "overdue" in (error.value.advice or "")


# -- what funding says ---------------------------------------------------------------------------


def test_intake_shows_what_is_held_elsewhere(town: Town) -> None:
    """A benefit granted in another town is on the page with its place, and stops 低保."""
    held = EntitlementGranted(
        entitlement_id=UUID(int=0x701),
        case_id=UUID(int=0x702),
        household_id=world.HOUSEHOLD,
        person_ids=(world.WIFE,),
        benefit="urban_dibao",
        division=world.OTHER_VILLAGE,
        from_month=date(2026, 1, 1),
    )
    with town.system() as uow:
        held_benefits.keep(uow, [held])
    seen = town.ask(world.CLERK, c.ReadIntake(person_id=world.HEAD))
    assert [(b.benefit_name, b.place_name) for b in seen.benefits] == [
        ("城市最低生活保障", "乌林镇香山村")
    ]
    with pytest.raises(Conflict, match="已在乌林镇香山村享受城市最低生活保障"):
        accepted(town)
    with town.system() as uow:
        ended = EntitlementEnded(
            entitlement_id=held.entitlement_id,
            case_id=held.case_id,
            household_id=held.household_id,
            person_ids=held.person_ids,
            benefit=held.benefit,
            division=held.division,
            last_month=date(2026, 9, 1),
            reason="迁出",
        )
        held_benefits.keep(uow, [ended, held])
    assert town.ask(world.CLERK, c.ReadIntake(person_id=world.HEAD)).benefits == ()
    assert accepted(town).state == "in_progress"


def test_a_wrong_decision_is_corrected_until_its_month_is_locked(town: Town) -> None:
    """Before: a new decision naming the old one. After funding locked the month: refused."""
    view = granted(town)
    wrong = town.told(CaseDecided)[0]
    corrected = town.ask(
        world.DECIDER,
        c.CorrectDecision(case_id=view.case_id, outcome="refused", reason="收入计算有误"),
    )
    assert corrected.outcome == "refused"
    event = town.told(CaseDecided)[-1]
    assert (event.basis, event.corrects, event.outcome) == (
        "correction",
        wrong.decision_id,
        "refused",
    )
    town.ask(
        world.DECIDER,
        c.CorrectDecision(case_id=view.case_id, outcome="granted", reason="收入重新核定无误"),
    )
    with town.system() as uow:
        held_benefits.month_locked(
            uow,
            [
                CycleLocked(
                    batch_id=UUID(int=1),
                    division=world.COUNTY,
                    month=date(2026, 11, 1),
                    kind="monthly",
                    payments=1,
                    total_fen=66_000,
                )
            ],
        )
    with pytest.raises(Conflict, match="已经发放"):
        town.ask(
            world.DECIDER,
            c.CorrectDecision(case_id=view.case_id, outcome="refused", reason="再更正"),
        )


def test_a_decision_funding_cannot_follow_comes_back(town: Town) -> None:
    """It stands in 决定退回 with the clause until it is corrected."""
    view = granted(town)
    event = town.told(CaseDecided)[0]
    with town.system() as uow:
        from services.cases import decisions

        decisions.refused_by_funding(
            uow,
            [
                EntitlementRefused(
                    decision_id=event.decision_id,
                    case_id=event.case_id,
                    division=event.division,
                    benefit="rural_dibao",
                    reason="保障对象已在享特困",
                    clause="办法第九条",
                )
            ],
        )
    shown = town.ask(world.DECIDER, c.ReadCase(case_id=view.case_id))
    assert shown.decision is not None
    assert shown.decision.returned == "保障对象已在享特困（办法第九条）"
    bucket = town.ask(world.DECIDER, c.ListCases(bucket="returned")).cases
    assert [line.case_id for line in bucket] == [view.case_id]
    town.ask(
        world.DECIDER,
        c.CorrectDecision(case_id=view.case_id, outcome="refused", reason="已享特困"),
    )
    assert town.ask(world.DECIDER, c.ListCases(bucket="returned")).cases == ()


# -- urgent aid, publicity, facts ----------------------------------------------------------------


def test_urgent_aid_is_decided_and_told_to_funding_the_same_day(town: Town) -> None:
    """No papers, no check, no notice; funding gets an urgent one-off; papers follow and close."""
    asked = c.Application(
        item="temporary_aid", applicant_id=world.HEAD, route="urgent", circumstance="房屋失火"
    )
    view = town.ask(world.CLERK, c.AcceptApplication(application=asked))
    aided = town.ask(
        world.DECIDER,
        c.Decide(
            case_id=view.case_id,
            outcome="granted",
            grants=(c.Grant(benefit="temporary_aid", amount_fen=180_000),),
        ),
    )
    event = town.told(CaseDecided)[0]
    assert event.decided_on == town.today
    granted_benefit = event.benefits[0]
    assert (granted_benefit.urgent, granted_benefit.from_month) == (True, None)
    assert granted_benefit.amount_fen == 180_000
    assert aided.deadline is not None
    assert aided.deadline.kind == "papers"
    assert aided.deadline.due_on == date(2026, 10, 10), "a Saturday made up for 国庆 counts"
    with pytest.raises(Conflict, match="已经发放"):
        town.ask(
            world.DECIDER,
            c.CorrectDecision(case_id=view.case_id, outcome="refused", reason="不实"),
        )
    town.ask(world.CLERK, c.ServeDecision(case_id=view.case_id, way="当场告知"))
    closed = town.ask(
        world.CLERK,
        c.CompletePapers(
            case_id=view.case_id,
            materials=("application_form", "hardship_proof"),
            finding="失火，救助 1,800 元，本人签收",
            signed=True,
        ),
    )
    assert closed.state == "closed"
    assert town.told(CaseClosed)[0].outcome == "granted"


def test_the_board_shows_a_notice_for_its_days_only(town: Town) -> None:
    """Seven days after the day of hanging, then it is gone, taken down or not."""
    view = inquired(town, accepted(town))
    town.ask(world.REVIEWER, c.GiveOpinion(case_id=view.case_id, favourable=True))
    hung = town.ask(world.CLERK, c.OpenPublicity(case_id=view.case_id))
    assert hung.notice is not None
    board = c.ListNotices(division=world.TOWN)
    nobody = Actor(id="anonymous", name="未登录", roles=(), divisions=())

    def on_board() -> int:
        with town.begin("cases", actor=nobody, today=town.today) as uow:
            return len(publicity.board(uow, board))

    assert on_board() == 1
    town.today = hung.notice.closes_on
    assert on_board() == 1
    with town.system() as uow:
        publicity.end_due(uow)
    assert town.ask(world.CLERK, c.ReadCase(case_id=view.case_id)).notice.taken_down_on is None  # type: ignore[union-attr]
    town.today = hung.notice.closes_on + timedelta(days=1)
    assert on_board() == 0
    with town.system() as uow:
        publicity.end_due(uow)
    shown = town.ask(world.CLERK, c.ReadCase(case_id=view.case_id))
    assert shown.notice is not None
    assert shown.notice.taken_down_on == town.today


def test_facts_are_never_changed(town: Town) -> None:
    """The database itself refuses: the service's own role may not even try."""
    accepted(town)
    with pytest.raises(DBAPIError, match="permission denied"), town.system() as uow:
        uow.session.execute(update(FactRow).values(kind="decided"))


def test_a_letter_is_printed_and_kept(town: Town) -> None:
    """The PDF stands in cases' files, named by case."""
    view = accepted(town)
    assert [letter.code for letter in view.letters] == ["acceptance_notice"]
    printed = town.ask(
        world.CLERK, c.RenderDocument(case_id=view.case_id, letter="acceptance_notice")
    )
    assert printed.name == f"受理通知书-{view.case_no}.pdf"
    from services.chassis import files

    with town.begin("cases", actor=world.acting(world.CLERK), today=town.today) as uow:
        assert files.read(uow, printed.file_id).startswith(b"%PDF")
    with pytest.raises(Invalid, match="没有“love_letter”"):
        town.ask(world.CLERK, c.RenderDocument(case_id=view.case_id, letter="love_letter"))

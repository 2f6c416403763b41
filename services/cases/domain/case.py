"""A case: a pure state machine over its facts, with the law's named steps.

Nothing about a case is stored but its facts: its state, the steps done and what comes next follow
from them. Acts (``intake``, ``inquiry``, ``posting``, ``judgment``) check what the law demands and
return the case with one fact more, or refuse in Chinese.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum
from typing import TypeVar

from services.cases.domain import facts as f
from services.cases.domain.calendar import Calendar, Reckoned
from services.cases.domain.catalogue import Item, Route, Step, StepCode
from services.cases.domain.deadlines import Pause, limit_ends
from services.cases.domain.policy import PauseCause, Rule
from services.contracts.errors import Conflict

FactT = TypeVar("FactT", bound=f.Fact)


class State(StrEnum):
    """Where a case stands."""

    SUPPLEMENTING = "supplementing"
    IN_PROGRESS = "in_progress"
    DECIDED = "decided"
    CLOSED = "closed"
    NOT_ACCEPTED = "not_accepted"
    ENDED = "ended"


FINAL = frozenset({State.CLOSED, State.NOT_ACCEPTED, State.ENDED})

STATE_LABELS = {
    State.SUPPLEMENTING: "待补正",
    State.IN_PROGRESS: "办理中",
    State.DECIDED: "已决定",
    State.CLOSED: "办结",
    State.NOT_ACCEPTED: "不予受理",
    State.ENDED: "终止",
}

OUTCOME_LABELS = {
    f.Outcome.GRANTED: "审核确认",
    f.Outcome.REFUSED: "不予确认",
    f.Outcome.KEPT: "维持待遇",
    f.Outcome.CHANGED: "变更待遇",
    f.Outcome.ENDED: "终止待遇",
}


class StepState(StrEnum):
    """How a step stands on the step bar."""

    DONE = "done"
    CURRENT = "current"
    WAITING = "waiting"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class StepStatus:
    """One place on the step bar. ``on``: the day it was done; ``since``: it became possible."""

    step: Step
    state: StepState
    on: date | None = None
    since: date | None = None


@dataclass(frozen=True)
class Limit:
    """A running limit: to ``decide``, to make up ``papers``, or to ``tell``."""

    kind: str
    due: Reckoned


@dataclass(frozen=True)
class Case:
    """``minor``: the person a notice would name is under 18, so there is none."""

    item: Item
    route: Route
    rule: Rule
    division: str
    facts: tuple[f.AnyFact, ...]
    minor: bool = False

    # What follows from the facts --------------------------------------------------------------

    def last(self, kind: type[FactT]) -> FactT | None:
        """The latest fact of a type."""
        return next((fact for fact in reversed(self.facts) if isinstance(fact, kind)), None)

    def every(self, kind: type[FactT]) -> list[FactT]:
        """All facts of a type, oldest first."""
        return [fact for fact in self.facts if isinstance(fact, kind)]

    def place_of(self, *kinds: type[f.Fact]) -> int:
        """The place of the latest fact of any of ``kinds``, or -1."""
        for place in range(len(self.facts) - 1, -1, -1):
            if isinstance(self.facts[place], kinds):
                return place
        return -1

    @property
    def asked(self) -> tuple[f.Asked, ...]:
        """The benefits the case is about."""
        first = self.facts[0] if self.facts else None
        return first.asked if isinstance(first, f.Registered | f.ReviewOpened) else ()

    @property
    def materials(self) -> frozenset[str]:
        """All papers that came in."""
        registered = self.last(f.Registered)
        brought = set(registered.materials if registered else ())
        for supplied in self.every(f.MaterialSupplied):
            brought.update(supplied.materials)
        for papers in self.every(f.PapersCompleted):
            brought.update(papers.materials)
        return frozenset(brought)

    @property
    def decision(self) -> f.Decided | f.Corrected | None:
        """The decision that stands."""
        place = self.place_of(f.Decided, f.Corrected)
        fact = self.facts[place] if place >= 0 else None
        return fact if isinstance(fact, f.Decided | f.Corrected) else None

    @property
    def outcome(self) -> f.Outcome | None:
        """How it was decided, if it was."""
        if self.last(f.CarriedOver):
            return f.Outcome.GRANTED
        return self.decision.outcome if self.decision else None

    @property
    def accepted_on(self) -> date | None:
        """The day of 受理 (of opening, for a review)."""
        started = self.last(f.Accepted) or self.last(f.ReviewOpened)
        return started.on if started else None

    @property
    def state(self) -> State:
        """Where the case stands."""
        if self.last(f.NotAccepted):
            return State.NOT_ACCEPTED
        if self.last(f.Ended):
            return State.ENDED
        if self.last(f.CarriedOver):
            return State.CLOSED
        if self.decision:
            return State.DECIDED if any(self._open_steps()) else State.CLOSED
        return State.IN_PROGRESS if self.accepted_on else State.SUPPLEMENTING

    @property
    def open_objection(self) -> f.ObjectionRaised | None:
        """An objection nobody has answered yet."""
        answered = {resolved.number for resolved in self.every(f.ObjectionResolved)}
        return next(
            (raised for raised in self.every(f.ObjectionRaised) if raised.number not in answered),
            None,
        )

    @property
    def open_notice(self) -> f.PublicityOpened | None:
        """The notice that hangs now."""
        opened, ended = self.place_of(f.PublicityOpened), self.place_of(f.PublicityEnded)
        return self.last(f.PublicityOpened) if opened > ended else None

    @property
    def quote(self) -> f.Quoted | None:
        """Funding's answer to the latest question; an answer to an older one does not count."""
        question = self.last(f.AssessmentAsked)
        quotes = [q for q in self.every(f.Quoted) if question and q.round == question.round]
        return quotes[-1] if quotes else None

    @property
    def opinion(self) -> f.OpinionGiven | None:
        """The opinion that still counts."""
        place = self._done_at(StepCode.OPINION)
        fact = self.facts[place] if place >= 0 else None
        return fact if isinstance(fact, f.OpinionGiven) else None

    @property
    def bounced(self) -> f.GrantRefused | None:
        """Funding's refusal of the decision that stands: it waits for a correction."""
        refused, decision = self.last(f.GrantRefused), self.decision
        if refused and decision and refused.decision_id == decision.decision_id:
            return refused
        return None

    @property
    def income_fen(self) -> int | None:
        """Monthly income that counts: what the latest investigation or check says."""
        said = [
            fact.income_fen
            for fact in self.facts
            if isinstance(fact, f.Investigated | f.MeansChecked) and fact.income_fen is not None
        ]
        return said[-1] if said else None

    @property
    def single_person(self) -> bool:
        """Whether 单人保 was asked for (art. 8)."""
        registered = self.last(f.Registered)
        return bool(registered and registered.single_person)

    @property
    def first_officer(self) -> str:
        """首问责任人: whoever took the application in, to the end."""
        return self.facts[0].by

    @property
    def relatives(self) -> tuple[f.Kinship, ...]:
        """Near relatives of the applicant among the staff, as declared at intake."""
        registered = self.last(f.Registered)
        return registered.relatives if registered else ()

    @property
    def needs_county_visit(self) -> bool:
        """A relative of staff, or a complaint: the county goes to the home (art. 11, 20)."""
        return bool(self.relatives) or any(o.complaint for o in self.every(f.ObjectionRaised))

    @property
    def investigators(self) -> frozenset[str]:
        """Everyone who ever investigated or visited for this case."""
        people = {str(i) for fact in self.every(f.Investigated) for i in fact.investigators}
        people |= {str(v) for fact in self.every(f.CountyVisited) for v in fact.visitors}
        return frozenset(people)

    @property
    def registrars(self) -> frozenset[str]:
        """Everyone who registered, took papers in or accepted."""
        kinds = f.Registered | f.MissingTold | f.MaterialSupplied | f.Accepted
        return frozenset(fact.by for fact in self.facts if isinstance(fact, kinds))

    @property
    def involved(self) -> frozenset[str]:
        """Registrars, investigators, and who gave an opinion or decided: not to sign the money."""
        kinds = f.OpinionGiven | f.Decided | f.Corrected
        said = {fact.by for fact in self.facts if isinstance(fact, kinds)}
        return self.registrars | self.investigators | said

    @property
    def publicised(self) -> bool:
        """Whether this case must be publicised: by its route, and never naming a child."""
        return self.route.has(StepCode.PUBLICITY) and not self.item.child and not self.minor

    # Steps ------------------------------------------------------------------------------------

    def _done_at(self, code: StepCode) -> int:
        """The place of the fact that completed a step and still counts, or -1.

        An upheld objection undoes investigation and opinion; a redone investigation or check
        undoes the opinion; the notice is repeated only where policy demands it.
        """
        upheld = max(
            (
                place
                for place, fact in enumerate(self.facts)
                if isinstance(fact, f.ObjectionResolved) and fact.upheld
            ),
            default=-1,
        )
        match code:
            case StepCode.ACCEPTANCE:
                return self.place_of(f.Accepted, f.ReviewOpened)
            case StepCode.INVESTIGATION:
                place = self.place_of(f.Investigated)
                return place if place > upheld else -1
            case StepCode.MEANS_CHECK:
                return self.place_of(f.MeansChecked)
            case StepCode.FEDERATION_REVIEW:
                return self.place_of(f.FederationReviewed)
            case StepCode.OPINION:
                place = self.place_of(f.OpinionGiven)
                found = self.place_of(f.Investigated, f.MeansChecked)
                return place if place > max(upheld, found) else -1
            case StepCode.PUBLICITY:
                place = self.place_of(f.PublicityEnded)
                fresh = place > upheld or not self.rule.republish
                standing = fresh and not self.open_objection and not self.open_notice
                return place if standing else -1
            case StepCode.DECISION:
                return self.place_of(f.Decided, f.Corrected)
            case StepCode.PAPERS:
                return self.place_of(f.PapersCompleted)
            case StepCode.NOTIFICATION:
                place = self.place_of(f.Told)
                return place if place > self.place_of(f.Decided, f.Corrected) else -1

    def done(self, code: StepCode) -> bool:
        """Whether a step is done and still counts."""
        return self._done_at(code) >= 0

    def skips(self, step: Step) -> bool:
        """A step that this case does not take."""
        if step.code is StepCode.PUBLICITY:
            return not self.publicised or self.unfavourable
        return step.code is StepCode.PAPERS and self.outcome not in (None, f.Outcome.GRANTED)

    @property
    def unfavourable(self) -> bool:
        return self.opinion is not None and not self.opinion.favourable

    def _ready(self, step: Step) -> bool:
        """Whether everything that must come before a step is done."""
        return all(
            self.done(code) or self.skips(before)
            for code in step.after
            if (before := self.route.step(code)) is not None
        )

    def _open_steps(self) -> list[Step]:
        """Steps that can be done now. Once decided, only what follows a decision."""
        decided = self.done(StepCode.DECISION)
        return [
            step
            for step in self.route.steps
            if not self.done(step.code)
            and not self.skips(step)
            and not self._passed_over(step, decided)
            and (decided or self._ready(step))
        ]

    @property
    def current(self) -> tuple[StepCode, ...]:
        """The steps that can be done now; none once the case is final."""
        if self.state in FINAL:
            return ()
        return tuple(step.code for step in self._open_steps())

    def step_bar(self) -> tuple[StepStatus, ...]:
        """All steps of the route with how each stands, in order."""
        current = self.current
        decided = self.done(StepCode.DECISION)
        bar = []
        for step in self.route.steps:
            place = self._done_at(step.code)
            if self.last(f.CarriedOver):
                status = StepStatus(step, StepState.DONE, on=self.facts[-1].on)
            elif place >= 0:
                status = StepStatus(step, StepState.DONE, on=self.facts[place].on)
            elif step.code in current:
                status = StepStatus(step, StepState.CURRENT, since=self._since(step))
            elif self.skips(step) or self._passed_over(step, decided) or self.state in FINAL:
                status = StepStatus(step, StepState.SKIPPED)
            else:
                status = StepStatus(step, StepState.WAITING)
            bar.append(status)
        return tuple(bar)

    @staticmethod
    def _passed_over(step: Step, decided: bool) -> bool:
        """A refusal may come before all steps are done; those are then not taken any more."""
        return decided and step.code not in (StepCode.PAPERS, StepCode.NOTIFICATION)

    def _since(self, step: Step) -> date | None:
        """The day a step became possible: the latest of what it waited for."""
        places = [self._done_at(code) for code in step.after]
        if step.code in (StepCode.INVESTIGATION, StepCode.OPINION):
            places.append(self.place_of(f.ObjectionResolved))
        days = [self.facts[place].on for place in places if place >= 0]
        return max(days, default=self.facts[0].on)

    # Deadlines --------------------------------------------------------------------------------

    def due(self, calendar: Calendar, today: date) -> Reckoned | None:
        """The last day to decide, from acceptance; ``None`` before it."""
        if self.accepted_on is None:
            return None
        extended = self.last(f.Extended) is not None
        days = self.rule.extended if extended else self.rule.limit
        return limit_ends(calendar, self.accepted_on, days, self._pauses(), today)

    def _pauses(self) -> list[Pause]:
        """The spans that policy lets pause the limit."""
        spans: list[Pause] = []
        if PauseCause.PUBLICITY in self.rule.pauses:
            ends = [ended.on for ended in self.every(f.PublicityEnded)]
            spans += [
                Pause(opened.on, next((day for day in ends if day >= opened.on), None))
                for opened in self.every(f.PublicityOpened)
            ]
        if PauseCause.OBJECTION in self.rule.pauses:
            answers = {r.number: r.on for r in self.every(f.ObjectionResolved)}
            spans += [
                Pause(raised.on, answers.get(raised.number))
                for raised in self.every(f.ObjectionRaised)
            ]
        if PauseCause.MEANS_CHECK in self.rule.pauses and self.accepted_on:
            checks = self.every(f.MeansChecked)
            if self.route.has(StepCode.MEANS_CHECK):
                spans.append(Pause(self.accepted_on, checks[0].on if checks else None))
        return spans

    @property
    def paused(self) -> bool:
        """Whether policy lets the limit stand still now."""
        return any(pause.end is None for pause in self._pauses())

    def limit(self, calendar: Calendar, today: date) -> Limit | None:
        """The limit that runs now: to decide, then to make up papers and to tell."""
        if self.state is State.IN_PROGRESS and not self.paused:
            due = self.due(calendar, today)
            return Limit("decide", due) if due else None
        if self.state is not State.DECIDED:
            return None
        after = []
        if StepCode.PAPERS in self.current and (papers := self.papers_due(calendar)):
            after.append(Limit("papers", papers))
        if StepCode.NOTIFICATION in self.current and (telling := self.telling_due(calendar)):
            after.append(Limit("tell", telling))
        return min(after, key=lambda limit: limit.due.day, default=None)

    def papers_due(self, calendar: Calendar) -> Reckoned | None:
        """The last day to make up the papers of an urgent grant."""
        if not (self.route.has(StepCode.PAPERS) and self.outcome is f.Outcome.GRANTED):
            return None
        assert self.decision is not None
        return limit_ends(calendar, self.decision.on, self.rule.papers_within, (), self.decision.on)

    def telling_due(self, calendar: Calendar) -> Reckoned | None:
        """The last day to tell the applicant of a refusal in writing (art. 21)."""
        if self.decision is None or self.decision.outcome is not f.Outcome.REFUSED:
            return None
        days = self.rule.refusal_told_within
        return limit_ends(calendar, self.decision.on, days, (), self.decision.on)

    # What an act may rely on -------------------------------------------------------------------

    def plus(self, *new: f.AnyFact) -> Case:
        return replace(self, facts=self.facts + new)

    def expect(self, *states: State) -> None:
        if self.state not in states:
            raise Conflict(
                f"案件{STATE_LABELS[self.state]}，不能再做这一步",
                field="case_id",
                advice="请刷新案件，按步骤条上的当前环节办理",
                reason="wrong_state",
            )

    def expect_step(self, code: StepCode, *, again: bool = False) -> Step:
        """The step, if the route has it, all before it is done and it is not done yet."""
        self.expect(State.IN_PROGRESS)
        step = self.route.step(code)
        if step is None:
            raise Conflict(
                f"“{self.item.name}”（{self.route.name}）没有{STEP_LABELS[code]}这一环节",
                field="case_id",
                advice="请按步骤条上的环节办理",
                reason="no_such_step",
            )
        if self.skips(step):
            raise Conflict(
                f"本案不需要{step.name}",
                field="case_id",
                reason="step_skipped",
                advice="请办理步骤条上的下一环节",
            )
        if not self._ready(step):
            waiting = "、".join(
                before.name
                for before_code in step.after
                if (before := self.route.step(before_code))
                and not self.done(before_code)
                and not self.skips(before)
            )
            raise Conflict(
                f"还不能{step.name}：{waiting}尚未完成",
                field="case_id",
                advice=f"请先完成{waiting}",
                reason="step_out_of_order",
            )
        if self.done(code) and not again:
            raise Conflict(
                f"{step.name}已经完成，不能重复办理",
                field="case_id",
                advice="请办理步骤条上的下一环节",
                reason="step_already_done",
            )
        return step


STEP_LABELS = {
    StepCode.ACCEPTANCE: "受理",
    StepCode.INVESTIGATION: "调查",
    StepCode.MEANS_CHECK: "信息核对",
    StepCode.OPINION: "初审",
    StepCode.PUBLICITY: "公示",
    StepCode.FEDERATION_REVIEW: "残联审核",
    StepCode.DECISION: "审核确认",
    StepCode.PAPERS: "补齐手续",
    StepCode.NOTIFICATION: "告知",
}

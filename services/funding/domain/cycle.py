"""A batch of payments: its states, the steps between them, and who may sign.

The words are those of the work: 开期, 计算, 校验, 审核, 核拨, 锁定, 已发送代发行, 对账完成, 作废.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

import msgspec

from services.contracts.actors import ROLE_LABELS, Actor, Role
from services.contracts.errors import Conflict
from services.funding.domain.months import Month, month_of, shift


class State(StrEnum):
    """Where a batch stands."""

    OPEN = "open"
    COMPUTED = "computed"
    CHECKED = "checked"
    REVIEWED = "reviewed"
    RELEASED = "released"
    LOCKED = "locked"
    SENT = "sent"
    SETTLED = "settled"
    VOIDED = "voided"


STATE_LABELS: dict[State, str] = {
    State.OPEN: "已开期",
    State.COMPUTED: "已计算",
    State.CHECKED: "已校验",
    State.REVIEWED: "已审核",
    State.RELEASED: "已核拨",
    State.LOCKED: "已锁定",
    State.SENT: "已发送代发行",
    State.SETTLED: "对账完成",
    State.VOIDED: "已作废",
}


class Step(StrEnum):
    """What can be done to a batch."""

    COMPUTE = "compute"
    CHECK = "check"
    REVIEW = "review"
    RELEASE = "release"
    SEND_BACK = "send_back"
    DISCARD = "discard"
    LOCK = "lock"
    VOID = "void"
    EXPORT = "export"
    SETTLE = "settle"


STEP_LABELS: dict[Step, str] = {
    Step.COMPUTE: "计算",
    Step.CHECK: "校验",
    Step.REVIEW: "审核",
    Step.RELEASE: "核拨",
    Step.SEND_BACK: "退回",
    Step.DISCARD: "撤销",
    Step.LOCK: "锁定",
    Step.VOID: "作废",
    Step.EXPORT: "生成银行文件",
    Step.SETTLE: "读入回盘文件",
}

MOVES: dict[Step, dict[State, State]] = {
    Step.COMPUTE: {
        State.OPEN: State.COMPUTED,
        State.COMPUTED: State.COMPUTED,
        State.CHECKED: State.COMPUTED,
    },
    Step.CHECK: {State.COMPUTED: State.CHECKED, State.CHECKED: State.CHECKED},
    Step.REVIEW: {State.CHECKED: State.REVIEWED},
    Step.RELEASE: {State.REVIEWED: State.RELEASED},
    Step.SEND_BACK: {State.REVIEWED: State.COMPUTED, State.RELEASED: State.COMPUTED},
    Step.DISCARD: {
        State.OPEN: State.VOIDED,
        State.COMPUTED: State.VOIDED,
        State.CHECKED: State.VOIDED,
    },
    Step.LOCK: {State.RELEASED: State.LOCKED},
    Step.VOID: {State.LOCKED: State.VOIDED},
    Step.EXPORT: {State.LOCKED: State.SENT},
    Step.SETTLE: {State.SENT: State.SETTLED, State.SETTLED: State.SETTLED},
}


class Timetable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When a division opens and pays its months, from a date on; ``source`` says who set it."""

    division: str
    effective_from: date
    pay_day: int
    months_ahead: int
    months_back: int
    source: str


def may_open(month: Month, today: date, timetable: Timetable) -> bool:
    """Whether a batch of this month may be opened on this day."""
    now = month_of(today)
    earliest, latest = shift(now, -timetable.months_back), shift(now, timetable.months_ahead)
    return earliest <= month <= latest


class StepRefusedError(Conflict):
    """The batch's state, or the signer, does not allow the step; the reason is Chinese."""


def advance(state: State, step: Step) -> State:
    """The state after a step; raises StepRefusedError when the step is out of order."""
    after = MOVES[step].get(state)
    if after is None:
        allowed = "、".join(STATE_LABELS[before] for before in MOVES[step])
        raise StepRefusedError(
            f"批次{STATE_LABELS[state]}，不能{STEP_LABELS[step]}；{STEP_LABELS[step]}须在{allowed}时进行"
        )
    return after


class Seat(StrEnum):
    """Which of the two signatures (a void needs both as well)."""

    REVIEW = "review"
    RELEASE = "release"
    VOID_REVIEW = "void_review"
    VOID_RELEASE = "void_release"


SEAT_ROLES: dict[Seat, Role] = {
    Seat.REVIEW: Role.CIVIL_AUDITOR,
    Seat.RELEASE: Role.FINANCE_OFFICER,
    Seat.VOID_REVIEW: Role.CIVIL_AUDITOR,
    Seat.VOID_RELEASE: Role.FINANCE_OFFICER,
}


SEAT_LABELS: dict[Seat, str] = {
    Seat.REVIEW: "审核",
    Seat.RELEASE: "核拨",
    Seat.VOID_REVIEW: "作废（审核）",
    Seat.VOID_RELEASE: "作废（核拨）",
}


@dataclass(frozen=True, kw_only=True)
class Deputy:
    """Someone who may sign in a role's place between two days (both included)."""

    staff_id: str
    role: Role
    from_day: date
    to_day: date


@dataclass(frozen=True, kw_only=True)
class Capacity:
    """In which role somebody signs, and whether as a deputy."""

    role: Role
    as_deputy: bool


def may_sign(
    seat: Seat,
    signer: Actor,
    *,
    maker_id: str,
    involved: frozenset[str],
    signed_by: frozenset[str],
    deputies: Iterable[Deputy],
    day: date,
) -> Capacity:
    """The capacity in which somebody may sign; raises StepRefusedError when they may not.

    Two persons in two roles, neither the maker of the batch nor anybody who registered,
    investigated or decided a case in it (``involved``), nor one who has signed already.
    """
    role = SEAT_ROLES[seat]
    acting = any(
        deputy.staff_id == signer.id
        and deputy.role is role
        and deputy.from_day <= day <= deputy.to_day
        for deputy in deputies
    )
    if not signer.has(role) and not acting:
        raise StepRefusedError(f"须由{ROLE_LABELS[role]}岗位或其有效期内的代理人签署")
    if signer.id == maker_id:
        raise StepRefusedError("制单人不能审核或核拨自己编制的批次")
    if signer.id in involved:
        raise StepRefusedError("经办、调查或审批过本批次中个案的人员不能签署")
    if signer.id in signed_by:
        raise StepRefusedError("审核与核拨须由两人分别签署")
    return Capacity(role=role, as_deputy=not signer.has(role))

"""A bank's return file against what was sent: every line is judged, or the whole file refused.

A line missing from the file stays alive and is asked after, never re-paid. A file that names a line
we did not send, another sum, another account or the same line twice changes nothing.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from services.contracts.errors import Invalid
from services.contracts.money import Fen, yuan
from services.funding.domain.bank_profile import (
    REASON_LABELS,
    BankFileError,
    BankProfile,
    RawAnswer,
    parse_reference,
    read_amount,
)


class Outcome(StrEnum):
    """What a line's answer means for its payment."""

    SETTLED = "settled"
    FAILED = "failed"
    RETURNED = "returned"
    REPEATED = "repeated"
    """The same answer as before: nothing to do."""


@dataclass(frozen=True, slots=True)
class SentLine:
    """What we sent on a line and what is known of it: ``sent``, ``settled`` or ``failed``."""

    line_no: int
    account: str
    fen: Fen
    state: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The judged answer to one line."""

    row: int
    line_no: int
    outcome: Outcome
    fen: Fen
    reason_code: str = ""
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Why a row of the file cannot be believed, and what to do; row and field are named."""

    row: int
    field: str
    problem: str
    advice: str


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A file as judged. With any problem nothing may be applied."""

    answers: tuple[Answer, ...]
    problems: tuple[Problem, ...]
    unanswered: tuple[int, ...]


def judge(
    profile: BankProfile,
    serial: int,
    sent: Mapping[int, SentLine],
    raw_answers: Iterable[RawAnswer],
    *,
    announced_fen: Fen | None = None,
    announced_lines: int | None = None,
) -> Reading:
    """Judge every row of a return file of the batch with this serial number."""
    answers: list[Answer] = []
    problems: list[Problem] = []
    seen: dict[int, int] = {}
    total = rows = 0
    for raw in raw_answers:
        rows += 1
        try:
            answer = _judge_row(profile, serial, sent, raw, seen)
        except _RowError as error:
            problems.append(error.problem)
        else:
            seen[answer.line_no] = raw.row
            total += answer.fen
            answers.append(answer)
    if not problems:
        if rows == 0:
            problems.append(
                Problem(
                    row=1, field="文件", problem="回盘文件没有明细", advice="请向代发行索取完整回盘"
                )
            )
        if announced_lines is not None and announced_lines != rows:
            problems.append(
                Problem(
                    row=1,
                    field="笔数",
                    problem=f"头记录写 {announced_lines} 笔，明细有 {rows} 笔",
                    advice="文件可能被截断，请重新取回",
                )
            )
        if announced_fen is not None and announced_fen != total:
            problems.append(
                Problem(
                    row=1,
                    field="合计金额",
                    problem=f"头记录合计 {yuan(announced_fen)} 元，明细合计 {yuan(total)} 元",
                    advice="请与代发行核对后重新取回",
                )
            )
    unanswered = tuple(
        line_no for line_no, line in sent.items() if line.state == "sent" and line_no not in seen
    )
    return Reading(answers=tuple(answers), problems=tuple(problems), unanswered=unanswered)


class _RowError(Exception):
    def __init__(self, raw: RawAnswer, field: str, problem: str, advice: str) -> None:
        super().__init__(problem)
        self.problem = Problem(row=raw.row, field=field, problem=problem, advice=advice)


def _judge_row(
    profile: BankProfile,
    serial: int,
    sent: Mapping[int, SentLine],
    raw: RawAnswer,
    seen: Mapping[int, int],
) -> Answer:
    try:
        file_serial, line_no = parse_reference(raw.reference)
    except BankFileError as error:
        raise _RowError(raw, "备注", str(error), "请保留原文件的备注栏不变") from error
    if file_serial != serial:
        raise _RowError(
            raw,
            "备注",
            f"该行属于批次 {file_serial}，不是批次 {serial}",
            "请选择对应批次的回盘文件",
        )
    line = sent.get(line_no)
    if line is None:
        raise _RowError(raw, "备注", f"本批次没有第 {line_no} 笔", "请与代发行核对该笔来源")
    if line_no in seen:
        raise _RowError(
            raw, "备注", f"第 {line_no} 笔在第 {seen[line_no]} 行已出现", "同一笔只能回报一次"
        )
    try:
        amount = read_amount(profile, raw.amount)
    except (ValueError, Invalid) as error:
        raise _RowError(raw, "金额", str(error), "请与代发行核对金额") from error
    if amount != line.fen:
        raise _RowError(
            raw,
            "金额",
            f"回盘 {yuan(amount)} 元，报送 {yuan(line.fen)} 元",
            "金额须与报送一致，请与代发行核对",
        )
    if raw.account != line.account:
        raise _RowError(raw, "账号", f"第 {line_no} 笔账号与报送不一致", "请与代发行核对收款账号")
    return _outcome(profile, line, raw)


def _outcome(profile: BankProfile, line: SentLine, raw: RawAnswer) -> Answer:
    if raw.result == profile.success:
        if line.state == "failed":
            raise _RowError(
                raw,
                "处理标志",
                f"第 {line.line_no} 笔此前已回报失败，现又报成功",
                "请先与代发行核实，避免重复发放",
            )
        outcome = Outcome.REPEATED if line.state == "settled" else Outcome.SETTLED
        return Answer(row=raw.row, line_no=line.line_no, outcome=outcome, fen=line.fen)
    code = profile.results.get(raw.result)
    if code is None:
        raise _RowError(
            raw, "处理标志", f"不认识的处理标志“{raw.result}”", "请按代发行说明补充处理标志"
        )
    outcome = {"sent": Outcome.FAILED, "settled": Outcome.RETURNED}.get(
        line.state, Outcome.REPEATED
    )
    return Answer(
        row=raw.row,
        line_no=line.line_no,
        outcome=outcome,
        fen=line.fen,
        reason_code=code,
        reason=raw.reason or REASON_LABELS[code],
    )

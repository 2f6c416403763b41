"""The old system's last bank file against a computed batch, account by account."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.contracts.errors import Invalid
from services.contracts.money import Fen, fen

TITLES: dict[str, tuple[str, ...]] = {
    "name": ("户名", "姓名", "收款人", "收款户名"),
    "account": ("账号", "卡号", "银行账号", "收款账号"),
    "amount": ("金额", "应发金额(元)", "应发金额", "应处理金额", "金额(元)", "发放金额"),
}


@dataclass(frozen=True, slots=True)
class OldLine:
    """A line of the old file."""

    row: int
    name: str
    account: str
    fen: Fen


def read_old_lines(rows: Sequence[Sequence[object]]) -> list[OldLine]:
    """The lines of an old file; raises ``Invalid`` naming the row and column that is wrong."""
    titles = (
        [str(cell).strip().replace("（", "(").replace("）", ")") for cell in rows[0:1][0]]
        if (rows)
        else []
    )
    places = {}
    for key, names in TITLES.items():
        place = next((titles.index(name) for name in names if name in titles), None)
        if place is None:
            raise Invalid(
                f"旧文件缺少“{names[0]}”列", field=names[0], advice="请保留户名、账号、金额三列"
            )
        places[key] = place
    lines = []
    for number, cells in enumerate(rows[1:], start=2):
        values = {key: cells[place] if place < len(cells) else "" for key, place in places.items()}
        if not any(str(value).strip() for value in values.values()):
            continue
        account = values["account"]
        if isinstance(account, float):
            raise Invalid(
                f"第 {number} 行账号是数字格式，末位可能已被抹掉",
                field="账号",
                advice="请把账号列改为文本后重新导出",
            )
        if not str(account).strip():
            raise Invalid(f"第 {number} 行没有账号", field="账号", advice="请补齐或删去该行")
        amount = values["amount"]
        written = f"{amount:.2f}" if isinstance(amount, float) else str(amount)
        try:
            value = fen(written, field="金额")
        except Invalid as error:
            raise Invalid(
                f"第 {number} 行：{error.message}", field="金额", advice=error.advice
            ) from error
        lines.append(OldLine(number, str(values["name"]).strip(), str(account).strip(), value))
    return lines


@dataclass(frozen=True, kw_only=True)
class NewSum:
    """What our batch pays to an account (known by its blind index) and what is behind it."""

    name: str
    last4: str
    fen: Fen
    division: str
    benefits: tuple[str, ...]
    new: bool
    """Whether any of it was granted after the old system's last month."""
    members_changed: bool


@dataclass(frozen=True, kw_only=True)
class Absent:
    """Why an account we know is not in our batch."""

    reason: str
    division: str | None


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One account whose sum differs."""

    kind: str
    name: str
    last4: str
    old_fen: Fen | None
    new_fen: Fen | None
    reason: str
    division: str | None
    benefits: tuple[str, ...]


def compare(
    old: Mapping[str, tuple[str, str, Fen]],
    new: Mapping[str, NewSum],
    absent: Mapping[str, Absent],
) -> list[Difference]:
    """Every difference with its reason, the largest first. Keys are blind indexes of accounts.

    ``old`` gives name, last digits and sum of an account in the old file.
    """
    differences = []
    for key, (name, last4, fen_then) in old.items():
        now = new.get(key)
        if now is None:
            why = absent.get(key)
            differences.append(
                Difference(
                    kind="only_old",
                    name=name,
                    last4=last4,
                    old_fen=fen_then,
                    new_fen=None,
                    reason=why.reason if why else "本系统没有该账号，请核对花名册是否漏报",
                    division=why.division if why else None,
                    benefits=(),
                )
            )
        elif now.fen != fen_then:
            reason = "核定金额与旧系统不同，请核对"
            if now.members_changed:
                reason = "家庭成员变动或复核后重新计算"
            elif now.new:
                reason = "含本系统新批准的待遇"
            differences.append(_changed("amount", name, now, fen_then, reason))
    for key, now in new.items():
        if key not in old:
            reason = "本系统新批准" if now.new else "旧文件没有该账号，请核对是否换过账号"
            differences.append(_changed("only_new", now.name, now, None, reason))
    return sorted(differences, key=lambda d: -abs((d.new_fen or 0) - (d.old_fen or 0)))


def _changed(kind: str, name: str, now: NewSum, fen_then: Fen | None, reason: str) -> Difference:
    return Difference(
        kind=kind,
        name=name,
        last4=now.last4,
        old_fen=fen_then,
        new_fen=now.fen,
        reason=reason,
        division=now.division,
        benefits=now.benefits,
    )

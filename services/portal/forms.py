"""What was typed, read into what was meant.

A ``Form`` reads field by field, forgiving in form (full-width digits, spaces in numbers,
``1,200.5``, eight-digit dates) and strict in content, and gathers every problem, so that a person
corrects all of them at once. What was typed is kept and shown again.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from datetime import date
from enum import Enum
from typing import TypeVar
from uuid import UUID

import msgspec
from starlette.datastructures import FormData, UploadFile

from services.contracts.errors import Invalid, ZhidaError
from services.contracts.money import Fen, fen

E = TypeVar("E", bound=Enum)

_EIGHT_DIGITS = re.compile(r"(\d{4})[-./年]?(\d{1,2})[-./月]?(\d{1,2})日?")
_IN_A_ROW = re.compile(r"(\w+)\[(\d+)\]\.(\w+)")
"""How services name a field of a list, ``members[2].phone``; on a page it is ``phone-2``."""
_SPACES = re.compile(r"[\s\-－—]+")


class Problem(msgspec.Struct, frozen=True):
    """One line of the error summary. ``field`` is the input's name, where there is one."""

    message: str
    field: str | None = None
    advice: str | None = None


class Refused(ZhidaError):
    """A form with problems; nothing was asked of a service."""

    code = "invalid"
    status = 422

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(self.problems[0].message, field=self.problems[0].field)


def problems_of(error: ZhidaError) -> tuple[Problem, ...]:
    """The lines an error puts into the error summary."""
    if isinstance(error, Refused):
        return error.problems
    field = _IN_A_ROW.sub(r"\3-\2", error.field) if error.field else None
    return (Problem(error.message, field, error.advice),)


def half_width(text: str) -> str:
    """Full-width letters, digits and signs as half-width, and no space at the ends."""
    return unicodedata.normalize("NFKC", text).strip()


def compact(text: str) -> str:
    """A number typed in groups (``6228 4801 …``) as one word."""
    return _SPACES.sub("", half_width(text))


def eight_digit_day(text: str) -> date:
    """Read ``20261230``, ``2026-12-30`` or ``2026年12月30日``. Raises ``ValueError``."""
    found = _EIGHT_DIGITS.fullmatch(half_width(text).replace(" ", ""))
    if found is None:
        raise ValueError(text)
    return date(int(found[1]), int(found[2]), int(found[3]))


class Form:
    """The fields of one submitted form. Read all you need, then ``check()``."""

    def __init__(self, data: FormData | None = None) -> None:
        self._data = data if data is not None else FormData()
        self.problems: list[Problem] = []

    def typed(self, name: str, default: str = "") -> str:
        """What stands in the field, as typed, to be shown again."""
        value = self._data.get(name, default)
        return value if isinstance(value, str) else default

    def typed_list(self, name: str) -> list[str]:
        """All values typed or ticked under ``name``."""
        return [value for value in self._data.getlist(name) if isinstance(value, str)]

    def refuse(self, name: str, message: str, advice: str | None = None) -> None:
        """Note a problem with a field."""
        self.problems.append(Problem(message, name, advice))

    def check(self) -> None:
        """Raise ``Refused`` when any field had a problem."""
        if self.problems:
            raise Refused(self.problems)

    # A reader that meets a problem notes it and returns a neutral value: ``check()`` raises before
    # anybody uses it. ``maybe_…`` readers take an empty field for ``None``.

    def text(self, name: str, label: str) -> str:
        """A line of text, trimmed."""
        value = self.typed(name).strip()
        if not value:
            self.refuse(name, f"请填写{label}")
        return value

    def maybe_text(self, name: str) -> str | None:
        """A line of text, or ``None`` when left empty."""
        return self.typed(name).strip() or None

    def number(self, name: str, label: str) -> str:
        """An identity number, account or phone: spaces and full-width forms do not matter."""
        value = self.maybe_number(name)
        if value is None:
            self.refuse(name, f"请填写{label}")
        return value or ""

    def maybe_number(self, name: str) -> str | None:
        """The same, or ``None`` when left empty."""
        return compact(self.typed(name)).upper() or None

    def money(self, name: str, label: str) -> Fen:
        """An amount typed in yuan, as fen."""
        value = self.maybe_money(name, label)
        if value is None and not self.typed(name).strip():
            self.refuse(name, f"请填写{label}", "没有的请填 0")
        return value or 0

    def maybe_money(self, name: str, label: str) -> Fen | None:
        """The same, or ``None`` when left empty."""
        value = half_width(self.typed(name)).replace(" ", "")
        if not value:
            return None
        try:
            return fen(value, field=name)
        except Invalid as error:
            self.refuse(name, f"{label}：{error.message}", error.advice)
            return None

    def integer(self, name: str, label: str) -> int:
        """A whole number, zero or more."""
        value = half_width(self.typed(name))
        if not (value.isascii() and value.isdigit() and len(value) < 12):
            self.refuse(name, f"{label}应是整数")
            return 0
        return int(value)

    def day(self, name: str, label: str) -> date:
        """A date typed as eight digits."""
        value = self.maybe_day(name, label)
        if value is None and not self.typed(name).strip():
            self.refuse(name, f"请填写{label}", "八位数字，如 20261230")
        return value or date.min

    def maybe_day(self, name: str, label: str) -> date | None:
        """The same, or ``None`` when left empty."""
        value = self.typed(name).strip()
        if not value:
            return None
        try:
            return eight_digit_day(value)
        except ValueError:
            self.refuse(name, f"{label}“{value}”不是日期", "请填八位数字，如 20261230")
            return None

    def uuid(self, name: str, label: str) -> UUID:
        """An identifier chosen on the page."""
        try:
            return UUID(self.typed(name))
        except ValueError:
            self.refuse(name, f"请选择{label}")
            return UUID(int=0)

    def uuids(self, name: str) -> tuple[UUID, ...]:
        """Identifiers ticked in a list."""
        try:
            return tuple(UUID(value) for value in self.typed_list(name))
        except ValueError:
            self.refuse(name, "所选条目无效，请刷新页面重新选择")
            return ()

    def choice(self, name: str, label: str, kind: type[E]) -> E:
        """One of the values of an enumeration."""
        try:
            return kind(self.typed(name))
        except ValueError:
            self.refuse(name, f"请选择{label}")
            return next(iter(kind))

    def ticked(self, name: str) -> bool:
        """Whether a box is ticked."""
        return bool(self.typed(name))

    def upload(self, name: str, label: str) -> tuple[str, bytes]:
        """An uploaded file: its name and content. No file chosen is a problem."""
        value = self._data.get(name)
        if not isinstance(value, UploadFile) or not value.filename:
            self.refuse(name, f"请选择{label}")
            return "", b""
        return value.filename, value.file.read()

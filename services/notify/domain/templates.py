"""Templates of messages: fixed texts with ((fields)), in dated versions.

A text holds only names of fields from the fixed list in data/personalisation.toml; there is no code
in it. Every field has a greatest length, so the greatest length of a message is known when its
template is read, and a template that could become too long or names an unknown field is refused
there and not when a person waits for the message.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any

from services.contracts.errors import Invalid, NotFound
from services.notify.domain import sms

FIELD = re.compile(r"\(\(([a-z_]+)\)\)")
SPACE = re.compile(r"[\s\x00-\x1f\x7f]+")


class Audience(StrEnum):
    """Whom a template speaks to."""

    RESIDENT = "resident"
    OFFICER = "officer"


@dataclass(frozen=True)
class Field:
    """A personalisation field: its label for the editor, a sample, and its greatest length."""

    name: str
    label: str
    sample: str
    limit: int


@dataclass(frozen=True)
class Version:
    """One wording, in force from a date."""

    number: int
    since: date
    text: str
    fields: tuple[str, ...]


@dataclass(frozen=True)
class Template:
    """A kind of message with all its wordings, oldest first.

    `any_hour` ones go out in the quiet hours too; `bulk` ones let all others go first.
    """

    code: str
    title: str
    audience: Audience
    any_hour: bool
    bulk: bool
    max_parts: int
    versions: tuple[Version, ...]

    def in_force(self, on: date) -> Version:
        """The wording in force on a date."""
        found = [version for version in self.versions if version.since <= on]
        if not found:
            raise NotFound(
                f"消息模板“{self.title}”在 {on.isoformat()} 尚无生效版本",
                field="template",
                advice="请在模板文件中补充更早的生效日期",
            )
        return found[-1]

    def version(self, number: int) -> Version:
        """A wording by its number."""
        for version in self.versions:
            if version.number == number:
                return version
        raise NotFound(f"消息模板“{self.title}”没有第 {number} 版", field="version")


@dataclass(frozen=True)
class Preview:
    """A text as the reader sees it, and what it costs."""

    text: str
    length: int
    parts: int


def parse_fields(document: Mapping[str, Mapping[str, Any]]) -> dict[str, Field]:
    """The fixed list of personalisation fields from its TOML document."""
    fields = {}
    for name, entry in document.items():
        field = Field(name, str(entry["label"]), str(entry["sample"]), int(entry["limit"]))
        if sms.units(field.sample) > field.limit:
            raise Invalid(f"个性化字段 {name} 的示例超过 {field.limit} 个字", field=name)
        fields[name] = field
    return fields


def parse(
    code: str, document: Mapping[str, Any], fields: Mapping[str, Field], signature: str
) -> Template:
    """A template from its TOML document; refused when it could ever be unsendable.

    `signature` is the longest 【signature】 that stands before the text.
    """
    max_parts = int(document.get("max_parts", 2))
    versions = []
    for entry in document["versions"]:
        text = str(entry["text"]).strip()
        names = tuple(dict.fromkeys(FIELD.findall(text)))
        where = f"消息模板 {code} 第 {entry['version']} 版"
        unknown = [name for name in names if name not in fields]
        if unknown:
            raise Invalid(f"{where}使用了未登记的字段 {'、'.join(unknown)}", field="text")
        left = FIELD.sub("", text)
        if "((" in left or "))" in left:
            raise Invalid(f"{where}有未写完整的字段括号", field="text")
        longest = (
            sms.units(signature)
            + sms.units(left)
            + sum(fields[name].limit for name in FIELD.findall(text))
        )
        room = sms.SINGLE if max_parts == 1 else sms.PART * max_parts
        if longest > room:
            raise Invalid(
                f"{where}最长可达 {longest} 个字，超过 {max_parts} 条短信的 {room} 个字",
                field="text",
                advice="请缩短正文，或调小所用字段的上限",
            )
        versions.append(Version(int(entry["version"]), entry["since"], text, names))
    ordered = tuple(sorted(versions, key=lambda version: version.number))
    if not ordered:
        raise Invalid(f"消息模板 {code} 没有任何版本", field="versions")
    if list(ordered) != sorted(ordered, key=lambda version: version.since) or len(
        {version.number for version in ordered}
    ) != len(ordered):
        raise Invalid(f"消息模板 {code} 的版本号与生效日期次序不一致", field="versions")
    return Template(
        code=code,
        title=str(document["title"]),
        audience=Audience(document["audience"]),
        any_hour=bool(document.get("any_hour", False)),
        bulk=bool(document.get("bulk", False)),
        max_parts=max_parts,
        versions=ordered,
    )


def plain(value: str) -> str:
    """A value on one line: control characters and runs of spaces become one space."""
    return SPACE.sub(" ", value).strip()


def lacking(version: Version, values: Collection[str]) -> list[str]:
    """The fields of a wording for which there is no value."""
    return [name for name in version.fields if name not in values]


def render(
    template: Template,
    version: Version,
    values: Mapping[str, str],
    fields: Mapping[str, Field],
    signature: str = "",
) -> str:
    """The text of a message.

    Each value is put on one line and cut to its field's greatest length; a value that itself
    contains ((…)) stays as it is. A field without a value is an error naming the field.
    """
    if missing := lacking(version, values):
        raise Invalid(
            f"消息模板“{template.title}”缺少字段 {'、'.join(fields[n].label for n in missing)}",
            field=missing[0],
        )

    def value_of(match: re.Match[str]) -> str:
        name = match.group(1)
        return sms.fit(plain(values[name]), fields[name].limit)

    return signature + FIELD.sub(value_of, version.text)


def preview(
    template: Template,
    version: Version,
    fields: Mapping[str, Field],
    signature: str,
    values: Mapping[str, str] | None = None,
) -> Preview:
    """The text with sample values where none are given, its length and its number of parts."""
    given = {name: fields[name].sample for name in version.fields} | dict(values or {})
    text = render(template, version, given, fields, signature)
    return Preview(text, sms.units(text), sms.parts(text))

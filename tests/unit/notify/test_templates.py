"""A template that could not be sent is refused when it is read, not when a person waits for it."""

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contracts.errors import Invalid, NotFound
from services.notify import catalogue
from services.notify.domain import sms, templates
from services.notify.domain.templates import Field

FIELDS = {"name": Field("name", "姓名", "陈桂兰", 10), "reason": Field("reason", "理由", "无", 40)}


def document(*texts: str, **more: Any) -> dict[str, Any]:
    """A template document with one version for each text, in force from successive years."""
    versions = [
        {"version": n, "since": date(2018 + n, 1, 1), "text": text}
        for n, text in enumerate(texts, start=1)
    ]
    return {"title": "试例", "audience": "resident", "versions": versions} | more


@pytest.mark.parametrize("code", sorted(catalogue.all_templates()))
def test_each_shipped_template_fits_its_parts_in_the_worst_case(code: str) -> None:
    """With every field at its greatest length the text still fits, under every signature."""
    template = catalogue.all_templates()[code]
    fields = catalogue.fields()
    for version in template.versions:
        values = {name: "民" * (fields[name].limit + 5) for name in version.fields}
        for division in ("421083108007", "110101001001"):
            text = templates.render(
                template, version, values, fields, catalogue.signature(division)
            )
            assert text.startswith("【")
            assert 1 <= sms.parts(text) <= template.max_parts
            assert "((" not in text


def test_a_text_that_could_grow_too_long_is_refused() -> None:
    """The limits of the fields count, not the sample."""
    templates.parse("x", document("民" * 80 + "((name))"), FIELDS, "【洪湖民政】")
    with pytest.raises(Invalid, match="最长可达"):
        templates.parse("x", document("民" * 80 + "((name))((reason))"), FIELDS, "【洪湖民政】")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("((identity_number))", "未登记的字段 identity_number"),
        ("((name)", "字段括号"),
        ("name))", "字段括号"),
        ("((姓名))", "字段括号"),
        ("{{ name }} ((name", "字段括号"),
    ],
)
def test_a_template_names_only_listed_fields(text: str, says: str) -> None:
    """No identity number can get into a message, and no half-written field."""
    with pytest.raises(Invalid, match=says):
        templates.parse("x", document(text), FIELDS, "")


def test_the_wording_in_force_is_chosen_by_date() -> None:
    """A new wording holds from its day; before the first there is none."""
    template = templates.parse("x", document("旧", "新"), FIELDS, "")
    assert template.in_force(date(2019, 12, 31)).text == "旧"
    assert template.in_force(date(2020, 1, 1)).text == "新"
    assert template.version(1).text == "旧"
    with pytest.raises(NotFound, match="尚无生效版本"):
        template.in_force(date(2018, 12, 31))
    with pytest.raises(NotFound, match="没有第 3 版"):
        template.version(3)


def test_versions_out_of_order_are_refused() -> None:
    """A later version cannot be in force earlier, nor two bear one number."""
    twisted = document("旧", "新")
    twisted["versions"][1]["since"] = date(2000, 1, 1)
    with pytest.raises(Invalid, match="次序不一致"):
        templates.parse("x", twisted, FIELDS, "")
    doubled = document("旧", "新")
    doubled["versions"][1]["version"] = 1
    with pytest.raises(Invalid, match="次序不一致"):
        templates.parse("x", doubled, FIELDS, "")


def test_a_field_without_a_value_is_named() -> None:
    """The error names the field in Chinese."""
    template = templates.parse("x", document("((name))：((reason))"), FIELDS, "")
    with pytest.raises(Invalid, match="理由") as refused:
        templates.render(template, template.versions[0], {"name": "陈桂兰"}, FIELDS)
    assert refused.value.field == "reason"


@given(st.text(), st.text())
def test_a_value_cannot_change_the_text_around_it(name: str, reason: str) -> None:
    """Values are put on one line, cut to their limit, and never read as a template again."""
    template = templates.parse("x", document("甲((name))乙((reason))丙"), FIELDS, "")
    values = {"name": name, "reason": reason}
    text = templates.render(template, template.versions[0], values, FIELDS)
    put = [sms.fit(templates.plain(values[field]), FIELDS[field].limit) for field in values]
    assert text == f"甲{put[0]}乙{put[1]}丙"
    assert not {"\n", "\r", "\t", "\x00"} & set(text)


def test_the_longest_matching_signature_holds() -> None:
    """A village in Honghu signs as Honghu, any other place as the civil affairs office."""
    assert catalogue.signature("421083108007") == "【洪湖民政】"
    assert catalogue.signature("460106001") == "【民政】"


def test_preview_says_length_and_parts() -> None:
    """The editor sees what a text costs before anybody gets it."""
    template = templates.parse("x", document("((name))" + "民" * 70), FIELDS, "")
    seen = templates.preview(template, template.versions[0], FIELDS, "【民政】")
    assert (seen.text[:7], seen.length, seen.parts) == ("【民政】陈桂兰", 77, 2)

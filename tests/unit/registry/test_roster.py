"""The roster's rules: what is taken, what is refused, and that the clerk is told where and why."""

from collections.abc import Iterable
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.contracts.errors import Invalid
from services.registry.domain.benefits import BENEFITS
from services.registry.domain.roster import (
    SYNONYMS,
    TITLES,
    Grant,
    Roster,
    check,
    find_header,
)
from tests.builders.roster import HONGHU, OFFICERS, TODAY, checked, identity, row, sheet, titled


def only(found: Roster) -> tuple[int, str, str]:
    """Row, column and problem of the one error."""
    assert len(found.problems) == 1, found.problems
    problem = found.problems[0]
    assert problem.advice
    return problem.row, problem.column, problem.problem


def spouse(**cells: str) -> dict[str, object]:
    """A second member of the household S001."""
    return row(
        与户主关系="配偶", 姓名="李国强", 身份证号=identity(2), 银行账号="", 联系电话="", **cells
    )


def test_takes_a_right_row() -> None:
    """One row: one person, one household, one benefit, its amounts in fen."""
    found = checked(row())
    assert (found.rows, found.accepted, found.rejected) == (1, 1, 0)
    assert not found.problems
    assert not found.warnings
    (grant,) = found.grants
    assert (grant.benefit, grant.basis, grant.amount_fen) == ("rural_dibao", "household", 32000)
    assert (grant.since, grant.document) == ("2024-03", "洪民助〔2024〕12号")
    assert found.households[0].income_fen == 30000
    assert found.people[0].division == "421083108204"


@pytest.mark.parametrize(("title", "code"), [(title, code) for code, title in BENEFITS.items()])
def test_takes_all_eight_benefits(title: str, code: str) -> None:
    """Each accepted 待遇项目 becomes the benefit it names."""
    found = checked(row(待遇项目=title))
    assert [grant.benefit for grant in found.grants] == [code]


# -- headers ----------------------------------------------------------------------------------


@given(st.permutations(range(16)), st.data())
@settings(max_examples=25, deadline=None)
def test_headers_in_any_order_and_spelling(order: list[int], data: st.DataObject) -> None:
    """Columns are matched by header with synonyms, stars, units and spaces, in any order."""
    titles = [TITLES[column] for column in order]
    spelled = [
        data.draw(st.sampled_from(SYNONYMS[column]))
        + data.draw(st.sampled_from(["", " *", "（必填）"]))
        for column in order
    ]
    (_, cells) = sheet([row()], titles)[1]
    found = check(
        [(1, ["洪湖市花名册"]), (2, spelled), (3, cells)],
        gazetteer=HONGHU,
        officers=OFFICERS,
        today=TODAY,
    )
    assert found.accepted == 1
    assert found.people[0].row == 3


def test_says_which_column_is_missing() -> None:
    """A header without 身份证号 and 村 is refused by name."""
    titles = [title for title in TITLES if title not in ("身份证号", "村")]
    with pytest.raises(Invalid, match="缺少列：村、身份证号"):
        find_header(sheet([row()], titles))


def test_two_columns_of_one_name_are_refused() -> None:
    """Which of two 姓名 is meant cannot be known."""
    with pytest.raises(Invalid, match="姓名”出现了两次"):
        find_header([(1, [*TITLES, "人员姓名"])])


def test_a_sheet_without_header_is_refused() -> None:
    """A workbook of something else is not read as a roster."""
    with pytest.raises(Invalid, match="没有找到表头"):
        find_header([(1, ["日期", "天气"]), (2, ["2026-09-28", "晴"])])


def test_phone_and_category_columns_may_be_missing() -> None:
    """What people may lack, the roster may lack."""
    titles = [title for title in TITLES if title not in ("联系电话", "对象类别")]
    found = check(sheet([row()], titles), gazetteer=HONGHU, officers=OFFICERS, today=TODAY)
    assert not found.problems


def test_an_empty_roster_is_refused() -> None:
    """A header alone is no roster."""
    with pytest.raises(Invalid, match="没有数据行"):
        checked()


# -- one wrong cell ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "value", "problem"),
    [
        ("镇", "", "镇为空"),
        ("镇", "火星镇", "没有这个镇"),
        ("村", "", "村为空"),
        ("村", "太阳村", "没有这个村"),
        ("户编号", "", "户编号为空"),
        ("户编号", "S\n001", "特殊字符"),
        ("与户主关系", "", "为空"),
        ("与户主关系", "邻居", "不认识的与户主关系"),
        ("姓名", "", "姓名为空"),
        ("姓名", "陈1", "非文字"),
        ("身份证号", "", "身份证号为空"),
        ("身份证号", "421083195503070010", "校验"),
        ("身份证号", 4.21083195503070e17, "末位已被 Excel 抹掉"),
        ("待遇项目", "五险一金", "不认识的待遇项目"),
        ("家庭月收入", "-1", "负数"),
        ("家庭月收入", "三百元", "不是金额"),
        ("核定金额", "320.005", "不足一分"),
        ("核定金额", "-320", "负数"),
        ("核定金额", "0", "为零"),
        ("核定金额", "1e30", "不是金额"),
        ("核定金额", 1e30, "超出上限"),
        ("核定金额", "100000.01", "每月超过"),
        ("核定金额", "", "核定金额都为空"),
        ("家庭月收入", "", "家庭月收入都为空"),
        ("享受起始月", "", "享受起始月都为空"),
        ("享受起始月", "2024-13", "不是年月"),
        ("享受起始月", "去年", "不是年月"),
        ("享受起始月", "2199-01", "一年以后"),
        ("批准文号", "", "批准文号都为空"),
        ("银行账号", "62179912", None),
        ("银行账号", "6217", "8 至 32 位"),
        ("银行账号", 6.217991234567890e18, "末位已被 Excel 抹掉"),
        ("联系电话", "12345", "不是手机号"),
        ("责任人工号", "", "责任人工号为空"),
        ("责任人工号", "HH9999", "没有这个工号"),
        ("责任人工号", "HH0001", "不负责沈庙村"),
    ],
)
def test_names_the_cell(column: str, value: str | float, problem: str | None) -> None:
    """Each wrong cell is one error at its row and column, and nothing else is blamed for it."""
    found = checked(row(**{column: value}))
    if problem is None:
        assert not found.problems
        return
    where, titled_column, said = only(found)
    assert (where, titled_column) == (2, titled(column))
    assert problem in said
    assert (found.accepted, found.rejected) == (0, 1)


def test_a_village_without_an_officer_is_named() -> None:
    """Nobody may come in where nobody would be responsible."""
    found = checked(row(镇="螺山镇", 村="龙潭村"))
    assert only(found) == (2, "责任人工号", "龙潭村还没有责任人")


def test_reports_numbers_by_their_last_four_only() -> None:
    """An error list is printed and mailed: no identity number, account or phone in full."""
    found = checked(row(身份证号="421083195503070010", 银行账号="123", 联系电话="4444"))
    shown = {problem.column: problem.value for problem in found.problems}
    assert shown["身份证号"] == "**************0010"
    assert shown["银行账号"] == "***"
    assert shown["联系电话"] == "****"


@pytest.mark.parametrize(
    "written",
    [
        "2024-03",
        "2024-3",
        "2024/03",
        "2024.3",
        "2024年3月",
        "202403",
        "2024-03-01",
        "２０２４年３月",
    ],
)
def test_months_as_people_write_them(written: str) -> None:
    """The month means the same in each way of writing."""
    assert checked(row(享受起始月=written)).grants[0].since == "2024-03"


@pytest.mark.parametrize(("written", "fen"), [("1,200.5", 120050), (660.1, 66010), ("660", 66000)])
def test_amounts_as_people_write_them(written: str | float, fen: int) -> None:
    """To the fen, whether typed as text or number."""
    assert checked(row(核定金额=written)).grants[0].amount_fen == fen


def test_formulas_and_merged_cells_are_refused_by_cell() -> None:
    """What is calculated elsewhere or stands for several rows is not a fact of this row."""
    position = TITLES.index("核定金额(元/月)")
    found = checked(row(), formulas={(2, position)})
    assert only(found) == (2, "核定金额(元/月)", "单元格是公式")
    found = checked(row(), merged={2: {0}})
    assert only(found) == (2, "镇", "单元格是合并单元格")


def test_blank_rows_do_not_count() -> None:
    """Rows of nothing between and after the data are passed over."""
    found = checked(row(), {}, {"镇": "  "})
    assert (found.rows, found.accepted) == (1, 1)


# -- one person, several rows -----------------------------------------------------------------


def test_a_person_may_repeat_with_another_benefit() -> None:
    """One row per person and benefit: two benefits, one person."""
    found = checked(row(), row(待遇项目="高龄津贴", 核定金额="50", 家庭月收入=""))
    assert not found.problems
    assert len(found.people) == 1
    assert [grant.benefit for grant in found.grants] == ["rural_dibao", "elderly"]


def test_the_same_benefit_twice_is_an_error() -> None:
    """Nobody is paid twice for one thing; the second row is named."""
    where, column, said = only(checked(row(), row()))
    assert (where, column) == (3, "待遇项目")
    assert "第 2 行已有" in said


def test_a_person_in_two_households_is_an_error() -> None:
    """Also when the second row has the 15-digit number of the same person."""
    old = identity(1)[:6] + identity(1)[8:17]
    where, column, said = only(checked(row(), row(户编号="S002", 身份证号=old)))
    assert (where, column) == (3, "身份证号")
    assert "户 S001" in said


@pytest.mark.parametrize(
    ("column", "other"),
    [
        ("姓名", "陈桂蓝"),
        ("与户主关系", "配偶"),
        ("对象类别", "特困人员"),
        ("开户名", "李国强"),
        ("银行账号", "6217991234567890999"),
        ("联系电话", "13900139000"),
    ],
)
def test_rows_of_one_person_agree(column: str, other: str) -> None:
    """Otherwise equal cells: a difference is named at the second row."""
    again = row(待遇项目="高龄津贴", 核定金额="50") | {column: other}
    where, titled_column, said = only(checked(row(), again))
    assert (where, titled_column) == (3, column)
    assert "不一致" in said


# -- households -------------------------------------------------------------------------------


def test_a_households_amount_is_counted_once() -> None:
    """On one row or equal on all: 低保 is one grant of the household, paid to its head."""
    on_all = checked(row(), spouse())
    on_one = checked(row(), spouse(核定金额="", 家庭月收入="", 享受起始月="", 批准文号=""))
    for found in (on_all, on_one):
        assert not found.problems
        (grant,) = found.grants
        assert grant.amount_fen == 32000
        assert [person.name for person in grant.covered] == ["陈桂兰", "李国强"]
        assert grant.payee.name == "陈桂兰"


def test_who_is_not_marked_is_not_covered() -> None:
    """待遇项目 marks who is covered; the others are members."""
    found = checked(row(), spouse(待遇项目="", 核定金额="", 家庭月收入=""))
    assert len(found.grants[0].covered) == 1
    assert len(found.households[0].members) == 2


def test_the_amount_may_stand_on_the_row_of_a_head_who_is_not_covered() -> None:
    """The household's figures belong to the household, not to the person of that row."""
    found = checked(row(待遇项目=""), spouse(核定金额="", 家庭月收入=""))
    assert not found.problems
    (grant,) = found.grants
    assert (grant.amount_fen, [p.name for p in grant.covered]) == (32000, ["李国强"])


@pytest.mark.parametrize(
    ("column", "value"),
    [("核定金额", "330"), ("家庭月收入", "1"), ("享受起始月", "2025-01"), ("批准文号", "别的")],
)
def test_rows_of_one_household_agree(column: str, value: str) -> None:
    """Two different amounts for one household: which is it? The later row is named."""
    where, titled_column, _ = only(checked(row(), spouse(**{column: value})))
    assert (where, titled_column) == (3, titled(column))


def test_a_household_has_one_kind_of_dibao() -> None:
    """城市低保 and 农村低保 in one household is an error."""
    where, column, _ = only(checked(row(), spouse(待遇项目="城市低保")))
    assert (where, column) == (3, "待遇项目")


def test_a_household_has_exactly_one_head() -> None:
    """The head is who is paid: none and two are both errors."""
    where, column, said = only(checked(row(与户主关系="配偶")))
    assert (where, column) == (2, "户编号")
    assert "没有户主" in said
    two = spouse()
    two["与户主关系"] = "户主"
    where, column, said = only(checked(row(), two))
    assert (where, column) == (3, "与户主关系")
    assert "两个户主" in said


def test_a_household_lies_in_one_village() -> None:
    """The same 户编号 in two villages is two households under one number."""
    other = spouse(镇="新堤街道", 村="柏枝村", 责任人工号="HH0001")
    where, column, _ = only(checked(row(), other))
    assert (where, column) == (3, "村")


def test_one_wrong_row_does_not_condemn_its_household() -> None:
    """A slip in the head's number is one error, not also 'no head' on the others."""
    found = checked(row(身份证号="421083195503070010"), spouse())
    assert [problem.column for problem in found.problems] == ["身份证号"]
    assert (found.accepted, found.rejected) == (1, 1)


def test_an_amount_without_a_benefit_is_an_error() -> None:
    """Money for nothing."""
    where, column, _ = only(checked(row(待遇项目="")))
    assert (where, column) == (2, "待遇项目")


def test_single_cover_is_a_basis_of_its_own() -> None:
    """单人保: one member, marked so, of a household of several."""
    alone = row(对象类别="单人保")
    found = checked(alone, spouse(待遇项目="", 核定金额="", 家庭月收入=""))
    assert found.grants[0].basis == "person"


def test_disability_is_read_from_the_categories() -> None:
    """肢体二级残疾 is a fact the policies ask for, not a word."""
    found = checked(row(对象类别="低保对象、肢体二级残疾"))
    assert found.people[0].disability == "肢体二级"
    assert found.people[0].categories == ("dibao",)


# -- warnings ---------------------------------------------------------------------------------


def test_odd_but_possible_is_a_warning() -> None:
    """Somebody else's account name, none at all, an unknown category: told, not refused."""
    for cells, column in (
        ({"开户名": "李国强"}, "开户名"),
        ({"银行账号": "", "开户名": ""}, "银行账号"),
        ({"对象类别": "劳模"}, "对象类别"),
    ):
        found = checked(row(**cells))
        assert not found.problems
        assert [warning.column for warning in found.warnings] == [column]


def test_one_account_for_two_households_is_a_warning() -> None:
    """Somebody may be holding other people's cards."""
    other = row(户编号="S002", 姓名="李国强", 开户名="李国强", 身份证号=identity(2))
    found = checked(row(), other)
    assert not found.problems
    assert "另一户" in found.warnings[0].problem


class Policy:
    """A policy that pays one yuan more than whatever is asked, and allows nothing with 特困."""

    def fen(self, grant: Grant, others: frozenset[str]) -> int | None:
        """One yuan more; no figure for who holds several."""
        return None if others else grant.amount_fen + 100

    def excluded(self, benefits: Iterable[str]) -> list[tuple[str, str, str]]:
        """特困 goes with nothing."""
        held = set(benefits)
        return [("elderly", "tekun", "某办法第一条")] if held == {"tekun", "elderly"} else []


def test_a_difference_to_policy_is_a_warning() -> None:
    """What is paid stands until a review; the policy's figure stands beside it."""
    found = checked(row(), figures=Policy())
    assert not found.problems
    (warning,) = found.warnings
    assert (warning.row, warning.column) == (2, "核定金额(元/月)")
    assert "321.00" in warning.problem


def test_benefits_that_exclude_one_another_are_a_warning() -> None:
    """Granted once by somebody: it comes in, and is told to be reviewed, with the clause."""
    rows = [row(待遇项目="特困"), row(待遇项目="高龄津贴", 核定金额="50")]
    found = checked(*rows, figures=Policy())
    assert not found.problems
    (warning,) = found.warnings
    assert (warning.row, warning.column) == (3, "待遇项目")
    assert "某办法第一条" in warning.problem


# -- whatever comes ---------------------------------------------------------------------------

cells = st.one_of(
    st.none(),
    st.text(max_size=12),
    st.floats(allow_nan=True, allow_infinity=True),
    st.integers(-(10**20), 10**20),
    st.booleans(),
    st.sampled_from(["户主", "农村低保", "沈庙村", "戴家场镇", "2024-03", "320", "HH0204"]),
)


@given(st.lists(st.lists(cells, max_size=18), min_size=1, max_size=8))
@settings(max_examples=150, deadline=None)
def test_no_cell_breaks_the_checker(rows: list[list[object]]) -> None:
    """Whatever stands in a sheet: every row is accepted or refused with a reason, none is lost."""
    numbered = [(1, list(TITLES)), *((n, r) for n, r in enumerate(rows, 2))]
    try:
        found = check(numbered, gazetteer=HONGHU, officers=OFFICERS, today=TODAY)  # type: ignore[arg-type]
    except Invalid:  # no header or no data rows: refused as a whole
        return
    assert found.rejected == len({p.row for p in found.problems})
    assert found.accepted + found.rejected == found.rows <= len(rows)


people = st.lists(
    st.tuples(
        st.sampled_from(["S001", "S002", "S003"]),
        st.integers(1, 6),
        st.sampled_from(["户主", "配偶", "子"]),
        st.sampled_from(["", "农村低保", "城市低保", "高龄津贴", "特困"]),
        st.sampled_from(["", "320", "330"]),
    ),
    min_size=1,
    max_size=8,
)


@given(people)
@settings(max_examples=150, deadline=None)
def test_what_is_accepted_holds_together(given_rows: list[tuple[str, int, str, str, str]]) -> None:
    """Without errors: one head a household, one household a person, no benefit twice."""
    rows = [
        row(
            户编号=household,
            身份证号=identity(number),
            姓名=f"陈{'一二三四五六'[number - 1]}",
            开户名="",
            银行账号="",
            与户主关系=kinship,
            待遇项目=benefit,
            核定金额=amount,
        )
        for household, number, kinship, benefit, amount in given_rows
    ]
    found = checked(*rows)
    if found.problems:
        return
    assert all(household.head in household.members for household in found.households)
    assert len({person.identity for person in found.people}) == len(found.people)
    held = [(p.identity, g.benefit) for g in found.grants for p in g.covered]
    assert len(held) == len(set(held))
    for grant in found.grants:
        assert grant.payee in grant.household.members
        assert grant.amount_fen > 0
        assert date.fromisoformat(f"{grant.since}-01") <= TODAY

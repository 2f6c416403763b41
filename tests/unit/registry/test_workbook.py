"""Workbooks from outside: read whole and exactly, or refused with a reason, never fatal."""

import io
from collections.abc import Callable

import openpyxl
import pytest

from services.contracts.errors import Invalid
from services.registry import error_workbook, workbook
from services.registry.domain.roster import TITLES, Roster, check
from tests.builders import bad_workbooks
from tests.builders.roster import HONGHU, OFFICERS, TODAY, identity, row, sheet, xlsx


def rows_of(content: bytes) -> list[tuple[int, list[object]]]:
    """All rows of the roster's sheet."""
    (found,) = [list(page.rows) for page in workbook.read(content, sheet="花名册")]
    return found


def checked(content: bytes) -> Roster:
    """The roster in a workbook, checked."""
    (found,) = [
        check(page.rows, gazetteer=HONGHU, officers=OFFICERS, today=TODAY)
        for page in workbook.read(content, sheet="花名册")
    ]
    return found


def refusal(content: bytes) -> Invalid:
    """The refusal of a file; its message and advice are for a person."""
    with pytest.raises(Invalid) as caught:
        rows_of(content)
    assert caught.value.field == "文件"
    assert caught.value.advice
    return caught.value


def test_reads_what_was_written() -> None:
    """Rows and cells come as they stand, numbers as numbers, rare characters whole."""
    found = rows_of(xlsx([row(姓名="䶮𬱖", 核定金额=660.1), row(户编号="S002")]))
    assert [number for number, _ in found] == [1, 2, 3]
    assert found[0][1] == list(TITLES)
    assert found[1][1][4] == "䶮𬱖"
    assert found[1][1][9] == 660.1


def test_rows_keep_their_numbers_when_the_top_is_empty() -> None:
    """An error named at row 7 is at row 7 of the clerk's own file."""
    book = openpyxl.Workbook()
    assert book.active is not None
    book.active.title = "花名册"
    book.active["C7"] = "沈庙村"
    buffer = io.BytesIO()
    book.save(buffer)
    old = bad_workbooks.old_xls([*([()] * 6), ("镇", "", "沈庙村")])
    assert dict(rows_of(buffer.getvalue()))[7] == [None, None, "沈庙村"]
    assert dict(rows_of(old))[7] == ["镇", None, "沈庙村"]


def test_the_roster_is_the_sheet_of_that_name_or_the_first() -> None:
    """Sheet 责任人 comes before, so that its officers are known when the roster is checked."""
    content = xlsx([row()], officers=[("HH0204", "李卫", "戴家场镇", "沈庙村", "")])
    names = [page.name for page in workbook.read(content, sheet="花名册", others=("责任人",))]
    assert names == ["责任人", "花名册"]
    names = [page.name for page in workbook.read(content, sheet="别的", others=("责任人",))]
    assert names == ["责任人", "花名册"]


def test_a_numeric_identity_cell_is_an_error_of_its_row() -> None:
    """Excel keeps 15 digits of 18: the last three are gone, and nobody may be invented."""
    content = xlsx([row(), row(户编号="S002", 身份证号=float(identity(3)[:17] + "0"))])
    found = checked(content)
    (problem,) = found.problems
    assert (problem.row, problem.column) == (3, "身份证号")
    assert "末位已被 Excel 抹掉" in problem.problem


def test_formulas_and_merged_cells_are_found_where_they_are() -> None:
    """Both are named by row and column; a merged title above the header is no matter."""

    def spoil(book: object, page: object) -> None:
        page.write_formula(1, 9, "=300+20", None, 320)  # type: ignore[attr-defined]
        page.merge_range(2, 0, 3, 0, "戴家场镇")  # type: ignore[attr-defined]

    content = xlsx([row(), row(户编号="S002"), row(户编号="S003")], also=spoil)
    (page,) = workbook.read(content, sheet="花名册")
    assert page.formulas == {(2, 9)}
    assert page.merged == {3: {0}, 4: {0}}


def test_old_xls_is_read() -> None:
    """Rosters of Excel 97 still come in."""
    content = bad_workbooks.old_xls(cells for _, cells in sheet([row(姓名="陈䶮")]))
    found = rows_of(content)
    assert found[1][1][4] == "陈䶮"


GOOD = xlsx([row()])


@pytest.mark.parametrize(
    ("reason", "make"),
    [
        ("not_a_workbook", lambda: b"\xff\xd8\xff\xe0 a photograph"),
        ("not_a_workbook", "镇,村,姓名\n".encode),
        ("not_a_workbook", lambda: b""),
        (
            "not_a_workbook",
            lambda: bad_workbooks.replaced(GOOD, "", b"").replace(b"xl/wo", b"xx/wo"),
        ),
        ("broken", lambda: GOOD[: len(GOOD) // 2]),
        ("broken", lambda: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 5000),
        ("broken", lambda: bad_workbooks.replaced(GOOD, "xl/workbook.xml", b"<workbook")),
        ("password", bad_workbooks.locked_by_excel),
        ("password", lambda: bad_workbooks.with_password_flag(GOOD)),
        ("too_large", lambda: b"PK\x03\x04" + bytes(workbook.MAX_FILE_BYTES)),
        ("bomb", lambda: bad_workbooks.far_cell(1_048_575, 16_383)),
        ("bomb", lambda: bad_workbooks.far_cell(700_000, 0)),
        ("bomb", lambda: bad_workbooks.far_cell(0, 16_383)),
        ("bomb", lambda: bad_workbooks.far_cell(500_000, 700)),
        ("bomb", lambda: bad_workbooks.many_cells(GOOD, 5_000_000)),
        ("bomb", lambda: bad_workbooks.lying_size(GOOD, 0xF0000000)),
        (
            "bomb",
            lambda: bad_workbooks.replaced(
                GOOD, "xl/sharedStrings.xml", b'<!DOCTYPE x [<!ENTITY a "b">]><sst/>'
            ),
        ),
    ],
)
def test_refuses_with_a_reason(reason: str, make: Callable[[], bytes]) -> None:
    """Each bad file gets its own clear message, before or instead of being parsed."""
    assert refusal(make()).reason == reason


def test_a_bomb_kills_only_the_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    """Were the look-over fooled, the reader dies within its limits and the service goes on."""
    monkeypatch.setattr(workbook, "inspect", lambda content: {})
    assert refusal(bad_workbooks.far_cell(1_048_575, 16_383)).reason == "broken"
    assert len(rows_of(GOOD)) == 2


def test_the_error_workbook_is_the_same_file_with_a_red_column() -> None:
    """Row-exact, reasons beside the rows they are about, text never turned into a formula."""
    content = xlsx([row(批准文号="=1+1"), row(户编号="S002", 身份证号="421083195503070010")])
    found = checked(content)
    made = error_workbook.build(content, found.problems, sheet="花名册")
    result = openpyxl.load_workbook(io.BytesIO(made))["花名册"]
    assert [cell.value for cell in result[1]] == [*TITLES, "错误说明"]
    assert result["L2"].value == "=1+1"
    assert workbook.inspect(made) == {"花名册": set()}
    assert result["Q2"].value is None
    assert "校验" in result["Q3"].value
    assert result["Q3"].font.color.rgb.endswith("B4232A")
    assert result["F3"].value == "421083195503070010"

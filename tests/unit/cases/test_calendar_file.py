"""`zhida calendar load`: the file a clerk types, read or refused by its line."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from services.cli.calendar import read_notice
from services.contracts.errors import Invalid


def test_a_notice_is_read_in_words_or_figures(tmp_path: Path) -> None:
    """休 and 班, a heading, a byte-order mark, blank lines."""
    file = tmp_path / "2027.csv"
    file.write_text("\ufeff日期,安排\n2027-02-08,休\n\n2027-02-20,班\n2027-01-01,0\n", "utf-8")
    assert read_notice(file) == ([date(2027, 2, 8), date(2027, 1, 1)], [date(2027, 2, 20)])


@pytest.mark.parametrize("line", ["2027-02-30,休", "2027-02-08", "2027-02-08,也许", "春节,休"])
def test_a_wrong_line_is_named(tmp_path: Path, line: str) -> None:
    """The number and the text of the line, and how it should look."""
    file = tmp_path / "2027.csv"
    file.write_text(f"2027-01-01,休\n{line}\n", "utf-8")
    with pytest.raises(Invalid, match=f"第 2 行“{line}”"):
        read_notice(file)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """Its path, in Chinese."""
    with pytest.raises(Invalid, match="读不到文件"):
        read_notice(tmp_path / "none.csv")

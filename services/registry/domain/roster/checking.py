"""The check of a roster: its rows one by one, then its households, then policy."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date
from itertools import chain, islice

from services.contracts.errors import Invalid
from services.registry.domain.divisions import Gazetteer
from services.registry.domain.roster import grants, policy
from services.registry.domain.roster.cells import Cell
from services.registry.domain.roster.claims import Claims
from services.registry.domain.roster.contents import Roster
from services.registry.domain.roster.header import SEARCHED_ROWS, find_header
from services.registry.domain.roster.households import Households
from services.registry.domain.roster.problems import Findings
from services.registry.domain.roster.rows import RowReader


def check(
    rows: Iterable[tuple[int, Sequence[Cell]]],
    *,
    gazetteer: Gazetteer,
    officers: Mapping[str, Collection[str]],
    today: date,
    formulas: Collection[tuple[int, int]] = frozenset(),
    merged: Mapping[int, Collection[int]] | None = None,
    figures: policy.Figures | None = None,
) -> Roster:
    """Check a roster.

    ``rows`` are (row number, cells) as the workbook counts them; ``officers`` gives each officer's
    number the divisions they look after; ``formulas`` are (row, position) of cells that hold a
    formula and ``merged`` the positions within merged cells by row; ``figures`` what policy says.
    Raises ``Invalid`` when the sheet has no usable header or no rows.
    """
    iterator = iter(rows)
    top = list(islice(iterator, SEARCHED_ROWS))
    header, positions = find_header(top)
    found = Findings()
    reader = RowReader(
        positions,
        gazetteer=gazetteer,
        officers=officers,
        today=today,
        formulas=formulas,
        merged=merged or {},
        found=found,
    )
    households = Households(gazetteer, found)
    claims = Claims(found)
    count = 0
    for number, cells in chain((line for line in top if line[0] > header), iterator):
        row = reader.read(number, cells)
        if row is None:
            continue
        count += 1
        person = households.take(row)
        if person is not None:
            claims.take(row, person)
    if count == 0:
        raise Invalid("表头下面没有数据行", field="文件", advice="请填写后再上传", reason="empty")
    households.require_heads()
    granted = [
        grant
        for number, claimed in claims.by_household.items()
        for grant in grants.of_household(households.by_number[number], claimed, found)
    ]
    if figures is not None and not found.problems:
        policy.compare(granted, figures, found)
    found.sort()
    return Roster(
        rows=count,
        accepted=count - len(found.bad_rows),
        people=list(households.people.values()),
        households=list(households.by_number.values()),
        grants=granted,
        problems=found.problems,
        warnings=found.warnings,
    )

"""Letters printed: composed here, typeset in a child process, kept as files of cases."""

from __future__ import annotations

from services.cases import casework, catalogue, people_at_hand
from services.cases.documents.letters import TITLES, Letter, Names, compose
from services.cases.documents.typesetting import typeset
from services.cases.domain.policy import Level
from services.chassis import files
from services.chassis.uow import UnitOfWork
from services.contracts.commands.cases import PrintedLetter, RenderDocument
from services.contracts.divisions import county, town
from services.contracts.errors import Invalid, Unavailable


def render(uow: UnitOfWork, command: RenderDocument) -> PrintedLetter:
    """The letter as PDF. Runs in a child process: typesetting is CPU work."""
    opened = casework.load(uow, command.case_id, to_change=False)
    try:
        letter = Letter(command.letter)
    except ValueError as error:
        known = "、".join(each.value for each in Letter)
        raise Invalid(
            f"没有“{command.letter}”这种文书", field="letter", advice=f"可选：{known}"
        ) from error
    data = compose(letter, opened.case, _names(uow, opened), catalogue.benefits(), opened.calendar)
    pdf = typeset(letter.value, data)
    name = f"{TITLES[letter]}-{opened.row.case_no}.pdf"
    file_id = files.write(uow, name, pdf, "application/pdf", division=opened.row.division)
    uow.audit("case.printed", "case", opened.row.id, letter=letter.value)
    return PrintedLetter(file_id=file_id, name=name, size=len(pdf))


def _names(uow: UnitOfWork, opened: casework.Opened) -> Names:
    row = opened.row
    places = people_at_hand.places(uow, [row.division])
    people = people_at_hand.names(uow, [row.applicant_id])
    staff = people_at_hand.staff_names(uow, [row.first_officer_id] if row.first_officer_id else [])
    try:
        of_county = places[county(row.division)]
        of_town = of_county + places[town(row.division)]
    except KeyError as error:
        raise Unavailable(
            f"区划 {error.args[0]} 的名称还没有到达，文书无法落款", advice="请稍候再打印"
        ) from error
    town_agency = f"{of_town}{'办事处' if of_town.endswith('街道') else '人民政府'}"
    county_agency = f"{of_county}民政局"
    deciding = town_agency if opened.case.rule.decides is Level.TOWN else county_agency
    return Names(
        case_no=row.case_no,
        applicant=people.get(row.applicant_id, ""),
        first_officer=staff.get(row.first_officer_id, "") if row.first_officer_id else "",
        town_agency=town_agency,
        deciding_agency=deciding,
    )

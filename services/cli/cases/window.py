"""The window: an application taken in, completed, declined or withdrawn."""

from typing import Annotated
from uuid import UUID

import typer

from services.cli.cases.acting import CaseNo, Key, Reason, Yuan, act, find
from services.cli.cases.page import present_case
from services.cli.output import Json
from services.cli.session import call
from services.contracts.commands import cases as c
from services.contracts.money import fen

commands = typer.Typer()


@commands.command("accept")
def accept(
    item: Annotated[str, typer.Argument(help="事项，如 dibao")],
    applicant: Annotated[UUID, typer.Argument(help="申请人的人员编号")],
    benefit: Annotated[list[str] | None, typer.Option(help="待遇，如 rural_dibao")] = None,
    route: Annotated[str | None, typer.Option(help="程序，如 urgent")] = None,
    material: Annotated[
        list[str] | None, typer.Option(help="已交材料，可重复；all 为全部必交材料")
    ] = None,
    asked: Yuan = None,
    circumstance: Annotated[str, typer.Option(help="申请事由")] = "",
    single: Annotated[bool, typer.Option(help="按单人户申请")] = False,
    tell_missing: Annotated[
        bool, typer.Option("--tell-missing", help="材料不齐：登记并出具一次性告知书")
    ] = False,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """受理申请；材料不齐时加 --tell-missing 一次告知。"""
    application = c.Application(
        item=item,
        applicant_id=applicant,
        benefits=tuple(benefit or ()),
        route=route,
        materials=_materials(item, material or []),
        asked_fen=fen(asked, field="asked") if asked else None,
        circumstance=circumstance,
        single_person=single,
    )
    command: c.AcceptApplication | c.IssueMissingMaterialNotice = (
        c.IssueMissingMaterialNotice(application=application)
        if tell_missing
        else c.AcceptApplication(application=application)
    )
    present_case(call(command, key=key), as_json)


@commands.command("supply")
def supply(
    case_no: CaseNo,
    material: Annotated[list[str], typer.Argument(help="补交的材料")],
    as_json: Json = False,
) -> None:
    """补交材料；齐了即受理。"""
    case = find(case_no)
    present_case(call(c.SupplyMaterial(case_id=case.case_id, materials=tuple(material))), as_json)


@commands.command("decline")
def decline(case_no: CaseNo, reason: Reason, as_json: Json = False) -> None:
    """不予受理，书面说明理由。"""
    act(case_no, c.DeclineApplication, as_json, reason=reason)


@commands.command("end")
def end(
    case_no: CaseNo,
    reason: Reason,
    ground: Annotated[str, typer.Option(help="withdrawn 撤回 或 not_cooperating 不配合")] = (
        "withdrawn"
    ),
    as_json: Json = False,
) -> None:
    """申请人撤回，或不配合而终止。"""
    act(case_no, c.EndCase, as_json, ground=ground, reason=reason)


def _materials(item: str, named: list[str]) -> tuple[str, ...]:
    if named != ["all"]:
        return tuple(named)
    listed = [each for each in call(c.ListItems()) if each.code == item]
    return tuple(
        material.code
        for each in listed
        for material in each.materials
        if material.required and not material.shared
    )

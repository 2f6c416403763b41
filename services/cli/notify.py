"""`zhida notify`: what people were told, letters to carry, messages that did not arrive."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer
from rich.table import Table

from deploy.local import mailbox, stack
from services.cli.output import Json, present, table
from services.cli.session import call
from services.contracts.commands.notify import (
    CountMessages,
    GetMessage,
    LetterPage,
    ListLetters,
    ListMessages,
    ListTemplates,
    ListUndelivered,
    MarkLettersDelivered,
    MarkToldInPerson,
    MessagePage,
    MessageView,
    PreviewTemplate,
    RetryMessage,
    ReturnLetter,
    SendAsLetter,
)

group = typer.Typer(name="notify", help="消息：告知了谁、待送达的纸质通知、未送达清单")

Division = Annotated[str | None, typer.Option(help="区划代码，如 421083108")]
Officer = Annotated[UUID | None, typer.Option(help="责任人编号")]
After = Annotated[str | None, typer.Option(help="从上一页给出的位置继续")]
Limit = Annotated[int, typer.Option(help="条数，最多 200")]
MessageId = Annotated[UUID, typer.Argument(help="消息编号")]


@group.command("messages")
def list_messages(
    person: Annotated[UUID | None, typer.Option(help="人员编号")] = None,
    case: Annotated[UUID | None, typer.Option(help="案件编号")] = None,
    division: Division = None,
    status: Annotated[str | None, typer.Option(help="状态，如 sent")] = None,
    template: Annotated[str | None, typer.Option(help="模板，如 payment_settled")] = None,
    after: After = None,
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """告知过的消息，最近的在前。"""
    page = call(
        ListMessages(
            person_id=person,
            case_id=case,
            division=division,
            status=status,
            template=template,
            after=after,
            limit=limit,
        )
    )
    present(page, as_json, lambda: _messages(page))


@group.command("message")
def get_message(message_id: MessageId, as_json: Json = False) -> None:
    """一条消息和它的每次发送。"""
    detail = call(GetMessage(message_id=message_id))
    present(
        detail,
        as_json,
        lambda: table(
            ("次", "开始", "结束", "结果", "对方答复"),
            [(a.number, a.started_at, a.ended_at, a.outcome, a.answer) for a in detail.attempts],
            f"{detail.message.status_name}　{detail.message.text or detail.message.title}",
        ),
    )


@group.command("counts")
def count_messages(division: Division = None, as_json: Json = False) -> None:
    """各状态的条数。"""
    counts = call(CountMessages(division=division))
    present(
        counts,
        as_json,
        lambda: table(
            ("状态", "渠道", "条数"),
            [(count.status_name, count.channel, count.messages) for count in counts.by_status],
            f"待送达纸质通知 {counts.letters}，未送达 {counts.undelivered}",
        ),
    )


@group.command("letters")
def list_letters(
    officer: Officer = None,
    division: Division = None,
    after: After = None,
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """没有手机的人的通知，由责任人送达。"""
    page = call(ListLetters(officer_id=officer, division=division, after=after, limit=limit))
    present(page, as_json, lambda: _letters(page))


@group.command("delivered")
def mark_letters_delivered(
    message_ids: Annotated[list[UUID], typer.Argument(help="已交到本人手中的通知编号")],
    note: Annotated[str | None, typer.Option(help="备注")] = None,
    as_json: Json = False,
) -> None:
    """登记纸质通知已送达；有一份不合要求则全部不登记。"""
    done = call(MarkLettersDelivered(message_ids=tuple(message_ids), note=note))
    present({"delivered": done}, as_json, lambda: f"已登记送达 {done} 份")


@group.command("returned")
def return_letter(
    message_id: MessageId,
    why: Annotated[str, typer.Option(help="未能送达的原因")],
    as_json: Json = False,
) -> None:
    """登记纸质通知未能送达，转入未送达清单。"""
    _show(call(ReturnLetter(message_id=message_id, why=why)), as_json)


@group.command("undelivered")
def list_undelivered(
    officer: Officer = None,
    division: Division = None,
    after: After = None,
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """未送达清单，待责任人处理。"""
    page = call(ListUndelivered(officer_id=officer, division=division, after=after, limit=limit))
    present(page, as_json, lambda: _messages(page))


@group.command("retry")
def retry_message(message_id: MessageId, as_json: Json = False) -> None:
    """重发未送达的消息（如更正号码之后）。"""
    _show(call(RetryMessage(message_id=message_id)), as_json)


@group.command("as-letter")
def send_as_letter(message_id: MessageId, as_json: Json = False) -> None:
    """把未送达的消息改为纸质通知。"""
    _show(call(SendAsLetter(message_id=message_id)), as_json)


@group.command("told")
def mark_told_in_person(
    message_id: MessageId,
    note: Annotated[str, typer.Option(help="怎样、何时告知的")],
    as_json: Json = False,
) -> None:
    """登记已用其他方式告知本人。"""
    _show(call(MarkToldInPerson(message_id=message_id, note=note)), as_json)


@group.command("templates")
def list_templates(as_json: Json = False) -> None:
    """全部消息模板和现行文字。"""
    templates = call(ListTemplates())
    present(
        templates,
        as_json,
        lambda: table(
            ("模板", "名称", "版本", "文字"),
            [(t.template, t.title, t.versions[-1].version, t.versions[-1].text) for t in templates],
        ),
    )


@group.command("preview")
def preview_template(
    template: Annotated[str, typer.Argument(help="模板，如 decided_refused")],
    division: Annotated[str, typer.Option(help="区划代码，决定签名")] = "421083",
    version: Annotated[int | None, typer.Option(help="版本；默认现行")] = None,
    as_json: Json = False,
) -> None:
    """模板的实际样子、字数和短信条数。"""
    shown = call(PreviewTemplate(template=template, version=version, division=division))
    present(shown, as_json, lambda: f"{shown.text}\n{shown.length} 个字，{shown.parts} 条短信")


@group.command("mailbox")
def read_mailbox(
    folder: Annotated[Path, typer.Option(help="邮箱所在目录")] = stack.MAIL,
    limit: Annotated[int, typer.Option(help="只看最后几条")] = 20,
    as_json: Json = False,
) -> None:
    """本机邮件服务器实际收到的消息（演示与测试）。"""
    mails = list(mailbox.read(folder))
    present(
        {
            "received": len(mails),
            "messages": len({m.message_id for m in mails}),
            "last": mails[-limit:],
        },
        as_json,
        lambda: table(
            ("时间", "收件地址", "文字"),
            [
                (m.received_at.astimezone().strftime("%H:%M:%S"), m.to, m.text)
                for m in mails[-limit:]
            ],
            f"共收到 {len(mails)} 条",
        ),
    )


def _show(message: MessageView, as_json: bool) -> None:
    present(message, as_json, lambda: f"{message.title}：{message.status_name}")


def _messages(page: MessagePage) -> Table:
    return _paged(
        ("编号", "日期", "姓名", "状态", "号码", "文字或原因"),
        (
            (
                m.message_id,
                m.created_on,
                m.person_name,
                m.status_name,
                m.shown_to,
                m.advice or m.text,
            )
            for m in page.messages
        ),
        page.next_after,
    )


def _letters(page: LetterPage) -> Table:
    return _paged(
        ("编号", "村（社区）", "姓名", "责任人", "文字"),
        (
            (
                letter.message_id,
                letter.division,
                letter.person_name + ("（已故，转告家属）" if letter.deceased else ""),
                letter.officer_name,
                letter.text,
            )
            for letter in page.letters
        ),
        page.next_after,
    )


def _paged(
    headings: tuple[str, ...], rows: Iterable[tuple[object, ...]], next_after: str | None
) -> Table:
    made = table(headings, rows)
    if next_after:
        made.caption = f"还有更多：--after '{next_after}'"
    return made

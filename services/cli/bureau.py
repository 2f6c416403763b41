"""`zhida bureau`: another bureau joins, gets a new password, leaves."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated
from urllib.parse import unquote, urlsplit

import msgspec
import typer
from rich.console import RenderableType

from deploy import bureaus as joining
from deploy.bureaus import Sheet
from deploy.local import keys, stack
from deploy.management import Management
from deploy.sandbox.place import BUREAUS, Sandbox
from services.chassis import bureaus
from services.chassis.bureaus import Bureau
from services.cli.output import Json, console, notes, present, table
from services.contracts.errors import Conflict, Invalid, NotFound, Unavailable

group = typer.Typer()
bureau = typer.Typer(help="其他部门对接：登记、换密码、注销", no_args_is_help=True)
group.add_typer(bureau, name="bureau")

MANAGEMENT = "RABBITMQ_MANAGEMENT_URL"

Name = Annotated[str, typer.Argument(help="部门名：小写字母和下划线，如 public_security")]
SheetFile = Annotated[
    Path | None, typer.Option("--sheet", help="把接入单写成 JSON 文件（含密码，仅本人可读）")
]
Address = Annotated[
    str | None, typer.Option(help="部门连得到的消息总线地址，如 amqps://mq.example.cn:5671")
]
InSandbox = Annotated[bool, typer.Option("--sandbox", help="在沙箱里办，不碰正式环境")]


class Place(msgspec.Struct, frozen=True):
    """Which broker and vhost, who is let in there, and what stands on every sheet."""

    broker: Management
    address: str
    public_key: str
    portal: str
    file: Path


@bureau.command()
def add(
    name: Name,
    title: Annotated[str | None, typer.Option(help="部门的中文名称")] = None,
    may_see: Annotated[
        list[str] | None,
        typer.Option(help="可见的事件类型，可重复；如 entitlement.*、case.closed"),
    ] = None,
    division: Annotated[str | None, typer.Option(help="区划代码：只见、只说该区划之内")] = None,
    privacy: Annotated[
        str | None, typer.Option("--class", help="administrative（不含姓名）或 identified（实名）")
    ] = None,
    legal_basis: Annotated[str | None, typer.Option(help="法定依据；实名类必填")] = None,
    sandbox: InSandbox = False,
    sheet: SheetFile = None,
    address: Address = None,
    as_json: Json = False,
) -> None:
    """登记部门：写入部门文件，在消息总线上建用户、权限、队列和绑定，打印接入单。可反复运行。

    部门文件里已有的项可不再写；只给部门名即按文件办理。沙箱里没有登记过的，按正式的登记办理。
    """
    place = _place(address, sandbox)
    entry = _entry(
        bureaus.load(place.file).get(name) or bureaus.load(stack.bureaus_file()).get(name),
        {
            "name": name,
            "title": title,
            "may_see": may_see,
            "division": division,
            "class": privacy,
            "legal_basis": legal_basis,
        },
    )
    bureaus.check(entry)
    joined = joining.add(
        place.broker,
        entry,
        address=place.address,
        public_key=place.public_key,
        portal=place.portal,
    )
    joining.write_entry(place.file, entry)
    _hand_over(joined, sheet, as_json)


@bureau.command()
def rotate(
    name: Name,
    now: Annotated[bool, typer.Option("--now", help="立即断开正在使用旧密码的连接")] = False,
    sandbox: InSandbox = False,
    sheet: SheetFile = None,
    address: Address = None,
    as_json: Json = False,
) -> None:
    """换新密码。已建立的连接用到断开为止；疑有泄露时加 --now。"""
    place = _place(address, sandbox)
    entry = _known(name, place.file)
    renewed = joining.rotate(
        place.broker,
        entry,
        address=place.address,
        public_key=place.public_key,
        portal=place.portal,
        now=now,
    )
    _hand_over(renewed, sheet, as_json)


@bureau.command()
def remove(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", help="不再询问")] = False,
    sandbox: InSandbox = False,
    as_json: Json = False,
) -> None:
    """注销部门：用户、队列及其中未取的消息、部门文件中的登记都去掉。"""
    place = _place(None, sandbox)
    entry = _known(name, place.file)
    if not yes and not typer.confirm(f"将删除 {entry.title} 的账号、队列和未取的消息，确定吗？"):
        raise Conflict("已取消，没有改动")
    joining.remove(place.broker, entry)
    joining.drop_entry(place.file, name)
    present({"removed": name}, as_json, lambda: f"已注销 {entry.title}")


@bureau.command("list")
def list_(sandbox: InSandbox = False, as_json: Json = False) -> None:
    """已登记的部门。"""
    file = stack.SANDBOX / BUREAUS if sandbox else stack.bureaus_file()
    found = list(bureaus.load(file).values())
    present(
        found,
        as_json,
        lambda: (
            table(
                ("部门", "名称", "区划", "类别", "可见", "法定依据"),
                [
                    (b.name, b.title, b.division, b.privacy, " ".join(b.may_see), b.legal_basis)
                    for b in found
                ],
            )
            if found
            else "还没有登记部门；登记：zhida bureau add"
        ),
    )


def _entry(known: Bureau | None, given: dict[str, object]) -> Bureau:
    kept = msgspec.to_builtins(known) if known else {}
    wanted = kept | {name: value for name, value in given.items() if value not in (None, [])}
    missing = [name for name in ("title", "division", "may_see") if not wanted.get(name)]
    if missing:
        raise Invalid(
            f"登记新部门还缺 {'、'.join('--' + name.replace('_', '-') for name in missing)}",
            field=missing[0],
        )
    try:
        return msgspec.convert(wanted, Bureau)
    except msgspec.ValidationError as error:
        raise Invalid(f"登记项不合格式：{error}") from error


def _known(name: str, file: Path) -> Bureau:
    found = bureaus.load(file).get(name)
    if found is None:
        raise NotFound(f"部门文件里没有 {name}", field="name", advice="zhida bureau list")
    return found


def _place(address: str | None, in_sandbox: bool) -> Place:
    """Where a bureau is let in: the city's vhost, or the sandbox beside it."""
    here = stack.Stack.load()
    broker, address = whereabouts(address)
    portal = here.portal_url if here else ""
    if in_sandbox:
        sandbox = Sandbox.beside(broker, stack.SANDBOX)
        if not sandbox.stands():
            raise Unavailable("沙箱还没有开", advice="先运行 zhida bureau sandbox")
        return Place(
            broker=sandbox.broker,
            address=address,
            public_key=sandbox.public_key(),
            portal=portal,
            file=sandbox.bureaus_file,
        )
    public_key = os.environ.get("BUREAU_PUBLIC_KEY")
    if public_key is None and here is not None:
        public_key = keys.kept(stack.KEYS)["BUREAU_PUBLIC_KEY"]
    if public_key is None:
        raise Unavailable("缺少登记服务的公钥", advice="设置 BUREAU_PUBLIC_KEY")
    return Place(
        broker=broker,
        address=address,
        public_key=public_key,
        portal=portal,
        file=stack.bureaus_file(),
    )


def whereabouts(address: str | None = None) -> tuple[Management, str]:
    """The broker of ``RABBITMQ_MANAGEMENT_URL`` (with ``AMQP_URI``), or this machine's stack, and
    how it is reached."""
    here = stack.Stack.load()
    if url := os.environ.get(MANAGEMENT):
        uri = os.environ.get("AMQP_URI", "")
        vhost = unquote(urlsplit(uri).path.removeprefix("/")) or "/"
        try:
            broker = Management.at(url, vhost)
        except ValueError as error:
            raise Invalid(f"{MANAGEMENT} {error}", field=MANAGEMENT) from error
        at = urlsplit(uri)
        return broker, address or f"{at.scheme or 'amqp'}://{at.hostname}:{at.port or 5672}"
    if here is None or here.broker is None:
        raise Unavailable(
            "不知道消息总线的管理接口在哪里",
            advice=f"先运行 zhida up，或设置 {MANAGEMENT}、AMQP_URI 和 BUREAU_PUBLIC_KEY",
        )
    return here.broker.management(), address or f"amqp://127.0.0.1:{here.broker.amqp_port}"


def _hand_over(joined: Sheet, file: Path | None, as_json: bool) -> None:
    if file is not None:
        if joined.amqp_uri is None and file.exists():
            joined = _with_known_secret(joined, file)
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(msgspec.json.format(msgspec.json.encode(joined)) + b"\n")
    present(joined, as_json, _page(joined))
    if joined.amqp_uri is None and not as_json:
        notes.print("账号已有，密码不再显示；需要新密码：zhida bureau rotate")


def _with_known_secret(joined: Sheet, file: Path) -> Sheet:
    try:
        before = msgspec.json.decode(file.read_bytes(), type=Sheet)
    except msgspec.DecodeError:
        return joined
    same = before.bureau == joined.bureau and before.vhost == joined.vhost
    return msgspec.structs.replace(joined, amqp_uri=before.amqp_uri) if same else joined


def _page(joined: Sheet) -> Callable[[], RenderableType]:
    rows = [
        ("部门", f"{joined.title}（{joined.bureau}）"),
        ("连接地址", joined.amqp_uri or "（密码已交付过）"),
        ("user_id", joined.user_id),
        ("收取队列", joined.queue),
        ("拒收队列", joined.refusals),
        ("可见", "\n".join(joined.sees)),
        ("发送交换器", joined.exchange),
        ("可发", "\n".join(joined.says)),
        ("登记服务公钥", msgspec.json.encode(joined.public_key).decode()),
        ("事件目录", joined.catalogue),
    ]
    console.width = max(console.width, 100)
    return lambda: table(("接入单", ""), rows)

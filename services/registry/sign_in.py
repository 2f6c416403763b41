"""Signing in: passwords, the lock after wrong ones, the token that every service trusts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError
from sqlalchemy import Engine, NullPool, func, insert, select

from services.chassis import database
from services.chassis.actors import LIFETIME_S, ActorSigner
from services.chassis.aside import aside
from services.chassis.uow import UnitOfWork
from services.contracts.actors import Actor, Role
from services.contracts.commands.registry import (
    ChangePassword,
    ListSignIns,
    SignedIn,
    SignIn,
    SignInAttempt,
)
from services.contracts.errors import Conflict, Invalid, Unauthenticated
from services.registry.models import SignInRow, Staff, StaffAccount
from services.registry.settings import registry_settings
from services.registry.staff import staff_view

ALLOWED_WRONG = 5
WINDOW = timedelta(minutes=15)
SHORTEST_PASSWORD = 10

_hasher = PasswordHasher()


def sign_in(uow: UnitOfWork, command: SignIn) -> SignedIn:
    """Exchange account and password for a token.

    Raises ``Unauthenticated`` with one wording for an unknown account and a wrong password, and
    ``Conflict`` while the account is locked. Each try is kept, also one that failed. Whoever must
    change the password first gets a token that opens nothing but that.
    """
    account = command.account.strip().lower()
    if _wrong_of_late(uow, account) >= ALLOWED_WRONG:
        _keep(uow, account, "locked")
        raise Conflict(
            "密码连续输错，账号已暂时锁定",
            field="account",
            advice="请 15 分钟后再试，或请系统管理员重设密码",
            reason="locked",
        )
    row = uow.session.execute(
        select(StaffAccount, Staff).join(Staff).where(StaffAccount.account == account)
    ).one_or_none()
    found, staff = row if row is not None else (None, None)
    right = verified(found.password_hash if found else _nobodys(), command.password)
    if found is None or staff is None or not right:
        _keep(uow, account, "wrong" if found else "unknown")
        raise Unauthenticated("账号或密码不对", field="account", advice="请核对后重试")
    if not staff.active:
        _keep(uow, account, "left")
        raise Unauthenticated("账号已停用", field="account", advice="请联系系统管理员")
    if _hasher.check_needs_rehash(found.password_hash):
        found.password_hash = aside(_hasher.hash, command.password)
    _keep(uow, account, "ok")
    actor = Actor(
        id=str(staff.id),
        name=staff.name,
        roles=() if found.must_change else tuple(Role(role) for role in staff.roles),
        divisions=() if found.must_change else tuple(staff.scopes),
    )
    return SignedIn(
        token=ActorSigner(registry_settings().signing_key).token(actor),
        expires_at=datetime.now(UTC) + timedelta(seconds=LIFETIME_S),
        staff=staff_view(uow, staff),
        must_change_password=found.must_change,
    )


def change_password(uow: UnitOfWork, command: ChangePassword) -> None:
    """Set one's own new password."""
    found = uow.session.get(StaffAccount, uow.actor.staff_id)
    if found is None or not verified(found.password_hash, command.old):
        raise Invalid("原密码不对", field="old")
    if command.new == command.old:
        raise Invalid("新密码与原密码相同", field="new", advice="请换一个")
    found.password_hash = hashed(command.new)
    found.must_change = False
    found.changed_at = uow.machine_now()
    uow.audit("password.changed", "staff", found.staff_id)


def list_sign_ins(uow: UnitOfWork, query: ListSignIns) -> list[SignInAttempt]:
    """The latest tries."""
    statement = select(SignInRow).order_by(SignInRow.id.desc()).limit(min(query.limit, 1000))
    if query.account:
        statement = statement.where(SignInRow.account == query.account.strip().lower())
    return [
        SignInAttempt(at=row.at, account=row.account, outcome=row.outcome)
        for row in uow.session.scalars(statement)
    ]


def hashed(password: str) -> str:
    """The argon2id hash to keep. Raises ``Invalid`` for a password too short or too simple."""
    if len(password) < SHORTEST_PASSWORD or len(set(password)) < 4:
        raise Invalid(
            f"密码至少 {SHORTEST_PASSWORD} 位，且不能是重复的字符",
            field="password",
            advice="可用几个不相干的词连起来",
        )
    return aside(_hasher.hash, password)


@cache
def _nobodys() -> str:
    """A hash to try a password against where there is no account: that takes as long."""
    return aside(_hasher.hash, "nobody has this password")


def verified(password_hash: str, password: str) -> bool:
    """Whether the password is the one that was hashed."""
    try:
        return aside(_hasher.verify, password_hash, password)
    except VerifyMismatchError:
        return False


def _wrong_of_late(uow: UnitOfWork, account: str) -> int:
    """Wrong tries in the window since the last right one."""
    since = uow.machine_now() - WINDOW
    last_right = select(func.max(SignInRow.at)).where(
        SignInRow.account == account, SignInRow.outcome.in_(("ok", "reset"))
    )
    return (
        uow.session.scalar(
            select(func.count()).where(
                SignInRow.account == account,
                SignInRow.outcome.in_(("wrong", "unknown")),
                SignInRow.at
                > func.greatest(since, func.coalesce(last_right.scalar_subquery(), since)),
            )
        )
        or 0
    )


def _keep(uow: UnitOfWork, account: str, outcome: str) -> None:
    """Write the try in a transaction of its own: the request's is rolled back when it fails.

    On a connection beside the pool: who waits there for a second one holds up all others.
    """
    with _beside(uow.settings.database_url).begin() as connection:
        connection.execute(insert(SignInRow).values(account=account[:100], outcome=outcome))


@cache
def _beside(database_url: str) -> Engine:
    return database.engine(database_url, application="zhida-registry-sign-in", poolclass=NullPool)

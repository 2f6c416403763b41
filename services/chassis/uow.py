"""The unit of work: one message or request, one transaction, one actor, one business date.

Use cases get it, never commit it: the edge (a request, a batch of events, a timer) does.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from threading import Event as Signal
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Engine, inspect, select
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import DeclarativeBase, Session, SessionTransaction

from services.chassis import audit, closing, database, outbox, rows, spans
from services.chassis.arrivals import Tellings
from services.chassis.clock import BusinessClock, machine_now
from services.chassis.crypto import FieldCipher, Seals
from services.chassis.settings import Settings
from services.chassis.tracing import current_traceparent
from services.contracts.actors import Actor
from services.contracts.errors import Forbidden
from services.contracts.events import Event

if TYPE_CHECKING:
    from services.chassis.inbox import Delivery

M = TypeVar("M")


class CommitLost(OperationalError):
    """The connection ended over the commit: it may have been made or not."""

    def __init__(self, error: DBAPIError) -> None:
        lost = error.orig or error
        super().__init__(error.statement, error.params, lost, connection_invalidated=True)


class UnitOfWork:
    """What a use case works with."""

    def __init__(self, foundation: Foundation, session: Session, actor: Actor) -> None:
        self._session = session
        self.actor = actor
        self.cipher = foundation.cipher
        self.seals = foundation.seals
        self.settings = foundation.settings
        self.epoch = foundation.settings.epoch
        self.clock = BusinessClock(session, movable=foundation.settings.mode != "production")
        self.emitted = 0
        self._alone: SessionTransaction | None = None
        self._put: dict[type[Any], list[rows.Row]] = {}
        self._stood: list[DeclarativeBase] = []
        self._unsaid: list[outbox.Row] = []
        self._noted: list[audit.Row] = []
        self._kept: list[spans.Row] = []
        self._answered: rows.Row | None = None
        self.deliveries: Sequence[Delivery] = ()
        """In a reaction: the envelopes of the events at hand, in the same order."""

    @property
    def session(self) -> Session:
        """The transaction's session. What was ``put`` is written before anything is asked of it."""
        if self._put:
            closing.write(self._session, put=self._put)
            self._put = {}
        return self._session

    def today(self) -> date:
        """The business date (Asia/Shanghai)."""
        return self.clock.today()

    def now(self) -> datetime:
        """Business time: the business date with the machine's time of day."""
        return self.clock.now()

    def machine_now(self) -> datetime:
        """Machine time in UTC, for audit, tokens and retries."""
        return machine_now()

    def put(self, *instances: DeclarativeBase, others: rows.Rows | None = None) -> None:
        """Insert new instances, whose keys are known, and ``others``: with ``write_down``, or when
        ``session`` is next asked for. The instances stand in it as if they had been loaded.

        Not within a savepoint but ``alone``'s, as ``emit_all``.
        """
        self._refuse_savepoint()
        for model, those in [*rows.of(instances).items(), *(others or {}).items()]:
            self._put.setdefault(model, []).extend(those)
        rows.keep(self._session, instances)
        self._stood += instances

    def emit(self, *events: Event, bulk: bool = False) -> list[uuid.UUID]:
        """Say events with this transaction; returns their ids.

        ``bulk`` marks events of mass work (an import, a cycle): the relay lets others go first.
        """
        return self.emit_all(events, bulk=bulk)

    def emit_all(self, events: Iterable[Event], *, bulk: bool = True) -> list[uuid.UUID]:
        """As ``emit`` for many events: consumes an iterator, writes a page at a time.

        Not within a savepoint, which may be taken back alone (``RuntimeError``), but ``alone``'s.
        """
        self._refuse_savepoint()
        self.flush()
        ids: list[uuid.UUID] = []
        for row in outbox.rows(events, bulk=bulk, traceparent=current_traceparent()):
            self._unsaid.append(row)
            ids.append(row["event_id"])
            if len(self._unsaid) == outbox.PAGE:
                self.say()
        self.emitted += len(ids)
        return ids

    def flush(self) -> None:
        """Write what was changed in what the session holds, as a query would do before it asks."""
        session = self._session
        if session.new or session.dirty or session.deleted:
            self.session.flush()  # what was put first: the others may refer to it

    def say(self) -> None:
        """Write what was emitted into the outbox; ``write_down`` does it too.

        So all that a request says, from whichever module, is one statement.
        """
        if self._unsaid:
            closing.write(self._session, put=self._put, said=self._unsaid)
            self._put, self._unsaid = {}, []

    def by_id(self, model: type[M], ids: Iterable[Any]) -> dict[Any, M]:
        """Rows by their primary key: those this unit of work already has, and one query for the
        rest. What does not exist is left out.
        """
        wanted, found = set(ids), dict[Any, M]()
        for each in wanted:
            row = self._session.identity_map.get(self._session.identity_key(model, each))
            if row is not None and not inspect(row).expired:
                found[each] = row
        if missing := wanted - found.keys():
            (key,) = inspect(model).primary_key
            for row in self.session.scalars(select(model).where(key.in_(missing))):
                found[inspect(row).identity[0]] = row
        return found

    def audit(self, action: str, subject_type: str, subject_id: object, **detail: Any) -> None:
        """Note in the audit log what this actor did or looked at.

        Written with the end of the unit of work (``write_down``); a savepoint that is taken back
        takes none with it.
        """
        self._noted.append(
            audit.row(self.actor, self.today(), action, subject_type, subject_id, detail)
        )

    def keep(self, *rows: spans.Row) -> None:
        """Keep rows of spans (``spans.row``) with this transaction."""
        self._kept += rows

    def answer(self, key: str, answer: Any) -> None:
        """Keep the answer to the command that was claimed with ``key``."""
        self._answered = {"key": key, "answer": {"answer": answer}}

    @contextmanager
    def alone(self) -> Iterator[None]:
        """A block that, when it raises, is taken back alone: what it changed, said and noted.

        The error goes on to the caller, who may go on with others.
        """
        self.write_down()
        emitted, stood, before = self.emitted, len(self._stood), self._alone
        try:
            with self._session.begin_nested() as self._alone:
                yield
                self.write_down()
        except BaseException:
            self._forget()
            self.emitted = emitted
            for instance in self._stood[stood:]:
                self._session.expunge(instance)
            del self._stood[stood:]
            raise
        finally:
            self._alone = before

    def write_down(self) -> None:
        """Write what was put, said, noted and answered so far: the last thing before the commit."""
        self.flush()
        closing.write(
            self._session,
            put=self._put,
            said=self._unsaid,
            noted=self._noted,
            kept=self._kept,
            answered=self._answered,
        )
        self._forget()

    def _refuse_savepoint(self) -> None:
        if self._session.get_nested_transaction() is not self._alone:
            raise RuntimeError("an event or a new row within a savepoint")

    def _forget(self) -> None:
        self._put, self._unsaid, self._noted, self._kept, self._answered = {}, [], [], [], None

    def require(self, division: str) -> None:
        """Raise ``Forbidden`` unless ``division`` lies in the actor's scopes."""
        if not self.actor.covers(division):
            raise Forbidden("不在您的管辖范围内", advice="请联系该地的经办人员")


@dataclass(frozen=True)
class Foundation:
    """What one process of a service shares between its transactions."""

    settings: Settings
    engine: Engine
    cipher: FieldCipher
    seals: Seals
    wake: Signal = field(default_factory=Signal)
    """Set when a transaction with events has committed: the relay need not wait to look."""
    tellings: Tellings = field(default_factory=Tellings)
    """What the producers have published, as its queues' upkeep last heard it."""

    @classmethod
    def build(cls, settings: Settings) -> Foundation:
        """Make engine and ciphers; connects lazily, on first use."""
        engine = database.engine(
            settings.database_url,
            application=f"zhida-{settings.service}",
            pool_size=database.POOL_SIZE,
            max_overflow=0,
            pool_use_lifo=True,
            pool_recycle=1800,
        )
        database.ask_after_silence(engine)
        return cls(
            settings=settings,
            engine=engine,
            cipher=FieldCipher(settings.field_keys, settings.index_key),
            seals=Seals(settings.service, settings.transit_keys),
        )

    @contextmanager
    def begin(self, actor: Actor) -> Iterator[UnitOfWork]:
        """A unit of work: committed at the end of the block, rolled back when it raises.

        ``CommitLost`` when nobody knows which of the two it was.
        """
        with Session(self.engine, expire_on_commit=False) as session, session.begin() as whole:
            uow = UnitOfWork(self, session, actor)
            yield uow
            uow.write_down()
            if not whole.is_active:  # the block itself took it back
                return
            try:
                whole.commit()
            except DBAPIError as error:
                if not error.connection_invalidated:
                    raise
                raise CommitLost(error) from error
        if uow.emitted:
            self.wake.set()

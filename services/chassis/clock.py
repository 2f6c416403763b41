"""Business time (dates, deadlines, months) and machine time (audit, tokens, retries).

In demo and test mode business time runs with an offset of whole days, kept in each service's
database and set by ``SetClock``; in production there is none. The zone is Asia/Shanghai.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from services.chassis.models import ClockRow
from services.contracts.errors import Conflict

ZONE = ZoneInfo("Asia/Shanghai")


def machine_now() -> datetime:
    """The machine's time, in UTC."""
    return datetime.now(UTC)


OFFSET = select(ClockRow.offset_days)
"""By how many days business time is ahead; no row: by none."""


class BusinessClock:
    """Business time as one transaction sees it: read once, then unchanging."""

    def __init__(self, session: Session, *, movable: bool) -> None:
        self._session = session
        self._movable = movable
        self._offset: timedelta | None = None

    def now(self) -> datetime:
        """The business date with the machine's time of day."""
        return machine_now().astimezone(ZONE) + self._read_offset()

    def today(self) -> date:
        """The business date."""
        return self.now().date()

    def set_today(self, today: date) -> None:
        """Make ``today`` the business date. Raises ``Conflict`` in production."""
        if not self._movable:
            raise Conflict("正式环境不能调整业务日期", advice="仅演示与测试环境可用")
        days = (today - machine_now().astimezone(ZONE).date()).days
        statement = insert(ClockRow).values(id=1, offset_days=days)
        self._session.execute(
            statement.on_conflict_do_update(index_elements=["id"], set_={"offset_days": days})
        )
        self._offset = timedelta(days=days)

    def ahead(self, days: int | None) -> None:
        """Take what ``OFFSET`` gave to a statement that was made anyway."""
        self._offset = timedelta(days=days or 0)

    def _read_offset(self) -> timedelta:
        if not self._movable:
            return timedelta(0)
        if self._offset is None:
            self.ahead(self._session.connection().scalar(OFFSET))
        return self._offset or timedelta(0)

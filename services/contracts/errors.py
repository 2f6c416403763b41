"""Errors that cross a service's edge. Each says in Chinese what is wrong and what to do."""

from __future__ import annotations

from typing import Any, ClassVar


class ZhidaError(Exception):
    """A refusal the caller can act on.

    ``message`` and ``advice`` are Chinese, for the person; ``code`` and ``field`` are stable, for
    programs; ``status`` is the HTTP status the REST API answers with.
    """

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 400

    def __init__(
        self,
        message: str,
        *,
        field: str | None = None,
        advice: str | None = None,
        reason: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.advice = advice
        self.reason = reason
        """A finer stable code within the class, e.g. ``budget_short``."""

    def as_dict(self) -> dict[str, Any]:
        """The form that travels: code, reason, message, field, advice."""
        return {
            "code": self.code,
            "reason": self.reason,
            "message": self.message,
            "field": self.field,
            "advice": self.advice,
        }


class Invalid(ZhidaError):
    """What was given cannot be right, whatever the state."""

    code = "invalid"
    status = 422


class NotFound(ZhidaError):
    """There is no such thing, or not within the caller's sight."""

    code = "not_found"
    status = 404


class Unauthenticated(ZhidaError):
    """No actor token, or one that is expired or forged."""

    code = "unauthenticated"
    status = 401


class Forbidden(ZhidaError):
    """The actor's roles or divisions do not allow it."""

    code = "forbidden"
    status = 403


class Conflict(ZhidaError):
    """Right in itself, but the present state forbids it."""

    code = "conflict"
    status = 409


class Stale(Conflict):
    """Somebody else changed it in between."""

    code = "stale"


class Unavailable(ZhidaError):
    """The service, its broker or its database is away; nothing was changed; try again."""

    code = "unavailable"
    status = 503


_BY_CODE: dict[str, type[ZhidaError]] = {
    cls.code: cls
    for cls in (Invalid, NotFound, Unauthenticated, Forbidden, Conflict, Stale, Unavailable)
}


def from_dict(data: dict[str, Any]) -> ZhidaError:
    """Rebuild the error that ``as_dict`` wrote."""
    cls = _BY_CODE.get(str(data.get("code")), ZhidaError)
    return cls(
        str(data.get("message")),
        field=data.get("field"),
        advice=data.get("advice"),
        reason=data.get("reason"),
    )

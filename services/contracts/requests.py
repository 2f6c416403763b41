"""Commands and queries: what the edge may ask of the one service that owns the answer.

A request is a struct in ``contracts/commands/<service>.py``. Its service is that module's name,
its RPC method the class name in snake case, its result the generic parameter::

    class AcceptApplication(Command[CaseView], frozen=True, kw_only=True):
        applicant_id: UUID
"""

from __future__ import annotations

import re
from typing import Any, ClassVar, Generic, TypeVar, get_args

import msgspec

R = TypeVar("R")

_CAMEL = re.compile(r"(?<!^)(?=[A-Z])")


class Request(msgspec.Struct, Generic[R], frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of ``Command`` and ``Query``. ``timeout`` is the caller's patience in seconds."""

    timeout: ClassVar[float] = 15.0

    @classmethod
    def service(cls) -> str:
        """The service that answers: the name of the module that declares the request."""
        return cls.__module__.rsplit(".", 1)[-1]

    @classmethod
    def method(cls) -> str:
        """The RPC method: the class name in snake case."""
        return _CAMEL.sub("_", cls.__name__).lower()

    @classmethod
    def result_type(cls) -> Any:
        """The declared type of the answer."""
        for base in cls.__dict__.get("__orig_bases__", ()):
            if args := get_args(base):
                return args[0]
        raise TypeError(f"{cls.__name__} declares no result type")


class Command(Request[R], Generic[R], frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Asks for a change. Idempotent: the same key from the caller gives the first answer."""


class Query(Request[R], Generic[R], frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Asks for a look. Changes nothing but the audit log."""

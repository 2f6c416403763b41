"""Statements that the server plans once a connection, not each time they come.

psycopg2 knows no prepared statements. A statement with the option ``PLANNED`` is prepared when a
connection first meets it and from then on only executed: for the statements that every request
makes, whose planning costs as much as their carrying out. Their text must not change with what is
asked: a list travels as one array (``= ANY``), never as ``IN`` of so many. A parameter's type
follows from where it stands; one that stands alone is cast, or taken for text. What decides which
index serves (the condition of a partial one, a limit) is written out: a plan for all knows no
parameter's value.
"""

from __future__ import annotations

import functools
import hashlib
import re
from typing import Any, NamedTuple

from sqlalchemy import Engine, event

PLANNED = {"planned": True}
"""An execution option of a statement."""


class Forms(NamedTuple):
    """A statement as it is prepared and as it is executed, under a name of its own."""

    name: str
    prepare: str
    execute: str


def plan_once(engine: Engine) -> None:
    """Let the engine's connections keep the plans of statements that are marked ``PLANNED``."""

    @event.listens_for(engine, "before_cursor_execute", retval=True)
    def execute(
        connection: Any, cursor: Any, statement: str, given: Any, context: Any, many: bool
    ) -> tuple[str, Any]:
        if many or not context.execution_options.get("planned"):
            return statement, given
        of_it = forms(statement)
        # A plan outlives a rollback, and goes with the connection, as these notes do.
        known: set[str] = connection.connection.info.setdefault("planned", set())
        if of_it.name not in known:
            cursor.execute(of_it.prepare)
            known.add(of_it.name)
        return of_it.execute, given


@functools.cache
def forms(statement: str) -> Forms:
    """The forms of a statement in psycopg2's style (``%(name)s``)."""
    names = list(dict.fromkeys(re.findall(r"%\((\w+)\)s", statement)))
    places = {name: f"${number}" for number, name in enumerate(names, 1)}
    name = f"planned_{hashlib.sha256(statement.encode()).hexdigest()[:16]}"
    given = ", ".join(f"%({each})s" for each in names)
    return Forms(
        name,
        f"PREPARE {name} AS {statement % places}",
        f"EXECUTE {name}({given})" if names else f"EXECUTE {name}",
    )

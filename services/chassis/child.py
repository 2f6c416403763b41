"""Runs one request in a process of its own: COPY, files and heavy computing, off the event loop.

Reads ``[body, context]`` as JSON from stdin and writes the answer to stdout. Not patched by
eventlet. Whoever waits for a short answer, and a death, go before it on a busy processor.
"""

from __future__ import annotations

from services.chassis import loading  # isort: skip

import functools
import json
import os
import sys

from services.chassis import logs
from services.chassis.discovery import service_class
from services.chassis.settings import Settings
from services.chassis.uow import Foundation

NICE = 10


def main(service: str, method: str) -> int:
    """Answer one request; the exit code is 0 whenever there is an answer."""
    os.nice(NICE)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # logs go to stderr; stdout carries nothing but the answer
    cls = service_class(service)
    logs.configure(cls.name)
    body, context = json.load(sys.stdin)
    endpoint = getattr(cls, method).endpoint
    use_case = functools.partial(getattr(cls, method).__wrapped__, cls())
    loading.done()
    foundation = Foundation.build(Settings.from_env(cls.name))
    answer = endpoint.answer(
        foundation, use_case, body, context, home=None, staff_posts=cls.staff_posts
    )
    json.dump(answer, answers, default=str)
    answers.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))

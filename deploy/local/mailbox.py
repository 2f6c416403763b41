"""The mail server of tests and the demo: takes every message and keeps it to be read back.

``python -m deploy.local.mailbox --port 2525 --folder FOLDER`` stands for the mail server that a
city's SMS gateway listens on. Each message is one line of JSON in ``FOLDER/mailbox.jsonl``,
written before the sender is told 250, so what was accepted can be read back.
"""

import argparse
import asyncio
import os
import signal
from collections.abc import Iterator
from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any

import msgspec
from aiosmtpd.smtp import SMTP, Envelope, Session

FILE = "mailbox.jsonl"


class Mail(msgspec.Struct, frozen=True, kw_only=True):
    """A message as it arrived; ``message_id`` is Zhida's own id, the same in every attempt."""

    message_id: str
    attempt: int
    sender: str
    to: str
    subject: str
    text: str
    received_at: datetime


def read(folder: Path) -> Iterator[Mail]:
    """The messages in order of arrival; none where nothing has come yet."""
    path = folder / FILE
    if path.exists():
        with path.open("rb") as lines:
            for line in lines:
                if line.endswith(b"\n"):  # the last one may still be on its way
                    yield msgspec.json.decode(line, type=Mail)


class Mailbox:
    """Takes messages for one folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._file = os.fdopen(descriptor, "ab", buffering=0)

    async def handle_DATA(  # noqa: N802  (aiosmtpd calls it so)
        self, _server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        """Keep one message, then answer."""
        content = envelope.content
        raw = content if isinstance(content, bytes) else (content or "").encode()
        mail: Any = message_from_bytes(raw, policy=default)
        kept = Mail(
            message_id=str(mail["Message-ID"] or "").strip("<>").partition("@")[0],
            attempt=int(mail["X-Zhida-Attempt"] or 1),
            sender=envelope.mail_from or "",
            to=",".join(envelope.rcpt_tos),
            subject=str(mail["Subject"] or ""),
            text=mail.get_content().strip(),
            received_at=datetime.now(UTC),
        )
        self._file.write(msgspec.json.encode(kept) + b"\n")
        return "250 OK"


async def serve(host: str, port: int, folder: Path) -> None:
    """Take messages until SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    mailbox = Mailbox(folder)
    stopped = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stopped.set)
    server = await loop.create_server(lambda: SMTP(mailbox, loop=loop), host=host, port=port)
    async with server:
        await stopped.wait()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=2525)
    parser.add_argument("--folder", type=Path, required=True)
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.host, arguments.port, arguments.folder))


if __name__ == "__main__":
    main()

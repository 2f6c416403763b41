"""Where the sandbox is: its vhost, the user that plays Zhida there, the test key."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import msgspec
from joserfc.jwk import ECKey

from deploy.management import Management, ManagementError

VHOST = "sandbox"
USER = "sandbox"
"""Who plays Zhida; ``sandbox@<vhost>`` at the broker, without a right on any other vhost."""

BUREAUS = "bureaus.toml"
EVERYTHING = {"configure": ".*", "write": ".*", "read": ".*"}


class Sandbox(msgspec.Struct, frozen=True, kw_only=True):
    """The sandbox of one broker. ``folder`` keeps its key and its bureaus' entries."""

    broker: Management
    folder: Path

    @classmethod
    def beside(cls, broker: Management, folder: Path, vhost: str = VHOST) -> Sandbox:
        """The sandbox on the same broker as the city."""
        if vhost == broker.vhost:
            raise ValueError("the sandbox has a vhost of its own")
        return cls(broker=msgspec.structs.replace(broker, vhost=vhost), folder=folder)

    @property
    def bureaus_file(self) -> Path:
        """The entries of the bureaus that try; the city's file knows nothing of them."""
        return self.folder / BUREAUS

    @property
    def user(self) -> str:
        """The broker user that plays Zhida."""
        return f"{USER}@{self.broker.vhost}"

    def private_key(self) -> str:
        """The test key that identity numbers are sealed to (JWK), made at the first use."""
        file = self.folder / "key.json"
        if not file.exists():
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            made = ECKey.generate_key("P-256", auto_kid=True)
            with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT, 0o600), "w") as stream:
                json.dump(made.as_dict(private=True), stream)
        return file.read_text(encoding="utf-8")

    def public_key(self) -> str:
        """Its public half, for the connection sheets."""
        return json.dumps(ECKey.import_key(json.loads(self.private_key())).as_dict(private=False))

    def prepare(self, address: str) -> str:
        """Make the vhost and its user; the AMQP address of that user, whose password is new."""
        password = secrets.token_urlsafe(24)
        vhost, user = self.broker.vhost, self.user
        self.broker.ask("PUT", "vhosts", vhost)
        self.broker.ask("PUT", "permissions", vhost, self.broker.user, body=EVERYTHING)
        self.broker.ask("PUT", "users", user, body={"password": password, "tags": ""})
        self.broker.ask("PUT", "permissions", vhost, user, body=EVERYTHING)
        scheme, _, host = address.rstrip("/").partition("://")
        return f"{scheme}://{quote(user, safe='')}:{password}@{host}/{quote(vhost, safe='')}"

    def stands(self) -> bool:
        """Whether the vhost is there."""
        return any(each["name"] == self.broker.vhost for each in self.broker.ask("GET", "vhosts"))

    def erase(self) -> None:
        """Remove the vhost with all it holds, every user made for it, key and entries."""
        ours = [name for name in self.broker.users() if name.endswith(f"@{self.broker.vhost}")]
        for kind, name in (*(("users", name) for name in ours), ("vhosts", self.broker.vhost)):
            with suppress(ManagementError):
                self.broker.ask("DELETE", kind, name)
        shutil.rmtree(self.folder, ignore_errors=True)

"""Encryption of fields at rest, blind indexes, and fields sealed between two services.

AES-256-GCM. At rest: ``key id (1 byte) | nonce (12) | data``, with ``table|row|column`` as
associated data, so that a ciphertext moved to another row does not open. A blind index is a keyed
hash (HMAC-SHA256) under a key of its own, for equality search. A sealed field is base64 of the
same layout under the transit key that only sender and receiver hold.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from collections.abc import Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM


class CannotOpen(Exception):
    """The ciphertext was altered, moved, or made under a key we do not hold."""


def current_key(keys: Mapping[int, bytes]) -> int:
    """The number of the key that closes: the ring's own word, else the highest."""
    return int(getattr(keys, "current", 0)) or max(keys)


class _Keyring:
    def __init__(self, keys: dict[int, bytes]) -> None:
        self._keys = {number: AESGCM(key) for number, key in keys.items()}
        self._current = current_key(keys)

    def close(self, content: bytes, context: bytes) -> bytes:
        nonce = os.urandom(12)
        sealed = self._keys[self._current].encrypt(nonce, content, context)
        return bytes([self._current]) + nonce + sealed

    def open(self, data: bytes, context: bytes) -> bytes:
        try:
            key = self._keys[data[0]]
            return key.decrypt(data[1:13], data[13:], context)
        except (KeyError, IndexError, InvalidTag, ValueError) as error:
            raise CannotOpen("ciphertext does not open") from error


class FieldCipher:
    """Encrypts single columns of one service's database."""

    def __init__(self, keys: dict[int, bytes], index_key: bytes) -> None:
        self._ring = _Keyring(keys)
        self._index_key = index_key

    def encrypt(self, text: str, *, table: str, row: object, column: str) -> bytes:
        """Ciphertext of ``text`` bound to its place."""
        return self.encrypt_bytes(text.encode(), table=table, row=row, column=column)

    def decrypt(self, data: bytes, *, table: str, row: object, column: str) -> str:
        """The text again. Raises ``CannotOpen`` when altered or moved."""
        return self.decrypt_bytes(data, table=table, row=row, column=column).decode()

    def encrypt_bytes(self, content: bytes, *, table: str, row: object, column: str) -> bytes:
        """As ``encrypt``, for bytes."""
        return self._ring.close(content, f"{table}|{row}|{column}".encode())

    def decrypt_bytes(self, data: bytes, *, table: str, row: object, column: str) -> bytes:
        """As ``decrypt``, for bytes."""
        return self._ring.open(bytes(data), f"{table}|{row}|{column}".encode())

    def blind_index(self, text: str) -> bytes:
        """A keyed hash to find an exact value by; says nothing without the key."""
        return hmac.new(self._index_key, text.encode(), hashlib.sha256).digest()


class Seals:
    """Seals fields for another service, and opens what another service sealed for us."""

    def __init__(self, service: str, keys: dict[tuple[str, str], dict[int, bytes]]) -> None:
        self._service = service
        self._rings = {pair: _Keyring(ring) for pair, ring in keys.items()}

    def seal(self, receiver: str, text: str) -> str:
        """Ciphertext only ``receiver`` can open."""
        ring = self._ring(self._service, receiver)
        sealed = ring.close(text.encode(), self._context(self._service, receiver))
        return base64.b64encode(sealed).decode()

    def open(self, sender: str, sealed: str) -> str:
        """What ``sender`` sealed for us. Raises ``CannotOpen``."""
        try:
            data = base64.b64decode(sealed, validate=True)
        except ValueError as error:
            raise CannotOpen("not a sealed field") from error
        ring = self._ring(sender, self._service)
        return ring.open(data, self._context(sender, self._service)).decode()

    def _ring(self, sender: str, receiver: str) -> _Keyring:
        try:
            return self._rings[sender, receiver]
        except KeyError:
            raise CannotOpen(f"no transit key for {sender}>{receiver}") from None

    @staticmethod
    def _context(sender: str, receiver: str) -> bytes:
        return f"{sender}>{receiver}".encode()


def last_four(text: str | None) -> str:
    """How a number is shown: only its last four characters."""
    return f"****{text[-4:]}" if text else ""

"""User ids that nobody can read back: a keyed hash (BLAKE2b, RFC 7693) in the place of the id.

The key comes from the environment only. With the same key the door and the sources give a person the same
pseudonym, so that history, features, answers and feedback meet; with another key everybody is a stranger.
"""

from __future__ import annotations

import hashlib
import os
from typing import TypeVar

import msgspec

from tastemaker.errors import TastemakerError
from tastemaker.settings import Settings

KEY = "TASTEMAKER_PSEUDONYM_KEY"
"""Environment: the secret."""
MIN_KEY_BYTES, MAX_KEY_BYTES = 32, 64
PREFIX = "p-"

Message = TypeVar("Message", bound=msgspec.Struct)


class Pseudonyms:
    """One key's. Equal ids have equal pseudonyms; two different ones collide with a chance of 2^-128."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def of(self, user_id: str) -> str:
        """34 characters for an id; nobody stays nobody."""
        if not user_id:
            return user_id
        return PREFIX + hashlib.blake2b(user_id.encode(), key=self._key, digest_size=16).hexdigest()

    def hide(self, message: Message) -> Message:
        """The message under a pseudonym; as it is if it names no user."""
        user_id: str | None = getattr(message, "user_id", None)
        return message if user_id is None else msgspec.structs.replace(message, user_id=self.of(user_id))

    @property
    def fingerprint(self) -> str:
        """Tells keys apart, and tells nothing of the key."""
        return hashlib.blake2b(b"fingerprint", key=self._key, digest_size=4).hexdigest()


def open_pseudonyms(settings: Settings) -> Pseudonyms | None:
    """None unless `privacy.pseudonymize` is set. Raises TastemakerError without a sound key."""
    if not settings.privacy.pseudonymize:
        return None
    key = os.environ.get(KEY, "").encode()
    if not MIN_KEY_BYTES <= len(key) <= MAX_KEY_BYTES:
        raise TastemakerError(
            f"privacy.pseudonymize is on, and {KEY} has {len(key)} bytes, must have {MIN_KEY_BYTES} to "
            f"{MAX_KEY_BYTES}",
            fix=f"export {KEY}=$(openssl rand -hex 32), keep it safe, and give it to every service and run",
        )
    return Pseudonyms(key)

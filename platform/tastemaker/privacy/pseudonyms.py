"""Pseudonyms: a keyed hash (BLAKE2b, RFC 7693) in the place of a user id, which can't be inverted.

The key comes from the environment only. Services and sources with the same key give a user the same
pseudonym, so that history, features, answers and feedback match; with another key all users are unknown.
"""

from __future__ import annotations

import hashlib
import os
import re
from typing import TypeVar

import msgspec

from tastemaker.errors import TastemakerError
from tastemaker.settings import Settings

KEY = "TASTEMAKER_PSEUDONYM_KEY"
"""Environment variable that holds the key."""
MIN_KEY_BYTES, MAX_KEY_BYTES = 32, 64
PREFIX = "p-"

_is_pseudonym = re.compile(PREFIX + "[0-9a-f]{32}").fullmatch

Message = TypeVar("Message", bound=msgspec.Struct)


class Pseudonyms:
    """Pseudonyms of a key. Equal ids have equal ones; a pair of others collides with probability 2^-128."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def of(self, user_id: str) -> str:
        """Return the 34-character pseudonym of an id; an empty id stays empty."""
        if not user_id:
            return user_id
        return PREFIX + hashlib.blake2b(user_id.encode(), key=self._key, digest_size=16).hexdigest()

    def of_unit(self, unit: str) -> str:
        """Return the pseudonym of a unit of an experiment, which may be one: callers assign pseudonyms."""
        return unit if _is_pseudonym(unit) else self.of(unit)

    def hide(self, message: Message) -> Message:
        """Return the message with its ids of user, device and unit replaced; unchanged if it has none."""
        given = {name: getattr(message, name, None) for name in _HIDDEN}
        hidden = {name: _HIDDEN[name](self, value) for name, value in given.items() if value is not None}
        return msgspec.structs.replace(message, **hidden) if hidden else message

    @property
    def fingerprint(self) -> str:
        """8 hexadecimal digits that differ between keys and do not reveal the key."""
        return hashlib.blake2b(b"fingerprint", key=self._key, digest_size=4).hexdigest()


_HIDDEN = {"user_id": Pseudonyms.of, "device_id": Pseudonyms.of, "unit": Pseudonyms.of_unit}
"""Fields of messages -> how each is hidden."""


def open_pseudonyms(settings: Settings) -> Pseudonyms | None:
    """Return the pseudonyms of the environment's key; None unless `privacy.pseudonymize` is set.

    Raises:
        TastemakerError: The key is missing, too short or too long.
    """
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

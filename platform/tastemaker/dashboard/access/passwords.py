"""Passwords at rest: scrypt (RFC 7914), with its parameters beside each hash."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import unicodedata
from base64 import b64decode, b64encode

from tastemaker.errors import TastemakerError

FEWEST_CHARACTERS = 12
MOST_CHARACTERS = 1_000
_N, _R, _P = 1 << 15, 8, 3
"""Cost, block size and parallelization: 32 MB, as hard as the usual 2^17, 8, 1, which takes 128 MB."""
_SALT_BYTES, _HASH_BYTES = 16, 32
_MOST_BYTES = 1 << 26


def check_new_password(password: str) -> None:
    """Raise TastemakerError if a password is too short or too long, or can't be entered in a form."""
    if not FEWEST_CHARACTERS <= len(password) <= MOST_CHARACTERS:
        raise TastemakerError(
            f"the password has {len(password):,} characters, must have {FEWEST_CHARACTERS} to "
            f"{MOST_CHARACTERS:,}",
            fix="choose several words, or let a password manager make one",
        )
    if not password.isprintable():
        raise TastemakerError("the password has a character that can't be typed", fix="choose another one")


def hash_password(password: str) -> str:
    """Return what is stored of a password: scrypt's parameters, a salt of its own, and the hash."""
    salt = secrets.token_bytes(_SALT_BYTES)
    return _stored(salt, _scrypt(password, salt, _N, _R, _P))


def is_password(given: str, stored: str | None) -> bool:
    """Return whether a password is the one that is stored.

    Args:
        given: As it was entered.
        stored: From `hash_password`; None if there is no such user, which takes the same time.
    """
    _, n, r, p, salt, expected = (stored or _stored(bytes(_SALT_BYTES), bytes(_HASH_BYTES))).split("$")
    found = _scrypt(given, b64decode(salt), int(n), int(r), int(p))
    is_padded = "\0" in given  # scrypt pads with it: two passwords would have one hash
    return hmac.compare_digest(found, b64decode(expected)) and stored is not None and not is_padded


def _stored(salt: bytes, hashed: bytes) -> str:
    parts = (b64encode(one).decode() for one in (salt, hashed))
    return "$".join(["scrypt", str(_N), str(_R), str(_P), *parts])


def _scrypt(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    """Hash the password in Unicode's form NFKC, since keyboards compose letters differently."""
    text = unicodedata.normalize("NFKC", password).encode("utf-8", "replace")
    return hashlib.scrypt(text, salt=salt, n=n, r=r, p=p, maxmem=_MOST_BYTES, dklen=_HASH_BYTES)

"""API keys at rest: a small file in the home folder that holds digests and no key.

A key is `tm_<id>_<secret>`; the secret is 256 random bits, shown once. Its SHA-256 is kept. A slow password
hash would only help secrets that can be guessed, and each request would pay for it.
"""

from __future__ import annotations

import hashlib
import math
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import msgspec
from msgspec import Meta

from tastemaker.errors import TastemakerError

KeyScope = Literal["recommend", "feedback", "manage", "report", "train", "control"]
"""What a key allows. Probes, metrics and the OpenAPI document need no key. `control` allows what a
controller of experiments sends: any request, with its header."""
SLOTS = 4_096
"""The most active keys."""
_PREFIX = "tm_"


class Key(msgspec.Struct, frozen=True, omit_defaults=True):
    """One key."""

    id: str
    """Public: it stands in the key itself and in lists."""
    name: str
    """Who uses it. Several keys may share a name while one takes over from another."""
    digest: str
    """SHA-256 of the whole key, hexadecimal."""
    scopes: list[KeyScope]
    created_at: float
    """Seconds since 1970 UTC, as the others."""
    slot: Annotated[int, Meta(ge=0, lt=SLOTS)]
    """Its place among the numbers in `rate_limit`."""
    per_second: Annotated[float, Meta(gt=0)] | None = None
    """Requests that it may make; None for any number."""
    expires_at: float | None = None
    revoked_at: float | None = None

    def is_active(self, now: float) -> bool:
        """Return whether it is neither revoked nor expired at `now` (seconds since 1970 UTC)."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


class NewKey(NamedTuple):
    """A new key; `secret` is never seen again."""

    key: Key
    secret: str


def digest(secret: str) -> str:
    """Return the digest that is stored of a key."""
    return hashlib.sha256(secret.encode()).hexdigest()


def parse_id(secret: str) -> str:
    """Return the id in a key; empty if it is not a key."""
    return secret.removeprefix(_PREFIX).partition("_")[0] if secret.startswith(_PREFIX) else ""


def read_keys(path: Path) -> list[Key]:
    """Return the keys in the file, oldest first; none if there is no file. Raises TastemakerError."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[Key])
    except FileNotFoundError:
        return []
    except (OSError, msgspec.DecodeError) as error:
        raise TastemakerError(
            f"the API keys in {path} can't be read: {error}",
            fix="repair it, or delete it and create new keys: tastemaker keys new",
        ) from None


@contextmanager
def changed(path: Path) -> Iterator[list[Key]]:
    """Yield the keys, to be changed in place. They are written when the block ends, for the owner only.

    Raises TastemakerError if they can't be read or written; the file is unchanged then.
    """
    from tastemaker.util.atomic_files import atomic_write
    from tastemaker.util.file_lock import file_lock

    try:
        with file_lock(path.with_suffix(".lock")):
            keys = read_keys(path)
            yield keys
            with atomic_write(path, mode=0o600) as partial:
                partial.write_bytes(msgspec.json.format(msgspec.json.encode(keys), indent=1))
    except OSError as error:
        raise TastemakerError(
            f"the API keys in {path} can't be written: {error.strerror}",
            fix="free some space, or fix the folder's permissions",
        ) from None


def add(
    keys: list[Key],
    name: str,
    scopes: list[KeyScope],
    *,
    per_second: float | None = None,
    expires_at: float | None = None,
) -> NewKey:
    """Create a key and append it to `keys`.

    Args:
        keys: All keys.
        name: The name of the caller.
        scopes: What the key allows.
        per_second: The rate limit in requests per second; None for no limit.
        expires_at: In seconds since 1970 UTC; None if it does not expire.

    Returns:
        The key and its secret, which is not stored.

    Raises:
        TastemakerError: Too many keys are active, or a limit is not a finite number.
    """
    now = time.time()
    _require_finite(per_second=per_second, expires_at=expires_at)
    taken = {key.slot for key in keys if key.is_active(now)}
    slot = next((slot for slot in range(SLOTS) if slot not in taken), None)
    if slot is None:
        raise TastemakerError(
            f"{SLOTS} keys are active, which is the limit", fix="tastemaker keys revoke NAME"
        )
    key_id = secrets.token_hex(6)
    secret = f"{_PREFIX}{key_id}_{secrets.token_urlsafe(32)}"
    key = Key(key_id, name, digest(secret), scopes, now, slot, per_second, expires_at)
    keys.append(key)
    return NewKey(key, secret)


def rotate(keys: list[Key], name: str, grace_seconds: float) -> NewKey:
    """Create a key with the scopes of the newest of that name; the others expire later.

    Args:
        keys: All keys; changed in place.
        name: Whose keys are replaced.
        grace_seconds: How long the others stay active.

    Returns:
        The new key, with its secret.
    """
    _require_finite(grace_seconds=grace_seconds)
    alive = _alive(keys, name)
    made = add(keys, alive[-1].name, alive[-1].scopes, per_second=alive[-1].per_second)
    end = made.key.created_at + grace_seconds
    for old in alive:
        end_of_old = end if old.expires_at is None else min(end, old.expires_at)
        keys[keys.index(old)] = msgspec.structs.replace(old, expires_at=end_of_old)
    return made


def _require_finite(**limits: float | None) -> None:
    """Raise TastemakerError for NaN and infinity: JSON would store null, which means no limit."""
    for name, value in limits.items():
        if value is not None and not math.isfinite(value):
            raise TastemakerError(
                f"{name} is {value}, must be a finite number", fix="leave it out, or pass one"
            )


def revoke(keys: list[Key], name: str) -> list[Key]:
    """Revoke the active key of that id, or all active keys of that name.

    Args:
        keys: All keys; the revoked ones are replaced in place.
        name: The id of a key, or the name that one or more keys have.

    Returns:
        The keys that are revoked now, in their order in `keys`.

    Raises:
        TastemakerError: No active key has that id or name.
    """
    revoked = [msgspec.structs.replace(key, revoked_at=time.time()) for key in _alive(keys, name)]
    for key in revoked:
        keys[[one.id for one in keys].index(key.id)] = key
    return revoked


def _alive(keys: list[Key], name: str) -> list[Key]:
    now = time.time()
    alive = [key for key in keys if name in (key.name, key.id) and key.is_active(now)]
    if not alive:
        known = ", ".join(sorted({key.name for key in keys if key.is_active(now)})) or "none"
        raise TastemakerError(
            f"no active key is called {name!r}; there are: {known}", fix="tastemaker keys list"
        )
    return alive

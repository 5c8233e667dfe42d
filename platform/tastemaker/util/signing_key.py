"""Keys that sign links and cookies: from the environment, else made once in the home folder."""

from __future__ import annotations

import os
import secrets
import time
from pathlib import Path

from tastemaker.errors import TastemakerError

FEWEST_CHARACTERS = 32


def signing_key(path: Path, variable: str) -> bytes:
    """Return the key in an environment variable, else the one in a file, which is made if it is missing.

    Args:
        path: The file, which is not read where the variable is set.
        variable: The environment variable's name.

    Raises:
        TastemakerError: If the key is short, or others can read the file.
    """
    if given := os.environ.get(variable):
        if len(given) < FEWEST_CHARACTERS:
            raise TastemakerError(
                f"{variable} has {len(given)} characters, must have at least {FEWEST_CHARACTERS}",
                fix="set it to the output of: python3 -c 'import secrets; print(secrets.token_hex())'",
            )
        return given.encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return _read_key(path)
    with os.fdopen(handle, "w") as file:
        file.write(secrets.token_hex(32))
    return _read_key(path)


def _read_key(path: Path) -> bytes:
    if path.stat().st_mode & 0o077:
        raise TastemakerError(f"other users can read {path}", fix=f"chmod 600 {path}")
    for _ in range(20):  # another process may be writing it
        if len(key := path.read_bytes().strip()) >= FEWEST_CHARACTERS:
            return key
        time.sleep(0.05)
    raise TastemakerError(f"{path} has no key in it", fix=f"remove it: rm {path}")

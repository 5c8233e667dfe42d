"""Secrets: read from the environment, and taken out of what people read."""

from __future__ import annotations

import os
from collections.abc import Iterable
from urllib.parse import urlsplit

from pydantic import SecretStr

from tastemaker.channel_settings import secure_address, web_address
from tastemaker.errors import TastemakerError

DETAIL_CHARACTERS = 300
"""The most characters of a receiver's words that are kept."""
SHORTEST_SECRET = 4
"""Parts of a URL that are shorter are not secrets, such as v2."""


def read_secret(channel: str, variable: str) -> SecretStr:
    """Return the value of an environment variable.

    Args:
        channel: Name of the channel that needs it.
        variable: Name of the variable.

    Raises:
        TastemakerError: If it is not set or empty.
    """
    value = os.environ.get(variable, "").strip()
    if not value:
        raise TastemakerError(
            f"the channel {channel} needs the environment variable {variable}, which is not set",
            fix=f"set {variable}, or remove [watch.channels.{channel}]",
        )
    return SecretStr(value)


def read_secret_url(channel: str, variable: str, *, is_key: bool) -> SecretStr:
    """Return the URL in an environment variable.

    Args:
        channel: Name of the channel that needs it.
        variable: Name of the variable.
        is_key: Whether who knows the URL may send, so that it must not be sent in clear text.

    Raises:
        TastemakerError: If it is not set, or not such a URL. The message does not repeat it.
    """
    url = read_secret(channel, variable)
    try:
        (secure_address if is_key else web_address)(url.get_secret_value())
    except ValueError as error:
        raise TastemakerError(
            f"the environment variable {variable} of the channel {channel} {error}",
            fix=f"set {variable} to the URL that the service shows",
        ) from None
    return url


def secrets_of_url(url: str) -> list[str]:
    """Return what must not appear of a URL that is a secret: it, its path and query, and their parts."""
    parts = urlsplit(url)
    whole = [url, parts.path.strip("/"), parts.query]
    pieces = [piece for text in whole[1:] for piece in text.replace("&", "/").replace("=", "/").split("/")]
    return [text for text in (*whole, *pieces) if len(text) >= SHORTEST_SECRET]


def without_secrets(text: str, secrets: Iterable[str]) -> str:
    """Return text on one line, at most DETAIL_CHARACTERS long, with *** in place of each secret.

    Args:
        text: For example what a receiver answered.
        secrets: What must not appear.
    """
    for secret in sorted({one for one in secrets if one}, key=len, reverse=True):
        text = text.replace(secret, "***")
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return line if len(line) <= DETAIL_CHARACTERS else line[: DETAIL_CHARACTERS - 1] + "…"

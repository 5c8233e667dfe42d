"""Types of settings that several sections use."""

from __future__ import annotations

import re
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator
from pydantic_settings import NoDecode


def _names(given: Any) -> Any:
    """Return the names in text such as `ease, als` or `["ease", "als"]`; return other values unchanged."""
    if not isinstance(given, str):
        return given
    return tuple(name for name in re.split(r"[\s,\[\]\"']+", given) if name)


Names = Annotated[tuple[str, ...], BeforeValidator(_names), NoDecode]
"""Names; in the environment, text with commas between them."""


def http_url(url: str) -> str:
    """Return a URL without a slash at its end. Raises ValueError if it is not an http or https URL."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or any(sign.isspace() for sign in url):
        raise ValueError("must be a URL such as http://shop:3000")
    if parts.username or parts.password:
        raise ValueError("must not have a user or a password")
    return url.rstrip("/")


HttpUrl = Annotated[str, AfterValidator(http_url)]

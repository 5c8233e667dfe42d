"""Types of settings that several sections use."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator
from pydantic_settings import NoDecode


def _names(given: Any) -> Any:
    """Return the names in text such as `ease, als` or `["ease", "als"]`; return other values unchanged."""
    if not isinstance(given, str):
        return given
    return tuple(name for name in re.split(r"[\s,\[\]\"']+", given) if name)


Names = Annotated[tuple[str, ...], BeforeValidator(_names), NoDecode]
"""Names; in the environment, text with commas between them."""

"""Strict JSON, without NaN: numbers that are not finite become null."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any


def dumps(value: Any, *, indent: int | None = 2, default: Callable[[Any], Any] | None = None) -> str:
    """Return a value as strict JSON; letters are not escaped.

    Args:
        value: As for `json.dumps`.
        indent: Spaces per level; one line if None.
        default: Converts objects of other types.
    """
    return json.dumps(_strict(value), indent=indent, ensure_ascii=False, allow_nan=False, default=default)


def _strict(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _strict(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(one) for one in value]
    return value

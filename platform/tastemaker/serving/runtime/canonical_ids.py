"""Ids in requests, in the form that the tables have: who asks for item 27.0 means item 27."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from tastemaker.snapshot.canonical_ids import IdForm, canonical

Message = TypeVar("Message", bound=msgspec.Struct)

_IDS = ("user_id", "item_id")
_LISTS = ("exclude", "candidates", "blocked_items")


def with_canonical_ids(message: Message, form: IdForm) -> Message:
    """Return the message with canonical ids; the same object where they are canonical already."""
    changed: dict[str, Any] = {}
    for name in _IDS:
        given = getattr(message, name, None)
        if given is not None and (found := canonical(given, form)) != given:
            changed[name] = found
    for name in _LISTS:
        listed = getattr(message, name, None)
        if listed and (ids := [canonical(each, form) for each in listed]) != listed:
            changed[name] = ids
    return msgspec.structs.replace(message, **changed) if changed else message

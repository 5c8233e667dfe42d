"""Ids in messages, as they are stored: who asks for item 27.0 means item 27, and users may be pseudonyms."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from operator import attrgetter
from typing import Any

import msgspec

from tastemaker.privacy.pseudonyms import Message, Pseudonyms
from tastemaker.snapshot.canonical_ids import IdForm, are_canonical, canonical

_IDS = ("user_id", "item_id")
_LISTS = ("exclude", "candidates", "blocked_items")


def with_stored_ids(
    messages: Sequence[Message], form: IdForm, pseudonyms: Pseudonyms | None
) -> Sequence[Message]:
    """Return messages with their ids as they are stored; the same objects where nothing changes.

    Args:
        messages: Messages of one type.
        form: The form of ids in the tables.
        pseudonyms: Replace users' ids, if those are used.
    """
    if len(messages) < 2 or not are_canonical(_ids_of(messages), form):  # one test for all is cheaper
        messages = [_with_canonical_ids(message, form) for message in messages]
    return messages if pseudonyms is None else [pseudonyms.hide(message) for message in messages]


def _ids_of(messages: Sequence[msgspec.Struct]) -> list[str]:
    names, lists = _fields(type(messages[0]))
    ids = [each for name in names for each in map(attrgetter(name), messages) if each is not None]
    for name in lists:
        for listed in map(attrgetter(name), messages):
            ids += listed or ()
    return ids


def _with_canonical_ids(message: Message, form: IdForm) -> Message:
    names, lists = _fields(type(message))
    changed: dict[str, Any] = {}
    for name in names:
        given = getattr(message, name)
        if given is not None and (found := canonical(given, form)) != given:
            changed[name] = found
    for name in lists:
        listed = getattr(message, name)
        if listed and (ids := [canonical(each, form) for each in listed]) != listed:
            changed[name] = ids
    return msgspec.structs.replace(message, **changed) if changed else message


@cache
def _fields(kind: type[msgspec.Struct]) -> tuple[list[str], list[str]]:
    """Return the fields of a type of message that hold an id, and those that hold a list of ids."""
    known = kind.__struct_fields__
    return [name for name in _IDS if name in known], [name for name in _LISTS if name in known]

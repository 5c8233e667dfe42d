"""Ids in messages, as they are stored: who asks for item 27.0 means item 27, and users may be pseudonyms."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from http import HTTPStatus
from operator import attrgetter
from typing import Any

import msgspec

from tastemaker.api.schemas import HTTPError
from tastemaker.privacy.pseudonyms import Message, Pseudonyms
from tastemaker.snapshot.canonical_ids import INEXACT, IdForm, are_canonical, canonical, is_missing

_IDS = ("user_id", "item_id")
_LISTS = ("exclude", "candidates", "blocked_items")
_ROUNDED = re.compile(INEXACT)
_WRITTEN = ("event_id", "exposure_id", "item_id", "unit", "user_id")
"""Ids that say what a record is about: one that is missing would lose it, or join it with others."""


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


class IdCheck:
    """Refuses messages that would be stored under an id that is missing or was rounded.

    Validation would find most of them later, when the caller has long been given an acknowledgement; under a
    pseudonym they would be one user.

    Args:
        words: The words for a missing value, `source.missing_ids`.
    """

    def __init__(self, words: Iterable[str]) -> None:
        self._words = frozenset(word.lower() for word in words)
        self._any_plain = any(are_canonical([word]) for word in self._words)

    def require_sound(self, messages: Sequence[msgspec.Struct], field: str = "") -> None:
        """Raise HTTPError unless each id of each message is one.

        Args:
            messages: Messages of one type.
            field: The field of the body that holds them; empty if a message is a body.

        Raises:
            HTTPError: 400; it names the first such id.
        """
        fields = _written_fields(type(messages[0]))
        given_ids = [each for _, get in fields for each in map(get, messages) if each]
        if not self._any_plain and are_canonical(given_ids):
            return  # almost always: one test for all is cheaper
        for name, get in fields:
            for number, given in enumerate(map(get, messages)):
                if given is not None and (fault := self._fault(name, given)):
                    place = f"{field}[{number}].{name}" if field else name
                    detail = f"{place} = {given!r}: {fault}"
                    raise HTTPError(HTTPStatus.BAD_REQUEST, detail, field=place, value=given)

    def _fault(self, name: str, given: str) -> str | None:
        if is_missing(given, self._words):
            return (
                "is blank or a word for a missing value, so it is not an id; send the id, or take the word "
                "out of source.missing_ids"
            )
        if name in _IDS and _ROUNDED.fullmatch(canonical(given)):
            return (
                "is a number that a spreadsheet or floating point has rounded, so that several ids may have "
                "become one; send ids as text"
            )
        return None


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


@cache
def _written_fields(kind: type[msgspec.Struct]) -> list[tuple[str, Callable[[msgspec.Struct], str | None]]]:
    """Return the fields of a type of message that hold an id of _WRITTEN, each with what reads it."""
    return [(name, attrgetter(name)) for name in _WRITTEN if name in kind.__struct_fields__]

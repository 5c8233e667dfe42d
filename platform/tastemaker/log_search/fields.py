"""The fields of a search, each with its SQL expression over the lake and its value in a record.

A record that is still in a spool is compared in Python, a row of the lake in SQL; both give the same answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Final

from tastemaker.event_log.records import Assignment, Record
from tastemaker.serving.inference.fallback_reasons import FALLBACKS, NO_SERVICE, STAGES

KINDS: Final = ("recommend", "session", "rank")


@dataclass(frozen=True)
class TextField:
    """A field whose values are texts, such as ids."""

    name: str
    meaning: str
    columns: tuple[str, ...]
    """SQL expressions over `REQUESTS`: texts, or lists of texts if `is_list`."""
    values: Callable[[Record], Iterable[str]]
    """Returns the record's values."""
    is_list: bool = False
    allowed: tuple[str, ...] = ()
    """The only values; empty if every text is one."""
    is_id: bool = False
    """Whether a searched value is compared in its canonical form, too."""


@dataclass(frozen=True)
class NumberField:
    """A field whose values are numbers."""

    name: str
    meaning: str
    column: str
    """An SQL expression over `REQUESTS`."""
    value: Callable[[Record], float]


@dataclass(frozen=True)
class TimeField:
    """A bound of the time of requests."""

    name: str
    meaning: str
    operator: str
    """`>=` or `<`."""


Field = TextField | NumberField | TimeField


def _assigned(part: Callable[[Assignment], str | None]) -> Callable[[Record], Iterable[str]]:
    def values(record: Record) -> Iterable[str]:
        value = None if record.assignment is None else part(record.assignment)
        return () if value is None else (value,)

    return values


def _anywhere(record: Record) -> Iterable[str]:
    lists = (record.candidates, record.exclude, record.session)
    return chain(_shown(record), *(one for one in lists if one is not None))


def _latency_ms(record: Record) -> float:
    """Return the latency; NaN, which no comparison finds, where it is not known."""
    return math.nan if record.latency_ms is None else record.latency_ms


def _shown(record: Record) -> Iterable[str]:
    return (item.item_id for item in record.items)


USER: Final = TextField("user", "user of the request", ("user_id",), lambda one: (one.user_id,), is_id=True)
SINCE: Final = TimeField("since", "the earliest time, inclusive", ">=")
UNTIL: Final = TimeField("until", "the latest time, exclusive", "<")
_FIELDS: tuple[Field, ...] = (
    TextField("id", "id of the request", ("request_id",), lambda one: (one.request_id,)),
    USER,
    TextField("shown", "an item of the answer", ("item_ids",), _shown, is_list=True, is_id=True),
    TextField(
        "item",
        "an item of the answer or of the request: shown, candidate, excluded, or in the session",
        ("item_ids", "candidates", "exclude", "session"),
        _anywhere,
        is_list=True,
        is_id=True,
    ),
    TextField("model", "model that answered", ("model",), lambda one: (one.model,)),
    TextField("version", "model version that answered", ("version",), lambda one: (one.version,)),
    TextField(
        "stage",
        "what chose the first items",
        ("coalesce(stage, 'model')",),
        lambda one: (one.stage,),
        allowed=STAGES,
    ),
    TextField(
        "fallback",
        "why the list, or a part of it, is not the model's",
        ("fallback",),
        lambda one: () if one.fallback is None else (one.fallback,),
        allowed=(*FALLBACKS, NO_SERVICE, "any", "none"),
    ),
    TextField(
        "kind",
        "kind of the request",
        ("coalesce(kind, 'recommend')",),
        lambda one: (one.kind,),
        allowed=KINDS,
    ),
    TextField(
        "experiment",
        "experiment that assigned a variant",
        ("experiment",),
        _assigned(lambda assignment: assignment.experiment),
    ),
    TextField(
        "variant", "variant that was assigned", ("variant",), _assigned(lambda assignment: assignment.variant)
    ),
    TextField(
        "served",
        "variant whose service answered",
        ("variant_served",),
        _assigned(lambda assignment: assignment.served),
    ),
    NumberField("items", "number of items shown", "len(item_ids)", lambda one: len(one.items)),
    NumberField("k", "number of items that were asked for", "k", lambda one: one.k),
    NumberField("ms", "milliseconds to the answer", "latency_ms", _latency_ms),
    SINCE,
    UNTIL,
)
FIELDS: Final[Mapping[str, Field]] = {field.name: field for field in _FIELDS}
"""Every field by its name."""

"""Pydantic's errors in words: the key, its value, the limit and the fix."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from tastemaker.problem.positions import dotted
from tastemaker.problem.rules import Mistake, Path
from tastemaker.problem.spec import (
    CandidateRules,
    EventReward,
    Guardrail,
    Metric,
    Objective,
    Placement,
    ProblemSpec,
    Slices,
    SplitSpec,
)

_BOUNDS = {
    "greater_than_equal": ("ge", "at least"),
    "greater_than": ("gt", "more than"),
    "less_than_equal": ("le", "at most"),
    "less_than": ("lt", "less than"),
}

_WANTED = {
    "int": "a whole number",
    "float": "a number",
    "finite": "a finite number",
    "bool": "true or false",
    "date": "a date such as 2026-01-31",
    "string": "text",
    "tuple": "a list, each entry on a line of its own after `- `",
    "dict": "keys and values, indented below it",
    "model": "keys and values, indented below it",
    "invalid": "a key that is text: put it in quotes",
}


def in_words(error: ValidationError) -> list[Mistake]:
    """Return one mistake per validation error.

    Rules between fields are left out: `loading` runs them on the plain mapping. A key that is missing only
    because it is misspelt is reported as the misspelling.
    """
    details = [one for one in error.errors(include_url=False) if not _follows(one)]
    meant = {(*_path(one)[:-1], guess) for one in details if (guess := _guess(one)) is not None}
    return [_mistake(one) for one in details if not (one["type"] == "missing" and _path(one) in meant)]


def _follows(details: ErrorDetails) -> bool:
    """Return whether an error only follows from others: a rule, or a list that lacks its invalid entries."""
    short = details["type"] == "too_short" and len(details["input"]) >= details["ctx"]["min_length"]
    return details["type"] == "rule" or short


def _path(details: ErrorDetails) -> Path:
    return tuple(part for part in details["loc"] if part != "[key]")


def _guess(details: ErrorDetails) -> str | None:
    """Return the key that a misspelt one was probably meant to be."""
    if details["type"] != "extra_forbidden":
        return None
    *parent, key = _path(details)
    return _closest(str(key), _keys(tuple(parent)))


def _closest(word: str, known: Iterable[str]) -> str | None:
    return next(iter(get_close_matches(word.lower(), list(known), n=1, cutoff=0.6)), None)


def _keys(path: Path) -> list[str]:
    return list(_part(path).model_fields)


def _part(path: Path) -> type[BaseModel]:
    """Return the type of the part of a problem at a path."""
    match path:
        case ("placement",):
            return Placement
        case ("objectives", _):
            return Objective
        case ("objectives", _, "events", _):
            return EventReward
        case ("guardrails", _):
            return Guardrail
        case ("slices",):
            return Slices
        case ("split",):
            return SplitSpec
        case ("candidates",):
            return CandidateRules
        case _:
            return ProblemSpec


def _mistake(details: ErrorDetails) -> Mistake:
    path, kind, value = _path(details), details["type"], details["input"]
    key, limits = dotted(path), details.get("ctx", {})
    if kind == "extra_forbidden":
        guess, known = _guess(details), ", ".join(_keys(path[:-1]))
        fix = f"did you mean {guess}?" if guess else f"remove it; the keys here are: {known}"
        return Mistake(path, f"{key} = {value!r:.60}: there is no such key", fix)
    if kind == "missing":
        return Mistake(path, f"{key} is missing", f"add it: {_meaning(path)}")
    if kind == "literal_error":
        guess = _closest(str(value), get_args(Metric))
        fix = f"did you mean {guess}?" if guess else f"write one of {', '.join(get_args(Metric))}"
        return Mistake(path, f"{key} is {value!r:.60}, which is not a metric", fix)
    must = _requirement(kind, limits)
    return Mistake(path, f"{key} is {_shown(value)}, must be {must}", f"write {must} ({_meaning(path)})")


def _shown(value: Any) -> str:
    return "empty" if value is None or value in ("", (), [], {}) else f"{value!r:.60}"


def _requirement(kind: str, limits: dict[str, Any]) -> str:
    if kind in _BOUNDS:
        name, words = _BOUNDS[kind]
        return f"{words} {limits[name]:g}"
    if kind == "string_too_short":
        return "some text"
    if kind == "string_too_long":
        return f"at most {limits['max_length']} characters long"
    if kind == "too_short":
        return "given at least once"
    if kind == "int_from_float":
        return "a whole number"
    return _WANTED.get(kind.split("_")[0], "of another kind")


def _meaning(path: Path) -> str:
    """Return the first sentence of a key's docstring."""
    field = _part(path[:-1]).model_fields.get(str(path[-1])) if path else None
    text = " ".join(((field.description or "") if field else "").split())
    return text.split(". ")[0].rstrip(".") or dotted(path)

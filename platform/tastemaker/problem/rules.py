"""Rules between a problem's fields, each a function of the plain mapping.

The rules read the mapping, not the typed problem, so that a mistake in one place does not hide those in
others. A value of the wrong type is skipped here: the types report it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

Path = tuple[str | int, ...]

ACCURACY_METRICS = ("ndcg", "recall", "map", "mrr", "hit_rate", "reward")
"""Metrics that compare a list with what users did: only these can be the primary metric."""

SHARE_METRICS = ("ndcg", "recall", "map", "mrr", "hit_rate", "coverage", "diversity")
"""Metrics whose values lie between 0 and 1."""


SLICES = {"users": ("new", "old"), "items": ("head", "tail")}
"""Slices that every problem has; those of the columns of the table users are added."""


class Mistake(NamedTuple):
    """Mistake in a problem file: its path, a description and the fix."""

    path: Path
    problem: str
    fix: str


def broken_rules(data: Mapping[Any, Any]) -> Iterator[Mistake]:
    """Yield every violation in a problem given as a mapping, in the order of the file's sections."""
    for rule in (
        _shares,
        _objective_names,
        _positive_reward,
        _primary_metric,
        _guardrails,
        _slices,
        _baseline,
    ):
        yield from rule(data)


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _mappings(data: Mapping[Any, Any], key: str) -> list[tuple[int, Mapping[Any, Any]]]:
    parts = data.get(key)
    if not isinstance(parts, list | tuple):
        return []
    return [(i, part) for i, part in enumerate(parts) if isinstance(part, Mapping)]


def _repeated(data: Mapping[Any, Any], key: str, field: str) -> Iterator[tuple[int, str]]:
    """Yield the parts that have the same value in a field as an earlier one, with the value."""
    seen: set[str] = set()
    for i, part in _mappings(data, key):
        value = part.get(field)
        if isinstance(value, str):
            if value in seen:
                yield i, value
            seen.add(value)


def _shares(data: Mapping[Any, Any]) -> Iterator[Mistake]:
    objectives = _mappings(data, "objectives")
    shares = [_number(objective.get("share", 1.0)) for _, objective in objectives]
    known = [share for share in shares if share is not None]
    total = sum(known)
    if not known or len(known) < len(shares) or total <= 0 or math.isclose(total, 1.0, abs_tol=1e-6):
        return
    scaled = ", ".join(f"{share / total:.4g}" for share in known)
    yield Mistake(
        ("objectives",),
        f"the shares of the objectives add up to {total:.6g}, must add up to 1",
        f"to keep their proportions, write the shares {scaled}",
    )


def _objective_names(data: Mapping[Any, Any]) -> Iterator[Mistake]:
    for i, name in _repeated(data, "objectives", "name"):
        yield Mistake(
            ("objectives", i, "name"), f"two objectives are named {name!r}", "name each objective once"
        )


def _positive_reward(data: Mapping[Any, Any]) -> Iterator[Mistake]:
    weights = [
        _number(reward.get("weight", 1.0)) if isinstance(reward, Mapping) else None
        for _, objective in _mappings(data, "objectives")
        if isinstance(objective.get("events"), Mapping)
        for reward in objective["events"].values()
    ]
    if weights and all(weight is not None and weight <= 0 for weight in weights):
        yield Mistake(
            ("objectives",),
            "no event type has a weight above 0, so an empty list would have the highest reward",
            "give at least one event type a positive weight",
        )


def _primary_metric(data: Mapping[Any, Any]) -> Iterator[Mistake]:
    metric = data.get("metric")
    if metric in ("coverage", "novelty", "diversity", "popularity_bias"):
        yield Mistake(
            ("metric",),
            f"metric is {metric!r}, which does not depend on what users did",
            f"choose one of {', '.join(ACCURACY_METRICS)}, and make {metric} a guardrail",
        )


def _guardrails(data: Mapping[Any, Any]) -> Iterator[Mistake]:
    for i, repeated in _repeated(data, "guardrails", "metric"):
        yield Mistake(
            ("guardrails", i, "metric"),
            f"two guardrails limit {repeated}",
            "write at_least and at_most into one guardrail",
        )
    for i, guardrail in _mappings(data, "guardrails"):
        metric = guardrail.get("metric")
        if isinstance(metric, str) and metric == data.get("metric", "ndcg"):
            yield Mistake(
                ("guardrails", i, "metric"),
                f"{metric} is a guardrail and the primary metric",
                "a guardrail protects something else: choose another metric here",
            )
        yield from _limits(i, str(metric), guardrail)


def _limits(i: int, metric: str, guardrail: Mapping[Any, Any]) -> Iterator[Mistake]:
    given = {key: guardrail[key] for key in ("at_least", "at_most") if guardrail.get(key) is not None}
    if not given:
        yield Mistake(("guardrails", i), f"the guardrail on {metric} has no limit", "add at_least or at_most")
    limits = {key: _number(value) for key, value in given.items()}
    low, high = limits.get("at_least"), limits.get("at_most")
    if low is not None and high is not None and low > high:
        yield Mistake(
            ("guardrails", i),
            f"{metric} must be at least {low:g} and at most {high:g}: no value is both",
            "swap the two limits, or remove one",
        )
    for key, limit in limits.items():
        if metric in SHARE_METRICS and limit is not None and not 0 <= limit <= 1:
            yield Mistake(
                ("guardrails", i, key),
                f"guardrails[{i}].{key} is {limit:g}, but {metric} lies between 0 and 1",
                f"write a share such as {min(limit / 100, 1):g}"
                if limit > 1
                else "write a share such as 0.05",
            )


def _slices(data: Mapping[Any, Any]) -> Iterator[Mistake]:
    slices = data.get("slices")
    if not isinstance(slices, Mapping):
        return
    columns = slices.get("user_columns", ("country",))
    columns = [one for one in columns if isinstance(one, str)] if isinstance(columns, list | tuple) else []
    for i, column in enumerate(columns):
        if column in SLICES or column in columns[:i]:
            again = "is given twice" if column in columns[:i] else "is the name of other slices"
            yield Mistake(
                ("slices", "user_columns", i), f"slices.user_columns[{i}] {column!r} {again}", "remove it"
            )
    limits = slices.get("max_loss")
    for key, limit in limits.items() if isinstance(limits, Mapping) else ():
        yield from _slice_limit(str(key), _number(limit), columns, data.get("metric", "ndcg"))


def _slice_limit(key: str, limit: float | None, columns: list[str], metric: object) -> Iterator[Mistake]:
    path = ("slices", "max_loss", key)
    dimensions = (*SLICES, *columns)
    dimension = next((name for name in dimensions if f"{key}=".startswith(f"{name}=")), None)
    value = "" if dimension is None else key.removeprefix(dimension).removeprefix("=")
    known = [f"{name}={one}" for name, values in SLICES.items() for one in values]
    if dimension is None or (value and value not in SLICES.get(dimension, (value,))):
        fix = ", ".join([*SLICES, *known, *(f"{name}, {name}=VALUE" for name in columns)])
        yield Mistake(path, f"slices.max_loss limits {key!r}, which is not a slice", f"write one of {fix}")
    if limit is not None and limit > 1 and metric in SHARE_METRICS:
        yield Mistake(
            path,
            f"slices.max_loss.{key} is {limit:g}, but {metric} lies between 0 and 1",
            f"write a share such as {min(limit / 100, 1):g}",
        )


def _baseline(data: Mapping[Any, Any]) -> Iterator[Mistake]:
    name = data.get("baseline", "popularity")
    if isinstance(name, str) and not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        yield Mistake(
            ("baseline",),
            f"baseline is {name!r}, which can't be a model's name",
            "name an installed model, such as popularity (`tastemaker models list` shows all)",
        )

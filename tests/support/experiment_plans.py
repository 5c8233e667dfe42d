"""Plans of experiments for tests."""

from __future__ import annotations

from typing import Any

from tastemaker.experiments.assignment import forced_key
from tastemaker.experiments.plan import (
    BUCKETS,
    ControlPlan,
    Namespace,
    PinnedService,
    PlannedExperiment,
    Variant,
)

HALVES = (Variant("control", 0, BUCKETS // 2), Variant("treatment", BUCKETS // 2, BUCKETS))
ROUTED = (
    Variant("control", 0, BUCKETS // 2, service="champion"),
    Variant("treatment", BUCKETS // 2, BUCKETS, service="challenger"),
)
SERVICES = (
    PinnedService("champion", "ials", "v1", "unix:/run/champion.sock"),
    PinnedService("challenger", "ranker", "v2", "unix:/run/challenger.sock"),
)


def experiment(name: str, namespace: str = "home", **other: Any) -> PlannedExperiment:
    """An experiment over all units of a namespace, in two halves, with the given differences."""
    fields: dict[str, Any] = {
        "kind": "ab",
        "salt": f"exp-{name}",
        "epoch": 0,
        "claim": ((0, BUCKETS),),
        "enrolment": BUCKETS,
        "variants": HALVES,
        "control": "control",
    }
    return PlannedExperiment(name=name, namespace=namespace, **(fields | other))


def plan_of(*experiments: PlannedExperiment, **other: Any) -> ControlPlan:
    """A plan of these experiments, in which each namespace has users for units."""
    names = dict.fromkeys(one.namespace for one in experiments)
    fields: dict[str, Any] = {
        "revision": 1,
        "made_at": 1_700_000_000.0,
        "namespaces": tuple(Namespace(name, "user", f"ns-{name}") for name in names),
        "experiments": experiments,
    }
    return ControlPlan(**(fields | other))


def forced(unit: str, variant: str, namespace: str = "home") -> dict[str, str]:
    """What forces a unit into a variant."""
    return {forced_key(f"ns-{namespace}", unit): variant}


def users(count: int) -> list[str]:
    """Ids of users, some of which are not ASCII."""
    return [f"u{number:07d}" if number % 3 else f"Zoë-用户-{number}" for number in range(count)]

"""A plan with all coordinates, and what the assigner says about many units: the truth for its SQL."""

from __future__ import annotations

from pathlib import Path

from support.experiment_plans import experiment, plan_of, users
from tastemaker.experiments.assignment import Assigned, Assigner, Units
from tastemaker.experiments.plan import BUCKETS, ControlPlan, EarlierEpoch, Holdout, Namespace, Variant

THIRDS = (Variant("control", 0, 333_333), Variant("b", 400_000, 700_000), Variant("c", 700_000, BUCKETS))
EARLIER = (
    EarlierEpoch(4, 100_000, {"control": (0, 500_000), "treatment": (500_000, BUCKETS)}),
    EarlierEpoch(5, 350_000, {"control": (0, 100_000), "treatment": (100_000, 900_000)}),
)
IDS = users(10_000)
UNITS = [
    Units(
        unit,
        device=f"d{number}" if number % 5 else None,
        session=f"σ{number}",
        request=f"{number:032x}",
    )
    for number, unit in enumerate(IDS)
]


def rich_plan() -> ControlPlan:
    """Experiments of all units, split claims, gaps between variants, ramps, holdouts, a killed one, and a
    bandit in its third epoch."""
    return plan_of(
        experiment("a", claim=((0, 300_000), (500_000, 600_000)), variants=THIRDS, epoch=2),
        experiment("b", claim=((300_000, 500_000), (600_000, BUCKETS)), enrolment=200_000),
        experiment("of_devices", "device", enrolment=700_000),
        experiment("of_sessions", "session", variants=THIRDS),
        experiment("of_requests", "request", claim=((1, 999_999),)),
        experiment("killed", "cart", killed=True),
        experiment("bandit", "basket", kind="bandit", epoch=7, enrolment=800_000, earlier=EARLIER),
        namespaces=(
            Namespace("home", "user", "ns-home"),
            Namespace("device", "device", "ns-device"),
            Namespace("session", "session", "ns-session"),
            Namespace("request", "request", "ns-request"),
            Namespace("cart", "user", "ns-cart"),
            Namespace("basket", "user", "ns-basket"),
        ),
        holdouts=(
            Holdout("all", "user", "held", 50_000),
            Holdout("devices", "device", "held-devices", 300_000, ("device", "home")),
        ),
    )


def assigned(plan: ControlPlan) -> list[Assigned]:
    """What the assigner gives to all units."""
    assigner = Assigner(plan, Path("/nowhere"))
    return [found for units in UNITS for found in assigner.assign(units, {})]

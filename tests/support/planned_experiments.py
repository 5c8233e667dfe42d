"""Rows of experiments whose results are known: what lifecycle, looks and guardrails store."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import Engine

from support.operated_homes import put
from tastemaker.experiments.design import Design, GuardrailDesign, VariantDesign
from tastemaker.storage.tables import (
    experiment_changes,
    experiment_forecasts,
    experiment_plans,
    experiments,
    guardrail_checks,
    look_effects,
    looks,
    namespaces,
    shadow_figures,
)

DAY = timedelta(days=1)
SENTENCE = "B earned 3.1 % more per user, 95 % −1.9 to 8.1, look 3 of 14: not decided."
INVALID = "Units are not divided as planned (control 821,588, B 815,482; p = 2e-06): no effect is believed."


def design(name: str, **more: Any) -> Design:
    """Return the design of an experiment of two rankers."""
    halves = {
        "control": VariantDesign(share=500_000, model="ranker", version="v1"),
        "B": VariantDesign(share=500_000, model="ranker", version="v2"),
    }
    usual: dict[str, Any] = {
        "namespace": "home",
        "owner": "Ada",
        "hypothesis": "The new ranker shows more of what users buy.",
        "control": "control",
        "variants": halves,
        "primary": "reward_per_user",
        "secondary": ("ctr_list",),
        "guardrails": (GuardrailDesign("fallback_share", 0.01), GuardrailDesign("active_share", 0.02)),
        "minimum_effect": 0.02,
        "planned_units": 20_000,
        "window_days": 7.0,
    }
    return Design(name=name, **(usual | more))


def plant_namespace(engine: Engine, now: datetime, name: str = "home") -> None:
    """Write a namespace of users."""
    row = {"name": name, "unit": "user", "salt": f"ns-{name}", "cool_down_seconds": 0, "created_at": now}
    put(engine, namespaces, row)


def plant_experiment(
    engine: Engine,
    now: datetime,
    name: str,
    *,
    state: str = "running",
    problem: str = "shop",
    text: str = "",
    **more: Any,
) -> None:
    """Write an experiment that was made, started and stepped up, without a look.

    Args:
        engine: The metadata database.
        now: The present time.
        name: Its name.
        state: The state after its last change.
        problem: The problem's name.
        text: What persons wrote, everywhere; empty: what they would write.
        more: What differs in the design.
    """
    texts = {"owner": text, "hypothesis": text} if text else {}
    planned = design(name, **(texts | more))
    made = now - 20 * DAY
    row = {
        "name": name, "problem": problem, "namespace": planned.namespace, "kind": planned.kind,
        "salt": f"salt-{name}", "owner": planned.owner, "created_at": made, "state": state, "epoch": 0,
        "enrolment": 0 if state in ("draft", "ready") else 50_000, "revision": 1, "changes": 3,
    }  # fmt: skip
    plan = {
        "experiment": name, "revision": 1, "epoch": 0, "digest": "0" * 64,
        "design": msgspec.to_builtins(planned), "author": planned.owner, "created_at": made,
    }  # fmt: skip
    put(engine, experiments, row)
    put(engine, experiment_plans, plan)
    done = (
        ("create", None, "draft", 0, 0, "a small change"),
        ("start", "ready", "running", 10_000, 1, "the plan is agreed"),
        ("step", "running", state, 50_000, 6, "all guardrails are safe"),
    )
    rows: list[dict[str, Any]] = [
        {
            "experiment": name,
            "number": number,
            "at": made + days * DAY,
            "actor": planned.owner,
            "action": action,
            "from_state": before,
            "to_state": after,
            "epoch": 0,
            "enrolment": enrolment,
            "revision": 1,
            "reason": text or why,
            "evidence": {},
            "previous_digest": "",
            "digest": f"{number}" * 64,
        }
        for number, (action, before, after, enrolment, days, why) in enumerate(done, 1)
    ]
    put(engine, experiment_changes, *rows)


def plant_look(engine: Engine, now: datetime, name: str, number: int = 3, **more: Any) -> None:
    """Write a look and, before it, the looks of the days before, with ever more units."""
    rows = [
        {
            "experiment": name, "epoch": 0, "number": one, "at": now - (number - one) * DAY,
            "log_until": now - (number - one) * DAY, "is_planned": True,
            "units": {"control": 1_000 * one, "B": 1_010 * one}, "pending_units": 900, "crossed_units": 12,
            "information": 0.1 * one, "alpha_spent": 0.001 * one, "bound": 4.5, "ratio_p": 0.42,
            "ratio_anytime_p": 1.0, "verdict": "undecided", "sentence": SENTENCE, "details": {},
        }
        for one in range(1, number + 1)
    ]  # fmt: skip
    rows[-1] |= more
    put(engine, looks, *rows)


def effect(name: str, metric: str, relative: float, **more: Any) -> dict[str, Any]:
    """Return a row of `look_effects`: B against a control of 2, within five hundredths of it."""
    control = 2.0
    usual = {
        "experiment": name, "epoch": 0, "number": 3, "metric": metric, "variant": "B", "slice": "",
        "is_adjusted": False, "role": "secondary", "unit": "GBP", "units": 3_030, "control_units": 3_000,
        "value": control * (1 + relative), "control_value": control, "difference": control * relative,
        "low": control * (relative - 0.05), "high": control * (relative + 0.05), "relative": relative,
        "relative_low": relative - 0.05, "relative_high": relative + 0.05, "p": 0.224, "p_adjusted": 0.224,
        "sequence_low": control * (relative - 0.07), "sequence_high": control * (relative + 0.07),
    }  # fmt: skip
    return usual | more


def effects(name: str, now: datetime) -> Iterator[dict[str, Any]]:
    """Yield the effects of a look: raw and adjusted, by day of exposure, by age, and in slices."""
    primary = {"metric": "reward_per_user", "role": "primary"}
    yield effect(name, relative=0.04, **primary)
    yield effect(name, relative=0.031, is_adjusted=True, **primary)
    yield effect(name, "ctr_list", -0.01, unit="share", control_value=0.1, value=0.099, difference=-0.001)
    yield effect(name, "active_share", 0.0, role="guardrail", unit="share")
    for at in range(10):
        day = (now - (18 - at) * DAY).date().isoformat()
        yield effect(
            name, relative=0.03 + 0.001 * at, slice=f"exposed={day}", **primary | {"role": "exploratory"}
        )
    for age in range(7):
        yield effect(
            name, relative=0.06 - 0.005 * age, slice=f"day={age}", **primary | {"role": "exploratory"}
        )
    for country, found in (("DE", 0.08), ("GB", -0.02)):
        yield effect(name, relative=found, slice=f"country={country}", **primary | {"role": "exploratory"})


def check(name: str, now: datetime, guardrail: str, verdict: str, **more: Any) -> dict[str, Any]:
    """Return a row of `guardrail_checks`."""
    usual = {
        "experiment": name, "epoch": 0, "variant": "B", "guardrail": guardrail, "at": now, "units": 3_030,
        "control_units": 3_000, "value": 0.011, "control_value": 0.01, "low": -0.002, "high": 0.004,
        "margin": 0.01, "verdict": verdict, "action": "none",
    }  # fmt: skip
    return usual | more


def shadows(name: str, now: datetime) -> Iterator[dict[str, Any]]:
    """Yield rows of `shadow_figures` of a variant C that no user sees."""
    known = {
        "overlap": ("share", 0.62, None),
        "rank_biased_overlap": ("share", 0.58, None),
        "fallback_share": ("share", 0.004, 0.003),
        "latency_ms": ("ms", 6.1, 4.2),
    }
    for metric, (unit, value, served) in known.items():
        yield {
            "experiment": name, "epoch": 0, "variant": "C", "metric": metric, "unit": unit, "value": value,
            "low": 0.9 * value, "high": 1.1 * value, "served_value": served, "users": 800, "requests": 2_400,
            "computed_at": now,
        }  # fmt: skip


def forecast(name: str, method: str, expected: float, outcome: float | None, **more: Any) -> dict[str, Any]:
    """Return a row of `experiment_forecasts`, with errors of one hundredth."""
    usual = {
        "experiment": name, "epoch": 0, "variant": "B", "method": method, "metric": "reward_per_request",
        "forecast": expected, "forecast_error": 0.01, "outcome": outcome,
        "outcome_error": None if outcome is None else 0.01, "look": None if outcome is None else 3,
    }  # fmt: skip
    return usual | more


def plant(engine: Engine, now: datetime, name: str = "ranker-v2", text: str = "") -> None:
    """Write an experiment at its third look, with everything that its page shows."""
    plant_experiment(engine, now, name, text=text)
    plant_look(engine, now, name)
    put(engine, look_effects, *effects(name, now))
    old = check(name, now - DAY, "fallback_share", "unknown")
    stale = {"value": None, "control_value": None, "low": None, "high": None}
    put(
        engine, guardrail_checks, old, check(name, now, "fallback_share", "safe"),
        check(name, now, "active_share", "stale", **stale),
    )  # fmt: skip
    put(engine, shadow_figures, *shadows(name, now))
    made = {"made_at": now - 20 * DAY}
    put(
        engine, experiment_forecasts, forecast(name, "offline", 0.05, 0.031, **made),
        forecast(name, "off_policy", 0.02, None, **made),
    )  # fmt: skip


def plant_invalid(engine: Engine, now: datetime, name: str = "photos") -> None:
    """Write an experiment whose units are not divided as planned, with an effect that must not be shown."""
    plant_experiment(engine, now, name)
    broken: dict[str, Any] = {
        "units": {"control": 821_588, "B": 815_482},
        "ratio_p": 1.8217929e-6,
        "crossed_units": 90_000,
    }
    day = {"control": 61_000, "B": 55_140}
    reason = {"group": "day 2026-11-27", "units": day, "expected": dict.fromkeys(day, 58_070.0), "p": 2e-66}
    broken["details"] = {"reasons": [reason]}
    plant_look(engine, now, name, verdict="invalid", sentence=INVALID, **broken)
    put(engine, guardrail_checks, check(name, now, "fallback_share", "safe"))
    put(engine, look_effects, effect(name, "reward_per_user", 0.04, role="primary"))


def plant_some(engine: Engine, now: datetime) -> None:
    """Write an experiment that runs, one whose units are divided wrongly, and one that is not started."""
    plant_namespace(engine, now)
    plant(engine, now)
    plant_invalid(engine, now - DAY)
    plant_experiment(engine, now - 2 * DAY, "home-aa", state="ready", kind="aa")

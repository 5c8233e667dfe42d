"""Rollouts in a dashboard's database whose states and figures are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, NamedTuple

from sqlalchemy import Engine, insert

from support.operated_homes import put
from tastemaker.rollouts.states import ENDED
from tastemaker.storage.tables import rollout_changes, rollouts, versions

NEWEST = "20261126T031000-9f2e4c7710ab6d05"
"""The version that is in the canary."""
WHY = "the champion's recipe, trained on newer data, goes through shadow and canary"
ADVICE = {"users_per_day": 9_000, "days": 6.0, "smallest_effect_share": 0.021}
SAFE = {
    "checks": [
        {"guardrail": name, "verdict": "safe", "units": 4_120, "value": value, "control_value": control}
        for name, value, control in (("fallback_share", 0.004, 0.0038), ("active_share", 0.312, 0.309))
    ]
}
HARM = {"guardrail": "fallback_share", "value": 0.084, "control_value": 0.004, "units": 1_310}


class PlantedChange(NamedTuple):
    """A change of a rollout."""

    hours_ago: float
    state: str
    reason: str
    actor: str = "schedule"
    evidence: Mapping[str, Any] = MappingProxyType({})


BEGUN = "the best model's newest version"
SHADOW = "requests are copied to it, and no user sees its answers"
ROLLED_OUT = (
    PlantedChange(408, "approval", BEGUN),
    PlantedChange(407, "shadow", SHADOW),
    PlantedChange(382, "canary", "1 % of the users have it", evidence={"users": 950, "requests": 8_800}),
    PlantedChange(310, "ramp", "half of the users have it", evidence=SAFE),
    PlantedChange(264, "promoted", "every step of the rollout was taken", evidence=SAFE),
)
ROLLED_BACK = (
    PlantedChange(190, "approval", BEGUN),
    PlantedChange(189, "shadow", SHADOW),
    PlantedChange(164, "canary", "1 % of the users have it", evidence={"users": 940, "requests": 8_610}),
    PlantedChange(
        150, "rolled_back", "8.4 % of its lists are fallbacks, 0.4 % of the champion's",
        "guardrail:fallback_share", HARM,
    ),
)  # fmt: skip
IN_CANARY = (
    PlantedChange(52, "approval", BEGUN),
    PlantedChange(51, "approval", "figures read", "ada", {"approved": True}),
    PlantedChange(51, "shadow", SHADOW),
    PlantedChange(26, "canary", "1 % of the users have it", evidence={"users": 961, "requests": 8_930}),
    PlantedChange(2, "canary", "5 % of the users have it", evidence=SAFE),
)


def plant_rollouts(engine: Engine, now: datetime, champion: str, before: str) -> None:
    """Write a rollout that was promoted, one that a guardrail rolled back, and one in the canary.

    Args:
        engine: The metadata database, with both versions.
        now: The present time.
        champion: The version that was promoted.
        before: The champion before it; its later rollout was rolled back.
    """
    plant_newest(engine, now)
    plant_rollout(engine, now, champion, ROLLED_OUT, champion_id=before)
    plant_rollout(engine, now, before, ROLLED_BACK, champion_id=champion)
    plant_rollout(engine, now, NEWEST, IN_CANARY, champion_id=champion, experiment="rollout-3-steps")


def plant_newest(engine: Engine, now: datetime) -> None:
    """Write the version NEWEST."""
    version = {
        "id": NEWEST, "model": "ranker", "problem": "shop", "content_hash": NEWEST,
        "manifest": {"problem_spec": {"metric": "ndcg"}}, "backtest_id": None,
        "created_at": now - timedelta(hours=54),
    }  # fmt: skip
    put(engine, versions, version)


def plant_rollout(
    engine: Engine, now: datetime, version: str, changes: Sequence[PlantedChange], **more: Any
) -> int:
    """Write a rollout with its changes, and return its number.

    Args:
        engine: The metadata database, with the version.
        now: The present time.
        version: The version.
        changes: Its changes, oldest first.
        more: Further columns.
    """
    newest = changes[-1]
    is_over = newest.state in ENDED
    row = {
        "problem": "shop", "version_id": version, "champion_id": None, "path": "rollout",
        "state": newest.state, "why": WHY, "advice": ADVICE, "experiment": None,
        "started_at": now - timedelta(hours=changes[0].hours_ago),
        "ended_at": now - timedelta(hours=newest.hours_ago) if is_over else None,
    }  # fmt: skip
    with engine.begin() as connection:
        (number,) = connection.execute(insert(rollouts).values(row | more)).inserted_primary_key or (0,)
    put(
        engine,
        rollout_changes,
        *(
            {
                "rollout_id": number,
                "at": now - timedelta(hours=one.hours_ago),
                "actor": one.actor,
                "state": one.state,
                "reason": one.reason,
                "evidence": dict(one.evidence),
            }
            for one in changes
        ),
    )
    return int(number)

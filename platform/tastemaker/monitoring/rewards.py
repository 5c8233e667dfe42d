"""Reward per request of each model on the newest day, beside the four weeks before: `reward_figures`.

Both periods count the rewards of the first day after an impression alone. Otherwise a new day would always
look worse than earlier ones, whose impressions had longer to earn something.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Engine, insert

from tastemaker.event_log.attribution import attribute
from tastemaker.stats.ratios import ratio_interval
from tastemaker.storage.tables import reward_figures

if TYPE_CHECKING:
    from tastemaker.data.lake import Lake
    from tastemaker.problem import ProblemSpec

FOLLOW_UP_DAYS = 1.0
"""Rewards count for so many days after an impression."""
REFERENCE_DAYS = 28
DAY, REFERENCE = "1d", f"{REFERENCE_DAYS}d"


class RewardPeriod(NamedTuple):
    """A time from `start` (included) to `end`."""

    name: str
    start: datetime
    end: datetime


def store_reward_figures(lake: Lake, problem: ProblemSpec, engine: Engine) -> list[dict[str, Any]]:
    """Compute the reward per request of each model and period, and store it.

    The newest day ends FOLLOW_UP_DAYS before the time until which every type of event that earns a reward has
    arrived, so that it is complete also where a source brings its events late.

    Args:
        lake: The lake with requests, feedback and events.
        problem: What events are worth.
        engine: The metadata database.

    Returns:
        The rows of `reward_figures` that were stored; none if no event earned a reward yet.
    """
    found = attribute(lake, _followed(problem, FOLLOW_UP_DAYS))
    if found.arrived_until is None:
        return []
    end = datetime.fromtimestamp(found.arrived_until - found.window, UTC)
    now = datetime.now(UTC)
    rows = [
        row | {"problem": problem.name, "computed_at": now}
        for period in _periods(end)
        for row in _figures(found.impressions, period)
    ]
    if rows:
        with engine.begin() as connection:
            connection.execute(insert(reward_figures), rows)
    return rows


def _followed(problem: ProblemSpec, days: float) -> ProblemSpec:
    """Return a problem in which no event is attributed later than so many days after its impression."""
    objectives = tuple(
        objective.model_copy(
            update={
                "events": {
                    name: reward.model_copy(update={"window_days": min(reward.window_days, days)})
                    for name, reward in objective.events.items()
                }
            }
        )
        for objective in problem.objectives
    )
    return problem.model_copy(update={"objectives": objectives})


def _periods(end: datetime) -> tuple[RewardPeriod, RewardPeriod]:
    day = end - timedelta(days=1)
    return RewardPeriod(DAY, day, end), RewardPeriod(REFERENCE, day - timedelta(days=REFERENCE_DAYS), day)


def _figures(impressions: pa.Table, period: RewardPeriod) -> list[dict[str, Any]]:
    """Return one row per model that answered in the period, that with most requests first."""
    times = impressions["occurred_at"]
    inside = impressions.filter(pc.and_(pc.greater_equal(times, period.start), pc.less(times, period.end)))
    by_user = inside.group_by(["model", "user_id"]).aggregate(
        [("request_id", "count_distinct"), ("reward", "sum")]
    )
    models = by_user["model"].unique().to_pylist()
    rows = [_figure(model, by_user.filter(pc.field("model") == model), period) for model in models]
    return sorted(rows, key=lambda row: (-row["requests"], row["model"]))


def _figure(model: str, by_user: pa.Table, period: RewardPeriod) -> dict[str, Any]:
    earned = by_user["reward_sum"].to_numpy()
    requests = by_user["request_id_count_distinct"].to_numpy().astype(np.float64)
    found = ratio_interval(earned, requests)
    return {
        "model": model,
        "period": period.name,
        "period_start": period.start,
        "period_end": period.end,
        "users": len(by_user),
        "requests": int(requests.sum()),
        "value": found.value,
        "low": _finite(found.low),
        "high": _finite(found.high),
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None

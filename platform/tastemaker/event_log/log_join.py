"""The join of what was shown with the events that it may have caused, as temporary tables of DuckDB.

`attribution` says which impression an event is credited to, and returns impressions and feedback.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from tastemaker.event_log.records import IMPRESSION
from tastemaker.problem import ProblemSpec
from tastemaker.util.durations import DAY_SECONDS

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

CLOCK_SKEW_SECONDS = 600.0
"""A caller's clock that differs from ours by more than this is taken to be wrong."""

_SHOWN = """
    CREATE TEMP TABLE shown AS
    SELECT request_id, occurred_at, epoch_us(occurred_at) / 1e6 AS shown_at, user_id, context, model, version,
        fallback, experiment, epoch, variant, variant_probability, variant_served, plan_digest, unit,
        unnest(teams) AS team, unnest(item_ids) AS item_id,
        unnest(range(len(item_ids)))::INTEGER AS position,
        unnest(scores) AS score, unnest(propensities) AS propensity
    FROM logged WHERE epoch_us(occurred_at) / 1e6 < $until
"""
_SHOWN_AND_NAMED = """
    CREATE TEMP TABLE shown AS
    SELECT * FROM (
        SELECT request_id, epoch_us(occurred_at) / 1e6 AS shown_at, user_id, unnest(teams) AS team,
            unnest(item_ids) AS item_id, unnest(range(len(item_ids)))::INTEGER AS position
        FROM logged WHERE epoch_us(occurred_at) / 1e6 < $until
    )
    WHERE (request_id, item_id) IN (SELECT request_id, item_id FROM happened WHERE request_id IS NOT NULL)
        OR (user_id, item_id) IN (
            SELECT user_id, item_id FROM happened WHERE request_id IS NULL AND user_id IS NOT NULL
        )
"""
"""The rows of `_SHOWN` to which an event may be credited, which are few, without what no credit needs."""
_HAPPENED = """
    CREATE TEMP TABLE happened AS
    SELECT event_id, request_id, user_id, item_id, event_type, value, epoch_us(occurred_at) / 1e6 AS occurred,
        'infinity'::DOUBLE AS came
    FROM events ANTI JOIN reported USING (event_id)
    WHERE event_type IN (SELECT event_type FROM rewards) AND epoch_us(occurred_at) / 1e6 < $until
    UNION ALL
    SELECT event_id, request_id, coalesce(reported.user_id, logged.user_id), item_id, event_type, value,
        epoch_us(least(reported.occurred_at, reported.received_at)) / 1e6 AS occurred,
        epoch_us(reported.received_at) / 1e6 AS came
    FROM reported LEFT JOIN logged USING (request_id)
    WHERE epoch_us(least(reported.occurred_at, reported.received_at)) / 1e6 < $until
"""
_CREDITED = """
    CREATE TEMP TABLE credited AS
    SELECT h.event_id, s.request_id, s.position, h.event_type, h.value, h.occurred,
        h.came - s.shown_at AS wait,
        CASE WHEN h.occurred BETWEEN s.shown_at - $skew AND s.shown_at THEN 0 ELSE h.occurred - s.shown_at END
            AS delay
    FROM happened AS h JOIN shown AS s USING (request_id, item_id)
    UNION ALL
    SELECT h.event_id, s.request_id, s.position, h.event_type, h.value, h.occurred, h.came - s.shown_at,
        h.occurred - s.shown_at
    FROM (SELECT * FROM happened WHERE request_id IS NULL) AS h
    ASOF JOIN shown AS s ON s.user_id = h.user_id AND s.item_id = h.item_id AND h.occurred >= s.shown_at
"""
_EARNING = """
    CREATE TEMP TABLE earning AS
    SELECT request_id, position, event_id, event_type, delay, flat, by_value,
        (flat + by_value * value) * CASE WHEN half_life IS NULL THEN 1 ELSE pow(2, -delay / half_life) END
            AS reward
    FROM credited JOIN rewards USING (event_type)
    WHERE delay BETWEEN 0 AND "window" AND event_type <> $impression AND wait <= $feedback_delay
"""


def join_log(
    connection: DuckDBPyConnection,
    problem: ProblemSpec,
    *,
    until: float = np.inf,
    feedback_delay: float = np.inf,
) -> None:
    """Create the temporary tables `shown`, `credited` and `earning`.

    `shown` has one row per item shown, `credited` one per event and impression, and `earning` one per event,
    impression and objective that rewards it, without events that came too late.

    Args:
        connection: Has `logged` (as `REQUESTS`, each request once), `reported` (as `FEEDBACK`, each event
            once) and `events`.
        problem: Gives each event type its reward and window.
        until: As in `attribution.attribute`.
        feedback_delay: As in `attribution.impressions`.
    """
    find_reward_events(connection, problem, until=until)
    credit_events(connection, until=until, feedback_delay=feedback_delay)


def find_reward_events(
    connection: DuckDBPyConnection, problem: ProblemSpec, *, until: float = np.inf
) -> None:
    """Create the tables `rewards`, one row per objective and event type, and `happened`, each event once.

    Args:
        connection: As in `join_log`.
        problem: Gives each event type its reward and window.
        until: As in `attribution.attribute`.
    """
    connection.register("rewards", _reward_table(problem))
    connection.execute(_HAPPENED, {"until": until})


def credit_events(
    connection: DuckDBPyConnection,
    *,
    until: float = np.inf,
    feedback_delay: float = np.inf,
    only_named: bool = False,
) -> None:
    """Create `shown`, `credited` and `earning` of `join_log`, after `find_reward_events`.

    Args:
        connection: As in `join_log`, with the tables `rewards` and `happened`.
        until: Seconds since 1970 UTC. Only what was shown strictly before counts.
        feedback_delay: Seconds from the impression to the arrival of its feedback, at most.
        only_named: Whether `shown` may lack items to which no event is credited. The other tables have the
            same rows, at a part of the cost.
    """
    connection.execute(_SHOWN_AND_NAMED if only_named else _SHOWN, {"until": until})
    connection.execute(_CREDITED, {"skew": CLOCK_SKEW_SECONDS})
    connection.execute(_EARNING, {"impression": IMPRESSION, "feedback_delay": feedback_delay})


def window_seconds(problem: ProblemSpec) -> float:
    """Return the longest time, in seconds, that a rewarded event may come after its impression."""
    rewards = [reward for objective in problem.objectives for reward in objective.events.values()]
    return max(reward.window_days for reward in rewards) * DAY_SECONDS


def _reward_table(problem: ProblemSpec) -> pa.Table:
    """Return one row per objective and event type; times in seconds."""
    rows = [
        {
            "event_type": event_type,
            "flat": 0.0 if reward.by_value else objective.share * reward.weight,
            "by_value": objective.share * reward.weight if reward.by_value else 0.0,
            "window": float(reward.window_days * DAY_SECONDS),
            "half_life": None
            if reward.half_life_days is None
            else float(reward.half_life_days * DAY_SECONDS),
        }
        for objective in problem.objectives
        for event_type, reward in objective.events.items()
    ]
    numbers = ("flat", "by_value", "window", "half_life")
    schema = pa.schema([("event_type", pa.string()), *((name, pa.float64()) for name in numbers)])
    return pa.Table.from_pylist(rows, schema=schema)

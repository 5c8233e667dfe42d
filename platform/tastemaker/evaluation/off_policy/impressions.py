"""The platform's own request log as rewarded impressions: which requests count, what each item shown earned.

    r = Σ over objectives and events of  λ · w · value^(1 if by value) · 2^(−δ / half-life),   0 ≤ δ ≤ window

An event that carries a request id is credited to that request's showing of its item. One that carries none is
credited to the last showing of its item to its user before it. Each event is credited once an objective.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tastemaker.data.ids import IdIndex
from tastemaker.data.lake import Lake
from tastemaker.errors import OffPolicyError
from tastemaker.evaluation.off_policy.logged import Float64, Int64, Logged
from tastemaker.logs.drain import served
from tastemaker.problem import ProblemSpec

if TYPE_CHECKING:
    from collections.abc import Collection

DAY_SECONDS = 86_400.0

_SHOWN = """
    CREATE TEMP TABLE shown AS SELECT number, request_id, user_id, epoch_us(occurred_at) / 1e6 AS shown_at,
        unnest(item_ids) AS item_id, unnest(range(len(item_ids))) AS position
    FROM asked
"""
_CREDITED = """
    CREATE TEMP TABLE happened AS
    SELECT request_id, user_id, item_id, event_type, value, epoch_us(occurred_at) / 1e6 AS moment
    FROM events WHERE event_type IN (SELECT event_type FROM worth);
    CREATE TEMP TABLE credited AS
    SELECT s.number, s.position, h.event_type, h.value, h.moment - s.shown_at AS delay
    FROM happened AS h JOIN shown AS s USING (request_id, item_id)
    UNION ALL
    SELECT s.number, s.position, h.event_type, h.value, h.moment - s.shown_at AS delay
    FROM (SELECT * FROM happened WHERE request_id IS NULL) AS h
    ASOF JOIN shown AS s ON s.user_id = h.user_id AND s.item_id = h.item_id AND h.moment >= s.shown_at
"""
_REWARDS = """
    SELECT number, position, sum(
        (flat + by_value * value) * CASE WHEN half_life IS NULL THEN 1 ELSE pow(2, -delay / half_life) END
    ) AS reward
    FROM credited JOIN worth USING (event_type) WHERE delay BETWEEN 0 AND "window"
    GROUP BY number, position
"""
_HORIZON = "SELECT max(moment) FROM happened"


class RequestLog(NamedTuple):
    """The requests that count, oldest first, and their impressions."""

    requests: pa.Table
    """One row a request, as in `data.tables.REQUESTS`."""
    item_ids: list[str]
    """Of each impression, in the order of `log`, whose rounds are the rows of `requests`."""
    log: Logged
    left_out: dict[str, int]
    """Why requests do not count -> how many."""


def read_requests(lake: Lake, problem: ProblemSpec, *, since: int, versions: Collection[str]) -> RequestLog:
    """The requests that `versions` answered at or after `since` (seconds UTC), with what they earned.

    Raises OffPolicyError naming every reason if no request counts.
    """
    asked = served(lake).sort_by([("occurred_at", "ascending"), ("request_id", "ascending")])
    if not len(asked):
        raise OffPolicyError(
            "the request log is empty", fix="serve a version, ask it, then drain its log: tastemaker run"
        )
    asked = asked.append_column("number", pa.array(np.arange(len(asked))))
    worth = _worth(problem)
    with lake.connect() as connection:
        connection.register("asked", asked)
        connection.register("worth", worth)
        connection.execute(_SHOWN)
        connection.execute(_CREDITED)
        horizon = connection.execute(_HORIZON).fetchall()[0][0]
        earned = connection.sql(_REWARDS).to_arrow_table()
    if horizon is None:
        raise OffPolicyError(
            f"no event is of a type that {problem.name!r} rewards, so nothing that was shown earned anything",
            fix="ingest the events that followed: tastemaker run",
        )
    window = max(worth["window"].to_pylist())
    kept, left_out = _sift(asked, since=since, versions=versions, last=horizon - window)
    if not kept.any():
        reasons = "\n    ".join(f"{count:,} {reason}" for reason, count in left_out.items())
        raise OffPolicyError(
            f"none of the {len(asked):,} logged requests can be used:\n    {reasons}",
            fix="serve a policy that draws (random, or a bandit) to a share of the traffic, ingest the "
            f"events of the {window / DAY_SECONDS:g} days after, and ask about a version trained before that",
        )
    return _impressions(asked.filter(pa.array(kept)), earned, left_out)


def _worth(problem: ProblemSpec) -> pa.Table:
    """One row an objective and event type; times in seconds."""
    rows = [
        {
            "event_type": event_type,
            "flat": 0.0 if reward.by_value else objective.share * reward.weight,
            "by_value": objective.share * reward.weight if reward.by_value else 0.0,
            "window": reward.window_days * DAY_SECONDS,
            "half_life": None if reward.half_life_days is None else reward.half_life_days * DAY_SECONDS,
        }
        for objective in problem.objectives
        for event_type, reward in objective.events.items()
    ]
    numbers = ("flat", "by_value", "window", "half_life")
    schema = pa.schema([("event_type", pa.string()), *((name, pa.float64()) for name in numbers)])
    return pa.Table.from_pylist(rows, schema=schema)


def _sift(
    asked: pa.Table, *, since: int, versions: Collection[str], last: float
) -> tuple[NDArray[np.bool_], dict[str, int]]:
    """bool[len(asked)]: which requests count; and why the others don't, each by its first reason."""
    moments = asked["occurred_at"].cast(pa.int64()).to_numpy() / 1e6
    chances = asked["propensities"].to_pylist()
    version = np.array(asked["version"].to_pylist(), dtype=np.str_)
    explores = np.array([any(chance < 1 for chance in row) for row in chances])
    exploring = np.unique(version[explores])
    window_end = datetime.fromtimestamp(since, UTC)
    faults = {
        "answered by a version of another problem": ~np.isin(version, list(versions)),
        f"from before {window_end:%Y-%m-%d %H:%M} UTC: training has seen what they led to": moments < since,
        "so late that events may still be credited to them": moments > last,
        "that popular items helped to answer": asked["fallback"].is_valid().to_numpy(),
        "with a propensity outside (0, 1], or with no item": np.array(
            [not row or not all(0 < chance <= 1 for chance in row) for row in chances]
        ),
        "answered by versions that never draw, every propensity being 1": ~np.isin(version, exploring),
    }
    kept, left_out = np.ones(len(asked), np.bool_), {}
    for reason, faulty in faults.items():
        if count := int(np.count_nonzero(kept & faulty)):
            left_out[reason] = count
        kept &= ~faulty
    return kept, left_out


def _impressions(requests: pa.Table, earned: pa.Table, left_out: dict[str, int]) -> RequestLog:
    lengths = requests["item_ids"].combine_chunks().value_lengths().to_numpy()
    rounds = np.repeat(np.arange(len(requests)), lengths)
    positions = np.arange(len(rounds)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    item_ids: list[str] = requests["item_ids"].combine_chunks().flatten().to_pylist()
    numbers = requests["number"].to_numpy()
    index = IdIndex.build(item_ids)
    log = Logged.of(
        index.lookup(item_ids),
        _aligned(numbers[rounds], positions, earned),
        requests["propensities"].combine_chunks().flatten().to_numpy().astype(np.float64),
        n_actions=len(index),
        positions=positions,
        rounds=rounds,
    )
    return RequestLog(requests.drop_columns("number"), item_ids, log, left_out)


def _aligned(numbers: Int64, positions: Int64, earned: pa.Table) -> Float64:
    """float64[n]: the reward of each impression; 0 where none was credited."""
    width = int(positions.max(initial=0)) + 1
    within = earned.filter(pa.compute.less(earned["position"], width))
    keys = within["number"].to_numpy() * width + within["position"].to_numpy()
    order = np.argsort(keys)
    wanted = numbers * width + positions
    if not len(keys):
        return np.zeros(len(wanted))
    place = np.minimum(np.searchsorted(keys[order], wanted), len(keys) - 1)
    found = keys[order][place] == wanted
    return np.where(found, within["reward"].to_numpy()[order][place], 0.0)

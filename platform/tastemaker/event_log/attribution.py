"""Which showing of an item caused what: the log's impressions with what each earned, its feedback with marks.

    r = Σ over objectives and events of  λ · w · value^(1 if by value) · 2^(−δ / half-life),   0 ≤ δ ≤ window

An event that names a request is credited to that request's showing of its item. One that names none is
credited to the last showing of its item to its user before it (last touch). Each event is credited once an
objective. Whoever names a request saw its answer: if their clock says that it was a little earlier, δ is 0.

Events are those of the lake and those that were told and are not there (yet); an event id counts once. What
was told to have happened after it came, happened when it came. Sums are made in the order of the events' ids:
they come out the same, to the last bit, however the log is stored.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa

from tastemaker.data.lake import Lake, open_duckdb
from tastemaker.data.tables import ASSIGNMENT, EVENTS, FEEDBACK, UTC_MICROSECONDS
from tastemaker.event_log.drain import read_feedback, read_log
from tastemaker.event_log.records import IMPRESSION, FeedbackRecord, Record
from tastemaker.event_log.spool_file import Pending
from tastemaker.plugins.arrays import Feedback, Float32
from tastemaker.problem import ProblemSpec
from tastemaker.snapshot.ids import IdIndex

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

DAY_SECONDS = 86_400.0
CLOCK_SKEW_SECONDS = 600.0
"""Callers' clocks differ from ours by less than this, or they are wrong."""

ATTRIBUTED = pa.schema(
    [
        pa.field("request_id", pa.string()),
        pa.field("occurred_at", UTC_MICROSECONDS),
        pa.field("user_id", pa.string()),
        pa.field("item_id", pa.string()),
        pa.field("position", pa.int32()),
        pa.field("score", pa.float32()),
        pa.field("propensity", pa.float32()),
        pa.field("model", pa.string()),
        pa.field("version", pa.string()),
        pa.field("fallback", pa.string()),
        pa.field("context", pa.string()),
        pa.field("reward", pa.float64()),
        pa.field("events", pa.int64()),
        pa.field("delay_seconds", pa.float64()),
        pa.field("reported_at", UTC_MICROSECONDS),
        pa.field("marks", pa.list_(pa.string())),
        *ASSIGNMENT,
    ]
)
"""One row an item shown, once however often a page reports it. `events`: how many were credited;
`delay_seconds`: of the first of them; `reported_at`: when a page first said that it was seen;
mark `open`: it may still earn something."""

MARKED = pa.schema(
    [
        *FEEDBACK,
        pa.field("credited_request_id", pa.string()),
        pa.field("credited_position", pa.int32()),
        pa.field("delay_seconds", pa.float64()),
        pa.field("marks", pa.list_(pa.string())),
    ]
)
"""One row an event told. Marks: `orphan`, it names a request that is not in the log or did not show its item;
`early`, it lies before its showing, or in our future; `late`, its showing's window was over."""

_SHOWN = """
    CREATE TEMP TABLE shown AS
    SELECT request_id, occurred_at, epoch_us(occurred_at) / 1e6 AS shown_at, user_id, context, model, version,
        fallback, experiment, epoch, variant, variant_probability, unnest(item_ids) AS item_id,
        unnest(range(len(item_ids)))::INTEGER AS position,
        unnest(scores) AS score, unnest(propensities) AS propensity
    FROM asked WHERE epoch_us(occurred_at) / 1e6 < $until
"""
_HAPPENED = """
    CREATE TEMP TABLE happened AS
    SELECT event_id, request_id, user_id, item_id, event_type, value, epoch_us(occurred_at) / 1e6 AS moment,
        'infinity'::DOUBLE AS came
    FROM events ANTI JOIN told USING (event_id)
    WHERE event_type IN (SELECT event_type FROM worth) AND epoch_us(occurred_at) / 1e6 < $until
    UNION ALL
    SELECT event_id, request_id, coalesce(told.user_id, asked.user_id), item_id, event_type, value,
        epoch_us(least(told.occurred_at, told.received_at)) / 1e6 AS moment,
        epoch_us(told.received_at) / 1e6 AS came
    FROM told LEFT JOIN asked USING (request_id)
    WHERE epoch_us(least(told.occurred_at, told.received_at)) / 1e6 < $until
"""
_CREDITED = """
    CREATE TEMP TABLE credited AS
    SELECT h.event_id, s.request_id, s.position, h.event_type, h.value, h.moment, h.came - s.shown_at AS wait,
        CASE WHEN h.moment BETWEEN s.shown_at - $skew AND s.shown_at THEN 0 ELSE h.moment - s.shown_at END
            AS delay
    FROM happened AS h JOIN shown AS s USING (request_id, item_id)
    UNION ALL
    SELECT h.event_id, s.request_id, s.position, h.event_type, h.value, h.moment, h.came - s.shown_at,
        h.moment - s.shown_at
    FROM (SELECT * FROM happened WHERE request_id IS NULL) AS h
    ASOF JOIN shown AS s ON s.user_id = h.user_id AND s.item_id = h.item_id AND h.moment >= s.shown_at
"""
_IMPRESSIONS = """
    WITH earned AS (
        SELECT request_id, position, count(DISTINCT event_id) AS events, min(delay) AS delay, list_sum(list(
            (flat + by_value * value) * CASE WHEN half_life IS NULL THEN 1 ELSE pow(2, -delay / half_life) END
            ORDER BY event_id, flat, by_value
        )) AS reward
        FROM credited JOIN worth USING (event_type)
        WHERE delay BETWEEN 0 AND "window" AND event_type <> $impression AND wait <= $feedback_delay
        GROUP BY request_id, position
    ),
    reported AS (
        SELECT request_id, position, min(moment) AS moment FROM credited WHERE event_type = $impression
        GROUP BY request_id, position
    )
    SELECT shown.*, coalesce(reward, 0) AS reward, coalesce(events, 0) AS events, delay AS delay_seconds,
        make_timestamptz((reported.moment * 1e6)::BIGINT) AS reported_at,
        CASE WHEN shown_at > $closed THEN ['open'] ELSE [] END AS marks
    FROM shown LEFT JOIN earned USING (request_id, position) LEFT JOIN reported USING (request_id, position)
    ORDER BY occurred_at, request_id, position
"""
_MARKED = """
    SELECT told.*, credited.request_id AS credited_request_id, credited.position AS credited_position,
        credited.delay AS delay_seconds,
        list_filter([
            CASE WHEN told.request_id IS NOT NULL AND credited.request_id IS NULL THEN 'orphan' END,
            CASE WHEN delay < 0 OR epoch(told.occurred_at) > epoch(told.received_at) + $skew THEN 'early' END,
            CASE WHEN delay > (SELECT max("window") FROM worth WHERE worth.event_type = told.event_type)
                THEN 'late' END
        ], lambda mark : mark IS NOT NULL) AS marks
    FROM told LEFT JOIN credited USING (event_id)
    ORDER BY told.received_at, told.event_id
"""
_HORIZON = "SELECT max(moment) FROM happened WHERE event_type IN (SELECT event_type FROM worth)"


class Attribution(NamedTuple):
    """The joined log."""

    impressions: pa.Table
    """ATTRIBUTED, in the order of time, request and position."""
    feedback: pa.Table
    """MARKED, in the order in which it came."""
    horizon: float | None
    """The latest event that earns something, seconds since 1970; None if there is none."""
    window: float
    """The longest time, in seconds, that an event may come after its impression."""

    def summary(self) -> dict[str, float]:
        """Counts for people: of impressions and feedback, and of each mark."""
        marks = pa.compute.value_counts(self.feedback["marks"].combine_chunks().flatten()).to_pylist()
        return {
            "impressions": len(self.impressions),
            "rewarded": int(pa.compute.sum(pa.compute.greater(self.impressions["events"], 0)).as_py() or 0),
            "reward": float(pa.compute.sum(self.impressions["reward"]).as_py() or 0),
            "feedback": len(self.feedback),
            **{mark["values"]: mark["counts"] for mark in marks},
        }


def attribute(lake: Lake, problem: ProblemSpec, *, until: float = np.inf) -> Attribution:
    """Join what was shown with what came of it, as it was known strictly before `until` (seconds UTC)."""
    worth = _worth(problem)
    window = max(worth["window"].to_pylist())
    with lake.connect() as connection:
        _join(connection, read_log(lake), read_feedback(lake), worth, until)
        horizon = connection.execute(_HORIZON).fetchall()[0][0]
        closed = -np.inf if horizon is None else horizon - window
        marked = connection.sql(_MARKED, params={"skew": CLOCK_SKEW_SECONDS}).to_arrow_table()
        return Attribution(_impressions(connection, closed, np.inf), marked.cast(MARKED), horizon, window)


def impressions(
    lake: Lake,
    problem: ProblemSpec,
    *,
    feedback_delay: float,
    since: int = 0,
    undrained: Pending | None = None,
) -> pa.Table:
    """ATTRIBUTED: what was shown from `since` on, with what was told of it within `feedback_delay` (seconds).

    Told by our clock, of what happened within its window: an impression so old is the same whenever it is
    asked for. `undrained` still lies in a spool. Events that came by another way than being told don't count.
    """
    requests, feedback = (
        ([], []) if undrained is None else (undrained.of(Record), undrained.of(FeedbackRecord))
    )
    with open_duckdb() as connection:
        connection.register("events", EVENTS.empty_table())
        asked = read_log(lake, requests, since=since)
        said = read_feedback(lake, feedback, since=since - int(CLOCK_SKEW_SECONDS))
        _join(connection, asked, said, _worth(problem), np.inf)
        rows = _impressions(connection, np.inf, feedback_delay)
    first = pa.scalar(datetime.fromtimestamp(since, UTC), UTC_MICROSECONDS)
    return rows.filter(pa.compute.greater_equal(rows["occurred_at"], first))


def _join(
    connection: DuckDBPyConnection, asked: pa.Table, said: pa.Table, worth: pa.Table, until: float
) -> None:
    """Make the tables `shown` and `credited`."""
    connection.register("asked", asked)
    connection.register("told", said)
    connection.register("worth", worth)
    connection.execute(_SHOWN, {"until": until})
    connection.execute(_HAPPENED, {"until": until})
    connection.execute(_CREDITED, {"skew": CLOCK_SKEW_SECONDS})


def _impressions(connection: DuckDBPyConnection, closed: float, feedback_delay: float) -> pa.Table:
    known = {"closed": closed, "impression": IMPRESSION, "feedback_delay": feedback_delay}
    shown = connection.sql(_IMPRESSIONS, params=known)
    return shown.to_arrow_table().select(ATTRIBUTED.names).cast(ATTRIBUTED)


def as_feedback(impressions: pa.Table, user_ids: IdIndex, item_ids: IdIndex) -> Feedback:
    """ATTRIBUTED rows as a model learns from them."""
    return Feedback(
        users=user_ids.lookup(impressions["user_id"].to_pylist()),
        items=item_ids.lookup(impressions["item_id"].to_pylist()),
        positions=impressions["position"].to_numpy(),
        rewards=impressions["reward"].to_numpy().astype(np.float32),
        propensities=impressions["propensity"].to_numpy(),
        times=impressions["occurred_at"].cast(pa.int64()).to_numpy() // 1_000_000,
        context=_contexts(impressions["context"]),
    )


def _contexts(texts: pa.ChunkedArray) -> Float32 | None:
    """float32[n, d]: the requests' contexts, where every one is a list of as many numbers."""
    encoded = texts.combine_chunks().dictionary_encode()
    decoded = [None if text is None else json.loads(text) for text in encoded.dictionary.to_pylist()]
    widths = {len(one) if isinstance(one, list) else 0 for one in decoded}
    if encoded.null_count or len(widths) != 1 or 0 in widths:
        return None
    contexts: Float32 = np.array(decoded, np.float32)[encoded.indices.to_numpy()]
    return contexts


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

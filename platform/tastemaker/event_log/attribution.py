"""Attribution: which impression of an item caused which event, and what each impression earned.

    r = Σ over objectives and events of  λ · w · value^(1 if by value) · 2^(−δ / half-life),   0 ≤ δ ≤ window

An event with a request id is credited to that request's impression of its item. An event without one is
credited to the last impression of its item to its user before it (last touch). Each event is credited once
per objective. A caller that names a request has seen its answer: if the caller's clock says that the event
came a little earlier than the answer, δ is 0.

Events are those of the lake, and the feedback that is not in the lake (yet); an event id counts once.
The time of reported feedback is at most the time of its arrival. Sums are made in the order of the events'
ids, so that they are equal to the last bit however the log is stored.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa

from tastemaker.data.lake import Lake
from tastemaker.data.lake_files import open_duckdb
from tastemaker.data.tables import ASSIGNMENT, EVENTS, FEEDBACK, UTC_MICROSECONDS
from tastemaker.event_log.arrivals import arrived_until
from tastemaker.event_log.drain import read_feedback, read_log
from tastemaker.event_log.log_join import CLOCK_SKEW_SECONDS, join_log, window_seconds
from tastemaker.event_log.records import IMPRESSION, FeedbackRecord, Record
from tastemaker.event_log.spool_file import Pending
from tastemaker.plugins.arrays import Float32
from tastemaker.plugins.training_data import Feedback
from tastemaker.problem import ProblemSpec
from tastemaker.snapshot.ids import IdIndex

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

ATTRIBUTED = pa.schema(
    [
        pa.field("request_id", pa.string()),
        pa.field("occurred_at", UTC_MICROSECONDS, metadata={"description": "when the request was answered"}),
        pa.field("user_id", pa.string()),
        pa.field("item_id", pa.string()),
        pa.field("position", pa.int32(), metadata={"description": "the item's position in the list, from 0"}),
        pa.field("score", pa.float32(), metadata={"description": "the model's score of the item"}),
        pa.field(
            "propensity", pa.float32(), metadata={"description": "probability of this item at this position"}
        ),
        pa.field("model", pa.string()),
        pa.field("version", pa.string()),
        pa.field("fallback", pa.string()),
        pa.field("context", pa.string()),
        pa.field(
            "reward", pa.float64(), metadata={"description": "reward of the credited events, by the problem"}
        ),
        pa.field("events", pa.int64(), metadata={"description": "how many events were credited"}),
        pa.field(
            "delay_seconds",
            pa.float64(),
            metadata={"description": "from the impression to the first credited event"},
        ),
        pa.field(
            "reported_at",
            UTC_MICROSECONDS,
            metadata={"description": "when a page first reported the impression; null if none did"},
        ),
        pa.field(
            "flags", pa.list_(pa.string()), metadata={"description": "open: it may still earn a reward"}
        ),
        *ASSIGNMENT,
        pa.field(
            "team",
            pa.string(),
            metadata={
                "description": "the variant that placed the item in an interleaved list; empty for none"
            },
        ),
    ]
)
"""One row per item shown, however often a page reports it. `events`: how many were credited; `delay_seconds`:
of the first of them; `reported_at`: when a page first reported that it was seen; flag `open`: it may still
earn something."""

FLAGGED_FEEDBACK = pa.schema(
    [
        *FEEDBACK,
        pa.field(
            "credited_request_id",
            pa.string(),
            metadata={"description": "the request whose impression it is credited to; null if none"},
        ),
        pa.field(
            "credited_position", pa.int32(), metadata={"description": "the position of that impression"}
        ),
        pa.field(
            "delay_seconds", pa.float64(), metadata={"description": "from that impression to the event"}
        ),
        pa.field("flags", pa.list_(pa.string()), metadata={"description": "orphan, early or late"}),
    ]
)
"""One row per reported event. Flags: `orphan`, it names a request that is not in the log or did not show its
item; `early`, it lies before its impression, or in our future; `late`, its impression's window was over."""

_IMPRESSIONS = """
    WITH earned AS (
        SELECT request_id, position, count(DISTINCT event_id) AS events, min(delay) AS delay,
            list_sum(list(reward ORDER BY event_id, flat, by_value)) AS reward
        FROM earning GROUP BY request_id, position
    ),
    seen AS (
        SELECT request_id, position, min(occurred) AS occurred FROM credited WHERE event_type = $impression
        GROUP BY request_id, position
    )
    SELECT shown.*, coalesce(reward, 0) AS reward, coalesce(events, 0) AS events, delay AS delay_seconds,
        make_timestamptz((seen.occurred * 1e6)::BIGINT) AS reported_at,
        CASE WHEN shown_at > $closed THEN ['open'] ELSE [] END AS flags
    FROM shown LEFT JOIN earned USING (request_id, position) LEFT JOIN seen USING (request_id, position)
    ORDER BY occurred_at, request_id, position
"""
_FLAGGED = """
    SELECT reported.*, credited.request_id AS credited_request_id, credited.position AS credited_position,
        credited.delay AS delay_seconds,
        list_filter([
            CASE WHEN reported.request_id IS NOT NULL AND credited.request_id IS NULL THEN 'orphan' END,
            CASE WHEN delay < 0 OR epoch(reported.occurred_at) > epoch(reported.received_at) + $skew
                THEN 'early' END,
            CASE WHEN delay > (
                SELECT max("window") FROM rewards WHERE rewards.event_type = reported.event_type
            ) THEN 'late' END
        ], lambda flag : flag IS NOT NULL) AS flags
    FROM reported LEFT JOIN credited USING (event_id)
    ORDER BY reported.received_at, reported.event_id
"""
_HORIZON = "SELECT max(occurred) FROM happened WHERE event_type IN (SELECT event_type FROM rewards)"


class Attribution(NamedTuple):
    """The joined log."""

    impressions: pa.Table
    """Rows of `ATTRIBUTED`, in the order of time, request and position."""
    feedback: pa.Table
    """Rows of `FLAGGED_FEEDBACK`, in the order of arrival."""
    window: float
    """The longest time, in seconds, that an event may come after its impression."""
    arrived_until: float | None = None
    """Until when every type of event that earns something has arrived, seconds since 1970; None without an
    event, or if a part of the log was joined."""

    def summary(self) -> dict[str, float]:
        """Return the numbers of impressions, of feedback and of each flag, and the total reward."""
        flags = pa.compute.value_counts(self.feedback["flags"].combine_chunks().flatten()).to_pylist()
        return {
            "impressions": len(self.impressions),
            "rewarded": int(pa.compute.sum(pa.compute.greater(self.impressions["events"], 0)).as_py() or 0),
            "reward": float(pa.compute.sum(self.impressions["reward"]).as_py() or 0),
            "feedback": len(self.feedback),
            **{flag["values"]: flag["counts"] for flag in flags},
        }


def attribute(lake: Lake, problem: ProblemSpec, *, until: float = np.inf) -> Attribution:
    """Join what was shown with the events that it caused.

    Args:
        lake: Where requests, feedback and events are.
        problem: Gives each event type its reward and window.
        until: Seconds since 1970 UTC. Only what was known strictly before counts.

    Returns:
        The impressions with their rewards, and the feedback with its impressions.
    """
    with lake.connect() as connection:
        found = attribute_rows(connection, read_log(lake), read_feedback(lake), problem, until=until)
        return found._replace(arrived_until=arrived_until(connection))


def attribute_rows(
    connection: DuckDBPyConnection,
    requests: pa.Table,
    feedback: pa.Table,
    problem: ProblemSpec,
    *,
    until: float = np.inf,
) -> Attribution:
    """Join some requests with some feedback, and with the events in the connection's view `events`.

    The rows of a user alone are joined as they are among those of all users, if all of the user's requests,
    feedback and events are given from the first request of interest to the end of its window.

    Args:
        connection: Has the view `events`.
        requests: Rows of `REQUESTS`, each request once.
        feedback: Rows of `FEEDBACK`, each event once.
        problem: Gives each event type its reward and window.
        until: As in `attribute`.

    Returns:
        The impressions with their rewards, and the feedback with its impressions; without `arrived_until`.
    """
    connection.register("logged", requests)
    connection.register("reported", feedback)
    join_log(connection, problem, until=until)
    horizon = connection.execute(_HORIZON).fetchall()[0][0]
    window = window_seconds(problem)
    closed = -np.inf if horizon is None else horizon - window
    flagged = connection.sql(_FLAGGED, params={"skew": CLOCK_SKEW_SECONDS}).to_arrow_table()
    shown = _impressions(connection, closed)
    return Attribution(shown, flagged.cast(FLAGGED_FEEDBACK), window)


def impressions(
    lake: Lake,
    problem: ProblemSpec,
    *,
    feedback_delay: float,
    since: int = 0,
    undrained: Pending | None = None,
) -> pa.Table:
    """Return what was shown from a time on, with the feedback that arrived within a delay.

    An impression older than the delay has the same row whenever it is read: arrival is measured by our clock,
    and only reported feedback counts, not events that a source brings later.

    Args:
        lake: Where drained requests and feedback are.
        problem: Gives each event type its reward and window.
        feedback_delay: Seconds from the impression to the arrival of its feedback, at most.
        since: Seconds since 1970 UTC of the first impression.
        undrained: Records that are still in a spool.

    Returns:
        Rows of `ATTRIBUTED`, in the order of time, request and position.
    """
    waiting = ([], []) if undrained is None else (undrained.of(Record), undrained.of(FeedbackRecord))
    with open_duckdb() as connection:
        connection.register("events", EVENTS.empty_table())
        feedback = read_feedback(lake, waiting[1], since=since - int(CLOCK_SKEW_SECONDS))
        connection.register("logged", read_log(lake, waiting[0], since=since))
        connection.register("reported", feedback)
        join_log(connection, problem, feedback_delay=feedback_delay)
        rows = _impressions(connection, np.inf)
    first = pa.scalar(datetime.fromtimestamp(since, UTC), UTC_MICROSECONDS)
    return rows.filter(pa.compute.greater_equal(rows["occurred_at"], first))


def _impressions(connection: DuckDBPyConnection, closed: float) -> pa.Table:
    shown = connection.sql(_IMPRESSIONS, params={"closed": closed, "impression": IMPRESSION})
    return shown.to_arrow_table().select(ATTRIBUTED.names).cast(ATTRIBUTED)


def as_feedback(impressions: pa.Table, user_ids: IdIndex, item_ids: IdIndex) -> Feedback:
    """Convert impressions to feedback that a model learns from, one entry per impression.

    Args:
        impressions: Rows of `ATTRIBUTED`.
        user_ids: The numbers of the users.
        item_ids: The numbers of the items.

    Returns:
        The entries in the order of the rows; -1 for a user or item that has no number. It has contexts only
        if those of all rows are lists of one length.
    """
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
    """Return the requests' contexts as float32[n, d]; None unless all are lists of equal length."""
    encoded = texts.combine_chunks().dictionary_encode()
    decoded = [None if text is None else json.loads(text) for text in encoded.dictionary.to_pylist()]
    widths = {len(one) if isinstance(one, list) else 0 for one in decoded}
    if encoded.null_count or len(widths) != 1 or 0 in widths:
        return None
    contexts: Float32 = np.array(decoded, np.float32)[encoded.indices.to_numpy()]
    return contexts

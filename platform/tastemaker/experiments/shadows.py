"""Shadows: how alike are the lists of a variant that no user sees to those that were served?

No user sees a shadow's answers, so nothing here says what users would do with them: only whether its lists
differ, how quickly it answers, and how often by a fallback. Intervals are over users.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import duckdb
import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Engine, delete, insert

from tastemaker.data.lake import Lake
from tastemaker.experiments.list_overlap import overlap_at, rank_biased_overlap
from tastemaker.stats.bootstrap import Float64, Interval
from tastemaker.stats.ratios import ratio_interval
from tastemaker.storage.tables import shadow_figures

MOST_PAIRS = 50_000
"""Newest answers of each variant that are compared."""
_PAIRS = """
    WITH copies AS (
        FROM shadow_answers WHERE experiment IS NOT NULL AND variant IS NOT NULL
        QUALIFY row_number() OVER (PARTITION BY request_id ORDER BY occurred_at) = 1
    ),
    newest AS (
        FROM copies QUALIFY row_number() OVER (
            PARTITION BY experiment, epoch, variant ORDER BY occurred_at DESC, request_id
        ) <= $most
    ),
    served AS (
        FROM requests SEMI JOIN newest ON requests.request_id = newest.shadow_of
        QUALIFY row_number() OVER (PARTITION BY request_id ORDER BY occurred_at) = 1
    )
    SELECT newest.experiment, newest.epoch, newest.variant, newest.user_id, newest.k,
        newest.item_ids, served.item_ids AS served_ids, newest.latency_ms, served.latency_ms AS served_ms,
        newest.fallback IS NOT NULL AS is_fallback, served.fallback IS NOT NULL AS is_served_fallback
    FROM newest JOIN served ON served.request_id = newest.shadow_of
    ORDER BY ALL
"""


class ShadowFigure(NamedTuple):
    """A figure of a variant in the shadow, beside that of the lists that users saw."""

    experiment: str
    epoch: int
    variant: str
    metric: str
    """overlap, rank_biased_overlap, fallback_share or latency_ms."""
    unit: str
    value: float
    low: float | None
    """Lower end of the 95 % interval over users; None: there is none."""
    high: float | None
    served_value: float | None
    """The same of what was served; None: the figure compares both."""
    users: int
    requests: int


def compare_shadows(connection: duckdb.DuckDBPyConnection, most: int = MOST_PAIRS) -> list[ShadowFigure]:
    """Return the figures of all variants in the shadow.

    Args:
        connection: Of the lake: it has the tables `requests` and `shadow_answers`.
        most: Newest answers of each variant that are compared.
    """
    rows = connection.sql(_PAIRS, params={"most": most}).to_arrow_table().to_pylist()
    groups: dict[tuple[str, int, str], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["experiment"], row["epoch"], row["variant"]), []).append(row)
    return [ShadowFigure(*key, *figure) for key, pairs in groups.items() for figure in _figures(pairs)]


def measure_shadows(engine: Engine, lake: Lake, now: datetime | None = None) -> list[ShadowFigure]:
    """Compare the shadows of all experiments, store the figures in place of earlier ones, and return them.

    Args:
        engine: The metadata database.
        lake: The lake with the log.
        now: When it is; None: the current time.
    """
    with lake.connect() as connection:
        found = compare_shadows(connection)
    rows = [one._asdict() | {"computed_at": now or datetime.now(UTC)} for one in found]
    with engine.begin() as transaction:
        c = shadow_figures.c
        for experiment, epoch in {(one.experiment, one.epoch) for one in found}:
            transaction.execute(delete(shadow_figures).where(c.experiment == experiment, c.epoch == epoch))
        if rows:
            transaction.execute(insert(shadow_figures), rows)
    return found


def _figures(pairs: Sequence[dict[str, Any]]) -> Iterator[tuple[Any, ...]]:
    """Yield metric, unit, value, low, high, served value, users and requests of a variant's pairs."""
    users = np.unique([row["user_id"] for row in pairs], return_inverse=True)[1]

    def per_request(figure: Callable[[dict[str, Any]], float]) -> Float64:
        return np.array([figure(row) for row in pairs], np.float64)

    overlap = per_request(lambda row: overlap_at(row["k"], row["item_ids"], row["served_ids"]))
    alike = per_request(lambda row: rank_biased_overlap(row["item_ids"], row["served_ids"]))
    yield ("overlap", "share", *_interval(users, overlap), None, *_counts(users))
    yield ("rank_biased_overlap", "share", *_interval(users, alike), None, *_counts(users))
    fallback = per_request(lambda row: row["is_fallback"])
    served = float(per_request(lambda row: row["is_served_fallback"]).mean())
    yield ("fallback_share", "share", *_interval(users, fallback), served, *_counts(users))
    timed = [n for n, row in enumerate(pairs) if None not in (row["latency_ms"], row["served_ms"])]
    if timed:
        took = np.array([pairs[n]["latency_ms"] for n in timed], np.float64)
        served_took = float(np.mean([pairs[n]["served_ms"] for n in timed]))
        yield ("latency_ms", "ms", *_interval(users[timed], took), served_took, *_counts(users[timed]))


def _counts(users: NDArray[np.int64]) -> tuple[int, int]:
    return len(np.unique(users)), len(users)


def _interval(users: NDArray[np.int64], values: Float64) -> tuple[float, float | None, float | None]:
    """Return the mean over requests with its interval over users."""
    requests = np.bincount(users).astype(np.float64)
    sums = np.bincount(users, values).astype(np.float64)
    found: Interval = ratio_interval(sums, requests)
    low, high = (None if np.isnan(end) else end for end in (found.low, found.high))
    return found.value, low, high

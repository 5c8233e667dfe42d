"""Facts of rollouts: since when the next step of one is due."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tastemaker.monitoring.fact_families import FactFamily, FactSources

if TYPE_CHECKING:
    from prometheus_client.core import GaugeMetricFamily

DUE = FactFamily(
    "rollout_due_timestamp_seconds",
    "when the next step is due, or was, of a rollout whose version no user has yet and that waits for no "
    "person; seconds since 1970 UTC",
    ("rollout",),
)


def rollout_steps(home: FactSources) -> Iterator[GaugeMetricFamily]:
    """Yield when the next step of each open rollout is due."""
    from tastemaker.rollouts.store import changes_of, open_rollouts
    from tastemaker.rollouts.waiting import due_at

    found = open_rollouts(home.engine)
    changes = changes_of(home.engine, [one.id for one in found])
    due = {one.id: due_at(one, changes[one.id], home.settings.promotion) for one in found}
    yield DUE.gauge({(str(number),): at.timestamp() for number, at in due.items() if at is not None})

"""Facts of rewards: what a request earned on the newest day, and in the four weeks before."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tastemaker.monitoring.fact_families import FactFamily, FactSources

if TYPE_CHECKING:
    from prometheus_client.core import GaugeMetricFamily

LABELS = ("model", "window")
REWARD = FactFamily(
    "reward_per_request",
    "mean reward per request in the problem's unit, of the newest day (1d) and of the 28 days before (28d)",
    LABELS,
)
REWARD_LOW = FactFamily("reward_per_request_low", "lower end of its 95 % interval", LABELS)
REWARD_HIGH = FactFamily("reward_per_request_high", "upper end of its 95 % interval", LABELS)


def rewards(home: FactSources) -> Iterator[GaugeMetricFamily]:
    """Yield the newest figures of the problem in use; intervals only where there are enough users."""
    from sqlalchemy import func, select

    from tastemaker.problem import load_problem
    from tastemaker.storage.tables import UtcDateTime, reward_figures

    if not home.settings.problem.exists():
        return
    columns = reward_figures.c
    mine = columns.problem == load_problem(home.settings.problem).name
    newest = select(func.max(columns.computed_at, type_=UtcDateTime)).where(mine).scalar_subquery()
    with home.engine.connect() as connection:
        rows = connection.execute(select(reward_figures).where(mine, columns.computed_at == newest)).all()
    yield REWARD.gauge({(row.model, row.period): row.value for row in rows})
    yield REWARD_LOW.gauge({(row.model, row.period): row.low for row in rows if row.low is not None})
    yield REWARD_HIGH.gauge({(row.model, row.period): row.high for row in rows if row.high is not None})

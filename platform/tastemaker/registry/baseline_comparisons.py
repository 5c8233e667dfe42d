"""Comparisons of the champion's recipe with the baseline, one per run, as they are stored."""

from __future__ import annotations

from datetime import datetime
from math import isnan, nan
from typing import NamedTuple

from sqlalchemy import Engine, insert, select

from tastemaker.stats.bootstrap import Difference
from tastemaker.storage.tables import backtests, baseline_comparisons, versions


class BaselineComparison(NamedTuple):
    """The recipe of a problem's champion and the baseline, in backtests on the same users."""

    problem: str
    backtest_id: str
    """Of the recipe."""
    model: str
    """The recipe's model."""
    baseline: str
    metric: str
    difference: Difference
    """Recipe - baseline, paired by user."""
    p: float
    """Corrected for all candidates."""
    verdict: str
    """better, tied or worse."""
    compared_at: datetime

    @property
    def is_worse(self) -> bool:
        """Whether the recipe is significantly worse than the baseline."""
        return self.verdict == "worse"


def add(engine: Engine, comparison: BaselineComparison) -> None:
    """Store a comparison.

    Args:
        engine: The metadata database.
        comparison: What to store.
    """
    figures = comparison.difference._asdict()
    row = comparison._asdict() | {name: None if isnan(value) else value for name, value in figures.items()}
    del row["model"]  # the backtest has it
    with engine.begin() as connection:
        connection.execute(insert(baseline_comparisons).values(row))


def newest_of(engine: Engine, version_id: str) -> BaselineComparison | None:
    """Return the newest comparison of a problem's champion, if it is of this version's model and config.

    Args:
        engine: The metadata database.
        version_id: The id of the version that is champion.

    Returns:
        The comparison; None where there is none, or another recipe has been compared since.
    """
    query = (
        select(baseline_comparisons, backtests.c.model, backtests.c.config, versions.c.manifest)
        .join(backtests, backtests.c.id == baseline_comparisons.c.backtest_id)
        .join(versions, versions.c.problem == baseline_comparisons.c.problem)
        .where(versions.c.id == version_id)
        .order_by(baseline_comparisons.c.id.desc())
        .limit(1)
    )
    with engine.connect() as connection:
        row = connection.execute(query).mappings().first()
    if row is None or any(row[name] != row["manifest"].get(name) for name in ("model", "config")):
        return None
    low, high = (nan if row[name] is None else row[name] for name in ("low", "high"))
    fields = {name: row[name] for name in BaselineComparison._fields}
    difference = Difference(row["difference"], low, high, row["n"])
    return BaselineComparison(**(fields | {"difference": difference}))

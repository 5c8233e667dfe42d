"""The newest figures, for the command line."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from sqlalchemy import Engine, and_, or_, select

from tastemaker.product.cell import MetricWindow
from tastemaker.product.growth_metrics import GROWTH
from tastemaker.product.shop_days import ShopDays
from tastemaker.storage.tables import OWN_SOURCE, measurements

DAYS = 28
"""Length of the window of the figures of lists."""
OF_VERSIONS = ("users", "requests", "ctr_list", "reward_per_request", "fallback_share")
_M = measurements.c


def newest_rows(
    engine: Engine, problem: str, days: ShopDays, log_until: date | None, activity_until: date | None
) -> list[dict[str, Any]]:
    """Return the newest rows of `measurements` of each model version, and of the active users.

    Args:
        engine: The metadata database.
        problem: The problem's name.
        days: Says when a day of the shop begins and ends.
        log_until: The last day of the log that is over.
        activity_until: The last day of the events that is over.
    """
    wanted = []
    if log_until is not None:
        start = days.start(MetricWindow.ending(log_until, DAYS).first)
        wanted.append(
            and_(_M.window_start == start, _M.window_end == days.end(log_until), _M.metric.in_(OF_VERSIONS))
        )
    if activity_until is not None:
        names = [one.name for one in GROWTH]
        wanted.append(and_(_M.window_end == days.end(activity_until), _M.metric.in_(names)))
    own = and_(_M.source == OWN_SOURCE, _M.problem == problem, _M.variant == "", _M.slice == "")
    statement = select(measurements).where(own, or_(False, *wanted)).order_by(_M.model, _M.version, _M.metric)
    with engine.connect() as connection:
        return [dict(row._mapping) for row in connection.execute(statement)]


def in_lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return the rows as a table of versions, and a line per figure of the active users."""
    versions: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
    for row in rows:
        if row["version"]:
            versions.setdefault((row["model"], row["version"]), {})[row["metric"]] = row
    head = f"{'model':16} {'version':32} {'users':>9} {'lists':>9}  clicked lists"
    lines = [f"lists of {DAYS} days", head] if versions else []
    for (model, version), found in versions.items():
        users, lists = (int(found[name]["value"]) for name in ("users", "requests"))
        clicked = _span(found["ctr_list"]) if "ctr_list" in found else "no attribution window is over yet"
        lines.append(f"{model:16} {version:32} {users:>9,} {lists:>9,}  {clicked}")
    order = [one.name for one in GROWTH]
    growth = sorted(
        (row for row in rows if row["metric"] in order), key=lambda row: order.index(row["metric"])
    )
    titles = {one.name: one.title for one in GROWTH}
    return [*lines, *(f"{titles[row['metric']]:24} {_span(row)}" for row in growth)]


def _span(row: dict[str, Any]) -> str:
    if row["value"] is None:
        return f"too little data: {row['n']:,} users"
    form = ".1%" if row["unit"] == "share" else ",.0f" if row["unit"] == "users" else ",.2f"
    between = "" if row["low"] is None else f"  ({row['low']:{form}} to {row['high']:{form}})"
    return f"{row['value']:{form}}{between}"

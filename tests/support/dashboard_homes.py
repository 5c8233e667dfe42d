"""A dashboard's database with measurements that are known, and its application."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import uvicorn
from sqlalchemy import Engine, insert
from starlette.testclient import TestClient

from support.servers import free_port
from support.watched_pages import wait_until
from tastemaker.dashboard.app import application
from tastemaker.dashboard.reader import utc_now
from tastemaker.settings import Settings, load_settings
from tastemaker.storage.engine import open_engine
from tastemaker.storage.tables import OWN_SOURCE, measurements

DAY = timedelta(days=1)
ENGAGEMENT = {"ctr_list": 0.112, "ctr_impression": 0.0213, "reward_per_request": 0.37}
"""Metric -> its figure in `days_of`."""


def midnight(days_ago: int = 0, now: datetime | None = None) -> datetime:
    """The start of a day, UTC."""
    now = now or utc_now()
    return datetime(now.year, now.month, now.day, tzinfo=UTC) - days_ago * DAY


def measurement(
    metric: str, value: float | None, days: int = 1, ended: int = 0, **more: Any
) -> dict[str, Any]:
    """A row of `measurements` over some days that ended so many days ago, with an interval of a tenth."""
    end = midnight(ended)
    names = ("version", "experiment", "variant", "slice")
    return {
        **dict.fromkeys(names, ""),
        "source": OWN_SOURCE,
        "problem": "shop",
        "model": "als",
        "metric": metric,
        "window_start": end - days * DAY,
        "window_end": end,
        "unit": "share" if any(word in metric for word in ("ctr", "share", "retention")) else "GBP",
        "value": value,
        "low": None if value is None else 0.9 * value,
        "high": None if value is None else 1.1 * value,
        "n": 900,
        "is_complete": True,
        "computed_at": midnight(),
    } | more


def days_of(
    model: str, version: str, days: int = 28, scale: float = 1.0, **more: Any
) -> Iterator[dict[str, Any]]:
    """Measurements of a version: `ENGAGEMENT` times a factor over 7, 28 and 90 days, and by day around it."""
    for metric, usual in ENGAGEMENT.items():
        value = scale * usual
        for period in (7, 28, 90):
            yield measurement(metric, value, period, model=model, version=version, **more)
        for ago in range(days):
            by_day = value * (1 + 0.1 * math.sin(ago))
            yield measurement(metric, by_day, 1, ago, model=model, version=version, **more)


@contextmanager
def dashboard_engine(
    home: Path, rows: Iterable[dict[str, Any]] = (), **chosen: Any
) -> Iterator[tuple[Settings, Engine]]:
    """A home's settings and its database with measurements."""
    settings = load_settings(home=home, **chosen)
    engine = open_engine(settings.metadata_url)
    found = list(rows)
    if found:
        with engine.begin() as connection:
            connection.execute(insert(measurements), found)
    try:
        yield settings, engine
    finally:
        engine.dispose()


@contextmanager
def dashboard_client(home: Path, rows: Iterable[dict[str, Any]] = ()) -> Iterator[TestClient]:
    """A client of a dashboard in this process, as seen from this machine."""
    with dashboard_engine(home, rows) as (settings, engine):
        app = application(settings, engine)
        with TestClient(app, base_url="http://127.0.0.1", client=("127.0.0.1", 50_000)) as client:
            yield client


@contextmanager
def dashboard_server(
    home: Path,
    rows: Iterable[dict[str, Any]] = (),
    *,
    fill: Callable[[Engine], None] = lambda _: None,
    clock: Callable[[], datetime] = utc_now,
    **chosen: Any,
) -> Iterator[str]:
    """The address of a dashboard on a port of its own, in a thread: for a browser.

    Args:
        home: Its home folder.
        rows: Its measurements.
        fill: Writes whatever else is in the database.
        clock: Returns the time that it takes for the present.
        chosen: Sections of the settings.
    """
    with dashboard_engine(home, rows, **chosen) as (settings, engine):
        fill(engine)
        port = free_port()
        config = uvicorn.Config(application(settings, engine, clock), port=port, log_level="warning")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        try:
            wait_until(lambda: server.started, 20, lambda: "the dashboard did not start")
            yield f"http://127.0.0.1:{port}"
        finally:
            server.should_exit = True
            thread.join(20)

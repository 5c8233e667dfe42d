"""Home folders that foreign models report to, and rows that they may report."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import httpx
from sqlalchemy import Engine

from tastemaker.report_in.app import ReportIn
from tastemaker.serving.http.api_keys import add, changed
from tastemaker.settings import Settings
from tastemaker.storage.engine import open_engine

TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
MIDNIGHT = (TODAY - timedelta(days=2)).isoformat()
NEXT = (TODAY - timedelta(days=1)).isoformat()


class Reporting(NamedTuple):
    """A home folder whose report-in answers."""

    settings: Settings
    engine: Engine
    app: ReportIn
    secrets: dict[str, str]
    """Source -> its API key."""

    def post(self, path: str, rows: Any, source: str = "search team", **more: Any) -> httpx.Response:
        """Send rows as a source, and return the response."""
        given = more if "content" in more else {"json": rows, **more}
        return self.request("POST", path, source, **given)

    def request(self, method: str, path: str, source: str = "", **more: Any) -> httpx.Response:
        """Send a request with the key of a source; without a source, without a key."""
        headers = {"Authorization": f"Bearer {self.secrets[source]}"} if source else {}
        headers |= more.pop("headers", {})
        return asyncio.run(self._sent(method, path, headers=headers, **more))

    async def _sent(self, method: str, path: str, **more: Any) -> httpx.Response:
        transport = httpx.ASGITransport(self.app.application, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.request(method, path, **more)


@contextmanager
def reporting(home: Path, *sources: str, **settings: Any) -> Iterator[Reporting]:
    """A home folder with an API key per source."""
    made = Settings(home=home, problem=home / "problem.yaml", **settings)
    home.mkdir(exist_ok=True)
    with changed(made.keys) as keys:
        secrets = {name: add(keys, name, ["report"]).secret for name in sources or ("search team", "other")}
    engine = open_engine(made.metadata_url)
    report_in = ReportIn(made, engine)
    try:
        yield Reporting(made, engine, report_in, secrets)
    finally:
        report_in.close()
        engine.dispose()


def measurement(**more: Any) -> dict[str, Any]:
    """A figure of a whole day."""
    row = {"model": "shop_search", "version": "7", "metric": "ctr_list", "unit": "share", "n": 2_000}
    window = {"window_start": MIDNIGHT, "window_end": NEXT}
    return {**row, **window, "value": 0.1, "low": 0.09, "high": 0.11, **more}


def shown(number: int = 0, **more: Any) -> dict[str, Any]:
    """A list of three items."""
    row = {"request_id": f"r{number}", "occurred_at": NEXT, "user_id": f"user-{number}"}
    return {**row, "model": "shop_search", "version": "7", "item_ids": ["a", "b", "c"], **more}


def event(number: int = 0, **more: Any) -> dict[str, Any]:
    """A click on the first item of that list."""
    row = {"event_id": f"e{number}", "event_type": "click", "item_id": "a", "occurred_at": NEXT}
    return {**row, "request_id": f"r{number}", **more}


def health(minute: int = 0, **more: Any) -> dict[str, Any]:
    """A report of one of the last ten minutes."""
    at = datetime.now(UTC) - timedelta(minutes=10 - minute)
    counts = {"answers": 100, "bad": 2, "empty": 1, "p99_seconds": 0.05}
    return {"model": "shop_search", "version": "7", "at": at.isoformat(), **counts, **more}

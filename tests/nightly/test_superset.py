"""The dashboards in a real Superset, drawn by Chromium: each chart has the figures of the views.

`make bi` installs Superset into an environment of its own and runs this; `make test` does not.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Request
from sqlalchemy import Engine, make_url, select

from support import superset_shop
from support.browsers import Browser, browsing
from support.repository import ROOT
from support.servers import postgres
from support.superset import ADMIN, Drawn, draw, superset
from tastemaker.storage.bi_role import ROLE, grant_bi_role
from tastemaker.storage.engine import open_engine
from tastemaker.storage.views import views

pytestmark = pytest.mark.servers

PASSWORD = "p@ss'word"
SCREENSHOT = ROOT / "build" / "superset.png"
"""A person who likes it copies it to docs/images: its days are those before the run."""
PIXEL = "apachesuperset.gateway.scarf.sh"
"""Usage statistics of Superset's project, which its pages ask for and the configuration blocks."""
LINES: dict[str, tuple[str, dict[str, str]]] = {
    "Active users": ("v1_growth", {"Daily": "dau", "Weekly": "wau", "Monthly": "mau"}),
    "Where active users come from": (
        "v1_growth",
        {"New": "new_users_28", "Retained": "retained_users_28", "Resurrected": "resurrected_users_28"},
    ),
    "Churn, with its interval": (
        "v1_growth",
        {"Churn": "churn_28", "Lower end": "churn_28_low", "Upper end": "churn_28_high"},
    ),
}
BY_VERSION = {
    "Click-through rate per impression by version": "ctr_impression",
    "Reward per request by version": "reward_per_request",
    "Lists filled by a fallback": "fallback_share",
}
TABLES = {
    "Figures by day, with intervals": "v1_daily",
    "Models": "v1_models",
    "Backtests, newest first": "v1_offline",
    "Incidents": "v1_alerts",
    "Drift beyond what is usual": "v1_drift",
}
Figures = dict[tuple[Any, ...], Any]


@contextmanager
def shop() -> Iterator[Engine]:
    """A Postgres with a shop, whose views the role may read."""
    with postgres() as (_, url):
        engine = open_engine(f"{url}/postgres")
        superset_shop.plant(engine, date.today())
        grant_bi_role(engine, PASSWORD)
        yield engine
        engine.dispose()


def bundle(engine: Engine, target: Path) -> str:
    """Pack the dashboards as the documentation says, and return the file."""
    url = make_url(engine.url).set(username=ROLE)
    command = [sys.executable, str(ROOT / "deploy" / "superset" / "bundle.py"), "--with-password"]
    command += ["--database", url.render_as_string(), "--output", str(target)]
    subprocess.run(command, check=True, env=os.environ | {"TASTEMAKER_BI_PASSWORD": PASSWORD})
    return str(target)


def test_each_chart_has_the_figures_of_the_views(tmp_path: Path) -> None:
    home = tmp_path / "superset"
    home.mkdir()
    with shop() as engine, superset(home) as instance:
        file = bundle(engine, tmp_path / "dashboards.zip")
        for _again in range(2):  # an import overwrites
            instance.command("import-dashboards", "--path", file, "--username", ADMIN)
        with instance.running(home), browsing(tmp_path / "browser") as browser:
            failed: list[Request] = []
            browser.context.on("requestfailed", lambda request: failed.append(request))
            page, drawn = draw(instance, browser, "tastemaker")
            page.screenshot(path=SCREENSHOT, clip={"x": 0, "y": 0, "width": 1_280, "height": 1_330})
            nothing_leaves(browser, failed)
        assert drawn.keys() == LINES.keys() | BY_VERSION.keys() | TABLES.keys() | {"Retention by week"}
        for name, (view, columns) in LINES.items():
            assert by_day(drawn[name], columns) == columns_by_day(engine, view, columns), name
        for name, column in BY_VERSION.items():
            versions = {f"{model}, {version}": version for model, version, *_ in superset_shop.VERSIONS}
            assert by_day(drawn[name], versions) == versions_by_day(engine, column), name
        for name, view in TABLES.items():
            assert in_table(drawn[name]) == in_view(engine, view, drawn[name].columns), name
        assert cells(drawn["Retention by week"]) == cohorts(engine)


def nothing_leaves(browser: Browser, failed: list[Request]) -> None:
    """Assert that the browser's policy blocked the one foreign address that the pages ask for."""
    blocked = {request.url for request in failed if request.failure == "csp"}
    assert {urlsplit(url).hostname for url in browser.foreign} <= {PIXEL}
    assert browser.foreign <= blocked


def rows(engine: Engine, view: str) -> list[dict[str, Any]]:
    with engine.connect() as connection:
        found = connection.execute(select(views.tables[view])).mappings()
        return [{name: plain(one) for name, one in row.items()} for row in found]


def plain(value: Any) -> Any:
    """Return a value as Superset's API has it: times in milliseconds since 1970 UTC, six figures."""
    if isinstance(value, datetime):
        return round(value.timestamp() * 1_000)
    if isinstance(value, date):
        return round(datetime(value.year, value.month, value.day, tzinfo=UTC).timestamp() * 1_000)
    return float(f"{value:.6g}") if isinstance(value, float) and value < 1e9 else value


def by_day(drawn: Drawn, series: dict[str, str]) -> Figures:
    """(day, column) -> figure of a line chart."""
    return {
        (row["day"], column): plain(row[name])
        for row in drawn.rows
        for name, column in series.items()
        if row[name] is not None
    }


def columns_by_day(engine: Engine, view: str, columns: dict[str, str]) -> Figures:
    return {(row["day"], column): row[column] for row in rows(engine, view) for column in columns.values()}


def versions_by_day(engine: Engine, column: str) -> Figures:
    return {(row["day"], row["version"]): row[column] for row in rows(engine, "v1_daily") if row["version"]}


def in_table(drawn: Drawn) -> set[tuple[Any, ...]]:
    return {tuple(_whole(plain(row[name])) for name in drawn.columns) for row in drawn.rows}


def in_view(engine: Engine, view: str, columns: list[str]) -> set[tuple[Any, ...]]:
    shown = [
        row
        for row in rows(engine, view)
        if row.get("version") != "" and row.get("is_alarm", True) and row.get("listed_at", 0) is not None
    ]
    return {tuple(_whole(row[name]) for name in columns) for row in shown}


def _whole(value: Any) -> Any:
    """Return a time in whole milliseconds."""
    return round(value) if isinstance(value, float) and value >= 1e9 else value


def cells(drawn: Drawn) -> Figures:
    return {(row["cohort_start"], row["first_day"]): plain(row["Share"]) for row in drawn.rows}


def cohorts(engine: Engine) -> Figures:
    return {(row["cohort_start"], row["first_day"]): row["share"] for row in rows(engine, "v1_retention")}

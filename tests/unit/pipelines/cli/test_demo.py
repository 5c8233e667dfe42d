"""The demo's shop is dated to the last week, and stays what it is."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from tastemaker.settings import Settings, SourceSettings
from tastemaker.simulator.shop.config import ShopConfig
from tastemaker.simulator.source import SimulatedShop
from tastemaker.workflows.workspace import Workspace
from tastemaker_pipelines.cli.demo import _dated


def test_the_shop_ends_within_the_last_week_on_the_same_weekday(tmp_path: Path) -> None:
    shop, today = ShopConfig(), datetime.now(UTC).date()
    dated = _dated(tmp_path / "home")
    last = dated + timedelta(days=shop.n_days - 1)
    assert dated.weekday() == shop.start.weekday()
    assert today - timedelta(days=8) <= last < today + timedelta(days=1), "midnight may pass meanwhile"


def test_a_home_keeps_its_date(tmp_path: Path) -> None:
    (tmp_path / "demo.json").write_text('{"dated": "2025-06-04"}')
    assert _dated(tmp_path).isoformat() == "2025-06-04"
    assert _dated(tmp_path / "other") == _dated(tmp_path / "other") != _dated(tmp_path)


def test_a_run_after_the_demo_continues_with_the_same_shop(tmp_path: Path) -> None:
    noted = _dated(tmp_path)
    identity = SimulatedShop(ShopConfig(dated=noted)).identity
    assert Workspace(Settings(home=tmp_path)).source.identity == identity
    assert Workspace(Settings(home=tmp_path / "other")).source.identity != identity
    chosen = SourceSettings(name="simulated", options={"dated": "2024-01-01"})
    own = Workspace(Settings(home=tmp_path, source=chosen)).source.identity
    assert own == SimulatedShop(ShopConfig(dated=date(2024, 1, 1))).identity

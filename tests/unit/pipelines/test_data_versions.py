"""Data versions: equal content has an equal version, and whatever changes the content changes the version."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest

from support import small_shop
from support.request_logs import click, fill, request
from support.small_lakes import Row, make_lake
from tastemaker.data.lake import Lake, parquet_writer
from tastemaker.event_log.drain import drain
from tastemaker.event_log.merge import LOG_TABLES, merge
from tastemaker.plugins.discovery import find
from tastemaker.privacy.forget import _rewrite
from tastemaker.privacy.search import Person
from tastemaker.settings import Settings
from tastemaker.workflows.workspace import Workspace
from tastemaker_pipelines import data_versions
from tastemaker_pipelines.data_versions import (
    config_version,
    files_version,
    landed_version,
    model_code_version,
    version_of,
)
from tastemaker_pipelines.definitions import build_defs
from tastemaker_pipelines.resources import LazyWorkspace

ROWS = pa.table({"event_id": ["a", "b"]})
[POPULARITY] = [plugin for plugin in find().sound if plugin.name == "popularity"]


def land(lake: Lake, day: date, digest: str) -> None:
    with parquet_writer(
        lake.path("landed_events", day, part="shop"), ROWS.schema, {"digest": digest}
    ) as writer:
        writer.write_table(ROWS)


@pytest.mark.slow
def test_every_asset_has_a_code_version() -> None:
    graph = build_defs(LazyWorkspace(Settings())).resolve_asset_graph()
    assert [key for key in graph.get_all_asset_keys() if not graph.get(key).code_version] == []
    of_models = {graph.get(dg.AssetKey([prefix, "ease"])).code_version for prefix in ("backtests", "models")}
    [ease] = [plugin for plugin in find().sound if plugin.name == "ease"]
    assert of_models == {model_code_version(ease)}


def test_a_version_does_not_depend_on_the_order_of_keys() -> None:
    assert version_of({"a": 1, "b": 2}) == version_of({"b": 2, "a": 1})
    assert len({version_of(1), version_of("1"), version_of(1, 1), version_of(None), version_of()}) == 5


def test_tables_keep_their_version_until_a_file_changes(tmp_path: Path) -> None:
    lake = make_lake(tmp_path, [Row("u", "i", 1)])
    first = files_version(lake, "events")
    assert files_version(lake, "events") == first
    lake.write("events", lake.read("events"))
    assert files_version(lake, "events") == first, "equal rows are not written again"
    new_item(lake)
    assert files_version(lake, "events") == first
    lake.write("events", lake.read("events").slice(0, 0))
    assert files_version(lake, "events") != first


def test_a_merge_of_the_log_changes_no_version_and_an_erasure_does(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    for number in range(4):
        fill(tmp_path / "spool", [request(number), click(number)])
        drain(tmp_path / "spool", lake)
    first = files_version(lake, *LOG_TABLES)
    for _ in range(2):
        merge(lake, kept_seconds=-1.0)
        assert files_version(lake, *LOG_TABLES) == first
    assert len(lake.files("requests")) == 2
    _rewrite(lake.files("requests")[0], Person(("user-1",)))
    erased = files_version(lake, *LOG_TABLES)
    assert erased != first
    fill(tmp_path / "spool", [request(9)])
    drain(tmp_path / "spool", lake)
    later = files_version(lake, *LOG_TABLES)
    assert later not in (first, erased)
    assert merge(lake, kept_seconds=-1.0).written
    assert files_version(lake, *LOG_TABLES) == later, "also that of a file that was erased from"


def test_a_copied_lake_has_the_version_of_the_lake(tmp_path: Path) -> None:
    lake = make_lake(tmp_path / "one", [Row("u", "i", 1)])
    version = files_version(lake, "events")
    (tmp_path / "one").rename(tmp_path / "two")
    assert files_version(Lake(tmp_path / "two"), "events") == version


def test_a_day_that_is_read_again_without_a_change_keeps_its_version(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    land(lake, date(2026, 1, 1), "one")
    first = landed_version(lake, "shop")
    land(lake, date(2026, 1, 1), "one")
    os.utime(lake.path("landed_events", date(2026, 1, 1), part="shop"), (1, 1))
    assert landed_version(lake, "shop") == first


def other_rows(lake: Lake) -> None:
    land(lake, date(2026, 1, 1), "two")


def later_day(lake: Lake) -> None:
    land(lake, date(2026, 1, 2), "one")


def new_item(lake: Lake) -> None:
    lake.write("landed_items", pa.table({"item_id": ["i"]}), part="shop")


def day_gone(lake: Lake) -> None:
    lake.path("landed_events", date(2026, 1, 1), part="shop").unlink()


@pytest.mark.parametrize("change", [other_rows, later_day, new_item, day_gone])
def test_whatever_changes_at_the_source_changes_the_version(
    tmp_path: Path, change: Callable[[Lake], None]
) -> None:
    lake = Lake(tmp_path)
    land(lake, date(2026, 1, 1), "one")
    first = landed_version(lake, "shop")
    change(lake)
    assert landed_version(lake, "shop") != first


def test_config_problem_and_seed_have_a_version_also_if_they_are_wrong(tmp_path: Path) -> None:
    [trending] = [plugin for plugin in find().sound if plugin.name == "trending"]
    problem = tmp_path / "problem.yaml"

    def version(seed: int = 0, text: str = small_shop.PROBLEM, **config: Any) -> str:
        problem.write_text(text, "utf-8")
        settings = Settings(home=tmp_path, problem=problem, models={"trending": config}, seed=seed)
        return config_version(Workspace(settings), trending)

    different = [
        version(),
        version(half_life_days=3.0),
        version(half_life_days=-1),
        version(half_life_days=-2),
        version(seed=1),
        version(text=small_shop.PROBLEM.replace("cart: {weight: 0.5}", "cart: {weight: 0.6}")),
        version(text="name: no objective"),
    ]
    assert len(set(different)) == len(different)
    assert version() == version(), "nothing has changed"
    sliced = small_shop.PROBLEM + "slices: {user_columns: [country]}\n"
    assert version(text=sliced) == version(), "stored lists are sliced again without a training"


def test_a_model_whose_code_cannot_be_parsed_has_a_version(monkeypatch: pytest.MonkeyPatch) -> None:
    before = model_code_version(POPULARITY)

    def broken(model: object) -> str:
        raise SyntaxError

    monkeypatch.setattr(data_versions, "code_digest", broken)
    assert model_code_version(POPULARITY) not in ("", before)


@pytest.mark.parametrize("changed", ["version", "code", "evaluation"])
def test_release_code_and_evaluation_are_in_the_version_of_a_model(
    changed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin: Any = SimpleNamespace(version="1.0", recommender=POPULARITY.recommender)
    before = model_code_version(plugin)
    assert model_code_version(plugin) == before
    if changed == "version":
        plugin.version = "1.1"
    elif changed == "code":
        monkeypatch.setattr(data_versions, "code_digest", lambda model: "0" * 32)
    else:
        monkeypatch.setattr(data_versions, "EVALUATION_VERSION", 99)
    assert model_code_version(plugin) != before

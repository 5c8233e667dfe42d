"""The graph as people see it: keys, dependencies, and that every asset says what it is."""

from __future__ import annotations

from graphlib import TopologicalSorter
from pathlib import Path

import dagster as dg
import pytest

from tastemaker.errors import TastemakerError
from tastemaker.framing.answers import to_problem
from tastemaker.problem.writing import write_problem
from tastemaker.settings import Settings
from tastemaker_pipelines.definitions import build_defs, defs
from tastemaker_pipelines.resources import LazyWorkspace

MODELS = (
    *(
        "bought_again",
        "bpr",
        "content",
        "ease",
        "epsilon_greedy",
        "ials",
        "item_knn",
        "lin_thompson",
        "lin_ucb",
    ),
    *("logistic_thompson", "popularity", "random", "ranker", "thompson", "trending", "ucb1"),
)
ONLINE = ("epsilon_greedy", "lin_thompson", "lin_ucb", "logistic_thompson", "thompson", "ucb1")
GATED = {name: ["landed_events", "landed_feedback"] for name in ("events", "items", "users", "quarantine")}
EXPECTED = {
    "retention": [],
    "landed_events": ["retention"],
    "landed_feedback": ["landed_events", "served_requests"],
    **GATED,
    "feature_skew": ["served_requests"],
    "user_features": ["events", "feature_skew", "items", "users"],
    "item_features": ["events", "feature_skew", "items"],
    "feature_registry": ["item_features", "user_features"],
    "online_features": ["feature_registry"],
    **{f"backtests/{name}": ["events", "items", "users"] for name in MODELS},
    **{f"backtests/{name}": ["events", "items", "served_requests", "users"] for name in ONLINE},
    "backtests/ranker": ["events", "item_features", "items", "user_features", "users"],
    "ablations/ranker": ["backtests/ranker"],
    **{f"models/{name}": [f"backtests/{name}"] for name in MODELS},
    "leaderboard": [f"backtests/{name}" for name in MODELS],
    "champion": ["leaderboard", *(f"models/{name}" for name in MODELS)],
    "reported_rows": ["retention"],
    "served_requests": ["reported_rows", "retention"],
    "attributed_impressions": ["events", "served_requests"],
    "product_metrics": ["events", "items", "served_requests"],
    "experiment_looks": ["events", "served_requests"],
    "reward_figures": ["events", "served_requests"],
    "learned_states": ["served_requests"],
    "drift_report": ["champion", "served_requests"],
    "data_quality_report": ["landed_events", "landed_feedback"],
    "ranking_report": ["champion"],
    "installed_packages": [],
}
"""Asset -> what it is made from."""


GROUPS = {
    "ingestion": {"retention", "landed_events"},
    "log": {"reported_rows", "served_requests", "landed_feedback"},
    "validation": set(GATED),
    "features": {"feature_skew", "user_features", "item_features", "feature_registry", "online_features"},
    "evaluation": {*(f"backtests/{name}" for name in MODELS), "leaderboard", "ablations/ranker"},
    "training": {f"models/{name}" for name in MODELS},
    "promotion": {"champion"},
    "online_learning": {"learned_states"},
    "experiments": {"experiment_looks"},
    "monitoring": {
        "attributed_impressions",
        "product_metrics",
        "reward_figures",
        "drift_report",
        "data_quality_report",
        "ranking_report",
        "installed_packages",
    },
}


@pytest.fixture(scope="module")
def definitions() -> dg.Definitions:
    return build_defs(LazyWorkspace(Settings()))


def _parents(graph: dg.AssetGraph) -> dict[str, list[str]]:
    return {
        key.to_user_string(): sorted(parent.to_user_string() for parent in graph.get(key).parent_keys)
        for key in graph.get_all_asset_keys()
    }


def test_every_asset_and_its_inputs(definitions: dg.Definitions) -> None:
    assert _parents(definitions.resolve_asset_graph()) == EXPECTED


def test_every_asset_has_a_description_an_owner_and_a_kind(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert len(node.description or "") > 10, key
        assert node.owners, key
        assert node.kinds, key


def test_assets_are_grouped_by_what_they_do(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    groups: dict[str, set[str]] = {}
    for key in graph.get_all_asset_keys():
        groups.setdefault(graph.get(key).group_name, set()).add(key.to_user_string())
    assert groups == GROUPS


def test_no_group_depends_on_a_later_one() -> None:
    group_of = {asset: group for group, assets in GROUPS.items() for asset in assets}
    needed = {
        group: {group_of[parent] for asset in assets for parent in EXPECTED[asset]} - {group}
        for group, assets in GROUPS.items()
    }
    assert list(TopologicalSorter(needed).static_order()), "a cycle raises CycleError"


def test_failed_validation_blocks_what_is_downstream(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    blocking = {check.name for check in graph.asset_check_keys if graph.get(check).blocking}
    assert blocking == {"batch_is_sound", "problem_fits", "snapshot_is_sound"}


def test_the_nightly_job_leaves_only_ablations_out(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    nightly = definitions.resolve_job_def("everything").asset_layer.selected_asset_keys
    assert graph.get_all_asset_keys() - nightly == {dg.AssetKey(["ablations", "ranker"])}


def test_the_definitions_load_as_dagster_loads_them() -> None:
    loaded = defs()
    dg.Definitions.validate_loadable(loaded)
    assert [schedule.name for schedule in loaded.schedules or ()] == ["nightly", "weekly_digest"]


def _project(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_problem(to_problem({}), folder / "problem.yaml")
    monkeypatch.chdir(folder)


@pytest.mark.slow
def test_dagster_loads_only_the_models_that_take_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _project(tmp_path, monkeypatch)
    (tmp_path / "tastemaker.toml").write_text('[models]\ndisabled = ["ranker", "ease"]\n')
    graph = defs().resolve_asset_graph()
    names = {key.path[1] for key in graph.get_all_asset_keys() if key.path[0] in ("backtests", "models")}
    assert names == set(MODELS) - {"ranker", "ease"}


def test_a_wrong_model_in_the_settings_is_named_when_dagster_loads_the_definitions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _project(tmp_path, monkeypatch)
    monkeypatch.setenv("TASTEMAKER_MODELS__ENABLED", "popularty")
    with pytest.raises(TastemakerError, match="did you mean popularity"):
        defs()

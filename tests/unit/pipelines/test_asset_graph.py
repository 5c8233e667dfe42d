"""The graph as people see it: keys, dependencies, and that every asset says what it is."""

from __future__ import annotations

import dagster as dg
import pytest

from tastemaker_pipelines.definitions import build_defs

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
GATED = {name: ["landed_events", "landed_feedback"] for name in ("events", "items", "users", "quarantine")}
EXPECTED = {
    "retention": [],
    "landed_events": ["retention"],
    "landed_feedback": ["landed_events", "served_requests"],
    **GATED,
    "user_features": ["events", "items", "users"],
    "item_features": ["events", "items"],
    "feature_registry": ["item_features", "user_features"],
    "online_features": ["feature_registry"],
    **{f"backtests/{name}": ["events", "items", "users"] for name in MODELS},
    "backtests/ranker": ["events", "item_features", "items", "user_features", "users"],
    **{f"models/{name}": [f"backtests/{name}"] for name in MODELS},
    "leaderboard": [f"backtests/{name}" for name in MODELS],
    "champion": ["leaderboard", *(f"models/{name}" for name in MODELS)],
    "served_requests": ["retention"],
    "attributed_impressions": ["events", "served_requests"],
    "product_metrics": ["attributed_impressions"],
    "learned_states": ["served_requests"],
    "drift_report": ["champion", "served_requests"],
}
"""Asset -> what it is made from."""


@pytest.fixture(scope="module")
def definitions() -> dg.Definitions:
    return build_defs()


def test_every_asset_and_what_it_is_made_from(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    found = {
        key.to_user_string(): sorted(parent.to_user_string() for parent in graph.get(key).parent_keys)
        for key in graph.get_all_asset_keys()
    }
    assert found == EXPECTED


def test_every_asset_says_what_it_is_and_whose(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert len(node.description or "") > 10, key
        assert node.owners, key
        assert node.kinds, key
        assert node.group_name != "default", key


def test_the_gate_blocks_what_is_downstream(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    blocking = {check.name for check in graph.asset_check_keys if graph.get(check).blocking}
    assert blocking == {"batch_is_sound", "problem_fits"}


def test_the_definitions_load_as_dagster_loads_them() -> None:
    import tastemaker_pipelines.definitions as module

    dg.Definitions.validate_loadable(module.defs)
    assert [schedule.name for schedule in module.defs.schedules or ()] == ["nightly"]

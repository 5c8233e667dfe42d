"""Golden figures: where one changes, EVALUATION_VERSION has to be raised, or stored backtests would be wrong.

To raise it: add one to `tastemaker.evaluation.version.EVALUATION_VERSION`, then run this file as a script.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import pyarrow as pa
import pytest

from support.feature_lakes import DAY, FIRST, N_ITEMS, N_USERS, filled, user_id
from support.request_logs import fill, request
from tastemaker.data.lake import Lake
from tastemaker.data.tables import EVENTS, HISTORY, ITEM_CHANGES
from tastemaker.dataset.dataset import Dataset
from tastemaker.dataset.split import Split
from tastemaker.evaluation import backtest
from tastemaker.evaluation.version import EVALUATION_VERSION
from tastemaker.event_log.drain import drain
from tastemaker.event_log.records import Item
from tastemaker.features import ITEM_FEATURES, USER_FEATURES
from tastemaker.features.snapshots import weekly_cuts, write_snapshots
from tastemaker.plugins import (
    Batch,
    Capabilities,
    Config,
    Ranking,
    Recommender,
    TrainingData,
    discovery,
    select,
)
from tastemaker.plugins.discovery import Plugin
from tastemaker.problem import ProblemSpec

# Ibis 12 still calls what DuckDB 2 has renamed.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings(r"ignore:fetch_\w+\(\) is deprecated:DeprecationWarning"),
]

GOLDEN = Path(__file__).with_name("golden_figures.json")
MODELS = ("bought_again", "item_knn", "popularity", "random", "trending")
FROZEN = "item_knn, fitted ten days before"
PROBLEMS = {
    "all items": ProblemSpec.model_validate(
        {
            "name": "golden",
            "placement": {"k": 5},
            "objectives": [
                {"name": "sales", "events": {"purchase": {"by_value": True}, "view": {"weight": 0.1}}}
            ],
            "split": {"test_days": 10},
            "candidates": {"available_days": 50, "blocked_items": ["item 3"]},
        }
    ),
    "few items": ProblemSpec.model_validate(
        {
            "name": "golden",
            "placement": {"k": 5},
            "objectives": [
                {
                    "name": "sales",
                    "events": {"purchase": {"window_days": 5, "half_life_days": 2}, "view": {"weight": -0.4}},
                }
            ],
            "split": {"test_days": 10, "train_days": 30},
            "candidates": {"repeats": False, "available_days": 1, "blocked_categories": ["category 2"]},
        }
    ),
    "disliked items": ProblemSpec.model_validate(
        {
            "name": "golden",
            "placement": {"k": 5},
            "objectives": [
                {"name": "sales", "share": 0.7, "events": {"purchase": {"by_value": True}}},
                {"name": "interest", "share": 0.3, "events": {"purchase": {}, "view": {"weight": -40}}},
            ],
            "split": {"test_days": 10},
        }
    ),
    "one item too many": ProblemSpec.model_validate(
        {
            "name": "golden",
            "placement": {"k": 5},
            "objectives": [
                {"name": "sales", "events": {"purchase": {"by_value": True}, "view": {"weight": -60}}},
            ],
            "split": {"test_days": 10},
            "candidates": {"blocked_items": [f"item {n}" for n in range(5, N_ITEMS)]},
        }
    ),
}
"""Together, they use each rule of a problem by which data are chosen or rewarded."""

Figures = dict[str, dict[str, dict[str, list[float]]]]
"""Problem -> model -> metric, also by slice of the items -> its mean and, of the whole, its interval."""


class Probe(Recommender[Config]):
    """s_ui = (Σ_f w_f f_u · (l_i + Σ_f f_i)) mod p over all features: it fails where any of them changes.

    l_i sums the item's category, title and price and its logged impressions: users, positions, rewards and
    propensities. All is computed in whole numbers, because processors round sums of fractions differently.
    """

    name = "probe"
    reference = "none"
    config_type = Config
    capabilities: ClassVar[Capabilities] = Capabilities(
        user_features=tuple(USER_FEATURES), item_features=tuple(ITEM_FEATURES)
    )
    state = ("weights", "logged")

    def fit(self, data: TrainingData) -> Self:
        assert data.features is not None
        self.weights = _whole(data.features.users(data.end).values).sum(axis=0) % 7
        assert data.feedback is not None
        shown = data.feedback
        seen = _whole(shown.rewards + shown.propensities) + shown.positions
        titles = np.array([len(title) for title in data.items.titles])
        self.logged = data.items.categories.codes + titles + _whole(data.items.numbers("price"))
        np.add.at(self.logged, shown.items, seen * (1 + shown.users % 7))
        return self

    def recommend(self, batch: Batch, k: int) -> Ranking:
        assert batch.user_features is not None
        assert batch.item_features is not None
        users = _whole(batch.user_features.values) @ self.weights % _PRIME
        items = (self.logged + _whole(batch.item_features.values).sum(axis=1)) % _PRIME
        return select((np.outer(users, items) % _PRIME).astype(np.float32), batch, k)


_PRIME = 10_007


def _whole(values: np.ndarray) -> np.ndarray:
    """Return thousandths, int64."""
    return np.rint(1_000 * np.nan_to_num(values.astype(np.float64))).astype(np.int64)


def measured() -> Figures:
    """The figures of today's code."""
    with tempfile.TemporaryDirectory(prefix="golden-") as name:
        folder = Path(name)
        lake, root = filled(folder / "lake"), folder / "features"
        _log(lake, folder)
        _show_without_sale(lake)
        _report_changes(lake)
        bare = Dataset.load(lake, PROBLEMS["all items"])
        write_snapshots(lake, root, weekly_cuts(int(bare.events.times[0]), bare.end, most=4))
        return {name: _by_model(lake, root, problem) for name, problem in PROBLEMS.items()}


def _log(lake: Lake, folder: Path) -> None:
    """Log lists to the users of the lake, whose events there are the rewards of what was shown."""
    lists = [[f"item {(n + 7 * position) % N_ITEMS}" for position in range(5)] for n in range(300)]
    fill(
        folder,
        [
            request(
                n,
                occurred_at=float(FIRST + n * DAY // 6),
                user_id=user_id(n % N_USERS),
                items=[Item(item, 1.0, (1 + n % 4) / 8) for item in items],
            )
            for n, items in enumerate(lists)
        ],
    )
    drain(folder, lake)


def _show_without_sale(lake: Lake) -> None:
    """Add an item that three users viewed and none bought: where views count below 0 it is only disliked."""
    day = FIRST // DAY - 1
    rows = [
        {
            "event_id": f"a view, {n}",
            "user_id": user_id(n),
            "item_id": f"item {N_ITEMS}",
            "event_type": "view",
            "value": 1.0,
            "occurred_at": (day * DAY + n) * 1_000_000,
            "request_id": None,
            "position": None,
        }
        for n in range(3)
    ]
    lake.write_day("events", np.datetime64(day, "D").item(), pa.Table.from_pylist(rows, EVENTS))


def _report_changes(lake: Lake) -> None:
    """Change title, category and price of ten items twice before the test period and once in it."""
    rows = [
        {
            "item_id": f"item {n}",
            "received_at": (FIRST + day * DAY) * 1_000_000,
            "title": "t" * (n + day),
            "category": f"category {(n + day) % 7}",
            "price": 0.25 * (n + day),
            "available": True,
        }
        for n in range(10)
        for day in (20, 45, 55)
    ]
    lake.write(HISTORY, pa.Table.from_pylist(rows, ITEM_CHANGES))


def _by_model(lake: Lake, root: Path, problem: ProblemSpec) -> dict[str, dict[str, list[float]]]:
    dataset = Dataset.load(lake, problem, feature_root=root)
    split = dataset.split()
    probe = Plugin("probe", Probe, "tests", "1", "test_evaluation_version:Probe")
    fits = [_fit(plugin, split) for plugin in (probe, *map(discovery.get, MODELS))]
    found = {fit.plugin.name: _figures(fit, split, problem, root) for fit in fits}
    older = dataset.split(at=split.cut - 10 * DAY, end=split.cut)
    return found | {FROZEN: _figures(_fit(discovery.get("item_knn"), older), split, problem, root)}


def _fit(plugin: Plugin, split: Split) -> backtest.LazyFit:
    return backtest.LazyFit(plugin, plugin.recommender.config_type(), split)


def _figures(
    fitted: backtest.LazyFit, split: Split, problem: ProblemSpec, scratch: Path
) -> dict[str, list[float]]:
    found, users = backtest.measure("0" * 32, fitted, split, problem, scratch)
    whole = {name: list(map(float, figure)) for name, figure in found.metrics.items()}
    parts = {
        f"{part}.{name}": [float(np.nanmean(values))]
        for part, metrics in users.by_items.items()
        for name, values in metrics.items()
    }
    return whole | parts


@pytest.fixture(scope="module")
def figures() -> Figures:
    return measured()


def test_the_golden_figures_are_those_of_this_version(figures: Figures) -> None:
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    assert golden["evaluation_version"] == EVALUATION_VERSION, f"run: python {Path(__file__).name}"
    found, expected = _flat(figures), _flat(golden["figures"])
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert found[name] == pytest.approx(values, rel=1e-6, nan_ok=True), (
            f"{', '.join(name)} has changed: raise EVALUATION_VERSION, or stored backtests are wrong"
        )


def test_the_models_differ_so_that_the_figures_can_notice_a_change(figures: Figures) -> None:
    ndcg = {
        name: [by_model[name]["ndcg"][0] for by_model in figures.values()]
        for name in ("probe", *MODELS, FROZEN)
    }
    assert len(set(map(tuple, ndcg.values()))) == len(ndcg)
    assert all(0 < ndcg_of_problem < 1 for values in ndcg.values() for ndcg_of_problem in values)


def _flat(figures: Figures) -> dict[tuple[str, str, str], list[float]]:
    """Problem, model and metric -> values."""
    return {
        (problem, model, metric): values
        for problem, by_model in figures.items()
        for model, by_metric in by_model.items()
        for metric, values in by_metric.items()
    }


if __name__ == "__main__":
    stored = json.loads(GOLDEN.read_text(encoding="utf-8")) if GOLDEN.exists() else {"evaluation_version": 0}
    if stored["evaluation_version"] >= EVALUATION_VERSION:
        raise SystemExit(f"raise EVALUATION_VERSION above {stored['evaluation_version']} first")
    content = {"evaluation_version": EVALUATION_VERSION, "figures": measured()}
    GOLDEN.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")

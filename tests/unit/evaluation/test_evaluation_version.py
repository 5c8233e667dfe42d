"""Golden figures: where one changes, EVALUATION_VERSION has to be raised, or stored backtests would be wrong.

To raise it: add one to `tastemaker.evaluation.version.EVALUATION_VERSION`, then run this file as a script.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pytest

from support.feature_lakes import filled
from tastemaker.dataset.dataset import Dataset
from tastemaker.evaluation import backtest
from tastemaker.evaluation.version import EVALUATION_VERSION
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
PROBLEM = ProblemSpec.model_validate(
    {
        "name": "golden",
        "placement": {"k": 5},
        "objectives": [
            {"name": "sales", "events": {"purchase": {"by_value": True}, "view": {"weight": 0.1}}}
        ],
        "split": {"test_days": 10},
        "candidates": {"available_days": 50, "blocked_items": ["item 3"]},
    }
)

Figures = dict[str, dict[str, list[float]]]


class Probe(Recommender[Config]):
    """s_ui = (Σ_f w_f f_u · Σ_f f_i) mod p over all features: it fails where any of them changes.

    It computes in whole numbers, because processors round sums of fractions differently.
    """

    name = "probe"
    reference = "none"
    config_type = Config
    capabilities: ClassVar[Capabilities] = Capabilities(
        user_features=tuple(USER_FEATURES), item_features=tuple(ITEM_FEATURES)
    )
    state = ("weights",)

    def fit(self, data: TrainingData) -> Self:
        assert data.features is not None
        self.weights = _whole(data.features.users(data.end).values).sum(axis=0) % 7
        return self

    def recommend(self, batch: Batch, k: int) -> Ranking:
        assert batch.user_features is not None
        assert batch.item_features is not None
        users = _whole(batch.user_features.values) @ self.weights % _PRIME
        items = _whole(batch.item_features.values).sum(axis=1) % _PRIME
        return select((np.outer(users, items) % _PRIME).astype(np.float32), batch, k)


_PRIME = 10_007


def _whole(values: np.ndarray) -> np.ndarray:
    """Return thousandths, int64."""
    return np.rint(1_000 * np.nan_to_num(values.astype(np.float64))).astype(np.int64)


def measured() -> Figures:
    """Model -> metric, also by slice of the items -> its mean and, of the whole, its interval."""
    with tempfile.TemporaryDirectory(prefix="golden-") as folder:
        lake, root = filled(Path(folder) / "lake"), Path(folder) / "features"
        bare = Dataset.load(lake, PROBLEM)
        write_snapshots(lake, root, weekly_cuts(int(bare.events.times[0]), bare.end, most=4))
        split = Dataset.load(lake, PROBLEM, feature_root=root).split()
        probe = Plugin("probe", Probe, "tests", "1", "test_evaluation_version:Probe")
        plugins = [probe, *map(discovery.get, MODELS)]
        return {plugin.name: _figures(plugin, split, Path(folder)) for plugin in plugins}


def _figures(plugin: Plugin, split: Any, scratch: Path) -> dict[str, list[float]]:
    fitted = backtest.LazyFit(plugin, plugin.recommender.config_type(), split)
    found, users = backtest.measure("0" * 32, fitted, split, PROBLEM, scratch)
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
    assert set(figures) == set(golden["figures"])
    for model, expected in golden["figures"].items():
        assert set(figures[model]) == set(expected), model
        for metric, values in expected.items():
            assert figures[model][metric] == pytest.approx(values, rel=1e-6, nan_ok=True), (
                f"{metric} of {model} has changed: raise EVALUATION_VERSION, or stored backtests are wrong"
            )


def test_the_models_differ_so_that_the_figures_can_notice_a_change(figures: Figures) -> None:
    assert len({tuple(found["ndcg"]) for found in figures.values()}) == len(figures)
    assert all(0 < found["ndcg"][0] < 1 for found in figures.values())


if __name__ == "__main__":
    stored = json.loads(GOLDEN.read_text(encoding="utf-8")) if GOLDEN.exists() else {"evaluation_version": 0}
    if stored["evaluation_version"] >= EVALUATION_VERSION:
        raise SystemExit(f"raise EVALUATION_VERSION above {stored['evaluation_version']} first")
    content = {"evaluation_version": EVALUATION_VERSION, "figures": measured()}
    GOLDEN.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")

"""Models fitted and evaluated earlier change no figure of a model: none changes the data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from support.feature_lakes import filled
from tastemaker.dataset.dataset import Dataset
from tastemaker.dataset.split import Split
from tastemaker.evaluation import backtest
from tastemaker.features.snapshots import weekly_cuts, write_snapshots
from tastemaker.plugins import discovery
from tastemaker.plugins.read_only import arrays_in
from tastemaker.problem import ProblemSpec

# Ibis 12 still calls what DuckDB 2 has renamed.
pytestmark = [
    pytest.mark.filterwarnings(r"ignore:fetch_\w+\(\) is deprecated:DeprecationWarning"),
    pytest.mark.slow,
]

MODELS = list(discovery.find().names)
PROBLEM = ProblemSpec.model_validate(
    {
        "name": "some of it disliked",
        "placement": {"k": 5},
        "objectives": [{"name": "sales", "events": {"purchase": {"weight": 1}, "view": {"weight": -1}}}],
        "split": {"test_days": 10},
        "candidates": {"repeats": True},
    }
)
Figures = dict[str, float]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """As many dislikes as purchases: pairs whose rewards sum to 1, -1, 0, and more."""
    folder = tmp_path_factory.mktemp("order")
    lake, root = filled(folder / "lake"), folder / "features"
    bare = Dataset.load(lake, PROBLEM)
    write_snapshots(lake, root, weekly_cuts(int(bare.events.times[0]), bare.end, most=1))
    return Dataset.load(lake, PROBLEM, feature_root=root)


@pytest.fixture(scope="module")
def alone(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Figures]:
    """Model -> its figures on arrays that no other model saw."""
    rewards = data.split().train.history.rewards
    assert {-1, 0, 1} <= set(np.unique(rewards).tolist())
    scratch = tmp_path_factory.mktemp("alone")
    return {name: figures(name, data.split(), scratch) for name in MODELS}


def figures(name: str, split: Split, scratch: Path) -> Figures:
    plugin = discovery.get(name)
    fitted = backtest.LazyFit(plugin, plugin.recommender.config_type(), split)
    found, _ = backtest.measure("0" * 32, fitted, split, PROBLEM, scratch)
    return {metric: float(interval.value) for metric, interval in found.metrics.items()}


ORDERS = {
    "forwards": MODELS,
    "backwards": MODELS[::-1],
    "shuffled": np.random.default_rng(0).permutation(MODELS).tolist(),
}


@pytest.mark.parametrize("order", ORDERS)
def test_figures_do_not_depend_on_the_models_before(
    order: str, data: Dataset, alone: dict[str, Figures], tmp_path: Path
) -> None:
    split = data.split()
    for name in ORDERS[order]:
        assert figures(name, split, tmp_path) == pytest.approx(alone[name], rel=1e-9, nan_ok=True), name


def test_the_arrays_are_what_they_were(data: Dataset, tmp_path: Path) -> None:
    split = data.split()
    before = {name: array.copy() for name, array in arrays_in(split).items()}
    for name in MODELS:
        figures(name, split, tmp_path)
    for path, array in arrays_in(split).items():
        if path in before:
            np.testing.assert_array_equal(array, before[path], err_msg=path)

"""Feature ablation, with a model whose features have a known value and a known cost."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
from sqlalchemy import select

from support.tuning_worlds import LATEST, world
from tastemaker.errors import TastemakerError
from tastemaker.evaluation.robustness import ablation_report
from tastemaker.evaluation.robustness.ablation import ablation, milliseconds
from tastemaker.plugins import Batch, Capabilities, Config, Ranking, Recommender, TrainingData
from tastemaker.plugins import select as select_items
from tastemaker.plugins.discovery import Plugin
from tastemaker.storage.tables import reports
from tastemaker.workflows import ablation as workflow

pytestmark = pytest.mark.slow

FEATURES = ("history", "useless", "slow")
SPIN_SECONDS = 0.002


class SwitchesConfig(Config):
    """The features in use."""

    features: tuple[str, ...] = FEATURES
    """history: rank by what the user had; slow: waste CPU time; useless: nothing."""


class Switches(Recommender[SwitchesConfig]):
    """What the user had most, if it may read it."""

    name = "switches"
    reference = "none"
    config_type = SwitchesConfig
    capabilities = Capabilities(personalizes=True)
    state = ("noise",)

    @classmethod
    def ablations(cls, config: SwitchesConfig) -> Mapping[str, SwitchesConfig]:
        return {
            name: SwitchesConfig(features=tuple(one for one in config.features if one != name))
            for name in config.features
        }

    def fit(self, data: TrainingData) -> Self:
        self.noise = np.random.default_rng(0).random(data.n_items).astype(np.float32) / 2
        return self

    def recommend(self, batch: Batch, k: int) -> Ranking:
        if "slow" in self.config.features:
            until = time.process_time() + SPIN_SECONDS
            while time.process_time() < until:
                pass
        had = batch.history.matrix(batch.history.counts.astype(np.float32)).toarray()
        if "history" not in self.config.features:
            had *= 0
        return select_items((had + self.noise).astype(np.float32), batch, k)


SWITCHES = Plugin("switches", Switches, "tests", "1", "test_ablation:Switches")


def test_the_gain_of_each_feature_is_the_paired_difference_of_two_backtests(tmp_path: Path) -> None:
    opened, calls = world(tmp_path), []
    found = ablation(opened.backtester(SWITCHES), report=lambda what, figure: calls.append((what, figure)))
    assert found.features[0].name == "history"
    assert {one.name for one in found.features} == set(FEATURES)
    by_name = {one.name: one for one in found.features}
    history = by_name["history"]
    assert history.verdict == "helps"
    assert history.gain.low > 0
    assert history.gain.difference == pytest.approx(found.figure.value - history.figure.value)
    for name in ("useless", "slow"):
        assert by_name[name].gain.difference == 0
        assert by_name[name].verdict == "no difference found"
    assert calls[0] == ("with all features", found.figure.value)
    assert dict(calls)["without history"] == history.figure.value


def test_the_cost_of_a_feature_is_the_cpu_time_that_it_takes(tmp_path: Path) -> None:
    opened = world(tmp_path)
    split = opened.split()
    without = Switches(features=("history",)).fit(split.train)
    slow = Switches(features=("history", "slow")).fit(split.train)
    times = milliseconds((slow, without), split, 3)
    assert times.shape == (2, len(split.users))
    assert np.median(times[0] - times[1]) == pytest.approx(1000 * SPIN_SECONDS, rel=0.3)


def test_unknown_features_and_models_without_features_are_refused(tmp_path: Path) -> None:
    opened = world(tmp_path)
    with pytest.raises(TastemakerError, match="no feature 'histori'") as refused:
        ablation(opened.backtester(SWITCHES), ["histori"])
    assert "did you mean history?" in str(refused.value)
    with pytest.raises(TastemakerError, match="latest declares no features"):
        ablation(opened.backtester(LATEST))


def test_the_result_is_stored_and_drawn(tmp_path: Path) -> None:
    opened = world(tmp_path)
    found, page = workflow.measure(opened, SWITCHES, ["history", "useless"])
    with opened.engine.connect() as connection:
        row = connection.execute(select(reports).where(reports.c.kind == "ablation")).one()
    assert row.path == str(page)
    stored: dict[str, Any] = row.summary
    assert stored == json.loads(json.dumps(ablation_report.to_dict(found)))
    assert {one["name"]: one["verdict"] for one in stored["features"]} == {
        "history": "helps",
        "useless": "no difference found",
    }
    assert page.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    text = page.read_text("utf-8")
    assert "history" in text
    assert "data:image/png;base64" in text
    said = ablation_report.terminal(found)
    assert "1 of 2 significantly helps: history." in said
    assert "None of 2 significantly hurts." in said

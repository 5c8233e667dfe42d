"""A run stores how the champion's recipe compares with the baseline, and the watch exports it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support import rollout_homes
from support.registered_versions import Toy
from support.rollout_homes import BASE, BEST, BETTER, PERSON, RNG, RolloutHome
from tastemaker.monitoring import facts
from tastemaker.monitoring.model_facts import BELOW_BASELINE
from tastemaker.registry import baseline_comparisons
from tastemaker.registry.baseline_comparisons import newest_of
from tastemaker.stats.bootstrap import Difference
from tastemaker.workflows.promote import promote_best

pytestmark = pytest.mark.slow
NOISE = RNG.normal(0, 0.3, 500)
TIED = BASE + NOISE - NOISE.mean()
WORSE = BASE - RNG.uniform(0, 0.2, 500)


class Popularity(Toy):
    """The baseline."""

    name = "popularity"


Step = Callable[[RolloutHome, int], Any]
"""What happens to a home; each step has a number."""


def fit(values: np.ndarray, weight: float = 1.0) -> Step:
    """Train a recipe, whose backtest is the newest one, and promote what may be."""

    def step(home: RolloutHome, number: int) -> None:
        rollout_homes.add(home.workspace, weight, values, seed=-int(weight) - number)
        promote_best(home.workspace)

    return step


def force(home: RolloutHome, number: int) -> None:
    """Promote another recipe by force."""
    home.workspace.promotion_gate.promote(home.second.id, force_reason="the sale", actor=PERSON)


def serve_baseline(home: RolloutHome, number: int) -> None:
    """Promote a version of the baseline by force, and run."""
    version = rollout_homes.add(home.workspace, 1.0, BASE, seed=-1 - number, kind=Popularity)
    home.workspace.promotion_gate.promote(version.id, force_reason="it is better", actor=PERSON)
    promote_best(home.workspace)


@pytest.mark.parametrize(
    ("steps", "flag"),
    [
        ([], None),
        ([fit(BETTER)], 0.0),
        ([fit(TIED)], 0.0),
        ([fit(WORSE)], 1.0),
        ([fit(WORSE), fit(WORSE)], 1.0),
        ([fit(WORSE), fit(TIED)], 0.0),
        ([fit(TIED), fit(WORSE)], 1.0),
        ([fit(WORSE), fit(WORSE, weight=3.0)], 1.0),
        ([fit(WORSE), fit(BEST, weight=3.0)], 0.0),
        ([fit(WORSE), force], None),
        ([fit(WORSE), serve_baseline], None),
    ],
)
def test_what_is_exported_of_the_champion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: Sequence[Step], flag: float | None
) -> None:
    home = rollout_homes.make(tmp_path, monkeypatch, path="offline")
    for number, step in enumerate(steps):
        step(home, number)
    champion = home.workspace.registry.champion("shop")
    assert champion is not None
    [found] = [one for one in facts.collect(home.workspace.settings) if one.name == "tastemaker_fact_failed"]
    assert {one.labels["subject"]: one.value for one in found.samples}["champion_recipe"] == 0.0
    samples = [
        sample
        for metric in facts.collect(home.workspace.settings)
        if metric.name == BELOW_BASELINE.metric_name
        for sample in metric.samples
    ]
    assert [(one.labels, one.value) for one in samples] == (
        [] if flag is None else [({"model": champion.model, "version": champion.id}, flag)]
    )


def test_the_figures_are_those_of_the_leaderboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = rollout_homes.make(tmp_path, monkeypatch, path="offline")
    fit(WORSE)(home, 0)
    compared = newest_of(home.workspace.engine, home.first.id)
    assert compared is not None
    [row] = [one for one in home.workspace.leaderboard().rows if one.model == "toy"]
    assert (compared.difference, compared.p, compared.verdict) == (row.difference, row.p, "worse")
    assert (compared.backtest_id, compared.baseline, compared.metric) == (
        row.backtest.id,
        "popularity",
        "ndcg",
    )
    assert compared.difference.difference == pytest.approx(float((WORSE - BASE).mean()))


def test_without_an_interval_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = rollout_homes.make(tmp_path, monkeypatch, path="offline")
    fit(TIED)(home, 0)
    champion = home.workspace.registry.champion("shop")
    assert champion is not None
    compared = newest_of(home.workspace.engine, champion.id)
    assert compared is not None
    of_few = Difference(-0.1, math.nan, math.nan, 3)
    baseline_comparisons.add(home.workspace.engine, compared._replace(difference=of_few))
    found = newest_of(home.workspace.engine, champion.id)
    assert found is not None
    assert (found.difference.difference, found.difference.n) == (-0.1, 3)
    assert math.isnan(found.difference.low)
    assert math.isnan(found.difference.high)

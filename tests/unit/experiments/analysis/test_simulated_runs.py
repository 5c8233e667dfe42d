"""Runs of an experiment on a pool of units: what they decide follows from the truth alone."""

from __future__ import annotations

import numpy as np
import pytest

from support import experiment_units
from tastemaker.errors import TastemakerError
from tastemaker.experiments.analysis.logged_pool import LoggedPool
from tastemaker.experiments.analysis.simulated_runs import (
    SimulatedRuns,
    right_verdict,
    simulate_runs,
    true_effects,
)
from tastemaker.experiments.analysis.unit_table import Int64
from tastemaker.experiments.unit_metrics import METRICS
from tastemaker.stats.unit_summary import Float64

REWARD, RATIO = METRICS["reward_per_user"], METRICS["ctr_list"]


def _runs(effect: float, n: int = 12) -> SimulatedRuns:
    design = experiment_units.design(planned_units=1_000, looks=4)
    pool = LoggedPool(experiment_units.units(3_000), REWARD, [0.0, effect])
    truth = {"B": effect}
    runs = simulate_runs(design, METRICS, pool, truth, range(n))
    return SimulatedRuns(truth, right_verdict(REWARD, truth, {"B": 0.0}), tuple(runs))


def test_a_large_effect_is_found_in_its_direction_and_early() -> None:
    better, worse = _runs(1.0), _runs(-0.9)
    assert (better.right, worse.right) == ("better", "worse")
    assert better.share("better").value == worse.share("worse").value == 1
    assert better.mean_units < 1_000
    assert better.mean_looks < 4


def test_without_an_effect_a_run_ends_equal_at_the_planned_units() -> None:
    none = _runs(0.0)
    assert none.right == "equal"
    equal = [one for one in none.runs if one.verdict == "equal"]
    assert len(equal) >= 10
    assert {(one.units, one.looks) for one in equal} == {(1_000, 4)}
    assert sum(one.value for one in none.verdicts.values()) == pytest.approx(1)


@pytest.mark.slow
def test_a_run_depends_on_its_number_and_the_seed_alone() -> None:
    design = experiment_units.design(planned_units=600, looks=3)
    pool = LoggedPool(experiment_units.units(1_000), REWARD, [0.0, 0.2])
    whole = simulate_runs(design, METRICS, pool, {"B": 0.2}, range(4), seed=3)
    assert simulate_runs(design, METRICS, pool, {"B": 0.2}, [2, 3], seed=3) == whole[2:]
    other = simulate_runs(design, METRICS, pool, {"B": 0.2}, range(40), seed=4)
    assert len({one.verdict for one in other}) > 1


def test_variants_get_their_shares_and_the_rest_gets_none() -> None:
    design = experiment_units.design(shares=(600_000, 200_000), planned_units=500, looks=1)
    pool, seen = LoggedPool(experiment_units.units(1_000), REWARD, [0.0, 0.0]), list[Int64]()

    class Recording:
        def draw(self, variant: Int64, rng: np.random.Generator) -> dict[str, Float64]:
            seen.append(variant)
            return pool.draw(variant, rng)

    simulate_runs(design, METRICS, Recording(), {"B": 0.0}, range(40))
    assert {len(one) for one in seen} == {500}
    share = np.concatenate(seen).mean()
    assert share == pytest.approx(0.25, abs=4 * np.sqrt(0.25 * 0.75 / 20_000))


def test_the_true_effect_of_a_pool_is_measured_within_its_error() -> None:
    units = experiment_units.units(2_000)
    design = experiment_units.design()
    for metric in (REWARD, RATIO):
        truth, errors = true_effects(design, metric, LoggedPool(units, metric, [0.0, 0.3]), units=100_000)
        assert 0 < errors["B"] < 0.05
        assert truth["B"] == pytest.approx(0.3, abs=4 * errors["B"])


def test_an_effect_within_its_simulation_error_is_none() -> None:
    assert right_verdict(REWARD, {"B": 0.02}, {"B": 0.01}) == "equal"
    assert right_verdict(REWARD, {"B": 0.04}, {"B": 0.01}) == "better"
    assert right_verdict(METRICS["empty_share"], {"B": 0.04}, {"B": 0.01}) == "worse"
    assert right_verdict(REWARD, {"B": -0.5, "C": 0.5}, {"B": 0.0, "C": 0.0}) == "better"
    assert right_verdict(REWARD, {"B": -0.5, "C": 0.0}, {"B": 0.0, "C": 0.0}) == "equal"


def test_what_can_not_be_simulated_is_refused() -> None:
    units = experiment_units.units(200)
    with pytest.raises(TastemakerError, match="of kind bandit"):
        simulate_runs(
            experiment_units.design(kind="bandit"), METRICS, LoggedPool(units, REWARD, [0, 0]), {}, [0]
        )
    with pytest.raises(TastemakerError, match="none of the log's 0 units is mature"):
        LoggedPool(units.as_of(0.0), REWARD, [0.0, 0.1])
    with pytest.raises(TastemakerError, match=r"an effect is -1\.5"):
        LoggedPool(units, REWARD, [0.0, -1.5])
    nothing = units.replaced({"reward": np.zeros(len(units))})
    with pytest.raises(TastemakerError, match="A earns nothing in reward_per_user"):
        true_effects(experiment_units.design(), REWARD, LoggedPool(nothing, REWARD, [0, 0]), units=1_000)

"""A search changes the config in use only for one that is better on days by which it chose nothing."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from support.small_lakes import DAY, START
from support.tuning_worlds import AIMS, DAYS, LOTS, TEST_DAYS, AimConfig, rows, world
from tastemaker.stats.bootstrap import paired_difference
from tastemaker.tuning import best_config, report
from tastemaker.tuning.outcome import TuningResult
from tastemaker.tuning.study import TrialResult
from tastemaker.tuning.trial import TrialBench
from tastemaker.workflows.tune import tune

pytestmark = pytest.mark.slow

SHORT = 2 * TEST_DAYS + 3
"""Days: enough for a search inside the training window, and not for days of the confirmation's own."""


def shown(found: TuningResult) -> str:
    console = Console(width=200, record=True, file=io.StringIO())
    report.show(found, console)
    return console.export_text()


def test_what_is_better_is_adopted_and_the_figures_are_those_of_other_days(tmp_path: Path) -> None:
    opened = world(tmp_path)
    found = tune(opened, AIMS, trials=10)
    assert found.adopted
    assert found.config == found.best.params
    assert found.before == {"aim": 1.0, "side": "wrong"}
    confirmed = found.confirmation
    assert confirmed is not None
    cut, end = (int(at.timestamp()) for at in confirmed.window[1:])
    assert (cut, end) == (
        START + (DAYS - 3 * TEST_DAYS) * DAY,
        START + (DAYS - 2 * TEST_DAYS) * DAY,
    ), "the period before the search's"
    assert (confirmed.fresh, confirmed.comparisons) == (True, 1)
    own = TrialBench.inside(opened.dataset().before(START + (DAYS - TEST_DAYS) * DAY), AIMS)
    expected = paired_difference(own.users(AimConfig(**found.config)), own.users(AimConfig()))
    assert confirmed.difference.difference == pytest.approx(expected.difference)
    assert confirmed.difference.n == expected.n
    printed = json.loads(json.dumps(report.to_dict(found), allow_nan=False))
    assert (printed["adopted"], printed["config"]) == (True, found.best.params)
    assert printed["confirmation"]["fresh"] is True
    assert "The config that was found is adopted: +" in shown(found)
    again = tune(opened, AIMS, trials=10)  # it is in use now
    assert (again.adopted, again.confirmation, again.config) == (False, None, found.config)


def test_what_only_had_luck_is_not_adopted(tmp_path: Path) -> None:
    """No config is better than another, yet in each of twelve searches one looks better."""
    outcomes = [
        tune(world(tmp_path / str(seed), rows(seed), seed=seed), LOTS, trials=8) for seed in range(12)
    ]
    assert sum(one.best.figure > one.base.figure for one in outcomes) >= 10
    assert sum(one.adopted for one in outcomes) <= 1
    kept = next(one for one in outcomes if not one.adopted and one.confirmation is not None)
    assert kept.config == kept.before == {"number": 0}
    assert not kept.path.exists()
    printed = json.loads(json.dumps(report.to_dict(kept), allow_nan=False))
    assert (printed["adopted"], printed["config"], printed["config_before"]) == (
        False,
        kept.before,
        kept.before,
    )
    assert printed["why"].startswith(
        "the config in use is kept: the config that was found is not significantly better: "
    )
    assert "wrote " not in shown(kept)
    assert "The config in use is kept" in shown(kept)


def test_a_config_that_an_earlier_search_found_stays_unless_another_beats_it(tmp_path: Path) -> None:
    opened = world(tmp_path)
    path = best_config.path_of(tmp_path, "tastes", "aims")
    best_config.write(path, {"aim": 7.0, "side": "right"}, {"name": "earlier"})
    written = path.read_bytes()
    found = tune(opened, AIMS, trials=10)
    assert found.base.params == {"aim": 1.0, "side": "wrong"}
    assert found.before == {"aim": 7.0, "side": "right"}
    assert not found.adopted
    assert path.read_bytes() == written
    assert opened.config(AIMS) == AimConfig(aim=7.0, side="right")
    assert found.base_backtest.config["aim"] == 7.0
    best_config.write(path, {"aim": 9.9, "side": "wrong"}, {"name": "earlier"})
    better = tune(opened, AIMS, trials=10)
    assert better.adopted
    assert opened.config(AIMS) == AimConfig(**found.best.params)
    again = tune(opened, AIMS, trials=10)
    assert again.trial_before == again.best != again.base, "what is in use is a trial of this study"
    assert f"{again.best.number}, before" in shown(again)
    assert "0, before" not in shown(again)


def test_a_short_history_is_corrected_for_all_that_was_tried(tmp_path: Path) -> None:
    found = tune(world(tmp_path / "better", rows(days=SHORT)), AIMS, trials=10)
    confirmed = found.confirmation
    assert confirmed is not None
    assert not confirmed.fresh
    assert confirmed.comparisons == len({repr(trial.params) for trial in found.trials}) - 1 == 9
    assert found.adopted, "30 users and a large difference"
    assert "the history is too short for separate days" in found.why
    outcomes = [
        tune(world(tmp_path / str(seed), rows(seed, SHORT), seed=seed), LOTS, trials=8) for seed in range(8)
    ]
    assert sum(one.best.figure > one.base.figure for one in outcomes) >= 6
    assert sum(one.adopted for one in outcomes) <= 1
    assert {one.confirmation.fresh for one in outcomes if one.confirmation is not None} == {False}


def test_where_the_first_trial_is_best_nothing_is_compared(tmp_path: Path) -> None:
    opened = world(tmp_path, models={"aims": {"side": "right"}})
    found = tune(opened, AIMS, trials=1)
    assert (found.adopted, found.confirmation) == (False, None)
    assert not found.path.exists()
    assert found.why == "no trial was better than the config in use, which is kept"
    assert found.best == found.base
    assert isinstance(found.best, TrialResult)
    assert np.isfinite(found.best.figure)

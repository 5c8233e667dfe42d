"""An experiment that is run in the simulated shop: who answers, who reacts, and what is true."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from support import experiment_units
from support.shop_homes import CONFIG, environment, make_shop_home, settings
from tastemaker.cli.experiment_simulate import simulate
from tastemaker.errors import TastemakerError
from tastemaker.experiments.analysis.unit_table import COVARIATES
from tastemaker.experiments.design import Design, GuardrailDesign, VariantDesign
from tastemaker.registry.artifact import load_version
from tastemaker.serving.inference.predictor import Predictor
from tastemaker.settings import SourceSettings
from tastemaker.simulator.shop.shop import Shop
from tastemaker.simulator.traffic.audience import Audience, TrafficMix
from tastemaker.workflows import simulated_experiment
from tastemaker.workflows.simulated_experiment import simulate_experiment
from tastemaker.workflows.simulated_shop_pool import ShopPool
from tastemaker.workflows.workspace import Workspace

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def shop_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("shop")
    make_shop_home(home, ("popularity", "random"))
    return home


@pytest.fixture
def workspace(shop_home: Path) -> Workspace:
    options = CONFIG.model_dump(mode="json", exclude_defaults=True)
    return Workspace(settings(shop_home, source=SourceSettings(name="simulated", options=options)))


def _design(workspace: Workspace, control: str, treatment: str, **more: object) -> Design:
    chosen = {
        name: VariantDesign(500_000, model=model, version=workspace.registry.newest(model).id)
        for name, model in (("A", control), ("B", treatment))
    }
    given: dict[str, object] = {
        "name": "shop-test", "namespace": "home", "owner": "ada", "hypothesis": "best sellers sell",
        "control": "A", "variants": chosen, "primary": "reward_per_user", "minimum_effect": 0.1,
        "planned_units": 3_000, "window_days": 7.0, "looks": 3,
    } | more  # fmt: skip
    return Design(**given)  # type: ignore[arg-type]


def test_best_sellers_beat_chance_and_the_other_way_around(workspace: Workspace) -> None:
    design = _design(workspace, "random", "popularity", planned_units=20_000)
    found = simulate_experiment(workspace, design, runs=5)
    assert (found.right, found.truth["B"] > 0.1) == ("better", True), found.truth
    assert found.share("better").value >= 0.8
    other = simulate_experiment(workspace, _design(workspace, "popularity", "random"), runs=1)
    assert other.right == "worse"
    assert (1 + other.truth["B"]) * (1 + found.truth["B"]) == pytest.approx(1, rel=0.1)


def test_a_version_against_itself_is_equal(workspace: Workspace) -> None:
    found = simulate_experiment(workspace, _design(workspace, "popularity", "popularity", kind="aa"), runs=3)
    assert found.right == "equal"
    assert abs(found.truth["B"]) < 0.05


def test_clicks_are_those_of_the_simulated_users(workspace: Workspace) -> None:
    version = workspace.registry.newest("random")
    pool = ShopPool(
        Shop(CONFIG),
        workspace.problem,
        [lambda ids: Predictor(load_version(version.folder))],
        control=0,
        window_days=7.0,
        users=60,
    )
    (lists,) = pool.lists
    audience = Audience(Shop(CONFIG), TrafficMix())
    wanted = [
        audience.expected_clicks(user, items[items >= 0])
        for user, items in zip(pool.visiting_users.tolist(), lists.items, strict=True)
    ]
    assert lists.chances[0].sum(axis=1) == pytest.approx(np.array(wanted), rel=1e-6)
    drawn = pool.draw(np.zeros(20_000, np.int64), np.random.default_rng(0))
    views, visits = drawn["events_view"].sum(), drawn["lists"].sum()
    assert views / visits == pytest.approx(np.mean(wanted), rel=0.05)


def test_an_effect_on_the_log_needs_a_log(workspace: Workspace) -> None:
    with pytest.raises(TastemakerError, match="the log has no request"):
        simulate_experiment(workspace, _design(workspace, "popularity", "popularity"), runs=1, effect=0.1)


def test_of_the_log_the_primary_metric_is_enough(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged = experiment_units.units(2_000, variants=("all",))
    columns = {name: logged.columns[name] for name in ("reward", *COVARIATES)}
    monkeypatch.setattr(simulated_experiment, "replayed_units", lambda *_: replace(logged, columns=columns))
    others = {"secondary": ("ctr_list",), "guardrails": (GuardrailDesign("slow_share", 0.01),)}
    design = _design(workspace, "popularity", "random", slices=("country",), **others)
    found = simulate_experiment(workspace, design, runs=2, effect=-0.9)
    assert (found.right, found.share("worse").value) == ("worse", 1)


def test_what_the_shop_can_not_answer_is_refused(workspace: Workspace) -> None:
    flags = {name: VariantDesign(500_000, value=name) for name in "AB"}
    design = _design(workspace, "popularity", "popularity", variants=flags)
    with pytest.raises(TastemakerError, match="is a flag of your own code"):
        simulate_experiment(workspace, design, runs=1)
    elsewhere = Workspace(
        settings(workspace.settings.home, source=SourceSettings(name="table", path="x.csv"))
    )
    with pytest.raises(TastemakerError, match="only the users of a simulated shop"):
        simulate_experiment(elsewhere, _design(workspace, "popularity", "popularity"), runs=1)


def test_the_command_says_how_often_the_design_decides_right(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment(workspace.settings.home).items():
        monkeypatch.setenv(name, value)
    design = _design(workspace, "random", "popularity", name="shop-command", planned_units=200)
    workspace.experiments.create(design, author="ada", new_unit="user")
    runner = CliRunner()
    asked = ["shop-command", "--runs", "2"]
    found = json.loads(runner.invoke(simulate, [*asked, "--json"], catch_exceptions=False).stdout)
    assert found["right"] == "better"
    assert sum(one["value"] for one in found["verdicts"].values()) == pytest.approx(1)
    said = runner.invoke(simulate, asked, catch_exceptions=False).stdout
    right = found["right_share"]["value"]
    assert said.startswith(f"shop-command decided right in {right:.1%} of 2 runs (95 % ")
    assert f"truth      B {found['truth']['B']:+.2%} of the primary metric" in said

"""Plans from the log: the figures of plain numpy, statsmodels' sample size, and too little traffic."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from statsmodels.stats.power import zt_ind_solve_power

from support.experiment_units import design
from support.product_homes import PROBLEM, ProductWorld
from tastemaker.data.lake import Lake
from tastemaker.errors import TastemakerError
from tastemaker.event_log.records import Item, Record
from tastemaker.experiments.analysis.planner import TrafficPlan, plan_traffic, power_plan
from tastemaker.experiments.design import GuardrailDesign
from tastemaker.problem import ProblemSpec, load_problem

pytestmark = pytest.mark.slow
LAST = datetime(2026, 5, 1, tzinfo=UTC)
DAYS = 28


@pytest.fixture
def problem(tmp_path: Path) -> ProblemSpec:
    path = tmp_path / "problem.yaml"
    path.write_text(PROBLEM, encoding="utf-8")
    return load_problem(path)


def shop(users: int = 400, *, buying: float = 0.3, seed: int = 0) -> tuple[ProductWorld, dict[str, float]]:
    """A shop with four weeks of lists, and what each user earned within two days after the first list."""
    rng, world = np.random.default_rng(seed), ProductWorld()
    start = LAST - timedelta(days=DAYS)
    earned: dict[str, float] = {}
    for user in range(users):
        name = f"u{user:04d}"
        first = start + timedelta(days=float(rng.uniform(0.01, DAYS - 0.1)))
        for at in (first, first + timedelta(days=1)):
            if at <= LAST:
                world.requests.append(_request(len(world.requests), name, at))
        events = int(rng.poisson(2)) if rng.random() < buying else 0
        for n in range(events):
            world.visits.append((name, first + timedelta(hours=n + 1), "purchase"))
        earned[name] = 5.0 * events
    world.requests.append(_request(len(world.requests), "u0000", LAST))
    world.requests.append(_request(len(world.requests), "session:abc", LAST - timedelta(days=9)))
    world.visits.append(("u9999", LAST, "click"))
    return world, earned


def _request(number: int, user: str, at: datetime) -> Record:
    return Record(
        request_id=f"{number:032x}", occurred_at=at.timestamp(), user_id=user, k=1, model="ranker",
        version="r1", items=[Item("i00", 1.0, 1.0)], latency_ms=1.0,
    )  # fmt: skip


def planned(home: Path, problem: ProblemSpec, world: ProductWorld, **more: object) -> TrafficPlan:
    world.write(home)
    chosen = {"window_days": 2.0, "covariate_days": 0, "minimum_effect": 0.3} | more
    return plan_traffic(Lake(home / "lake"), problem, design(**chosen), LAST)  # type: ignore[arg-type]


def test_figures_are_those_of_plain_numpy(tmp_path: Path, problem: ProblemSpec) -> None:
    world, earned = shop()
    plan = planned(tmp_path, problem, world)
    firsts: dict[str, float] = {}
    for one in sorted(world.requests, key=lambda request: request.occurred_at):
        firsts.setdefault(one.user_id, one.occurred_at)
    mature = [
        earned[name] for name, at in firsts.items() if name in earned and at <= LAST.timestamp() - 2 * 86_400
    ]
    assert plan.mature_users == len(mature)
    assert (plan.mean, plan.deviation) == pytest.approx((np.mean(mature), np.std(mature, ddof=1)))
    reached = [one.units[1.0] for one in plan.by_day]
    start = (LAST - timedelta(days=DAYS)).timestamp()
    expected = [
        sum(at < start + days * 86_400 for name, at in firsts.items() if name in earned)
        for days in (7, 14, 21, 28)
    ]
    assert reached == expected


@pytest.mark.parametrize("days", [3, 10])
def test_days_before_the_log_began_are_not_days_without_traffic(
    tmp_path: Path, problem: ProblemSpec, days: int
) -> None:
    world, _ = shop()
    since = LAST - timedelta(days=days)
    world.requests = [one for one in world.requests if one.occurred_at >= since.timestamp()]
    if days < 7:
        with pytest.raises(TastemakerError, match="the log covers 3 days, a plan needs at least a week"):
            planned(tmp_path, problem, world)
        return
    (week,) = planned(tmp_path, problem, world).by_day
    end = since.timestamp() + 7 * 86_400
    users = {one.user_id for one in world.requests if one.occurred_at < end} - {"session:abc"}
    assert (week.days, week.units[1.0]) == (7, len(users))


def test_units_are_those_of_statsmodels_times_the_factor_of_the_looks(
    tmp_path: Path, problem: ProblemSpec
) -> None:
    plan = planned(tmp_path, problem, shop()[0])
    spread = np.sqrt((1 + 1.3**2) / 2) * plan.deviation
    once = zt_ind_solve_power(0.3 * plan.mean / spread, alpha=0.05, power=0.8)
    assert plan.factor == pytest.approx(1.04, abs=0.01)
    assert plan.units == pytest.approx(2 * once * plan.factor, abs=2)
    again = zt_ind_solve_power(nobs1=plan.by_day[-1].units[1.0] / 2 / plan.factor, alpha=0.05, power=0.8)
    found = plan.by_day[-1].relative[1.0]
    assert found is not None
    spread = np.sqrt((1 + (1 + found) ** 2) / 2) * plan.deviation
    assert found == pytest.approx(again * spread / plan.mean, rel=1e-3)


def test_effects_fall_with_days_and_with_traffic(tmp_path: Path, problem: ProblemSpec) -> None:
    plan = planned(tmp_path, problem, shop()[0])
    for traffic in (0.75, 1.0, 1.25):
        found = [one.relative[traffic] for one in plan.by_day]
        assert found == sorted(found, key=lambda effect: -(effect or 0))
    for one in plan.by_day:
        assert one.relative[0.75] > one.relative[1.0] > one.relative[1.25]  # type: ignore[operator]


def test_enough_traffic_gives_whole_weeks_and_the_window(tmp_path: Path, problem: ProblemSpec) -> None:
    plan = planned(tmp_path, problem, shop()[0], minimum_effect=1.5)
    needed = next(one.days for one in plan.by_day if one.units[1.0] >= plan.units)
    assert plan.days == needed + 2
    assert plan.sentence == f"{plan.units:,} users are needed, and mature after {plan.days} days."


def test_too_little_traffic_is_said_with_numbers(tmp_path: Path, problem: ProblemSpec) -> None:
    plan = planned(tmp_path, problem, shop()[0], minimum_effect=0.01)
    reached = plan.by_day[-1].units[1.0]
    assert plan.days is None
    assert (
        f"Too little traffic: {plan.units:,} users are needed, and {reached:,} different ones"
        in plan.sentence
    )


def test_a_part_of_the_traffic_reaches_a_part_of_the_users(tmp_path: Path, problem: ProblemSpec) -> None:
    whole = planned(tmp_path / "a", problem, shop()[0])
    half = planned(tmp_path / "b", problem, shop()[0], claim=500_000, steps=(500_000,))
    assert [one.units[1.0] for one in half.by_day] == [int(one.units[1.0] / 4) for one in whole.by_day]


def test_guardrails_and_variants_need_more_units() -> None:
    plain = power_plan(design(), 0.0)
    guarded = power_plan(design(guardrails=(GuardrailDesign("active_share", 0.02),)), 0.0)
    three = power_plan(design(("A", "B", "C")), 0.0)
    assert (plain.power, guarded.power) == pytest.approx((0.8, 0.9))
    assert (plain.alpha, three.alpha) == pytest.approx((0.05, 0.025))


@pytest.mark.parametrize(
    ("world", "message"),
    [
        (ProductWorld(), "the log has no request"),
        (shop(50, buying=0.0)[0], "nothing can be planned"),
    ],
)
def test_a_log_without_figures_is_an_error(
    tmp_path: Path, problem: ProblemSpec, world: ProductWorld, message: str
) -> None:
    with pytest.raises(TastemakerError, match=message):
        planned(tmp_path, problem, world)

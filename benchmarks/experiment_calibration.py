"""Are the rates that an experiment's result claims true? Thousands of experiments whose truth is known.

    python benchmarks/experiment_calibration.py            # 2,000 experiments of each kind, on two processors
    python benchmarks/experiment_calibration.py --runs 200
    python benchmarks/experiment_calibration.py --smoke
    python benchmarks/experiment_calibration.py --json

Users ask for lists, click and buy. It is written as the platform's own log into a lake and read from there as
units: most of them earn nothing, a few much. Experiments draw their units from these, assign them by the hash
of production, and look as planned:

    false positives   no effect: how often one of 14, or of 100, looks says better or worse; at most alpha
    power             the effect that a single look is planned to find in 80 % of the experiments, also with
                      values cut at their 99.9 % quantile (winsorized)
    sample ratio      all of it is healthy traffic: how often units seem to be divided wrongly
    coverage          a single look: how often its 95 % interval holds the effect, adjusted (CUPED) or not
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.product_homes import ProductWorld
from tastemaker.event_log.records import FeedbackRecord, Item, Record
from tastemaker.experiments.analysis.logged_pool import LoggedPool
from tastemaker.experiments.analysis.logged_power import LoggedValues, effect_for
from tastemaker.experiments.analysis.planner import replayed_units
from tastemaker.experiments.analysis.simulated_runs import SimulatedRun, SimulatedRuns, simulate_runs
from tastemaker.experiments.analysis.unit_table import UnitTable
from tastemaker.experiments.design import Design, VariantDesign
from tastemaker.experiments.unit_metrics import METRICS
from tastemaker.problem import load_problem
from tastemaker.stats.bootstrap import Interval
from tastemaker.stats.sample_size import PowerPlan

START, DAYS, DAY = datetime(2026, 3, 2, tzinfo=UTC).timestamp(), 70, 86_400.0
PRIMARY = METRICS["reward_per_user"]
PROBLEM = """
name: shop
objectives:
  - name: interest
    events: {click: {weight: 0.2, window_days: 7}, purchase: {weight: 1.0, by_value: true, window_days: 7}}
"""


class Question(NamedTuple):
    """Experiments of one kind."""

    name: str
    design: Design
    effect: float
    demanded: str
    """What the share must be, in words."""


def units_of_log(home: Path, users: int) -> UnitTable:
    """Write a log, and return its users as units."""
    (home / "problem.yaml").write_text(PROBLEM, encoding="utf-8")
    world, rng = ProductWorld(), np.random.default_rng(0)
    for user in range(users):
        activity = rng.gamma(0.6, 6.0)
        for at in np.sort(rng.uniform(0, DAYS * DAY, 1 + rng.poisson(activity))).tolist():
            _visit(world, rng, f"u{user:06d}", START + at)
    lake = world.write(home)
    now = datetime.fromtimestamp(START + DAYS * DAY, UTC)
    return replayed_units(lake, load_problem(home / "problem.yaml"), design(14, covariate_days=28), now)


def _visit(world: ProductWorld, rng: np.random.Generator, user: str, at: float) -> None:
    number = len(world.requests)
    items = [Item(f"i{one:02d}", 1.0, 1.0) for one in rng.choice(60, 5, replace=False)]
    world.requests.append(Record(f"{number:032x}", at, user, 5, "ranker", "r1", items, 5.0))
    for kind, chance, value in (
        ("click", 0.15, 1.0),
        ("purchase", 0.04, float(np.round(rng.lognormal(2.0, 1.0), 2))),
    ):
        if rng.random() < chance:
            when = at + rng.exponential(3_600.0)
            event = FeedbackRecord(
                f"f{len(world.feedback)}",
                items[0].item_id,
                kind,
                value,
                when,
                when + 1,
                user,
                f"{number:032x}",
            )
            world.feedback.append(event)


def design(
    looks: int, *, covariate_days: int = 0, units: int = 6_000, winsorize_at: float | None = None
) -> Design:
    """Return the design of two variants."""
    halves = {name: VariantDesign(500_000, model="ranker", version=f"r-{name}") for name in "AB"}
    return Design(
        name="calibration",
        namespace="home",
        owner="benchmark",
        hypothesis="none",
        control="A",
        variants=halves,
        primary=PRIMARY.name,
        minimum_effect=0.1,
        planned_units=units,
        window_days=7,
        looks=looks,
        covariate_days=covariate_days,
        winsorize_at=winsorize_at,
    )


def questions(units: UnitTable, planned: int) -> Iterator[Question]:
    """Yield the kinds of experiments."""
    values = units.mature().columns[PRIMARY.over]
    plan, limit = PowerPlan(alpha=0.05, power=0.8), float(np.quantile(values, 0.999))
    effect = effect_for(LoggedValues(values), planned / 2, plan)
    effect_of_cut = effect_for(LoggedValues(values, limit), planned / 2, plan)
    made = partial(design, units=planned)
    yield Question("false positives, 14 looks", made(14), 0.0, "<= 0.055")
    yield Question("false positives, 14 looks, adjusted", made(14, covariate_days=28), 0.0, "<= 0.055")
    yield Question("false positives, 100 looks", made(100), 0.0, "<= 0.055")
    yield Question("power, 1 look", made(1), effect, "about 0.80")
    yield Question("power, 1 look, winsorized", made(1, winsorize_at=limit), effect_of_cut, "about 0.80")
    yield Question("power, 14 looks", made(14), effect, ">= 0.77")
    yield Question("power, 14 looks, winsorized", made(14, winsorize_at=limit), effect_of_cut, ">= 0.77")
    yield Question("power, 14 looks, adjusted", made(14, covariate_days=28), effect, "not below the last")
    yield Question("coverage, 1 look", made(1), effect, "0.93 to 0.97")
    yield Question("coverage, 1 look, adjusted", made(1, covariate_days=28), effect, "0.93 to 0.97")


def answer(question: Question, units: UnitTable, runs: int, workers: ProcessPoolExecutor) -> SimulatedRuns:
    """Run the experiments of one kind, some in each process."""
    pool = LoggedPool(units, PRIMARY, [0.0, question.effect])
    truth = {"B": question.effect}
    parts = [range(start, min(start + 25, runs)) for start in range(0, runs, 25)]
    work = partial(_some, question.design, pool, truth)
    found = [run for part in workers.map(work, parts) for run in part]
    return SimulatedRuns(truth, "equal", tuple(found))


def _some(plan: Design, pool: LoggedPool, truth: dict[str, float], numbers: range) -> list[SimulatedRun]:
    return simulate_runs(plan, {PRIMARY.name: PRIMARY}, pool, truth, numbers)


def share_of(question: Question, found: SimulatedRuns) -> Interval:
    """Return the share that the question asks for."""
    return found.coverage if question.name.startswith("coverage") else found.share("better", "worse")


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the shares."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=2_000, help="experiments of each kind")
    parser.add_argument("--only", default="", help="questions whose names begin so, such as power")
    parser.add_argument("--smoke", action="store_true", help="few: shows that it runs")
    parser.add_argument("--json", action="store_true", help="print JSON")
    chosen = parser.parse_args(arguments)
    runs, users, planned = (2, 150, 200) if chosen.smoke else (chosen.runs, 8_000, 6_000)
    with tempfile.TemporaryDirectory(prefix="tastemaker-calibration-") as folder:
        units = units_of_log(Path(folder), users)
    values = units.mature().columns[PRIMARY.over]
    skewness = float(((values - values.mean()) ** 3).mean() / values.std() ** 3)
    rows: list[dict[str, Any]] = []
    if not chosen.json:
        print(
            f"{len(values):,} mature units of the log, {np.mean(values == 0):.0%} earn nothing, skewness "
            f"{skewness:.1f}; {runs:,} experiments of {planned:,} units each",
            flush=True,
        )
    with ProcessPoolExecutor(os.cpu_count()) as workers:
        for question in questions(units, planned):
            if not question.name.startswith(chosen.only):
                continue
            start = time.perf_counter()
            found = answer(question, units, runs, workers)
            share, invalid = share_of(question, found), found.share("invalid")
            rows.append(
                {
                    "question": question.name, "effect": question.effect, "share": share.value,
                    "low": share.low, "high": share.high, "demanded": question.demanded,
                    "sample_ratio_alarms": invalid.value, "mean_units": found.mean_units,
                    "seconds": time.perf_counter() - start,
                }
            )  # fmt: skip
            if not chosen.json:
                print(
                    f"{question.name:<38} {share.value:.4f}  (95 % {share.low:.4f} to {share.high:.4f})  "
                    f"{question.demanded:<24} sample ratio alarms {invalid.value:.4f}  "
                    f"units {found.mean_units:,.0f}",
                    flush=True,
                )
    healthy = [one for one in rows if one["effect"] == 0.0]
    alarms = sum(one["sample_ratio_alarms"] for one in healthy) / max(len(healthy), 1)
    if chosen.json:
        print(json.dumps({"rows": rows, "skewness": skewness, "zero": float(np.mean(values == 0))}))
    else:
        print(f"sample ratio alarms on healthy traffic: {alarms:.4f} of the experiments, <= 0.002 demanded")


if __name__ == "__main__":
    main()

"""How often do guardrails roll back a healthy experiment, how soon a bad one, and what does a check cost?

    python benchmarks/guardrails.py               # 200 lives of a healthy kind, 40 of a bad one: ten minutes
    python benchmarks/guardrails.py --smoke

A life is 14 days of an experiment with two variants, checked twice a day by the platform's own code on
rows of the log: each unit has its own propensity to faulty lists, comes back on some days, and asks for some
lists each time. Users' metrics are checked each day on the units that have matured by then: clickers, and a
reward that is 0 for most and skewed for the others. A rollback of a healthy life is false.
"""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tastemaker.data.lake import Lake
from tastemaker.data.tables import REQUESTS
from tastemaker.experiments.design import Design, GuardrailDesign, VariantDesign
from tastemaker.experiments.guardrails.assigned_requests import AssignedRequests
from tastemaker.experiments.guardrails.checks import metric_checks, ratio_checks
from tastemaker.experiments.guardrails.decisions import GuardDecision, Situation, decide
from tastemaker.experiments.guardrails.metric_guards import metric_guards
from tastemaker.experiments.guardrails.serving_units import COLUMNS, EpochQuery, serving_units
from tastemaker.experiments.guardrails.verdicts import OVER, UNDER
from tastemaker.settings import Settings
from tastemaker.stats.unit_summary import UnitSummary

Float64 = NDArray[np.float64]

DAY = 86_400.0
DAYS, CHECKS_PER_DAY = 14, 2
START = datetime(2026, 3, 1, tzinfo=UTC).timestamp()
FAULTS = {"fallback_share": 0.01, "empty_share": 0.002, "short_share": 0.02, "slow_share": 0.01}
"""Metric -> share of a healthy variant's lists."""
CLICKERS, BUYERS = 0.30, 0.04


class Kind(NamedTuple):
    """How the second variant differs from control."""

    faults: Mapping[str, float] = {}
    """Metric -> its share of lists, in place of the healthy one."""
    clickers: float = CLICKERS
    share: float = 0.5
    """Of the units."""


KINDS = {
    "healthy": Kind(),
    "healthy, 1 of 10 units": Kind(share=0.1),
    "fallbacks 1 -> 5 %": Kind({"fallback_share": 0.05}),
    "slow lists 1 -> 10 %": Kind({"slow_share": 0.10}),
    "clickers 30 -> 24 %": Kind(clickers=0.24),
}


def design(kind: Kind, units: int) -> Design:
    """Return a design whose first step has a hundredth of the units."""
    shares = {"a": round(1e6 * (1 - kind.share)), "b": round(1e6 * kind.share)}
    return Design(
        name="life", namespace="home", owner="benchmark", hypothesis="none", control="a",
        variants={
            key: VariantDesign(share=one, model="m", version=f"v-{key}") for key, one in shares.items()
        },
        primary="active_share", guardrails=(GuardrailDesign("reward_per_user", 0.1),), minimum_effect=0.02,
        planned_units=units, window_days=1.0, steps=(100_000, 1_000_000),
    )  # fmt: skip


class Life(NamedTuple):
    """All that happens in an experiment."""

    variant: NDArray[np.int8]
    """int8[n], 1 for the second variant."""
    exposed_at: Float64
    """float64[n], rising."""
    clicks: Float64
    """float64[n], 1 for a unit that clicks."""
    reward: Float64
    requests: pa.Table
    """Rows as the guard keeps them, by time."""


def simulate(rng: np.random.Generator, kind: Kind, units: int) -> Life:
    """Draw a life.

    Args:
        rng: Draws everything.
        kind: How the second variant differs.
        units: How many come in 14 days.
    """
    variant = (rng.random(units) < kind.share).astype(np.int8)
    exposed_at = np.sort(START + DAYS * DAY * rng.random(units) ** 1.5)
    days = rng.geometric(0.6, units)  # on which a unit comes, its first one included
    visits = np.repeat(np.arange(units), days)
    nth = np.arange(len(visits)) - np.repeat(np.cumsum(days) - days, days)
    later = exposed_at[visits] + nth * DAY * rng.uniform(1.0, 3.0, len(visits))
    lists = rng.geometric(0.4, len(visits))
    unit = np.repeat(visits, lists)
    asked_at = np.repeat(later, lists) + rng.uniform(0, 600, len(unit))
    drawn: dict[str, object] = {}
    for metric, healthy in FAULTS.items():
        own = np.where(variant == 1, kind.faults.get(metric, healthy), healthy)
        propensity = rng.beta(5 * own, 5 * (1 - own))  # a few units have most of the faults
        drawn[COLUMNS[metric]] = rng.random(len(unit)) < propensity[unit]
    order = np.argsort(asked_at)
    names = np.array(["a", "b"])[variant]
    rows = pa.table(
        {
            "request": pa.array(np.arange(len(unit)), pa.uint64()),
            "experiment": pa.array(np.full(len(unit), "life")),
            "epoch": pa.array(np.zeros(len(unit), np.int64)),
            "unit": pa.array(unit, pa.uint64()),
            "variant": pa.array(names[unit]),
            "asked_at": pa.array(asked_at),
            **{column: pa.array(values) for column, values in drawn.items()},
            "version": pa.array(np.char.add("v-", names[unit])),
        }
    ).take(order)
    clicks = rng.random(units) < np.where(variant == 1, kind.clickers, CLICKERS)
    reward = np.where(rng.random(units) < BUYERS, rng.lognormal(3.0, 1.0, units), 0.0)
    return Life(variant, exposed_at, clicks.astype(float), reward, rows)


class Rollback(NamedTuple):
    """When a life was rolled back, and by what."""

    decision: GuardDecision
    days: float
    units: int
    """Of both variants, enrolled until then."""


def guarded(life: Life, plan: Design, requests: AssignedRequests) -> Rollback | None:
    """Check a life until it is rolled back; None if it never is.

    Args:
        life: What happens.
        plan: The experiment's design.
        requests: Empty; holds the rows meanwhile.
    """
    guards = metric_guards(plan, 0, lambda metric: True)
    connection, harmful, done = requests.connection, frozenset[tuple[str, str]](), 0
    for number in range(1, DAYS * CHECKS_PER_DAY + 1):
        now = START + number * DAY / CHECKS_PER_DAY
        until = int(np.searchsorted(life.requests["asked_at"].to_numpy(), now))
        connection.register("rows", life.requests.slice(done, until - done))
        connection.execute("INSERT INTO assigned BY NAME FROM rows")
        done = until
        query = EpochQuery("life", 0, {name: one.version for name, one in plan.variants.items()}, now)
        units = serving_units(connection, query)
        checks = [*metric_checks(plan, guards, "serving", units.summaries), *ratio_checks(plan, units.counts)]
        if number % CHECKS_PER_DAY == 0:
            checks += metric_checks(plan, guards, "reward", matured(life, now - DAY))
        decision = decide(Situation("running", 0, (), harmful), checks)
        if decision is not None:
            requests.keep([])
            return Rollback(decision, (now - START) / DAY, int(np.searchsorted(life.exposed_at, now)))
        checked = {(one.variant, one.guardrail) for one in checks}
        harmful = (harmful - checked) | {
            (one.variant, one.guardrail) for one in checks if one.found.verdict == "harm"
        }
    requests.keep([])
    return None


def matured(life: Life, before: float) -> dict[str, dict[str, UnitSummary]]:
    """Return the summaries of the units that were exposed before a time."""
    n = int(np.searchsorted(life.exposed_at, before))
    return {
        metric: {
            name: UnitSummary.of({OVER: values[:n][own], UNDER: np.ones(int(own.sum()))})
            for number, name in enumerate("ab")
            for own in [life.variant[:n] == number]
        }
        for metric, values in (("active_share", life.clicks), ("reward_per_user", life.reward))
    }


def lives(kind: Kind, units: int, runs: int, requests: AssignedRequests) -> list[Rollback | None]:
    """Return when each of some lives was rolled back.

    Args:
        kind: How the second variant differs.
        units: Units of a life.
        runs: How many lives.
        requests: As in `guarded`.
    """
    plan = design(kind, units)
    rngs = (np.random.default_rng([run, units]) for run in range(runs))
    return [guarded(simulate(rng, kind, units), plan, requests) for rng in rngs]


def write_requests(lake: Lake, each: int, numbers: range) -> None:
    """Write requests of one experiment to a lake, 30 files a day.

    Args:
        lake: The lake.
        each: How many requests a file has.
        numbers: Of the files.
    """
    for number in numbers:
        rng = np.random.default_rng(number)
        day = datetime(2026, 3, 1, tzinfo=UTC) + timedelta(days=number // 30)
        unit = rng.integers(0, 100_000, each)
        variant = np.where(unit % 2, "b", "a")
        given = {
            "request_id": [f"{number:08x}{one:024x}" for one in range(each)],
            "occurred_at": [day + timedelta(seconds=float(one)) for one in rng.uniform(0, DAY, each)],
            "user_id": [f"u{one}" for one in unit], "unit": [f"u{one}" for one in unit],
            "k": np.full(each, 2), "model": ["m"] * each, "version": np.char.add("v-", variant),
            "item_ids": [["tea", "cup"]] * each, "scores": [[1.0, 0.5]] * each,
            "propensities": [[1.0, 1.0]] * each, "latency_ms": rng.exponential(5.0, each),
            "experiment": ["life"] * each, "epoch": np.zeros(each, np.int64), "variant": variant,
            "variant_served": variant, "variant_probability": np.full(each, 0.5),
        }  # fmt: skip
        columns = [
            pa.array(given[field.name]).cast(field.type)
            if field.name in given
            else pa.nulls(each, field.type)
            for field in REQUESTS
        ]
        rows = pa.Table.from_arrays(columns, names=REQUESTS.names)
        lake.write_day("requests", day.date(), rows, part=f"part-{number:06d}")


def cost(n: int) -> Iterator[str]:
    """Yield what a first check of n requests costs, and those after a hundredth and a hundred more."""
    each = max(n // 100, 1)
    steps = (
        ("first check", each, range(100)),
        ("next check, 1 % more", each, range(100, 101)),
        ("next check, 100 more", 100, range(101, 102)),
    )
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(home=Path(folder))
        with closing(AssignedRequests(settings)) as requests:
            for words, rows, numbers in steps:
                write_requests(Lake(settings.lake), rows, numbers)
                began = time.perf_counter()
                requests.read(START)
                read = time.perf_counter() - began
                query = EpochQuery("life", 0, {"a": "v-a", "b": "v-b"}, START + 365 * DAY)
                units = serving_units(requests.connection, query)
                checked = time.perf_counter() - began - read
                n_units = sum(units.counts.values())
                yield f"{words:<24}{read:>8.2f} s to read{checked:>8.2f} s to check{n_units:>10,} units"
    yield f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB"


@click.command()
@click.option("--healthy", default=200, show_default=True, help="Lives of each healthy kind.")
@click.option("--bad", default=40, show_default=True, help="Lives of each bad kind.")
@click.option("--units", default=8_000, show_default=True, help="Units of a life.")
@click.option("--requests", default=1_000_000, show_default=True, help="Requests of which a check is timed.")
@click.option("--smoke", is_flag=True, help="Sizes so small that it takes seconds: shows that it runs.")
def main(healthy: int, bad: int, units: int, requests: int, smoke: bool) -> None:
    """Print a line for each kind of life, and what a check costs."""
    healthy, bad, units, requests = (1, 1, 500, 2_000) if smoke else (healthy, bad, units, requests)
    click.echo(
        f"{'second variant':<26}{'lives':>6}{'rolled back':>13}{'held':>6}{'days':>8}{'units':>12}  by"
    )
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(AssignedRequests(Settings(home=Path(folder)))) as rows,
    ):
        for name, kind in KINDS.items():
            runs = healthy if name.startswith("healthy") else bad
            ended = [one for one in lives(kind, units, runs, rows) if one is not None]
            back = [one for one in ended if one.decision.action == "roll_back"]
            medians = (
                [np.median([one.days for one in back]), np.median([one.units for one in back])]
                if back
                else []
            )
            days, enrolled = (f"{one:,.2f}" for one in medians) if back else ("-", "-")
            by = ", ".join(sorted({one.decision.guardrail for one in ended}))
            counts = f"{runs:>6}{len(back):>13}{len(ended) - len(back):>6}"
            click.echo(f"{name:<26}{counts}{days:>8}{enrolled:>12}  {by}")
    for line in cost(requests):
        click.echo(line)


if __name__ == "__main__":
    main()

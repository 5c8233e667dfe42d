"""What the assignment of a request to ten experiments costs, and a replay of a million exposures in SQL.

    python benchmarks/assignment.py            # half a minute
    python benchmarks/assignment.py --smoke    # 2,000 units, 5,000 exposures

Each request has another unit, so that nothing can be remembered. Side by side, in turns in one process: the
assigner; the recipe of the documentation, written down line by line; and ten hashes with nothing else, which
is what any such assignment needs where ten experiments overlap. Time is processor time of one thread, the
least of all turns. The replay computes each exposure again in DuckDB, with the processors that it finds.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import click
import duckdb
import pyarrow as pa

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.experiment_plans import experiment, plan_of
from tastemaker.experiments.assignment import Assigned, Assigner, Units, bucket
from tastemaker.experiments.assignment_sql import replay
from tastemaker.experiments.enrolled_units import write_enrolled
from tastemaker.experiments.plan import BUCKETS, ControlPlan
from tastemaker.experiments.plan_file import write_plan

EXPERIMENTS = 10
TENTH = BUCKETS // EXPERIMENTS


def plans() -> dict[str, ControlPlan]:
    """Return plans of ten experiments, by what they show."""
    return {
        "ten that exclude each other, in one namespace": plan_of(
            *(experiment(f"e{at}", claim=((at * TENTH, (at + 1) * TENTH),)) for at in range(EXPERIMENTS))
        ),
        "ten that overlap, of all units": overlapping(),
        "ten that overlap, 5 % enrolled": overlapping(enrolment=50_000),
        "ten that overlap, half claimed, half of it enrolled": overlapping(
            claim=((0, BUCKETS // 2),), enrolment=BUCKETS // 2
        ),
        "ten that overlap, one held": plan_of(
            experiment("held", "n", enrolled="held.npy"),
            *(experiment(f"e{at}", f"n{at}") for at in range(1, EXPERIMENTS)),
        ),
    }


def overlapping(**other: Any) -> ControlPlan:
    """Return a plan of ten experiments in ten namespaces, with the given differences."""
    return plan_of(*(experiment(f"e{at}", f"n{at}", **other) for at in range(EXPERIMENTS)))


def by_recipe(plan: ControlPlan, units: Units) -> list[tuple[str, str]]:
    """Return (experiment, variant), as the documentation describes it."""
    unit = units.user or ""
    salts = {one.name: one.salt for one in plan.namespaces}
    found = []
    for one in plan.experiments:
        place = bucket(salts[one.namespace], unit)
        if not any(start <= place < end for start, end in one.claim):
            continue
        if bucket(f"{one.salt}/enrol", unit) >= one.enrolment:
            continue
        place = bucket(f"{one.salt}/variant/{one.epoch}", unit)
        found += [(one.name, each.name) for each in one.variants if each.start <= place < each.end]
    return found


def least_us(
    calls: dict[str, Callable[[Units], object]], requests: list[Units], turns: int
) -> dict[str, float]:
    """Return the processor time of a call in microseconds, the least of some turns over all requests."""
    least = dict.fromkeys(calls, float("inf"))
    for _ in range(turns):
        for name, call in calls.items():
            began = time.process_time()
            for request in requests:
                call(request)
            least[name] = min(least[name], (time.process_time() - began) / len(requests) * 1e6)
    return least


def ten_hashes(units: Units) -> None:
    """Hash a user with ten salts."""
    in_bytes = (units.user or "").encode()
    for prefix in PREFIXES:
        sha256(prefix + in_bytes).digest()


PREFIXES = [f"exp-e{at}/variant/0\x1f".encode() for at in range(EXPERIMENTS)]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--smoke", is_flag=True, help="Sizes so small that it takes seconds: shows that it runs.")
def main(smoke: bool) -> None:
    """Measure the assignment of requests and the replay of exposures."""
    units = [f"u{number:07d}" for number in range(2_000 if smoke else 20_000)]
    with tempfile.TemporaryDirectory(prefix="tastemaker-assignment-") as name:
        folder = Path(name)
        write_enrolled(folder / "held.npy", "exp-held", units[::2])
        decisions(folder, [Units(unit) for unit in units], turns=2 if smoke else 5)
        replayed(folder, 5_000 if smoke else 1_000_000)


def decisions(folder: Path, requests: list[Units], turns: int) -> None:
    """Print what decisions cost."""
    click.echo(f"processor time of a request in {EXPERIMENTS} experiments, {len(requests):,} units")
    for name, plan in plans().items():
        assigner = Assigner(plan, folder)
        calls: dict[str, Callable[[Units], object]] = {
            "assigner": partial(assigner.assign, facts={}),
            "recipe": partial(by_recipe, plan),
            "hashes": ten_hashes,
        }
        us = least_us(calls, requests, turns)
        assigned = sum(len(assigner.assign(one, {})) for one in requests) / len(requests)
        recipe, hashes = us["assigner"] / us["recipe"], us["assigner"] / us["hashes"]
        click.echo(
            f"{name:52s} {us['assigner']:6.2f} us   {assigned:5.2f} variants   {recipe:.2f} of the recipe   "
            f"{hashes:.2f} of ten hashes"
        )


def replayed(folder: Path, exposures: int) -> None:
    """Print what the replay of exposures costs, and that it finds the one that is wrong."""
    plan = overlapping(claim=((0, 900_000),), enrolment=500_000)
    digest = write_plan(folder / "plan.json", plan)
    assigner, rows = Assigner(plan, folder), list[Assigned]()
    number = 0
    while len(rows) < exposures:
        rows += assigner.assign(Units(f"u{number:07d}"), {})
        number += 1
    rows = rows[:exposures]
    other = {"control": "treatment", "treatment": "control"}
    rows[-1] = rows[-1]._replace(variant=other[rows[-1].variant])
    columns = dict(zip(Assigned._fields, zip(*rows, strict=True), strict=True))
    with duckdb.connect() as connection:
        table = pa.table(
            {
                "experiment": columns["experiment"],
                "epoch": columns["epoch"],
                "variant": columns["variant"],
                "variant_probability": columns["probability"],
                "unit": columns["unit"],
                "user_id": columns["unit"],
                "plan_digest": [digest[:16]] * exposures,
            }
        )
        began = time.perf_counter()
        found = replay(connection, connection.from_arrow(table), {digest: plan}, folder)
        seconds = time.perf_counter() - began
    click.echo(f"replay of {exposures:,} exposures       {seconds:.2f} s")
    click.echo(f"disagreements, of 1 wrong exposure      {len(found.disagreements)}")
    if len(found.disagreements) != 1:
        sys.exit("the replay is wrong")


if __name__ == "__main__":
    main()

"""Epochs of a bandit: whoever is in it keeps the variant of the epoch that enrolled it, whatever follows."""

from __future__ import annotations

import itertools
from pathlib import Path

import duckdb
import msgspec
import pyarrow as pa
import pytest

from support import experiment_homes
from support.experiment_homes import ExperimentHome
from support.experiment_plans import users
from support.request_logs import fill, request
from tastemaker.errors import TastemakerError
from tastemaker.event_log.records import Assignment
from tastemaker.experiments.assignment import Assigned, Units
from tastemaker.experiments.assignment_sql import DIGEST_LENGTH, replay
from tastemaker.experiments.design import BANDIT_STEPS
from tastemaker.experiments.lifecycle.epochs import epochs_in_force
from tastemaker.experiments.plan_file import PlanFile, read_archive
from tastemaker.storage.engine import open_engine

pytestmark = pytest.mark.slow
IDS = users(10_000)
SHARES = (500_000, 200_000, 940_000, 60_000)
"""Control's buckets in each epoch."""
BY_HAND = {"confirmed": ("duration", "guardrails")}


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ExperimentHome:
    return experiment_homes.make(open_engine(f"sqlite:///{tmp_path}/meta.db"), tmp_path, monkeypatch)


def allocate(shop: ExperimentHome, name: str, control: int) -> None:
    """Give the next units other shares."""
    design = shop.experiments.get(name).design
    shares = {"a": control, "b": 1_000_000 - control}
    variants = {
        each: msgspec.structs.replace(one, share=shares[each]) for each, one in design.variants.items()
    }
    shop.do(name, "allocate", design=msgspec.structs.replace(design, variants=variants), **BY_HAND)


def assigned(shop: ExperimentHome) -> tuple[dict[str, Assigned], str]:
    """What the plan in force gives to each unit that has a variant, and the plan's digest."""
    plan = PlanFile(shop.experiments.folder / "plan.json").current()
    assert plan.digest is not None
    return {one.unit: one for unit in IDS for one in plan.assigner.assign(Units(unit), {})}, plan.digest


def test_no_unit_ever_changes_its_variant_and_the_log_has_the_probability_of_its_draw(
    shop: ExperimentHome,
) -> None:
    name = shop.running(kind="bandit", steps=(100_000, 300_000, 400_000, 700_000, 1_000_000))
    found, digest = assigned(shop)
    history = [(found, digest)]
    for control in SHARES[1:]:
        allocate(shop, name, control)
        history.append(assigned(shop))
    shop.do(name, "step", **BY_HAND)  # more units of the newest epoch
    history.append(assigned(shop))
    for (before, _), (after, _) in itertools.pairwise(history):
        assert before.items() < after.items()
    last = history[-1][0]
    assert last.keys() == set(IDS)
    for epoch, control in enumerate(SHARES):
        its = [one for one in last.values() if one.epoch == epoch]
        chances = {"a": control / 1e6, "b": 1 - control / 1e6}
        assert all(one.probability == pytest.approx(chances[one.variant]) for one in its)
        share = sum(one.variant == "a" for one in its) / len(its)
        assert share == pytest.approx(chances["a"], abs=4 * 0.5 / len(its) ** 0.5)
    rows = [(one, digest) for found, digest in history for one in found.values()]
    with duckdb.connect() as connection:
        table = connection.from_arrow(exposures(rows))
        found_wrong = replay(connection, table, read_archive(shop.experiments.folder), Path())
    assert (found_wrong.exposures, found_wrong.disagreements) == (len(rows), [])


def exposures(rows: list[tuple[Assigned, str]]) -> pa.Table:
    columns = dict(zip(Assigned._fields, zip(*(one for one, _ in rows), strict=True), strict=True))
    return pa.table(
        {name: columns[name] for name in ("experiment", "epoch", "variant", "unit")}
        | {"variant_probability": columns["probability"], "user_id": columns["unit"]}
        | {"plan_digest": [digest[:DIGEST_LENGTH] for _, digest in rows]}
    )


def test_the_last_step_is_the_last_allocation(shop: ExperimentHome) -> None:
    name = shop.running(kind="bandit", steps=(500_000, 1_000_000))
    allocate(shop, name, 300_000)
    with pytest.raises(TastemakerError, match="is at its last step"):
        allocate(shop, name, 100_000)


def test_a_new_epoch_of_a_person_assigns_all_units_again(shop: ExperimentHome) -> None:
    name = shop.running(kind="bandit", steps=(300_000, 600_000, 1_000_000))
    allocate(shop, name, 100_000)
    before, _ = assigned(shop)
    shop.do(name, "new_epoch")
    after, _ = assigned(shop)
    assert {one.epoch for one in after.values()} == {2}
    assert after.keys() < before.keys()
    assert any(after[unit].variant != before[unit].variant for unit in after)
    with shop.experiments.engine.connect() as connection:
        assert epochs_in_force(connection, shop.experiments.get(name)) == range(2, 3)


def test_shares_do_not_open_the_enrolment_past_a_guard(shop: ExperimentHome) -> None:
    name = shop.running(kind="bandit", steps=BANDIT_STEPS)
    with pytest.raises(TastemakerError, match="this step began"):
        shop.do(name, "allocate", design=shop.experiments.get(name).design)
    assert shop.experiments.get(name).epoch == 0


def test_a_held_bandit_keeps_the_units_of_all_its_epochs(
    shop: ExperimentHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = shop.running(kind="bandit", steps=(300_000, 600_000, 1_000_000))
    first, _ = assigned(shop)
    allocate(shop, name, 100_000)
    second, _ = assigned(shop)
    seen = dict(list(first.items())[:20]) | dict(list(second.items())[:40])
    fill_spool(shop, [*seen.values()])
    shop.do(name, "hold")
    held, _ = assigned(shop)
    assert held == seen
    assert {one.epoch for one in held.values()} == {0, 1}


def fill_spool(shop: ExperimentHome, rows: list[Assigned]) -> None:
    requests = []
    for number, one in enumerate(rows):
        its = Assignment(one.experiment, one.epoch, one.variant, one.probability, one.variant, None, one.unit)
        requests.append(request(number, assignment=its))
    fill(shop.experiments.folder.parent / "spool", requests)

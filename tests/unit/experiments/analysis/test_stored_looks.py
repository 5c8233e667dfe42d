"""Looks that are taken in a home: read from its lake, stored once, and final when they decided."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner
from sqlalchemy import Engine, func, select, update

from support.experiment_plans import experiment as planned
from support.experiment_plans import plan_of
from support.planned_experiments import plant_experiment, plant_namespace
from support.product_homes import PROBLEM, ProductWorld
from support.stored_looks import read_looks
from tastemaker.cli.experiment_look import look as look_command
from tastemaker.cli.experiment_size import size as size_command
from tastemaker.data.lake import Lake
from tastemaker.errors import TastemakerError
from tastemaker.event_log.records import Assignment, FeedbackRecord, Item, Record
from tastemaker.experiments.analysis.looks import ExperimentLooks
from tastemaker.experiments.analysis.summary import in_lines
from tastemaker.experiments.assignment import Assigner, Units
from tastemaker.experiments.design import GuardrailDesign
from tastemaker.experiments.plan import BUCKETS, Variant
from tastemaker.experiments.plan_file import write_plan
from tastemaker.problem import ProblemSpec, load_problem
from tastemaker.settings import Settings
from tastemaker.storage.engine import open_engine
from tastemaker.storage.tables import experiments, look_effects, looks, namespaces
from tastemaker.workflows.workspace import Workspace

pytestmark = pytest.mark.slow
NAME = "ranker-2"
NOW = datetime(2026, 5, 1, tzinfo=UTC)
STARTED = NOW - timedelta(days=19)
DAY = 86_400.0
UNITS = 400


@pytest.fixture
def problem(tmp_path: Path) -> ProblemSpec:
    path = tmp_path / "problem.yaml"
    path.write_text(PROBLEM.replace("small shop", "shop"), encoding="utf-8")
    return load_problem(path)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    found = open_engine(f"sqlite:///{tmp_path}/meta.db")
    yield found
    found.dispose()


def world(*, lift: float = 1.0, seed: int = 0, teams: bool = False) -> ProductWorld:
    """Half of the users are in B, where each list is clicked `lift` times as often."""
    rng, found = np.random.default_rng(seed), ProductWorld()
    for user in range(UNITS):
        variant = "B" if user % 2 else "control"
        at = STARTED.timestamp() + float(rng.uniform(0, 14)) * DAY
        request = Record(
            request_id=f"{user:032x}", occurred_at=at, user_id=f"u{user:03d}", k=2, model="ranker",
            version="v2" if user % 2 else "v1", items=[Item("i1", 1.0, 1.0), Item("i2", 1.0, 1.0)],
            latency_ms=5.0, assignment=Assignment(NAME, 0, variant, 0.5, variant, "p1", f"u{user:03d}"),
            teams=["B", "control"] if teams else None,
        )  # fmt: skip
        found.requests.append(request)
        chance = 0.4 * (lift if variant == "B" else 1.0)
        if rng.random() < chance:
            kind = "purchase" if rng.random() < 0.3 else "click"
            timestamp = datetime.fromtimestamp(at + 60, UTC)
            found.visits.append((request.user_id, timestamp, kind))
        if teams and rng.random() < 0.5:
            found.feedback.append(_click(request, "i1" if rng.random() < 0.5 * lift else "i2"))
    # Events of another user, so that the log reaches until now.
    found.visits += [
        ("elsewhere", NOW - timedelta(minutes=1), kind) for kind in ("click", "purchase", "return")
    ]
    if teams:
        found.feedback.append(
            _click(msgspec.structs.replace(request, occurred_at=NOW.timestamp() - 120), "i3")
        )
    return found


def _click(request: Record, item: str) -> Any:
    at = request.occurred_at + 60
    return FeedbackRecord(
        f"f-{request.request_id}-{item}", item, "click", 1.0, at, at, None, request.request_id
    )


def home(
    tmp_path: Path, engine: Engine, problem: ProblemSpec, rows: ProductWorld, **more: Any
) -> ExperimentLooks:
    chosen: dict[str, Any] = {
        "planned_units": UNITS,
        "window_days": 2.0,
        "looks": 2,
        "secondary": ("ctr_list",),
        "guardrails": (),
    }
    plant_namespace(engine, NOW)
    plant_experiment(engine, NOW, NAME, **chosen | more)
    rows.write(tmp_path)
    return ExperimentLooks(engine, Lake(tmp_path / "lake"), problem, tmp_path / "experiments")


def test_a_look_is_stored_as_it_was_taken(tmp_path: Path, engine: Engine, problem: ProblemSpec) -> None:
    taken = home(tmp_path, engine, problem, world()).take(NAME, NOW)
    (stored,) = read_looks(engine, NAME, 0)
    assert stored == taken
    assert taken.units == {"control": UNITS // 2, "B": UNITS // 2}
    assert (taken.number, taken.information, taken.is_planned, taken.verdict) == (1, 1.0, True, "equal")
    assert {one.slice for one in taken.effects} >= {"", "day=0", "day=1"}


def test_exposures_that_their_plan_does_not_explain_are_counted(
    tmp_path: Path, engine: Engine, problem: ProblemSpec
) -> None:
    """The world divides users by their numbers; the plan by its hashes."""
    halves = Variant("control", 0, BUCKETS // 2), Variant("B", BUCKETS // 2, BUCKETS)
    plan, rows = plan_of(planned(NAME, variants=halves)), world()
    digest = write_plan(tmp_path / "experiments" / "plan.json", plan)
    assigner = Assigner(plan, tmp_path)
    wrong = 0
    for number, one in enumerate(rows.requests):
        assert one.assignment is not None
        mine = msgspec.structs.replace(one.assignment, plan=digest[:16])
        rows.requests[number] = msgspec.structs.replace(one, assignment=mine)
        (expected,) = assigner.assign(Units(one.user_id), {})
        wrong += expected.variant != mine.variant
    (warning,) = home(tmp_path, engine, problem, rows).take(NAME, NOW).details["warnings"]
    assert wrong > UNITS / 3
    assert f"{wrong:,} exposures are not as their plan says (other_variant {wrong:,})" in warning


def test_without_a_plan_nothing_is_compared(tmp_path: Path, engine: Engine, problem: ProblemSpec) -> None:
    assert home(tmp_path, engine, problem, world()).take(NAME, NOW).details["warnings"] == []


def test_a_repeated_look_changes_nothing(tmp_path: Path, engine: Engine, problem: ProblemSpec) -> None:
    shop = home(tmp_path, engine, problem, world(), planned_units=2 * UNITS)
    first = shop.take(NAME, NOW)
    assert (first.number, first.is_planned, first.information) == (1, True, 0.5)
    assert shop.take(NAME, NOW + timedelta(hours=1)) == first
    with engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(looks)).scalar() == 1
        rows = connection.execute(select(func.count()).select_from(look_effects)).scalar()
    assert rows == len(first.effects)


def test_a_look_between_planned_ones_is_replaced(
    tmp_path: Path, engine: Engine, problem: ProblemSpec
) -> None:
    """Looks as the log grows: each has the number of the next planned one until that is taken."""
    shop = home(tmp_path, engine, problem, world(), planned_units=2 * UNITS, looks=2)
    early = shop.take(NAME, STARTED + timedelta(days=6))
    assert (early.number, early.is_planned) == (1, False)
    assert shop.take(NAME, STARTED + timedelta(days=9)).number == 1
    planned = shop.take(NAME, NOW)
    assert (planned.number, planned.is_planned) == (1, True)
    assert read_looks(engine, NAME, 0) == [planned]


def test_the_look_that_decided_is_the_result(tmp_path: Path, engine: Engine, problem: ProblemSpec) -> None:
    shop = home(tmp_path, engine, problem, world(lift=2.3))
    decided = shop.take(NAME, NOW)
    assert decided.verdict == "better"
    assert "B earned" in decided.sentence
    world(lift=0.1, seed=1).write(tmp_path)
    assert shop.take(NAME, NOW + timedelta(days=9)) == decided


def test_a_new_epoch_begins_with_the_first_look(tmp_path: Path, engine: Engine, problem: ProblemSpec) -> None:
    shop = home(tmp_path, engine, problem, world())
    shop.take(NAME, NOW)
    with engine.begin() as connection:
        connection.execute(update(experiments).values(epoch=1))
    look = shop.take(NAME, NOW)
    assert (look.epoch, look.number, look.units) == (1, 1, {"control": 0, "B": 0})
    assert look.sentence == "No unit was exposed in epoch 1 yet."


def test_an_empty_log_has_no_result(tmp_path: Path, engine: Engine, problem: ProblemSpec) -> None:
    look = home(tmp_path, engine, problem, ProductWorld()).take(NAME, NOW)
    assert (look.verdict, look.effects, look.sentence) == ("undecided", (), "No unit was exposed yet.")
    assert read_looks(engine, NAME, 0) == [look]


def test_due_looks_are_those_of_experiments_that_run(
    tmp_path: Path, engine: Engine, problem: ProblemSpec
) -> None:
    shop = home(tmp_path, engine, problem, world())
    plant_experiment(engine, NOW, "later", state="draft")
    plant_experiment(engine, NOW, "silent", kind="shadow")
    plant_experiment(engine, NOW, "unknown", primary="reward_per_visit")
    taken = shop.take_due(NOW)
    assert [one.experiment for one in taken.looks] == [NAME]
    (failure,) = taken.failures
    assert failure.startswith("unknown: there is no metric 'reward_per_visit' of units")


@pytest.mark.parametrize(
    ("name", "more", "message"),
    [
        (NAME, {"state": "draft"}, "it has no units yet"),
        (NAME, {"kind": "shadow"}, "no user saw its answers"),
        (NAME, {"primary": "events_per_user:sale"}, "no event carries it"),
        (NAME, {"primary": "reward_per_visit"}, "there is no metric 'reward_per_visit' of units"),
        (NAME, {"guardrails": (GuardrailDesign("slow_shares", 0.1),)}, "did you mean slow_share"),
        ("ranker-3", {}, "there is no experiment 'ranker-3'"),
    ],
)
def test_what_has_no_look_says_why(
    tmp_path: Path, engine: Engine, problem: ProblemSpec, name: str, more: dict[str, Any], message: str
) -> None:
    shop = home(tmp_path, engine, problem, ProductWorld(), **more)
    with pytest.raises(TastemakerError, match=message):
        shop.take(name, NOW)


def test_a_design_of_other_variants_is_an_error(tmp_path: Path, engine: Engine, problem: ProblemSpec) -> None:
    rows = world()
    rows.requests[0] = Record(
        **{
            name: getattr(rows.requests[0], name) for name in Record.__struct_fields__ if name != "assignment"
        },
        assignment=Assignment(NAME, 0, "C", 0.5, "C", "p1", "u000"),
    )
    with pytest.raises(TastemakerError, match="units of C, which its design lacks"):
        home(tmp_path, engine, problem, rows).take(NAME, NOW)


@pytest.mark.parametrize(("lift", "verdict"), [(1.0, "equal"), (0.3, "worse"), (1.8, "undecided")])
def test_interleaving_only_removes_variants(
    tmp_path: Path, engine: Engine, problem: ProblemSpec, lift: float, verdict: str
) -> None:
    shop = home(tmp_path, engine, problem, world(lift=lift, teams=True), kind="interleaving", looks=1)
    look = shop.take(NAME, NOW)
    assert look.verdict == verdict
    (effect,) = look.effects
    assert (effect.metric, effect.verdict) == ("preference", verdict)
    if lift > 1:
        assert "users prefer B, test it against control" in look.sentence


def _open_by_commands(shop: ExperimentLooks, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have commands find these looks, and an empty spool."""
    opened = SimpleNamespace(experiment_looks=shop, settings=Settings(home=folder), lake=shop.lake)
    monkeypatch.setattr(Workspace, "open", lambda: opened)


def test_the_command_prints_the_sentence_first(
    tmp_path: Path, engine: Engine, problem: ProblemSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = home(tmp_path, engine, problem, world())
    _open_by_commands(shop, tmp_path, monkeypatch)
    printed = CliRunner().invoke(look_command, [NAME], catch_exceptions=False).output.splitlines()
    (stored,) = read_looks(engine, NAME, 0)
    assert printed[0] == stored.sentence
    assert any(line.startswith("primary    reward_per_user  B") for line in printed)
    found = json.loads(CliRunner().invoke(look_command, [NAME, "--json"], catch_exceptions=False).output)
    assert found["sentence"] == stored.sentence
    assert len(found["effects"]) == len(stored.effects)


def test_a_draft_has_a_plan_from_the_log(
    tmp_path: Path, engine: Engine, problem: ProblemSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = world()
    last = Record(
        request_id="f" * 32, occurred_at=NOW.timestamp() - 60, user_id="u000", k=1, model="ranker",
        version="v1", items=[], latency_ms=1.0,
    )  # fmt: skip
    rows.requests.append(last)
    shop = home(tmp_path, engine, problem, rows, state="draft", minimum_effect=0.5)
    plan = shop.plan(NAME, NOW)
    assert plan.units > 0
    _open_by_commands(shop, tmp_path, monkeypatch)
    monkeypatch.setattr(ExperimentLooks, "plan", lambda self, name: plan)
    printed = CliRunner().invoke(size_command, [NAME], catch_exceptions=False).output.splitlines()
    assert printed[0] == plan.sentence
    assert printed[-1].startswith("14")  # whole weeks that the log covers
    found = json.loads(CliRunner().invoke(size_command, [NAME, "--json"], catch_exceptions=False).output)
    assert (found["units"], found["sentence"]) == (plan.units, plan.sentence)


def test_a_plan_counts_users_only(tmp_path: Path, engine: Engine, problem: ProblemSpec) -> None:
    shop = home(tmp_path, engine, problem, world())
    with engine.begin() as connection:
        connection.execute(update(namespaces).values(unit="device"))
    with pytest.raises(TastemakerError, match="assigns each device, and a plan replays users"):
        shop.plan(NAME, NOW)


def test_units_wait_for_the_batch_that_brings_purchases(
    tmp_path: Path, engine: Engine, problem: ProblemSpec
) -> None:
    """Clicks are reported as they happen, purchases come from a source whose last two days are missing."""
    rows, missing = world(), NOW - timedelta(days=8)
    clicks = [one for one in rows.visits if one[2] == "click"]
    rows.feedback += [
        FeedbackRecord(f"c{number}", "i1", "click", 1.0, at.timestamp(), at.timestamp() + 1, user, None)
        for number, (user, at, _) in enumerate(clicks)
    ]
    late = [one for one in rows.visits if one[2] == "purchase" and one[1] >= missing]
    rows.visits = [one for one in rows.visits if one[2] == "purchase" and one[1] < missing]
    shop = home(tmp_path, engine, problem, rows, planned_units=2 * UNITS)
    newest = max(at for _, at, _ in rows.visits)
    look = shop.take(NAME, NOW - timedelta(days=6))
    over = [one.occurred_at + 2 * DAY for one in rows.requests]
    assert sum(look.units.values()) == sum(one <= newest.timestamp() for one in over)
    (waits,) = look.details["waiting"]
    assert (waits["event_type"], waits["newest"]) == ("purchase", newest.isoformat())
    assert waits["units"] > 20
    assert (
        f"waiting for    purchase from the source: the newest is of {newest:%Y-%m-%d %H:%M} UTC"
        in "\n".join(in_lines(look))
    )
    rows.visits += late
    rows.write(tmp_path)
    assert sum(shop.take(NAME, NOW).units.values()) == UNITS

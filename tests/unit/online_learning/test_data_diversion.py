"""Where an experiment diverts the data, a version learns from its own lists; what it learned is counted."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from support import experiment_plans, home_copies, learning_homes, planned_experiments, served_homes
from tastemaker.data.lake import Lake
from tastemaker.dataset.dataset import Dataset
from tastemaker.errors import TastemakerError
from tastemaker.event_log.drain import drain
from tastemaker.event_log.records import Assignment
from tastemaker.experiments.data_diversion import diverted_versions
from tastemaker.experiments.design import VariantDesign
from tastemaker.experiments.plan import ControlPlan, PinnedService
from tastemaker.experiments.plan_file import write_plan
from tastemaker.experiments.result import read_result
from tastemaker.online_learning.learned_lists import LearnedLists
from tastemaker.plugins import discovery
from tastemaker.registry import Version
from tastemaker.workflows.learned_lists import store_learned_lists
from tastemaker.workflows.online_learning import lists_learned_by

pytestmark = pytest.mark.slow
NOW = datetime(2026, 11, 29, 9, 41, tzinfo=UTC)


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Version]]:
    home = tmp_path_factory.mktemp("diverted") / "home"
    served_homes.make_home(home, ())
    dataset = Dataset.load(Lake(home / "lake"), served_homes.problem())
    recommender = discovery.get("thompson").recommender
    return home, [served_homes.register(home, recommender(), dataset) for _ in range(3)]


@pytest.fixture
def versions(origin: tuple[Path, list[Version]]) -> list[Version]:
    """Those of control, of treatment and of no variant."""
    return origin[1]


@pytest.fixture
def home(origin: tuple[Path, list[Version]], tmp_path: Path) -> Path:
    """Each version showed 20 lists; half of those of the treatment are of the experiment."""
    home = home_copies.copy_home(origin[0], tmp_path / "home")
    for seed, version in enumerate(origin[1]):
        learning_homes.log(home, learning_homes.traffic(version.id, 20, seed=seed))
    for number in range(10):
        shown = learning_homes.shown(
            5_000_000 + number,
            origin[1][1].id,
            number,
            ["item-03"],
            assignment=Assignment("ranker", 0, "treatment", 0.5),
        )
        learning_homes.log(home, [shown])
    return home


def plan_over(versions: list[Version], *, data_diversion: bool = True) -> ControlPlan:
    services = tuple(
        PinnedService(name, "thompson", version.id, f"unix:/run/{name}.sock")
        for name, version in zip(("champion", "challenger"), versions, strict=False)
    )
    routed = experiment_plans.experiment(
        "ranker", variants=experiment_plans.ROUTED, data_diversion=data_diversion
    )
    flags = experiment_plans.experiment("basket", "page", data_diversion=True)
    return experiment_plans.plan_of(routed, flags, services=services, default="champion")


def divert(home: Path, plan: ControlPlan) -> None:
    """Put a plan in force."""
    write_plan(home / "experiments" / "plan.json", plan)


def test_versions_of_experiments_that_divert_are_diverted(versions: list[Version]) -> None:
    assert diverted_versions(plan_over(versions)) == {one.id for one in versions[:2]}
    assert diverted_versions(plan_over(versions, data_diversion=False)) == set()


def test_a_diverted_version_learns_its_own_lists_only(home: Path, versions: list[Version]) -> None:
    divert(home, plan_over(versions))
    assert [learning_homes.learn(home, one).requests for one in versions] == [20, 30, 70]


def test_without_diversion_each_version_learns_all_lists(home: Path, versions: list[Version]) -> None:
    divert(home, plan_over(versions, data_diversion=False))
    assert [learning_homes.learn(home, one).requests for one in versions] == [70, 70, 70]


def test_a_plan_that_begins_to_divert_takes_back_what_was_learned_of_others(
    home: Path, versions: list[Version], tmp_path: Path
) -> None:
    always, version = home_copies.copy_home(home, tmp_path / "always"), versions[0]
    divert(always, plan_over(versions))
    learning_homes.learn(always, version)
    assert learning_homes.learn(home, version).requests == 70
    divert(home, plan_over(versions))
    again = learning_homes.learn(home, version, whole=False)
    assert again.replayed
    assert again.position.requests == 20
    assert learning_homes.state(home, version) == learning_homes.state(always, version)


def test_nothing_is_learned_by_a_plan_that_can_not_be_read(home: Path, versions: list[Version]) -> None:
    divert(home, plan_over(versions))
    plan = home / "experiments" / "plan.json"
    plan.write_bytes(plan.read_bytes()[:100])
    with pytest.raises(TastemakerError, match="says which lists are learned") as caught:
        learning_homes.learn(home, versions[0])
    assert caught.value.fix == "write it again: tastemaker experiment plan --write"


def test_counts_are_stored_for_the_active_experiments(home: Path, versions: list[Version]) -> None:
    opened = learning_homes.workspace(home)
    drain(home / "spool", Lake(home / "lake"))
    shares = {
        name: VariantDesign(share=500_000, model="thompson", version=version.id)
        for name, version in zip(("control", "treatment"), versions, strict=False)
    }
    planned_experiments.plant_namespace(opened.engine, NOW)
    for name, state in (("ranker", "running"), ("earlier", "archived")):
        planned_experiments.plant_experiment(
            opened.engine, NOW, name, state=state, problem=opened.problem.name, variants=shares
        )
    assert store_learned_lists(opened, NOW) == 1
    assert read_result(opened.engine, "ranker").learned == [], "nothing was learned yet"
    divert(home, plan_over(versions))
    for version in versions[:2]:
        learning_homes.learn(home, version)
    for _ in range(2):  # the second count replaces the first
        store_learned_lists(opened, NOW)
    found = read_result(opened.engine, "ranker").learned
    assert [
        (one.variant, one.learned_in, one.from_version, one.from_variant, one.lists) for one in found
    ] == [
        ("control", "online", versions[0].id, "", 20),
        ("treatment", "online", versions[1].id, "", 20),
        ("treatment", "online", versions[1].id, "treatment", 10),
    ]
    assert {(one.version, one.counted_at) for one in found} == {(one.id, NOW) for one in versions[:2]}


def test_what_a_version_learned_from_is_counted_by_version_and_variant(
    home: Path, versions: list[Version]
) -> None:
    opened = learning_homes.workspace(home)
    before = learning_homes.shown(8_000_000, versions[2].id, -10, ["item-03"])
    empty = learning_homes.shown(8_000_001, versions[2].id, 10, [])
    learning_homes.log(home, [before, empty])
    drain(home / "spool", Lake(home / "lake"))
    control, treatment, other = (one.id for one in versions)
    trained = LearnedLists("training", other, None, None, 1)
    version = opened.registry.get(treatment)
    assert lists_learned_by(opened, version) == [trained], "nothing was learned online yet"
    learning_homes.learn(home, version)
    of_all = {
        LearnedLists("online", control, None, None, 20),
        LearnedLists("online", treatment, "ranker", "treatment", 10),
        LearnedLists("online", treatment, None, None, 20),
        LearnedLists("online", other, None, None, 20),
    }
    found = lists_learned_by(opened, version)
    assert found[0] == trained
    assert set(found[1:]) == of_all
    divert(home, plan_over(versions))
    assert set(lists_learned_by(opened, version)[1:]) == {one for one in of_all if one.version == treatment}

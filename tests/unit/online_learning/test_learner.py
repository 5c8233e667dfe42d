"""What was learned is a function of the log: not of when and how often it was read, nor of its order."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from threading import Event
from typing import Any

import dagster as dg
import numpy as np
import pytest

from support import home_copies, learning_homes, served_homes
from tastemaker.data.lake import Lake
from tastemaker.dataset.dataset import Dataset
from tastemaker.errors import TastemakerError
from tastemaker.event_log.drain import drain
from tastemaker.event_log.records import Entry, FeedbackRecord
from tastemaker.online_learning.checkpoints import EMPTY, Checkpoints, LogPosition
from tastemaker.online_learning.learner import LearningResult
from tastemaker.plugins import discovery
from tastemaker.registry import Version
from tastemaker.registry.artifact import load_version
from tastemaker.workflows.online_learning import LearnerBusy, learning_session, served_learners
from tastemaker_pipelines.online_learning.assets import learned_states
from tastemaker_pipelines.resources import LazyWorkspace

LEARNERS: dict[str, tuple[str, dict[str, Any]]] = {
    "thompson": ("thompson", {}),
    "fading": ("thompson", {"half_life_days": 0.01}),
    "window": ("epsilon_greedy", {"window_days": 0.02}),
    "lin_ucb": ("lin_ucb", {"half_life_days": 0.01}),
    "logistic_thompson": ("logistic_thompson", {}),
    "popularity": ("popularity", {}),
}
"""Name -> model and config. The traffic takes 0.035 days."""
BANDITS = [name for name in LEARNERS if name != "popularity"]


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Version]]:
    home = tmp_path_factory.mktemp("learning") / "home"
    served_homes.make_home(home, ())
    dataset = Dataset.load(Lake(home / "lake"), served_homes.problem())
    return home, {
        name: served_homes.register(home, discovery.get(model).recommender(**config), dataset)
        for name, (model, config) in LEARNERS.items()
    }


@pytest.fixture
def home(origin: tuple[Path, dict[str, Version]], tmp_path: Path) -> Path:
    return home_copies.copy_home(origin[0], tmp_path / "home")


@pytest.fixture
def versions(origin: tuple[Path, dict[str, Version]]) -> dict[str, Version]:
    return origin[1]


@pytest.mark.slow
@pytest.mark.parametrize("model", BANDITS)
def test_a_learner_that_was_stopped_again_and_again_is_one_that_never_was(
    home: Path, versions: dict[str, Version], tmp_path: Path, model: str
) -> None:
    version = versions[model]
    whole = home_copies.copy_home(home, tmp_path / "whole")
    entries = learning_homes.traffic(version.id, 300)
    learning_homes.log(whole, entries)
    at_once = learning_homes.learn(whole, version)
    assert (at_once.requests, at_once.impressions) == (300, 900)
    assert at_once.rewarded == sum(isinstance(entry, FeedbackRecord) for entry in entries)

    learning_homes.log(home, entries)
    looks = [
        learning_homes.learn(home, version, learning_homes.END + at)
        for at in (0, 70, 500, 500, 499, 1_700, 5_000)
    ]
    assert sum(look.impressions for look in looks) == 900
    assert not any(look.replayed for look in looks)
    assert [look.state is None for look in looks][3:5] == [True, True]
    assert learning_homes.state(home, version) == learning_homes.state(whole, version)


@pytest.mark.slow
@pytest.mark.parametrize("model", BANDITS)
def test_replicas_that_read_in_another_order_agree(
    home: Path, versions: dict[str, Version], tmp_path: Path, model: str
) -> None:
    """Two spools, each in its own order, some records in both, one drained already, one late by an hour."""
    version = versions[model]
    other = home_copies.copy_home(home, tmp_path / "other")
    entries = learning_homes.traffic(version.id, 200)
    learning_homes.log(other, entries)
    learning_homes.learn(other, version)

    shuffled = random.Random(3).sample(entries, len(entries))
    learning_homes.log(home, shuffled[:150] + shuffled[:20])
    learning_homes.learn(home, version, learning_homes.END + 2_000)
    drain(home / "spool", Lake(home / "lake"))
    learning_homes.learn(home, version, learning_homes.END + 3_100)
    shutil.rmtree(home / "spool")
    learning_homes.log(home, shuffled[100:])
    late = learning_homes.learn(home, version)
    assert late.replayed
    assert late.position.impressions == 600
    assert learning_homes.state(home, version) == learning_homes.state(other, version)


@pytest.mark.slow
def test_looks_at_the_tail_of_the_log_come_to_the_same(
    home: Path, versions: dict[str, Version], tmp_path: Path
) -> None:
    """What comes late is seen there if its place is in the tail, and with the whole log wherever it is."""
    version = versions["lin_ucb"]
    other = home_copies.copy_home(home, tmp_path / "other")
    entries = learning_homes.traffic(version.id, 200)
    late = [
        learning_homes.shown(9_001, version.id, 100, ["item-03"]),
        learning_homes.shown(9_002, version.id, 2_800, ["item-04"]),
    ]
    learning_homes.log(other, [*entries, *late])
    learning_homes.learn(other, version)

    learning_homes.log(home, entries)
    for at in range(100, 3_600, 250):
        assert not learning_homes.learn(home, version, learning_homes.END + at, whole=False).replayed
    learning_homes.log(home, late[1:])
    assert learning_homes.learn(home, version, learning_homes.END + 3_400, whole=False).replayed
    learning_homes.log(home, late[:1])
    assert not learning_homes.learn(home, version, learning_homes.END + 3_500, whole=False).replayed
    assert learning_homes.learn(home, version).replayed
    assert learning_homes.state(home, version) == learning_homes.state(other, version)


@pytest.mark.slow
def test_recent_impressions_and_late_feedback_wait(home: Path, versions: dict[str, Version]) -> None:
    version = versions["thompson"]
    first = learning_homes.shown(1, version.id, 10, ["item-03", "item-04"])
    entries: list[Entry] = [
        first,
        learning_homes.bought("in time", first, "item-03", 30),
        learning_homes.bought("in time", first, "item-03", 30),  # sent twice
        learning_homes.bought("sent late", first, "item-04", 30, came_after=61),
        learning_homes.bought("unknown", first, "item-99", 5),
        learning_homes.shown(2, version.id, 50, ["item-03"]),
        learning_homes.shown(3, "another-problem's", 10, ["item-03"]),
        learning_homes.shown(4, version.id, -10, ["item-03"]),  # the training has seen it
    ]
    learning_homes.log(home, entries)
    found = learning_homes.learn(home, version, learning_homes.END + 10 + learning_homes.FEEDBACK_DELAY + 2)
    assert (found.impressions, found.requests, found.rewarded) == (2, 1, 1)
    again = learning_homes.learn(home, version, learning_homes.END + 50 + learning_homes.FEEDBACK_DELAY + 2)
    assert (again.impressions, again.rewarded, again.position.impressions) == (1, 0, 3)

    model = learned(home, version)
    before: Any = load_version(version.folder).model
    np.testing.assert_array_equal(np.flatnonzero(model.rewards[0] - before.rewards[0]), [3])
    assert model.impressions[0, 3] - before.impressions[0, 3] == 2


def learned(home: Path, version: Version) -> Any:
    """The model that is served."""
    states = Checkpoints(home / "learning", load_version(version.folder))
    name = states.current()
    assert name is not None
    return states.open(name).model


@pytest.mark.slow
def test_order_independent_models_agree_in_any_order(home: Path, versions: dict[str, Version]) -> None:
    """Updated in another order than the log's, their sums agree to rounding."""
    for name in BANDITS:
        version = versions[name]
        if not discovery.get(version.model).recommender.capabilities.order_independent:
            continue
        rows = learning_homes.logged_feedback(
            learning_homes.traffic(version.id, 100), load_version(version.folder)
        )
        forwards, backwards = (load_version(version.folder).model for _ in range(2))
        for row in range(len(rows)):
            forwards.update(rows[row : row + 1])
            backwards.update(rows[len(rows) - 1 - row : len(rows) - row])
        for part in forwards.state:
            np.testing.assert_allclose(getattr(forwards, part), getattr(backwards, part), atol=1e-9)


@pytest.mark.slow
def test_a_damaged_snapshot_costs_a_replay_and_nothing_else(
    home: Path, versions: dict[str, Version], tmp_path: Path
) -> None:
    version = versions["thompson"]
    learning_homes.log(home, learning_homes.traffic(version.id, 100))
    for at in (500, 1_500, 2_500):
        learning_homes.learn(home, version, learning_homes.END + at)
    whole = home_copies.copy_home(home, tmp_path / "whole")
    learning_homes.learn(whole, version)
    states = Checkpoints(home / "learning", load_version(version.folder))
    newest = states.folder / states.names()[0]
    (newest / "model" / "rewards.npy").write_bytes(b"")
    (states.folder / ".new-killed").mkdir()
    found = learning_homes.learn(home, version)
    assert found.position.impressions == 300
    assert learning_homes.state(home, version) == learning_homes.state(whole, version)
    assert not list(states.folder.glob(".new-*"))
    shutil.rmtree(states.folder)
    learning_homes.learn(home, version)
    assert learning_homes.state(home, version) == learning_homes.state(whole, version)


def test_few_snapshots_are_kept(tmp_path: Path, versions: dict[str, Version]) -> None:
    loaded = load_version(versions["window"].folder)
    states = Checkpoints(tmp_path, loaded)
    for at in range(0, 8_000, 100):
        states.save(loaded.model, LogPosition(learning_homes.END + at, EMPTY))
        ages = [learning_homes.END + at - int(name[:12]) for name in states.names()]
        assert len(ages) <= 6
        assert ages[:2] == [0, 100][: len(ages)]
        assert at < 600 or any(60 <= age < 3_600 for age in ages)
        assert ages[-1] == at  # until a day has passed, the first of all
    position = states.open(states.names()[2]).position
    states.drop_after(position)
    assert states.open(states.names()[0]).position == position


@pytest.mark.slow
def test_contexts_of_another_width_are_refused_and_counted(tmp_path: Path) -> None:
    version = learning_homes.contextual_home(tmp_path / "home", width=2)
    entries = [
        *learning_homes.traffic(version.id, 20, width=2),
        *learning_homes.traffic(version.id, 5, width=3, seed=1),
        *learning_homes.traffic(version.id, 10, seed=2),  # without a context: taken as zeros
    ]
    learning_homes.log(tmp_path / "home", entries)
    found = learning_homes.learn(tmp_path / "home", version)
    assert (found.impressions, found.skipped) == (105, 15)
    assert learned(tmp_path / "home", version).mean[:, 1:].any()


def test_only_models_that_learn_online_do(home: Path, versions: dict[str, Version]) -> None:
    with pytest.raises(TastemakerError, match="model popularity does not learn online"):
        learning_homes.learn(home, versions["popularity"])


def test_a_version_has_one_learner_at_a_time(home: Path, versions: dict[str, Version]) -> None:
    opened, version = learning_homes.workspace(home), versions["thompson"]
    refused = pytest.raises(LearnerBusy, match=f"already learns for thompson {version.id}")
    with learning_session(opened, version), refused, learning_session(opened, version, wait=False):
        pass
    with learning_session(opened, version, wait=False) as learning:
        assert learning.step(learning_homes.LATER).impressions == 0


def test_a_learner_that_follows_outlives_a_disk_that_is_away(
    home: Path, versions: dict[str, Version], monkeypatch: pytest.MonkeyPatch
) -> None:
    learning_homes.log(home, learning_homes.traffic(versions["window"].id, 5))
    opened, stop = learning_homes.workspace(home), Event()
    found: list[int] = []
    problems: list[str] = []

    def report(learned: LearningResult) -> None:
        found.append(learned.impressions)
        stop.set()

    with learning_session(opened, versions["window"]) as learning:
        step, fails = learning.step, iter([True, True, False])

        def shaky(*, whole: bool) -> LearningResult:
            if next(fails):
                raise OSError("the disk is away")
            assert whole  # as none was read yet
            return step(whole=whole)

        monkeypatch.setattr(learning, "step", shaky)
        learning.follow(stop, on_update=report, on_failure=problems.append)
    assert (found, problems) == ([15], ["the disk is away"] * 2)


@pytest.mark.slow
def test_the_graph_learns_for_the_versions_that_answer(home: Path, versions: dict[str, Version]) -> None:
    entries = [
        *learning_homes.traffic(versions["window"].id, 5),
        *learning_homes.traffic(versions["popularity"].id, 5, seed=1),
    ]
    learning_homes.log(home, entries)
    opened = learning_homes.workspace(home)
    assert served_learners(opened) == []
    drain(home / "spool", opened.lake)
    assert [version.id for version in served_learners(opened)] == [versions["window"].id]
    resources = {"workspace": LazyWorkspace(opened.settings)}
    result = dg.materialize([learned_states], resources=resources)
    (done,) = result.asset_materializations_for_node("learned_states")
    assert done.metadata["epsilon_greedy"].value == "30 impressions"
    with learning_session(opened, versions["window"]):
        again = dg.materialize([learned_states], resources=resources)
        (left,) = again.asset_materializations_for_node("learned_states")
        assert left.metadata["epsilon_greedy"].value == "left to the learner that follows"


def test_nothing_shown_is_nothing_learned(home: Path, versions: dict[str, Version]) -> None:
    found = learning_homes.learn(home, versions["thompson"])
    assert (found.impressions, found.state) == (0, None)
    assert Checkpoints(home / "learning", load_version(versions["thompson"].folder)).current() is None

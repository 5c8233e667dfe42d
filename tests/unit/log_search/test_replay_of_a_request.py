"""A replayed request gets the answer that it got, or that another version would have given it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from support import home_copies, learning_homes, served_homes
from support.learning_homes import END
from support.request_logs import fill
from tastemaker.api.schemas import Request
from tastemaker.data.lake import Lake
from tastemaker.errors import TastemakerError
from tastemaker.event_log.drain import drain
from tastemaker.event_log.records import Entry, FeedbackRecord, ItemRecord, Record, UserRecord
from tastemaker.log_search.replay import replay
from tastemaker.registry import Version
from tastemaker.registry.artifact import load_version
from tastemaker.serving.inference.predictor import InferenceRequest, Predictor
from tastemaker.serving.ranking.pipeline import Pipeline
from tastemaker.settings import Settings

NOW = time.time() + 3_600
"""After the versions were trained."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Version]]:
    """A home with three models; nothing is logged in it."""
    home = tmp_path_factory.mktemp("home")
    return home, served_homes.make_home(home, ("popularity", "ease", "random"))


@pytest.fixture
def home(made: tuple[Path, dict[str, Version]], tmp_path: Path) -> Settings:
    """The same versions with a log of their own."""
    return Settings(home=home_copies.copy_home(made[0], tmp_path / "home"))


def answered(home: Settings, version: Version, number: int = 1, **asked: Any) -> Record:
    """A request and the answer of a service that knows no feedback."""
    fields: dict[str, Any] = {"user_id": "user-03", "k": 5} | asked
    ask = InferenceRequest(Request(**fields), f"{number:032x}", NOW)
    (result,) = Predictor(load_version(version.folder)).recommend([ask])
    answer = result.answer
    return Record(
        answer.request_id, NOW, ask.request.user_id, ask.request.k, answer.model, answer.version,
        answer.items, 1.0,
        context=ask.request.context, exclude=ask.request.exclude, candidates=ask.request.candidates,
        features=result.features, fallback=answer.fallback, stage=answer.stage,
    )  # fmt: skip


def log(home: Settings, *entries: Entry, is_drained: bool) -> None:
    """Log these, in the spool or in the lake."""
    fill(home.spool, entries)
    if is_drained:
        drain(home.spool, Lake(home.lake))


def event(kind: str, item: str, at: float) -> FeedbackRecord:
    """An event of Ann, which came when it happened."""
    return FeedbackRecord(f"{kind}-{item}-{at}", item, kind, 1.0, at, at, user_id="ann")


@pytest.mark.slow
@pytest.mark.parametrize("model", ["popularity", "ease", "random"])
@pytest.mark.parametrize("is_drained", [True, False])
@pytest.mark.parametrize(
    "asked", [{}, {"exclude": ["item-00", "item-01"]}, {"candidates": ["item-09", "item-02", "nonsense"]}]
)
def test_the_same_version_answers_the_same(
    made: tuple[Path, dict[str, Version]], home: Settings, model: str, is_drained: bool, asked: dict[str, Any]
) -> None:
    """Also a stochastic one: the request's id is its seed."""
    record = answered(home, made[1][model], **asked)
    log(home, record, is_drained=is_drained)
    found = replay(record.request_id, load_version(made[1][model].folder), home)
    assert found.answer.items == record.items
    assert found.is_same
    assert found.limits == []


def test_another_version_answers_with_its_own_list(
    made: tuple[Path, dict[str, Version]], home: Settings
) -> None:
    """The changes name each item of both lists with its two positions."""
    popular, ease = made[1]["popularity"], load_version(made[1]["ease"].folder)
    record = answered(home, popular)
    log(home, record, is_drained=True)
    found = replay(record.request_id, ease, home)
    expected = answered(home, made[1]["ease"]).items
    assert found.answer.items == expected
    assert found.answer.version == ease.manifest.version
    before, after = [one.item_id for one in record.items], [one.item_id for one in expected]
    assert before != after
    assert not found.is_same
    assert [one.item_id for one in found.changes if one.after is not None] == after
    assert {one.item_id for one in found.changes} == {*before, *after}
    for one in found.changes:
        assert one.before == (before.index(one.item_id) if one.item_id in before else None)
        assert one.after == (after.index(one.item_id) if one.item_id in after else None)


@pytest.mark.parametrize("is_drained", [True, False])
def test_feedback_and_changes_of_then_count_and_later_ones_do_not(
    made: tuple[Path, dict[str, Version]], home: Settings, is_drained: bool
) -> None:
    """An item that was sold out, one that was available again, and those that a user blocked."""
    version = made[1]["popularity"]
    record = answered(home, version)
    first, second, third, fourth, fifth = (item.item_id for item in record.items)
    before, after = NOW - 100, NOW + 100
    log(
        home,
        record,
        ItemRecord(first, before, available=False),
        ItemRecord(second, before, available=False),
        ItemRecord(second, before + 1, available=True),
        ItemRecord(third, after, available=False),
        UserRecord("user-03", before, blocked_items=[fourth]),
        UserRecord("user-04", before, blocked_items=[fifth]),
        UserRecord("user-03", after, blocked_items=[fifth]),
        is_drained=is_drained,
    )
    shown = [
        item.item_id for item in replay(record.request_id, load_version(version.folder), home).answer.items
    ]
    assert shown[:3] == [second, third, fifth]
    assert first not in shown
    assert fourth not in shown


@pytest.mark.slow
def test_a_dislike_of_then_counts(tmp_path: Path) -> None:
    """An item with a negative reward is ruled out from its arrival on."""
    from tastemaker.dataset.dataset import Dataset
    from tastemaker.plugins import discovery
    from tastemaker.problem import EventReward, Objective, ProblemSpec

    served_homes.make_home(tmp_path, ())
    events = {"purchase": EventReward(), "dislike": EventReward(weight=-1.0)}
    problem = ProblemSpec(name="small shop", objectives=(Objective(name="sales", events=events),))
    dataset = Dataset.load(Lake(tmp_path / "lake"), problem)
    version = served_homes.register(tmp_path, discovery.get("popularity").recommender(), dataset)
    home = Settings(home=tmp_path)
    record = answered(home, version, user_id="ann")
    first, second = (item.item_id for item in record.items[:2])
    log(home, record, event("dislike", first, NOW - 5), event("dislike", second, NOW + 5), is_drained=True)
    shown = [
        item.item_id for item in replay(record.request_id, load_version(version.folder), home).answer.items
    ]
    assert first not in shown
    assert second in shown


def test_a_state_of_the_service_is_named_and_not_repeated(
    made: tuple[Path, dict[str, Version]], home: Settings
) -> None:
    """A late model is asked again."""
    loaded = load_version(made[1]["ease"].folder)
    ask = InferenceRequest(Request("user-03", 5), f"{7:032x}", NOW)
    late = Predictor(loaded, pipeline=Pipeline(loaded)).fall_back(ask, "model_timeout").answer
    record = Record(
        late.request_id, NOW, "user-03", 5, late.model, late.version, late.items, 1.0, fallback=late.fallback,
        stage=late.stage,
    )  # fmt: skip
    log(home, record, is_drained=False)
    found = replay(record.request_id, loaded, home)
    assert found.answer.stage == "model"
    assert "model_timeout" in found.limits[0]


def test_a_version_that_is_younger_than_the_request_is_named(
    made: tuple[Path, dict[str, Version]], home: Settings
) -> None:
    """It may have learned from what followed."""
    log(home, learning_homes.shown(1, "v0", 0, ["item-00"], occurred_at=float(END)), is_drained=False)
    found = replay(f"{1:032x}", load_version(made[1]["ease"].folder), home)
    assert "trained after the request" in found.limits[0]


@pytest.mark.slow
def test_the_state_of_an_online_learner_is_refused(tmp_path: Path) -> None:
    """Unless it is asked for as it was trained; a version that never learned needs no permission."""
    version = served_homes.make_home(tmp_path, ("thompson",))["thompson"]
    home, loaded = Settings(home=tmp_path), load_version(version.folder)
    record = answered(home, version)
    log(home, record, is_drained=False)
    assert replay(record.request_id, loaded, home).is_same
    learning_homes.log(tmp_path, learning_homes.traffic(version.id, 30))
    learning_homes.learn(tmp_path, version)
    with pytest.raises(TastemakerError, match="is not kept"):
        replay(record.request_id, loaded, home)
    found = replay(record.request_id, loaded, home, as_trained=True)
    assert found.is_same
    assert "as it was trained" in found.limits[0]


def test_an_unknown_request_is_an_error_in_words(
    made: tuple[Path, dict[str, Version]], home: Settings
) -> None:
    """As for `log show`."""
    with pytest.raises(TastemakerError, match="no request"):
        replay("f" * 32, load_version(made[1]["ease"].folder), home)

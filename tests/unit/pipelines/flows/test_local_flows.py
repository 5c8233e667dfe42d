"""Flows without a Prefect server: the same work, whenever it is due, whatever is killed."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NoReturn

import pytest

from support import rollout_homes
from support.rollout_homes import PERSON, Killed, RolloutHome, killed_after
from tastemaker.errors import TastemakerError
from tastemaker.privacy.erasure_requests import FIRST_RETRY, ErasureRequests
from tastemaker.registry import champion
from tastemaker.rollouts import store
from tastemaker.workflows.rollouts import actions, steps
from tastemaker_pipelines.flows import catalogue, erasure, rollout
from tastemaker_pipelines.flows.flow import ApprovalAnswer, PendingWork, Seen, ask_until_recorded, stamp_of
from tastemaker_pipelines.flows.local import LocalFlows, LocalHost, StillPending

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
POLL = timedelta(minutes=5)
PREFECT_KEY = re.compile(r"[a-z0-9-]+")
"""What Prefect accepts as the key of an answer."""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RolloutHome:
    """A home in which a person must approve versions."""
    return rollout_homes.make(tmp_path, monkeypatch, path="offline", approval=True)


def begun(home: RolloutHome) -> int:
    return steps.begin(home.workspace, home.second.id, "schedule", "the newest version").id


class Approving(LocalHost):
    """A host whose questions are answered at once."""

    def __init__(self, *answers: ApprovalAnswer) -> None:
        super().__init__()
        self.asked: list[tuple[str, str]] = []
        self._answers = list(answers)

    def ask(self, question: str, key: str) -> ApprovalAnswer:
        self.asked.append((question, key))
        return self._answers.pop(0)


YES = ApprovalAnswer(True, PERSON, "figures read")


@pytest.mark.parametrize(
    ("more", "seen", "due"),
    [
        ({}, None, True),
        ({}, Seen("approval-1", NOW), True),
        ({}, Seen("approval-2", NOW - 10 * POLL), False),
        ({"is_polled": True}, Seen("approval-2", NOW - POLL), True),
        ({"is_polled": True}, Seen("approval-2", NOW - POLL / 2), False),
        ({"due_at": NOW}, Seen("approval-2", NOW), True),
        ({"due_at": NOW + POLL}, Seen("approval-2", NOW - POLL), False),
    ],
)
def test_work_is_due_after_a_change_at_a_poll_or_at_its_time(
    more: dict[str, object], seen: Seen | None, due: bool
) -> None:
    work = PendingWork("rollout", 1, "a version", "approval-2", "a person", **{"due_at": None, **more})  # type: ignore[arg-type]
    assert work.is_due(seen, NOW, POLL) is due


@pytest.mark.slow
def test_a_person_is_asked_once_and_answers_by_a_command(
    home: RolloutHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed = iter(["the figures"])
    monkeypatch.setattr(rollout, "_evidence", lambda *_: [next(computed)])
    number, lines = begun(home), list[str]()
    flows = LocalFlows(home.workspace, POLL, lines.append)
    for _ in range(3):
        assert flows.run_due(datetime.now(UTC)) == 0
    assert lines == [
        f"the figures\n\nwaits for a person: tastemaker rollout approve {number} --reason REASON"
    ]
    actions.hold(home.workspace, number, PERSON, "the sale begins")
    flows.run_due(datetime.now(UTC))
    [work] = rollout.pending(home.workspace)
    assert work.waits_for == f"a person: tastemaker rollout resume {number} --reason REASON"
    actions.resume(home.workspace, number, PERSON, "the sale is over")
    flows.run_due(datetime.now(UTC))
    assert lines == lines[:1] * 2, "asked again after the hold, with the evidence that was kept"
    actions.approve(home.workspace, number, PERSON, "figures read")
    flows.run_due(datetime.now(UTC))
    assert store.read_rollout(home.workspace.engine, number).state == "promoted"
    assert list(catalogue.pending_work(home.workspace)) == []


@pytest.mark.slow
def test_the_evidence_has_the_versions_the_path_and_the_figures(home: RolloutHome) -> None:
    number = begun(home)
    host = Approving(YES)
    ended = rollout.follow(home.workspace, number, host)
    assert "is promoted, by schedule" in ended
    [(question, key)] = host.asked
    assert f"**toy {home.second.id}** for *shop*" in question
    assert f"champion now: toy {home.first.id}" in question
    assert "begun by schedule: the newest version" in question
    assert "(the champion) in ndcg: +" in question
    assert PREFECT_KEY.fullmatch(key)
    approval = store.read_changes(home.workspace.engine, number)[-2]
    assert (approval.actor, approval.reason) == (PERSON, "figures read")


@pytest.mark.slow
def test_another_champion_ends_the_wait_for_an_approval(home: RolloutHome) -> None:
    number, lines = begun(home), list[str]()
    flows = LocalFlows(home.workspace, POLL, lines.append)
    flows.run_due(datetime.now(UTC))
    third = rollout_homes.add(home.workspace, 3.0, rollout_homes.BEST)
    home.workspace.registry.make_champion(third, "by hand", forced=True)
    flows.run_due(datetime.now(UTC))
    assert "is failed, by schedule: the champion was changed in the meantime" in lines[-1]
    assert store.read_rollout(home.workspace.engine, number).state == "failed"


def test_a_declined_version_is_not_promoted(home: RolloutHome) -> None:
    number = begun(home)
    ended = rollout.follow(
        home.workspace, number, Approving(ApprovalAnswer(False, PERSON, "not before the sale"))
    )
    assert ended.endswith(f"is declined, by {PERSON}: not before the sale")
    current = home.workspace.registry.champion("shop")
    assert current is not None
    assert current.id == home.first.id


@pytest.mark.slow
def test_a_flow_killed_after_any_commit_promotes_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for commits in range(1, 20):
        folder = tmp_path / str(commits)
        folder.mkdir()
        home = rollout_homes.make(folder, monkeypatch, path="offline", approval=True)
        number = begun(home)
        with killed_after(home.workspace.engine, commits) as is_killed:
            try:
                rollout.follow(home.workspace, number, Approving(YES))
            except Killed:
                rollout.follow(home.workspace, number, Approving(YES))
        changes = store.read_changes(home.workspace.engine, number)
        assert [one.actor for one in changes].count(PERSON) == 1, "the answer is recorded once"
        log = champion.log(home.workspace.engine, "shop")
        assert [one.version_id for one in log] == [home.first.id, home.second.id]
        if not is_killed():
            break
    else:
        pytest.fail("it was killed each time")
    assert commits > 3


def test_an_answer_that_is_refused_is_asked_for_again() -> None:
    host = Approving(ApprovalAnswer(True, PERSON, "for user 17"), ApprovalAnswer(True, PERSON, "ticket 4711"))
    recorded = []

    def record(answer: ApprovalAnswer) -> None:
        if "17" in answer.reason.split():
            raise TastemakerError("the reason names the user")
        recorded.append(answer.reason)

    ask_until_recorded(host, "Erase them?", lambda: "waiting-0", record)
    assert recorded == ["ticket 4711"]
    assert host.asked[1][0] == "**The answer was not recorded: the reason names the user**\n\nErase them?"
    keys = [key for _, key in host.asked]
    assert len(set(keys)) == 2
    assert {stamp_of(key) for key in keys} == {"waiting-0"}


def test_an_answer_given_elsewhere_in_the_meantime_is_not_given_again() -> None:
    stamps = iter(["waiting-0", "approved-0"])
    ask_until_recorded(Approving(YES), "Erase them?", lambda: next(stamps), lambda _: pytest.fail("recorded"))


def test_a_flow_that_fails_says_why_and_runs_again_after_a_poll(
    home: RolloutHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    number, lines = begun(home), list[str]()
    flows = LocalFlows(home.workspace, POLL, lines.append)

    def fails(*_: object) -> NoReturn:
        raise TastemakerError("a file is damaged", fix="train again")

    with monkeypatch.context() as patched:
        patched.setattr(steps, "advance", fails)
        assert flows.run_due(datetime.now(UTC)) == 1
    assert lines == [f"rollout {number} failed: a file is damaged\n  fix: train again"]
    assert flows.run_due(datetime.now(UTC)) == 0
    assert len(lines) == 1
    assert flows.run_due(datetime.now(UTC) + POLL) == 0
    assert "waits for a person" in lines[1]


@pytest.fixture
def requests(home: RolloutHome) -> ErasureRequests:
    settings = home.workspace.settings
    log = settings.home / "simulate" / "run.jsonl"
    log.parent.mkdir()
    log.write_text('{"user": "customer-17850"}\n' * 3)
    requests = ErasureRequests(settings)
    requests.enter("customer-17850", actor="ada", reason="ticket 4711")
    return requests


def test_an_erasure_is_approved_executed_and_repeated_until_it_is_proved(
    home: RolloutHome, requests: ErasureRequests
) -> None:
    mine = requests.settings.home / "mine.csv"
    mine.write_text("user,customer-17850\n")
    lines = list[str]()
    flows = LocalFlows(home.workspace, POLL, lines.append)
    run_at: Callable[[timedelta], int] = lambda later: flows.run_due(datetime.now(UTC) + later)  # noqa: E731
    run_at(timedelta())
    [question] = lines
    assert "- simulate/run.jsonl: 3 text" in question
    assert "17850" not in question
    requests.approve(1, actor="grace", reason="identity checked")
    run_at(timedelta())
    assert requests.get(1).attempts == 1
    run_at(FIRST_RETRY / 2)
    assert requests.get(1).attempts == 1
    mine.unlink()
    [work] = erasure.pending(home.workspace)
    assert work.due_at == requests.get(1).attempt_at
    assert "the user remains" in work.waits_for


def test_an_erasure_ends_with_a_sentence_without_the_user(
    home: RolloutHome, requests: ErasureRequests
) -> None:
    ended = erasure.follow(home.workspace, 1, Approving(YES))
    assert ended == "erasure request 1 is done, requested by ada: ticket 4711"
    assert list(catalogue.pending_work(home.workspace)) == []


def test_keys_of_all_waits_are_such_as_prefect_accepts(home: RolloutHome, requests: ErasureRequests) -> None:
    number = begun(home)
    actions.hold(home.workspace, number, PERSON, "the sale begins")
    for follow, work in ((rollout.follow, number), (erasure.follow, 1)):
        with pytest.raises(StillPending) as left:
            follow(home.workspace, work, LocalHost())
        assert PREFECT_KEY.fullmatch(left.value.key)
    stamps = {one.stamp for one in catalogue.pending_work(home.workspace)}
    assert stamps == {f"held-2-{home.first.id}", "waiting-0"}

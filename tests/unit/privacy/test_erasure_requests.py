"""A request to erase a user ends with a proof, and nothing that is kept of it names the user."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tastemaker.errors import TastemakerError
from tastemaker.privacy import erasure_requests as requests_module
from tastemaker.privacy.erasure_requests import FIRST_RETRY, LONGEST_RETRY, ErasureRequest, ErasureRequests
from tastemaker.privacy.forget import forget
from tastemaker.settings import PrivacySettings, Settings

WHO, OTHER = "customer-17850", "customer-99"


class Killed(BaseException):
    """What a process that is killed does not survive."""


@pytest.fixture
def requests(tmp_path: Path) -> ErasureRequests:
    """Those of a home with two users in the log of a simulated client."""
    log = tmp_path / "simulate" / "run.jsonl"
    log.parent.mkdir()
    log.write_text(f'{{"user": "{WHO}"}}\n{{"user": "{OTHER}"}}\n')
    return ErasureRequests(Settings(home=tmp_path))


def entered(requests: ErasureRequests) -> ErasureRequest:
    return requests.enter(WHO, actor="ada", reason="ticket 4711")


def approved(requests: ErasureRequests) -> ErasureRequest:
    return requests.approve(entered(requests).number, actor="grace", reason="identity checked")


def files_with(home: Path, user_id: str) -> set[str]:
    """The files whose bytes have an id, the databases' too."""
    paths = (path for path in home.rglob("*") if path.is_file())
    return {str(path.relative_to(home)) for path in paths if user_id.encode() in path.read_bytes()}


def test_an_approved_request_is_proved_and_no_file_has_the_id(requests: ErasureRequests) -> None:
    home = requests.settings.home
    number = entered(requests).number
    own, log = f"erasure_requests/{number}.json", "simulate/run.jsonl"
    assert files_with(home, WHO) == {own, log}
    assert (home / own).stat().st_mode & 0o077 == 0
    assert [(place.place, place.found) for place in requests.find_user(number)] == [(log, 1)]
    assert requests.execute(number).state == "waiting", "nothing is erased before the approval"
    assert files_with(home, WHO) == {own, log}
    requests.approve(number, actor="grace", reason="identity checked")
    done = requests.execute(number)
    assert (done.state, done.attempts, done.erased_places, done.remains) == ("done", 1, 1, [])
    assert done.searched_places is not None
    assert done.searched_places > 1
    assert (done.requested_by, done.reason) == ("ada", "ticket 4711")
    assert (done.decided_by, done.decision) == ("grace", "identity checked")
    assert files_with(home, WHO) == set()
    assert files_with(home, OTHER) == {log}
    assert requests.execute(number) == done, "what is done is not done again"


def test_a_user_who_remains_is_erased_again_after_longer_and_longer_waits(requests: ErasureRequests) -> None:
    mine = requests.settings.home / "mine.csv"
    mine.write_text(f"user,{WHO}\n")
    number = approved(requests).number
    waits = []
    for attempt in range(1, 4):
        found = requests.execute(number)
        assert (found.state, found.attempts) == ("approved", attempt)
        assert found.remains == [{"place": "mine.csv", "how": "bytes", "found": 1}]
        assert found.attempted_at is not None
        assert found.attempt_at is not None
        waits.append(found.attempt_at - found.attempted_at)
    assert waits == [FIRST_RETRY, 2 * FIRST_RETRY, 4 * FIRST_RETRY]
    late = found._replace(attempts=2_000)
    assert late.attempt_at == late.attempted_at + LONGEST_RETRY  # type: ignore[operator]
    mine.unlink()
    done = requests.execute(number)
    assert (done.state, done.attempts, done.problem_text) == ("done", 4, None)
    assert files_with(requests.settings.home, WHO) == set()


def test_a_request_killed_within_the_erasure_is_executed_again(
    requests: ErasureRequests, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = approved(requests).number

    def killed(settings: Settings, user_id: str) -> None:
        forget(settings, user_id)
        raise Killed

    monkeypatch.setattr(requests_module, "forget", killed)
    with pytest.raises(Killed):
        requests.execute(number)
    assert requests.get(number).state == "approved"
    monkeypatch.setattr(requests_module, "forget", forget)
    assert requests.execute(number).state == "done"
    assert files_with(requests.settings.home, WHO) == set()


def test_the_id_of_a_request_killed_before_its_deletion_is_deleted_by_the_next_change(
    requests: ErasureRequests, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(*_: object, **__: object) -> None:
        raise Killed

    number = approved(requests).number
    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", kill)
        with pytest.raises(Killed):
            requests.execute(number)
    assert requests.get(number).state == "done"
    assert files_with(requests.settings.home, WHO) == {f"erasure_requests/{number}.json"}
    requests.enter(OTHER, actor="ada", reason="ticket 4712")
    assert files_with(requests.settings.home, WHO) == set()


def test_a_declined_request_erases_nothing_and_keeps_no_id(requests: ErasureRequests) -> None:
    declined = requests.decline(entered(requests).number, actor="grace", reason="not the owner")
    assert (declined.state, declined.attempt_at) == ("declined", None)
    assert declined.ended_at is not None
    assert files_with(requests.settings.home, WHO) == {"simulate/run.jsonl"}
    with pytest.raises(TastemakerError, match="request 1 is declined, must be waiting"):
        requests.approve(declined.number, actor="grace", reason="after all")
    assert requests.execute(declined.number) == declined
    assert entered(requests).number == 2, "the user may ask again"


@pytest.mark.parametrize("reason", [WHO, f"mail of {WHO}, today", f"({WHO})"])
def test_a_reason_that_names_the_user_is_refused(requests: ErasureRequests, reason: str) -> None:
    with pytest.raises(TastemakerError, match="the reason names the user"):
        requests.enter(WHO, actor="ada", reason=reason)
    assert requests.listed(only_open=False) == []
    number = entered(requests).number
    for decide in (requests.approve, requests.decline):
        with pytest.raises(TastemakerError, match="the reason names the user"):
            decide(number, actor="grace", reason=reason)
    assert requests.get(number).state == "waiting"


def test_one_request_per_user_is_open(requests: ErasureRequests) -> None:
    requests.enter("27", actor="ada", reason="ticket 1")
    with pytest.raises(TastemakerError, match="is requested already: request 1"):
        requests.enter("27.0", actor="ada", reason="ticket 2")
    with pytest.raises(TastemakerError, match="the user id is empty"):
        requests.enter(" ", actor="ada", reason="ticket 3")
    with pytest.raises(TastemakerError, match="there is no erasure request 7"):
        requests.get(7)


def test_an_error_that_quotes_the_id_is_recorded_without_it(
    requests: ErasureRequests, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise ValueError(f"[parameters: ('{WHO}',)]")

    monkeypatch.setattr(requests_module, "forget", fails)
    found = requests.execute(approved(requests).number)
    assert (found.state, found.attempts, found.problem_text) == ("approved", 1, "ValueError")
    monkeypatch.setattr(requests_module, "search", fails)
    with pytest.raises(TastemakerError, match="can't be searched: ValueError") as caught:
        requests.find_user(found.number)
    assert WHO not in str(caught.value)


def test_a_lost_id_is_an_error_that_says_what_to_do(requests: ErasureRequests) -> None:
    number = entered(requests).number
    (requests.folder / f"{number}.json").unlink()
    with pytest.raises(TastemakerError, match="tastemaker erasure decline 1 --reason lost"):
        requests.approve(number, actor="grace", reason="identity checked")
    assert requests.decline(number, actor="grace", reason="lost").state == "declined"


def test_a_request_is_overdue_after_its_deadline_until_it_ends(tmp_path: Path) -> None:
    requests = ErasureRequests(Settings(home=tmp_path, privacy=PrivacySettings(erasure_days=10)))
    found = entered(requests)
    assert found.due_at - found.requested_at == timedelta(days=10)
    assert not found.is_overdue(found.due_at)
    late = found.due_at + timedelta(seconds=1)
    assert found.is_overdue(late)
    assert not requests.decline(found.number, actor="grace", reason="no").is_overdue(late)
    assert found.requested_at <= datetime.now(UTC)

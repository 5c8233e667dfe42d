"""What users did lately: kept through drains and restarts, bounded, and ruled out of every kind of list."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from support import served_homes
from support.request_logs import fill, request
from support.workers import open_worker
from tastemaker.api.schemas import Answer, FeedbackEvent, ItemUpsert, Request, SessionRequest
from tastemaker.data.lake import Lake
from tastemaker.event_log import recent as kept
from tastemaker.event_log.drain import drain
from tastemaker.event_log.records import FeedbackRecord
from tastemaker.event_log.spool import Spool
from tastemaker.registry.artifact import LoadedVersion, load_version
from tastemaker.serving.inference.predictor import InferenceRequest, Predictor
from tastemaker.serving.ranking import recent_feedback
from tastemaker.serving.ranking.pipeline import Pipeline
from tastemaker.serving.ranking.recent_feedback import RecentFeedback

NOW = 1_800_000_000.0
WHO = "user-01"
EVENTS = {
    "purchase": {"weight": 1.0},
    "dislike": {"weight": -2.0},
    "refund": {"weight": -1.0, "by_value": True},
}


def test_looking_for_new_feedback_takes_no_longer_the_more_requests_wait_for_a_drain(tmp_path: Path) -> None:
    """Steps of SQLite's machine, in a spool whose last feedback came before all but a few of its requests."""
    steps = dict[int, int]()
    for n in (10, 2_000):
        with Spool(tmp_path / str(n)) as spool:
            first, second = (
                FeedbackRecord(f"e{number}", "item-00", "purchase", 1.0, NOW, NOW, WHO) for number in range(2)
            )
            spool.append(*map(request, range(5)), first).result()
            reader = kept.Reader(tmp_path / str(n))
            assert [one.event_id for events in reader.read(9) for one in events] == ["e0"]
            spool.append(*map(request, range(5, n)), second, request(n)).result()
            ((_, connection),) = reader._connections.values()
            taken = list[None]()
            connection.set_progress_handler(lambda taken=taken: taken.append(None), 1)  # type: ignore[misc]
            assert [one.event_id for events in reader.read(9) for one in events] == ["e1"]
            steps[n] = len(taken)
            reader.close()
    assert steps[2_000] == steps[10] > 0


def test_looking_for_new_feedback_takes_no_longer_the_more_was_drained_since_the_start(
    tmp_path: Path,
) -> None:
    """Steps of SQLite's machine; each event was read in the spool before it was drained."""
    steps = dict[int, int]()
    reader = kept.Reader(tmp_path)
    for n in (10, 2_000):
        fill(tmp_path, [FeedbackRecord(f"{n}/{k}", "i", "purchase", 1.0, NOW, NOW, WHO) for k in range(n)])
        assert sum(map(len, reader.read(500))) == n
        drain(tmp_path, Lake(tmp_path / "lake"))
        assert list(reader.read(500)) == []
        taken = list[None]()
        for _, connection in reader._connections.values():
            connection.set_progress_handler(lambda taken=taken: taken.append(None), 1)  # type: ignore[misc]
        assert list(reader.read(500)) == []
        steps[n] = len(taken)
    reader.close()
    assert steps[2_000] == steps[10] > 0


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, LoadedVersion]:
    home = tmp_path_factory.mktemp("home")
    made = served_homes.make_home(home, ("popularity", "random"))
    return {name: load_version(version.folder) for name, version in made.items()}


class Shop:
    """A worker over a folder, as another process would open it, too."""

    def __init__(self, loaded: LoadedVersion, folder: Path, *, repeats: bool) -> None:
        spec = loaded.manifest.problem_spec | {"objectives": [{"share": 1.0, "events": EVENTS}]}
        manifest = msgspec.structs.replace(loaded.manifest, problem_spec=spec)
        loaded = replace(loaded, snapshot=replace(loaded.snapshot, repeats=repeats), manifest=manifest)
        self.recent = RecentFeedback(folder)
        self.predictor = Predictor(loaded, pipeline=Pipeline(loaded, changes=folder, recent=self.recent))
        self.worker = open_worker("popularity", self.predictor, Spool(folder), recent=self.recent)

    def feedback(
        self, item_id: str, event_type: str = "purchase", user_id: str | None = WHO, **more: Any
    ) -> None:
        event = FeedbackEvent(more.pop("event_id", f"{time.time_ns()}"), event_type, item_id, user_id, **more)
        asyncio.run(self.worker.feedback([event]))

    def answer(self, user_id: str = WHO, k: int = 30, **more: Any) -> Answer:
        return asyncio.run(self.worker.recommend(Request(user_id, k, **more)))

    def shown(self, user_id: str = WHO, **more: Any) -> list[str]:
        return [item.item_id for item in self.answer(user_id, **more).items]


Open = Callable[..., Shop]


@pytest.fixture
def opened(versions: dict[str, LoadedVersion], tmp_path: Path) -> Iterator[Open]:
    made: list[Shop] = []

    def open_(model: str = "popularity", *, repeats: bool = False) -> Shop:
        made.append(Shop(versions[model], tmp_path / "spool", repeats=repeats))
        return made[-1]

    yield open_
    for shop in made:
        shop.worker.close()
        shop.predictor.pipeline.close()


@pytest.mark.parametrize("model", ["popularity", "random"])
@pytest.mark.parametrize("user_id", [WHO, "a user unknown to training"])
def test_what_was_bought_is_never_shown_again_in_any_worker(opened: Open, model: str, user_id: str) -> None:
    one, other = opened(model), opened(model)
    for _ in range(3):
        first = one.shown(user_id)[0]
        assert first in other.shown(user_id)
        one.feedback(first, user_id=user_id)
        assert first not in one.shown(user_id)
        assert first not in other.shown(user_id)
        assert first not in opened(model).shown(user_id), "after a restart"
        assert first in one.shown("another user, also unknown")


def test_ids_in_another_form_are_the_same_ids(opened: Open) -> None:
    """Blanks around an id, and a whole number that was floating point, in feedback and in requests."""
    shop = opened("popularity")
    first, second, *_ = shop.shown()
    shop.feedback(f"{first}\u00a0", user_id=f"{WHO} ")
    assert first not in shop.shown()
    assert first not in shop.shown(f" {WHO}")
    assert shop.shown(candidates=[first, f"{second}\t"]) == [second]
    assert second not in shop.shown(exclude=[f"\ufeff{second}"])
    shop.feedback("27.0")
    assert shop.recent.had(WHO, ["27", "27.0"]) == {"27"}


def test_it_holds_when_the_log_was_shipped_before_and_after(opened: Open, tmp_path: Path) -> None:
    shop = opened()
    lake, spool = Lake(tmp_path / "lake"), tmp_path / "spool"
    answer = shop.answer("a new user")
    first, second = answer.items[0].item_id, answer.items[1].item_id
    shop.feedback(first, user_id="a new user")
    drain(spool, lake)
    for one in (shop, opened()):
        assert first not in one.shown("a new user")
    shop.feedback(second, user_id=None, request_id=answer.request_id)
    for one in (shop, opened()):
        assert second not in one.shown("a new user"), "known only by a request that was shipped"
    drain(spool, lake)
    for one in (shop, opened()):
        assert not {first, second} & set(one.shown("a new user"))


def test_an_event_that_names_only_its_request_is_of_the_requests_user(opened: Open) -> None:
    shop, other = opened(), opened()
    answer = shop.answer("a new user")
    item = answer.items[0].item_id
    shop.feedback(item, user_id=None, request_id=answer.request_id)
    assert item not in shop.shown("a new user")
    assert item not in other.shown("a new user")
    shop.feedback(item, user_id=None, request_id="of another user")
    assert item in shop.shown("another user")


def test_a_request_may_be_logged_after_its_feedback(opened: Open, tmp_path: Path) -> None:
    """By another worker, shortly later."""
    shop = opened()
    request_id = f"{7:032x}"
    shop.feedback("item-00", user_id=None, request_id=request_id)
    assert "item-00" in shop.shown("late")
    fill(tmp_path / "spool", [msgspec.structs.replace(request(7), user_id="late", request_id=request_id)])
    time.sleep(2 * recent_feedback.ASKER_RETRY_SECONDS)
    assert "item-00" not in shop.shown("late")


def test_where_items_may_be_repeated_only_disliked_ones_are_excluded(opened: Open) -> None:
    shop = opened(repeats=True)
    user = "a new user"
    first, second = shop.shown(user)[:2]
    shop.feedback(first, user_id=user)
    assert first in shop.shown(user)
    shop.feedback(first, "dislike", user_id=user)
    assert first not in shop.shown(user), "1 - 2 is below 0"
    shop.feedback(second, "refund", user_id=user, value=0.0)
    assert second in shop.shown(user), "worth nothing"
    for _ in range(2):
        shop.feedback(first, user_id=user)
    assert first in shop.shown(user), "3 - 2 is above 0"


def test_the_history_before_counts_towards_a_dislike(
    opened: Open, versions: dict[str, LoadedVersion]
) -> None:
    snapshot = versions["popularity"].snapshot
    user = int(snapshot.user_ids.lookup([WHO])[0])
    had = snapshot.history[np.array([user])]
    most = int(np.argmax(had.rewards))
    item, reward = snapshot.item_ids.decode([had.items[most]])[0], float(had.rewards[most])
    assert reward >= 2
    shop = opened(repeats=True)
    for _ in range(int(reward) // 2):
        shop.feedback(item, "dislike")
    assert item in shop.shown(), "0 or 1 is left"
    shop.feedback(item, "dislike")
    assert item not in shop.shown()
    assert item in shop.shown("user-02")


def test_an_event_that_is_sent_again_counts_once(opened: Open, tmp_path: Path) -> None:
    """Also after the first was shipped, so that the spool no longer knows its id."""
    shop, user = opened(repeats=True), "a new user"
    for _ in range(3):
        shop.feedback("item-00", user_id=user)
    shop.feedback("item-00", "dislike", user_id=user, event_id="once")
    drain(tmp_path / "spool", Lake(tmp_path / "lake"))
    shop.feedback("item-00", "dislike", user_id=user, event_id="once")
    for one in (shop, opened(repeats=True)):
        assert "item-00" in one.shown(user), "3 - 2, not 3 - 4"


def test_what_does_not_count_for_the_problem_rules_nothing_out(opened: Open) -> None:
    shop = opened()
    for event_type in ("impression", "view", "x" * 64):
        shop.feedback("item-00", event_type, user_id="a new user")
    assert "item-00" in shop.shown("a new user")


def test_lists_of_every_kind_leave_it_out(opened: Open) -> None:
    shop, user = opened(), "a new user"
    shop.feedback("item-00", user_id=user)
    assert shop.shown(user, candidates=["item-00", "item-01"]) == ["item-01"]
    asked = InferenceRequest(Request(user, 30), f"{1:032x}", time.time())
    fallen = shop.predictor.fall_back(asked, "model_timeout").answer
    assert "item-00" not in [item.item_id for item in fallen.items]
    session = SessionRequest(["item-03"], 30, session_id="a-visit")
    answer = asyncio.run(shop.worker.session(session))
    first = answer.items[0].item_id
    shop.feedback(first, user_id=None, request_id=answer.request_id)
    again = asyncio.run(shop.worker.session(session))
    assert first not in [item.item_id for item in again.items]


def test_an_anonymous_user_dislikes_in_a_session(opened: Open) -> None:
    shop = opened(repeats=True)
    session = SessionRequest(["item-03"], 30, session_id="a-visit")
    answer = asyncio.run(shop.worker.session(session))
    shop.feedback("item-03", "dislike", user_id=None, request_id=answer.request_id)
    again = asyncio.run(shop.worker.session(session))
    assert "item-03" in [item.item_id for item in answer.items]
    assert "item-03" not in [item.item_id for item in again.items], "looking at it makes up for nothing"


def test_the_static_list_leaves_it_out_without_a_version(tmp_path: Path) -> None:
    lately = RecentFeedback(tmp_path)
    worker = open_worker("m", None, Spool(tmp_path), static_ids=["a", "b", "c"], recent=lately)
    try:
        asyncio.run(worker.feedback([FeedbackEvent("e", "purchase", "b", "u")]))
        answer = asyncio.run(worker.recommend(Request("u")))
    finally:
        worker.close()
    assert (answer.stage, [item.item_id for item in answer.items]) == ("static", ["a", "c"])


def test_a_new_item_that_was_bought_is_not_offered_again(opened: Open) -> None:
    shop = opened()
    asyncio.run(shop.worker.upsert_items([ItemUpsert("brand new", title="Item 1", category="odd")]))
    end = time.monotonic() + 20
    while not shop.predictor.pipeline.has_new and time.monotonic() < end:
        time.sleep(0.01)
    assert "brand new" in shop.shown("a new user", k=10)
    shop.feedback("brand new", user_id="a new user")
    assert "brand new" not in shop.shown("a new user", k=10)


@contextmanager
def reader_process(folder: Path) -> Iterator[Callable[[str], str]]:
    """Another process that says which of item-00 and item-01 a user had."""
    code = """
import sys
from pathlib import Path
from tastemaker.serving.ranking.recent_feedback import RecentFeedback
lately = RecentFeedback(Path(sys.argv[1]))
print("ready", flush=True)
for line in sys.stdin:
    print(sorted(lately.had(line.strip(), ["item-00", "item-01"])), flush=True)
"""
    words = [sys.executable, "-c", code, str(folder)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        stdin, stdout = other.stdin, other.stdout
        assert stdout.readline() == "ready\n"

        def had(user_id: str) -> str:
            stdin.write(f"{user_id}\n")
            stdin.flush()
            return stdout.readline()

        yield had
        stdin.close()


@pytest.mark.processes
def test_another_process_sees_feedback_immediately(opened: Open, tmp_path: Path) -> None:
    shop = opened()
    with reader_process(tmp_path / "spool") as had:
        for number in range(20):
            shop.feedback("item-01", user_id=f"u{number}")
            assert had(f"u{number}") == "['item-01']\n"


@pytest.mark.processes
def test_drained_events_go_into_a_new_file_if_that_was_moved_away_while_it_was_read(tmp_path: Path) -> None:
    """Alone: SQLite's log, which is longer than that of the new one, and its index stay."""
    lake = Lake(tmp_path / "lake")
    with reader_process(tmp_path) as had:
        for first in (0, 1):  # the log is kept from the second drain on: the reader has it open then
            events = range(first, first + 3_000)
            fill(
                tmp_path, [FeedbackRecord(f"e{n}", "item-00", "purchase", 1.0, NOW, NOW, "u") for n in events]
            )
            drain(tmp_path, lake)
            RecentFeedback(tmp_path).announce()
            assert had("u") == "['item-00']\n"
        (tmp_path / kept.FILE_NAME).unlink()
        for user_id in ("v", "w"):
            fill(tmp_path, [FeedbackRecord(user_id, "item-01", "purchase", 1.0, NOW, NOW, user_id)])
            drain(tmp_path, lake)
            RecentFeedback(tmp_path).announce()
            assert had(user_id) == "['item-01']\n"


def test_a_forgotten_users_events_are_forgotten(opened: Open, tmp_path: Path) -> None:
    shop = opened()
    shop.feedback("item-00", user_id="a new user")
    drain(tmp_path / "spool", Lake(tmp_path / "lake"))
    assert "item-00" not in shop.shown("a new user")
    with closing(sqlite3.connect(tmp_path / "spool" / kept.FILE_NAME)) as connection, connection:
        connection.execute("DELETE FROM events")
    (tmp_path / recent_feedback.FORGOTTEN).write_text("{}")
    shop.recent.refresh(at_once=True)
    assert "item-00" in shop.shown("a new user")

"""Files of recent events that are full, new, moved away or can't be read."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from support.request_logs import fill, request
from tastemaker.data.lake import Lake
from tastemaker.event_log import recent as kept
from tastemaker.event_log.drain import drain
from tastemaker.event_log.records import FeedbackRecord
from tastemaker.serving.ranking import recent_feedback
from tastemaker.serving.ranking.recent_feedback import RecentFeedback

NOW = 1_800_000_000.0


def test_what_is_kept_is_bounded_and_expires(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "MAX_EVENTS", 10)
    records = [FeedbackRecord(f"e{n}", "i", "purchase", 1.0, NOW + n, NOW + n, f"u{n}") for n in range(25)]
    for start in range(0, 25, 5):
        fill(tmp_path, records[start : start + 5])
        drain(tmp_path, Lake(tmp_path / "lake"))
    users = [f"u{n}" for n in range(25)]
    assert [bool(RecentFeedback(tmp_path).had(user, ["i"])) for user in users] == [n >= 15 for n in range(25)]
    kept.expire(tmp_path, NOW + 20)
    assert [bool(RecentFeedback(tmp_path).had(user, ["i"])) for user in users] == [n >= 20 for n in range(25)]


def test_an_unreadable_file_changes_no_answer(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    fill(tmp_path, [FeedbackRecord("e", "i", "purchase", 1.0, NOW, NOW, "u")])
    lately = RecentFeedback(tmp_path)
    for path in tmp_path.glob("requests.db*"):
        path.unlink()
    (tmp_path / "requests.db").write_bytes(b"no database at all" * 100)
    for _ in range(3):
        lately.refresh(at_once=True)
        assert lately.had("u", ["i", "j"]) == {"i"}
    assert len([line for line in caplog.messages if "can't be read" in line]) == 1
    lately.close()


def test_a_file_that_has_no_tables_yet_is_empty_and_not_an_error(tmp_path: Path) -> None:
    """As on a disk that had room for a file but not for what is in it."""
    for name in ("requests.db", kept.FILE_NAME):
        (tmp_path / name).touch()
    lately = RecentFeedback(tmp_path)
    assert (lately.had("u", ["i"]), lately.trouble) == (set(), None)
    fill(tmp_path, [FeedbackRecord("e", "i", "purchase", 1.0, NOW, NOW, "u")])
    lately.refresh(at_once=True)
    assert (lately.had("u", ["i"]), lately.trouble) == ({"i"}, None)
    lately.close()


@pytest.mark.parametrize("content", [b"", b"no database at all" * 100])
def test_what_can_be_read_counts_while_the_drained_events_can_not(tmp_path: Path, content: bytes) -> None:
    """Also that of events whose request is not found, and of those whose request is in the spool."""
    (tmp_path / kept.FILE_NAME).write_bytes(content)
    lately = RecentFeedback(tmp_path)
    asked = msgspec.structs.replace(request(7), user_id="u")
    for number in (1, 2):
        what = [FeedbackRecord(f"{number}{n}", f"i{number}{n}", "purchase", 1.0, NOW, NOW) for n in range(3)]
        unknown, of_request, of_user = (
            msgspec.structs.replace(one, user_id=user_id, request_id=request_id)
            for one, user_id, request_id in zip(
                what, (None, None, "u"), ("of no user", asked.request_id, None), strict=True
            )
        )
        fill(tmp_path, [unknown, of_request, asked, of_user])
        lately.refresh(at_once=True)
        assert lately.had("u", [one.item_id for one in what]) == {of_request.item_id, of_user.item_id}
    lately.close()


def test_an_event_waits_for_its_request_until_the_drained_ones_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recent_feedback, "ASKER_SECONDS", 0.0)
    asked = msgspec.structs.replace(request(7), user_id="u")
    fill(tmp_path, [asked])
    drain(tmp_path, Lake(tmp_path / "lake"))
    good, bad = tmp_path / kept.FILE_NAME, tmp_path / "bad"
    bad.write_bytes(b"no database at all" * 100)
    good.rename(tmp_path / "good")
    bad.rename(good)
    lately = RecentFeedback(tmp_path)
    fill(tmp_path, [FeedbackRecord("e", "i", "purchase", 1.0, NOW, NOW, None, asked.request_id)])
    for _ in range(2):
        lately.refresh(at_once=True)
        assert (lately.had("u", ["i"]), lately.trouble is None) == (set(), False)
    (tmp_path / "good").rename(good)
    lately.refresh(at_once=True)
    assert (lately.had("u", ["i"]), lately.trouble) == ({"i"}, None)
    lately.close()


def test_events_drained_into_a_new_file_are_read_though_it_numbers_from_1_again(tmp_path: Path) -> None:
    fill(tmp_path, [FeedbackRecord(f"e{n}", "i", "purchase", 1.0, NOW, NOW, "u") for n in range(9)])
    drain(tmp_path, Lake(tmp_path / "lake"))
    lately = RecentFeedback(tmp_path)
    assert lately.had("u", ["i", "j"]) == {"i"}
    for path in tmp_path.glob(f"{kept.FILE_NAME}*"):
        path.unlink()
    fill(tmp_path, [FeedbackRecord("later", "j", "purchase", 1.0, NOW, NOW, "u")])
    drain(tmp_path, Lake(tmp_path / "lake"))
    lately.refresh(at_once=True)
    assert lately.had("u", ["i", "j"]) == {"i", "j"}
    lately.close()

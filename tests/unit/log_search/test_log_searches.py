"""A search finds the newest matches wherever they are, each once."""

from __future__ import annotations

import random
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import pytest

from support.request_logs import NOON, click, fill, request, settings_of
from tastemaker.data.lake import Lake
from tastemaker.errors import TastemakerError
from tastemaker.event_log.drain import drain
from tastemaker.event_log.records import Assignment, Item, Kind, Record, Stage
from tastemaker.event_log.spool_file import FILE_NAME, SpoolError
from tastemaker.log_search.query import Parser
from tastemaker.log_search.search import newest_in_lake, newest_spooled, search
from tastemaker.settings import Settings

NOW = datetime.fromtimestamp(NOON, UTC)
PARSER = Parser(NOW)
DAY = 86_400.0
WORDS = ("tea", "cup", "Tea", "te", "a*", "ü", "it's", "27")
QUERIES = (
    "user:tea", "user!=tea", "user:te*", 'user:"a*"', "shown:tea", "shown!=cup", "shown:t*", "item:27",
    "item!=tea", "item:t*", "model:cup", "version!=tea", "stage:model", "stage!=model", "kind:rank",
    "fallback:any", "fallback:none", "fallback!=model_error", "experiment:tea", "variant!=cup", "variant:c*",
    "served:cup", "served!=cup",
    "items=0", "items<k", "k>=2", "ms>0.3", "ms=0.3", "ms!=0.3", "ms<=k", "since:2d", "until:1d", "tea", "TE",
    "it's", "ü", '"\\""', "",
)  # fmt: skip


def found(home: Settings, text: str, limit: int = 20) -> list[str]:
    """Ids of the matches."""
    return [one.request_id for one in search(PARSER.parse(text), home, limit)]


def random_requests(count: int) -> list[Record]:
    """Requests with every kind of value in every field."""
    rng = random.Random(0)

    def some() -> list[str]:
        return rng.choices(WORDS, k=rng.randrange(4))

    def perhaps(value: Any) -> Any:
        return rng.choice([None, value])

    return [
        request(
            number,
            user_id=rng.choice(WORDS),
            occurred_at=NOON - rng.choice([0.0, 0.25, DAY, 2 * DAY, 40 * DAY]),
            k=rng.randrange(4),
            model=rng.choice(WORDS),
            version=rng.choice(WORDS),
            items=[Item(item_id, 0.5, 1.0) for item_id in some()],
            latency_ms=rng.choice([0.0, 0.3, 1.0, 2.0, 1e40]),
            context=rng.choice([None, {"page": "Tea"}, {"ü": "it's \""}, [1.0, 2.5]]),
            exclude=perhaps(some()),
            candidates=perhaps(some()),
            session=perhaps(some()),
            fallback=perhaps(rng.choice(["model_error", "model_short"])),
            stage=rng.choice(get_args(Stage)),
            kind=rng.choice(get_args(Kind)),
            assignment=perhaps(
                Assignment(rng.choice(WORDS), 0, rng.choice(WORDS), served=perhaps(rng.choice(WORDS)))
            ),
        )
        for number in range(count)
    ]


@pytest.mark.slow  # each query opens the lake
def test_lake_and_spool_are_searched_alike(tmp_path: Path) -> None:
    """SQL over the lake finds what Python finds in the spool, for every field and operator."""
    fill(tmp_path, random_requests(400))
    queries = [PARSER.parse(text) for text in QUERIES]
    spooled = [list(newest_spooled(tmp_path / FILE_NAME, query, 400)) for query in queries]
    lake = Lake(tmp_path / "lake")
    drain(tmp_path, lake)
    assert not list(newest_spooled(tmp_path / FILE_NAME, PARSER.parse(""), 400))
    for text, query, expected in zip(QUERIES, queries, spooled, strict=True):
        in_lake = {one.request_id for one in newest_in_lake(lake, query, 400)}
        assert in_lake == {one.request_id for one in expected}, text
        assert (len(in_lake) in range(1, 400)) == (text != ""), text


@pytest.mark.slow
def test_the_newest_come_first_from_spool_and_lake(tmp_path: Path) -> None:
    """Some are drained, some are not; the limit holds over both."""
    home = settings_of(tmp_path)
    fill(home.spool, [request(number, occurred_at=NOON - number * DAY / 2) for number in (9, 1, 4, 7)])
    drain(home.spool, Lake(home.lake))
    fill(home.spool, [request(number, occurred_at=NOON - number * DAY / 2) for number in (8, 0, 3)])
    newest = [f"{number:032x}" for number in (0, 1, 3, 4, 7, 8, 9)]
    assert found(home, "") == newest
    assert [found(home, "", limit) for limit in (1, 2, 3, 5)] == [newest[:limit] for limit in (1, 2, 3, 5)]
    assert found(home, "since:2d until:1d") == [f"{3:032x}", f"{4:032x}"]


def test_the_newest_of_a_spool_are_exact_though_records_are_stored_out_of_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow answer is stored after quicker ones, and its time is that of its request."""
    monkeypatch.setattr("tastemaker.event_log.spool_file.time.time", lambda: NOON + 10)
    fill(tmp_path, [request(number, occurred_at=NOON + number) for number in (5, 4, 3, 2, 1)])
    monkeypatch.setattr("tastemaker.event_log.spool_file.time.time", lambda: NOON + 20)
    fill(tmp_path, [request(number, occurred_at=NOON + number) for number in (11, 0)])
    yielded = list(newest_spooled(tmp_path / FILE_NAME, PARSER.parse(""), 2))
    times = sorted((one.occurred_at - NOON for one in yielded), reverse=True)
    assert times[:2] == [11.0, 5.0]


def test_a_request_that_is_logged_twice_is_found_once_as_it_came_first(tmp_path: Path) -> None:
    """Two services answered with one id, and more rows than the limit are doubles."""
    home = settings_of(tmp_path)
    for spool, later in (("a", 0.0), ("b", 1.0)):
        fill(tmp_path / spool, [request(n, occurred_at=NOON + 10 * n + later) for n in range(4)])
        drain(tmp_path / spool, Lake(home.lake))
    matches = search(PARSER.parse(""), home, 3)
    assert [one.occurred_at - NOON for one in matches] == [30.0, 20.0, 10.0]


def test_a_record_that_was_drained_and_not_deleted_yet_is_found_once(tmp_path: Path) -> None:
    """The drain was killed between the two."""
    home = settings_of(tmp_path)
    fill(home.spool, [request(1), request(2)])
    drain(home.spool, Lake(home.lake))
    fill(home.spool, [request(2), request(3)])
    assert found(home, "") == [f"{number:032x}" for number in (3, 2, 1)]


@pytest.mark.parametrize("request_id", [f"{1:032x}", "019cb51df9e9000016646cb141797116"])
def test_a_request_is_found_by_its_id(tmp_path: Path, request_id: str) -> None:
    """The time in the id may be right, or be the caller's invention."""
    home = settings_of(tmp_path)
    fill(home.spool, [request(0), request(1, request_id=request_id), request(2, occurred_at=NOON - 9 * DAY)])
    drain(home.spool, Lake(home.lake))
    assert found(home, f"id:{request_id}") == [request_id]
    assert found(home, f"id:{request_id} user:user-1") == [request_id]
    assert found(home, f"id:{request_id} user:user-2") == []
    assert found(home, "id:" + "f" * 32) == []


def test_only_requests_of_the_log_are_found(tmp_path: Path) -> None:
    """Feedback in the spool is not an answer; an empty home has none."""
    home = settings_of(tmp_path)
    assert found(home, "") == []
    fill(home.spool, [click(1), request(1)])
    assert found(home, "") == [f"{1:032x}"]


def test_the_whole_record_is_found(tmp_path: Path) -> None:
    """From the lake as from the spool, up to the lake's precision."""
    home = settings_of(tmp_path)
    logged = request(1, assignment=Assignment("e1", 2, "b", 0.5), exclude=["pot"], latency_ms=0.75)
    fill(home.spool, [logged])
    assert search(PARSER.parse(""), home) == [logged]
    drain(home.spool, Lake(home.lake))
    assert search(PARSER.parse(""), home) == [logged]


def test_values_are_data_and_never_sql(tmp_path: Path) -> None:
    """A quotation mark in a value ends nothing."""
    home = settings_of(tmp_path)
    fill(home.spool, [request(1, user_id="x' OR 1=1 --")])
    drain(home.spool, Lake(home.lake))
    assert found(home, 'user:"x\' OR 1=1 --"') == [f"{1:032x}"]
    assert found(home, 'user:"y\' OR 1=1 --"') == []


def test_a_spool_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    """It names the file."""
    home = settings_of(tmp_path)
    home.spool.mkdir(parents=True)
    (home.spool / FILE_NAME).write_bytes(b"no database, however long one looks at it" * 100)
    with pytest.raises(SpoolError, match=FILE_NAME):
        found(home, "")
    (home.spool / FILE_NAME).unlink()
    with sqlite3.connect(home.spool / FILE_NAME):
        pass
    with pytest.raises(SpoolError, match=FILE_NAME):
        found(home, "user:a")


def test_a_damaged_file_of_the_lake_is_an_error_that_names_it(tmp_path: Path) -> None:
    """Not a stack trace."""
    home = settings_of(tmp_path)
    fill(home.spool, [request(1)])
    drain(home.spool, Lake(home.lake))
    (path,) = Lake(home.lake).files("requests")
    path.write_bytes(b"PAR1 and nothing else that Parquet has PAR1")
    with pytest.raises(TastemakerError, match=path.name):
        found(home, "")


def test_a_file_that_vanishes_while_the_log_is_searched_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Retention deletes whole days, and an erasure writes files again."""
    home = settings_of(tmp_path)
    for number in (1, 2):
        fill(home.spool, [request(number)])
        drain(home.spool, Lake(home.lake))
    listed, gone = Lake.files, Lake(home.lake).files("requests")[0]

    def files(lake: Lake, table: str, **which: Any) -> list[Path]:
        paths = listed(lake, table, **which)
        gone.unlink(missing_ok=True)
        return paths

    monkeypatch.setattr(Lake, "files", files)
    assert found(home, "") == [f"{2:032x}"]

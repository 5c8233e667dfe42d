"""A query means what it says, and a wrong one gets an error that names what is allowed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from support.request_logs import NOON, request
from tastemaker.errors import TastemakerError
from tastemaker.event_log.records import Assignment, Item, Record
from tastemaker.log_search.query import Parser
from tastemaker.privacy.pseudonyms import Pseudonyms

NOW = datetime.fromtimestamp(NOON, UTC)
PARSER = Parser(NOW)
LISTED = {"items": [Item("tea", 0.5, 0.25), Item("blue cup", -1.5, 0.125)], "k": 3}


def answer(**fields: Any) -> Record:
    """One of user-1, a minute before the parser's present."""
    return request(1, **{"occurred_at": NOON - 60, "user_id": "user-1"} | fields)


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("user:user-1", {}),
        ("user=user-1", {}),
        ("USER:user-1", {}),
        ("user:27", {"user_id": "27"}),
        ("user:27.0", {"user_id": "27"}),
        ("user:user-*", {}),
        ('user:"user-*"', {"user_id": "user-*"}),
        ("user!=ann", {}),
        ("id:00000000000000000000000000000001", {}),
        ("shown:tea", LISTED),
        ('shown:"blue cup"', LISTED),
        ("shown:te*", LISTED),
        ("shown!=pot", LISTED),
        ("item:tea", LISTED),
        ("item:pot", {"candidates": ["pot"]}),
        ("item:pot", {"exclude": ["pot"]}),
        ("item:pot", {"session": ["pot"], "kind": "session"}),
        ("item!=pot", {}),
        ("model:random version:v1", {}),
        ("stage:popular", {"stage": "popular"}),
        ("stage!=model", {"stage": "popular"}),
        ("fallback:none", {}),
        ("fallback!=any", {}),
        ("fallback:any", {"fallback": "model_error"}),
        ("fallback!=none", {"fallback": "model_error"}),
        ("fallback:model_error", {"fallback": "model_error"}),
        ("fallback!=model_error", {}),
        ("kind:rank", {"kind": "rank"}),
        ("experiment:e1 variant:b", {"assignment": Assignment("e1", 0, "b", 0.5)}),
        ("variant!=a", {}),
        ("variant:b served:a", {"assignment": Assignment("e1", 0, "b", 0.5, served="a")}),
        ("served!=b", {"assignment": Assignment("e1", 0, "b", 0.5)}),
        ("items=2", LISTED),
        ("items:2", LISTED),
        ("items=0", {"items": []}),
        ("items<k", LISTED),
        ("k>=items", LISTED),
        ("k<10 k>1", {}),
        ("k!=10", {}),
        ("ms>100", {"latency_ms": 100.5}),
        ("ms=0.3", {"latency_ms": 0.3}),
        ("since:60s until:1s", {}),
        ("since:2026-03-01 until:2026-03-02", {}),
        ("since:2026-03-01T11:59 until:2026-03-01T12:00", {}),
        ("since:2026-03-01T12:59+01:00", {}),
        ("home", {}),
        ("HOME", {}),
        ('"page":"home"'.replace('"', r"\"").join('""'), {}),
        ("", {}),
    ],
)
def test_a_query_matches_what_it_describes(text: str, fields: dict[str, Any]) -> None:
    """The condition holds for a record with these fields."""
    assert PARSER.parse(text).matches(answer(**fields))


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("user:user-2", {}),
        ("user:user-*", {"user_id": "ann"}),
        ("user!=user-1", {}),
        ("shown:pot", LISTED | {"exclude": ["pot"]}),
        ("shown!=tea", LISTED),
        ("stage:model", {"stage": "popular"}),
        ("fallback:none", {"fallback": "model_error"}),
        ("fallback:any", {}),
        ("fallback:model_error", {"fallback": "model_short"}),
        ("variant:b", {}),
        ("items<k", {}),
        ("ms>100", {"latency_ms": 100.0}),
        ("since:59s", {}),
        ("until:60s", {}),
        ("home", {"context": None}),
        ("user:user-1 items=0", {}),
    ],
)
def test_a_query_does_not_match_anything_else(text: str, fields: dict[str, Any]) -> None:
    """The condition does not hold for a record with these fields."""
    assert not PARSER.parse(text).matches(answer(**fields))


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("usr:1", ("'usr'", "id, user, shown", "did you mean user?")),
        ("page:home", ("'page'", "id, user, shown", "quote a text")),
        ("stage:modle", ("'modle'", "model, precomputed, popular, static", "did you mean model?")),
        ("fallback:slow", ("'slow'", "model_timeout", "none")),
        ("kind:all", ("'all'", "recommend, session, rank")),
        ("ms>fast", ("'fast'", "items, k, ms")),
        ("ms>nan", ("'nan'", "items, k, ms")),
        ("user>5", ("user is compared by >", ": = !=")),
        ("since>2026-03-01", ("since is compared by >", ": =")),
        ("since:yesterday", ("'yesterday'", "2026-03-01", "7d")),
        ("since:2026-02-30", ("'2026-02-30'", "2026-03-01")),
        ("since:99999999999999999999d", ("must be a time",)),
        ('shown:"', ("can't be read", 'shown:"')),
        ('"open', ("can't be read",)),
        ("user:", ("can't be read", "'user:'")),
        ('user:""', ("user is empty",)),
        ('"a"b', ("can't be read",)),
    ],
)
def test_a_wrong_query_gets_an_error_that_names_what_is_allowed(text: str, named: tuple[str, ...]) -> None:
    """The error has the wrong part, the allowed ones and a fix."""
    with pytest.raises(TastemakerError) as caught:
        PARSER.parse(text)
    assert caught.value.fix
    for part in named:
        assert part in str(caught.value)


def test_a_searched_user_is_hidden_where_the_log_has_pseudonyms() -> None:
    """The raw id finds the pseudonym's requests; the pseudonym finds itself; a beginning finds nothing."""
    pseudonyms = Pseudonyms(b"k" * 32)
    parser, hidden = Parser(NOW, pseudonyms=pseudonyms), answer(user_id=pseudonyms.of("27"))
    assert parser.parse("user:27").matches(hidden)
    assert parser.parse("user:27.0").matches(hidden)
    assert parser.parse(f"user:{pseudonyms.of('27')}").matches(hidden)
    assert not parser.parse("user:27").matches(answer(user_id="27"))
    with pytest.raises(TastemakerError, match="pseudonyms"):
        parser.parse("user:2*")


def test_an_option_is_compared_as_it_is_written() -> None:
    """A `*` or a quotation mark in an option's value has no special meaning."""
    assert PARSER.term("user", "=", 'a*"').matches(answer(user_id='a*"'))
    assert not PARSER.term("user", "=", "a*").matches(answer(user_id="ab"))


STORED = [
    "user:user-1", "user:27.0 since:2h", 'USER!="27.0"', "user:user-* k<5", "stage:popular",
    'user:"a \\"b\\" c" "home page"',
]  # fmt: skip


@pytest.mark.parametrize("text", STORED)
def test_a_stored_query_finds_what_the_query_found(text: str) -> None:
    pseudonyms = Pseudonyms(b"k" * 32)
    ids = ("user-1", "27", 'a "b" c', "x")
    records = [answer(user_id=one, context={"page": "home page"}, stage="popular") for one in ids]
    hidden = [answer(user_id=pseudonyms.of(one)) for one in ids]
    stored = PARSER.as_stored(text)
    for record in records:
        assert PARSER.parse(stored).matches(record) == PARSER.parse(text).matches(record)
    assert PARSER.as_stored(stored) == stored
    if "*" not in text:
        parser = Parser(NOW, pseudonyms=pseudonyms)
        stored = parser.as_stored(text)
        for record in hidden:
            assert parser.parse(stored).matches(record) == parser.parse(text).matches(record)
        assert not any(one in stored for one in ids[:-1] if one != "27")


def test_only_a_whole_pseudonym_is_stored_as_it_is() -> None:
    """A user's own id may begin as one does."""
    parser = Parser(NOW, pseudonyms=Pseudonyms(b"k" * 32))
    assert parser.as_stored("user:p-27") != "user:p-27"
    assert parser.as_stored(f"user:p-{'0' * 32}") == f"user:p-{'0' * 32}"

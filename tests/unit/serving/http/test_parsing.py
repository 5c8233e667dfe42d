"""A request is read or refused, and a refusal names the field, the value and the limit."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tastemaker.api.schemas import (
    MAX_LISTED,
    FeedbackEvent,
    FeedbackEvents,
    HTTPError,
    ItemUpserts,
    Request,
    SessionRequest,
    SimilarQuery,
)
from tastemaker.serving.http.parsing import Decoder, QueryReader, read_id

read_request = Decoder(Request)


def refused(body: bytes) -> dict[str, Any]:
    """The problem document as the caller sees it."""
    with pytest.raises(HTTPError) as caught:
        read_request(body)
    document: dict[str, Any] = msgspec.to_builtins(caught.value.problem)
    return document


def test_the_shortest_request_has_the_defaults() -> None:
    assert read_request(b'{"user_id": "17850"}') == Request("17850", k=10)


def test_everything_may_be_said() -> None:
    body = b'{"user_id":"u","k":3,"context":{"page":"home","hour":9},"exclude":["a"],"candidates":["b","c"]}'
    assert read_request(body) == Request("u", 3, {"page": "home", "hour": 9}, ["a"], ["b", "c"])


def test_a_whole_number_is_an_integer_however_it_is_written() -> None:
    assert read_request(b'{"user_id": "u", "k": 5.0, "context": [2.0, 2.5]}') == Request("u", 5, [2.0, 2.5])


@pytest.mark.parametrize(
    ("body", "field", "value", "limit"),
    [
        (b'{"user_id": "u", "k": 0}', "k", 0, 1),
        (b'{"user_id": "u", "k": 1001}', "k", 1001, 1000),
        (b'{"user_id": "u", "k": "ten"}', "k", "ten", None),
        (b'{"user_id": "u", "k": 2.5}', "k", 2.5, None),
        (b'{"user_id": 5}', "user_id", 5, None),
        (b'{"user_id": ""}', "user_id", "", 1),
        (b"{}", "user_id", None, None),
        (b'{"user_id": "u", "colour": "red"}', "colour", "red", None),
        (b'{"user_id": "u", "exclude": ["a", 5]}', "exclude[1]", 5, None),
        (b'{"user_id": "u", "candidates": []}', "candidates", [], 1),
        (b'{"user_id": "u", "context": {"a": [1]}}', "context[...]", {"a": [1]}, None),
        ('{"user_id": "' + "é" * 101 + '"}', "user_id", "é" * 101, 200),
    ],
)
def test_a_wrong_field_is_named_with_its_value_and_limit(
    body: bytes | str, field: str, value: object, limit: int | None
) -> None:
    problem = refused(body.encode() if isinstance(body, str) else body)
    assert (problem["status"], problem["title"]) == (400, "Bad Request")
    assert (problem.get("field"), problem.get("value"), problem.get("limit")) == (field, value, limit)
    assert problem["detail"].startswith(field)


@pytest.mark.parametrize(
    ("kind", "body", "field", "value", "limit"),
    [
        (SessionRequest, '{"items": []}', "items", [], 1),
        (SessionRequest, '{"items": ["é", "a\\u0000b"]}', "items[1]", "a\0b", None),
        (FeedbackEvents, '{"events": []}', "events", [], 1),
        (
            FeedbackEvents,
            '{"events": [{"event_id": "1", "event_type": "click", "item_id": "i"}]}',
            "events[0].user_id",
            None,
            None,
        ),
        (
            FeedbackEvents,
            '{"events": [{"event_id": "%s", "event_type": "click", "item_id": "i", "user_id": "u"}]}'
            % ("é" * 101),
            "events[0].event_id",
            "é" * 101,
            200,
        ),
        (ItemUpserts, '{"items": [{"item_id": "i", "price": -1}]}', "items[0].price", -1, 0),
    ],
)
def test_a_wrong_field_is_named_wherever_it_lies(
    kind: type[msgspec.Struct], body: str, field: str, value: object, limit: int | None
) -> None:
    with pytest.raises(HTTPError) as caught:
        Decoder(kind)(body.encode())
    problem = caught.value.problem
    assert (problem.field, problem.value, problem.limit) == (field, value, limit)


def test_a_title_may_be_longer_than_an_id_but_no_text_holds_nul() -> None:
    read = Decoder(ItemUpserts)
    title = "é" * 1_000
    assert read(msgspec.json.encode({"items": [{"item_id": "i", "title": title}]})).items[0].title == title
    with pytest.raises(HTTPError, match="NUL"):
        read(b'{"items": [{"item_id": "i", "title": "a\\u0000"}]}')


def test_feedback_names_its_user_or_its_request() -> None:
    read = Decoder(FeedbackEvents)
    event = {"event_id": "1", "event_type": "click", "item_id": "i", "request_id": "r"}
    assert read(msgspec.json.encode({"events": [event]})).events == [
        FeedbackEvent("1", "click", "i", request_id="r")
    ]


def test_a_list_that_is_too_long_is_not_sent_back_whole() -> None:
    problem = refused(msgspec.json.encode({"user_id": "u", "exclude": ["x"] * (MAX_LISTED + 1)}))
    assert (problem["field"], problem["limit"]) == ("exclude", MAX_LISTED)
    assert len(problem["value"]) < 300


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"user_id":"\xff"}', b"[" * 5_000]
)
def test_what_is_not_an_object_is_refused(body: bytes) -> None:
    assert refused(body)["status"] == 400


def answered(body: bytes) -> int:
    """The HTTP status that the body gets."""
    try:
        read_request(body)
    except HTTPError as refusal:
        return refusal.problem.status
    return 200


@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    assert answered(body) in (200, 400)


IDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=40)
NUMBERS = st.floats(-1e15, 1e15)


@given(
    st.builds(
        Request,
        user_id=IDS,
        k=st.integers(1, 1_000),
        context=st.none()
        | st.lists(NUMBERS)
        | st.dictionaries(IDS, IDS | NUMBERS | st.booleans() | st.none()),
        exclude=st.none() | st.lists(IDS),
        candidates=st.none() | st.lists(IDS, min_size=1),
    )
)
def test_a_request_survives_the_wire(request: Request) -> None:
    assert read_request(msgspec.json.encode(request)) == request


@pytest.mark.parametrize(
    ("query", "field", "value", "limit"),
    [
        (b"k=0", "k", "0", 1),
        (b"k=", "k", "", None),
        (b"k=ten", "k", "ten", None),
        (b"colour=red", "colour", "red", None),
    ],
)
def test_a_wrong_query_is_refused_as_a_wrong_body_is(
    query: bytes, field: str, value: str, limit: int | None
) -> None:
    with pytest.raises(HTTPError) as caught:
        QueryReader(SimilarQuery)(query)
    problem = caught.value.problem
    assert (problem.field, problem.value, problem.limit) == (field, value, limit)


def test_a_query_and_an_id_of_a_path_are_read() -> None:
    assert QueryReader(SimilarQuery)(b"").k == 10
    assert QueryReader(SimilarQuery)(b"k=7").k == 7
    assert read_id("item_id", "é" * 100) == "é" * 100
    for wrong in ("é" * 101, "x" * 201, "a\0"):
        with pytest.raises(HTTPError):
            read_id("item_id", wrong)

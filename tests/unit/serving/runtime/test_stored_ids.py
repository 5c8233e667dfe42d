"""Writes whose ids are missing or rounded are refused before anything is stored."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import nullcontext
from http import HTTPStatus
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.workers import open_worker
from tastemaker.api.report_schemas import ReportedEvent, ReportedList
from tastemaker.api.schemas import (
    ExposureReport,
    FeedbackEvent,
    HTTPError,
    ItemUpsert,
    UserUpsert,
)
from tastemaker.event_log.spool import FILE_NAME, Spool, read
from tastemaker.privacy.pseudonyms import Pseudonyms
from tastemaker.serving.runtime.stored_ids import IdCheck
from tastemaker.snapshot.canonical_ids import MISSING_IDS
from tastemaker.util.canonical_texts import BLANKS

EVENT = FeedbackEvent("e", "click", "tea", user_id="ann")
EXPOSURE = ExposureReport("x", "search", 1, "b", "ann", user_id="ann")
WRITES: dict[str, tuple[msgspec.Struct, tuple[str, ...]]] = {
    "feedback": (EVENT, ("event_id", "item_id", "user_id")),
    "exposures": (EXPOSURE, ("exposure_id", "unit", "user_id")),
    "upsert_items": (ItemUpsert("tea"), ("item_id",)),
    "upsert_users": (UserUpsert("ann"), ("user_id",)),
}
"""What writes -> a message, and its ids that may not be missing."""
CASES = [(name, field) for name, (_, fields) in WRITES.items() for field in fields]


@pytest.mark.parametrize("given_id", [" ", "\u200b\u00a0", "null", " NaN ", "#N/A"])
@pytest.mark.parametrize(("write", "field"), CASES, ids=map(".".join, CASES))
def test_a_missing_id_is_refused_and_nothing_is_stored(
    tmp_path: Path, write: str, field: str, given_id: str
) -> None:
    sound, _ = WRITES[write]
    worker = open_worker("m", None, Spool(tmp_path), pseudonyms=Pseudonyms(b"k" * 32))
    messages = [sound, msgspec.structs.replace(sound, **{field: given_id})]
    with pytest.raises(HTTPError) as refused:
        asyncio.run(getattr(worker, write)(messages))
    worker.close()
    problem = refused.value.problem
    body = write.removeprefix("upsert_").replace("feedback", "events")
    assert (problem.status, problem.field) == (HTTPStatus.BAD_REQUEST, f"{body}[1].{field}")
    assert repr(given_id) in problem.detail
    assert "source.missing_ids" in problem.detail
    assert read(tmp_path / FILE_NAME, 10) is None


@pytest.mark.parametrize("words", [MISSING_IDS, ("0", "unknown_customer")])
@given(given_ids=st.lists(st.text(st.sampled_from(f"null0a{BLANKS}"), min_size=1), min_size=1, max_size=4))
def test_texts_are_refused_whatever_is_beside_them(words: Sequence[str], given_ids: list[str]) -> None:
    events = [msgspec.structs.replace(EVENT, user_id=each) for each in given_ids]
    missing = [each for each in given_ids if each.strip(BLANKS).lower() in ("", *words)]
    with pytest.raises(HTTPError) if missing else nullcontext() as refused:
        IdCheck(words).require_sound(events)
    assert (refused.value.problem.value if refused else None) == (missing[0] if missing else None)


def test_words_of_the_settings_replace_the_usual_ones() -> None:
    none, zero = (msgspec.structs.replace(EVENT, user_id=each) for each in ("none", "0"))
    IdCheck([]).require_sound([none, zero])
    with pytest.raises(HTTPError, match=r"user_id = '0': is blank or a word"):
        IdCheck(["0"]).require_sound([none, zero])


@pytest.mark.parametrize("given_id", ["1.23457E+12", " 1.5e+3"])
def test_a_rounded_number_is_refused(given_id: str) -> None:
    for field in ("user_id", "item_id"):
        with pytest.raises(HTTPError, match=rf"events\[0\].{field} = .*has rounded"):
            IdCheck(MISSING_IDS).require_sound(
                [msgspec.structs.replace(EVENT, **{field: given_id})], "events"
            )
    IdCheck(MISSING_IDS).require_sound([msgspec.structs.replace(EVENT, event_id=given_id)])


def test_an_event_may_leave_its_user_out() -> None:
    IdCheck(MISSING_IDS).require_sound([FeedbackEvent("e", "click", "tea", request_id="r")])


class AllIds(msgspec.Struct):
    """Each id that may not be missing."""

    event_id: str = "sound"
    exposure_id: str = "sound"
    item_id: str = "sound"
    unit: str = "sound"
    user_id: str = "sound"


@pytest.mark.parametrize(
    "kind", [FeedbackEvent, ExposureReport, ItemUpsert, UserUpsert, ReportedEvent, ReportedList]
)
def test_the_schema_describes_what_is_refused(kind: type[msgspec.Struct]) -> None:
    schema = msgspec.json.schema_components([kind])[1][kind.__name__]
    described = {name for name, field in schema["properties"].items() if "missing_ids" in str(field)}
    assert described == set(kind.__struct_fields__) & set(AllIds.__struct_fields__)
    for name in described:
        with pytest.raises(HTTPError, match=name):
            IdCheck(MISSING_IDS).require_sound([AllIds(**{name: "null"})])

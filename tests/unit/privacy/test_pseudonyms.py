"""Pseudonyms: no user's own id is kept, and a user has the same pseudonym everywhere."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from support.workers import open_worker
from tastemaker.api.schemas import ExposureReport, FeedbackEvent, Request, SessionRequest
from tastemaker.data.tables import EVENTS, ITEMS, USERS
from tastemaker.errors import TastemakerError
from tastemaker.event_log.records import FeedbackRecord
from tastemaker.event_log.spool import FILE_NAME, Spool, read
from tastemaker.privacy.private_source import PrivateSource
from tastemaker.privacy.pseudonyms import KEY, Pseudonyms, open_pseudonyms
from tastemaker.privacy.suppression_list import SuppressionList
from tastemaker.settings import PrivacySettings, Settings

SECRET = "0123456789abcdef" * 2
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HIDING = Settings(privacy=PrivacySettings(pseudonymize=True))


class Shop:
    """A source of three events and two users."""

    name, identity = "shop", "shop"
    readings = ()

    def days(self) -> dict[date, str]:
        return {NOON.date(): "1"}

    def read(self, days: Collection[date] | None, rows: int) -> Iterator[pa.Table]:
        people = ["ann", "bob", None]
        event = {"item_id": "tea", "event_type": "buy", "value": 1.0, "occurred_at": NOON}
        found = [event | {"event_id": str(n), "user_id": user} for n, user in enumerate(people)]
        rows_ = pa.Table.from_pylist(found, schema=pa.schema([pa.field(f.name, f.type) for f in EVENTS]))
        yield rows_.append_column("raw_customer", pa.array(people))

    def items(self) -> pa.Table:
        return ITEMS.empty_table()

    def users(self) -> pa.Table:
        people = [
            {"user_id": user, "own": [("plan", user[0])], "first_seen_at": NOON} for user in ("ann", "bob")
        ]
        return pa.Table.from_pylist(people, schema=USERS)


def test_a_pseudonym_is_a_keyed_hash() -> None:
    one, other = Pseudonyms(SECRET.encode()), Pseudonyms(b"x" * 32)
    assert one.of("Žofie") == one.of("Žofie") != one.of("zofie")
    assert one.of("ann") != other.of("ann")
    assert len(one.of("ann")) == 34
    assert "ann" not in one.of("ann")
    assert one.of("") == "", "an empty id stays empty"
    assert one.fingerprint != other.fingerprint


def test_only_the_user_of_a_message_is_hidden() -> None:
    names = Pseudonyms(SECRET.encode())
    request = Request("ann", k=3, exclude=["ann"])
    assert names.hide(request) == Request(names.of("ann"), k=3, exclude=["ann"])
    nameless = FeedbackEvent("e", "click", "tea", request_id="r")
    assert names.hide(nameless) == nameless


def test_devices_and_units_are_hidden_too() -> None:
    names = Pseudonyms(SECRET.encode())
    request = SessionRequest(["tea"], device_id="Annabel's phone")
    assert names.hide(request) == SessionRequest(["tea"], device_id=names.of("Annabel's phone"))
    exposure = ExposureReport("e", "basket", 0, "wide", "Annabel", user_id="Annabel")
    hidden = names.hide(exposure)
    assert (hidden.unit, hidden.user_id) == (names.of("Annabel"), names.of("Annabel"))
    assert names.hide(ExposureReport("e", "basket", 0, "wide", hidden.unit)).unit == hidden.unit, (
        "a caller that assigns by pseudonyms sends one"
    )


def test_the_key_comes_from_the_environment_and_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY, raising=False)
    assert open_pseudonyms(Settings()) is None
    with pytest.raises(TastemakerError, match="has 0 bytes, must have 32 to 64"):
        open_pseudonyms(HIDING)
    monkeypatch.setenv(KEY, SECRET)
    found = open_pseudonyms(HIDING)
    assert found is not None
    assert found.of("ann") == Pseudonyms(SECRET.encode()).of("ann")


def test_logs_hold_no_user_id(tmp_path: Path) -> None:
    worker = open_worker("m", None, Spool(tmp_path), pseudonyms=Pseudonyms(SECRET.encode()))
    asyncio.run(worker.feedback([FeedbackEvent("e", "click", "tea", user_id="Annabel")]))
    asyncio.run(worker.exposures([ExposureReport("e", "basket", 0, "wide", "Annabel", user_id="Annabel")]))
    worker.close()
    pending = read(tmp_path / FILE_NAME, 10)
    assert pending is not None
    assert [one.user_id for one in pending.of(FeedbackRecord)] == [Pseudonyms(SECRET.encode()).of("Annabel")]
    assert all(b"Annabel" not in path.read_bytes() for path in tmp_path.iterdir())


def test_a_source_gets_the_same_pseudonyms_as_requests_and_keeps_no_raw_row(tmp_path: Path) -> None:
    names = Pseudonyms(SECRET.encode())
    source = PrivateSource(Shop(), names, SuppressionList(tmp_path))
    (chunk,) = source.read(None, 10)
    assert chunk["user_id"].to_pylist() == [names.of("ann"), names.of("bob"), None]
    assert chunk.column_names == EVENTS.names
    assert source.users()["user_id"].to_pylist() == [names.of("ann"), names.of("bob")]
    assert source.users()["own"].to_pylist() == [[("plan", "a")], [("plan", "b")]]
    assert source.identity != PrivateSource(Shop(), Pseudonyms(b"x" * 32), SuppressionList(tmp_path)).identity


def test_without_a_key_a_source_is_as_it_was(tmp_path: Path) -> None:
    source = PrivateSource(Shop(), None, SuppressionList(tmp_path))
    (chunk,) = source.read(None, 10)
    (own,) = Shop().read(None, 10)
    assert chunk.equals(own)
    assert source.identity == "shop"


def test_the_forgotten_are_not_brought_back_but_may_come_back(tmp_path: Path) -> None:
    forgotten = SuppressionList(tmp_path)
    forgotten.add("ann")
    source = PrivateSource(Shop(), None, SuppressionList(tmp_path))
    (chunk,) = source.read(None, 10)
    assert chunk["user_id"].to_pylist() == ["bob", None]
    assert source.users().select(["user_id", "own"]).to_pylist() == [
        {"user_id": "bob", "own": [("plan", "b")]}
    ]
    assert "ann" not in forgotten.path.read_text()
    later = chunk.slice(0, 1).set_column(
        chunk.schema.get_field_index("occurred_at"),
        chunk.field("occurred_at"),
        pa.array([datetime(2100, 1, 1, tzinfo=UTC)], chunk.schema.field("occurred_at").type),
    )
    later = later.set_column(chunk.schema.get_field_index("user_id"), "user_id", pa.array(["ann"]))
    assert len(forgotten.without(later, "occurred_at")) == 1

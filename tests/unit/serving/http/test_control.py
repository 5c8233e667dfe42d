"""What a controller says in the header of a request: who may, what it means for the log, what is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from support import served_homes
from support.asgi_apps import not_found
from tastemaker.api.control import CONTROL_HEADER, Booking, ControlHeader, decode, encode
from tastemaker.event_log import spool_file
from tastemaker.event_log.records import Assignment, Entry, ExposureRecord, Record, ShadowRecord
from tastemaker.event_log.spool import read
from tastemaker.serving.http.api_keys import SLOTS, KeyScope, add, changed
from tastemaker.serving.http.auth import Authenticator
from tastemaker.serving.http.gateway import Gateway
from tastemaker.serving.http.routes import SERVICE_ROUTES
from tastemaker.serving.inference.predictor import copied_request_id, new_request_id
from tastemaker.serving.runtime.assembly import WorkerPlace, assemble_single
from tastemaker.serving.runtime.serving_process import ServingProcess
from tastemaker.serving.runtime.worker import Worker
from tastemaker.settings import Settings
from tastemaker.util.rate_limit import RateLimiter

ASSIGNED = Assignment("ranker-v2", 3, "treatment", 0.5, "treatment", "0123456789abcdef", "Žofie 🛍")
ORIGINAL = "019cb51df9e9000016646cb141797116"
FAR = ("203.0.113.9", 1)
SOCKET = None
"""The client of a request on a Unix socket, as ASGI has it."""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with a model that draws its lists by the request's seed."""
    served_homes.make_home(tmp_path, ["random"])
    return tmp_path


@pytest.fixture
def worker(home: Path) -> Iterator[Worker]:
    worker = assemble_single(Settings(home=home), "random", None, WorkerPlace(), {}, {})
    yield worker
    worker.close()


def gate(worker: Worker, home: Path, *, is_controlled: bool) -> Gateway[Worker]:
    """The application of a service."""
    auth = Authenticator()
    auth.open(home / "keys.json", RateLimiter(home / "meters", SLOTS), is_controlled=is_controlled)
    return Gateway(not_found, SERVICE_ROUTES, ServingProcess(worker), auth)


def post(
    gateway: Gateway[Worker],
    path: str,
    body: object,
    control: ControlHeader | bytes | None = None,
    *,
    client: Any = SOCKET,
    **headers: str,
) -> httpx.Response:
    """One request, as the controller sends it."""
    sent: dict[str, Any] = {name.replace("_", "-"): value for name, value in headers.items()}
    if control is not None:
        sent[CONTROL_HEADER] = encode(control) if isinstance(control, ControlHeader) else control

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(gateway, client=client)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as caller:
            return await caller.post(path, json=body, headers=sent)

    return asyncio.run(send())


def logged(worker: Worker) -> list[Entry]:
    """Close the worker and read its log."""
    worker.close()
    pending = read(worker.spool.path, 100)
    return [] if pending is None else pending.records


def counted(worker: Worker, name: str, **labels: str) -> float:
    """The sum of a metric's values with these labels."""
    families = text_string_to_metric_families(worker.scraped().decode())
    found = (one for family in families for one in family.samples if one.name == f"tastemaker_{name}")
    return sum(one.value for one in found if labels.items() <= one.labels.items())


@pytest.mark.slow
def test_a_controlled_request_is_logged_with_its_assignment(worker: Worker, home: Path) -> None:
    gateway = gate(worker, home, is_controlled=True)
    bodies = {
        "/recommend": {"user_id": "user-01", "device_id": "phone"},
        "/session": {"items": ["item-01"], "session_id": "s", "device_id": "phone"},
        "/rank": {"user_id": "user-01", "candidates": ["item-01"], "device_id": "phone"},
    }
    for path, body in bodies.items():
        answer = post(gateway, path, body, ControlHeader(ASSIGNED), X_Request_Id=new_request_id())
        assert answer.status_code == 200, answer.text
    records = logged(worker)
    assert [type(one) for one in records] == [Record] * 3
    assert [one.assignment for one in records if isinstance(one, Record)] == [ASSIGNED] * 3


def test_a_shadow_has_the_seed_of_what_was_shown_and_a_record_of_its_own_kind(
    worker: Worker, home: Path
) -> None:
    gateway, body = gate(worker, home, is_controlled=True), {"user_id": "user-01", "k": 8}
    shown = post(gateway, "/recommend", body, X_Request_Id=ORIGINAL).json()
    other = post(gateway, "/recommend", body).json()
    assert [one["item_id"] for one in shown["items"]] != [one["item_id"] for one in other["items"]]
    control = ControlHeader(ASSIGNED, "shadow", ORIGINAL)
    copy_id = copied_request_id(ORIGINAL)
    copy = post(gateway, "/recommend", body, control, X_Request_Id=copy_id).json()
    assert copy["items"] == shown["items"]
    assert counted(worker, "answers_total") == 2, "no user sees a shadow"
    assert counted(worker, "shadow_answers_total") == 1
    assert counted(worker, "shown_items_total") == 16
    assert counted(worker, "requests_total", endpoint="/recommend") == 2
    assert counted(worker, "requests_total", endpoint="shadow") == 1
    (shadow,) = [one for one in logged(worker) if isinstance(one, ShadowRecord)]
    assert (shadow.shadow_of, shadow.request_id, shadow.user_id) == (ORIGINAL, copy_id, "user-01")
    assert shadow.record.assignment == ASSIGNED
    assert spool_file.find_request(worker.spool.path, copy_id) is None


def test_what_the_controller_logs_itself_is_not_logged_twice(worker: Worker, home: Path) -> None:
    gateway, control = gate(worker, home, is_controlled=True), ControlHeader(ASSIGNED, "none")
    assert len(post(gateway, "/recommend", {"user_id": "u", "k": 3}, control).json()["items"]) == 3
    batch = {"requests": [{"user_id": "u"}, {"user_id": "v"}]}
    answers = post(gateway, "/recommend/batch", batch, ControlHeader(log="none")).json()["answers"]
    assert len(answers) == 2
    assert logged(worker) == []


@pytest.mark.parametrize(
    ("scopes", "is_controlled", "client", "expected"),
    [
        (None, False, ("127.0.0.1", 1), 403),
        (None, False, SOCKET, 403),
        (None, True, SOCKET, 200),
        (None, True, ("127.0.0.1", 1), 200),
        (None, True, FAR, 401),
        (["recommend"], False, FAR, 403),
        (["recommend"], True, FAR, 403),
        (["control"], False, FAR, 200),
        (["control"], True, ("127.0.0.1", 1), 200),
        ([], True, SOCKET, 200),
        ([], True, ("127.0.0.1", 1), 401),
        ([], False, SOCKET, 401),
    ],
)
def test_only_a_controller_may_send_the_header(
    worker: Worker,
    home: Path,
    scopes: list[KeyScope] | None,
    is_controlled: bool,
    client: Any,
    expected: int,
) -> None:
    """`scopes`: of the key that is sent; none is sent if empty, and no key exists if None."""
    headers = {}
    if scopes is not None:
        with changed(home / "keys.json") as keys:
            secret = add(keys, "caller", scopes or ["recommend"]).secret
        headers = {"Authorization": f"Bearer {secret}"} if scopes else {}
    gateway = gate(worker, home, is_controlled=is_controlled)
    answer = post(gateway, "/recommend", {"user_id": "u"}, ControlHeader(), client=client, **headers)
    assert answer.status_code == expected
    if expected != 200:
        assert answer.headers["content-type"] == "application/problem+json"
        assert logged(worker) == []


def test_a_key_for_control_alone_sends_no_request_of_its_own(worker: Worker, home: Path) -> None:
    with changed(home / "keys.json") as keys:
        secret = add(keys, "controller", ["control"]).secret
    gateway = gate(worker, home, is_controlled=False)
    refused = post(gateway, "/recommend", {"user_id": "u"}, Authorization=f"Bearer {secret}")
    assert refused.status_code == 403


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (b"", "truncated"),
        (b"{", "truncated"),
        (b"\xff", "malformed"),
        (b"[]", "Expected `object`"),
        (b'{"assigment": null}', "unknown field `assigment`"),
        (b'{"log": "request", "shadow_of": "%s"}' % ORIGINAL.encode(), "only a shadow has one"),
        (b'{"log": "shadow"}', "only a shadow has one"),
        (b'{"log": "shadow", "shadow_of": "7"}', "matching regex"),
        (b'{"log": "secret"}', "Invalid enum value 'secret'"),
        (b'{"assignment": {"experiment": "e", "epoch": 0, "variant": ""}}', "neither may be empty"),
        (b'{"assignment": {"experiment": "e", "epoch": 0, "variant": "v", "probability": 2}}', "is 2.0"),
        (encode(ControlHeader(ASSIGNED, "shadow", ORIGINAL)), "send an X-Request-Id that differs"),
    ],
)
def test_a_malformed_header_is_refused(worker: Worker, home: Path, value: bytes, why: str) -> None:
    gateway = gate(worker, home, is_controlled=True)
    answer = post(gateway, "/recommend", {"user_id": "u"}, value)
    assert answer.status_code == 400
    problem = answer.json()
    assert problem["field"] == CONTROL_HEADER
    assert why in problem["detail"]
    assert logged(worker) == []


def test_a_copy_needs_an_id_of_its_own(worker: Worker, home: Path) -> None:
    gateway = gate(worker, home, is_controlled=True)
    control = ControlHeader(ASSIGNED, "shadow", ORIGINAL)
    answer = post(gateway, "/recommend", {"user_id": "u"}, control, X_Request_Id=ORIGINAL)
    assert answer.status_code == 400


@pytest.mark.parametrize("control", [ControlHeader(ASSIGNED), ControlHeader(None, "shadow", ORIGINAL)])
def test_a_batch_has_many_units_and_takes_no_assignment(
    worker: Worker, home: Path, control: ControlHeader
) -> None:
    gateway, body = gate(worker, home, is_controlled=True), {"requests": [{"user_id": "u"}]}
    copy_id = copied_request_id(ORIGINAL)
    answer = post(gateway, "/recommend/batch", body, control, X_Request_Id=copy_id)
    assert answer.status_code == 400
    assert "send each to /recommend" in answer.json()["detail"]


def test_exposures_are_durable_once_they_are_acknowledged(worker: Worker, home: Path) -> None:
    gateway = gate(worker, home, is_controlled=False)
    one = {"exposure_id": "x1", "experiment": "basket", "epoch": 2, "variant": "wide", "unit": "ann"}
    more = one | {
        "exposure_id": "x2",
        "probability": 0.5,
        "plan": "0" * 16,
        "user_id": "ann",
        "occurred_at": 7.5,
    }
    answer = post(gateway, "/exposures", {"exposures": [one, more, one]}, client=("127.0.0.1", 1))
    assert answer.json() == {"accepted": 2, "duplicates": 1}
    pending = read(worker.spool.path, 10)
    assert pending is not None
    first, second = pending.of(ExposureRecord)
    assert first.assignment == Assignment("basket", 2, "wide", served="wide", unit="ann")
    assert first.occurred_at == first.received_at
    assert second.assignment == Assignment("basket", 2, "wide", 0.5, "wide", "0" * 16, "ann")
    assert (second.occurred_at, second.user_id) == (7.5, "ann")


@pytest.mark.parametrize(
    "wrong",
    [
        {"unit": ""},
        {"probability": 0},
        {"probability": 1.5},
        {"epoch": -1},
        {"plan": "xyz"},
        {"variant": None},
    ],
)
def test_an_exposure_that_can_not_be_logged_is_refused(
    worker: Worker, home: Path, wrong: dict[str, Any]
) -> None:
    one = {"exposure_id": "x", "experiment": "basket", "epoch": 2, "variant": "wide", "unit": "ann"}
    gateway = gate(worker, home, is_controlled=False)
    answer = post(gateway, "/exposures", {"exposures": [one | wrong]}, client=("127.0.0.1", 1))
    assert answer.status_code == 400
    assert answer.json()["field"] == f"exposures[0].{next(iter(wrong))}"


TEXT = st.text(min_size=1)
ASSIGNMENTS = st.builds(
    Assignment,
    TEXT,
    st.integers(0, 2**63 - 1),
    TEXT,
    st.none() | st.floats(0, 1, exclude_min=True),
    st.none() | TEXT,
    st.none() | st.from_regex("[0-9a-f]{16}", fullmatch=True),
    st.none() | TEXT,
)


@given(st.none() | ASSIGNMENTS, st.sampled_from(["request", "shadow", "none"]))
def test_what_is_encoded_is_decoded_from_ascii(assignment: Assignment | None, log: Booking) -> None:
    control = ControlHeader(assignment, log, ORIGINAL if log == "shadow" else None)
    value = encode(control)
    assert value.isascii()
    assert all(32 <= byte < 127 for byte in value), "a header has no control characters"
    assert decode(value) == control


def test_an_unknown_field_of_the_assignment_is_of_a_later_release() -> None:
    later = msgspec.to_builtins(ASSIGNED) | {"later": 1}
    assert decode(msgspec.json.encode({"assignment": later})).assignment == ASSIGNED

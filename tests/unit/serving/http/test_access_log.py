"""The log reports failures, at a limited rate, as JSON, without personal data."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from tastemaker.serving.http.access_log import RequestLogger, write_json_lines


@pytest.fixture
def stderr(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What a worker writes there, until the test ends."""
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    platform = logging.getLogger("tastemaker")
    before = (platform.handlers, platform.level, platform.propagate)
    write_json_lines()
    yield stream
    platform.handlers, platform.level, platform.propagate = before


def test_a_refusal_is_one_json_line(stderr: io.StringIO) -> None:
    RequestLogger().log(400, 0.00123, path="/recommend", method="POST", request_id="ab", field="k")
    logged = json.loads(stderr.getvalue())
    assert logged.pop("timestamp").endswith("Z")
    assert logged == {
        "event": "request refused",
        "level": "warning",
        "logger": "tastemaker.requests",
        "path": "/recommend",
        "method": "POST",
        "request_id": "ab",
        "field": "k",
        "status": 400,
        "ms": 1.23,
        "suppressed": 0,
    }


def test_an_exception_shows_its_type_and_place_but_not_its_message(stderr: io.StringIO) -> None:
    try:
        try:
            raise KeyError("user-17 of Delft")
        except KeyError as error:
            raise RuntimeError("nothing for user-17") from error
    except RuntimeError:
        RequestLogger().log(500, 0.0, path="/recommend")
    line = stderr.getvalue()
    assert "user-17" not in line
    logged = json.loads(line)
    assert (logged["event"], logged["level"]) == ("request failed", "error")
    assert [one["type"] for one in logged["exceptions"]] == ["RuntimeError", "KeyError"]
    assert __file__ in logged["exceptions"][0]["places"][0]


def test_a_thousand_alike_make_one_line_and_a_count(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    journal = RequestLogger()
    for _ in range(1_000):
        journal.log(400, 0.0, path="/recommend")
    journal.log(400, 0.0, path=None)
    journal.log(200, 0.3, path="/recommend")
    now += 1.0
    journal.log(400, 0.0, path="/recommend")
    logged = [(line.message, line.__dict__["path"], line.__dict__["suppressed"]) for line in caplog.records]
    assert logged == [
        ("request refused", "/recommend", 0),
        ("request refused", None, 0),
        ("request slow", "/recommend", 0),
        ("request refused", "/recommend", 999),
    ]

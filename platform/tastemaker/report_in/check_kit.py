"""The contract check of report-in: asks a running dashboard what it takes, without storing anything."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import quote

from tastemaker.api.report_schemas import Announced, KnownMetrics, ReportReceipt
from tastemaker.client.transport import ServiceError, Transport
from tastemaker.errors import TastemakerError

KEY = "TASTEMAKER_REPORT_KEY"
"""Environment variable with the API key."""
TIMEOUT_SECONDS = 10.0
_ROOT = "/api/v1"


class LevelCheck(NamedTuple):
    """What became of one check."""

    level: str
    passed: bool
    detail: str


def check(url: str, key: str | None, model: str) -> Iterator[LevelCheck]:
    """Try each level of report-in with rows that fit and rows that do not; nothing is stored.

    Args:
        url: The dashboard's address.
        key: An API key with the scope `report`; None for a dashboard of this machine without keys.
        model: The name of the model that would be reported.

    Yields:
        One result per level.

    Raises:
        TastemakerError: The dashboard does not answer.
    """
    transport = Transport(url, key, TIMEOUT_SECONDS, 1)
    try:
        for level, act in _LEVELS.items():
            try:
                yield LevelCheck(level, *act(transport, model))
            except ServiceError as error:
                if error.details is None:
                    raise TastemakerError(
                        f"{url} does not answer: {error.problem}",
                        fix="is it the address of `tastemaker dashboard`, such as http://127.0.0.1:9280?",
                    ) from None
                yield LevelCheck(level, False, error.details.detail)
    finally:
        transport.close()


def _metrics(transport: Transport, _: str) -> tuple[bool, str]:
    found = transport.call("GET", f"{_ROOT}/metrics", KnownMetrics)
    return bool(found.metrics), f"{len(found.metrics)} metrics have definitions"


def _announce(transport: Transport, model: str) -> tuple[bool, str]:
    body = {"title": "contract check", "owner": "contract check"}
    found = transport.call("PUT", f"{_ROOT}/models/{quote(model, safe='')}?dry_run=1", Announced, body)
    return True, f"{found.model!r} may be announced by the source {found.source!r}"


def _rows(kind: str, good: Callable[[str], dict[str, Any]]) -> Callable[[Transport, str], tuple[bool, str]]:
    """Return the check that a row is accepted, and that a row without a model or an id is refused."""

    def act(transport: Transport, model: str) -> tuple[bool, str]:
        row = good(model)
        answer = transport.call("POST", f"{_ROOT}/{kind}?dry_run=1", ReportReceipt, [row, {}])
        reasons = [one.reason for one in answer.refusals if one.row == 0]
        if reasons:
            return False, f"a row that fits is refused: {reasons[0]}"
        passed = (answer.accepted, answer.rejected) == (1, 1)
        return passed, f"{answer.accepted} row accepted, {answer.rejected} row without fields refused"

    return act


def _ago(**duration: float) -> str:
    return (datetime.now(UTC) - timedelta(**duration)).isoformat()


def _measurement(model: str) -> dict[str, Any]:
    figure = {"metric": "x_check", "unit": "points", "value": 1, "n": 1}
    return {
        "model": model,
        "version": "1",
        **figure,
        "window_start": _ago(days=2),
        "window_end": _ago(days=1),
    }


def _list(model: str) -> dict[str, Any]:
    asked = {"request_id": "check", "occurred_at": _ago(minutes=2), "user_id": "check"}
    return {**asked, "model": model, "version": "1", "item_ids": ["a", "b"]}


def _event(_: str) -> dict[str, Any]:
    reported = {"event_id": "check", "event_type": "click", "item_id": "a"}
    return {**reported, "request_id": "check", "occurred_at": _ago(minutes=1)}


def _health(model: str) -> dict[str, Any]:
    counts = {"answers": 100, "bad": 1, "empty": 0, "p99_seconds": 0.05}
    return {"model": model, "version": "1", "at": _ago(minutes=1), **counts}


_LEVELS: dict[str, Callable[[Transport, str], tuple[bool, str]]] = {
    "metrics": _metrics,
    "announcement": _announce,
    "measurements": _rows("measurements", _measurement),
    "impressions": _rows("impressions", _list),
    "feedback": _rows("feedback", _event),
    "health": _rows("health", _health),
}

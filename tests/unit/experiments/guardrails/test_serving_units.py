"""What the service did for each unit: counted by hand, by unit and day, each request once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.request_logs import fill, request
from tastemaker.data.lake import Lake
from tastemaker.event_log.drain import drain
from tastemaker.event_log.records import Assignment, Item, Record
from tastemaker.event_log.spool_file import FILE_NAME, SpoolError, connected
from tastemaker.experiments.guardrails.assigned_requests import AssignedRequests
from tastemaker.experiments.guardrails.serving_units import (
    COLUMNS,
    EpochQuery,
    ServingUnits,
    serving_units,
)
from tastemaker.experiments.guardrails.verdicts import OVER, UNDER
from tastemaker.privacy.forget import forget
from tastemaker.settings import Settings
from tastemaker.stats.unit_summary import UnitSummary

DAY = 86_400
NOW = float(int(time.time()) // DAY * DAY + DAY / 2)
"""Today's noon, UTC."""
QUERY = EpochQuery("ranker", 0, {"a": "v1", "b": "v2"}, NOW)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


@pytest.fixture
def requests(settings: Settings) -> Iterator[AssignedRequests]:
    with closing(AssignedRequests(settings)) as opened:
        yield opened


def answer(number: int, unit: str, variant: str = "b", ago: float = 60.0, **other: Any) -> Record:
    """An answer without a fault, by the version that is expected."""
    assigned: dict[str, Any] = {"served": variant, "unit": unit, "probability": 0.5}
    assigned |= {
        name: other.pop(name) for name in ("served", "probability", "epoch", "experiment") if name in other
    }
    assignment = Assignment(
        assigned.pop("experiment", "ranker"), assigned.pop("epoch", 0), variant, **assigned
    )
    fields = {"version": QUERY.versions[variant], "occurred_at": NOW - ago, "user_id": unit} | other
    return request(number, assignment=assignment, **fields)


def counted(requests: AssignedRequests, query: EpochQuery = QUERY) -> ServingUnits:
    requests.read(NOW - 10 * DAY)
    return serving_units(requests.connection, query)


def share(units: ServingUnits, metric: str, variant: str = "b") -> float:
    its = units.summaries[metric][variant]
    return float(its.mean[its.at(OVER)] / its.mean[its.at(UNDER)])


NOTHING: dict[str, dict[str, UnitSummary]] = {metric: {} for metric in COLUMNS}
FAULTS: dict[str, dict[str, Any]] = {
    "fallback_share": {"fallback": "model_timeout", "stage": "popular"},
    "empty_share": {"items": [], "k": 0},
    "short_share": {"items": [Item("tea", 1.0, 1.0)], "fallback": "model_short"},
    "slow_share": {"latency_ms": 101.0},
    "wrong_version_share": {"version": "v9"},
}


@pytest.mark.parametrize("metric", COLUMNS)
def test_each_metric_counts_its_own_fault_alone(
    settings: Settings, requests: AssignedRequests, metric: str
) -> None:
    fill(settings.spool, [answer(1, "u1"), answer(2, "u2", **FAULTS[metric]), answer(3, "u3", "a")])
    units = counted(requests)
    assert {one: share(units, one) for one in COLUMNS} == {
        one: 0.5 if one == metric else 0.0 for one in COLUMNS
    }
    assert {one: share(units, one, "a") for one in COLUMNS} == dict.fromkeys(COLUMNS, 0.0)
    assert units.counts == {"a": 1, "b": 2}


@pytest.mark.parametrize("served", ["a", None], ids=["by control", "by no variant"])
def test_a_list_of_another_service_is_the_assigned_variants_fallback(
    settings: Settings, requests: AssignedRequests, served: str | None
) -> None:
    fill(settings.spool, [answer(1, "u1", served=served, version="v1")])
    units = counted(requests)
    assert share(units, "fallback_share") == 1.0
    assert units.summaries["wrong_version_share"]["b"].mean[1] == 0  # its version is not known to be wrong


def test_a_unit_counts_once_per_day_however_many_lists_it_had(
    settings: Settings, requests: AssignedRequests
) -> None:
    bot = [answer(n, "bot", ago=60.0 + n, fallback="model_error") for n in range(100)]
    quiet = [answer(200 + n, "quiet", ago=90 - n, fallback="model_error" if n else None) for n in range(2)]
    two_days = [answer(300, "ann", ago=DAY + 60), answer(301, "ann", fallback="model_error")]
    fill(settings.spool, [*bot, *quiet, *two_days])
    its = counted(requests).summaries["fallback_share"]["b"]
    assert its.n == 3
    assert its.mean == pytest.approx(np.array([(1 + 0.5 + 1) / 3, (1 + 1 + 2) / 3]))


def test_a_unit_is_of_the_variant_that_it_had_first(settings: Settings, requests: AssignedRequests) -> None:
    fill(settings.spool, [answer(1, "u", "a", ago=90, served="b"), answer(2, "u", "b", ago=60)])
    assert counted(requests).counts == {"a": 1}


def test_forced_other_and_future_requests_are_left_out(
    settings: Settings, requests: AssignedRequests
) -> None:
    fill(
        settings.spool,
        [
            answer(1, "u1"),
            answer(2, "u2", probability=None),
            answer(3, "u3", epoch=1),
            answer(4, "u4", experiment="other"),
            answer(5, "u5", ago=-DAY),
            request(6, occurred_at=NOW - 60),
        ],
    )
    units = counted(requests)
    assert units.counts == {"b": 1}
    assert units.newest_at == NOW - 60


def test_a_latency_that_is_not_known_is_not_a_fast_one(
    settings: Settings, requests: AssignedRequests
) -> None:
    fill(settings.spool, [answer(1, "u1", latency_ms=None), answer(2, "u2", latency_ms=float("nan"))])
    its = counted(requests).summaries["slow_share"]["b"]
    assert its.mean[its.at(UNDER)] == 0


def test_requests_of_the_spool_the_lake_and_both_count_once(
    settings: Settings, requests: AssignedRequests
) -> None:
    lake = Lake(settings.lake)
    fill(settings.spool, [answer(1, "u1"), answer(2, "u2")])
    assert counted(requests).counts == {"b": 2}
    drain(settings.spool, lake)
    assert counted(requests).counts == {"b": 2}
    fill(settings.spool, [answer(2, "u2"), answer(3, "u3")])
    assert counted(requests).counts == {"b": 3}
    drain(settings.spool, lake)
    with closing(AssignedRequests(settings)) as restarted:
        assert counted(restarted).counts == {"b": 3}


def test_a_request_that_was_erased_before_it_was_drained_leaves_the_counts(
    settings: Settings, requests: AssignedRequests
) -> None:
    """At the next check, wherever it was: in the spool, or drained by the erasure itself."""
    fill(settings.spool, [answer(1, "u1"), answer(2, "u2"), answer(3, "u3")])
    assert counted(requests).counts == {"b": 3}
    assert forget(settings, "u1").erased
    assert counted(requests).counts == {"b": 2}
    fill(settings.spool, [answer(4, "u4")])
    assert counted(requests).counts == {"b": 3}
    with connected(settings.spool / FILE_NAME) as connection, connection:
        connection.execute("DELETE FROM records")
    assert counted(requests).counts == {"b": 2}
    assert counted(requests).counts == {"b": 2}


def test_epochs_that_are_over_are_dropped(settings: Settings, requests: AssignedRequests) -> None:
    fill(settings.spool, [answer(1, "u1"), answer(2, "u2", epoch=1)])
    assert counted(requests).counts == {"b": 1}
    requests.keep([("ranker", 1)])
    assert serving_units(requests.connection, QUERY).counts == {}
    assert serving_units(requests.connection, QUERY._replace(epoch=1)).counts == {"b": 1}
    requests.keep([])
    assert requests.connection.execute("SELECT count(*) FROM assigned").fetchall() == [(0,)]


def test_without_a_request_there_is_no_newest_one(requests: AssignedRequests) -> None:
    assert counted(requests) == ServingUnits(None, {}, NOTHING, NOTHING)


def test_the_last_minutes_alone(settings: Settings, requests: AssignedRequests) -> None:
    fill(settings.spool, [answer(1, "u1", ago=3_600), answer(2, "u1", ago=60, fallback="model_error")])
    units = counted(requests)
    assert units.recent["fallback_share"]["b"].mean.tolist() == [1.0, 1.0]
    assert share(units, "fallback_share") == 0.5


def test_a_spool_that_can_not_be_read_is_an_error_and_not_an_empty_log(
    settings: Settings, requests: AssignedRequests
) -> None:
    settings.spool.mkdir(parents=True)
    (settings.spool / FILE_NAME).write_bytes(b"no database" * 1_000)
    with pytest.raises(SpoolError, match="can't be read"):
        requests.read(NOW - DAY)

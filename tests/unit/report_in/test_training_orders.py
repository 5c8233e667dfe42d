"""POST /train stores a request with the key's name, and GET /train/ID says what became of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.reporting_homes import Reporting, reporting
from tastemaker.framing.answers import to_problem
from tastemaker.monitoring.job_runs import record_queue_length
from tastemaker.problem.writing import write_problem
from tastemaker.serving.http.api_keys import add, changed
from tastemaker.trainings.requests import DONE, HOURLY_LIMIT, QUEUE, TrainingRequests

JOB = "catalogue-job"
WHY = "a new catalogue"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Reporting]:
    with reporting(tmp_path / "home") as made:
        write_problem(to_problem({}), made.settings.problem)
        with changed(made.settings.keys) as keys:
            made.secrets[JOB] = add(keys, JOB, ["train"]).secret
        yield made


def order(home: Reporting, key: str = "", source: str = JOB, **body: Any) -> httpx.Response:
    headers = {"Idempotency-Key": key} if key else {}
    return home.request("POST", "/train", source, json={"reason": WHY, **body}, headers=headers)


def state(home: Reporting, request_id: str) -> dict[str, Any]:
    found: dict[str, Any] = home.request("GET", f"/train/{request_id}", JOB).json()
    return found


def test_a_request_is_accepted_and_followed(home: Reporting) -> None:
    accepted = order(home, models=["ials"])
    assert accepted.status_code == 202
    made = accepted.json()
    assert (made["state"], made["models"], made["run_id"]) == ("waiting", ["ials"], None)
    assert accepted.headers["location"] == f"/api/v1/train/{made['id']}"
    assert "no orchestrator has looked for requests yet" in state(home, made["id"])["detail"]
    record_queue_length(home.engine, QUEUE, 1, datetime.now(UTC))
    assert "within a minute" in state(home, made["id"])["detail"]
    requests = TrainingRequests(home.engine, to_problem({}).name)
    [stored] = requests.open()
    assert (stored.actor, stored.reason) == (JOB, WHY)
    requests.set_state(stored.id, DONE, run_id="r1")
    ended = state(home, made["id"])
    assert (ended["state"], ended["run_id"], ended["detail"]) == ("done", "r1", "")


def test_a_key_makes_repeating_harmless(home: Reporting) -> None:
    first, again = (order(home, "order-1").json()["id"] for _ in range(2))
    assert first == again
    other = order(home, "order-1", models=["ials"])
    assert (other.status_code, other.json()["field"]) == (400, "Idempotency-Key")
    assert order(home, "x" * 201).status_code == 400
    assert order(home).json()["id"] != order(home).json()["id"]


def test_each_refusal_names_what_is_wrong(home: Reporting) -> None:
    unknown = order(home, models=["popularty"])
    assert unknown.status_code == 400
    assert "'popularty' is not an enabled model; those are " in unknown.json()["detail"]
    assert "popularity" in unknown.json()["detail"]
    assert order(home, source="search team").status_code == 403
    assert order(home, source="").status_code == 401
    for body in ({"reason": ""}, {"models": "ials"}, {"nonsense": 1}, {"models": [1]}, {"reason": None}):
        assert order(home, **body).status_code == 400, body
    assert home.request("GET", "/train/nonsense", JOB).status_code == 404
    assert home.request("GET", "/train", JOB).status_code == 405


@pytest.mark.slow
def test_too_many_are_refused(home: Reporting) -> None:
    answers = [order(home).status_code for _ in range(HOURLY_LIMIT + 1)]
    assert answers == [202] * HOURLY_LIMIT + [429]


def test_without_a_problem_file_the_answer_says_so(home: Reporting) -> None:
    home.settings.problem.unlink()
    refused = order(home)
    assert refused.status_code == 503
    assert "problem" in refused.json()["detail"]

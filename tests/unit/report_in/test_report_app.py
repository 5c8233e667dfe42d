"""Report-in over HTTP: who may report what, what is stored, and how each refusal is answered."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from sqlalchemy import func, insert, select

from support.reporting_homes import MIDNIGHT, Reporting, event, health, measurement, reporting, shown
from tastemaker.api.report_schemas import MAX_ROWS
from tastemaker.api.schemas import MAX_BODY_BYTES
from tastemaker.data.lake import Lake
from tastemaker.event_log.drain import drain, read_feedback, read_log
from tastemaker.product.definitions import DEFINITIONS
from tastemaker.report_in.endpoints import ROUTES
from tastemaker.report_in.ownership import MAX_MODELS
from tastemaker.serving.http.api_keys import add, changed
from tastemaker.storage.tables import (
    in_rejected,
    measurements,
    report_counts,
    reported_health,
    reported_models,
)

LINES = {"content-type": "application/x-ndjson"}


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Reporting]:
    with reporting(tmp_path / "home") as made:
        yield made


def rows(home: Reporting, table: Any) -> list[dict[str, Any]]:
    with home.engine.connect() as connection:
        return [dict(row._mapping) for row in connection.execute(select(table))]


def drained(home: Reporting) -> Lake:
    lake = Lake(home.settings.lake)
    drain(home.settings.spool, lake)
    return lake


def test_figures_are_stored_with_the_keys_name_as_source(home: Reporting) -> None:
    answer = home.post("/measurements", [measurement(), measurement(metric="x_basket", unit="GBP", value=80.0,
        low=None, high=None)])  # fmt: skip
    assert answer.json() == {"accepted": 2, "rejected": 0, "duplicates": 0, "refusals": []}
    first, second = rows(home, measurements)
    assert (first["source"], first["metric"], first["value"]) == ("search team", "ctr_list", 0.1)
    assert first["window_start"].isoformat() == MIDNIGHT
    assert first["is_complete"]
    assert (second["metric"], second["low"]) == ("x_basket", None)


def test_a_figure_that_is_sent_again_is_replaced_and_that_of_another_source_is_not(home: Reporting) -> None:
    home.post("/measurements", [measurement()])
    home.post("/measurements", [measurement(value=0.10), measurement(value=0.105)])
    [row] = rows(home, measurements)
    assert row["value"] == 0.105
    refused = home.post("/measurements", [measurement(value=0.1)], source="other").json()
    assert refused["accepted"] == 0
    assert "reported by another source" in refused["refusals"][0]["reason"]
    assert rows(home, measurements) == [row]


def test_our_own_models_are_reported_by_no_other(home: Reporting) -> None:
    for path, row in (
        ("/measurements", measurement(model="popularity")),
        ("/impressions", shown(model="popularity")),
        ("/health", health(model="popularity")),
    ):
        [refusal] = home.post(path, [row]).json()["refusals"]
        assert refusal["reason"] == "the model 'popularity' is the platform's own; choose another name"
    announced = home.request("PUT", "/models/popularity", "other", json={"title": "t", "owner": "o"})
    assert announced.status_code == 403
    assert rows(home, reported_models) == []


@pytest.mark.slow
def test_a_source_has_at_most_so_many_models(home: Reporting) -> None:
    many = [measurement(model=f"m{number}") for number in range(MAX_MODELS + 1)]
    answer = home.post("/measurements", many).json()
    assert (answer["accepted"], answer["rejected"]) == (MAX_MODELS, 1)
    assert home.post("/measurements", [measurement(model="m0")]).json()["accepted"] == 1
    assert home.post("/measurements", [measurement(model="free")], source="other").json()["accepted"] == 1


def test_good_rows_are_kept_and_the_answer_says_both(home: Reporting) -> None:
    body = json.dumps([measurement(), measurement(value=float("nan")), measurement(version="8")])
    answer = home.post("/measurements", None, content=body).json()
    assert (answer["accepted"], answer["rejected"]) == (2, 1)
    assert answer["refusals"] == [
        {"row": 1, "field": "value", "reason": "value = nan: must be a finite number"}
    ]
    [kept] = rows(home, in_rejected)
    assert (kept["source"], kept["kind"], kept["origin"], kept["number"]) == (
        "search team", "measurements", "http", 1,
    )  # fmt: skip
    [count] = rows(home, report_counts)
    assert (count["accepted"], count["rejected"]) == (2, 1)


def test_lines_are_read_one_by_one(home: Reporting) -> None:
    body = "\n".join([json.dumps(measurement()), "", "{half", json.dumps(measurement(version="8"))])
    answer = home.post("/measurements", None, content=body, headers=LINES).json()
    assert (answer["accepted"], [one["row"] for one in answer["refusals"]]) == (2, [1])


def test_lists_and_feedback_are_in_the_log_as_our_own_are(home: Reporting) -> None:
    home.post("/impressions", [shown(0, scores=[3, 2.5, 1], fallback="timeout"), shown(1)])
    home.post("/feedback", [event(0), event(1, request_id=None, user_id="user-1")])
    lake = drained(home)
    first, second = read_log(lake).to_pylist()
    assert (first["request_id"], first["model"], first["version"]) == ("search%20team/r0", "shop_search", "7")
    assert (first["item_ids"], first["scores"], first["propensities"]) == (
        ["a", "b", "c"],
        [3, 2.5, 1],
        [1] * 3,
    )
    assert (first["fallback"], first["stage"], first["latency_ms"]) == ("timeout", "popular", None)
    assert (second["stage"], second["k"]) == ("model", 3)
    click, bought = read_feedback(lake).to_pylist()
    assert (click["event_id"], click["request_id"]) == ("search%20team/e0", first["request_id"])
    assert (bought["user_id"], bought["request_id"]) == ("user-1", None)


def test_what_is_sent_again_counts_once_before_and_after_a_drain(home: Reporting) -> None:
    assert home.post("/impressions", [shown(), shown()]).json()["duplicates"] == 1
    assert home.post("/impressions", [shown()]).json()["duplicates"] == 1
    drained(home)
    home.post("/impressions", [shown(item_ids=["z"])])
    [row] = read_log(drained(home)).to_pylist()
    assert row["item_ids"] == ["a", "b", "c"]


def test_equal_ids_of_two_sources_are_two_requests(home: Reporting) -> None:
    home.post("/impressions", [shown()])
    home.post("/impressions", [shown(model="other_model")], source="other")
    assert len(read_log(drained(home))) == 2


def test_an_id_that_is_too_long_with_its_source_is_refused(home: Reporting) -> None:
    [refusal] = home.post("/impressions", [shown(request_id="r" * 190)]).json()["refusals"]
    assert refusal["field"] == "request_id"
    assert "at most" in refusal["reason"] or "more than" in refusal["reason"]


def test_users_are_pseudonyms_in_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASTEMAKER_PSEUDONYM_KEY", "k" * 32)
    with reporting(tmp_path / "home", privacy={"pseudonymize": True}) as home:
        home.post("/impressions", [shown()])
        [row] = read_log(drained(home)).to_pylist()
    assert row["user_id"].startswith("p-")


def test_a_full_log_refuses_and_says_when_to_retry(tmp_path: Path) -> None:
    with reporting(tmp_path / "home", log={"spool_bytes": 1 << 20}) as home:
        for number in range(0, 20_000, 1_000):
            answer = home.post("/impressions", [shown(number + one) for one in range(1_000)])
            if answer.status_code != 200:
                break
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 0


def test_health_reports_add_up_and_count_once(home: Reporting) -> None:
    first, second = health(0), health(1, answers=50, p99_seconds=0.2)
    assert home.post("/health", first).json()["accepted"] == 1
    home.post("/health", [second, first, second | {"answers": 70}])
    [model] = rows(home, reported_models)
    assert (model["answers"], model["bad"], model["empty"]) == (150, 4, 2)
    assert (model["p99_seconds"], model["version"], model["title"]) == (0.2, "7", None)
    assert len(rows(home, reported_health)) == 2


def test_a_late_health_report_counts_and_is_not_the_newest(home: Reporting) -> None:
    home.post("/health", [health(5, p99_seconds=0.5)])
    home.post("/health", [health(1, p99_seconds=0.1)])
    [model] = rows(home, reported_models)
    assert (model["answers"], model["p99_seconds"]) == (200, 0.5)


def test_models_are_announced_and_announced_again(home: Reporting) -> None:
    path, words = "/models/a/b%20c", {"title": "Search", "owner": "search team"}
    answer = home.request("PUT", path, "search team", json=words)
    assert answer.json() == {"model": "a/b c", "source": "search team", "title": "Search"}
    home.request("PUT", path, "search team", json=words | {"title": "Search 2"})
    [model] = rows(home, reported_models)
    assert (model["title"], model["owner"], model["url"]) == ("Search 2", "search team", "")
    assert home.request("PUT", path, "other", json=words).status_code == 403


@pytest.mark.parametrize("field", ["url", "runbook"])
@pytest.mark.parametrize("address", ["javascript:alert(1)", "data:text/html,x", "http://a b", "//x.example"])
def test_addresses_of_models_are_links_to_pages(home: Reporting, field: str, address: str) -> None:
    words = {"title": "t", "owner": "o", field: address}
    answer = home.request("PUT", "/models/m", "other", json=words)
    assert (answer.status_code, answer.json()["field"]) == (400, field)


def test_metrics_are_listed_with_their_units(home: Reporting) -> None:
    found = home.request("GET", "/metrics", "other").json()["metrics"]
    assert {one["name"]: one["unit"] for one in found} == {
        name: one.unit for name, one in DEFINITIONS.items()
    }


def test_packed_bodies_are_read_up_to_the_limit(home: Reporting) -> None:
    packed = {"content-encoding": "gzip"}
    good = gzip.compress(json.dumps([measurement()]).encode())
    assert home.post("/measurements", None, content=good, headers=packed).json()["accepted"] == 1
    bomb = gzip.compress(b" " * (MAX_BODY_BYTES + 1))
    assert len(bomb) < 10_000
    assert home.post("/measurements", None, content=bomb, headers=packed).status_code == 413
    for wrong in (good[:-9], good + b"x", b"no gzip"):
        assert home.post("/measurements", None, content=wrong, headers=packed).status_code == 400
    other = home.post("/measurements", None, content=good, headers={"content-encoding": "br"})
    assert other.status_code == 415


WRONG: dict[str, tuple[dict[str, Any], int]] = {
    "not JSON": ({"content": b"{"}, 400),
    "deep JSON": ({"content": b"[" * 100_000}, 400),
    "too long": ({"content": b" " * (MAX_BODY_BYTES + 1)}, 413),
    "too many rows": ({"content": b"[" + b"1," * MAX_ROWS + b"1]"}, 413),
    "XML": ({"content": b"<a/>", "headers": {"content-type": "text/xml"}}, 415),
}


@pytest.mark.parametrize(("request_", "status"), WRONG.values(), ids=WRONG)
def test_a_body_that_can_not_be_read_is_a_problem(
    home: Reporting, request_: dict[str, Any], status: int
) -> None:
    answer = home.post("/measurements", None, **request_)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


def test_who_has_no_key_of_the_scope_reports_nothing(tmp_path: Path) -> None:
    with reporting(tmp_path / "home", "search team", "tastemaker") as home:
        with changed(home.settings.keys) as keys:
            home.secrets["reader"] = add(keys, "reader", ["recommend", "manage"]).secret
        for method, path in (("POST", "/measurements"), ("PUT", "/models/m"), ("GET", "/metrics")):
            assert home.request(method, path, json=[]).status_code == 401
            assert home.request(method, path, "reader", json=[]).status_code == 403
            assert home.request(method, path, "tastemaker", json=[]).status_code == 403
        assert home.request("GET", "/openapi.json").status_code == 200


def test_without_keys_this_machine_reports_as_local(tmp_path: Path) -> None:
    with reporting(tmp_path / "home") as home:
        home.settings.keys.unlink()
        assert home.request("POST", "/measurements", json=[measurement()]).json()["accepted"] == 1
        assert rows(home, measurements)[0]["source"] == "local"
        foreign = home.request("POST", "/measurements", json=[], headers={"host": "shop.example"})
        assert foreign.status_code == 421
        proxied = home.request("POST", "/measurements", json=[], headers={"x-forwarded-for": "1.2.3.4"})
        assert proxied.status_code == 401


def test_a_keys_rate_is_limited(tmp_path: Path) -> None:
    with reporting(tmp_path / "home") as home:
        with changed(home.settings.keys) as keys:
            home.secrets["slow"] = add(keys, "slow", ["report"], per_second=0.01).secret
        assert home.request("GET", "/metrics", "slow").status_code == 200
        limited = home.request("GET", "/metrics", "slow")
    assert (limited.status_code, int(limited.headers["retry-after"]) > 50) == (429, True)


def test_another_path_and_another_method_are_problems(home: Reporting) -> None:
    assert home.request("GET", "/nothing", "other").json()["status"] == 404
    answer = home.request("GET", "/measurements", "other")
    assert (answer.json()["status"], answer.headers["allow"]) == (405, "POST")


def test_a_database_that_is_away_is_a_problem_with_a_time_to_retry(home: Reporting) -> None:
    with home.engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE report_counts")
    answer = home.post("/measurements", [measurement()])
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "10")
    assert rows(home, measurements) == []


def test_the_openapi_document_is_valid_and_has_every_endpoint(home: Reporting) -> None:
    document = home.request("GET", "/openapi.json").json()
    OpenAPIV31SpecValidator(document).validate()
    assert {(path, method.upper()) for path, methods in document["paths"].items() for method in methods} == {
        (route.path, route.method) for route in ROUTES
    }


def test_a_thousand_free_metrics_are_stored(home: Reporting) -> None:
    many = [measurement(metric=f"x_metric_{number}", unit="points") for number in range(1_000)]
    assert home.post("/measurements", many).json()["accepted"] == 1_000
    with home.engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(measurements)).scalar_one() == 1_000


def test_our_own_figures_are_never_replaced(home: Reporting) -> None:
    home.post("/measurements", [measurement()])
    [theirs] = rows(home, measurements)
    ours = theirs | {"source": "tastemaker", "value": 0.5}
    with home.engine.begin() as connection:
        connection.execute(insert(measurements), [ours])
    home.post("/measurements", [measurement(value=0.095)])
    assert ours in rows(home, measurements)

"""What a message says besides the alert: deployment, reasons, requests, search and rollback."""

from __future__ import annotations

import shlex
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, insert

from support.notifications import notification
from tastemaker.alerting.expression import Expression, Values
from tastemaker.alerting.series import Series, SeriesByName
from tastemaker.log_search.query import Parser
from tastemaker.notifications.notification import Notification
from tastemaker.registry import champion, deployment
from tastemaker.settings import Settings
from tastemaker.storage.engine import open_engine
from tastemaker.storage.tables import promotions, versions
from tastemaker.watch.circumstances import Circumstances, CircumstancesReader, ListReason, ServedVersion
from tastemaker.watch.explanation import can_help, deployment_sentence, reasons_sentence, search_terms
from tastemaker.watch.incident_explainer import IncidentExplainer

NOW = datetime.now(UTC).replace(microsecond=0)
JOB = {"job": "tastemaker", "instance": "shop:3000"}
IDS = ("0af7651916cd43dd8448eb211c80319c", "4bf92f3577b34da6a3ce929d0e0e4736")


def counters(counts: dict[tuple[str, str], float], model: str = "ease") -> list[Series]:
    """Return counters of lists by (stage, reason) that rose by so much in the last 50 seconds."""
    end = NOW.timestamp() + 1
    times = [end - 60, end - 30, end]
    return [
        Series(
            frozenset({**JOB, "model": model, "stage": stage, "reason": reason}.items()),
            times,
            [100.0, 100.0 + rise / 2, 100.0 + rise],
        )
        for (stage, reason), rise in counts.items()
    ]


def serving(model: str, version: str) -> Series:
    labels = frozenset({**JOB, "model": model, "version": version}.items())
    return Series(labels, [NOW.timestamp()], [1.0])


SERIES: SeriesByName = {
    "tastemaker_served_version_info": [serving("ease", "v2"), serving("als", "w1")],
    "tastemaker_answers_total": [
        *counters({("model", "none"): 875, ("popular", "model_invalid"): 115, ("static", "no_model"): 10}),
        *counters({("popular", "model_timeout"): 500}, "als"),
    ],
}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


@pytest.fixture
def engine(settings: Settings) -> Iterator[Engine]:
    """A database in which ease v1 was promoted a day ago, and v2 nine minutes ago."""
    engine = open_engine(settings.metadata_url)
    columns: dict[str, Any] = {"content_hash": "h", "manifest": {}, "created_at": NOW}
    with engine.begin() as connection:
        for version, model in (("v1", "ease"), ("v2", "ease"), ("w1", "als")):
            connection.execute(insert(versions).values(id=version, model=model, problem="shop", **columns))
        for version, minutes in (("v1", 1_440), ("v2", 9)):
            connection.execute(
                insert(promotions).values(
                    problem="shop",
                    version_id=version,
                    action="promote",
                    forced=False,
                    reason="better",
                    at=NOW - timedelta(minutes=minutes),
                )
            )
    yield engine
    engine.dispose()


def evaluating(series: SeriesByName) -> Callable[[Expression], Values]:
    return lambda expression: expression.evaluate(series, NOW.timestamp() + 1)


def found(query: str, limit: int) -> Sequence[str]:
    return IDS[:limit]


def fired(**other: Any) -> Notification:
    fields: dict[str, Any] = {"details": (), "commands": (), "links": (), "examples": ()}
    fields |= {"started_at": NOW, "occurred_at": NOW + timedelta(seconds=40)}
    return notification(**(fields | other))


def explained(
    settings: Settings, engine: Engine, one: Notification, cause: str = "answers", **other: Any
) -> Notification:
    reader = CircumstancesReader(
        settings, engine, evaluating(other.get("series", SERIES)), other.get("find", found), part_seconds=5.0
    )
    return IncidentExplainer(settings, reader)(one, cause)


def test_a_message_explains_the_fault_and_says_what_to_do(settings: Settings, engine: Engine) -> None:
    asked: list[str] = []

    def find(query: str, limit: int) -> Sequence[str]:
        asked.append(query)
        return IDS[:limit]

    message = explained(settings, engine, fired(), find=find)
    since = (NOW - timedelta(minutes=2)).strftime("%Y-%m-%dT%H:%MZ")
    assert message.details == (
        "It began 9 min after ease v2 was promoted.",
        "Of about 1,000 lists in 1 min: model_invalid 11.5%, popular in place of the model, "
        "no_model 1.0%, static in place of the model.",
        "Runbook: docs/how-to/runbooks/fallback_share.md",
    )
    assert message.examples == IDS
    assert message.commands == (
        "tastemaker models rollback --reason 'fallback_share, incident 12'",
        f"tastemaker log search model:ease fallback:model_invalid since:{since}",
    )
    assert asked == [f"model:ease fallback:model_invalid since:{since}"]
    assert replace(message, details=(), examples=(), commands=()) == fired()


def test_a_resolve_explains_but_proposes_nothing(settings: Settings, engine: Engine) -> None:
    message = explained(settings, engine, fired(event="resolve"))
    assert message.details[0] == "It began 9 min after ease v2 was promoted."
    assert (message.commands, message.examples) == ((), ())


def test_the_version_that_was_deployed_last_counts(settings: Settings, engine: Engine) -> None:
    """An alert of an instance with two models; one of them was deployed by hand, which the database lacks."""
    deployment.deploy(settings.artifacts, "als", "w1", "shop")
    one = fired(labels=JOB, started_at=datetime.now(UTC) + timedelta(seconds=65))
    message = explained(settings, engine, one, "service")
    assert message.details[0].endswith("after als w1 was deployed.")
    assert message.commands == ()


def test_a_promotion_is_one_though_it_writes_the_deployment_file_too(
    settings: Settings, engine: Engine
) -> None:
    champion.record(engine, "shop", "v1", "promote", forced=False, reason="better")
    deployment.deploy(settings.artifacts, "ease", "v1", "shop")
    champion.record(engine, "shop", "v1", "unfreeze", forced=False, reason="calm again")
    series = {**SERIES, "tastemaker_served_version_info": [serving("ease", "v1")]}
    message = explained(
        settings, engine, fired(started_at=datetime.now(UTC) + timedelta(minutes=2)), series=series
    )
    assert message.details[0].endswith("after ease v1 was promoted.")
    assert message.commands[0].startswith("tastemaker models rollback")


def test_a_former_champion_is_not_rolled_back(settings: Settings, engine: Engine) -> None:
    """The service did not follow the promotion of v2."""
    series = {**SERIES, "tastemaker_served_version_info": [serving("ease", "v1")]}
    message = explained(settings, engine, fired(), series=series)
    assert "ease v1 was promoted" in message.details[0]
    assert not any("rollback" in command for command in message.commands)


def test_without_metrics_the_deployment_file_names_the_version(settings: Settings, engine: Engine) -> None:
    deployment.deploy(settings.artifacts, "ease", "v1", "shop")
    message = explained(
        settings, engine, fired(started_at=datetime.now(UTC) + timedelta(hours=30)), series={}
    )
    assert message.details[0].startswith(
        "It began 1 d 6 h after the last deployment: ease v1 was deployed at "
    )
    assert message.commands[0].startswith("tastemaker log search model:ease fallback:any since:")


def test_a_runbook_that_is_a_link_is_not_repeated(tmp_path: Path, engine: Engine) -> None:
    runbooks = "https://docs.shop.example/runbooks"
    settings = Settings(home=tmp_path, alerts={"runbooks": runbooks})
    message = explained(settings, engine, fired(links=notification().links))
    assert not any("Runbook" in detail for detail in message.details)


def test_what_can_not_be_read_is_left_out_and_the_message_goes_out(
    settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(query: str, limit: int) -> Sequence[str]:
        raise OSError("disk")

    engine = open_engine(settings.metadata_url)
    (settings.home / "tastemaker.db").unlink()
    engine.dispose()
    message = explained(settings, engine, fired(), find=broken)
    assert message.examples == ()
    assert message.details[0].startswith("Of about 1,000 lists")
    assert message.commands[0].startswith("tastemaker log search")
    assert caplog.text.count("an alert's message lacks what the") == 2


def test_a_search_that_hangs_does_not_hold_the_message_and_is_not_begun_again(
    settings: Settings, engine: Engine
) -> None:
    release, begun = threading.Event(), []

    def hanging(query: str, limit: int) -> Sequence[str]:
        begun.append(query)
        release.wait(10)
        return IDS

    reader = CircumstancesReader(settings, engine, evaluating(SERIES), hanging, part_seconds=0.2)
    explain = IncidentExplainer(settings, reader)
    assert [explain(fired(), "answers").examples for _ in range(3)] == [()] * 3
    assert len(begun) == 1
    release.set()


@pytest.mark.parametrize(
    ("minutes", "cause", "can_roll_back", "helps"),
    [
        (9, "answers", True, True),
        (9, "versions", True, True),
        (359, "answers", True, True),
        (361, "answers", True, False),
        (-1, "answers", True, False),
        (9, "log", True, False),
        (9, "service", True, False),
        (9, "answers", False, False),
    ],
)
def test_a_rollback_is_proposed_where_it_can_help(
    minutes: float, cause: str, can_roll_back: bool, helps: bool
) -> None:
    served = ServedVersion("ease", "v2", "promoted", NOW - timedelta(minutes=minutes), can_roll_back)
    assert can_help(served, cause, NOW) is helps


def test_a_version_that_was_rolled_back_to_is_not_rolled_back(settings: Settings, engine: Engine) -> None:
    champion.record(engine, "shop", "v1", "rollback", forced=False, reason="worse")
    series = {**SERIES, "tastemaker_served_version_info": [serving("ease", "v1")]}
    one = fired(started_at=datetime.now(UTC) + timedelta(minutes=2))
    message = explained(settings, engine, one, series=series)
    assert "after ease v1 was rolled back to" in message.details[0]
    assert not any("rollback" in command for command in message.commands)


def test_a_deployment_after_the_beginning_is_named_as_such() -> None:
    served = ServedVersion("ease", "v2", "promoted", NOW + timedelta(minutes=1), True)
    assert "after it began" in deployment_sentence(served, NOW)
    unknown = ServedVersion("ease", "v2", None, None, False)
    assert deployment_sentence(unknown, NOW) == "ease v2 is served; the database does not say since when."


def test_only_the_most_frequent_reasons_are_named() -> None:
    reasons = tuple(ListReason(f"reason_{place}", "popular", 50 - place) for place in range(5))
    sentence = reasons_sentence(Circumstances(reasons=reasons, all_lists=1_000, window_seconds=900))
    assert sentence.startswith("Of about 1,000 lists in 15 min: reason_0 5.0%, popular in place")
    assert "reason_2" in sentence
    assert "reason_3" not in sentence


@pytest.mark.parametrize(
    ("rule", "cause", "labels", "first"),
    [
        ("fallback_share", "answers", {"model": "ease"}, ("model:ease", "fallback:any")),
        ("slow", "service", {"job": "tastemaker"}, ("ms>100",)),
        ("empty_lists", "answers", {"model": 'two "words" \\'}, (r'model:"two \"words\" \\"', "items=0")),
        ("short_lists", "answers", {}, ("items<k",)),
        ("spool_old", "log", {"job": "tastemaker"}, ()),
    ],
)
def test_the_search_finds_the_incidents_requests(
    rule: str, cause: str, labels: dict[str, str], first: tuple[str, ...]
) -> None:
    """Every query is one that the log's own reader accepts, also when a shell has read it."""
    terms = search_terms(rule, cause, labels, NOW, Circumstances(), 0.1)
    assert terms[: len(first)] == first
    assert len(terms) == (len(first) + 1 if first else 0)
    if terms:
        command = shlex.join(["tastemaker", "log", "search", *terms])
        query = Parser(NOW).parse(" ".join(shlex.split(command)[3:]))
        assert len(query.terms) == len(terms)
        assert query.since == (NOW - timedelta(minutes=2)).replace(second=0)

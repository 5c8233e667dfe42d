"""Of each model, the newest training that did something and the newest decision are shown."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, insert

from tastemaker.storage.tables import retraining_decisions
from tastemaker.trainings.records import REGISTERED, UNCHANGED, Cost, Need, Reason, TrainingRecords
from tastemaker.trainings.status import read_history, read_statuses

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
WHY = (Reason("new_data", "2 new days"),)
NEED = Need(1_000, "abc", None, 1 << 30)


def decide(engine: Engine, model: str, decision: str, **more: Any) -> None:
    row = {"problem": "shop", "model": model, "decision": decision, "evaluated_at": NOW}
    with engine.begin() as connection:
        connection.execute(insert(retraining_decisions).values(row | more))


@pytest.fixture
def records(engine: Engine, tmp_path: Path) -> TrainingRecords:
    found = TrainingRecords(engine, tmp_path, "shop")
    for run, outcome, cost in (("1", REGISTERED, Cost(3.0, 4.0, 512 << 20)), ("2", UNCHANGED, Cost())):
        with found.training(run, "ials", WHY, NEED):
            found.finish(run, "ials", outcome, cost, version_id="v1")
    return found


def test_a_night_that_found_nothing_to_do_hides_no_training(records: TrainingRecords) -> None:
    conditions = [
        {"name": "new_data", "is_met": False, "detail": "no new data"},
        {"name": "stale", "is_met": False, "detail": "2 of 7 days old"},
    ]
    decide(records.engine, "ials", "up_to_date", conditions=conditions, next_at=NOW)
    [found] = read_statuses(records.engine, "shop", ["ials"])
    assert found.last is not None
    assert (found.last.run_id, found.last.outcome) == ("1", REGISTERED)
    assert found.last_in_words.endswith("3.0 s, 537 MB of memory")
    assert found.reasons_in_words == "new_data: 2 new days"
    assert found.decision_in_words == "up to date: no new data; 2 of 7 days old"
    assert found.next_in_words == "2026-11-30 12:00 UTC at the latest"
    assert [one.run_id for one in read_history(records.engine, "shop", 10)] == ["1"]


def test_only_the_conditions_that_are_met_say_why(records: TrainingRecords) -> None:
    conditions = [
        {"name": "drift", "is_met": True, "detail": "drift in who comes"},
        {"name": "stale", "is_met": False, "detail": "2 of 7 days old"},
    ]
    decide(records.engine, "ials", "trains", conditions=conditions)
    [found] = read_statuses(records.engine, "shop")
    assert found.decision_in_words == "is trained: drift in who comes"
    assert found.next_in_words == "now"


def test_a_model_without_records_says_so(engine: Engine) -> None:
    assert read_statuses(engine, "shop") == []
    [found] = read_statuses(engine, "shop", ["ease"])
    assert (found.last_in_words, found.reasons_in_words) == ("never trained", "")
    assert found.decision_in_words.startswith("not evaluated: ")
    assert found.next_in_words == "on request, or by a schedule"


def test_problems_are_apart(records: TrainingRecords) -> None:
    assert read_statuses(records.engine, "other shop") == []
    assert [one.model for one in read_statuses(records.engine, None)] == ["ials"]

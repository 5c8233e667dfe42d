"""A training is one row from its first step to its last, and a run that was killed is recognized later."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Engine

from tastemaker.trainings.records import (
    EVALUATED,
    FAILED,
    KILLED,
    REGISTERED,
    RUNNING,
    UNCHANGED,
    Cost,
    Need,
    Reason,
    TrainingRecords,
)

WHY = (Reason("new_data", "2 days"),)
NEED = Need(events=1_000, recipe="abc", estimated_bytes=None, limit_bytes=2 << 30)


@pytest.fixture
def records(engine: Engine, tmp_path: Path) -> TrainingRecords:
    return TrainingRecords(engine, tmp_path, "shop")


def outcomes(records: TrainingRecords) -> dict[str, str]:
    return {one.run_id: one.outcome for one in records.of("ials", 10)}


def test_a_version_continues_the_row_of_its_backtest(records: TrainingRecords) -> None:
    with records.training("run", "ials", WHY, NEED):
        assert outcomes(records) == {"run": RUNNING}
        records.finish("run", "ials", EVALUATED, Cost(2.0, 3.0, 500))
    first = records.get("run", "ials")
    with records.training("run", "ials", WHY, NEED):
        records.finish("run", "ials", REGISTERED, Cost(1.0, 1.5, 700), version_id="v1")
    [found] = records.of("ials", 10)
    assert first is not None
    assert found.started_at == first.started_at
    assert found.reasons == WHY
    assert (found.outcome, found.version_id, found.cost) == (REGISTERED, "v1", Cost(3.0, 4.5, 700))
    assert (found.events, found.recipe, found.limit_bytes) == (1_000, "abc", 2 << 30)


def test_what_fits_nothing_has_no_peak(records: TrainingRecords) -> None:
    for outcome in (UNCHANGED, UNCHANGED):
        with records.training("run", "ials", WHY, NEED):
            records.finish("run", "ials", outcome, Cost(0.1, 0.1, None))
    [found] = records.of("ials", 10)
    assert (found.outcome, found.peak_bytes, found.seconds) == (UNCHANGED, None, 0.2)


def test_a_row_without_a_running_process_was_killed(records: TrainingRecords) -> None:
    """The row of a run whose process is gone: it still says running, and the lock has no holder."""
    with pytest.raises(KeyboardInterrupt), records.training("interrupted", "ials", WHY, NEED):
        raise KeyboardInterrupt
    left = records.training("gone", "ials", WHY, NEED)
    left.__enter__()
    assert outcomes(records) == {"interrupted": KILLED, "gone": RUNNING}
    del left  # the generator is closed and the lock released, as when a process ends
    found = {one.run_id: one for one in records.of("ials", 10)}
    assert found["gone"].outcome == KILLED
    assert found["gone"].ended_at is None
    assert "killed" in (found["gone"].problem_text or "")


def test_models_and_problems_are_apart(records: TrainingRecords, engine: Engine, tmp_path: Path) -> None:
    other = TrainingRecords(engine, tmp_path, "other shop")
    with records.training("run", "ials", WHY, NEED), records.training("run", "ease", WHY, NEED):
        records.finish("run", "ease", FAILED, Cost(), problem_text="no memory")
        records.finish("run", "ials", EVALUATED, Cost())
    assert [one.model for one in records.of("ease", 10)] == ["ease"]
    assert other.of("ials", 10) == []

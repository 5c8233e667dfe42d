"""When each job last ended and last succeeded, by an index and not by a look at all runs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import insert

from tastemaker.monitoring.job_runs import newest_runs, record_job_run
from tastemaker.storage.engine import open_engine
from tastemaker.storage.tables import job_runs

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
RUNS = st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), st.booleans()), max_size=8)


@given(RUNS)
def test_the_newest_runs_are_those_of_a_look_at_each(runs: list[tuple[str, bool]]) -> None:
    engine = open_engine("sqlite://")
    expected: dict[str, tuple[datetime, datetime | None]] = {}
    for minute, (name, succeeded) in enumerate(runs):
        at = NOW + timedelta(minutes=minute)
        record_job_run(engine, f"run-{minute}", name, succeeded=succeeded, ended_at=at)
        expected[name] = at, at if succeeded else expected.get(name, (at, None))[1]
    with engine.connect() as connection:
        found = connection.execute(newest_runs()).all()
    engine.dispose()
    assert [tuple(row) for row in found] == [(name, *expected[name]) for name in sorted(expected)]


def test_finding_them_takes_no_longer_the_more_runs_there_were(tmp_path: Path) -> None:
    """Steps of SQLite's machine."""
    engine, steps, n = open_engine(f"sqlite:///{tmp_path / 'meta.db'}"), list[int](), 0
    for total in (20, 2_000):
        rows = [
            {
                "run_id": f"run-{number}",
                "job_name": f"job-{number % 2}",
                "succeeded": number % 3 > 0,
                "ended_at": NOW + timedelta(minutes=number),
            }
            for number in range(n, total)
        ]
        n = total
        taken = list[None]()
        with engine.begin() as connection:
            connection.execute(insert(job_runs), rows)
            driver = connection.connection.driver_connection
            assert driver is not None
            driver.set_progress_handler(lambda taken=taken: taken.append(None), 1)
            assert len(connection.execute(newest_runs()).all()) == 2
            driver.set_progress_handler(None, 0)
        steps.append(len(taken))
    engine.dispose()
    assert steps[1] <= steps[0] + 20, "an ended run or two more, not two thousand"

"""Faults of a source, an experiment's users, a foreign model and an erasure, without a service."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from sqlalchemy import select

from support.experiment_plans import SERVICES, experiment, plan_of, users
from tastemaker.errors import SourceError, TastemakerError
from tastemaker.experiments.assignment import Assigner, Units
from tastemaker.experiments.lifecycle.kills import PLAN
from tastemaker.experiments.plan_file import write_plan
from tastemaker.monitoring.dependencies import source_state
from tastemaker.privacy.erasure_requests import ErasureRequests
from tastemaker.settings import Settings, SourceSettings
from tastemaker.simulator import source as simulated
from tastemaker.storage.engine import open_engine
from tastemaker.storage.tables import reported_models
from tastemaker.workflows.faults.foreign_model import MODEL, silent, slow
from tastemaker.workflows.faults.lost_units import never_comes
from tastemaker.workflows.faults.overdue_erasure import overdue

SMALL = {"n_days": 6, "n_users": 40, "n_items": 20, "events_per_day": 30}


def shop(kind: str, day: int) -> simulated.SimulatedShop:
    shift = {"kind": kind, "day": day}
    return simulated.open(SourceSettings(options={**SMALL, "shifts": [shift]}))


def test_a_day_that_can_not_be_read_stops_only_those_who_read_it() -> None:
    opened = shop("unreadable", 4)
    days = sorted(opened.days())
    assert sum(map(len, opened.read(days[:4], 1_000))) > 0
    for wanted in ([days[4]], days[3:], None):
        with pytest.raises(SourceError, match=f"events of {days[4]} and of later days can't be read"):
            opened.read(wanted, 1_000)


def test_a_new_column_is_a_change_of_the_source_from_its_day_on() -> None:
    plain = simulated.open(SourceSettings(options=SMALL))
    assert source_state(plain.readings) == source_state(shop("new_column", 6).readings) == {}
    changed = shop("new_column", 5)
    assert source_state(changed.readings) == {"events columns campaign": "is not read"}
    first, last = min(changed.days()), max(changed.days())
    assert {day: digest for day, digest in changed.days().items() if day != last} == {
        day: digest for day, digest in plain.days().items() if day != last
    }
    assert isinstance(first, date)


def test_half_of_the_users_of_the_treatment_never_come(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    plan = plan_of(experiment("ranker"), services=SERVICES)
    write_plan(settings.experiments_root / PLAN, plan)
    assigner, lost = Assigner(plan, settings.experiments_root), never_comes(settings, 0.5)
    by_variant: dict[str, list[bool]] = {"control": [], "treatment": []}
    for user in users(2_000):
        (assigned,) = assigner.assign(Units(user=user), {"kind": "user"})
        by_variant[assigned.variant].append(lost(user))
    assert not any(by_variant["control"])
    treated = by_variant["treatment"]
    assert abs(sum(treated) / len(treated) - 0.5) < 0.05


def test_without_an_experiment_no_user_can_be_lost(tmp_path: Path) -> None:
    with pytest.raises(TastemakerError, match="no experiment is in force"):
        never_comes(Settings(home=tmp_path), 0.5)


@pytest.mark.parametrize(("report", "is_slow"), [(slow, True), (silent, False)])
def test_a_foreign_model_reports_its_health(
    report: Callable[[Settings], AbstractContextManager[None]], is_slow: bool, tmp_path: Path
) -> None:
    settings = Settings(home=tmp_path)
    with report(settings):
        pass
    with open_engine(settings.metadata_url).connect() as connection:
        (row,) = connection.execute(select(reported_models)).all()
    assert row.model == MODEL
    assert (row.p99_seconds > settings.alerts.slow.seconds) == is_slow
    assert row.health_at is not None


def test_a_request_is_overdue_until_the_end_and_one_of_a_killed_simulation_is_declined(
    tmp_path: Path,
) -> None:
    settings = Settings(home=tmp_path)
    requests = ErasureRequests(settings)
    other = requests.enter("u1", actor="a person", reason="ticket 1").number
    killed = overdue(settings)
    killed.__enter__()
    with overdue(settings):
        late = [one for one in requests.listed(only_open=True) if one.is_overdue(datetime.now(UTC))]
        assert [one.requested_by for one in late] == ["simulate"]
    assert [one.number for one in requests.listed(only_open=True)] == [other]

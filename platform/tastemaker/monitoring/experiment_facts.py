"""Facts of experiments: whether guardrails acted on one, and whether the guard checks it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from tastemaker.monitoring.fact_families import FactFamily, FactSources, FactValues
from tastemaker.stats.mismatch_level import RATIO_ALPHA

if TYPE_CHECKING:
    from prometheus_client.core import GaugeMetricFamily
    from sqlalchemy import ColumnElement, Connection, Row

BY_EXPERIMENT = ("experiment",)

ROLLED_BACK = FactFamily(
    "experiment_rolled_back",
    "1 while an experiment is rolled back by a guardrail and no person has decided about it, else 0",
    BY_EXPERIMENT,
)
HELD = FactFamily(
    "experiment_held", "1 while an experiment is held by a guardrail, so that it takes no new units, else 0",
    BY_EXPERIMENT,
)  # fmt: skip
RATIO_FAILED = FactFamily(
    "experiment_ratio_failed",
    "1 if the units of an experiment that runs are not divided as planned, else 0",
    BY_EXPERIMENT,
)
STALE = FactFamily(
    "experiment_stale_guardrails",
    "guardrails of an experiment that runs whose newest check had no current data; those that wait for the "
    "first outcomes of a new epoch are left out while others have data",
    BY_EXPERIMENT,
)
CHECKED = FactFamily(
    "experiment_checked_timestamp_seconds",
    "when the guardrails of an experiment that runs were last checked, or when it was changed, if that is "
    "later; seconds since 1970 UTC",
    BY_EXPERIMENT,
)

_CHECKED_LATELY = timedelta(days=1)
"""A guardrail whose newest check lies so long before the newest of all is not checked any more."""
_GUARDED = ("ab", "aa", "bandit", "rollout")
_BY_GUARDRAIL = "guardrail:"


def experiment_states(home: FactSources) -> Iterator[GaugeMetricFamily]:
    """Yield which experiments guardrails hold or rolled back, of all that are not over."""
    from sqlalchemy import select

    from tastemaker.storage.tables import experiments

    states = ("running", "holding", "rolled_back")
    with home.engine.connect() as connection:
        query = select(experiments.c.name, experiments.c.state).where(experiments.c.state.in_(states))
        found = connection.execute(query).all()
        actors = _last_actors(connection)
    by_guardrail = {
        one.name: one.state if actors.get(one.name, "").startswith(_BY_GUARDRAIL) else "" for one in found
    }
    yield ROLLED_BACK.gauge({(name,): float(state == "rolled_back") for name, state in by_guardrail.items()})
    yield HELD.gauge({(name,): float(state == "holding") for name, state in by_guardrail.items()})


def experiment_checks(home: FactSources) -> Iterator[GaugeMetricFamily]:
    """Yield when the experiments that run were checked, and what the newest checks could not say."""
    from sqlalchemy import and_, func, select

    from tastemaker.storage.tables import (
        UtcDateTime,
        experiment_changes,
        experiments,
        guardrail_checks,
        looks,
    )

    checks, changes = guardrail_checks.c, experiment_changes.c
    active = select(experiments).where(
        experiments.c.state.in_(("running", "holding")), experiments.c.kind.in_(_GUARDED)
    )
    newest_ids = select(func.max(checks.id)).group_by(
        checks.experiment, checks.epoch, checks.variant, checks.guardrail
    )
    checked: FactValues = {}
    stale: FactValues = {}
    failed: FactValues = {}
    with home.engine.connect() as connection:
        for one in connection.execute(active).all():
            in_force = and_(checks.experiment == one.name, checks.epoch == one.epoch)
            last = connection.execute(select(func.max(checks.at, type_=UtcDateTime)).where(in_force)).scalar()
            lately = in_force if last is None else and_(in_force, checks.at > last - _CHECKED_LATELY)
            newest = connection.execute(
                select(guardrail_checks).where(lately, checks.id.in_(newest_ids.where(lately)))
            ).all()
            changed_at = connection.execute(
                select(func.max(changes.at, type_=UtcDateTime)).where(changes.experiment == one.name)
            ).scalar_one()
            times: list[datetime] = [changed_at, *(check.at for check in newest)]
            look = connection.execute(
                select(looks.c.ratio_anytime_p, looks.c.verdict)
                .where(looks.c.experiment == one.name, looks.c.epoch == one.epoch)
                .order_by(looks.c.number.desc())
                .limit(1)
            ).first()
            mismatch = any(row.guardrail == "sample_ratio" and row.verdict == "harm" for row in newest)
            checked[(one.name,)] = max(times).timestamp()
            silent = {(row.variant, row.guardrail) for row in newest if row.verdict == "stale"}
            if len(silent) < len(newest) and home.now < _outcomes_due(connection, one):
                silent &= _had_data(connection, in_force)
            stale[(one.name,)] = float(len(silent))
            failed[(one.name,)] = float(mismatch or (look is not None and _is_invalid(look)))
    yield CHECKED.gauge(checked)
    yield STALE.gauge(stale)
    yield RATIO_FAILED.gauge(failed)


def _had_data(connection: Connection, in_force: ColumnElement[bool]) -> set[tuple[str, str]]:
    """Return the variants and guardrails of which a check had data."""
    from sqlalchemy import select

    from tastemaker.storage.tables import guardrail_checks

    checks = guardrail_checks.c
    found = select(checks.variant, checks.guardrail).where(in_force, checks.verdict != "stale").distinct()
    return {(row.variant, row.guardrail) for row in connection.execute(found)}


def _outcomes_due(connection: Connection, experiment: Row[Any]) -> datetime:
    """Return when the first outcomes of the epoch in force should be known: a unit's window and a day later.

    Events come a day later than lists.
    """
    from sqlalchemy import func, select

    from tastemaker.storage.tables import UtcDateTime, experiment_changes, experiment_plans

    changes, plans = experiment_changes.c, experiment_plans.c
    began = select(func.min(changes.at, type_=UtcDateTime)).where(
        changes.experiment == experiment.name,
        changes.epoch == experiment.epoch,
        changes.to_state == "running",
    )
    plan = select(plans.design).where(
        plans.experiment == experiment.name, plans.revision == experiment.revision
    )
    began_at: datetime = connection.execute(began).scalar_one()
    return began_at + timedelta(days=connection.execute(plan).scalar_one()["window_days"] + 1)


def _is_invalid(look: Row[tuple[float | None, str]]) -> bool:
    """Return whether a look found units that are not divided as planned, by either of its tests."""
    p = look.ratio_anytime_p
    return look.verdict == "invalid" or (p is not None and p < RATIO_ALPHA)


def _last_actors(connection: Connection) -> dict[str, str]:
    """Return experiment -> the actor of its newest change."""
    from sqlalchemy import select

    from tastemaker.storage.tables import experiment_changes, experiments

    changes = experiment_changes.c
    last = select(changes.experiment, changes.actor).join(
        experiments,
        (experiments.c.name == changes.experiment) & (experiments.c.changes == changes.number),
    )
    return {row.experiment: row.actor for row in connection.execute(last)}

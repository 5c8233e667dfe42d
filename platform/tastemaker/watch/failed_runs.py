"""Failed runs of the orchestrator: each is an incident with one message per channel, and no resolve.

Whoever finds a failed run reports it, also again: a run has one incident. The watch delivers the messages,
and notifies a run that was silenced when the silence ends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Final

from sqlalchemy import Engine, select

from tastemaker.monitoring.job_runs import newest_runs
from tastemaker.notifications.notification import alert_key
from tastemaker.storage.tables import alert_incidents
from tastemaker.watch.incident import Changes, Incident
from tastemaker.watch.reported_incidents import notify_reported
from tastemaker.watch.routing import Routing
from tastemaker.watch.rows import read_incident
from tastemaker.watch.store import WatchStore
from tastemaker.watch_settings import WatchSettings

RULE = "job_failed"
"""The rule whose runbook and silences hold for a failed run."""
SEVERITY = "ticket"
CAUSE = "jobs"
KEPT_OPEN = timedelta(days=1)
"""How long the incident is open after its message, unless its job succeeds before: as long as messages are
tried."""
MOST_REASON = 500
"""The most characters of a reason."""
_SOURCE: Final = "orchestrator"


@dataclass(frozen=True)
class FailedRun:
    """A run that failed, and is not started again."""

    run_id: str
    job_name: str
    """The job's name; empty for a run of assets that no job has."""
    asset: str
    """What failed, such as models/ranker; empty if nothing had started."""
    reason: str
    ended_at: datetime
    starts: int = 1
    """How often it was started."""


def report_failed_runs(
    engine: Engine,
    settings: WatchSettings,
    run_ids: Sequence[str],
    describe: Callable[[str], FailedRun | None],
) -> int:
    """Open an incident for each run that has none, and enqueue its messages unless it is silenced.

    Args:
        engine: The metadata database.
        settings: Channels for tickets, and the name of the environment.
        run_ids: The runs that failed and are not started again.
        describe: Returns what is known of a run by its id, and None if it needs no message; called for runs
            without an incident.

    Returns:
        The number of runs that were reported now.
    """
    known = _known(engine, [_uid(run_id) for run_id in run_ids])
    new = [run_id for run_id in run_ids if _uid(run_id) not in known]
    if not new:
        return 0
    found = [_incident(run, settings.environment) for run in filter(None, map(describe, new))]
    changes = Changes(incidents={incident.uid: incident for incident in found})
    WatchStore(engine, _SOURCE).write(changes, with_lease=False)
    notify_reported(engine, Routing.of(settings))
    return len(found)


def close_failed_runs(engine: Engine, settings: WatchSettings, now: datetime) -> None:
    """Close the incidents of runs whose job has succeeded since, and those that were notified a day ago.

    One that is not notified yet, such as for a silence, stays open until it was. If tickets have no channel,
    an incident is closed a day after it was opened.

    Args:
        engine: The metadata database.
        settings: Channels for tickets.
        now: The current time, aware.
    """
    is_open = (alert_incidents.c.source == _SOURCE) & alert_incidents.c.closed_at.is_(None)
    with engine.connect() as connection:
        ended = connection.execute(newest_runs())
        succeeded = {name: at.timestamp() for name, _, at in ended if at is not None}
        found = [read_incident(row) for row in connection.execute(select(alert_incidents).where(is_open))]
    changes, has_channels = Changes(), bool(settings.channels_of(SEVERITY))
    for incident in found:
        is_waiting = has_channels and incident.notified_at is None and not incident.acknowledged
        since = incident.notified_at or incident.opened_at
        if succeeded.get(dict(incident.labels).get("job_name", ""), 0.0) > incident.opened_at:
            incident.ending = "its job has succeeded since"
        elif not is_waiting and now.timestamp() - since > KEPT_OPEN.total_seconds():
            incident.ending = "it was open for a day"
        else:
            continue
        incident.closed_at = now.timestamp()
        changes.incidents[incident.uid] = incident
    WatchStore(engine, _SOURCE).write(changes, with_lease=False)


def _incident(run: FailedRun, environment: str) -> Incident:
    labels = {"job_name": run.job_name, "asset": run.asset, "run_id": run.run_id}
    reason = " ".join(run.reason.split())
    short = reason if len(reason) <= MOST_REASON else f"{reason[:MOST_REASON]} ..."
    often = f" It was started {run.starts} times." if run.starts > 1 else ""
    return Incident(
        uid=_uid(run.run_id),
        key=alert_key(environment, RULE, labels),
        rule=RULE,
        labels=frozenset((name, text) for name, text in labels.items() if text),
        severity=SEVERITY,
        cause=CAUSE,
        source=_SOURCE,
        opened_at=run.ended_at.timestamp(),
        summary=": ".join(filter(None, [run.job_name, f"{run.asset or 'a run'} failed", short])),
        condition=f"A run failed, and is not started again.{often}",
        value=None,
    )


def _uid(run_id: str) -> str:
    return blake2b(run_id.encode(), digest_size=16).hexdigest()


def _known(engine: Engine, uids: Sequence[str]) -> set[str]:
    with engine.connect() as connection:
        rows = connection.execute(select(alert_incidents.c.uid).where(alert_incidents.c.uid.in_(uids)))
        return set(rows.scalars())

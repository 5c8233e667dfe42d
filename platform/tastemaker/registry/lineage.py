"""Where a version comes from and what became of it: its training, data, code and config, and each change.

It is read from what other parts stored. The terminal and the dashboard show the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Engine, Row, RowMapping, Table, select

from tastemaker.errors import RegistryError
from tastemaker.rollouts.store import Rollout, changes_of, rollouts_of
from tastemaker.storage.tables import (
    backtests,
    deployments,
    promotions,
    trainings,
    versions,
)

_HASH_LENGTH, _SHOWN = 64, 12
_COMPARED = ("model", "code_version", "distribution_version", "data_hash", "problem_hash")


class LineageEvent(NamedTuple):
    """Something that was done with a version."""

    at: datetime
    what: str
    """Such as trained, deployed, promoted, or a rollout's state."""
    actor: str
    """Who did it; empty where that is not recorded."""
    reason: str


class VersionLineage(NamedTuple):
    """What is stored about how a version came to be and what became of it."""

    version: str
    model: str
    problem: str
    is_champion: bool
    manifest: Mapping[str, Any]
    """As it was registered: window, counts, data, code and config."""
    backtest_id: str | None
    metrics: Mapping[str, Any]
    """Metric of its backtest -> value, low, high; empty without one."""
    reasons: Sequence[Mapping[str, Any]]
    """Why it was trained: {reason, detail}; empty where no training is recorded."""
    training: Mapping[str, Any]
    """Run, seconds and memory of its training; empty where none is recorded."""
    champion_before: str | None
    """The champion when it was made, or at its rollout's start; None: there was none."""
    changed: Mapping[str, Sequence[Any]]
    """What differs from that champion, such as a hyperparameter -> [before, now]."""
    path: str
    """How it entered production: rollout, experiment or offline; empty: no rollout of it was begun."""
    path_reason: str
    advice: Mapping[str, Any]
    """The planner's figures for that path."""
    events: Sequence[LineageEvent]
    """Oldest first."""

    @property
    def sentence(self) -> str:
        """Why it was made and where it stands, in one sentence."""
        why = ", ".join(str(one.get("detail") or one.get("reason")) for one in self.reasons)
        made = f"was trained because of {why}" if why else "was trained, and why is not recorded"
        last = self.events[-1]
        stands = "it is the champion" if self.is_champion else f"{last.what} on {last.at:%Y-%m-%d}"
        return f"{self.model} {self.version} {made}; {stands}."

    def parts(self) -> list[tuple[str, str]]:
        """Return what it was made from and how it entered production, as labels and values in words."""
        found = [(f"why: {one.get('reason')}", str(one.get("detail") or "no detail")) for one in self.reasons]
        if self.training:
            found.append(("training", _cost(self.training)))
        found += [("data", _data(self.manifest)), ("code", self.manifest.get("code_version", "not recorded"))]
        found.append(("backtest", self.backtest_id or "none"))
        found += [(f"  {name}", _figure(one)) for name, one in self.metrics.items()]
        found.append(("champion before", self.champion_before or "none"))
        for name, (before, now) in self.changed.items():
            found.append((f"  {name}", f"{_short(before)} -> {_short(now)}"))
        if self.path:
            found.append(("path", f"{self.path}: {self.path_reason}"))
        found += [(f"  {name.replace('_', ' ')}", _short(value)) for name, value in self.advice.items()]
        return found


def read_lineage(engine: Engine, version_id: str) -> VersionLineage:
    """Return where a version comes from and what became of it.

    Args:
        engine: The metadata database.
        version_id: The version's id.

    Raises:
        RegistryError: There is no such version.
    """
    begun = rollouts_of(engine, version_id)
    rollout = begun[0] if begun else None
    steps = [*_steps(engine, begun)]
    with engine.connect() as connection:
        row = connection.execute(select(versions).where(versions.c.id == version_id)).first()
        if row is None:
            raise RegistryError(f"no version {version_id!r}", fix="tastemaker models versions lists them")
        # The oldest that names the version made it; those after it found it up to date.
        training = _first(connection, trainings, trainings.c.started_at, version_id=version_id)
        backtest = _first(connection, backtests, backtests.c.created_at.desc(), id=row.backtest_id)
        of_problem = select(promotions).where(promotions.c.problem == row.problem)
        log = connection.execute(of_problem.order_by(promotions.c.id)).all()
        before = _champion_before(log, row) if rollout is None else rollout.champion_id
        cost = ("run_id", "seconds", "cpu_seconds", "peak_bytes")
        return VersionLineage(
            version=version_id,
            model=row.model,
            problem=row.problem,
            is_champion=bool(log) and log[-1].version_id == version_id,
            manifest=row.manifest,
            backtest_id=row.backtest_id,
            metrics=backtest["metrics"] if backtest else {},
            reasons=training["reasons"] if training else [],
            training={name: training[name] for name in cost} if training else {},
            champion_before=before,
            changed=_changed(connection, before, row.manifest),
            path=rollout.path if rollout else "",
            path_reason=rollout.why if rollout else "",
            advice=rollout.advice if rollout else {},
            events=sorted([*_events(connection, row, log), *steps], key=lambda one: one.at),
        )


def _first(
    connection: Connection, table: Table, order: ColumnElement[Any], **key: str | None
) -> RowMapping | None:
    conditions = [table.c[name] == value for name, value in key.items()]
    query = select(table).where(*conditions).order_by(order).limit(1)
    return connection.execute(query).mappings().first()


def _champion_before(log: Sequence[Row[Any]], version: Row[Any]) -> str | None:
    """Return the champion when a version was made."""
    earlier = [one.version_id for one in log if one.at <= version.created_at]
    return earlier[-1] if earlier else None


def _changed(connection: Connection, before: str | None, now: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return what a version's model, code, data and config are beside those of the champion before."""
    old = connection.execute(select(versions.c.manifest).where(versions.c.id == before)).scalar()
    if old is None:
        return {}
    both = {name: [old.get(name), now.get(name)] for name in _COMPARED}
    if old.get("model") == now.get("model"):
        configs = old.get("config", {}), now.get("config", {})
        for name in sorted({*configs[0], *configs[1]}):
            both[f"config.{name}"] = [one.get(name) for one in configs]
    return {name: values for name, values in both.items() if values[0] != values[1]}


def _events(connection: Connection, version: Row[Any], log: Sequence[Row[Any]]) -> Iterator[LineageEvent]:
    yield LineageEvent(version.created_at, "trained", "", "its files were registered")
    deployed = select(deployments.c.at).where(deployments.c.version_id == version.id)
    for at in connection.execute(deployed).scalars():
        yield LineageEvent(at, "deployed", "", "to the services of its model")
    served = None
    for one in log:
        if one.version_id == version.id and one.action != "unfreeze":
            what = "champion again" if one.action == "rollback" else "promoted"
            what += ", by force" if one.forced else ""
            yield LineageEvent(one.at, what, one.actor or "", one.reason)
        elif served == version.id and one.version_id != version.id:
            yield LineageEvent(one.at, f"replaced by {one.version_id}", one.actor or "", one.reason)
        served = one.version_id


def _steps(engine: Engine, begun: Sequence[Rollout]) -> Iterator[LineageEvent]:
    for rollout_id, changes in changes_of(engine, [one.id for one in begun]).items():
        for one in changes:
            what = f"rollout {rollout_id}: {one.state.replace('_', ' ')}"
            yield LineageEvent(one.at, what, one.actor, one.reason)


def _cost(training: Mapping[str, Any]) -> str:
    seconds, peak = training["seconds"], training["peak_bytes"]
    took = "" if seconds is None else f", {seconds:.1f} s"
    memory = "" if peak is None else f", {peak / 2**20:,.0f} MiB at most"
    return f"run {training['run_id']}{took}{memory}"


def _data(manifest: Mapping[str, Any]) -> str:
    window, counts = manifest.get("window", {}), manifest.get("counts", {})
    first, last = window.get("start"), window.get("end")
    days = " to ".join(
        "not recorded" if at is None else f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d}"
        for at in (first, last and last - 1)  # the window ends before its end
    )
    sizes = "".join(f", {count:,} {name}" for name, count in counts.items())
    return f"{days}{sizes}, hash {manifest.get('data_hash', 'not recorded')[:_SHOWN]}"


def _figure(figure: Mapping[str, Any]) -> str:
    value, low, high = (figure.get(key) for key in ("value", "low", "high"))
    if value is None:
        return "no figure"
    between = "" if low is None or high is None else f" (95 % interval {low:z.4f} to {high:z.4f})"
    return f"{value:z.4f}{between}"


def _short(value: Any) -> str:
    """Return a value in words, of a hash its beginning."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:,g}"
    text = "none" if value is None else str(value)
    return text[:_SHOWN] if len(text) == _HASH_LENGTH and text.isalnum() else text

"""What Dagster's records say about one asset at the time of an evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from itertools import pairwise
from typing import Any

import dagster as dg

DATA_VERSION = "dagster/data_version"
CODE_VERSION = "dagster/code_version"
INPUT_VERSION = "dagster/input_data_version/"
"""Tags that Dagster gives to a materialization; the last one is followed by the input's key."""
BY_CONDITION = "dagster/from_automation_condition"
"""Tag that Dagster gives to a run that a condition requested."""
_ENDED_BADLY = (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
_LOOKED_BACK = 50
"""Materializations among which the last one with another data version is searched."""


class Made:
    """One materialization: when, by which run, from what."""

    def __init__(self, entry: dg.EventLogEntry) -> None:
        self.run_id = entry.run_id
        self.at = _time(entry.timestamp)
        self.tags: Mapping[str, str] = (
            {} if entry.asset_materialization is None else entry.asset_materialization.tags or {}
        )

    @property
    def data_version(self) -> str | None:
        """Its data version."""
        return self.tags.get(DATA_VERSION)


@dataclass(frozen=True)
class AssetRecords:
    """The materializations, runs and checks of an asset, read when they are needed."""

    instance: dg.DagsterInstance
    graph: Any
    """The asset graph of the evaluation."""
    key: dg.AssetKey
    now: datetime
    """The time of the evaluation."""

    def of(self, *path: str) -> AssetRecords:
        """Return the records of another asset, by the parts of its key."""
        return AssetRecords(self.instance, self.graph, dg.AssetKey(path), self.now)

    @cached_property
    def newest(self) -> Made | None:
        """The newest materialization; None if there is none."""
        entry = self.instance.get_latest_materialization_event(self.key)
        return None if entry is None else Made(entry)

    @cached_property
    def changed_inputs(self) -> tuple[str, ...]:
        """Inputs whose data version is not the one that the asset was made from, by name.

        An input that was never made is not among them.
        """
        made_from = {} if self.newest is None else self.newest.tags
        changed = []
        for parent in sorted(self.graph.get(self.key).parent_keys):
            name = parent.to_user_string()
            made = self.of(*parent.path).newest
            if made is not None and made.data_version != made_from.get(INPUT_VERSION + name):
                changed.append(name)
        return tuple(changed)

    @cached_property
    def failed_at(self) -> datetime | None:
        """When the newest run that should have made the asset started, if it ended without it; else None."""
        [*records] = self.instance.get_asset_records([self.key])
        run_id = records[0].asset_entry.last_run_id if records else None
        if not run_id or (self.newest is not None and self.newest.run_id == run_id):
            return None
        run = self.instance.get_run_record_by_id(run_id)
        if run is None or run.dagster_run.status not in _ENDED_BADLY:
            return None
        return run.create_timestamp.replace(tzinfo=UTC)

    @cached_property
    def changes(self) -> tuple[datetime, ...]:
        """When the data version changed among the newest materializations, newest first."""
        found = self.instance.fetch_materializations(self.key, limit=_LOOKED_BACK)
        made = [Made(record.event_log_entry) for record in found.records]
        changed = [newer.at for newer, older in pairwise(made) if older.data_version != newer.data_version]
        first = [made[-1].at] if 0 < len(made) < _LOOKED_BACK else []
        return (*changed, *first)

    @property
    def changed_at(self) -> datetime | None:
        """When the data version last changed; None if it never did among the newest materializations."""
        return next(iter(self.changes), None)

    def changes_after(self, since: datetime) -> int:
        """Return how often the data version changed after a time, among the newest materializations."""
        return sum(at > since for at in self.changes)

    @cached_property
    def requested_at(self) -> datetime | None:
        """When the asset was made last, if a condition requested it; None if something else did."""
        run = None if self.newest is None else self.instance.get_run_by_id(self.newest.run_id)
        return self.newest.at if self.newest and run and BY_CONDITION in run.tags else None

    def newest_check(self, name: str) -> dg.AssetCheckEvaluation | None:
        """Return the newest result of one of the asset's checks; None if it never ran."""
        storage = self.instance.event_log_storage
        key = dg.AssetCheckKey(self.key, name)
        for record in storage.get_asset_check_execution_history(key, limit=_LOOKED_BACK):
            event = None if record.event is None else record.event.dagster_event
            if event is not None and event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
                return event.asset_check_evaluation_data
        return None


def _time(timestamp: float) -> datetime:
    return datetime.fromtimestamp(timestamp, UTC)

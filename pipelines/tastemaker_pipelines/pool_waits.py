"""What a run waits for: a place in a pool that other runs hold."""

from __future__ import annotations

from collections.abc import Callable

import dagster as dg

AGAIN_SECONDS = 240.0
"""Dagster reports every five minutes, for each step, that it still waits."""
_ID_LENGTH = 8


class PoolWaits:
    """Says what a run waits for: once for each pool, and then every few minutes."""

    def __init__(self, instance: dg.DagsterInstance, run_id: str, say: Callable[[str], None]) -> None:
        """Say nothing before the run waits.

        Args:
            instance: The instance that keeps the run.
            run_id: The id of Dagster's run that waits.
            say: Called with what it waits for, in words.
        """
        self._instance, self._run_id, self._say = instance, run_id, say
        self._said_at: dict[str, float] = {}

    def note(self, entry: dg.EventLogEntry) -> None:
        """Say what a step waits for, if an event of the run reports that."""
        pool = _pool(entry.dagster_event)
        if pool is None or entry.timestamp - self._said_at.get(pool, 0.0) < AGAIN_SECONDS:
            return
        held = self._instance.event_log_storage.get_concurrency_info(pool).claimed_slots
        others = [(one.run_id, one.step_key) for one in held if one.run_id != self._run_id]
        if others:
            self._said_at[pool] = entry.timestamp
            self._say(_said(pool, others))


def _pool(event: dg.DagsterEvent | None) -> str | None:
    """Return the pool in which an event's step has found no place; None for all other events."""
    if event is None or event.event_type != dg.DagsterEventType.ENGINE_EVENT:
        return None
    found = event.engine_event_data.metadata.get("pool")
    return found.value if isinstance(found, dg.PoolMetadataValue) else None


def _said(pool: str, held: list[tuple[str, str]]) -> str:
    holders = " and ".join(f"run {run_id[:_ID_LENGTH]} ({step.replace('__', '/')})" for run_id, step in held)
    which = "that run" if len(held) == 1 else "one of these runs"
    return (
        f"waiting for a place in the pool {pool}, held by {holders}; to free it now, end {which}: "
        "Ctrl-C where it was started, or Dagster's page"
    )

"""`dagster-daemon`, which looks for due sensors and queued runs twice a second; as a program."""

from __future__ import annotations

from dagster._core.run_coordinator import QueuedRunCoordinator
from dagster._daemon import cli, sensor

SECONDS = 0.5

if __name__ == "__main__":
    setattr(sensor, "MIN_INTERVAL_LOOP_TIME", SECONDS)  # noqa: B010
    setattr(QueuedRunCoordinator, "dequeue_interval_seconds", SECONDS)  # noqa: B010
    cli.main()

"""A client log against the logs of a home folder, gathered first."""

from __future__ import annotations

from pathlib import Path

from tastemaker.data.lake import Lake
from tastemaker.event_log.drain import read_feedback, read_log
from tastemaker.event_log.shipping import collect
from tastemaker.settings import Settings
from tastemaker.simulator.traffic.audit import ClientEvents, LogAudit, check
from tastemaker.simulator.traffic.client_log import read


def verdict(settings: Settings, client_log: Path) -> LogAudit:
    """Find what the logs of a home folder, as training reads them, have lost or doubled.

    Args:
        settings: The settings of the home folder.
        client_log: The file of the client log, which `simulate` wrote.

    Returns:
        The differences between the client log and the logs, which are collected into the lake first.

    Raises:
        ClientLogError: The client log can't be read.
        DatabaseUnavailable: Logs are kept in a database that does not answer.
    """
    witnessed = ClientEvents.of(read(client_log))
    lake = Lake(settings.lake)
    collect(settings, lake)
    requests = read_log(lake)
    answers = zip(requests["request_id"].to_pylist(), requests["item_ids"].to_pylist(), strict=True)
    return check(witnessed, read_feedback(lake)["event_id"].to_pylist(), answers)

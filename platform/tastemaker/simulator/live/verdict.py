"""A ledger against the logs of a home folder, drained first."""

from __future__ import annotations

from pathlib import Path

from tastemaker.data.lake import Lake
from tastemaker.logs.drain import drain, served, told
from tastemaker.settings import Settings
from tastemaker.simulator.live.check import Verdict, Witnessed, check
from tastemaker.simulator.live.ledger import read


def verdict(settings: Settings, ledger: Path) -> Verdict:
    """What the logs, as training reads them, have lost or doubled. Raises LedgerError."""
    witnessed = Witnessed.of(read(ledger))
    lake = Lake(settings.lake)
    drain(settings.spool, lake)
    requests = served(lake)
    answers = zip(requests["request_id"].to_pylist(), requests["item_ids"].to_pylist(), strict=True)
    return check(witnessed, told(lake)["event_id"].to_pylist(), answers)

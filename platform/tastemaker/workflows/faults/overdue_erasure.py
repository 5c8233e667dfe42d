"""A request to erase a user that is open after its deadline, within a block.

The request of a simulation that was killed is declined by the next one with this fault.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from sqlalchemy import update

from tastemaker.privacy.erasure_requests import ErasureRequests
from tastemaker.settings import Settings
from tastemaker.storage.engine import open_engine
from tastemaker.storage.tables import erasure_requests

ACTOR = "simulate"
USER = "simulated-user-without-data"
REASON = "a simulated fault"
OVERDUE = timedelta(hours=1)


@contextmanager
def overdue(settings: Settings) -> Iterator[None]:
    """Keep a request open after its deadline within a block.

    Args:
        settings: Of the home folder.

    Raises:
        TastemakerError: The request can't be entered or declined.
    """
    requests = ErasureRequests(settings)
    _decline(requests)
    number = requests.enter(USER, actor=ACTOR, reason=REASON).number
    try:
        _pass_deadline(settings, number)
        yield
    finally:
        _decline(requests)


def _decline(requests: ErasureRequests) -> None:
    """Decline what simulations have entered and no person has decided."""
    for one in requests.listed(only_open=True):
        if one.requested_by == ACTOR and one.state == "waiting":
            requests.decline(one.number, actor=ACTOR, reason=REASON)


def _pass_deadline(settings: Settings, number: int) -> None:
    engine = open_engine(settings.metadata_url)
    try:
        with engine.begin() as connection:
            connection.execute(
                update(erasure_requests)
                .where(erasure_requests.c.number == number)
                .values(due_at=datetime.now(UTC) - OVERDUE)
            )
    finally:
        engine.dispose()

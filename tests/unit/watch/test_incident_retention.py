"""What is over for long is deleted with all that belongs to it; what is open stays."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Table, func, insert, select

from tastemaker.storage.engine import open_engine
from tastemaker.storage.tables import alert_incidents, alert_notes, alert_outbox, alert_silences
from tastemaker.watch.retention import delete_old
from tastemaker.watch.rows import database_now

TABLES = (alert_incidents, alert_notes, alert_outbox, alert_silences)


def test_only_what_ended_before_the_limit_is_deleted(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'watch.db'}")
    with engine.begin() as connection:
        now = database_now(connection)

        def add(table: Table, **row: Any) -> None:
            connection.execute(insert(table).values(**row))

        for number, ended in enumerate((41, 39, None), start=1):
            closed_at = None if ended is None else now - timedelta(days=ended)
            add(
                alert_incidents, id=number, uid=f"u{number}", key=f"k{number}", rule="slow", labels={},
                severity="page", cause="answers", source="watch", opened_at=now - timedelta(days=50),
                closed_at=closed_at, summary="", condition="", notified=[], reminders=0,
            )  # fmt: skip
            add(alert_notes, uid=f"n{number}", incident_id=number, at=now, text="")
            add(
                alert_outbox, incident_id=number, channel="pager", event="trigger", n=0, key=f"k{number}",
                delivery_id=f"d{number}", created_at=now, due_at=now, tries=0,
            )  # fmt: skip
            if ended is not None:
                add(alert_silences, matchers={}, starts_at=now, ends_at=closed_at, created_by="", reason="")
    assert delete_old(engine, keep_days=40) == 1
    with engine.connect() as connection:
        assert set(connection.execute(select(alert_incidents.c.id)).scalars()) == {2, 3}
        counts = [connection.execute(select(func.count()).select_from(one)).scalar_one() for one in TABLES]
    assert counts == [2, 2, 2, 1]
    engine.dispose()

"""Intake: what becomes of reported rows, whichever way they came.

Measurements and health reports are stored in one transaction with their counts. Lists and events go into the
durable log first, where an id counts once, and are counted after that: a process that is killed in between
counts too few and stores nothing twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Connection, Engine, insert, select, update

from tastemaker.api.report_schemas import (
    Announced,
    HealthReport,
    ModelAnnouncement,
    ReportedEvent,
    ReportedList,
    ReportedMeasurement,
    ReportReceipt,
)
from tastemaker.api.schemas import Receipt
from tastemaker.event_log.records import Entry
from tastemaker.event_log.spool import Spool, SpoolError
from tastemaker.privacy.pseudonyms import open_pseudonyms
from tastemaker.problem import load_problem
from tastemaker.report_in.events import event_records, list_records, refuse_long_ids
from tastemaker.report_in.health import write_health
from tastemaker.report_in.known_metrics import units
from tastemaker.report_in.measurements import write_measurements
from tastemaker.report_in.ownership import claim, fault_of
from tastemaker.report_in.rows import Kind, RefusedRow, RowLimits, Sifted, sift
from tastemaker.serving.runtime.stored_ids import IdCheck
from tastemaker.serving.writes.feedback import as_refusal
from tastemaker.settings import Settings
from tastemaker.storage.tables import in_rejected, report_counts, reported_models
from tastemaker.storage.upserts import insert_new

STRUCTS: Final[Mapping[Kind, Any]] = {
    "measurements": ReportedMeasurement,
    "impressions": ReportedList,
    "feedback": ReportedEvent,
    "health": HealthReport,
}
SHOWN_REFUSALS = 100
"""Reasons that an answer holds, and refused rows that are kept of one HTTP request."""
HTTP, SQL = "http", "sql"
"""Origins of rows; that of a file is its name."""

Also = Callable[[Connection], object]
"""What is done in the transaction that counts the rows."""


class Intake:
    """Takes reported rows into the home folder and its database."""

    def __init__(
        self, settings: Settings, engine: Engine, spool: Spool, *, now: Callable[[], datetime] | None = None
    ) -> None:
        """Take rows with these settings.

        Args:
            settings: Of the home folder.
            engine: The metadata database.
            spool: The log that lists and events go to.
            now: Returns the current time, UTC; None: the clock's.

        Raises:
            TastemakerError: The problem file can't be read, or pseudonyms have no key.
        """
        self.engine = engine
        self._spool, self._form = spool, settings.source.ids
        self._id_check = IdCheck(settings.source.missing_ids)
        self._pseudonyms = open_pseudonyms(settings)
        self._problem = load_problem(settings.problem).name if settings.problem.exists() else ""
        self._now = now or (lambda: datetime.now(UTC))
        self._units = units()

    def take(
        self,
        kind: Kind,
        source: str,
        rows: Iterable[tuple[int, Any]],
        *,
        origin: str = HTTP,
        also: Also | None = None,
        dry_run: bool = False,
    ) -> ReportReceipt:
        """Store the rows that fit, and note the others with their reasons.

        Args:
            kind: What the rows are.
            source: Who reports them.
            rows: Place and content of each row, as JSON's types.
            origin: How they came.
            also: Is done in the transaction that counts the rows.
            dry_run: Whether rows are only checked, and nothing is stored.

        Returns:
            What became of them.

        Raises:
            HTTPError: 429 or 503 if the log takes no lists or events now; nothing was stored then.
        """
        now = self._now()
        found = sift(STRUCTS[kind], rows, RowLimits(now, self._units, self._id_check))
        if (fault := fault_of(source)) is not None:
            found = Sifted([], [*found.refused, *(one.refused(fault, "source") for one in found.accepted)])
        receipt = Receipt(0)
        if kind in ("impressions", "feedback"):
            receipt = self._log(kind, source, found, now, dry_run=dry_run)
        with self._transaction(dry_run=dry_run) as connection:
            if kind == "measurements":
                _disown(found, claim(connection, source, _models(found), now))
                write_measurements(connection, found.accepted, source, self._problem, now)
            elif kind == "health":
                _disown(found, claim(connection, source, _models(found), now))
                write_health(connection, found.accepted, now)
            refused = sorted(found.refused)
            kept = refused[:SHOWN_REFUSALS] if origin == HTTP else refused
            _note_refused(connection, kind, source, origin, kept, now)
            _count(connection, kind, source, found, now)
            if also is not None:
                also(connection)
        shown = [one.answer() for one in refused[:SHOWN_REFUSALS]]
        return ReportReceipt(len(found.accepted), len(refused), receipt.duplicates, shown)

    def announce(
        self, source: str, model: str, announcement: ModelAnnouncement, *, dry_run: bool = False
    ) -> Announced | str:
        """Note who answers for a model.

        Args:
            source: Who reports the model.
            model: Name of the model.
            announcement: Title, owner and addresses that are shown beside the model.
            dry_run: Whether it is only checked.

        Returns:
            What is known now, or why this source may not say so.
        """
        now = self._now()
        with self._transaction(dry_run=dry_run) as connection:
            if reason := claim(connection, source, [model], now).get(model):
                return reason
            known = {name: getattr(announcement, name) for name in announcement.__struct_fields__}
            mine = reported_models.c.model == model
            connection.execute(update(reported_models).where(mine).values(**known, announced_at=now))
        return Announced(model, source, announcement.title)

    @contextmanager
    def _transaction(self, *, dry_run: bool) -> Iterator[Connection]:
        """Yield a connection; what the block does is stored at its end, unless it is only a check."""
        with self.engine.connect() as connection:
            yield connection
            if not dry_run:
                connection.commit()

    def _log(self, kind: Kind, source: str, found: Sifted[Any], now: datetime, *, dry_run: bool) -> Receipt:
        """Write lists or events into the log; return when they are on disk. Raises HTTPError."""
        refuse_long_ids(found, source)
        records: Sequence[Entry]
        if kind == "impressions":
            with self._transaction(dry_run=dry_run) as connection:
                _disown(found, claim(connection, source, _models(found), now))
            records = list_records(found.accepted, source, self._form, self._pseudonyms)
        else:
            records = event_records(found.accepted, source, self._form, self._pseudonyms, now.timestamp())
        if dry_run or not records:
            return Receipt(0)
        try:
            return Receipt(*self._spool.append(*records).result())
        except SpoolError as error:
            raise as_refusal(error) from None


def _disown(found: Sifted[Any], reasons: Mapping[str, str]) -> None:
    """Refuse the rows of models that the source may not report; `reasons`: model -> why."""
    found.refused += [
        one.refused(reasons[one.row.model], "model") for one in found.accepted if one.row.model in reasons
    ]
    found.accepted = [one for one in found.accepted if one.row.model not in reasons]


def _models(found: Sifted[Any]) -> set[str]:
    return {one.row.model for one in found.accepted}


def _note_refused(
    connection: Connection,
    kind: Kind,
    source: str,
    origin: str,
    refused: Sequence[RefusedRow],
    now: datetime,
) -> None:
    rows = [
        {
            "source": source,
            "kind": kind,
            "origin": origin,
            "number": one.number,
            "field": one.field,
            "reason": one.reason,
            "content": one.content,
            "rejected_at": now,
        }
        for one in refused
    ]
    if rows:
        connection.execute(insert(in_rejected), rows)


def _count(connection: Connection, kind: Kind, source: str, found: Sifted[Any], now: datetime) -> None:
    """Add the rows to the counts of their models and this day."""
    accepted = Counter(getattr(one.row, "model", "") for one in found.accepted)
    known = _known(connection, source, {one.model for one in found.refused})
    rejected = Counter(one.model if one.model in known else "" for one in found.refused)
    columns = report_counts.c
    for model in sorted(accepted.keys() | rejected.keys()):
        key = {"source": source, "model": model, "kind": kind, "day": now.date()}
        insert_new(connection, report_counts, [{**key, "accepted": 0, "rejected": 0}])
        mine = [report_counts.c[name] == value for name, value in key.items()]
        connection.execute(
            update(report_counts)
            .where(*mine)
            .values(accepted=columns.accepted + accepted[model], rejected=columns.rejected + rejected[model])
        )


def _known(connection: Connection, source: str, models: set[str]) -> set[str]:
    """Return which of these models the source has: the others may be any number, and are counted together."""
    columns = reported_models.c
    mine = select(columns.model).where(columns.source == source, columns.model.in_(sorted(models)))
    return set(connection.execute(mine).scalars())

"""Reported lists and feedback as records of the log: all that reads the log then knows foreign models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tastemaker.api.report_schemas import ReportedEvent, ReportedList
from tastemaker.event_log.records import Assignment, FeedbackRecord, Item, Record
from tastemaker.event_log.reported_ids import stored_id
from tastemaker.privacy.pseudonyms import Pseudonyms
from tastemaker.report_in.ownership import longest_id
from tastemaker.report_in.rows import AcceptedRow, Sifted, utc_datetime
from tastemaker.serving.runtime.stored_ids import with_stored_ids
from tastemaker.snapshot.canonical_ids import IdForm, canonical

_IDS = ("request_id", "event_id")


def refuse_long_ids(found: Sifted[Any], source: str) -> None:
    """Refuse the rows whose ids are too long with their source before them.

    Args:
        found: The rows of a report; those that are refused move from its accepted rows to its refused ones.
        source: Who reports them.
    """
    limit = longest_id(source)
    fitting = []
    for one in found.accepted:
        ids = {name: getattr(one.row, name, None) or "" for name in _IDS}
        long = [name for name, given in ids.items() if len(given.encode()) > limit]
        if long:
            found.refused.append(one.refused(f"{long[0]} has more than {limit} bytes", long[0]))
        else:
            fitting.append(one)
    found.accepted = fitting


def list_records(
    rows: Sequence[AcceptedRow[ReportedList]], source: str, form: IdForm, pseudonyms: Pseudonyms | None
) -> list[Record]:
    """Return reported lists as they are logged.

    Args:
        rows: Lists that fit, with ids as they were reported.
        source: Who reports them.
        form: The form of ids in the tables.
        pseudonyms: Replace users' ids, if those are used.
    """
    hidden = with_stored_ids([one.row for one in rows], form, pseudonyms)
    return [_list_record(row, source, form) for row in hidden]


def event_records(
    rows: Sequence[AcceptedRow[ReportedEvent]],
    source: str,
    form: IdForm,
    pseudonyms: Pseudonyms | None,
    now: float,
) -> list[FeedbackRecord]:
    """Return reported events as they are logged.

    Args:
        rows: Events that fit, with ids as they were reported.
        source: Who reports them.
        form: The form of ids in the tables.
        pseudonyms: Replace users' ids, if those are used.
        now: When they came, seconds since 1970 UTC.
    """
    hidden = with_stored_ids([one.row for one in rows], form, pseudonyms)
    return [
        FeedbackRecord(
            event_id=stored_id(source, event.event_id),
            item_id=event.item_id,
            event_type=event.event_type,
            value=event.value,
            occurred_at=utc_datetime(event.occurred_at).timestamp(),
            received_at=now,
            user_id=event.user_id,
            request_id=None if event.request_id is None else stored_id(source, event.request_id),
            position=event.position,
        )
        for event in hidden
    ]


def _list_record(row: ReportedList, source: str, form: IdForm) -> Record:
    n = len(row.item_ids)
    scores, propensities = row.scores or [0.0] * n, row.propensities or [1.0] * n
    ids = [canonical(one, form) for one in row.item_ids]
    return Record(
        request_id=stored_id(source, row.request_id),
        occurred_at=utc_datetime(row.occurred_at).timestamp(),
        user_id=row.user_id,
        k=n if row.k is None else row.k,
        model=row.model,
        version=row.version,
        items=[Item(*one) for one in zip(ids, scores, propensities, strict=True)],
        latency_ms=row.latency_ms,
        fallback=row.fallback,
        stage="model" if row.fallback is None else "popular",
        assignment=Assignment(row.experiment, 0, row.variant) if row.experiment and row.variant else None,
    )

"""All that is known about one logged answer: its record, what became of it, and why it was so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from tastemaker.errors import ArtifactError, PluginError, ProblemError, UnknownNameError
from tastemaker.event_log import lookup
from tastemaker.event_log.records import FeedbackRecord, Record
from tastemaker.event_log.rows import feedback_rows, request_rows, utc
from tastemaker.log_search.fields import SINCE, USER
from tastemaker.log_search.query import Query, TextTerm, TimeTerm
from tastemaker.log_search.search import MAX_LIMIT, search
from tastemaker.log_search.surroundings import feedback_of

if TYPE_CHECKING:
    from tastemaker.problem import ProblemSpec
    from tastemaker.settings import Settings


class ItemOutcome(NamedTuple):
    """What an item of an answer earned, by the problem's attribution."""

    reward: float
    events: int
    """How many events were credited to it."""


class DescribedAnswer(NamedTuple):
    """A logged answer and what is known about it."""

    record: Record
    outcomes: list[ItemOutcome] | None
    """One per item; None where there is no problem file, which defines rewards."""
    feedback: list[dict[str, Any]]
    """Reported events that name the request or are credited to it, with their flags, as they came."""
    reasons: list[list[str]]
    """Why each item is in the list, as `/explain` gives it."""


def find_record(request_id: str, settings: Settings) -> Record:
    """Return the record of a request.

    Args:
        request_id: Its id, known or not.
        settings: Name the spool, the log database and the lake, which are searched in this order.

    Raises:
        UnknownNameError: The log does not have it.
        TastemakerError: The log can't be read.
    """
    record = lookup.find(request_id, settings)
    if record is None:
        raise UnknownNameError(
            f"the log has no request {request_id!r}",
            fix="take an id of tastemaker log search; requests older than privacy.log_days are deleted",
        )
    return record


def describe(request_id: str, settings: Settings) -> DescribedAnswer:
    """Return what is known about a logged answer.

    Args:
        request_id: Its id.
        settings: Name the log, the problem file and the versions.

    Raises:
        TastemakerError: As `find_record`.
    """
    record = find_record(request_id, settings)
    outcomes, feedback = _outcomes(record, settings)
    return DescribedAnswer(record, outcomes, feedback, _reasons(record, settings))


def _reasons(record: Record, settings: Settings) -> list[list[str]]:
    from tastemaker.registry.artifact import load_version
    from tastemaker.serving.inference.explain import explanation

    try:
        loaded = load_version(settings.artifacts / record.model / record.version)
    except (ArtifactError, PluginError):
        loaded = None
    return [item.reasons for item in explanation(record, loaded).items]


def _outcomes(record: Record, settings: Settings) -> tuple[list[ItemOutcome] | None, list[dict[str, Any]]]:
    from tastemaker.problem import load_problem

    try:
        problem = load_problem(settings.problem)
    except ProblemError:
        named = feedback_of(settings, record.user_id, [record.request_id])
        return None, [_row(one) for one in named if one.request_id == record.request_id]
    return _attributed(record, settings, problem)


def _attributed(
    record: Record, settings: Settings, problem: ProblemSpec
) -> tuple[list[ItemOutcome], list[dict[str, Any]]]:
    """Attribute the user's feedback to the user's requests, from this one on."""
    from tastemaker.data.lake import Lake
    from tastemaker.event_log.attribution import attribute_rows
    from tastemaker.event_log.log_join import CLOCK_SKEW_SECONDS

    requests = _requests_of(record, settings)
    ids = [one.request_id for one in requests]
    reported = feedback_of(settings, record.user_id, ids)
    lake, first = Lake(settings.lake), record.occurred_at - CLOCK_SKEW_SECONDS
    with lake.connect() as connection:
        connection.execute(
            "CREATE TEMP TABLE theirs AS SELECT * FROM events WHERE (user_id = $user "
            "OR list_contains($ids::VARCHAR[], request_id)) AND occurred_at >= $first",
            {"user": record.user_id, "ids": ids, "first": utc(first)},
        )
        connection.execute("CREATE OR REPLACE VIEW events AS SELECT * FROM theirs")
        joined = attribute_rows(connection, request_rows(requests), feedback_rows(reported), problem)
    shown = [row for row in joined.impressions.to_pylist() if row["request_id"] == record.request_id]
    outcomes = [
        ItemOutcome(row["reward"], row["events"]) for row in sorted(shown, key=lambda row: row["position"])
    ]
    events = [
        row
        for row in joined.feedback.to_pylist()
        if record.request_id in (row["request_id"], row["credited_request_id"])
    ]
    return outcomes, events


def _requests_of(record: Record, settings: Settings) -> list[Record]:
    """Return the user's requests from this one on: a later one may be credited in its place."""
    user = TextTerm(USER, (record.user_id,))
    query = Query((user, TimeTerm(SINCE, utc(record.occurred_at))))
    found = search(query, settings, MAX_LIMIT)
    return [record, *(one for one in found if one.request_id != record.request_id)]


def _row(one: FeedbackRecord) -> dict[str, Any]:
    (row,) = feedback_rows([one]).to_pylist()
    return dict(row) | {"flags": []}

"""One request: its answer, why it was so, and what became of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from tastemaker.dashboard.content import DataTable, Notes, PageContent, TableColumn
from tastemaker.dashboard.filters import PageFilters
from tastemaker.dashboard.page import DashboardPage
from tastemaker.dashboard.pages import requests
from tastemaker.dashboard.reader import DashboardReader
from tastemaker.dashboard.viewer import Viewer
from tastemaker.event_log.records import Assignment, Record
from tastemaker.event_log.rows import utc
from tastemaker.log_search.description import DescribedAnswer, describe
from tastemaker.serving.inference.explain import WHY


def _load(reader: DashboardReader, filters: PageFilters, viewer: Viewer) -> PageContent:
    """Return all that is known about a request; the look at it is audited as a search for its id."""
    request_id = filters.path["request_id"]
    requests.find(reader, f"id:{json.dumps(request_id)}", viewer)
    found = describe(request_id, reader.settings)
    record = found.record
    return PageContent(
        title=f"Request {record.request_id}",
        answer=_answer(found),
        as_of=reader.now,
        blocks=[
            _items(found),
            _feedback(found),
            _facts(record),
            _features(record),
            Notes(
                ["This command shows what a version, by its id or a model's name, would have answered:"],
                [f"tastemaker log replay {record.request_id} --version {record.model}"],
                title="Another version",
            ),
        ],
    )


def _answer(found: DescribedAnswer) -> str:
    record = found.record
    reason = record.fallback and WHY.get(record.fallback, record.fallback)
    why = f" The model's list was not used whole: {reason}." if reason else ""
    events = len(found.feedback)
    became = "no event followed" if not events else f"{events} event{'s' if events > 1 else ''} followed"
    if found.outcomes is not None:
        became += f", worth {sum(one.reward for one in found.outcomes):g}"
    shown = f"{len(record.items)} of {record.k} items to {record.user_id}"
    took = "" if record.latency_ms is None else f" in {record.latency_ms:.3g} ms"
    return f"{record.model} {record.version} showed {shown}{took}; {became}.{why}"


def _items(found: DescribedAnswer) -> DataTable:
    outcomes: Sequence[Any] = found.outcomes or [None] * len(found.record.items)
    return DataTable(
        "items",
        "Items shown",
        [
            TableColumn("place", "Place", "number"),
            TableColumn("item", "Item"),
            TableColumn("score", "Score", "number"),
            TableColumn("propensity", "Propensity", "number"),
            TableColumn("reward", "Reward", "number"),
            TableColumn("events", "Events", "number"),
            TableColumn("why", "Why", "sentence"),
        ],
        [
            [
                place,
                item.item_id,
                float(item.score),
                float(item.propensity),
                None if outcome is None else outcome.reward,
                None if outcome is None else outcome.events,
                "; ".join(reasons),
            ]
            for place, (item, outcome, reasons) in enumerate(
                zip(found.record.items, outcomes, found.reasons, strict=True), start=1
            )
        ],
        note=""
        if found.outcomes is not None
        else "Rewards are not shown: there is no problem file, which defines them.",
        empty="The list was empty.",
    )


def _feedback(found: DescribedAnswer) -> DataTable:
    return DataTable(
        "feedback",
        "What became of it",
        [
            TableColumn("at", "When", "time"),
            TableColumn("event", "Event"),
            TableColumn("item", "Item"),
            TableColumn("value", "Value", "number"),
            TableColumn("flags", "Flags"),
        ],
        [
            [row["occurred_at"], row["event_type"], row["item_id"], row["value"], ", ".join(row["flags"])]
            for row in found.feedback
        ],
        empty="No event names this request or is credited to it.",
    )


def _facts(record: Record) -> DataTable:
    assignment = record.assignment
    facts: dict[str, Any] = {
        "When (UTC)": f"{utc(record.occurred_at):%Y-%m-%d %H:%M:%S}",
        "User": record.user_id,
        "Kind": record.kind,
        "Chosen by": record.stage,
        "Fallback": record.fallback,
        "Context": None if record.context is None else json.dumps(record.context, ensure_ascii=False),
        "Session": _joined(record.session),
        "Candidates": _joined(record.candidates),
        "Excluded": _joined(record.exclude),
        "Diversity": record.diversity,
        "Experiment": None if assignment is None else _assigned(assignment),
    }
    rows = [[name, str(value)] for name, value in facts.items() if value is not None]
    return DataTable(
        "request",
        "The request",
        [TableColumn("what", "What"), TableColumn("text", "Value", "sentence")],
        rows,
    )


def _assigned(assignment: Assignment) -> str:
    """Return the variant, and the one that answered in its place."""
    words = f"{assignment.experiment}, variant {assignment.variant}"
    if assignment.served in (None, assignment.variant):
        return words
    return f"{words}, answered by {assignment.served}"


def _joined(ids: Sequence[str] | None) -> str | None:
    return None if ids is None else ", ".join(ids) or "none"


def _features(record: Record) -> DataTable:
    rows = [] if record.features is None else [[name, value] for name, value in record.features.items()]
    return DataTable(
        "features",
        "Features that the model was given",
        [TableColumn("feature", "Feature"), TableColumn("value", "Value", "number")],
        rows,
        empty="The model was given no user features.",
    )


PAGE = DashboardPage(
    path=f"{requests.PATH}/{{request_id}}",
    title="Request",
    question="What was answered, why, and what became of it?",
    load=_load,
    in_navigation=False,
    needs_user_ids=True,
    keeps=False,
)

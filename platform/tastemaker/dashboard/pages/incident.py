"""One alert: what happened, what to do, and forms to acknowledge and to silence it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tastemaker.alerting.rules import all_rules
from tastemaker.dashboard.content import (
    ActionForm,
    DataTable,
    FormField,
    Notes,
    PageBlock,
    PageContent,
    TableCell,
    TableColumn,
)
from tastemaker.dashboard.filters import PageFilters
from tastemaker.dashboard.page import DashboardPage, PageAction
from tastemaker.dashboard.pages import alerts
from tastemaker.dashboard.pages.alerts import matched, requests_link
from tastemaker.dashboard.path_parts import row_number
from tastemaker.dashboard.reader import DashboardReader
from tastemaker.dashboard.viewer import Role, Viewer
from tastemaker.errors import TastemakerError
from tastemaker.watch import interventions, records
from tastemaker.watch.records import IncidentRecord

MOST_HOURS = interventions.MOST_SILENCE.total_seconds() / 3_600


def _load(reader: DashboardReader, filters: PageFilters, viewer: Viewer) -> PageContent:
    """Return an incident's facts, history and forms."""
    record = records.incident(reader.engine, row_number(filters.path["number"]))
    return PageContent(
        title=f"Alert {record.number}",
        answer=f"{_state(record)} {record.summary}",
        as_of=reader.now,
        blocks=[
            *_forms(record, viewer),
            _facts(reader, record),
            _to_do(reader, record, viewer),
            _history(reader, record),
        ],
    )


def _state(record: IncidentRecord) -> str:
    return {
        "open": "It is open, and not acknowledged.",
        "acknowledged": f"It is open; {record.acknowledged_by} has acknowledged it.",
        "over": "It is over.",
    }[record.state]


def _forms(record: IncidentRecord, viewer: Viewer) -> list[PageBlock]:
    if viewer.role < Role.EDITOR or record.closed_at is not None:
        return []
    path = f"{alerts.PATH}/{record.number}"
    forms: list[PageBlock] = []
    if record.acknowledged_at is None:
        forms.append(ActionForm(f"{path}/acknowledge", "Acknowledge"))
    hours = FormField("hours", "For how many hours", "number", "2", hint=f"at most {MOST_HOURS:.0f}")
    forms.append(ActionForm(f"{path}/silence", "Silence", [hours, FormField("reason", "Why")]))
    return forms


def _facts(reader: DashboardReader, record: IncidentRecord) -> DataTable:
    facts = [
        ["Rule", record.rule],
        ["Fires when", record.condition],
        ["Labels", matched(record.labels) or "none"],
        ["Severity", record.severity],
        ["Evaluated by", record.source],
    ]
    newest = records.newest_value(reader.engine, record.key)
    if newest is not None:
        facts.append(["Newest value", f"{newest:.4g}"])
    columns = [TableColumn("what", "What"), TableColumn("text", "Value", "sentence")]
    return DataTable("facts", "What is measured", columns, facts)


def _to_do(reader: DashboardReader, record: IncidentRecord, viewer: Viewer) -> Notes:
    rule = next((one for one in all_rules(reader.settings) if one.name == record.rule), None)
    if rule is None:
        paragraphs = [f"No installed rule has the name {record.rule}: its runbook is not known here."]
    else:
        book = rule.runbook
        parts = {
            "What users notice": book.users_notice,
            "How to look": book.how_to_look,
            "What to do": book.what_to_do,
            "How to see that it is over": book.how_to_prove,
        }
        paragraphs = [f"{name}: {text}".replace("`", "") for name, text in parts.items()]
    link = requests_link(record) if viewer.may_see_users else ""
    items = [TableCell("Answers of this model in this time", link=link)] if link else []
    return Notes(paragraphs, items, title="What to do")


def _history(reader: DashboardReader, record: IncidentRecord) -> DataTable:
    columns = [TableColumn("at", "When", "time"), TableColumn("what", "What happened", "sentence")]
    rows = [[line.at, line.text] for line in records.history(reader.engine, record)]
    return DataTable("history", "What happened", columns, rows)


def _act_acknowledge(
    reader: DashboardReader, path: Mapping[str, str], fields: Mapping[str, str], viewer: Viewer
) -> str:
    interventions.acknowledge(reader.engine, row_number(path["number"]), viewer.name)
    return f"{alerts.PATH}/{path['number']}"


def _act_silence(
    reader: DashboardReader, path: Mapping[str, str], fields: Mapping[str, str], viewer: Viewer
) -> str:
    record = records.incident(reader.engine, row_number(path["number"]))
    interventions.silence(
        reader.engine,
        interventions.matchers_of(record, reader.settings.watch),
        seconds=3_600 * _hours(fields.get("hours", "")),
        by=viewer.name,
        reason=fields.get("reason", ""),
    )
    return f"{alerts.PATH}/{path['number']}"


def _hours(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise TastemakerError(
            f"the hours are {text[:50]!r}, must be a number", fix=f"enter a number up to {MOST_HOURS:.0f}"
        ) from None


ACTIONS: Sequence[PageAction] = (
    PageAction("acknowledge", _act_acknowledge),
    PageAction("silence", _act_silence),
)
PAGE = DashboardPage(
    path=f"{alerts.PATH}/{{number:int}}",
    title="Alert",
    question="What happened, and what is to be done?",
    load=_load,
    actions=ACTIONS,
    in_navigation=False,
)

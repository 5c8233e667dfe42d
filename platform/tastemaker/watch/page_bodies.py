"""The alerts' pages as HTML."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from markupsafe import Markup

from tastemaker.html import Page, facts, join, render, table
from tastemaker.notifications.message_text import utc_time
from tastemaker.watch.records import HistoryLine, IncidentRecord, SilenceRecord

HEADS = ("Incident", "Since (UTC)", "Severity", "What", "State")
RECENT = 50
"""How many incidents that are over are listed."""


def overview(
    still_open: Sequence[IncidentRecord],
    over: Sequence[IncidentRecord],
    silences: Sequence[SilenceRecord],
    beats: Sequence[tuple[str, str, float, float | None]],
    trouble: str | None,
) -> str:
    """Return the page of all alerts.

    Args:
        still_open: Open incidents.
        over: Incidents that are over, the newest first.
        silences: Silences that have not ended.
        beats: Watcher, role, seconds since its beat and since its evaluation.
        trouble: Why the watch does not work; None if it does.
    """
    pages = sum(one.severity == "page" for one in still_open)
    summary = f"{len(still_open)} open, {pages} of them pages." if still_open else "Nothing is open."
    if trouble is not None:
        summary = f"The watch does not work: {trouble}.\n{summary}"
    body = [table(HEADS, map(_row, still_open), classes={3: "text"})] if still_open else []
    if silences:
        body += [Markup("<h2>Silences</h2>"), _silences(silences)]
    if over:
        body += [
            Markup("<h2>Over, last 30 days</h2>"),
            table(HEADS, map(_row, over[:RECENT]), classes={3: "text"}),
        ]
    body += [Markup("<h2>Watchers</h2>"), _watchers(beats)]
    return _rendered("Alerts", summary, f"{len(over)} ended in the last 30 days", join(body))


def details(record: IncidentRecord, lines: Sequence[HistoryLine], *, can_act: bool) -> str:
    """Return the page of an incident.

    Args:
        record: The incident, open or over.
        lines: What happened in it, the earliest first.
        can_act: Whether the reader may acknowledge and silence here.
    """
    found = {
        "Rule": record.rule,
        "Condition": record.condition,
        "Labels": ", ".join(f"{name}={text}" for name, text in sorted(record.labels.items())) or "none",
        "Severity": record.severity,
        "Since (UTC)": utc_time(record.opened_at),
        "State": record.state,
    }
    body = [facts(found)]
    if can_act and record.state == "open":
        body += [_button(record, "acknowledge", ""), _button(record, "silence", "")]
    rows = [(utc_time(line.at), line.text) for line in lines]
    body += [Markup("<h2>History</h2>"), table(("Time (UTC)", "What happened"), rows, classes={1: "text"})]
    body.append(Markup('<p><a href="/alerts">All alerts</a></p>'))
    rows_text = f"{len(lines)} entries"
    return _rendered(f"Incident {record.number}", record.summary, rows_text, join(body), has_form=can_act)


def form(record: IncidentRecord, action: str, query: str) -> str:
    """Return the page on which a person acknowledges or silences an incident.

    Args:
        record: The incident, whose page follows the form.
        action: acknowledge or silence.
        query: The signed part of the link, which the form sends again.
    """
    title = f"{action.capitalize()} incident {record.number}"
    return _rendered(title, record.summary, record.rule, _button(record, action, query), has_form=True)


def done(record: IncidentRecord, what: str) -> str:
    """Return the page that says what was done.

    Args:
        record: The incident as it was before.
        what: What was done, as a sentence in plain text.
    """
    back = Markup('<p><a href="/alerts/{}">Incident {}</a></p>').format(record.number, record.number)
    return _rendered(f"Incident {record.number}", f"{what}\n{record.summary}", record.rule, back)


def _button(record: IncidentRecord, action: str, query: str) -> Markup:
    target = f"/alerts/{record.number}/{action}" + (f"?{query}" if query else "")
    fields = [
        Markup('<p><label>Your name <input name="by" maxlength="100" autocomplete="name"/></label></p>')
    ]
    if action == "silence":
        fields += [
            Markup(
                '<p><label>For how many hours <input name="hours" type="number" value="2" min="0.1" '
                'max="168" step="0.1" required="required"/></label></p>'
            ),
            Markup('<p><label>Why <input name="reason" maxlength="500" required="required"/></label></p>'),
        ]
    return Markup(
        '<form method="post" action="{}">\n{}\n<p><button type="submit">{}</button></p></form>'
    ).format(target, join(fields), action.capitalize())


def _row(one: IncidentRecord) -> list[str]:
    number = Markup('<a href="/alerts/{}">{}</a>').format(one.number, one.number)
    return [number, utc_time(one.opened_at), one.severity, one.summary, one.state]


def _silences(silences: Sequence[SilenceRecord]) -> Markup:
    rows = [
        (
            str(one.number),
            ", ".join(f"{name}={text}" for name, text in one.matchers.items()),
            utc_time(one.ends_at),
            one.created_by,
            one.reason,
        )
        for one in silences
    ]
    return table(("Silence", "Alerts", "Until (UTC)", "By", "Why"), rows, classes={1: "text", 4: "text"})


def _watchers(beats: Sequence[tuple[str, str, float, float | None]]) -> Markup:
    rows = [
        (name, role, f"{seconds:.0f} s ago", "never" if evaluated is None else f"{evaluated:.0f} s ago")
        for name, role, seconds, evaluated in beats
    ]
    return table(("Watcher", "Role", "Beat", "Evaluated"), rows, classes={0: "name"})


def _rendered(title: str, summary: str, rows: str, body: Markup, *, has_form: bool = False) -> str:
    return render(Page(title, summary, rows, datetime.now(UTC), body, has_form))

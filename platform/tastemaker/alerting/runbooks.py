"""The runbooks: one page per rule, for the person on call."""

from __future__ import annotations

from collections.abc import Sequence

from tastemaker.alerting.promql_text import duration
from tastemaker.alerting.rule import Rule, Severity

SEVERITIES: dict[Severity, str] = {
    "page": "calls the person on call at once",
    "ticket": "waits for working hours",
    "none": "is for a dead man's switch",
}
SOURCE = "<!-- Written by `tastemaker alerts rules`, from platform/tastemaker/alerting. -->"


def runbook(rule: Rule, rules: Sequence[Rule]) -> str:
    """Return the page of a rule, Markdown.

    Args:
        rule: The rule, with the texts of its runbook.
        rules: All rules that have pages: only those that inhibit the rule and are among them are named.
    """
    names = {one.name for one in rules}
    since = f" It must hold for {duration(rule.for_seconds)}." if rule.for_seconds else ""
    until = (
        f" It resolves after {duration(rule.keep_firing_seconds)} of a false condition."
        if rule.keep_firing_seconds
        else ""
    )
    silenced = ", ".join(f"[{name}]({name}.md)" for name in rule.inhibited_by if name in names)
    facts = [
        f"**{rule.alert}** {SEVERITIES[rule.severity]}. Owner: {rule.owner}. Cause: {rule.cause}.",
        f"{rule.condition.words}{since}{until}",
        *([f"It is silent while one of these fires: {silenced}."] if silenced else []),
        f"```text\n{rule.condition.fires.promql()}\n```",
    ]
    written = rule.runbook
    sections = {
        "What users notice": written.users_notice,
        "How to look": written.how_to_look,
        "What to do": written.what_to_do,
        "How to prove that it is over": written.how_to_prove,
    }
    parts = [f"# {rule.name}", SOURCE, *facts, *(f"## {title}\n\n{text}" for title, text in sections.items())]
    return "\n\n".join(parts) + "\n"


def index(rules: Sequence[Rule]) -> str:
    """Return the page that lists all rules, Markdown."""
    rows = [f"| [{rule.name}]({rule.name}.md) | {rule.severity} | {rule.condition.words} |" for rule in rules]
    table = "\n".join(["| alert | severity | when |", "|---|---|---|", *rows])
    head = (
        "One page per alert rule: what users notice, how to look, what to do, how to prove that it is over. "
        "Thresholds are settings (`[alerts.NAME]`); the files for Prometheus and Alertmanager are in "
        "[deploy](../../../deploy/README.md)."
    )
    return f"# Runbooks\n\n{SOURCE}\n\n{head}\n\n{table}\n"

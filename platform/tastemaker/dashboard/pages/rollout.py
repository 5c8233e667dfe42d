"""One rollout: where it is, what it waits for, the figures of its steps, and the commands that act on it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import quote

from tastemaker.dashboard.content import DataTable, PageContent, TableCell, TableColumn
from tastemaker.dashboard.experiment_actions import address
from tastemaker.dashboard.filters import PageFilters
from tastemaker.dashboard.page import DashboardPage
from tastemaker.dashboard.pages import rollouts as listing
from tastemaker.dashboard.path_parts import row_number
from tastemaker.dashboard.reader import DashboardReader
from tastemaker.dashboard.rollout_records import RolloutRecord, figures_in_words, unit_of, with_changes
from tastemaker.dashboard.viewer import Viewer
from tastemaker.rollouts.store import read_rollout


def _load(reader: DashboardReader, filters: PageFilters, _: Viewer) -> PageContent:
    """Return a rollout's facts, steps and commands. Raises TastemakerError if there is none."""
    [found] = with_changes(reader, [read_rollout(reader.engine, row_number(filters.path["number"]))])
    return PageContent(
        title=f"Rollout {found.rollout.id}",
        answer=_answer(found),
        as_of=found.changes[-1].at,
        fresh=timedelta.max,
        blocks=[_steps(found), _guardrails(found), _facts(found), _commands(found)],
    )


def _answer(found: RolloutRecord) -> str:
    if found.waits_for:
        return f"{found.named}; it waits for {found.waits_for}."
    newest = found.changes[-1]
    return f"{found.named}, by {newest.actor}: {newest.reason}"


def _steps(found: RolloutRecord) -> DataTable:
    return DataTable(
        name="steps",
        title="Steps",
        columns=[
            TableColumn("at", "When", "time"),
            TableColumn("state", "State after"),
            TableColumn("actor", "By"),
            TableColumn("reason", "Why", "sentence"),
            TableColumn("figures", "Figures", "sentence"),
        ],
        rows=[
            [one.at, one.state.replace("_", " "), one.actor, one.reason, figures_in_words(one.evidence)]
            for one in reversed(found.changes)
        ],
        note="The newest step first. A step is recorded after it was taken, and never edited.",
    )


def _guardrails(found: RolloutRecord) -> DataTable:
    return DataTable(
        name="guardrails",
        title="Guardrails",
        columns=[
            TableColumn("guardrail", "Guardrail", "name"),
            TableColumn("verdict", "Verdict"),
            TableColumn("units", "Users", "number"),
            TableColumn("value", "With the version", "number"),
            TableColumn("control_value", "With the champion", "number"),
        ],
        rows=[
            [
                one["guardrail"],
                one["verdict"].replace("_", " "),
                one["units"],
                TableCell(one["value"], unit=unit_of(one["guardrail"])),
                TableCell(one["control_value"], unit=unit_of(one["guardrail"])),
            ]
            for one in found.checks
        ],
        note="As of the newest step that was taken by them.",
        empty="No guardrail was checked: no user has had the version by this rollout.",
    )


def _facts(found: RolloutRecord) -> DataTable:
    rollout = found.rollout
    facts: list[list[Any]] = [
        ["Version", TableCell(rollout.version_id, link=_version(rollout.version_id))],
        ["Champion at the start", _champion(rollout.champion_id)],
        ["Path", TableCell(rollout.path, small=rollout.why)],
    ]
    if rollout.experiment is not None:
        experiment = TableCell(rollout.experiment, link=address(rollout.experiment))
        facts.append(["Experiment that takes the steps", experiment])
    if rollout.advice:
        facts.append(["What the planner said", figures_in_words(rollout.advice)])
    columns = [TableColumn("what", "What"), TableColumn("text", "Value", "sentence")]
    return DataTable("facts", "What is rolled out, and how", columns, facts)


def _champion(version_id: str | None) -> TableCell | str:
    return "none" if version_id is None else TableCell(version_id, link=_version(version_id))


def _version(version_id: str) -> str:
    return f"/models/{quote(version_id, safe='')}"


def _commands(found: RolloutRecord) -> DataTable:
    return DataTable(
        name="commands",
        title="What may be done now",
        columns=[TableColumn("action", "Action"), TableColumn("command", "Command", "name")],
        rows=[[action.replace("-", " "), command] for action, command in found.commands()],
        note="In the project's folder; the reason is recorded beside your name.",
        empty="Nothing: it is over.",
    )


PAGE = DashboardPage(
    path=f"{listing.PATH}/{{number:int}}",
    title="Rollout",
    question="Where is this version, and what does it wait for?",
    load=_load,
    in_navigation=False,
)

"""What may be done with an experiment next, and the forms by which editors hold, stop and kill it.

Nothing here ships a variant or enrols more units: that is done where its plan is at hand, in the terminal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import quote

from tastemaker.dashboard.content import (
    ActionForm,
    DataTable,
    FormField,
    Notes,
    PageBlock,
    TableCell,
    TableColumn,
)
from tastemaker.dashboard.formats import time_text
from tastemaker.dashboard.page import PageAction
from tastemaker.dashboard.path_parts import row_number
from tastemaker.dashboard.reader import AWAY, DashboardReader
from tastemaker.dashboard.viewer import Role, Viewer
from tastemaker.errors import TastemakerError
from tastemaker.experiments.lifecycle import kills
from tastemaker.experiments.lifecycle.next_actions import NextAction
from tastemaker.experiments.lifecycle.states import Action
from tastemaker.experiments.result import ExperimentResult
from tastemaker.problem import load_problem

if TYPE_CHECKING:
    from tastemaker.experiments.lifecycle.store import Experiments

PATH = "/experiments"
OFFERED: Mapping[Action, str] = {"hold": "Hold", "stop": "Stop", "kill": "Kill"}
"""Actions with a form, and the words on its button: all of them make an experiment smaller."""


def address(name: str) -> str:
    """Return the path of an experiment's page."""
    return f"{PATH}/{quote(name, safe='')}"


def next_actions(result: ExperimentResult, viewer: Viewer) -> list[PageBlock]:
    """Return what may be done next as a table, and forms for what a viewer may do on this page.

    Args:
        result: The experiment, with what may be done next.
        viewer: Who looks at the page; only editors and admins get forms.
    """
    forms = [_form(result, one) for one in result.next_actions if one.is_allowed and one.action in OFFERED]
    return [_table(result.next_actions), *(forms if viewer.role >= Role.EDITOR else [])]


def pending_kill(reader: DashboardReader, result: ExperimentResult) -> list[Notes]:
    """Return a note that an experiment was killed where the database does not have it yet; else nothing.

    Args:
        reader: Knows the folder of the kills, and the shop's time zone.
        result: The experiment as the database has it.
    """
    said = [
        f"{one.actor} killed it at {time_text(one.killed_at, reader.timezone)}: {one.reason}. All units get "
        "the default; the database has this with the next change."
        for one in kills.pending(reader.settings.experiments_root)
        if one.experiment == result.experiment.name and result.experiment.is_active
    ]
    return [Notes(said)] if said else []


def in_short(found: Sequence[NextAction]) -> str:
    """Return the actions that are allowed now, such as `step, hold, stop`."""
    return ", ".join(one.action.replace("_", " ") for one in found if one.is_allowed)


def _table(found: Sequence[NextAction]) -> DataTable:
    return DataTable(
        name="next",
        title="What may be done next",
        columns=[
            TableColumn("action", "Action"),
            TableColumn("effect", "What it does", "sentence"),
            TableColumn("allowed", "Now?", "sentence"),
            TableColumn("command", "Command", "name"),
        ],
        rows=[
            [
                one.action.replace("_", " "),
                one.effect,
                TableCell(
                    "yes" if one.is_allowed else "no",
                    small="; ".join(objection.problem for objection in one.objections),
                ),
                one.command,
            ]
            for one in found
        ],
        empty="Nothing: it is over.",
    )


def _form(result: ExperimentResult, one: NextAction) -> ActionForm:
    seen = FormField("changes", "", "hidden", str(result.experiment.changes))
    reason = FormField("reason", "Why", hint=one.effect)
    return ActionForm(f"{address(result.experiment.name)}/{one.action}", OFFERED[one.action], [seen, reason])


def _change(
    action: Action,
    reader: DashboardReader,
    path: Mapping[str, str],
    fields: Mapping[str, str],
    viewer: Viewer,
) -> str:
    name = path["name"]
    _experiments(reader).change(
        name,
        action,
        actor=viewer.name,
        reason=fields.get("reason", ""),
        expected_changes=row_number(fields.get("changes", "")),
    )
    return address(name)


def _kill(reader: DashboardReader, path: Mapping[str, str], fields: Mapping[str, str], viewer: Viewer) -> str:
    name, reason, experiments = path["name"], fields.get("reason", "").strip(), _experiments(reader)
    if not reason:
        raise TastemakerError(f"killing {name} needs a reason", fix="say why in a few words")
    experiments.kill(name, actor=viewer.name, reason=reason)
    with suppress(*AWAY):  # it is killed already; it is recorded before the next change at the latest
        experiments.settle_kills()
    return address(name)


def _experiments(reader: DashboardReader) -> Experiments:
    settings = reader.settings
    from tastemaker.experiments.lifecycle.store import Experiments

    return Experiments(reader.engine, settings.home, load_problem(settings.problem), settings.retrieval)


ACTIONS: Sequence[PageAction] = (
    PageAction("hold", partial(_change, "hold")),
    PageAction("stop", partial(_change, "stop")),
    PageAction("kill", _kill),
)

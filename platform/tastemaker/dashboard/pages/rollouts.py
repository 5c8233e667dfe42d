"""Rollouts: which versions are on their way into production, and how did earlier ones end?"""

from __future__ import annotations

from collections.abc import Sequence

from tastemaker.dashboard.content import DataTable, PageContent, TableCell, TableColumn
from tastemaker.dashboard.filters import PageFilters
from tastemaker.dashboard.page import DashboardPage
from tastemaker.dashboard.reader import DashboardReader
from tastemaker.dashboard.rollout_records import RolloutRecord, with_changes
from tastemaker.dashboard.viewer import Viewer
from tastemaker.rollouts.store import list_rollouts

PATH = "/rollouts"
MOST = 200
"""The newest are listed."""


def _load(reader: DashboardReader, filters: PageFilters, _: Viewer) -> PageContent:
    """Return the list of rollouts, the newest first."""
    found = with_changes(reader, list_rollouts(reader.engine, filters.problem or None, MOST))
    return PageContent(answer=_answer(found), as_of=None, blocks=[_table(found)])


def _answer(found: Sequence[RolloutRecord]) -> str:
    on_their_way = [one for one in found if one.waits_for]
    if on_their_way:
        return " ".join(f"{one.named}; it waits for {one.waits_for}." for one in on_their_way)
    if not found:
        return "No version has been rolled out yet."
    newest = found[0]
    return (
        f"No version is on its way into production; the newest rollout, of {newest.rollout.model}, was "
        f"{newest.words}."
    )


def _table(found: Sequence[RolloutRecord]) -> DataTable:
    return DataTable(
        name="rollouts",
        title="Rollouts",
        columns=[
            TableColumn("rollout", "Rollout", "number"),
            TableColumn("model", "Model"),
            TableColumn("version", "Version", "name"),
            TableColumn("path", "Path"),
            TableColumn("state", "State"),
            TableColumn("since", "Since", "time"),
            TableColumn("reason", "Why", "sentence"),
        ],
        rows=[
            [
                TableCell(one.rollout.id, link=f"{PATH}/{one.rollout.id}"),
                one.rollout.model,
                one.rollout.version_id,
                one.rollout.path,
                one.words,
                one.state_since,
                TableCell(one.changes[-1].reason, small=f"by {one.changes[-1].actor}"),
            ]
            for one in found
        ],
        note=f"The newest {MOST} are listed." if len(found) == MOST else "",
        empty="There is none: a run begins one for a version that is better.",
    )


PAGE = DashboardPage(
    path=PATH,
    title="Rollouts",
    question="Which versions are on their way into production?",
    load=_load,
    filters=("problem",),
)

"""Experiments: which are there, how far are they, and what did they find?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tastemaker.dashboard.content import DataTable, Notes, PageBlock, PageContent, TableCell, TableColumn
from tastemaker.dashboard.experiment_actions import PATH, address, in_short
from tastemaker.dashboard.filters import PageFilters
from tastemaker.dashboard.labelled_experiments import labelled
from tastemaker.dashboard.page import DashboardPage
from tastemaker.dashboard.pages import agreement
from tastemaker.dashboard.reader import DashboardReader
from tastemaker.dashboard.viewer import Viewer
from tastemaker.experiments.result import ExperimentListing, read_listings

_WORDS = {
    "running": "running",
    "holding": "held",
    "draft": "in preparation",
    "ready": "in preparation",
    "stopped": "stopped and not decided",
    "rolled_back": "rolled back",
}
NOTHING = "There are no experiments, and no request was logged with an experiment and a variant."


def _load(reader: DashboardReader, filters: PageFilters, _: Viewer) -> PageContent:
    """Return the list of experiments, and the figures of those that exist as labels in the log only."""
    known = read_listings(reader.engine, reader.now)
    others = labelled(reader, filters, {one.experiment.name for one in known})
    found = [
        one
        for one in known
        if filters.problem in ("", one.experiment.problem) and one.experiment.state != "archived"
    ]
    forecasts = TableCell("Did the forecasts of experiments come true?", link=agreement.PATH)
    blocks: list[PageBlock] = [_table(found), Notes(items=[forecasts]), *others.blocks]
    return PageContent(
        answer=" ".join(filter(None, [_answer(found), others.answer])) or NOTHING,
        as_of=others.as_of,
        blocks=blocks,
    )


def _answer(found: Sequence[ExperimentListing]) -> str:
    if not found:
        return ""
    counts = Counter(_WORDS.get(one.experiment.state, "decided") for one in found)
    said = ", ".join(
        f"{counts[word]} {word}" for word in dict.fromkeys([*_WORDS.values(), "decided"]) if counts[word]
    )
    noun = "experiment" if len(found) == 1 else "experiments"
    return f"{len(found)} {noun}: {said}."


def _table(found: Sequence[ExperimentListing]) -> DataTable:
    return DataTable(
        name="experiments",
        title="Experiments",
        columns=[
            TableColumn("experiment", "Experiment", "name"),
            TableColumn("state", "State"),
            TableColumn("owner", "Owner"),
            TableColumn("step", "Step"),
            TableColumn("look", "Look"),
            TableColumn("result", "Result", "sentence"),
            TableColumn("next", "May be done now"),
        ],
        rows=[
            [
                TableCell(
                    one.experiment.name,
                    link=address(one.experiment.name),
                    small=one.experiment.kind,
                ),
                one.experiment.state.replace("_", " "),
                one.experiment.owner,
                one.step,
                one.look_of,
                one.sentence,
                in_short(one.next_actions),
            ]
            for one in found
        ],
        empty="There is none: tastemaker experiment new makes one.",
    )


PAGE = DashboardPage(
    path=PATH,
    title="Experiments",
    question="Which experiments are there, and what did they find?",
    load=_load,
    filters=("experiment", "problem", "period"),
)

"""Training: when was each model trained last, why, at what cost, and when is it trained next?"""

from __future__ import annotations

from collections.abc import Sequence

from tastemaker.dashboard.content import DataTable, PageContent, TableCell, TableColumn
from tastemaker.dashboard.filters import PageFilters
from tastemaker.dashboard.formats import day
from tastemaker.dashboard.page import DashboardPage
from tastemaker.dashboard.reader import DashboardReader
from tastemaker.dashboard.viewer import Viewer
from tastemaker.trainings.records import FAILED, KILLED, Training
from tastemaker.trainings.status import TrainingStatus, read_history, read_statuses
from tastemaker.util.byte_sizes import byte_size

PATH = "/training"
MOST = 100
"""The newest trainings are listed."""


def _load(reader: DashboardReader, filters: PageFilters, _: Viewer) -> PageContent:
    """Return the status of each model, and the newest trainings."""
    statuses = read_statuses(reader.engine, filters.problem or None)
    history = read_history(reader.engine, filters.problem or None, MOST)
    return PageContent(answer=_answer(statuses), as_of=None, blocks=[_statuses(statuses), _history(history)])


def _answer(statuses: Sequence[TrainingStatus]) -> str:
    trained = [one for one in statuses if one.last is not None]
    if not trained:
        return "No model has been trained yet."
    newest = max(one.last.started_at for one in trained if one.last is not None)
    failed = [one.model for one in trained if one.last is not None and one.last.outcome in (FAILED, KILLED)]
    answer = f"{len(trained)} models were trained, the last one on {day(newest)}"
    return f"{answer}; the last training of {', '.join(failed)} failed." if failed else f"{answer}."


def _statuses(statuses: Sequence[TrainingStatus]) -> DataTable:
    return DataTable(
        name="models",
        title="Models",
        columns=[
            TableColumn("model", "Model"),
            TableColumn("outcome", "Last training"),
            TableColumn("trained_at", "Began", "time"),
            TableColumn("why", "Why it was trained", "sentence"),
            TableColumn("now", "Now", "sentence"),
            TableColumn("next", "Next", "sentence"),
        ],
        rows=[
            [
                TableCell(one.model, anchor=one.model),
                "never trained" if one.last is None else one.last.outcome,
                None if one.last is None else one.last.started_at,
                one.reasons_in_words,
                one.decision_in_words,
                one.next_in_words,
            ]
            for one in statuses
        ],
        note="The decision is the automation's newest one, with the conditions that it rests on.",
        empty="No model has been trained yet: tastemaker run.",
    )


def _history(history: Sequence[Training]) -> DataTable:
    return DataTable(
        name="trainings",
        title="Trainings",
        columns=[
            TableColumn("started_at", "Began", "time"),
            TableColumn("model", "Model"),
            TableColumn("outcome", "Outcome"),
            TableColumn("version", "Version", "name"),
            TableColumn("seconds", "Seconds", "number"),
            TableColumn("cpu_seconds", "Processor seconds", "number"),
            TableColumn("peak", "Largest memory"),
            TableColumn("why", "Why", "sentence"),
        ],
        rows=[
            [
                one.started_at,
                TableCell(one.model, link=f"{PATH}#{one.model}"),
                TableCell(one.outcome, small=one.problem_text or ""),
                one.version_id or "",
                one.seconds,
                one.cpu_seconds,
                TableCell(_memory(one.peak_bytes), small=_expected(one)),
                "; ".join(f"{reason.reason}: {reason.detail}" for reason in one.reasons),
            ]
            for one in history
        ],
        note=f"The newest {MOST} are listed." if len(history) == MOST else "",
        empty="There is none.",
    )


def _memory(n_bytes: int | None) -> str:
    return "" if n_bytes is None else byte_size(n_bytes)


def _expected(training: Training) -> str:
    expected, limit = training.estimated_bytes, training.limit_bytes
    facts = [f"{_memory(expected)} expected"] if expected is not None else []
    return ", ".join([*facts, *([f"{_memory(limit)} allowed"] if limit is not None else [])])


PAGE = DashboardPage(
    path=PATH,
    title="Training",
    question="When was each model trained, why, at what cost, and when is it trained next?",
    load=_load,
    filters=("problem",),
)

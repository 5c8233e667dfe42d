"""One experiment: its result in a sentence, whether it can be believed, its figures, and what may be done."""

from __future__ import annotations

from datetime import timedelta

from tastemaker.dashboard import experiment_actions as actions
from tastemaker.dashboard import experiment_figures as figures
from tastemaker.dashboard import experiment_tables as tables
from tastemaker.dashboard.content import FRESH, Charts, PageBlock, PageContent
from tastemaker.dashboard.filters import PageFilters
from tastemaker.dashboard.page import DashboardPage
from tastemaker.dashboard.reader import DashboardReader
from tastemaker.dashboard.viewer import Viewer
from tastemaker.experiments.result import ExperimentResult, read_result

LIVE = ("running", "holding")
"""States in which a new look is expected every day."""


def _load(reader: DashboardReader, filters: PageFilters, viewer: Viewer) -> PageContent:
    """Return an experiment's result; its effects only where the units are divided as planned."""
    result = read_result(reader.engine, filters.path["name"], reader.now)
    return PageContent(
        title=f"Experiment {result.experiment.name}",
        answer=result.sentence,
        as_of=None if result.look is None else result.look.at,
        fresh=FRESH if result.experiment.state in LIVE else timedelta.max,
        blocks=[
            *actions.pending_kill(reader, result),
            *tables.concerns(result),
            tables.soundness(result),
            *([] if result.is_invalid else _effects(reader, result)),
            *actions.next_actions(result, viewer),
            *tables.shadow_table(result),
            *tables.learned_table(result),
            tables.guardrail_table(result),
            tables.forecast_table(result),
            tables.plan_table(result),
            tables.change_table(result),
        ],
    )


def _effects(reader: DashboardReader, result: ExperimentResult) -> list[PageBlock]:
    charts = [
        figures.effect_chart(result),
        figures.by_exposure(reader, result),
        figures.by_age(result),
        figures.progress(reader, result),
    ]
    return [
        figures.main_figures(result),
        Charts(charts, title="Effects"),
        figures.effect_table(result),
        figures.slice_table(result),
    ]


PAGE = DashboardPage(
    path=f"{actions.PATH}/{{name}}",
    title="Experiment",
    question="Which variant is better, and can that be believed?",
    load=_load,
    actions=actions.ACTIONS,
    in_navigation=False,
)

"""Agreement: did the forecasts of experiments come true?"""

from __future__ import annotations

from collections.abc import Sequence

from tastemaker.dashboard.charts.agreement import forecast_dots
from tastemaker.dashboard.content import (
    Chart,
    DataTable,
    Figure,
    Figures,
    Notes,
    PageBlock,
    PageContent,
    TableCell,
    TableColumn,
)
from tastemaker.dashboard.experiment_actions import address
from tastemaker.dashboard.experiment_tables import METHODS, forecast_cells, forecast_columns
from tastemaker.dashboard.filters import PageFilters
from tastemaker.dashboard.formats import number
from tastemaker.dashboard.page import DashboardPage
from tastemaker.dashboard.reader import DashboardReader
from tastemaker.dashboard.viewer import Viewer
from tastemaker.experiments.agreement import (
    MIN_EXPERIMENTS,
    AgreementSummary,
    ForecastOutcome,
    measured_experiments,
    summarize,
)
from tastemaker.experiments.result import read_forecasts
from tastemaker.experiments.unit_metrics import unit_metric_title
from tastemaker.stats.bootstrap import Interval

PATH = "/agreement"
_Z = 1.96


def _load(reader: DashboardReader, filters: PageFilters, _: Viewer) -> PageContent:
    """Return each forecast beside its outcome, and how well each method does over experiments."""
    found = read_forecasts(reader.engine)
    summaries = summarize(found)
    blocks: list[PageBlock] = [_figures(one) for one in summaries]
    blocks += [_chart(found), _table(found), Notes(paragraphs=[HOW_TO_READ])]
    return PageContent(answer=_answer(found, summaries), as_of=None, blocks=blocks)


HOW_TO_READ = (
    "Forecast and outcome are relative differences from control in the same metric, each with its standard "
    "error over users. z is their difference over both errors: within 1.96 in 95 of 100 experiments if the "
    "errors are right. A slope below 1 means that forecasts promise too much: multiply a new one by it."
)


def _answer(found: Sequence[ForecastOutcome], summaries: Sequence[AgreementSummary]) -> str:
    if not found:
        return "No experiment has a forecast yet: forecasts are stored when an experiment starts."
    if not summaries:
        n = measured_experiments(found)
        return (
            f"{n} experiment{' has' if n == 1 else 's have'} a forecast and an outcome; below "
            f"{MIN_EXPERIMENTS}, only single experiments are shown."
        )
    said = [
        f"Of {one.experiments} forecasts from the {METHODS.get(one.method, one.method)}, "
        f"{number(one.same_sign.value, 'share')} had the right direction and "
        f"{number(one.coverage.value, 'share')} came within both errors."
        for one in summaries
    ]
    return " ".join(said)


def _figures(summary: AgreementSummary) -> Figures:
    def figure(title: str, found: Interval, unit: str, comparison: str) -> Figure:
        return Figure(
            "", title, found.value, unit, "95 % interval over experiments", low=found.low, high=found.high,
            n=summary.experiments, counted="experiments", comparison=comparison,
        )  # fmt: skip

    return Figures(
        [
            figure("Within both errors", summary.coverage, "share", "95 % if the errors are right"),
            figure("Same direction", summary.same_sign, "share", "50 % if forecasts say nothing"),
            figure("Slope of outcome on forecast", summary.slope, "", "1 if right on average, 0 if useless"),
        ],
        title=f"Forecasts from the {METHODS.get(summary.method, summary.method)}",
    )


def _chart(found: Sequence[ForecastOutcome]) -> Chart:
    data = [
        [
            f"{one.experiment} {one.variant}",
            METHODS.get(one.method, one.method),
            one.forecast,
            one.outcome,
            one.outcome - _Z * one.outcome_error,
            one.outcome + _Z * one.outcome_error,
        ]
        for one in found
        if one.outcome is not None and one.outcome_error is not None
    ]
    return Chart(
        title="Outcome by forecast",
        label="Outcome by forecast with its 95 % interval, and the line on which both are equal. "
        f"{len(data)} forecasts; the table has their figures.",
        spec=forecast_dots("forecast", "outcome", low="low", high="high", series="method", name="experiment"),
        table=DataTable(
            "outcome_by_forecast",
            "Outcome by forecast",
            [
                TableColumn("experiment", "Experiment", "name"),
                TableColumn("method", "Forecast from"),
                *(TableColumn(one, one.title(), "share") for one in ("forecast", "outcome", "low", "high")),
            ],
            data,
            empty="No experiment with a forecast has an outcome yet.",
        ),
    )


def _table(found: Sequence[ForecastOutcome]) -> DataTable:
    return DataTable(
        name="agreement",
        title="Each forecast and its outcome",
        columns=[
            TableColumn("experiment", "Experiment", "name"),
            TableColumn("epoch", "Epoch", "number"),
            TableColumn("variant", "Variant"),
            TableColumn("method", "Forecast from"),
            TableColumn("metric", "Metric", "name"),
            *forecast_columns(),
        ],
        rows=[
            [
                TableCell(one.experiment, link=address(one.experiment)),
                one.epoch,
                one.variant,
                METHODS.get(one.method, one.method),
                unit_metric_title(one.metric),
                *forecast_cells(one),
            ]
            for one in found
        ],
        empty="No experiment has a forecast yet.",
    )


PAGE = DashboardPage(
    path=PATH,
    title="Agreement",
    question="Did the forecasts of experiments come true?",
    load=_load,
    in_navigation=False,
)

"""Engagement: do people use what they are shown?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row

from tastemaker.dashboard import measured
from tastemaker.dashboard.content import Charts, Figures, Notes, PageBlock, PageContent
from tastemaker.dashboard.figure_table import figure_table, metric_title
from tastemaker.dashboard.filters import PageFilters
from tastemaker.dashboard.measured import in_words, is_number
from tastemaker.dashboard.page import DashboardPage
from tastemaker.dashboard.periods import Pair, compared_figure, than_before
from tastemaker.dashboard.reader import DashboardReader
from tastemaker.dashboard.series import SeriesKey, columns, shown_figures
from tastemaker.dashboard.series_charts import by_day, by_position, slice_name
from tastemaker.dashboard.version_charts import ChartDays
from tastemaker.dashboard.viewer import Viewer

MAIN = "ctr_list"
PLAIN = (MAIN, "ctr_impression", "reward_per_request", "hours_to_first_click", "lists_per_user_day")
EVENTS = "rewarded_events_per_1000_lists"
BY_DAY = (*PLAIN, EVENTS)
BY_POSITION = "ctr_by_position"


def _load(reader: DashboardReader, filters: PageFilters, _: Viewer) -> PageContent:
    """Return the figures of the period, and charts by day, of the versions with most users."""
    count, chosen = shown_figures(reader, PLAIN, (EVENTS, BY_POSITION), filters)
    names = (*columns(filters), "slice")
    versions = [(one.model, one.version) for one in chosen]
    rows = measured.daily(reader, BY_DAY, filters, names=names, versions=versions)
    days = ChartDays.of(reader, filters)
    blocks: list[PageBlock] = [_note(filters, count, len(chosen))] if chosen else []
    for place, (one, own) in enumerate(chosen.items(), start=1):
        blocks.append(_figures(reader, filters, one, own))
        blocks.append(_charts(reader, filters, chosen, one, place, rows, days))
    in_order = [pair for own in chosen.values() for pair in own]
    return PageContent(
        answer=_answer(reader, filters, in_order),
        as_of=min((pair.now.computed_at for pair in in_order), default=None),
        blocks=[*blocks, figure_table(reader, in_order, *names)],
        models=measured.names_of(reader, "model", filters),
        versions=measured.names_of(reader, "version", filters),
    )


def _answer(reader: DashboardReader, filters: PageFilters, found: Sequence[Pair]) -> str:
    period = f"{filters.period} days"
    main = next((pair for pair in found if pair.now.metric == MAIN), None)
    if main is None:
        return f"That is not known: there is no click-through rate of {period} for this choice."
    name, window = SeriesKey.of(main.now).name, measured.window(reader, main.now)
    if not is_number(main.now.value):
        missing = measured.missing(main.now)
        return f"That is not known yet: {name} has too little data in the {window} ({missing})."
    used = f"Users acted on {in_words(main.now)} of the lists of {name} in the {window}."
    return f"{used} {than_before(main, period)}"


def _note(filters: PageFilters, found: int, shown: int) -> Notes:
    said = (
        "These are figures without a verdict: two intervals that are apart today may not be tomorrow."
        if filters.experiment
        else "Versions were shown to different users: only an experiment shows which one is better."
    )
    more = f" These are the {shown} of {found:,} with most users; choose another one above."
    return Notes(paragraphs=[said + (more if found > shown else "")])


def _figures(
    reader: DashboardReader, filters: PageFilters, series: SeriesKey, own: Sequence[Pair]
) -> Figures:
    shown = [pair for pair in own if pair.now.metric != BY_POSITION]
    period = f"{filters.period} days"
    return Figures(
        title=series.name,
        figures=[compared_figure(reader, pair, _title(pair.now), period) for pair in shown],
    )


def _title(row: Row[Any]) -> str:
    title = metric_title(row.metric)
    return f"{title}: {slice_name(row.slice)}" if row.slice else title


def _charts(
    reader: DashboardReader,
    filters: PageFilters,
    chosen: dict[SeriesKey, list[Pair]],
    series: SeriesKey,
    place: int,
    rows: Sequence[Row[Any]],
    days: ChartDays,
) -> Charts:
    period = f"{filters.period} days"
    whole = {pair.now.metric: pair for pair in chosen[series] if not pair.now.slice}
    charts = [
        by_day(
            reader, metric, [row for row in rows if row.metric == metric], series, place, days,
            pair=whole.get(metric), period=period,
        )
        for metric in BY_DAY
    ]  # fmt: skip
    positions = [pair.now for own in chosen.values() for pair in own if pair.now.metric == BY_POSITION]
    return Charts([*charts, by_position(positions, series, place, period)])


PAGE = DashboardPage(
    path="/engagement",
    title="Engagement",
    question="Do people use what they are shown?",
    load=_load,
    filters=("model", "version", "experiment", "variant", "problem", "period"),
)
"""Experiment and variant: then the page shows variants instead of versions."""

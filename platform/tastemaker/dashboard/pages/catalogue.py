"""Catalogue: what do we show?"""

from __future__ import annotations

from collections.abc import Sequence

from tastemaker.dashboard import measured
from tastemaker.dashboard.charts.dots import dots
from tastemaker.dashboard.content import (
    Chart,
    Charts,
    DataTable,
    Figures,
    Notes,
    PageBlock,
    PageContent,
    TableColumn,
)
from tastemaker.dashboard.figure_table import figure_table, metric_title
from tastemaker.dashboard.filters import PageFilters
from tastemaker.dashboard.formats import number
from tastemaker.dashboard.measured import is_number
from tastemaker.dashboard.page import DashboardPage
from tastemaker.dashboard.periods import Pair, compared_figure
from tastemaker.dashboard.reader import DashboardReader
from tastemaker.dashboard.series import SeriesKey, shown_figures
from tastemaker.dashboard.series_charts import slice_name
from tastemaker.dashboard.viewer import Viewer

COVERAGE, TOP, NEW, EXPOSURE = "catalogue_coverage", "top_1_percent_share", "new_item_share", "exposure_share"
FIGURES = (COVERAGE, TOP, NEW)
HOW_TO_READ = (
    "These figures count what the lists showed; they have no interval. Few items on most places mean that "
    "popular items become more popular, and that new ones are not found. How large a category is in the "
    "catalogue is not measured: a large share of places may be a large category."
)


def _load(reader: DashboardReader, filters: PageFilters, _: Viewer) -> PageContent:
    """Return what the versions with most users showed of the catalogue."""
    count, chosen = shown_figures(reader, FIGURES, (EXPOSURE,), filters)
    more = f" Shown are the {len(chosen)} of {count:,} with most users." if count > len(chosen) else ""
    blocks: list[PageBlock] = [Notes(paragraphs=[HOW_TO_READ + more])]
    blocks += [_figures(reader, filters, one, own) for one, own in chosen.items()]
    exposures = [_exposure(one, place, own) for place, (one, own) in enumerate(chosen.items(), start=1)]
    in_order = [pair for own in chosen.values() for pair in own]
    return PageContent(
        answer=_answer(reader, filters, in_order),
        as_of=min((pair.now.computed_at for pair in in_order), default=None),
        blocks=[
            *blocks,
            Charts(exposures, title=metric_title(EXPOSURE)),
            figure_table(reader, in_order, "model", "version", "slice"),
        ],
        models=measured.names_of(reader, "model", filters),
        versions=measured.names_of(reader, "version", filters),
    )


def _answer(reader: DashboardReader, filters: PageFilters, found: Sequence[Pair]) -> str:
    values = {(SeriesKey.of(pair.now), pair.now.metric): pair.now for pair in found}
    main = next((pair.now for pair in found if pair.now.metric == COVERAGE), None)
    if main is None:
        return f"That is not known: no coverage of {filters.period} days has been computed for this choice."
    name, window = SeriesKey.of(main).name, measured.window(reader, main)
    if not is_number(main.value):
        return (
            f"That is not known yet: {name} has too little data in the {window} ({measured.missing(main)})."
        )
    covered = f"The lists of {name} showed {number(main.value, main.unit)} of the catalogue in the {window}"
    top = values.get((SeriesKey.of(main), TOP))
    if top is None or not is_number(top.value):
        return f"{covered}."
    return f"{covered}; {number(top.value, top.unit)} of all places went to the most shown 1 % of the items."


def _figures(
    reader: DashboardReader, filters: PageFilters, series: SeriesKey, own: Sequence[Pair]
) -> Figures:
    by_metric = {pair.now.metric: pair for pair in own if not pair.now.slice}
    period = f"{filters.period} days"
    return Figures(
        title=series.name,
        figures=[
            compared_figure(reader, by_metric[name], metric_title(name), period)
            for name in FIGURES
            if name in by_metric
        ],
    )


def _exposure(series: SeriesKey, place: int, own: Sequence[Pair]) -> Chart:
    rows = [pair.now for pair in own if pair.now.metric == EXPOSURE and is_number(pair.now.value)]
    rows.sort(key=lambda row: -row.value)
    data = [[slice_name(row.slice), row.value] for row in rows]
    most = ", ".join(f"{name} {number(value, 'share')}" for name, value in data[:3])
    return Chart(
        title=series.name,
        label=f"Categories with most places in the lists of {series.name}: {most or 'not known'}.",
        spec=dots("category", "shown", rows=len(data), unit="share"),
        table=DataTable(
            f"exposure_{place}",
            f"{metric_title(EXPOSURE)}: {series.name}",
            [TableColumn("category", "Category"), TableColumn("shown", "Share of places", "share")],
            data,
            empty="No category's share has been computed.",
        ),
    )


PAGE = DashboardPage(
    path="/catalogue",
    title="Catalogue",
    question="What do we show?",
    load=_load,
    filters=("model", "version", "problem", "period"),
)

"""Today: is the recommender working?"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Row

from tastemaker.dashboard import in_service, measured
from tastemaker.dashboard.charts.specs import MOST_SERIES
from tastemaker.dashboard.comparison import in_words, week_before
from tastemaker.dashboard.content import Charts, Figure, Figures, Notes, PageBlock, PageContent, TableCell
from tastemaker.dashboard.filters import PageFilters
from tastemaker.dashboard.formats import day, number, span
from tastemaker.dashboard.freshness import jobs
from tastemaker.dashboard.measured import VersionKey
from tastemaker.dashboard.page import DashboardPage
from tastemaker.dashboard.reader import DashboardReader
from tastemaker.dashboard.version_charts import ChartDays, shared_chart
from tastemaker.dashboard.viewer import Viewer

METRICS = {
    "model_answer_share": "Lists by the model itself",
    "ctr_list": "Lists that are clicked",
    "reward_per_request": "Reward per request",
}
"""Metric -> its title here."""
PERIOD = PageFilters()
"""28 days of all models."""
LIVE = timedelta(minutes=2)
"""Alerts are read when the page is."""
BY_VERSION = ("model", "version")


def _load(reader: DashboardReader, _filters: PageFilters, _viewer: Viewer) -> PageContent:
    """Return a sentence and figures for each version in service, and the state of alerts, data and jobs."""
    champions = in_service.champions(reader)
    busy = [(row.model, row.version) for row in in_service.answering(reader)]
    served = list(dict.fromkeys([*champions[:1], *busy]))
    shown = served[:MOST_SERIES]
    daily = measured.daily(reader, tuple(METRICS), PERIOD, names=BY_VERSION, versions=shown)
    rows = {key: [row for row in daily if (row.model, row.version) == key] for key in shown}
    names = in_service.short_names(shown)
    blocks: list[PageBlock] = [_state(reader)]
    if daily:
        blocks.append(_charts(reader, rows, names))
    long = measured.latest(reader, ("ctr_list",), PERIOD, names=BY_VERSION, versions=shown)
    for key in shown:
        mine = [row for row in long if (row.model, row.version) == key]
        blocks.append(_figures(reader, key, rows[key], mine, is_champion=key in champions))
    if len(served) > len(shown):
        said = f"{len(served) - len(shown):,} more versions answered requests on the newest day"
        blocks.append(Notes(items=[TableCell(f"{said}: see Models", link="/models")]))
    return PageContent(
        answer=_answer(reader, rows, names, in_service.below_baseline(reader, champions)),
        as_of=max((row.computed_at for row in daily), default=None),
        blocks=blocks,
    )


def _answer(
    reader: DashboardReader,
    rows: dict[VersionKey, list[Row[Any]]],
    names: dict[VersionKey, str],
    warning: str,
) -> str:
    sentences = [_sentence(names[key], mine) for key, mine in rows.items()]
    if not rows:
        sentences = ["No model is in service, as far as figures were computed."]
    if warning:
        sentences.append(warning)
    alerts = in_service.open_alerts(reader)
    if alerts:
        sentences.append("1 alert is open." if alerts == 1 else f"{alerts:,} alerts are open.")
    return " ".join(sentences)


def _sentence(name: str, rows: Sequence[Row[Any]]) -> str:
    """Return a version's sentence, such as `als v1 answers 99.8 % itself; 11.2 % of lists are clicked`."""
    own, clicked = (_newest(rows, metric) for metric in ("model_answer_share", "ctr_list"))
    parts = []
    if own is not None:
        parts.append(f"answers {number(own.value, own.unit)} of its requests itself")
    if clicked is not None:
        compared = in_words(clicked, week_before(clicked, rows))
        parts.append(f"{measured.in_words(clicked)} of lists are clicked, {compared}")
    return f"{name} " + "; ".join(parts or ["has no figures yet: they come when its first day is over"]) + "."


def _newest(rows: Sequence[Row[Any]], metric: str) -> Row[Any] | None:
    """Return the newest complete day of a metric that has a figure."""
    found = [row for row in rows if row.metric == metric and row.is_complete and row.value is not None]
    return found[-1] if found else None


def _figures(
    reader: DashboardReader,
    key: VersionKey,
    rows: Sequence[Row[Any]],
    long: Sequence[Row[Any]],
    *,
    is_champion: bool,
) -> Figures:
    """Return the figures of a version, from its daily rows and those over 28 days."""
    figures = [_daily_figure(reader, metric, title, rows) for metric, title in METRICS.items()]
    over_28_days = [
        measured.figure(row, "The same over 28 days", measured.window(reader, row)) for row in long
    ]
    figures[2:2] = over_28_days  # beside those of the newest day
    figures.append(_age(reader, key[1]))
    model, version = key
    return Figures(figures, title=f"{model} {version}{', the champion' if is_champion else ''}")


def _daily_figure(reader: DashboardReader, metric: str, title: str, rows: Sequence[Row[Any]]) -> Figure:
    complete = [row for row in rows if row.metric == metric and row.is_complete]
    if not complete:
        why = "no complete day has a figure"
        return Figure(metric, title, None, "", "Newest day", missing=why, without_value="Not known")
    row = complete[-1]
    compared = in_words(row, week_before(row, rows)) if row.value is not None else ""
    return measured.figure(row, title, measured.window(reader, row), comparison=compared)


def _age(reader: DashboardReader, version: str) -> Figure:
    found = in_service.age(reader, version)
    title = "Age of what it learned"
    if found is None:
        why = "it is not a version of this platform's registry"
        return Figure("", title, None, "days", "Now", missing=why, without_value="Not known")
    # A cutoff is the end of the newest day of events, which may not be over.
    days = max((reader.now - found.trained_until) / measured.DAY, 0.0)
    if found.loss is None:
        cost = "its loss per week is not known: tastemaker learning-curve measures it"
    elif (found.low or 0) <= 0:
        cost = f"a week without training does not measurably cost {found.metric}"
    else:
        ends = span(found.low, found.high, "share")
        cost = f"each week without training costs {number(found.loss, 'share')} of {found.metric} ({ends})"
    until = found.trained_until.astimezone(reader.timezone).date()
    return Figure("", title, round(days, 1), "days", f"Data until {day(until)}", comparison=cost)


def _state(reader: DashboardReader) -> Figures:
    return Figures([_alerts(reader), _data(reader), _jobs(reader)])


def _alerts(reader: DashboardReader) -> Figure:
    number_open = in_service.open_alerts(reader)
    return Figure("", "Open alerts", number_open, "", "Now", as_of=reader.now, link="/alerts", fresh=LIVE)


def _data(reader: DashboardReader) -> Figure:
    found = in_service.newest_data(reader)
    if found is None:
        why = "no events were read yet"
        return Figure("", "Age of the data", None, "days", "Now", missing=why, without_value="No data")
    days = (reader.now.astimezone(reader.timezone).date() - found.day).days
    return Figure(
        "", "Age of the data", days, "days", f"Newest events: {day(found.day)}", as_of=found.checked_at,
        link="/data",
    )  # fmt: skip


def _jobs(reader: DashboardReader) -> Figure:
    found = jobs(reader)
    if not found:
        why = "no job ran yet"
        return Figure(
            "", "Failed jobs", None, "", "Last run of each job", missing=why, without_value="No runs"
        )
    failed = [one.name for one in found if one.has_failed]
    return Figure(
        "", "Failed jobs", len(failed), "", "Last run of each job", n=len(found),
        counted="jobs" if len(found) != 1 else "job", as_of=max(one.ended_at for one in found),
        comparison=", ".join(failed), link="/data",
    )  # fmt: skip


def _charts(
    reader: DashboardReader, rows: dict[VersionKey, list[Row[Any]]], names: dict[VersionKey, str]
) -> Charts:
    days = ChartDays.of(reader, PERIOD)
    return Charts(
        [shared_chart(reader, metric, title, rows, names, days) for metric, title in METRICS.items()],
        title="Day by day",
    )


PAGE = DashboardPage(path="/today", title="Today", question="Does the recommender work today?", load=_load)

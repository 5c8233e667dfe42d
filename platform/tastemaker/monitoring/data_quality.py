"""Quality of the newest ingested days: missing values, ranges, duplicates, labels, columns, and rows a day.

The rows are those that the source gave, before validation. What validation refuses, and why, is in the table
`quarantine` and in the pages of Great Expectations; this report finds what is unlike the days before, also
where no rule is broken.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from tastemaker.data.lake import UNDATED, Lake
from tastemaker.data.lake_files import open_duckdb
from tastemaker.monitoring import data_quality_page, evidently_pages
from tastemaker.monitoring.evidently_pages import SUFFIX
from tastemaker.monitoring.ingested_rows import TABLE, IngestedRows, is_label, is_number
from tastemaker.monitoring.report_archive import PAGE, ReportArchive, ReportSubject

NEWEST_DAYS = 7
EARLIER_DAYS = 28
MIN_EARLIER_DAYS = 7
"""With fewer days before, rows a day are not compared."""
RISE = 0.01
"""A share of missing, repeated or unusual values is a finding if it is so much above the days before."""
FEW_ROWS = 0.5
"""A day with less than this share of the rows of the smallest of the days before is a finding."""


@dataclass(frozen=True)
class DataQualityReport:
    """Report on the newest ingested days: the page, and the summary that is stored in the database."""

    path: Path
    summary: dict[str, Any]


def data_quality_report(
    lake: Lake, engine: Engine, folder: Path, problem: str, *, now: datetime | None = None
) -> DataQualityReport | None:
    """Write the report on the newest ingested days.

    Args:
        lake: The lake with the landed rows.
        engine: The metadata database, which gets the summary.
        folder: The folder of all reports, which gets the pages.
        problem: The problem's name.
        now: The time of the report; None: the current time.

    Returns:
        The report; None if no day has landed rows.
    """
    now = now or datetime.now(UTC)
    days = [day for day in lake.days(TABLE) if day != UNDATED][-(NEWEST_DAYS + EARLIER_DAYS) :]
    if not days:
        return None
    newest, earlier = days[-NEWEST_DAYS:], days[:-NEWEST_DAYS]
    with open_duckdb() as connection:
        rows = IngestedRows(connection, lake, newest, earlier)
        summary = summarize(rows, newest, earlier)
        details = _details(rows, newest, earlier)
    page = data_quality_page.render(f"Data quality: {problem}", summary, now, next(iter(details), None))
    path = ReportArchive(engine, folder).write(
        ReportSubject("data_quality", problem),
        summary,
        {**details, PAGE: page},
        created_at=now,
        window=(_midnight(newest[0]), _midnight(newest[-1]) + timedelta(days=1)),
    )
    return DataQualityReport(path, summary)


def _details(rows: IngestedRows, newest: Sequence[date], earlier: Sequence[date]) -> dict[str, str]:
    """Return file name -> Evidently's page; none without new rows, which Evidently does not summarize."""
    new_rows = rows.sample("newest")
    rows_before = rows.sample("earlier") if earlier else new_rows.slice(0, 0)
    if not len(new_rows):
        return {}
    title = f"Rows of {newest[0]} to {newest[-1]}"
    return {
        f"rows{SUFFIX}": evidently_pages.summary(title, new_rows, rows_before if len(rows_before) else None)
    }


def summarize(rows: IngestedRows, newest: Sequence[date], earlier: Sequence[date]) -> dict[str, Any]:
    """Return the report's summary: the verdict in words, the findings, and the figures behind them.

    Args:
        rows: The rows of both periods.
        newest: The newest days with landed rows, oldest first.
        earlier: The days before, oldest first; there may be none.
    """
    columns = _columns(rows)
    by_day, by_day_before = rows.by_day("newest"), rows.by_day("earlier")
    delivered_before = rows.delivered_before()
    findings = [
        *(said for one in columns for said in _column_findings(one)),
        *(f"the column {name} is gone" for name in rows.earlier_columns if name not in rows.columns),
        *_repeated_findings(by_day, by_day_before, delivered_before),
        *_day_findings(by_day, by_day_before),
    ]
    n = sum(one["rows"] for one in by_day)
    return {
        "verdict": _verdict(findings, n, newest, earlier),
        "findings": findings,
        "rows": n,
        "days": [day.isoformat() for day in newest],
        "earlier_days": [day.isoformat() for day in earlier],
        "columns": columns,
        "by_day": by_day,
        "delivered_before": delivered_before,
    }


def _columns(rows: IngestedRows) -> list[dict[str, Any]]:
    before = rows.figures("earlier")
    found = []
    for name, now in rows.figures("newest").items():
        kind, known = rows.columns[name], name in before
        found.append(
            {
                "column": name,
                "newest": now._asdict(),
                "earlier": before[name]._asdict() if known else None,
                "is_new": bool(before) and not known,
                "outside": rows.outside(name) if known and is_number(kind) else None,
                "new_labels": rows.new_labels(name) if known and is_label(name, kind) else [],
            }
        )
    return found


def _column_findings(one: dict[str, Any]) -> Iterator[str]:
    name, now, before = one["column"], one["newest"], one["earlier"]
    if one["is_new"]:
        yield f"the column {name} is new"
    if before is None:
        return
    if now["missing"] > before["missing"] + RISE:
        yield f"{name}: missing values were {before['missing']:.1%} and are {now['missing']:.1%}"
    if one["outside"] is not None and one["outside"] > RISE:
        yield (
            f"{name}: {one['outside']:.1%} of the values are outside of the range before, "
            f"{before['low']:,.4g} to {before['high']:,.4g}"
        )
    if one["new_labels"]:
        labels = ", ".join(map(repr, one["new_labels"]))
        yield f"{name}: values that the days before do not have, such as {labels}"


def _repeated_findings(
    by_day: Sequence[dict[str, Any]], before: Sequence[dict[str, Any]], delivered_before: int
) -> Iterator[str]:
    now_share, share = _repeated_share(by_day), _repeated_share(before)
    if now_share > share + RISE:
        yield f"rows with the event id of another row of their day were {share:.1%} and are {now_share:.1%}"
    if delivered_before:
        yield f"{delivered_before:,} rows have the event id of a row of an earlier day"


def _repeated_share(days: Sequence[dict[str, Any]]) -> float:
    rows, repeated = (sum(int(one[name]) for one in days) for name in ("rows", "repeated"))
    return repeated / max(rows, 1)


def _day_findings(by_day: Sequence[dict[str, Any]], before: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield sources and days that the newest period lacks, and days with far fewer rows than any before."""
    sources = {one["source"] for one in by_day}
    for source in sorted({one["source"] for one in before} - sources):
        yield f"{source} has no rows, and had some on the days before"
    for source in sorted(sources):
        here = {date.fromisoformat(one["day"]): one["rows"] for one in by_day if one["source"] == source}
        first, last = min(here), max(here)
        absent = [day for at in range((last - first).days) if (day := first + timedelta(days=at)) not in here]
        if absent:
            yield f"{source} has no rows of {', '.join(day.isoformat() for day in absent)}"
        usual = [one["rows"] for one in before if one["source"] == source]
        if len(usual) >= MIN_EARLIER_DAYS:
            few = {day: rows for day, rows in here.items() if rows < FEW_ROWS * min(usual)}
            for day, rows in few.items():
                yield f"{source} has {rows:,} rows of {day}; the days before have at least {min(usual):,}"


def _verdict(findings: Sequence[str], n: int, newest: Sequence[date], earlier: Sequence[date]) -> str:
    period = f"{n:,} rows of {newest[0]} to {newest[-1]}" if newest[1:] else f"{n:,} rows of {newest[0]}"
    if not earlier:
        return f"{period}. It can't be said yet whether something is unusual: there are no days before."
    if not findings:
        return f"Nothing is unusual in the {period}, compared with the {len(earlier)} days before."
    things = "thing is" if len(findings) == 1 else "things are"
    return f"{len(findings)} {things} unusual in the {period}: {'; '.join(findings[:3])}" + (
        f"; and {len(findings) - 3} more." if findings[3:] else "."
    )


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)

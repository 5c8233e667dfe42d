"""Every kind of page, made of awkward names and figures: valid, offline, and readable on a phone."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest

from support.html_pages import faults, faults_in_a_browser
from support.leaderboards import made_up
from tastemaker.evaluation import ranking_report_page
from tastemaker.evaluation.failures import Failure
from tastemaker.evaluation.robustness import ablation_report, report
from tastemaker.evaluation.robustness.ablation import Ablation, Feature
from tastemaker.evaluation.robustness.learning_curve import LearningCurve, Point
from tastemaker.evaluation.robustness.staleness import Staleness, Week
from tastemaker.html import index
from tastemaker.monitoring import data_quality_page, drift_page
from tastemaker.monitoring.drift_columns import ComparedColumn, verdict
from tastemaker.monitoring.drift_distances import ColumnCounts, compare
from tastemaker.monitoring.drift_sides import SIDES
from tastemaker.problem import Guardrail
from tastemaker.stats.bootstrap import Difference, Interval

LONG = "a_model_whose_name_proceeds_" * 3
NAMES = ["popularity", "random", LONG, "一个名字很长的推荐模型" * 4, '<script>alert("x")</script>', "ease"]
TIMESTAMP = datetime(2026, 1, 1, tzinfo=UTC)


def leaderboard(folder: Path) -> Path:
    board = made_up(
        {name: 0.2 + at / 50 for at, name in enumerate(NAMES)},
        name=f"shop <b> & {LONG}",
        guardrails=[Guardrail(metric="coverage", at_least=0.9)],
        ages=["1-5", "6-20", "21-99", "100+", "x" * 80],
    )
    failed = Failure("broken", f"ValueError: {LONG}\n  in <module> of {LONG}", TIMESTAMP)
    board = replace(board, failures=(failed,))
    board.write_html(folder / "leaderboard.html")
    return folder / "leaderboard.html"


def curve(folder: Path) -> Path:
    found = []
    for name in NAMES:
        points = tuple(
            Point(days, Interval(0.2, 0.1, 0.3), None if days == 40 else Difference(0.1, -0.1, 0.2, 90), "b")
            for days in (10, 20, 40)
        )
        weeks = tuple(Week(7 * at, Difference(0.01 * at, 0.0, 0.02 * at, 50), 0.3, 0.2) for at in range(3))
        stale = Staleness(
            "shop", name, {}, "0", "ndcg", TIMESTAMP, Interval(0.2, 0.1, 0.3), Interval(0.01, 0.0, 0.02),
            weeks, TIMESTAMP,
        )  # fmt: skip
        found.append(report.Curves(LearningCurve(name, "ndcg", 10, points), stale))
    report.draw(found, folder / "curve.png")
    report.write_page(found, folder / "curve.png", folder / "curve.html")
    return folder / "curve.html"


def ablation(folder: Path) -> Path:
    lows = (-0.1, 0.001, float("nan"), 0.01, -0.2, 0.0)
    features = tuple(
        Feature(
            name, Interval(0.2, 0.1, 0.3), Difference(0.01 * at, low, 0.1, 90),
            Difference(0.1, 0.05, 0.2, 90), "helps" if low > 0 else "no difference found", "b",
        )
        for at, (name, low) in enumerate(zip(NAMES, lows, strict=True))
    )  # fmt: skip
    found = Ablation(f"shop <b> & {LONG}", LONG, "ndcg", 10, 90, Interval(0.3, 0.2, 0.4), 1.5, features)
    ablation_report.draw(found, folder / "ablation.png")
    ablation_report.write_page(found, folder / "ablation.png", folder / "ablation.html")
    return folder / "ablation.html"


def drift(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    days = np.repeat(np.arange(20), 30)
    today = np.full(50, 20)
    labels = [*NAMES, LONG * 4, None] * 75
    counted = [
        ColumnCounts.of_numbers(rng.normal(1e6, 1e5, 600), days, np.full(50, np.nan), today),
        ColumnCounts.of_numbers(rng.normal(-1e6, 1e5, 600), days, rng.normal(1, 1, 50), today),
        ColumnCounts.of_labels(labels, days, [None] * 50, today),
        ColumnCounts.of_labels(labels, days, [LONG] * 50, today),
    ]
    compared = [
        ComparedColumn(side, LONG, compare(counts, 0.01), counts)
        for side, counts in zip(SIDES, counted, strict=True)
    ]
    summary = {
        "verdict": verdict(compared),
        "requests": 50,
        "days": ["2026-01-01", "2026-01-02"],
        "reference_days": {"users": ["2025-12-01", "2025-12-28"]},
        "columns": [one.as_dict() for one in compared],
    }
    page = folder / "drift #1 & more.html"
    details = "histograms #1.html"
    (folder / details).write_text("<html><head><title>Histograms</title></head><body></body></html>")
    page.write_text(drift_page.render(f"Drift report: {LONG}", summary, TIMESTAMP, {"users": details}))
    assert quote(details) in page.read_text()
    return page


def data_quality(folder: Path) -> Path:
    figures = {"missing": 0.123, "low": -1e12, "high": 1e12}
    columns = [
        {"column": name, "newest": figures, "earlier": None if at else figures, "is_new": bool(at),
         "outside": None if at else 0.5, "new_labels": NAMES[at:]}
        for at, name in enumerate(NAMES)
    ]  # fmt: skip
    summary = {
        "verdict": f"1 thing is unusual in the 9 rows of 2026-01-01: the column {LONG} is new.",
        "findings": [f"the column {name} is new" for name in NAMES],
        "rows": 9,
        "days": ["2026-01-01"],
        "earlier_days": ["2025-12-01", "2025-12-31"],
        "columns": columns,
        "by_day": [{"day": "2026-01-01", "source": LONG, "rows": 10**9, "repeated": 10**8, "missing": 10**9}],
    }
    details = "rows #1.html"
    (folder / details).write_text("<html><head><title>Rows</title></head><body></body></html>")
    page = folder / "data_quality.html"
    page.write_text(data_quality_page.render(f"Data quality: {LONG}", summary, TIMESTAMP, details))
    return page


def ranking(folder: Path) -> Path:
    intervals = [{"value": 0.2, "low": 0.1, "high": 0.3}, {"value": 0.2, "low": None, "high": None}]
    summary = {
        "verdict": "NDCG@10 is 0.2000 (0.1000 to 0.3000); Evidently computes the same of these lists.",
        "k": 10,
        "users": 9_000,
        "users_compared": 5_000,
        "days": ["2026-01-01", "2026-01-31"],
        "metrics": dict(zip(("ndcg", "hit_rate"), intervals, strict=True)),
        "evidently": {"ndcg": 0.2, "hit_rate": 0.2},
    }
    details = "ranking #1.html"
    (folder / details).write_text("<html><head><title>Ranking</title></head><body></body></html>")
    page = folder / "ranking.html"
    title = f"Recommendation quality: {LONG}"
    page.write_text(ranking_report_page.render(title, summary, TIMESTAMP, details))
    return page


def contents(folder: Path) -> Path:
    leaderboard(folder)
    (folder / "other.html").write_text(f"<title>{LONG}</title>")
    return index.rewrite(folder)


KINDS = [leaderboard, curve, ablation, drift, data_quality, ranking, contents]


@pytest.mark.parametrize("make", KINDS, ids=lambda make: make.__name__)
def test_a_page_is_valid_and_says_title_time_rows_and_verdict(make: object, tmp_path: Path) -> None:
    page = make(tmp_path)  # type: ignore[operator]
    assert faults(page) == []


def test_pages_are_read_at_every_width_without_a_request(tmp_path: Path) -> None:
    made = []
    for make in KINDS:
        (tmp_path / make.__name__).mkdir()
        made.append(make(tmp_path / make.__name__))
    assert faults_in_a_browser(made) == {}


def test_the_time_is_when_it_was_made(tmp_path: Path) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    head = index.head_of(leaderboard(tmp_path))
    assert head is not None
    assert before <= head.made_at <= datetime.now(UTC)
    assert head.rows.startswith("400 users evaluated, 2026-04-01 to 2026-04-30")
    assert head.summary.startswith("ease is best")

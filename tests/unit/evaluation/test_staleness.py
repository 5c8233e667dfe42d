"""How fast models go stale, in worlds whose drift is known; and how much history they need."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine

from support.small_lakes import DAY, START
from support.tuning_worlds import (
    AIMS,
    DRIFT_PROBLEM,
    LATEST,
    TEST_DAYS,
    Aims,
    Latest,
    drifting_rows,
    rows,
    world,
)
from tastemaker.errors import TastemakerError
from tastemaker.evaluation import results
from tastemaker.evaluation.robustness import learning_curve, report, staleness
from tastemaker.evaluation.robustness.learning_curve import LearningCurve, Point
from tastemaker.evaluation.robustness.staleness import Days, Staleness, Week
from tastemaker.stats.bootstrap import Difference, Interval
from tastemaker.workflows.workspace import Workspace

pytestmark = pytest.mark.slow

CHANGING = 0.3
WEEKS = 4


@pytest.fixture(scope="module")
def drifting(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, Staleness]:
    opened = world(tmp_path_factory.mktemp("drift"), drifting_rows(CHANGING), DRIFT_PROBLEM)
    return opened, staleness.measure(opened.backtester(LATEST), WEEKS)


def test_known_drift_is_measured(drifting: tuple[Workspace, Staleness]) -> None:
    """A favourite is the same after w weeks with the chance 0.7 to the power w."""
    found = drifting[1]
    kept = 1 - CHANGING
    assert [week.age_days for week in found.weeks] == [0, 7, 14, 21]
    for weeks, week in enumerate(found.weeks):
        assert week.fresh == pytest.approx(kept, abs=0.08)
        assert week.stale == pytest.approx(kept ** (weeks + 1), abs=0.08)
        assert week.loss.difference == pytest.approx(week.fresh - week.stale)
        assert 590 < week.loss.n <= 600  # a favourite that no user ever had is out of reach
    losses = np.array([week.loss.difference for week in found.weeks])
    ages, users = np.arange(WEEKS), np.array([week.loss.n for week in found.weeks])
    slope = (users * ages) @ losses / ((users * ages) @ ages)
    assert found.loss_per_week.value == pytest.approx(slope)
    assert 0.1 < found.loss_per_week.low < found.loss_per_week.value < found.loss_per_week.high < 0.25
    days = found.days_until(0.05)
    assert days.value == pytest.approx(7 * 0.05 * found.fresh.value / losses[1])
    assert days.low is not None
    assert days.high is not None
    assert days.low < (days.value or 0) < days.high < 7


def test_in_a_world_that_stands_still_nothing_is_lost(tmp_path: Path) -> None:
    found = staleness.measure(world(tmp_path, drifting_rows(0.0), DRIFT_PROBLEM).backtester(LATEST), WEEKS)
    assert found.loss_per_week == Interval(0, 0, 0)
    assert found.fresh == Interval(1, 1, 1)
    assert found.days_until() == Days(None, None, None)
    assert report.until(found) == "5 % of its figure not within the 21 days evaluated"


def test_it_is_trained_once_and_again_for_each_week_and_never_twice(tmp_path: Path) -> None:
    opened = world(tmp_path, drifting_rows(CHANGING, users=40), DRIFT_PROBLEM)
    Latest.fits.clear()
    first = staleness.measure(opened.backtester(LATEST), WEEKS)
    monday = START + 2 * 7 * DAY
    assert sorted(Latest.fits) == [monday + week * 7 * DAY for week in range(WEEKS)]
    again = staleness.measure(Workspace(opened.settings).backtester(LATEST), WEEKS)
    assert len(Latest.fits) == WEEKS
    assert again.weeks == first.weeks
    assert again.loss_per_week == first.loss_per_week
    assert results.newest(opened.engine, "drift") == []


def test_a_week_without_users_is_left_out(tmp_path: Path) -> None:
    events = [row for row in drifting_rows(CHANGING, users=40) if row.seconds // (7 * DAY) != 4]
    found = staleness.measure(world(tmp_path, events, DRIFT_PROBLEM).backtester(LATEST), WEEKS)
    assert [week.age_days for week in found.weeks] == [0, 7, 21]


def test_too_few_weeks(tmp_path: Path) -> None:
    opened = world(tmp_path / "short", drifting_rows(CHANGING, users=5), DRIFT_PROBLEM)
    with pytest.raises(TastemakerError, match="6 weeks are to be evaluated, but the events span 42 days"):
        staleness.measure(opened.backtester(LATEST), 6)
    late = [row for row in drifting_rows(CHANGING, users=5) if row.seconds // (7 * DAY) in (0, 5)]
    with pytest.raises(TastemakerError, match="1 of the last 4 weeks have users to evaluate"):
        staleness.measure(world(tmp_path / "gap", late, DRIFT_PROBLEM).backtester(LATEST), 4)


def made_up(problem: str, value: float) -> Staleness:
    alone = Difference(0.1, np.nan, np.nan, 1)
    return Staleness(
        problem=problem,
        model="latest",
        config={"ü": 1},
        data_hash="d",
        metric="ndcg",
        trained_until=datetime(2026, 1, 1, tzinfo=UTC),
        fresh=Interval(0.5, 0.4, 0.6),
        loss_per_week=Interval(value, -0.01, 0.05),
        weeks=(Week(0, alone._replace(difference=0.0), 0.5, 0.5), Week(7, alone, 0.5, 0.4)),
        created_at=datetime(2026, 1, 2, tzinfo=UTC),
    )


def test_what_was_measured_last_is_found(engine: Engine) -> None:
    assert staleness.newest(engine, "shop", "latest") is None
    for one in (made_up("shop", 0.01), made_up("shop", 0.02), made_up("other", 0.03)):
        staleness.put(engine, one)
    found = staleness.newest(engine, "shop", "latest")
    assert found is not None
    assert repr(found) == repr(made_up("shop", 0.02))  # NaN is not equal to itself
    json.dumps(staleness.to_dict(found), allow_nan=False)
    assert found.days_until(0.1) == Days(3.5, None, None)


def test_when_a_loss_is_reached_is_read_off_the_rising_curve() -> None:
    """The means are 0, 0, 1, 3, 2 with intervals of ±1; 3 and 2 become 2.5 each, no later week being less."""
    losses = [Difference(value, value - 1, value + 1, 10) for value in (0.0, 1.0, 3.0, 2.0)]
    weeks = [Week(0, Difference(0.0, 0.0, 0.0, 10), 10.0, 10.0)]
    weeks += [Week(7 * (at + 1), loss, 10.0, 10 - loss.difference) for at, loss in enumerate(losses)]
    found = replace(made_up("shop", 0.5), fresh=Interval(10.0, 9.0, 11.0), weeks=tuple(weeks))
    for share, days in ((0.05, (10.5, 3.5, 14 + 7 * 0.5 / 1.5)), (0.1, (14, 7, 14 + 7 / 1.5))):
        np.testing.assert_allclose(np.array(found.days_until(share), float), days)
    assert found.days_until(0.2).high is None
    assert found.days_until(0.9) == Days(None, None, None)
    assert report.until(found) == "5 % of its figure after 10 days (4 to 16)"


def test_the_learning_curve_is_what_train_days_would_give(tmp_path: Path) -> None:
    opened = world(tmp_path / "curve")
    own = opened.backtest(AIMS)
    Aims.latest.clear()
    found = learning_curve.learning_curve(opened.backtester(AIMS))
    assert [point.days for point in found.points] == [2, 4, 8, 16]
    assert found.points[-1].backtest == own.id
    assert found.points[-1].from_whole is None
    assert len(Aims.latest) == 3
    assert learning_curve.learning_curve(Workspace(opened.settings).backtester(AIMS)) == found
    assert len(Aims.latest) == 3
    assert [one.id for one in results.newest(opened.engine, "tastes")] == [own.id]
    text = opened.settings.problem.read_text().replace(f"{TEST_DAYS}}}", f"{TEST_DAYS}, train_days: 4}}")
    other = world(tmp_path / "other", rows(), text)
    assert other.backtest(AIMS).metrics["ndcg"] == found.points[1].figure


def curve(metric: str, *from_whole: tuple[float, float]) -> LearningCurve:
    """Windows of 10, 20, ... days with these differences from the whole."""
    points = [
        Point(10 * (at + 1), Interval(0, 0, 0), Difference(0, low, high, 9), "id")
        for at, (low, high) in enumerate(from_whole)
    ]
    whole = Point(99, Interval(0, 0, 0), None, "id")
    return LearningCurve("m", metric, 10, (*points, whole))


def test_enough_is_the_shortest_window_that_is_not_shown_to_be_worse() -> None:
    assert curve("ndcg", (-2, -1), (-1, 1), (-1, 1)).enough == 20
    assert curve("ndcg", (-1, 1), (-2, -1), (-1, 1)).enough == 30
    assert curve("ndcg", (1, 2), (1, 2)).enough == 10
    assert curve("ndcg", (-1, 1), (-2, -1)).enough == 99
    assert curve("popularity_bias", (1, 2), (-2, -1)).enough == 20


def test_better_is_the_window_that_gains_most_beyond_chance() -> None:
    def days(metric: str, *from_whole: tuple[float, float]) -> int | None:
        better = curve(metric, *from_whole).better
        return better and better.days

    assert days("ndcg", (-1, 9), (1, 2), (2, 3)) == 30
    assert days("ndcg", (-1, 1), (-3, -2)) is None
    assert days("popularity_bias", (1, 2), (-3, -2)) == 20


def test_the_picture_and_the_page(drifting: tuple[Workspace, Staleness], tmp_path: Path) -> None:
    opened, stale = drifting
    found = [report.Curves(learning_curve.learning_curve(opened.backtester(LATEST)), stale)] * 7
    report.draw(found, tmp_path / "curve.png")
    report.write_page(found, tmp_path / "curve.png", tmp_path / "curve.html")
    page = (tmp_path / "curve.html").read_text("utf-8")
    assert "data:image/png;base64,iVBOR" in page
    assert "http:" not in page
    assert "https:" not in page
    assert "<script" not in page
    assert "latest" in page
    summary = json.loads(json.dumps(report.to_dict(found[0]), allow_nan=False))
    assert summary["staleness"]["observed_days"] == 21
    assert summary["learning"][-1]["days"] == 35

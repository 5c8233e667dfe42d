"""Reward per request of the newest day beside the four weeks before, against sums made by hand."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import select

from support.request_logs import click, request
from tastemaker.data.lake import Lake
from tastemaker.event_log.rows import feedback_rows, request_rows
from tastemaker.monitoring.rewards import store_reward_figures
from tastemaker.problem import EventReward, Objective, ProblemSpec
from tastemaker.storage.engine import open_engine
from tastemaker.storage.tables import reward_figures

DAY = 86_400
NOW = datetime(2026, 3, 31, tzinfo=UTC).timestamp()
"""When the newest event happened: the newest complete day ends a day earlier."""
PROBLEM = ProblemSpec(
    name="clicks", objectives=(Objective(name="clicks", events={"click": EventReward(window_days=7)}),)
)


def make_lake(root: Path, shown: list[tuple[float, list[float]]]) -> Lake:
    """Requests, each by a user of their own, with clicks after so many days.

    Args:
        root: Where.
        shown: Days before NOW, and the delays of the clicks in days.
    """
    requests, clicks = [], []
    for number, (days, delays) in enumerate(shown):
        at = NOW - days * DAY
        asked = request(number, user_id=f"user-{number % 40}", occurred_at=at, model="ease", version="v1")
        requests.append(asked)
        for place, delay in enumerate(delays):
            timestamp = at + delay * DAY
            clicks.append(
                click(
                    f"{number}-{place}",
                    user_id=asked.user_id,
                    request_id=asked.request_id,
                    occurred_at=timestamp,
                    received_at=timestamp,
                )
            )
    lake = Lake(root)
    lake.write("requests", request_rows(requests))
    lake.write("feedback", feedback_rows(clicks))
    return lake


def stored(tmp_path: Path, shown: list[tuple[float, list[float]]]) -> dict[str, dict[str, object]]:
    engine = open_engine(f"sqlite:///{tmp_path / 'database'}")
    returned = store_reward_figures(make_lake(tmp_path / "lake", shown), PROBLEM, engine)
    with engine.connect() as connection:
        rows = connection.execute(select(reward_figures)).mappings().all()
    engine.dispose()
    assert len(rows) == len(returned)
    return {row["period"]: dict(row) for row in rows}


def test_both_periods_count_the_first_day_after_a_request_alone(tmp_path: Path) -> None:
    """Each request has a click after half a day. Those of earlier days have had time for three more."""
    newest = [(1.0 + (number + 1) / 100, [0.5]) for number in range(50)]
    before = [(4 + number / 2, [0.5, 1.5, 2.5, 3.5]) for number in range(40)]
    found = stored(tmp_path, [(0.5, [0.5]), *newest, *before])
    assert (found["1d"]["requests"], found["1d"]["value"]) == (50, 1.0)
    assert (found["28d"]["requests"], found["28d"]["value"]) == (40, 1.0)
    ends = {name: (row["period_start"], row["period_end"]) for name, row in found.items()}
    assert ends == {
        "1d": (datetime.fromtimestamp(NOW - 2 * DAY, UTC), datetime.fromtimestamp(NOW - DAY, UTC)),
        "28d": (datetime.fromtimestamp(NOW - 30 * DAY, UTC), datetime.fromtimestamp(NOW - 2 * DAY, UTC)),
    }


def test_a_day_of_worse_lists_lies_below_with_its_whole_interval(tmp_path: Path) -> None:
    newest = [(1.0 + (n + 1) / 100, [0.1] if n % 4 == 0 else []) for n in range(80)]
    before = [(2.5 + n / 40, [0.1] if n % 4 else []) for n in range(400)]
    found = stored(tmp_path, [(0.5, [0.5]), *newest, *before])
    day, reference = found["1d"], found["28d"]
    assert (day["value"], reference["value"]) == (0.25, 0.75)
    assert isinstance(day["high"], float)
    assert isinstance(reference["value"], float)
    assert day["high"] < 0.8 * reference["value"]


def test_without_rewards_there_are_no_figures(tmp_path: Path) -> None:
    assert stored(tmp_path, [(1.5, []), (2.5, [])]) == {}


@pytest.mark.parametrize("users", [1, 19])
def test_few_users_have_no_interval(tmp_path: Path, users: int) -> None:
    found = stored(tmp_path, [(0.5, [0.5]), *((1.5, [0.1]) for _ in range(users))])
    assert (found["1d"]["value"], found["1d"]["low"], found["1d"]["high"]) == (1.0, None, None)

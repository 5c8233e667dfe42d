"""Leaderboards of made-up figures, as many models and as like each other as a test wants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np

from tastemaker.evaluation.leaderboard.leaderboard import Leaderboard
from tastemaker.evaluation.metrics import METRICS
from tastemaker.evaluation.results import Backtest, UserResults
from tastemaker.problem import Guardrail, ProblemSpec
from tastemaker.stats.bootstrap import Interval, resampled_means

START = datetime(2026, 1, 1, tzinfo=UTC)


def made_up(
    means: Mapping[str, float],
    *,
    users: int = 400,
    name: str = "shop",
    guardrails: Sequence[Guardrail] = (),
    ages: Sequence[str] = (),
) -> Leaderboard:
    """Models with these mean figures in every metric, each over the same users, apart by a little noise.

    `ages`: slices of the users, dealt out in turn.
    """
    rng = np.random.default_rng(0)
    taste = rng.uniform(0, 0.2, users)
    problem = ProblemSpec.model_validate(
        {
            "name": name,
            "placement": {"k": 10},
            "objectives": [{"name": "sales", "events": {"purchase": {}}}],
            "guardrails": [one.model_dump() for one in guardrails],
        }
    )
    keys = np.arange(users, dtype=np.uint64)
    slices = {"age": np.array([ages[at % len(ages)] for at in range(users)])} if ages else {}
    backtests, results = [], []
    for model, mean in means.items():
        figures = mean + taste + rng.normal(0, 0.05, users)
        values = dict.fromkeys(METRICS, figures)
        interval = Interval.of(figures.mean(), resampled_means(figures[:, None])[:, 0], figures)
        results.append(UserResults(10, keys, values, slices))
        backtests.append(
            Backtest(
                f"backtest of {model}", problem.name, model, {}, "0" * 64, START, START + timedelta(days=90),
                START + timedelta(days=120), dict.fromkeys(METRICS, interval), "", users, 1.0, 1.0, 1000,
                START,
            )
        )  # fmt: skip
    return Leaderboard.of(problem, backtests, results)

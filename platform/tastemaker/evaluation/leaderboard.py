"""All models of a problem side by side, and what can be said of their order.

Two models differ if the 95 % interval of their paired difference over users leaves 0 out. A model's rank is
one more than the number of models that are better than it by that measure, so models that do not differ from
the best share its rank. Rendering is in `page` (HTML), `plot` (PNG) and the command `tastemaker leaderboard`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Engine

from tastemaker.errors import ArtifactError, TastemakerError
from tastemaker.evaluation import results
from tastemaker.evaluation.bootstrap import LEVEL, Difference, Interval, resampled_means
from tastemaker.evaluation.metrics import METRICS
from tastemaker.evaluation.results import Backtest, UserResults
from tastemaker.problem import ProblemSpec

Float64 = NDArray[np.float64]
Mark = Literal["the one to beat", "beats", "tied", "worse", "not compared"]


class Breach(NamedTuple):
    """A guardrail that a model's figure is on the wrong side of."""

    metric: str
    value: float
    limit: float
    side: Literal["at least", "at most"]


@dataclass(frozen=True)
class Row:
    """One model."""

    rank: int
    """1 for the best and all that do not differ from it."""
    backtest: Backtest
    difference: Difference | None
    """From the one to beat, in the leaderboard's metric; None for itself, and where it was not judged."""
    mark: Mark
    """Better than the one to beat, worse, or no difference that the users judged could show."""
    breaches: tuple[Breach, ...]

    @property
    def model(self) -> str:
        """The model's name."""
        return self.backtest.model


@dataclass(frozen=True)
class Leaderboard:
    """Every model's newest backtest on the data that the problem was last judged on, best first."""

    problem: ProblemSpec
    metric: str
    """What the rows are ordered by: the problem's primary metric unless another was asked for."""
    k: int
    """The length of the judged lists."""
    rows: tuple[Row, ...]

    @classmethod
    def load(
        cls, engine: Engine, problem: ProblemSpec, artifacts: Path, *, metric: str | None = None
    ) -> Leaderboard:
        """Read the backtests and compare them. Raises TastemakerError if there are none."""
        metric = problem.metric if metric is None else metric
        backtests = results.newest(engine, problem.name)
        if not backtests:
            raise _nothing_judged(engine, problem)
        users = [results.load_users(artifacts, backtest) for backtest in backtests]
        _check_same_users(backtests, users)
        means, resampled = _means(users, metric)
        ranks = _ranks(resampled, larger_is_better=METRICS[metric].larger_is_better)
        rows = []
        for column, backtest in enumerate(backtests):
            difference = _from_one_to_beat(backtests, column, problem.to_beat, means, resampled)
            mark = _mark(backtest.model, difference, problem.to_beat, metric)
            rows.append(Row(int(ranks[column]), backtest, difference, mark, _breaches(backtest, problem)))
        sign = -1 if METRICS[metric].larger_is_better else 1
        rows.sort(key=lambda row: (row.rank, sign * row.backtest.metrics[metric].value, row.model))
        return cls(problem, metric, users[0].k, tuple(rows))

    @property
    def users(self) -> int:
        """Users judged."""
        return self.rows[0].backtest.users

    @property
    def window(self) -> tuple[datetime, datetime, datetime]:
        """Training's start, the cut, and the test period's end."""
        first = self.rows[0].backtest
        return first.train_start, first.train_end, first.test_end

    def to_dict(self) -> dict[str, Any]:
        """Everything, in types that JSON has; times are ISO 8601 in UTC."""
        start, cut, end = self.window
        return {
            "problem": self.problem.name,
            "metric": self.metric,
            "k": self.k,
            "to_beat": self.problem.to_beat,
            "level": LEVEL,
            "users": self.users,
            "train_start": start.isoformat(),
            "train_end": cut.isoformat(),
            "test_end": end.isoformat(),
            "data_hash": self.rows[0].backtest.data_hash,
            "rows": [_row_dict(row) for row in self.rows],
        }

    def to_json(self) -> str:
        """`to_dict` as text."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)

    def to_html(self) -> str:
        """A page that needs nothing from the network."""
        from tastemaker.evaluation.page import render

        return render(self)

    def plot(self, path: Path) -> None:
        """Write a PNG: each model's interval, and its difference from the one to beat."""
        from tastemaker.evaluation.plot import draw

        draw(self, path)


def _nothing_judged(engine: Engine, problem: ProblemSpec) -> TastemakerError:
    others = ", ".join(results.problems(engine)) or "none"
    return TastemakerError(
        f"no model was judged on the problem {problem.name!r} yet; problems with results: {others}",
        fix="run `tastemaker run`, or name the other problem's file with --problem",
    )


def _check_same_users(backtests: list[Backtest], users: list[UserResults]) -> None:
    for backtest, results_of_one in zip(backtests, users, strict=True):
        if not np.array_equal(results_of_one.user_keys, users[0].user_keys):
            raise ArtifactError(
                f"{backtest.model} and {backtests[0].model} were judged on different users of the same data",
                fix="judge the models again: `tastemaker run`",
            )


def _means(users: list[UserResults], metric: str) -> tuple[Float64, Float64]:
    """float64[models] and float64[resamples, models]: all models see the same resamples of the users."""
    columns = np.column_stack([one.values[metric] for one in users])
    return columns.mean(axis=0), resampled_means(columns)


def _ranks(resampled: Float64, *, larger_is_better: bool) -> NDArray[np.int64]:
    ahead = resampled if larger_is_better else -resampled
    tail = (1 - LEVEL) / 2
    better_than = [
        (np.quantile(ahead - ahead[:, [column]], tail, axis=0) > 0).sum() for column in range(ahead.shape[1])
    ]
    return 1 + np.array(better_than, np.int64)


def _from_one_to_beat(
    backtests: list[Backtest], column: int, to_beat: str, means: Float64, resampled: Float64
) -> Difference | None:
    other = next((at for at, backtest in enumerate(backtests) if backtest.model == to_beat), None)
    if other is None or other == column:
        return None
    interval = Interval.of(means[column] - means[other], resampled[:, column] - resampled[:, other])
    return Difference(*interval, n=backtests[column].users)


def _mark(model: str, difference: Difference | None, to_beat: str, metric: str) -> Mark:
    if model == to_beat:
        return "the one to beat"
    if difference is None:
        return "not compared"
    above, below = difference.low > 0, difference.high < 0
    if not METRICS[metric].larger_is_better:
        above, below = below, above
    return "beats" if above else "worse" if below else "tied"


def _breaches(backtest: Backtest, problem: ProblemSpec) -> tuple[Breach, ...]:
    found = []
    for guardrail in problem.guardrails:
        value = backtest.metrics[guardrail.metric].value
        if guardrail.at_least is not None and value < guardrail.at_least:
            found.append(Breach(guardrail.metric, value, guardrail.at_least, "at least"))
        if guardrail.at_most is not None and value > guardrail.at_most:
            found.append(Breach(guardrail.metric, value, guardrail.at_most, "at most"))
    return tuple(found)


def _row_dict(row: Row) -> dict[str, Any]:
    backtest = row.backtest
    return {
        "rank": row.rank,
        "model": row.model,
        "mark": row.mark,
        "metrics": {name: _finite(interval) for name, interval in backtest.metrics.items()},
        "difference": None if row.difference is None else _finite(row.difference),
        "breaches": [breach._asdict() for breach in row.breaches],
        "train_seconds": backtest.train_seconds,
        "score_seconds": backtest.score_seconds,
        "artifact_bytes": backtest.artifact_bytes,
        "backtest": backtest.id,
        "config": backtest.config,
        "created_at": backtest.created_at.isoformat(),
    }


def _finite(figures: Interval | Difference) -> dict[str, float | None]:
    return {name: value if np.isfinite(value) else None for name, value in figures._asdict().items()}

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
from tastemaker.evaluation.bootstrap import LEVEL, Difference, Interval, intervals
from tastemaker.evaluation.metrics import METRICS
from tastemaker.evaluation.results import Backtest, UserResults
from tastemaker.files import appearing
from tastemaker.problem import ProblemSpec

Float64 = NDArray[np.float64]
Mark = Literal["the one to beat", "beats", "tied", "worse", "not compared"]


class Breach(NamedTuple):
    """A guardrail that a model's figure is on the wrong side of."""

    metric: str
    value: float
    limit: float
    side: Literal["at least", "at most"]


@dataclass(frozen=True, eq=False)
class Pairs:
    """Every model against every other, all on the same resamples of the users."""

    value: Float64
    """float64[m, m]: the mean of row model - column model."""
    low: Float64
    high: Float64
    better: NDArray[np.bool_]
    """bool[m, m]: the row model is better than the column model beyond chance."""
    n: int
    """Users."""

    @classmethod
    def of(cls, columns: Float64, metric: str) -> Pairs:
        """`columns` is float64[n, m], one column a model."""
        n, m = columns.shape
        value, low, high = (np.zeros((m, m)) for _ in range(3))
        above, below = np.triu_indices(m, 1)
        for i, j, found in zip(above, below, intervals(columns[:, above] - columns[:, below]), strict=True):
            value[i, j], low[i, j], high[i, j] = found
            value[j, i], low[j, i], high[j, i] = -found.value, -found.high, -found.low
        return cls(value, low, high, low > 0 if METRICS[metric].larger_is_better else high < 0, n)

    def difference(self, one: int, other: int) -> Difference:
        """What model `one` has more than model `other`."""
        at = one, other
        return Difference(float(self.value[at]), float(self.low[at]), float(self.high[at]), self.n)


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
        pairs = Pairs.of(np.column_stack([one.values[metric] for one in users]), metric)
        models = [backtest.model for backtest in backtests]
        reference = models.index(problem.to_beat) if problem.to_beat in models else None
        rows = []
        for at, backtest in enumerate(backtests):
            rows.append(
                Row(
                    rank=1 + int(pairs.better[:, at].sum()),
                    backtest=backtest,
                    difference=None if reference in (None, at) else pairs.difference(at, reference),
                    mark=_mark(pairs, at, reference),
                    breaches=_breaches(backtest, problem),
                )
            )
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

    def write_html(self, path: Path) -> None:
        """Write `to_html`, whole or not at all."""
        with appearing(path) as partial:
            partial.write_text(self.to_html(), "utf-8")

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


def _mark(pairs: Pairs, at: int, reference: int | None) -> Mark:
    if reference is None:
        return "not compared"
    if at == reference:
        return "the one to beat"
    if pairs.better[at, reference]:
        return "beats"
    return "worse" if pairs.better[reference, at] else "tied"


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

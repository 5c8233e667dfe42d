"""Leaderboard: all models of a problem with their intervals, verdicts and ranks.

`pairwise` decides for all models at once which differ significantly. The best is the model with the best
figure; the others are tied with it or worse. A model has a range of ranks, and models that do not differ
share ranks. Rendering is in `html`, `png` and `terminal`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from sqlalchemy import Engine

from tastemaker.errors import ArtifactError, TastemakerError
from tastemaker.evaluation import failures, results, seeds
from tastemaker.evaluation.failures import Failure
from tastemaker.evaluation.leaderboard.breaches import Breach, overall_breaches, slice_breaches
from tastemaker.evaluation.leaderboard.pairwise import Pairs, Ranks
from tastemaker.evaluation.metrics import METRICS
from tastemaker.evaluation.promotion_candidates import are_candidates, are_others
from tastemaker.evaluation.results import Backtest, UserResults
from tastemaker.evaluation.seeds import SeedSpread
from tastemaker.evaluation.slices import Slice, compare_slices
from tastemaker.evaluation.verdicts import Standing, Verdict
from tastemaker.problem import ProblemSpec
from tastemaker.stats.bootstrap import LEVEL, Difference, Interval
from tastemaker.stats.significance import ALPHA
from tastemaker.util.atomic_files import atomic_write

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class LeaderboardRow:
    """One model of a leaderboard."""

    ranks: Ranks
    standing: Standing
    """Best figure, no significant difference from the best, or significantly worse."""
    backtest: Backtest
    difference: Difference | None
    """From the baseline, in the leaderboard's metric; None for the baseline, and where it has no backtest."""
    p: float | None
    """p-value of that difference: the larger of the two tests', corrected for all pairs of candidates."""
    from_best: Difference | None
    """From the best; None for the best."""
    p_best: float | None
    verdict: Verdict
    """Better than the baseline, worse, or tied: no significant difference."""
    better_than: tuple[str, ...]
    """The models that it is significantly better than."""
    breaches: tuple[Breach, ...]
    seeds: SeedSpread | None = None
    """The spread over seeds, if it was measured."""

    @property
    def model(self) -> str:
        """The model's name."""
        return self.backtest.model


@dataclass(frozen=True, repr=False)
class Leaderboard:
    """Comparison of every model's newest backtest on the data that was last evaluated, best first."""

    problem: ProblemSpec
    metric: str
    """The metric that orders the rows: the problem's primary metric unless another was requested."""
    k: int
    """The length of the evaluated lists."""
    rows: tuple[LeaderboardRow, ...]
    """One row per model, the best figure first."""
    pairs: Pairs
    models: tuple[str, ...]
    """The models in the order of `pairs`."""
    slices: tuple[Slice, ...]
    """Figures within parts of the users and items, with the models in the order of `rows`."""
    unchecked_guardrails: tuple[str, ...]
    """Guardrails that can't be checked: no evaluated user, or every one, is in the slice."""
    failures: tuple[Failure, ...] = ()
    """The models whose last backtest failed, by name."""

    @classmethod
    def load(
        cls,
        engine: Engine,
        problem: ProblemSpec,
        artifacts: Path,
        *,
        metric: str | None = None,
        takes_part: Callable[[str], bool] = lambda model: True,
    ) -> Leaderboard:
        """Read each model's newest backtest, and compare them.

        Args:
            engine: Of the metadata database.
            problem: The problem, whose newest backtests are read.
            artifacts: The folder of the users' metrics.
            metric: The metric to order by; None for the problem's.
            takes_part: Returns whether a model is included, by its name.

        Returns:
            The leaderboard, with the spread over seeds where it was measured, and the models that failed.

        Raises:
            TastemakerError: There is no backtest; the message names the models that failed.
            ArtifactError: The users' metrics are missing, or models were evaluated on different users.
        """
        backtests = [one for one in results.newest(engine, problem.name) if takes_part(one.model)]
        failed = tuple(one for one in failures.load(engine, problem.name) if takes_part(one.model))
        if not backtests:
            raise _no_backtests(engine, problem, failed)
        users = [results.load_users(artifacts, backtest) for backtest in backtests]
        spreads = seeds.load(engine, [backtest.id for backtest in backtests])
        board = cls.of(problem, backtests, users, metric=metric)
        rows = tuple(replace(row, seeds=spreads.get(row.backtest.id)) for row in board.rows)
        return replace(board, rows=rows, failures=failed)

    @classmethod
    def of(
        cls,
        problem: ProblemSpec,
        backtests: list[Backtest],
        users: list[UserResults],
        *,
        metric: str | None = None,
    ) -> Leaderboard:
        """Compare models, one backtest each.

        Args:
            problem: Gives the baseline, the primary metric and the guardrails.
            backtests: One backtest per model.
            users: The users' metrics of each backtest, in the same order.
            metric: The metric to order by; None for the problem's.

        Returns:
            The leaderboard, without spreads over seeds and without failures.

        Raises:
            ArtifactError: The models were evaluated on different users.
        """
        metric = problem.metric if metric is None else metric
        _check_same_users(backtests, users)
        models = [backtest.model for backtest in backtests]
        columns = np.column_stack([one.values[metric] for one in users])
        pairs = Pairs.of(columns, metric, others=are_others(models, problem.baseline))
        figures = np.array([backtest.metrics[metric].value for backtest in backtests])
        order = np.argsort(-figures if METRICS[metric].larger_is_better else figures, kind="stable")
        places = _Places(pairs, models, int(order[0]), _place(models, problem.baseline))
        slices = _slices(users, models, problem, metric)
        guarded = slices if metric == problem.metric else _slices(users, models, problem, problem.metric)
        rows = tuple(_row(places, at, backtests[at], problem, guarded) for at in order.tolist())
        ordered = tuple(replace(one, rows=tuple(one.rows[at] for at in order)) for one in slices)
        known = {name for one in guarded for name in (one.name, one.dimension)}
        unchecked_guardrails = tuple(key for key in problem.slices.max_loss if key not in known)
        return cls(problem, metric, users[0].k, rows, pairs, tuple(models), ordered, unchecked_guardrails)

    @property
    def users(self) -> int:
        """Number of users evaluated."""
        return self.rows[0].backtest.users

    @property
    def candidates(self) -> tuple[str, ...]:
        """The models that may be promoted; the p-values of their comparisons are corrected together."""
        kept = are_candidates(self.models, self.problem.baseline)
        return tuple(model for model, one in zip(self.models, kept, strict=True) if one)

    @property
    def window(self) -> tuple[datetime, datetime, datetime]:
        """The start of training, the cutoff, and the end of the test period."""
        first = self.rows[0].backtest
        return first.train_start, first.train_end, first.test_end

    def to_dict(self) -> dict[str, Any]:
        """Return the leaderboard in types that JSON has; times are ISO 8601 in UTC."""
        start, cut, end = self.window
        return {
            "problem": self.problem.name,
            "metric": self.metric,
            "k": self.k,
            "baseline": self.problem.baseline,
            "level": LEVEL,
            "alpha": ALPHA,
            "correction": "holm",
            "candidates": list(self.candidates),
            "users": self.users,
            "train_start": start.isoformat(),
            "train_end": cut.isoformat(),
            "test_end": end.isoformat(),
            "data_hash": self.rows[0].backtest.data_hash,
            "rows": [_row_dict(row, self.metric) for row in self.rows],
            "comparisons": self.comparisons(),
            "slices": [_slice_dict(one) for one in self.slices],
            "failed": [one._asdict() | {"at": one.at.isoformat()} for one in self.failures],
        }

    def comparisons(self) -> list[dict[str, Any]]:
        """Return every pair of models, the better figure first: its paired difference and both tests."""
        return [
            {
                "model": self.models[one],
                "other": self.models[other],
                **_finite(self.pairs.difference(one, other)),
                "p_permutation": float(self.pairs.p_permutation[one, other]),
                "p_bootstrap": float(self.pairs.p_bootstrap[one, other]),
                "p": float(self.pairs.p[one, other]),
                "significant": bool(self.pairs.better[one, other]),
            }
            for one, other in self.ordered_pairs()
        ]

    def ordered_pairs(self) -> list[tuple[int, int]]:
        """Return the places in `models` of every pair, the better figure first."""
        return list(combinations([self.models.index(row.model) for row in self.rows], 2))

    def to_json(self) -> str:
        """Return `to_dict` as JSON text."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)

    def to_html(self) -> str:
        """Return an HTML page that needs nothing from the network."""
        from tastemaker.evaluation.leaderboard.html import render

        return render(self)

    def write_html(self, path: Path) -> None:
        """Write `to_html` to a file, atomically."""
        with atomic_write(path) as partial:
            partial.write_text(self.to_html(), "utf-8")

    def plot(self, path: Path | None = None) -> Figure:
        """Plot each model's interval, and its difference from the baseline.

        Args:
            path: Where to write the plot as a PNG; None to write no file.
        """
        from tastemaker.evaluation.leaderboard.png import figure, png

        drawn = figure(self)
        if path is not None:
            with atomic_write(path) as partial:
                partial.write_bytes(png(drawn))
        return drawn

    def __repr__(self) -> str:
        from tastemaker.evaluation.leaderboard.terminal import as_text

        return as_text(self)

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        from tastemaker.evaluation.leaderboard.html import fragment

        return fragment(self)


def _no_backtests(engine: Engine, problem: ProblemSpec, failed: tuple[Failure, ...]) -> TastemakerError:
    if failed:
        return TastemakerError(
            "\n    ".join(
                [
                    f"no model could be evaluated on the problem {problem.name!r}:",
                    *(f"{one.model}: {one.reason}" for one in failed),
                ]
            ),
            fix="correct the cause and run again: `tastemaker run`",
        )
    others = ", ".join(results.problems(engine)) or "none"
    return TastemakerError(
        f"no model has been evaluated on the problem {problem.name!r}; problems with results: {others}",
        fix="run `tastemaker run`, or name the other problem's file with --problem",
    )


def _check_same_users(backtests: list[Backtest], users: list[UserResults]) -> None:
    for backtest, results_of_one in zip(backtests, users, strict=True):
        if not np.array_equal(results_of_one.user_keys, users[0].user_keys):
            raise ArtifactError(
                f"{backtest.model} and {backtests[0].model} were evaluated on different users "
                "of the same data",
                fix="evaluate the models again: `tastemaker run`",
            )


class _Places(NamedTuple):
    """Places of the models among the pairs."""

    pairs: Pairs
    models: list[str]
    best: int
    reference: int | None
    """The place of the baseline, if it was evaluated."""


def _place(models: list[str], model: str) -> int | None:
    return models.index(model) if model in models else None


def _slices(
    users: list[UserResults], models: list[str], problem: ProblemSpec, metric: str
) -> tuple[Slice, ...]:
    return compare_slices(users, models, problem.baseline, metric, problem.slices.max_loss)


def _row(
    places: _Places, at: int, backtest: Backtest, problem: ProblemSpec, guarded: tuple[Slice, ...]
) -> LeaderboardRow:
    pairs, models, best, reference = places
    rival = None if at == reference else reference
    return LeaderboardRow(
        ranks=pairs.ranks(at),
        standing=_standing(pairs, at, best),
        backtest=backtest,
        difference=None if rival is None else pairs.difference(at, rival),
        p=None if rival is None else float(pairs.p[at, rival]),
        from_best=None if at == best else pairs.difference(at, best),
        p_best=None if at == best else float(pairs.p[at, best]),
        verdict=_verdict(pairs, at, reference),
        better_than=tuple(models[other] for other in np.flatnonzero(pairs.better[at])),
        breaches=(*overall_breaches(backtest, problem), *slice_breaches(at, guarded, problem)),
    )


def _standing(pairs: Pairs, at: int, best: int) -> Standing:
    if at == best or pairs.value[at, best] == 0:
        return "best"
    return "worse" if pairs.better[best, at] else "tied with the best"


def _verdict(pairs: Pairs, at: int, reference: int | None) -> Verdict:
    if reference is None:
        return "not compared"
    if at == reference:
        return "baseline"
    if pairs.better[at, reference]:
        return "better"
    return "worse" if pairs.better[reference, at] else "tied"


def _slice_dict(one: Slice) -> dict[str, Any]:
    return {
        "slice": one.name,
        "users": one.users,
        "rows": [
            {
                "model": row.model,
                **_finite(row.figure),
                "difference": None if row.difference is None else _finite(row.difference),
                "p": row.p,
                "verdict": row.verdict,
            }
            for row in one.rows
        ],
    }


def _row_dict(row: LeaderboardRow, metric: str) -> dict[str, Any]:
    backtest = row.backtest
    return {
        "ranks": list(row.ranks),
        "model": row.model,
        "standing": row.standing,
        "verdict": row.verdict,
        "metrics": {name: _finite(interval) for name, interval in backtest.metrics.items()},
        "difference": None if row.difference is None else _finite(row.difference),
        "p": row.p,
        "difference_from_best": None if row.from_best is None else _finite(row.from_best),
        "p_best": row.p_best,
        "better_than": list(row.better_than),
        "breaches": [breach._asdict() for breach in row.breaches],
        "seeds": row.seeds and seeds.to_dict(row.seeds, metric, backtest.metrics[metric]),
        "train_seconds": backtest.train_seconds,
        "score_seconds": backtest.score_seconds,
        "artifact_bytes": backtest.artifact_bytes,
        "backtest": backtest.id,
        "config": backtest.config,
        "created_at": backtest.created_at.isoformat(),
    }


def _finite(figures: Interval | Difference) -> dict[str, float | str | None]:
    """Return the fields with null for a value that is not finite, and the reason why there is no interval."""
    found: dict[str, float | str | None] = {
        name: value if np.isfinite(value) else None for name, value in figures._asdict().items()
    }
    if found["low"] is None:
        found["no_interval"] = figures.why_none()
    return found

"""`evaluate` and `compare`: the metrics of a model in the test period, and comparisons of models."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from operator import itemgetter
from pathlib import Path
from typing import Any
from uuid import uuid4

from tastemaker.errors import PluginError, TastemakerError
from tastemaker.evaluation import backtest
from tastemaker.evaluation.evaluator import require_metrics
from tastemaker.evaluation.leaderboard import formatting
from tastemaker.evaluation.leaderboard.leaderboard import Leaderboard
from tastemaker.evaluation.results import Backtest, UserResults
from tastemaker.notebook.display import Displayable
from tastemaker.notebook.fit import SESSION, FittedModel, SplitParts, expect, fit


@dataclass(frozen=True, eq=False, repr=False)
class Evaluation(Displayable):
    """Metrics of one model, with 95 % intervals by bootstrap over users."""

    fitted: FittedModel
    backtest: Backtest
    users: UserResults

    @property
    def title(self) -> str:
        return f"{self.fitted.name}, evaluated on {self.backtest.users:,} users"

    def facts(self) -> dict[str, str]:
        figures = {
            formatting.title(
                name, self.users.k
            ): f"{formatting.number(found.value)}  ({formatting.span(found)})"
            for name, found in self.backtest.metrics.items()
        }
        return {**figures, "scoring took": formatting.seconds(self.backtest.score_seconds)}

    def __getitem__(self, metric: str) -> float:
        """Return a metric's figure, the mean over users."""
        require_metrics([metric])
        return self.backtest.metrics[metric].value


def evaluate(fitted: FittedModel) -> Evaluation:
    """Evaluate a model on the test period of the split that it was fitted on.

    Args:
        fitted: What `fit` returned.

    Returns:
        Every metric with its 95 % interval.

    Raises:
        TastemakerError: The argument is of another type, or the test period has no user to evaluate.
        PluginError: The model fails, or returns a list that can't be scored.
    """
    expect(fitted, FittedModel, "evaluate", "fit")
    parts = fitted.parts
    with tempfile.TemporaryDirectory(prefix="tastemaker-") as scratch:
        found, users = backtest.measure(
            _identity(fitted), fitted.fit, parts.split, parts.problem, Path(scratch)
        )
    return Evaluation(fitted, found, users)


def _identity(fitted: FittedModel) -> str:
    """Return the id that production gives to the backtest of this problem, model, config, data and code."""
    fit = fitted.fit
    if fit.plugin.distribution == SESSION:
        return uuid4().hex  # the code of a class in a cell is in no file
    return backtest.identify(fit.plugin, fit.config, fit.split, fitted.parts.problem)


def compare(*models: FittedModel | Evaluation, metric: str | None = None) -> Leaderboard:
    """Return the leaderboard of models, with significance tests corrected for all pairs.

    The problem's baseline is added with its default hyperparameters, if it is installed and not among the
    models. Several configs of one model are named by the hyperparameters in which they differ.

    Args:
        models: What `fit` or `evaluate` returned, all on the same split.
        metric: The metric to order by; None for the problem's.

    Raises:
        TastemakerError: No model is given, the splits differ, or two models have the same name and config.
    """
    require_metrics([] if metric is None else [metric])
    evaluated = [one if isinstance(one, Evaluation) else evaluate(one) for one in models]
    if not evaluated:
        raise TastemakerError(
            "compare needs at least one model", fix="pass what `fit` returned: compare(a, b)"
        )
    parts = _same_parts(evaluated)
    if parts.problem.baseline not in {one.fitted.name for one in evaluated}:
        evaluated += _baseline(parts)
    named = sorted(zip(_names(evaluated), evaluated, strict=True), key=itemgetter(0))
    backtests = [replace(one.backtest, model=name) for name, one in named]
    return Leaderboard.of(parts.problem, backtests, [one.users for _, one in named], metric=metric)


def _same_parts(evaluated: list[Evaluation]) -> SplitParts:
    """Return the common split. Raises TastemakerError if two models have different splits."""
    first, *others = [one.fitted for one in evaluated]
    for other in others:
        if _place(other.parts) != _place(first.parts):
            raise TastemakerError(
                f"{other.name} and {first.name} were fitted on different splits",
                fix="fit all models on the result of the same call of split",
            )
    return first.parts


def _place(parts: SplitParts) -> tuple[Any, ...]:
    return parts.problem, parts.split.data_hash, parts.split.start, parts.split.cut


def _baseline(parts: SplitParts) -> list[Evaluation]:
    try:
        return [evaluate(fit(parts.problem.baseline, parts))]
    except PluginError:
        return []  # it is not installed; the leaderboard says that nothing is compared with it


def _names(evaluated: list[Evaluation]) -> list[str]:
    """Return the models' names; repeated ones with the hyperparameters in which they differ."""
    names = [one.fitted.name for one in evaluated]
    configs = [one.backtest.config for one in evaluated]
    labels = []
    for name, config in zip(names, configs, strict=True):
        others = [other for one, other in zip(names, configs, strict=True) if one == name]
        own = [
            f"{field}={value}"
            for field, value in config.items()
            if any(other.get(field) != value for other in others)
        ]
        labels.append(" ".join([name, *own]))
    twice = sorted({name for name in labels if labels.count(name) > 1})
    if twice:
        raise TastemakerError(
            f"{', '.join(twice)} is given twice with the same hyperparameters",
            fix="give the classes different names, or leave one out",
        )
    return labels

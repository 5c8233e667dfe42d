"""Feature ablation: what each feature of a model contributes, and what it costs per request.

    gain_f   the figure of the model with all features minus that of the model fitted without f, per user
    cost_f   CPU time of one request to the one minus that of the same request to the other

This is leave-one-out: features that say the same each have a gain of 0, although both together may be needed.
References: E. Breck et al., "The ML Test Score", IEEE Big Data 2017, tests Data 2 and 3; M. Fisher, C. Rudin
and F. Dominici, "All Models are Wrong, but Many are Useful", JMLR 20, 2019, on reliance by refitting.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import isnan
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from tastemaker.errors import TastemakerError
from tastemaker.evaluation import results
from tastemaker.evaluation.backtest import LazyFit
from tastemaker.evaluation.evaluator import user_features
from tastemaker.plugins.safe_calls import recommend
from tastemaker.stats.bootstrap import Difference, Interval, paired_difference
from tastemaker.util.spelling import did_you_mean

if TYPE_CHECKING:
    from tastemaker.dataset.split import Split
    from tastemaker.evaluation.backtest import Backtester, Report
    from tastemaker.plugins import Recommender

Float64 = NDArray[np.float64]
REQUESTS = 200
"""Requests that are timed, each of another user."""
ROUNDS = 3
"""How often each request is timed; the fastest counts, since everything else only adds time."""

Verdict = Literal["helps", "hurts", "no difference found"]


class Feature(NamedTuple):
    """What one feature contributes and costs."""

    name: str
    figure: Interval
    """The figure of the model without the feature."""
    gain: Difference
    """Paired by user: with all features minus without this one. A problem's metric is larger where lists are
    better."""
    milliseconds: Difference
    """Paired by request: CPU time with all features minus without this one."""
    verdict: Verdict
    backtest: str


@dataclass(frozen=True)
class Ablation:
    """Gain and cost of a model's features, the largest gain first."""

    problem: str
    model: str
    metric: str
    k: int
    users: int
    """Evaluated users."""
    figure: Interval
    """The figure of the model with all features."""
    milliseconds: float
    """Median CPU time of a request to the model with all features."""
    features: tuple[Feature, ...]


def ablation(backtester: Backtester, names: Collection[str] = (), report: Report | None = None) -> Ablation:
    """Fit and evaluate a model without each of its features in turn.

    Backtests that are stored are not run again; the models are fitted all the same, because their requests
    are timed.

    Args:
        backtester: The model, its config and the data.
        names: The features to leave out, one at a time; empty for all.
        report: Called after each backtest with what was evaluated and its figure; None for no calls.

    Returns:
        Gain and cost of each feature, the largest gain first. It is not stored.

    Raises:
        TastemakerError: The model declares no feature, or has none of a given name.
    """
    plugin, split = backtester.plugin, backtester.split
    problem, artifacts = backtester.dataset.problem, backtester.artifacts
    metric = problem.metric
    configs = dict(plugin.recommender.ablations(backtester.config))
    chosen = _chosen(plugin.name, configs, names)
    whole_fit = LazyFit(plugin, backtester.config, split)
    whole = backtester.run(split, fitted=whole_fit)
    if report:
        report("with all features", whole.metrics[metric].value)
    found, timed = [], []
    for name in chosen:
        part = replace(backtester, config=configs[name])
        part_fit = LazyFit(plugin, part.config, split)
        backtest = part.run(split, fitted=part_fit)
        gain = results.compare(artifacts, whole, backtest, metric)
        with_all, without = milliseconds((whole_fit.model, part_fit.model), split, problem.placement.k)
        timed.append(with_all)
        figure = backtest.metrics[metric]
        cost = paired_difference(with_all, without)
        found.append(Feature(name, figure, gain, cost, _verdict(gain), backtest.id))
        if report:
            report(f"without {name}", figure.value)
    found.sort(key=lambda one: -one.gain.difference)
    return Ablation(
        problem.name,
        plugin.name,
        metric,
        problem.placement.k,
        whole.users,
        whole.metrics[metric],
        float(np.median(np.concatenate(timed))),
        tuple(found),
    )


def milliseconds(
    models: Sequence[Recommender[Any]], split: Split, k: int, *, requests: int = REQUESTS
) -> Float64:
    """Return the CPU time of single requests to each of several models, in turn on the same requests.

    Args:
        models: m fitted models.
        split: The split whose first test users make the requests.
        k: The length of the lists.
        requests: The largest number of requests.

    Returns:
        float64[m, n], milliseconds: of each request, the fastest of ROUNDS.
    """
    users = split.users[:requests]
    fastest = np.full((len(models), len(users)), np.inf)
    tables = [user_features(model, split) for model in models]
    with threadpool_limits(1):
        for _, row, at in product(range(ROUNDS), range(len(users)), range(len(models))):
            table = tables[at]
            batch = split.snapshot.batch(
                users[[row]],
                seeds=np.array([row], np.uint64),
                capabilities=models[at].capabilities,
                user_features=None if table is None else table[users[[row]]],
            )
            started = time.process_time_ns()
            recommend(models[at], batch, k)
            fastest[at, row] = min(fastest[at, row], (time.process_time_ns() - started) / 1e6)
    return fastest


def _chosen(model: str, configs: Collection[str], names: Collection[str]) -> list[str]:
    if not configs:
        raise TastemakerError(
            f"model {model} declares no features that can be left out",
            fix="choose another model, such as ranker; a plugin declares them by `ablations`",
        )
    known = list(configs)
    for name in names:
        if name not in configs:
            raise TastemakerError(
                f"model {model} has no feature {name!r}",
                fix=did_you_mean(name, known, f"its features are {', '.join(known)}"),
            )
    return [name for name in known if name in names] if names else known


def _verdict(gain: Difference) -> Verdict:
    if isnan(gain.low):
        return "no difference found"
    return "helps" if gain.low > 0 else "hurts" if gain.high < 0 else "no difference found"

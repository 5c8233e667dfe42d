"""Forecasts of an experiment, stored before it starts, so that its result can be compared with them.

offline      the relative difference of the backtests of variant and control, on the same users
off_policy   the same of the estimates from the request log, where it was answered by a stochastic policy

Both forecast the reward of a request's list, which is the metric that the experiment measures as
reward_per_request. Errors are standard errors: of the backtests over users, of the estimates as
`evaluation.off_policy` resamples.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from tastemaker.errors import OffPolicyError, TastemakerError
from tastemaker.evaluation import results
from tastemaker.experiments.lifecycle.services import versions_of
from tastemaker.stats.bootstrap import LEVEL
from tastemaker.storage.tables import experiment_forecasts
from tastemaker.storage.upserts import upsert

if TYPE_CHECKING:
    from tastemaker.experiments.lifecycle.records import Experiment
    from tastemaker.registry import Version
    from tastemaker.workflows.workspace import Workspace

METRIC = "reward_per_request"
_REWARD = "reward"
"""The backtests' metric."""
_Z = float(ndtri(0.5 + LEVEL / 2))


class ExperimentForecast(NamedTuple):
    """The relative difference of a variant from control that is expected; or why there is no figure."""

    variant: str
    method: str
    forecast: float | None
    error: float | None
    """Standard error."""
    missing: str | None
    """Why there is no figure; None: there is one."""


def store_forecasts(workspace: Workspace, experiment: Experiment) -> list[ExperimentForecast]:
    """Compute and store the forecasts of an experiment's epoch, and return them.

    Args:
        workspace: The home folder that has the experiment; its log is drained before.
        experiment: The experiment; one of flags has none.
    """
    from tastemaker.event_log.shipping import collect

    design = experiment.design
    versions = versions_of(workspace.registry, experiment.problem, design.variants)
    control = versions.pop(design.control, None)
    if control is None:
        return []
    collect(workspace.settings, workspace.lake)
    found = [
        _forecast(name, method, compute, workspace, version, control)
        for name, version in versions.items()
        for method, compute in (("offline", _offline), ("off_policy", _off_policy))
    ]
    now = datetime.now(UTC)
    rows = [
        {
            "experiment": experiment.name,
            "epoch": experiment.epoch,
            "variant": one.variant,
            "method": one.method,
            "metric": METRIC,
            "forecast": one.forecast,
            "forecast_error": one.error,
            "made_at": now,
        }
        for one in found
        if one.missing is None
    ]
    with workspace.engine.begin() as connection:
        upsert(connection, experiment_forecasts, rows)
    return found


def _forecast(
    variant: str,
    method: str,
    compute: Callable[[Workspace, Version, Version], tuple[float, float]],
    workspace: Workspace,
    version: Version,
    control: Version,
) -> ExperimentForecast:
    try:
        forecast, error = compute(workspace, version, control)
    except TastemakerError as missing:
        return ExperimentForecast(variant, method, None, None, missing.problem)
    return ExperimentForecast(variant, method, forecast, error, None)


def _offline(workspace: Workspace, version: Version, control: Version) -> tuple[float, float]:
    """Return the relative difference of the backtests and its error.

    With a and b the rewards of a user's lists, r = ā / b̄ - 1, whose error is that of the mean of
    (a - (1 + r) b) / b̄ over users (delta method).

    Raises:
        TastemakerError: A version has no backtest, or they are of the same config or other users.
    """
    mine, rival = (_rewards(workspace, one) for one in (version, control))
    if mine[0] == rival[0]:
        raise TastemakerError("both versions have the same backtest: they differ in their data alone")
    if not np.array_equal(mine[1], rival[1]):
        raise TastemakerError("the backtests are of different users")
    a, b = mine[2], rival[2]
    if not b.mean() > 0:
        raise TastemakerError("control's backtest has no reward")
    relative = float(a.mean() / b.mean()) - 1
    error = (a - (1 + relative) * b).std(ddof=1) / b.mean() / np.sqrt(len(a))
    return relative, float(error)


def _rewards(workspace: Workspace, version: Version) -> tuple[str, NDArray[np.uint64], results.Float64]:
    """Return a version's backtest, its users, and the reward of each user's list."""
    backtest_id = version.backtest_id
    backtest = None if backtest_id is None else results.get(workspace.engine, backtest_id)
    if backtest is None:
        raise TastemakerError(f"version {version.id} has no backtest")
    users = results.load_users(workspace.settings.artifacts, backtest)
    return backtest.id, users.user_keys, users.values[_REWARD]


def _off_policy(workspace: Workspace, version: Version, control: Version) -> tuple[float, float]:
    """Return the relative difference of the off-policy estimates and its error.

    Raises:
        OffPolicyError: The log can't support an estimate.
    """
    from tastemaker.evaluation.off_policy.platform_log import forecast

    settings = workspace.settings
    inputs = forecast.prepare(
        workspace.lake,
        workspace.registry,
        workspace.problem,
        version,
        control,
        feature_root=settings.features,
        seed=settings.seed,
    )
    found = forecast.compute(inputs, seed=settings.seed)
    base, uplift = found.estimates["against"].value, found.uplift
    if not base > 0 or not np.isfinite(uplift.high - uplift.low):
        raise OffPolicyError("the estimate has no interval, or control's is not above 0")
    return uplift.difference / base, (uplift.high - uplift.low) / (2 * _Z * base)

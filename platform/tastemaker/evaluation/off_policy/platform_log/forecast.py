"""Forecasts of what a registered version would earn, from the platform's own request log.

The uplift is the version's self-normalized estimate minus that of another version on the same requests (one
difference per request), or minus what the policies that answered them earned.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Engine, insert

from tastemaker.data.lake import Lake
from tastemaker.errors import OffPolicyError
from tastemaker.evaluation.off_policy.diagnostics import Diagnostics, diagnose
from tastemaker.evaluation.off_policy.estimate import Result, as_logged, estimate
from tastemaker.evaluation.off_policy.intervals import difference
from tastemaker.evaluation.off_policy.platform_log.impressions import RequestLog, read_requests
from tastemaker.evaluation.off_policy.platform_log.log_features import LoggedFeatures, read_features
from tastemaker.evaluation.off_policy.reward_models import RewardModel, Ridge
from tastemaker.problem import ProblemSpec
from tastemaker.registry import Registry, Version
from tastemaker.stats.bootstrap import Difference, Interval
from tastemaker.storage.tables import forecasts

ESTIMATOR = "snips"
"""The estimator of the uplift: its errors are smaller than those of IPS wherever weights vary,
and it needs no reward model."""
REWARD_MODEL: RewardModel = Ridge()


class ForecastInputs(NamedTuple):
    """Inputs of a forecast: a version, what it is compared with, and the replayed requests."""

    version: Version
    against: Version | None
    """None: compared with the policies that answered the requests."""
    requests: RequestLog
    mine: LoggedFeatures
    rival: LoggedFeatures | None
    diagnostics: Diagnostics
    """Diagnostics of the log for the version."""


@dataclass(frozen=True)
class Forecast:
    """Forecast of a version: mean rewards of a request's whole list, and the uplift."""

    problem: str
    version_id: str
    against_id: str | None
    estimator: str
    estimates: dict[str, Interval]
    """The version's value by estimator; `logged`: that of the logged answers; `against`: the other's."""
    uplift: Difference
    diagnostics: dict[str, Any]
    requests: int
    window_start: datetime
    """The time of the first request; `window_end` is that of the last."""
    window_end: datetime
    created_at: datetime


def prepare(
    lake: Lake,
    registry: Registry,
    problem: ProblemSpec,
    version: Version,
    against: Version | None,
    *,
    feature_root: Path,
    seed: int = 0,
) -> ForecastInputs:
    """Replay the requests that neither version was trained on.

    Args:
        lake: The lake with the request log and the events.
        registry: The registry of the versions.
        problem: The problem, which defines the rewards.
        version: The version to forecast.
        against: The version to compare with; None for what was served.
        feature_root: The folder of the feature snapshots.
        seed: Seed of the draws.

    Returns:
        What `compute` needs: the probabilities of both versions on the same requests, and the diagnostics.

    Raises:
        OffPolicyError: No request can be used; the message gives the reasons.
    """
    since = max(one.manifest.window.end for one in (version, against) if one is not None)
    requests = read_requests(lake, problem, since=since, versions=registry.ids(problem.name))
    mine = read_features(lake, registry.open(version), requests, feature_root, seed=seed)
    rival = (
        None
        if against is None
        else read_features(lake, registry.open(against), requests, feature_root, seed=seed)
    )
    return ForecastInputs(version, against, requests, mine, rival, diagnose(*mine))


def compute(inputs: ForecastInputs, *, seed: int = 0) -> Forecast:
    """Compute a version's forecast from its replayed requests.

    Args:
        inputs: What `prepare` returned.
        seed: Seed of the reward model's folds and of replay's draws.

    Returns:
        The forecast, which is not stored. Values are rewards per request.

    Raises:
        OffPolicyError: The log can't support an estimate.
    """
    log, times = inputs.mine.log, inputs.requests.requests["occurred_at"].to_pylist()
    report = estimate(*inputs.mine, reward_model=REWARD_MODEL, seed=seed)
    found = {"logged": report.logged} | {name: each.bootstrap for name, each in report.results.items()}
    if inputs.rival is None:
        rival = as_logged(log)
    else:
        result = _rival(inputs.rival, seed)
        found["against"], rival = result.bootstrap, result.estimate
    mine = report.results[ESTIMATOR].estimate
    return Forecast(
        problem=inputs.version.problem,
        version_id=inputs.version.id,
        against_id=None if inputs.against is None else inputs.against.id,
        estimator=ESTIMATOR,
        estimates=found,
        uplift=difference(mine, rival),
        diagnostics=_to_json(inputs),
        requests=log.n_rounds,
        window_start=times[0],
        window_end=times[-1],
        created_at=datetime.now(UTC),
    )


def put(engine: Engine, forecast: Forecast) -> int:
    """Store a forecast, and return its number.

    Args:
        engine: Of the metadata database.
        forecast: What to store; earlier forecasts of the version are kept.
    """
    row = asdict(forecast) | _figures(forecast)
    with engine.begin() as connection:
        return int(connection.execute(insert(forecasts).values(row).returning(forecasts.c.id)).scalar_one())


def to_json(forecast: Forecast) -> dict[str, Any]:
    """Return a forecast in types that JSON has, with times as ISO 8601."""
    times = {
        name: getattr(forecast, name).isoformat() for name in ("window_start", "window_end", "created_at")
    }
    return asdict(forecast) | _figures(forecast) | times


def _figures(forecast: Forecast) -> dict[str, Any]:
    estimates = {name: interval._asdict() for name, interval in forecast.estimates.items()}
    return {"estimates": estimates, "uplift": forecast.uplift._asdict()}


def _rival(rival: LoggedFeatures, seed: int) -> Result:
    try:
        return estimate(*rival, seed=seed).results[ESTIMATOR]
    except OffPolicyError as error:
        raise OffPolicyError(
            f"the version to compare with: {error.problem}",
            fix=f"{error.fix}; or compare with what was served: --against log",
        ) from error


def _to_json(inputs: ForecastInputs) -> dict[str, Any]:
    found = inputs.diagnostics
    bins = [each._asdict() for each in found.calibration]
    return found._asdict() | {"calibration": bins, "left_out": inputs.requests.left_out}

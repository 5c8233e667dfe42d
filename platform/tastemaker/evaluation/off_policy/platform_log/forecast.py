"""What a registered version would earn, forecast from the platform's own request log, and kept for later.

The uplift is that of the self-normalized estimate over what it is compared with: another version, estimated
from the same requests (one difference a request), or the policies that answered them.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Engine, insert, select

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
"""The one that the uplift is told by: its errors are smaller than those of IPS wherever weights vary, and no
reward model is in it."""
REWARD_MODEL: RewardModel = Ridge()


class Question(NamedTuple):
    """A version, what it is compared with, and the requests to compare them on."""

    version: Version
    against: Version | None
    """None: the policies that answered the requests."""
    requests: RequestLog
    mine: LoggedFeatures
    rival: LoggedFeatures | None
    diagnostics: Diagnostics
    """Of the version."""


@dataclass(frozen=True)
class Forecast:
    """What is expected of a version: mean rewards of a request's whole list."""

    problem: str
    version_id: str
    against_id: str | None
    estimator: str
    estimates: dict[str, Interval]
    """Estimator -> the version's value; `logged`: what the answers given earned; `against`: the rival's."""
    uplift: Difference
    diagnostics: dict[str, Any]
    requests: int
    window_start: datetime
    """The first and the last request."""
    window_end: datetime
    created_at: datetime


def ask(
    lake: Lake,
    registry: Registry,
    problem: ProblemSpec,
    version: Version,
    against: Version | None,
    *,
    feature_root: Path,
    seed: int = 0,
) -> Question:
    """Replay the requests that neither version was trained on. Raises OffPolicyError if there are none."""
    since = max(one.manifest.window.end for one in (version, against) if one is not None)
    versions = {one.id for one in registry.list(problem=problem.name)}
    requests = read_requests(lake, problem, since=since, versions=versions)
    mine = read_features(lake, registry.open(version), requests, feature_root, seed=seed)
    rival = (
        None
        if against is None
        else read_features(lake, registry.open(against), requests, feature_root, seed=seed)
    )
    return Question(version, against, requests, mine, rival, diagnose(*mine))


def answer(question: Question, *, seed: int = 0) -> Forecast:
    """The forecast. Raises OffPolicyError, and gives no figure, where the log can't answer."""
    log, times = question.mine.log, question.requests.requests["occurred_at"].to_pylist()
    report = estimate(*question.mine, reward_model=REWARD_MODEL, seed=seed)
    found = {"logged": report.logged} | {name: each.bootstrap for name, each in report.results.items()}
    if question.rival is None:
        rival = as_logged(log)
    else:
        result = _rival(question.rival, seed)
        found["against"], rival = result.bootstrap, result.estimate
    mine = report.results[ESTIMATOR].estimate
    return Forecast(
        problem=question.version.problem,
        version_id=question.version.id,
        against_id=None if question.against is None else question.against.id,
        estimator=ESTIMATOR,
        estimates=found,
        uplift=difference(mine, rival),
        diagnostics=_to_json(question),
        requests=log.n_rounds,
        window_start=times[0],
        window_end=times[-1],
        created_at=datetime.now(UTC),
    )


def put(engine: Engine, forecast: Forecast) -> int:
    """Store a forecast; returns its number."""
    row = asdict(forecast) | _figures(forecast)
    with engine.begin() as connection:
        return int(connection.execute(insert(forecasts).values(row).returning(forecasts.c.id)).scalar_one())


def to_json(forecast: Forecast) -> dict[str, Any]:
    """What JSON can hold: moments as ISO 8601."""
    moments = {
        name: getattr(forecast, name).isoformat() for name in ("window_start", "window_end", "created_at")
    }
    return asdict(forecast) | _figures(forecast) | moments


def _figures(forecast: Forecast) -> dict[str, Any]:
    estimates = {name: interval._asdict() for name, interval in forecast.estimates.items()}
    return {"estimates": estimates, "uplift": forecast.uplift._asdict()}


def newest(engine: Engine, version_id: str) -> Forecast | None:
    """The last forecast of a version, to hold an experiment against."""
    query = select(forecasts).where(forecasts.c.version_id == version_id)
    with engine.connect() as connection:
        row = connection.execute(query.order_by(forecasts.c.id.desc()).limit(1)).mappings().first()
    if row is None:
        return None
    values = {name: value for name, value in row.items() if name != "id"}
    values["estimates"] = {name: Interval(**each) for name, each in row["estimates"].items()}
    values["uplift"] = Difference(**row["uplift"])
    return Forecast(**values)


def _rival(rival: LoggedFeatures, seed: int) -> Result:
    try:
        return estimate(*rival, seed=seed).results[ESTIMATOR]
    except OffPolicyError as error:
        raise OffPolicyError(
            f"the version to compare with: {error.problem}",
            fix=f"{error.fix}; or compare with what was served: --against log",
        ) from error


def _to_json(question: Question) -> dict[str, Any]:
    found = question.diagnostics
    bins = [each._asdict() for each in found.calibration]
    return found._asdict() | {"calibration": bins, "left_out": question.requests.left_out}

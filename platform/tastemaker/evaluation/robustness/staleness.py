"""Staleness: a model trained once is compared, week after week, with the same model retrained each week.

    d_uw   the retrained model's figure minus that of the model trained w weeks before, on user u of week w
    β      = Σ_uw w·d_uw / Σ_uw w²     the loss per week: the line through 0 that fits best, since d_u0 = 0
    ℓ(w)   = the weeks' mean losses, made monotone by isotonic regression, linear between weeks

Both answer the same users of the same week, so seasonal effects cancel out. The interval is a bootstrap over
users, each with all their weeks. `stale_model` defines a stale model. References: J. Gama et al., "A survey
on concept drift adaptation", ACM Computing Surveys 46(4), 2014; B. Efron and R. Tibshirani, "An Introduction
to the Bootstrap", 1993, chapter 9.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression
from sqlalchemy import Engine, insert, select

from tastemaker.errors import NoTestUsersError, TastemakerError
from tastemaker.evaluation import results
from tastemaker.evaluation.backtest import LazyFit
from tastemaker.evaluation.metrics import METRICS
from tastemaker.stats.bootstrap import (
    PAIRED_RESAMPLES,
    Difference,
    Interval,
    paired_difference,
    resampled_means,
)
from tastemaker.storage.tables import stalenesses
from tastemaker.util.durations import DAY_SECONDS

if TYPE_CHECKING:
    from tastemaker.dataset.dataset import Dataset
    from tastemaker.dataset.split import Split
    from tastemaker.evaluation.backtest import Backtester, Report

Float64 = NDArray[np.float64]

WEEKS = 8
WEEK_SECONDS = 7 * DAY_SECONDS
MAX_LOSS = 0.05
"""Default of the share of a retrained model's figure that may be lost."""


class Week(NamedTuple):
    """Figures of one evaluated week."""

    age_days: int
    """How many days earlier the stale model was trained than the retrained one."""
    loss: Difference
    """The retrained model minus the stale one, per user; above 0: the stale one is worse."""
    fresh: float
    """The retrained model's figure."""
    stale: float
    """The stale model's figure."""


class Days(NamedTuple):
    """Days after training until a loss is reached; None: not within the evaluated weeks."""

    value: float | None
    low: float | None
    """The same by the upper ends of the weeks' 95 % intervals: the earliest day."""
    high: float | None
    """The same by their lower ends: the latest day."""


@dataclass(frozen=True)
class Staleness:
    """Loss of a model that is not retrained, by weeks since training."""

    problem: str
    model: str
    config: dict[str, Any]
    data_hash: str
    metric: str
    trained_until: datetime
    fresh: Interval
    """The figure of the model retrained each week, over all weeks."""
    loss_per_week: Interval
    """In the metric's unit; above 0: the stale model is worse."""
    weeks: tuple[Week, ...]
    created_at: datetime

    @property
    def observed_days(self) -> int:
        """The stale model's greatest age in days."""
        return self.weeks[-1].age_days

    def days_until(self, share: float = MAX_LOSS) -> Days:
        """Return after how many days ℓ reaches this share of a retrained model's figure."""
        curves = zip(*(week.loss[:3] for week in self.weeks), strict=True)
        value, low, high = (self._reached(share * self.fresh.value, np.array(one)) for one in curves)
        return Days(value, high, low)  # the highest losses are there first

    def _reached(self, loss: float, losses: Float64) -> float | None:
        """Return the days at which the monotone curve through these losses reaches `loss`."""
        if not np.isfinite(losses).all():
            return None
        ages = [week.age_days for week in self.weeks]
        rising = isotonic_regression(losses, weights=[week.loss.n for week in self.weeks]).x
        at = int(np.searchsorted(rising, loss))
        if at == 0 or at == len(ages):
            return None
        before, after = rising[at - 1], rising[at]
        return float(ages[at - 1] + (loss - before) / (after - before) * (ages[at] - ages[at - 1]))


def measure(backtester: Backtester, weeks: int = WEEKS, report: Report | None = None) -> Staleness:
    """Evaluate a model on the last weeks of the data without and with retraining, and store its staleness.

    Backtests that are stored are not run again. Weeks without a user to evaluate are left out.

    Args:
        backtester: The model, its config and the data.
        weeks: The number of weeks.
        report: Called after each week with its age and the stale model's figure; None for no calls.

    Returns:
        The staleness as it is stored.

    Raises:
        TastemakerError: The data is too short, or fewer than two weeks have users to evaluate.
    """
    plugin, config, artifacts = backtester.plugin, backtester.config, backtester.artifacts
    problem = backtester.dataset.problem
    metric = problem.metric
    origin: LazyFit | None = None
    seen: list[_Seen] = []
    for split in _splits(backtester.dataset, weeks):
        if origin is None:
            origin = LazyFit(plugin, config, split)
            fresh = stale = backtester.run(split, fitted=origin)
        else:
            fresh, stale = backtester.run(split), backtester.run(split, fitted=origin)
        age_days = (split.cut - origin.split.cut) // DAY_SECONDS
        users = results.load_users(artifacts, fresh)
        seen.append(
            _Seen(
                age_days,
                users.user_keys,
                users.values[metric],
                results.load_users(artifacts, stale).values[metric],
            )
        )
        if report:
            report(f"{age_days} days after training", stale.metrics[metric].value)
    if origin is None or len(seen) < 2:
        raise TastemakerError(
            f"{len(seen)} of the last {weeks} weeks have users to evaluate, at least two are needed",
            fix="read more events, or ask for more --weeks",
        )
    found = Staleness(
        problem=problem.name,
        model=plugin.name,
        config=config.model_dump(mode="json"),
        data_hash=origin.split.data_hash,
        metric=metric,
        trained_until=datetime.fromtimestamp(origin.split.cut, UTC),
        created_at=datetime.now(UTC),
        **_estimates(seen, 1.0 if METRICS[metric].larger_is_better else -1.0),
    )
    put(backtester.engine, found)
    return found


class _Seen(NamedTuple):
    """Metrics of n users of one week with both models."""

    age_days: int
    users: NDArray[np.uint64]
    fresh: Float64
    stale: Float64


def _splits(dataset: Dataset, weeks: int) -> Iterator[Split]:
    """Yield one split per week, the earliest first; the last one ends with the data."""
    first = int(dataset.events.times[0])
    start = dataset.end - weeks * WEEK_SECONDS
    if start <= first:
        raise TastemakerError(
            f"{weeks} weeks are to be evaluated, but the events span "
            f"{(dataset.end - first) / DAY_SECONDS:.0f} days: nothing is left to train on",
            fix="ask for fewer --weeks, or read more events",
        )
    for cut in range(start, dataset.end, WEEK_SECONDS):
        try:
            yield dataset.split(at=cut, end=cut + WEEK_SECONDS)
        except NoTestUsersError:
            continue


def _estimates(seen: Sequence[_Seen], sign: float) -> dict[str, Any]:
    """Return the figures of a Staleness; `sign` is 1 where more of the metric is better, else -1."""
    users = np.concatenate([one.users for one in seen])
    fresh = np.concatenate([one.fresh for one in seen])
    loss = sign * (fresh - np.concatenate([one.stale for one in seen]))
    age = np.concatenate([np.full(len(one.users), one.age_days / 7) for one in seen])
    aged = age > 0
    return {
        "fresh": _ratio(users, fresh, np.ones_like(fresh), certain=bool(fresh.any())),
        "loss_per_week": _ratio(users[aged], (age * loss)[aged], (age**2)[aged], certain=bool(fresh.any())),
        "weeks": tuple(
            Week(
                one.age_days,
                paired_difference(sign * one.fresh, sign * one.stale),
                float(one.fresh.mean()),
                float(one.stale.mean()),
            )
            for one in seen
        ),
    }


def _ratio(users: NDArray[np.uint64], over: Float64, under: Float64, *, certain: bool) -> Interval:
    """Return Σ over / Σ under with an interval over users, each with all their rows.

    `certain` (see `Interval.of`) where there were hits: then a loss of 0 for every user is known to be 0.
    """
    _keys, who = np.unique(users, return_inverse=True)
    sums = np.column_stack([np.bincount(who, over), np.bincount(who, under)])
    means = resampled_means(sums, resamples=PAIRED_RESAMPLES)
    value = float(over.sum() / under.sum())
    theirs = value + (sums[:, 0] - value * sums[:, 1]) / sums[:, 1].mean()
    return Interval.of(value, means[:, 0] / means[:, 1], theirs, certain=certain)


def put(engine: Engine, found: Staleness) -> None:
    """Store a model's staleness, and keep earlier ones.

    Args:
        engine: Of the metadata database.
        found: What `measure` found.
    """
    row = {
        one.name: getattr(found, one.name)
        for one in fields(found)
        if one.name not in ("fresh", "loss_per_week", "weeks")
    }
    row |= {"fresh": results.to_json(found.fresh), "loss_per_week": results.to_json(found.loss_per_week)}
    row["weeks"] = [week._asdict() | {"loss": results.to_json(week.loss)} for week in found.weeks]
    with engine.begin() as connection:
        connection.execute(insert(stalenesses).values(row))


def newest(engine: Engine, problem: str, model: str) -> Staleness | None:
    """Return a model's newest staleness; None if none is stored.

    Args:
        engine: Of the metadata database.
        problem: The problem's name.
        model: The model's name.
    """
    mine = select(stalenesses).where(stalenesses.c.problem == problem, stalenesses.c.model == model)
    with engine.connect() as connection:
        row = connection.execute(mine.order_by(stalenesses.c.id.desc()).limit(1)).mappings().first()
    if row is None:
        return None
    values = dict(row)
    del values["id"]
    values |= {name: Interval(**results.from_json(row[name])) for name in ("fresh", "loss_per_week")}
    values["weeks"] = tuple(
        Week(**week | {"loss": Difference(**results.from_json(week["loss"]))}) for week in row["weeks"]
    )
    return Staleness(**values)


def to_dict(found: Staleness, share: float = MAX_LOSS) -> dict[str, Any]:
    """Return a staleness in types that JSON has.

    Args:
        found: What `measure` found.
        share: The share of a retrained model's figure for `days_until_max_loss`.
    """
    return {
        "problem": found.problem,
        "model": found.model,
        "metric": found.metric,
        "config": found.config,
        "trained_until": found.trained_until.isoformat(),
        "fresh": results.to_json(found.fresh),
        "loss_per_week": results.to_json(found.loss_per_week),
        "max_loss_share": share,
        "days_until_max_loss": found.days_until(share)._asdict(),
        "observed_days": found.observed_days,
        "weeks": [week._asdict() | {"loss": results.to_json(week.loss)} for week in found.weeks],
    }

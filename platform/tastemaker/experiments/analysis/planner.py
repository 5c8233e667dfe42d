"""How many units an experiment needs, how long that takes, and which effects it can find, from the log.

The last weeks of the log are replayed as if the experiment had begun with them and only control existed: each
user's first list is the exposure. The replay gives the metric's variance, how much what users did before
explains of it, and how many different users are reached by which day: fewer and fewer new ones per day.

    units per variant   (z_{1−α/2m} + z_{power})² · (σ_C² + σ_T²)(1 − ρ²) · R / δ²
    power               1 − β/(g + 1), because all of g guardrails must be shown to be safe, too

m variants are compared with control; R is the sample factor of the looks. How σ_T follows from the effect,
and what is different where a few users earn most, is in `logged_power`. References:
`tastemaker.stats.sample_size`; M. Schultzberg, S. Ankargren and M. Frånberg, "Risk-aware product decisions in
A/B tests with multiple metrics", arXiv 2402.11609, 2024.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import numpy as np
from scipy.stats import skew

from tastemaker.data.lake import Lake
from tastemaker.errors import TastemakerError
from tastemaker.experiments.analysis.effect_rows import treatments_of
from tastemaker.experiments.analysis.logged_power import LoggedValues, formula_effect, units_for
from tastemaker.experiments.analysis.unit_table import COVARIATES, Int64, UnitTable
from tastemaker.experiments.analysis.units import UnitQuery, read_exposed
from tastemaker.experiments.design import Design
from tastemaker.experiments.plan import BUCKETS
from tastemaker.experiments.unit_metrics import UnitMetric
from tastemaker.problem import ProblemSpec
from tastemaker.product.activity import SESSION
from tastemaker.stats.group_sequential import bounds, obrien_fleming, sample_factor
from tastemaker.stats.sample_size import PowerPlan
from tastemaker.stats.unit_summary import Float64
from tastemaker.util.counted import counted
from tastemaker.util.durations import DAY_SECONDS, in_words

WEEKS = 4
"""Weeks of the log that are replayed."""
TRAFFIC = (0.75, 1.0, 1.25)
"""Shares of the replayed traffic for which effects are shown."""
CUT_AT = (0.999, 0.995, 0.99)
"""Quantiles of users' values at which they may be cut: winsorizing is advised at the best of these."""
ALL = "all"
"""Name of the only variant of a replay."""
_EXPOSED = """
    CREATE TEMP TABLE exposed AS
    SELECT 0 AS epoch, user_id AS unit, user_id, 'all' AS variant, 1.0 AS probability, '' AS plan,
        epoch_us(occurred_at) / 1e6 AS at_seconds, request_id
    FROM requests WHERE epoch_us(occurred_at) / 1e6 BETWEEN $since AND $now
        AND NOT starts_with(user_id, $session)
"""
_COVERED = "SELECT min(occurred_at), max(occurred_at) FROM requests WHERE occurred_at <= $now"


class EffectByDay(NamedTuple):
    """What an experiment can find when it enrols users for so many days."""

    days: int
    units: dict[float, int]
    """Share of the traffic -> users reached, of all variants."""
    relative: dict[float, float | None]
    """Share of the traffic -> smallest effect, relative to the mean, that is found with the planned power;
    None where none is, as with a handful of users."""


@dataclass(frozen=True)
class TrafficPlan:
    """What the log says about a design."""

    metric: str
    mean: float
    deviation: float
    """Standard deviation of a user's value; of a ratio, of its linear part."""
    correlation: float
    """Between the value and what adjusts it."""
    factor: float
    """How much more users the looks need than a single look."""
    mature_users: int
    """Users that these figures rest on."""
    units: int
    """Users of all variants that the design needs."""
    days: int | None
    """Days in whole weeks until these are enrolled and mature; None: not within the replayed weeks."""
    by_day: tuple[EffectByDay, ...]
    """At the ends of the replayed weeks."""
    skewness: float = 0.0
    """Of a user's value: where it is high, few users decide about the mean."""
    limit: float | None = None
    """The `winsorize_at` that saves most users, if it saves a tenth of them; None: it is not advised."""
    limited_units: int | None = None
    """Users of all variants that the design needs with it."""

    @property
    def sentence(self) -> str:
        """What follows, in one sentence."""
        last = self.by_day[-1]
        reached, found = last.units[1.0], last.relative[1.0]
        if self.days is not None:
            return f"{self.units:,} users are needed, and mature after {self.days} days.{self._advice}"
        least = "" if found is None else f"; with these, effects from {100 * found:.1f} % on are found"
        return (
            f"Too little traffic: {self.units:,} users are needed, and {reached:,} different ones come in "
            f"{last.days} days{least}.{self._advice}"
        )

    @property
    def _advice(self) -> str:
        if self.limit is None:
            return ""
        return (
            f" Few users earn most (skewness {self.skewness:.1f}): with winsorize_at {self.limit:.4g}, "
            f"{self.limited_units:,} are enough."
        )


def plan_traffic(
    lake: Lake, problem: ProblemSpec, design: Design, now: datetime | None = None
) -> TrafficPlan:
    """Return what the last weeks of the log say about a design whose units are users.

    Args:
        lake: Holds the log and the events.
        problem: Gives each event type its reward.
        design: The design, whose planned units are not used.
        now: The time; None: the current one.

    Raises:
        TastemakerError: The log has too few users whose window is over, all have the same value, or a metric
            of the design can't be computed.
    """
    units, since, last = _replay(lake, problem, design, now or datetime.now(UTC))
    query = UnitQuery.of(design, range(1), "user", problem)
    assert query.primary is not None
    mature = units.mature()
    if len(mature) < 2:
        raise TastemakerError(
            f"the last {WEEKS} weeks have {counted(len(mature), 'mature user')}: nothing can be planned",
            fix=f"wait until users were answered, and {in_words(design.window_days)} are over for them",
        )
    cut = _cut(mature, query.primary.over, design.winsorize_at)
    mean, variance, rest = _mean_and_variances(cut, query.primary.over, query.primary.under)
    if not variance > 0 or not mean:
        raise TastemakerError(
            f"the last {WEEKS} weeks have {counted(len(mature), 'mature user')}, whose {design.primary} has "
            f"the mean {mean:g} and the variance {variance:g}: nothing can be planned",
            fix="wait until more users were answered and acted, or choose another primary metric",
        )
    correlation = math.sqrt(max(1 - rest / variance, 0.0)) if design.covariate_days else 0.0
    power = power_plan(design, correlation)
    share = _control_share(design)
    logged = _logged(mature, query.primary, design.winsorize_at)
    control = units_for(logged, design.minimum_effect, power)
    if not math.isfinite(control):
        raise TastemakerError(
            f"no effect can be found: winsorize_at is {design.winsorize_at:g}, and for no user "
            f"{design.primary} is between 0 and that",
            fix="raise winsorize_at in the design, or leave it out",
        )
    needed = math.ceil(control / share)
    limit, limited = _advised(logged, query.primary, design, power)
    reached = _reached(units, design, since, last)
    by_day = tuple(
        _effects(7 * week, int(reached[7 * week - 1]), share, logged, power)
        for week in range(1, len(reached) // 7 + 1)
    )
    if not by_day:
        raise TastemakerError(
            f"the log covers {counted(len(reached), 'day')}, a plan needs at least a week",
            fix="wait until the log covers whole weeks",
        )
    return TrafficPlan(
        design.primary, mean, math.sqrt(variance), correlation, power.factor, len(mature), needed,
        _days(reached, needed, design.window_days), by_day,
        skewness=float(skew(logged.under(0.0))), limit=limit,
        limited_units=None if limit is None else math.ceil(limited / share),
    )  # fmt: skip


def power_plan(design: Design, correlation: float) -> PowerPlan:
    """Return what decides about the number of units, besides the variance.

    Args:
        design: Gives the error rates, the looks, the guardrails and the shares.
        correlation: Between a unit's value and what adjusts it.
    """
    alpha = design.alpha / max(len(treatments_of(design)), 1)
    power = 1 - (1 - design.power) / (len(design.guardrails) + 1)
    information = [(k + 1) / design.looks for k in range(design.looks)]
    z = bounds(information, obrien_fleming(alpha))
    factor = sample_factor(information, z, alpha=alpha, power=power)
    smallest = min(one.share for name, one in design.variants.items() if name != design.control)
    return PowerPlan(
        alpha, power, correlation, max(factor, 1.0), smallest / design.variants[design.control].share
    )


def replayed_units(
    lake: Lake, problem: ProblemSpec, design: Design, now: datetime | None = None
) -> UnitTable:
    """Return the users of the last weeks by their first lists, as if an experiment had begun then.

    Args:
        lake: Holds the log and the events.
        problem: Gives each event type its reward.
        design: The design, which gives the primary metric and the windows.
        now: The time; None: the current one.

    Returns:
        Users, mature or not, of the only variant `ALL`, with the columns of the primary metric and
        `COVARIATES`.

    Raises:
        TastemakerError: The log has no request, or a metric of the design can't be computed.
    """
    return _replay(lake, problem, design, now or datetime.now(UTC))[0]


def _replay(
    lake: Lake, problem: ProblemSpec, design: Design, now: datetime
) -> tuple[UnitTable, float, float]:
    """Return the users of the last weeks by their first lists, and when the days begin and end."""
    with lake.connect() as connection:
        first, last = connection.execute(_COVERED, {"now": now}).fetchall()[0]
        if last is None:
            raise TastemakerError(
                "the log has no request: nothing can be planned from it",
                fix="serve lists first, or write planned_units into the design yourself",
            )
        weeks = (last - timedelta(weeks=WEEKS)).timestamp()
        # Days before the log began had no traffic that could be counted.
        since = weeks + max((first.timestamp() - weeks) // DAY_SECONDS, 0) * DAY_SECONDS
        period = {"since": since, "now": now.timestamp(), "session": SESSION}
        connection.execute(_EXPOSED, period)
        query = UnitQuery.of(design, range(1), "user", problem, started_at=since)
        replayed = replace(
            query, variants=(ALL,), versions={ALL: None}, slices=(), primary=None,
            metrics={design.primary: query.metrics[design.primary]},
        )  # fmt: skip
        return read_exposed(connection, replayed, problem, last), since, last.timestamp()


def _cut(mature: UnitTable, over: str, limit: float | None) -> UnitTable:
    """Return units whose values are cut as at a look."""
    return mature if limit is None else mature.replaced({over: np.minimum(mature.columns[over], limit)})


def _logged(mature: UnitTable, metric: UnitMetric, limit: float | None) -> LoggedValues:
    """Return the values that a variant multiplies; those of a ratio are cut before."""
    if metric.under is None:
        return LoggedValues(mature.columns[metric.over], limit)
    over, under = np.minimum(mature.columns[metric.over], limit or math.inf), mature.columns[metric.under]
    ratio = over.sum() / under.sum()
    return LoggedValues(ratio + (over - ratio * under) / under.mean())


def _advised(
    logged: LoggedValues, metric: UnitMetric, design: Design, power: PowerPlan
) -> tuple[float | None, float]:
    """Return the limit that saves most units of control, and how many are needed with it."""
    if logged.limit is not None or logged.is_binary or metric.under is not None:
        return None, math.nan
    limits = dict.fromkeys(np.quantile(logged.values, CUT_AT).tolist())
    units = {
        one: units_for(replace(logged, limit=one), design.minimum_effect, power) for one in limits if one > 0
    }
    best = min(units, key=lambda one: units[one], default=None)
    saves = best is not None and units[best] < 0.9 * units_for(logged, design.minimum_effect, power)
    return (best, units[best]) if best is not None and saves else (None, math.nan)


def _mean_and_variances(mature: UnitTable, over: str, under: str | None) -> tuple[float, float, float]:
    """Return mean or ratio, the variance of its linear part, and what of that the covariates leave."""
    values = mature.columns[over]
    mean = float(values.mean()) if len(values) else math.nan
    if under is not None:
        below = float(mature.columns[under].mean()) if len(values) else math.nan
        mean = mean / below if below else math.nan
        values = (values - mean * mature.columns[under]) / below if below else values
    if len(values) < 2:
        return mean, 0.0, 0.0
    known: Float64 = np.column_stack([mature.columns[name] for name in COVARIATES])
    centred, off = known - known.mean(axis=0), values - values.mean()
    slopes = np.linalg.lstsq(centred, off, rcond=1e-10)[0]
    return mean, float(off.var(ddof=1)), float((off - centred @ slopes).var(ddof=1))


def _control_share(design: Design) -> float:
    """Return control's share of the units that get a variant."""
    return design.variants[design.control].share / sum(one.share for one in design.variants.values())


def _reached(units: UnitTable, design: Design, since: float, last: float) -> Int64:
    """Return the number of different users that the variants get by the end of each replayed day."""
    days = round((last - since) / DAY_SECONDS)
    ends = since + DAY_SECONDS * np.arange(1, days + 1)
    variants = sum(one.share for one in design.variants.values()) / BUCKETS
    part = design.claim / BUCKETS * design.steps[-1] / BUCKETS * variants
    found: Int64 = (np.searchsorted(units.exposed_at, ends) * part).astype(np.int64)
    return found


def _effects(days: int, units: int, share: float, logged: LoggedValues, power: PowerPlan) -> EffectByDay:
    reached = {traffic: int(traffic * units) for traffic in TRAFFIC}
    found = {
        traffic: formula_effect(logged, share * count, power) if count else math.inf
        for traffic, count in reached.items()
    }
    known = {traffic: one if math.isfinite(one) else None for traffic, one in found.items()}
    return EffectByDay(days, reached, known)


def _days(reached: Int64, needed: int, window_days: float) -> int | None:
    """Return the whole weeks in which enough users come, and the window of the last ones, in days."""
    enough = np.flatnonzero(reached >= needed)
    if not len(enough):
        return None
    return 7 * math.ceil((int(enough[0]) + 1) / 7) + math.ceil(window_days)

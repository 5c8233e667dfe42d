"""Did offline predict online? Forecasts of experiments against what the experiments measured.

    z         (f − o) / √(e_f² + e_o²)        f: forecast, o: outcome, e: their standard errors over users
    covered   |z| ≤ 1.96: the difference lies within its 95 % interval
    slope     o = a + b·f                     least squares over experiments, interval by HC3 and Student's t

Both are relative differences from control in the same metric. Forecasts that were chosen because they are
high are too high on average (the winner's curse): then the slope is below 1, and a new forecast times the
slope is what to expect. HC3 allows that the outcomes of small experiments vary more than those of large ones.

Reference: J. Long and L. Ervin, "Using heteroscedasticity consistent standard errors in the linear regression
model", The American Statistician 54(3), 2000.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri, stdtrit

from tastemaker.stats.bootstrap import LEVEL, Interval
from tastemaker.stats.shares import wilson

MIN_EXPERIMENTS = 8
"""Below, single experiments are shown and no summary: its interval would cover nearly everything."""
_Z = float(ndtri(0.5 + LEVEL / 2))


class ForecastOutcome(NamedTuple):
    """A forecast beside its outcome, both relative differences from control in one metric."""

    experiment: str
    epoch: int
    variant: str
    method: str
    """offline (backtest) or off_policy."""
    metric: str
    forecast: float
    forecast_error: float
    outcome: float | None
    """None: not measured yet; then what follows from it is None, too."""
    outcome_error: float | None

    @property
    def z(self) -> float | None:
        """The difference over its standard error; None also where neither has an error."""
        if self.outcome is None or self.outcome_error is None:
            return None
        error = math.hypot(self.forecast_error, self.outcome_error)
        return (self.forecast - self.outcome) / error if error > 0 else None

    @property
    def is_covered(self) -> bool | None:
        """Whether forecast and outcome differ by no more than chance explains."""
        return None if self.z is None else abs(self.z) <= _Z

    @property
    def has_same_sign(self) -> bool | None:
        """Whether the forecast had the outcome's direction."""
        if self.outcome is None:
            return None
        return bool(np.sign(self.forecast) == np.sign(self.outcome))


class AgreementSummary(NamedTuple):
    """How well a method's forecasts were, over experiments, each with its 95 % interval."""

    method: str
    experiments: int
    coverage: Interval
    """Share of experiments that are covered: 0.95 if the errors are right."""
    same_sign: Interval
    """Share of experiments with the forecast's direction."""
    slope: Interval
    """Of the outcome on the forecast: 1 if forecasts are right on average, 0 if they say nothing."""


def summarize(found: Sequence[ForecastOutcome]) -> list[AgreementSummary]:
    """Return a summary of each method that has enough experiments.

    An experiment counts once, whatever its variants and epochs: those share control, or users. It counts by
    the forecast that was best known before it started, of its newest epoch with an outcome.
    """
    summaries = []
    for method in sorted({one.method for one in found}):
        known = [one for one in found if one.method == method and one.z is not None]
        best: dict[str, ForecastOutcome] = {}
        for one in sorted(known, key=lambda one: (-one.epoch, one.forecast_error, one.variant)):
            best.setdefault(one.experiment, one)
        if len(best) >= MIN_EXPERIMENTS:
            summaries.append(_summary(method, list(best.values())))
    return summaries


def measured_experiments(found: Sequence[ForecastOutcome]) -> int:
    """Return the number of experiments that have a forecast and an outcome."""
    return len({one.experiment for one in found if one.z is not None})


def _summary(method: str, found: Sequence[ForecastOutcome]) -> AgreementSummary:
    n = len(found)
    return AgreementSummary(
        method,
        n,
        wilson(sum(one.is_covered is True for one in found), n),
        wilson(sum(one.has_same_sign is True for one in found), n),
        slope(*zip(*((one.forecast, one.outcome) for one in found if one.outcome is not None), strict=True)),
    )


def slope(forecasts: ArrayLike, outcomes: ArrayLike) -> Interval:
    """Return the slope of outcomes on forecasts with its 95 % interval.

    Args:
        forecasts: float64[n], one per experiment; at least one.
        outcomes: float64[n].

    Returns:
        NaN where all forecasts are the same; an interval of NaN where one experiment alone decides it.
    """
    f, o = np.asarray(forecasts, np.float64), np.asarray(outcomes, np.float64)
    centred = f - f.mean()
    spread = float(centred @ centred)
    if spread <= 0:
        return Interval(math.nan, math.nan, math.nan)
    value = float(centred @ o) / spread
    residuals = o - o.mean() - value * centred
    leverage = 1 / len(f) + centred**2 / spread
    if np.any(leverage > 1 - 1e-9):
        return Interval(value, math.nan, math.nan)
    error = math.sqrt(float((centred**2) @ (residuals / (1 - leverage)) ** 2)) / spread
    reach = float(stdtrit(len(f) - 2, 0.5 + LEVEL / 2)) * error
    return Interval(value, value - reach, value + reach)

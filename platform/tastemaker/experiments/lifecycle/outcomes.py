"""What came of an experiment's forecasts, stored when it is decided.

An experiment that may stop early stops at a lucky effect, so that the effect of its last look is too large on
average. The outcome of the primary metric, which decides when to stop, is therefore the median-unbiased
estimate over all its looks (`tastemaker.stats.group_sequential.stagewise_estimate`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from scipy.special import ndtri
from sqlalchemy import Connection, Row, select, update

from tastemaker.stats.group_sequential import stagewise_estimate
from tastemaker.storage.tables import experiment_forecasts, look_effects

_ALPHA = 0.05
_DEVIATIONS = float(ndtri(1 - _ALPHA / 2))


class MeasuredDifference(NamedTuple):
    """What was measured: a relative difference from control."""

    value: float
    error: float | None
    """Its standard error over units; None where there is no difference at all."""


def store_outcomes(connection: Connection, look: Row[Any], planned: Sequence[Row[Any]]) -> None:
    """Store, beside each forecast, what a look measured in the same metric without adjustment.

    Args:
        connection: Within the transaction of the decision.
        look: The look that the decision rests on.
        planned: The looks that could decide, with this one.
    """
    earlier = [one for one in planned if one.information < look.information]
    effects, forecasts = look_effects.c, experiment_forecasts.c
    measured = select(look_effects).where(
        effects.experiment == look.experiment,
        effects.epoch == look.epoch,
        effects.number == look.number,
        effects.slice == "",
        effects.is_adjusted.is_(False),
        effects.relative.is_not(None),
    )
    for effect in connection.execute(measured).all():
        found = _at_look(effect)
        if effect.role == "primary":
            found = _over_looks(found, look, earlier)
        connection.execute(
            update(experiment_forecasts)
            .where(
                forecasts.experiment == effect.experiment,
                forecasts.epoch == effect.epoch,
                forecasts.variant == effect.variant,
                forecasts.metric == effect.metric,
            )
            .values(outcome=found.value, outcome_error=found.error, look=effect.number)
        )


def _at_look(effect: Row[Any]) -> MeasuredDifference:
    """Return the effect of one look, with its error from the p-value of its test.

    |z| = |relative| / error, whatever level the interval was drawn at.
    """
    z = -float(ndtri(effect.p / 2)) if effect.p else math.inf
    return MeasuredDifference(effect.relative, abs(effect.relative) / z if 0 < z < math.inf else None)


def _over_looks(found: MeasuredDifference, look: Row[Any], earlier: Sequence[Row[Any]]) -> MeasuredDifference:
    """Return the outcome for whoever could have stopped at each look."""
    if found.error is None or not earlier:
        return found
    times = [*(one.information for one in earlier), look.information]
    path = stagewise_estimate(times, [one.bound for one in earlier], found.value / found.error, alpha=_ALPHA)
    unit = found.error * math.sqrt(look.information)
    return MeasuredDifference(path.drift * unit, (path.high - path.low) / (2 * _DEVIATIONS) * unit)

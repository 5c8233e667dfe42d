"""What came of an experiment's forecasts, stored when it is decided."""

from __future__ import annotations

import math
from typing import Any

from scipy.special import ndtri
from sqlalchemy import Connection, Row, select, update

from tastemaker.storage.tables import experiment_forecasts, look_effects


def store_outcomes(connection: Connection, look: Row[Any]) -> None:
    """Store, beside each forecast, what a look measured in the same metric without adjustment.

    Args:
        connection: Within the transaction of the decision.
        look: The look that the decision rests on.
    """
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
        connection.execute(
            update(experiment_forecasts)
            .where(
                forecasts.experiment == effect.experiment,
                forecasts.epoch == effect.epoch,
                forecasts.variant == effect.variant,
                forecasts.metric == effect.metric,
            )
            .values(outcome=effect.relative, outcome_error=_error(effect), look=effect.number)
        )


def _error(effect: Row[Any]) -> float | None:
    """Return the standard error of the relative difference, from the p-value of its test.

    |z| = |relative| / error, whatever level the interval was drawn at. None where there is no difference at
    all, whose z is 0.
    """
    z = -float(ndtri(effect.p / 2)) if effect.p else math.inf
    return abs(effect.relative) / z if 0 < z < math.inf else None

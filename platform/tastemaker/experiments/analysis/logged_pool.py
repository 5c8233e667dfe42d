"""Units of the log as a pool: what users really did, and an effect that is made up."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tastemaker.errors import TastemakerError
from tastemaker.experiments.analysis.unit_table import Int64, UnitTable
from tastemaker.experiments.unit_metrics import UnitMetric
from tastemaker.stats.unit_summary import Float64
from tastemaker.util.counted import counted


class LoggedPool:
    """Mature units of the log; a variant multiplies what the primary metric counts."""

    def __init__(self, units: UnitTable, metric: UnitMetric, effects: Sequence[float]) -> None:
        """Take the mature units.

        Args:
            units: Of the log, before there was an experiment.
            metric: The primary metric.
            effects: Relative effect of each variant, in the order of the design; 0 for control.

        Raises:
            TastemakerError: No unit is mature, or an effect would make values negative.
        """
        mature = units.mature()
        if not len(mature):
            raise TastemakerError(
                f"none of the log's {counted(len(units), 'unit')} is mature: there is nothing to draw from",
                fix="wait until the design's window_days are over for some, or shorten them",
            )
        if min(effects) < -1:
            raise TastemakerError(
                f"an effect is {min(effects)}, must be at least -1: a variant can't earn less than nothing",
                fix="give the effect as a relative difference, such as 0.05",
            )
        self._columns, self._over = mature.columns, metric.over
        self._factors, self._n = 1 + np.asarray(effects, np.float64), len(mature)

    def draw(self, variant: Int64, rng: np.random.Generator) -> dict[str, Float64]:
        """Return columns of units that are drawn with replacement from the log's.

        Args:
            variant: int64[n], the number of each unit's variant, in the order of the design.
            rng: The source of chance. It is advanced.

        Returns:
            Name -> float64[n]. The primary metric's column is multiplied by 1 + the variant's effect.
        """
        rows = rng.integers(self._n, size=len(variant))
        drawn = {name: values[rows] for name, values in self._columns.items()}
        drawn[self._over] = drawn[self._over] * self._factors[variant]
        return drawn

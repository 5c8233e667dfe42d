"""What users did: the matured units of an experiment by metric and variant, as a look counts them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec
import numpy as np
from sqlalchemy import Engine

from tastemaker.data.lake import Lake
from tastemaker.experiments.allocation import posteriors, probabilities_of_best
from tastemaker.experiments.analysis.unit_table import UnitTable
from tastemaker.experiments.analysis.units import UnitQuery, read_units
from tastemaker.experiments.design import Design
from tastemaker.experiments.guardrails.checks import RewardUnits
from tastemaker.experiments.guardrails.verdicts import OVER, UNDER
from tastemaker.experiments.lifecycle.epochs import epochs_in_force
from tastemaker.experiments.lifecycle.namespaces import require_namespace
from tastemaker.experiments.lifecycle.records import Experiment
from tastemaker.experiments.serving_margins import SERVING_MARGINS
from tastemaker.experiments.unit_metrics import UnitMetric, find, rewarded_types
from tastemaker.problem import ProblemSpec
from tastemaker.stats.unit_summary import UnitSummary
from tastemaker.util.durations import DAY_SECONDS

STALE_SECONDS = 2.0 * DAY_SECONDS
"""How long ago a type of event may have arrived: a source may bring events a day later."""


class RewardReader:
    """Reader of the units' figures from the lake."""

    def __init__(self, engine: Engine, lake: Lake, problem: ProblemSpec) -> None:
        """Read from a lake.

        Args:
            engine: The metadata database, with the namespaces.
            lake: Where events, requests and exposures are.
            problem: Gives each event its reward.
        """
        self._engine, self._lake, self._problem = engine, lake, problem

    def is_higher_better(self, metric: str) -> bool:
        """Return whether more of a metric is better. Raises TastemakerError if there is no such metric."""
        return find(metric, rewarded_types(self._problem)).direction != "down"

    def read(self, experiment: Experiment, *, started_at: float, now: float) -> RewardUnits | None:
        """Return the units of the epoch in force; None if events arrived too long ago to say something now.

        Args:
            experiment: The experiment, as it is stored.
            started_at: When the epoch began, seconds since 1970 UTC.
            now: Seconds since 1970 UTC.

        Raises:
            TastemakerError: A metric can't be computed.
        """
        guarded = tuple(one for one in experiment.design.guardrails if one.metric not in SERVING_MARGINS)
        design = msgspec.structs.replace(experiment.design, guardrails=guarded)
        # Of a bandit, too, only the present epoch is compared: its units have one ratio.
        query = self._query(design, experiment, range(experiment.epoch, experiment.epoch + 1), started_at)
        table = self._units(query, now)
        if now - table.until > STALE_SECONDS:
            return None
        mature = table.mature()
        return RewardUnits(
            table.counts(), {name: by_variant(mature, metric) for name, metric in query.metrics.items()}
        )

    def probabilities_of_best(self, experiment: Experiment, *, now: float) -> Mapping[str, float] | None:
        """Return the probability of each variant of a bandit that it is the best by the primary metric.

        Args:
            experiment: The experiment, of whose epochs all count whose units keep their variants.
            now: Seconds since 1970 UTC.

        Returns:
            Probabilities that add up to 1; None while there are too few matured units.

        Raises:
            TastemakerError: The metric can't be computed.
        """
        design = msgspec.structs.replace(experiment.design, guardrails=())
        with self._engine.connect() as connection:
            epochs = epochs_in_force(connection, experiment)
        query = self._query(design, experiment, epochs, 0.0)
        found = posteriors(self._units(query, now).mature(), query.metrics[design.primary])
        return None if found is None else probabilities_of_best(found)

    def _query(self, design: Design, experiment: Experiment, epochs: range, started_at: float) -> UnitQuery:
        needed = msgspec.structs.replace(design, secondary=(), slices=(), covariate_days=0)
        with self._engine.connect() as connection:
            unit = require_namespace(connection, experiment.namespace).unit
        return UnitQuery.of(needed, epochs, unit, self._problem, started_at=started_at)

    def _units(self, query: UnitQuery, now: float) -> UnitTable:
        with self._lake.connect() as lake:
            return read_units(lake, query, self._problem, datetime.fromtimestamp(now, UTC))


def by_variant(table: UnitTable, metric: UnitMetric) -> dict[str, UnitSummary]:
    """Return the summary of each variant's units.

    Args:
        table: Units with the metric's columns.
        metric: Says which columns are above and below the line.
    """
    found = {}
    for variant in table.variants:
        rows = table.rows_of(variant)
        under = np.ones(len(rows)) if metric.under is None else table.columns[metric.under][rows]
        found[variant] = UnitSummary.of({OVER: table.columns[metric.over][rows], UNDER: under})
    return found

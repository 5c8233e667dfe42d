"""All effects of a look: the primary metric by the bounds, the others by their roles, and exploratory slices.

primary      interval and test by the bound of the look; between planned looks the interval is one of the
             confidence sequence, which may be read any day
secondary    level 1 − α, p-values corrected by Benjamini and Hochberg's method: they explain, none decides
guardrail    two one-sided tests with α each against the margin: all must pass, so α is not divided
exploratory  slices and days: level 1 − α, not corrected
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property

import numpy as np
from scipy.stats import false_discovery_control

from tastemaker.experiments.analysis import decision, novelty
from tastemaker.experiments.analysis.comparison import (
    Groups,
    LookEffect,
    VariantComparison,
    guardrail_verdict,
    paired,
    summaries,
    verdict_of,
)
from tastemaker.experiments.analysis.decision import Timing
from tastemaker.experiments.analysis.unit_table import COVARIATES, Int64, UnitTable
from tastemaker.experiments.design import Design, Role
from tastemaker.experiments.unit_metrics import UnitMetric
from tastemaker.stats.significance import holm
from tastemaker.util.durations import DAY_SECONDS

MOST_SLICES = 20
"""Values of a column with figures of their own: those with the most units."""
FEWEST_IN_SLICE = 30
"""Units of variant and control that a slice or a day needs."""


@dataclass(frozen=True)
class EffectRows:
    """The effects of a look."""

    mature: UnitTable
    """Mature units, at least one."""
    design: Design
    metrics: Mapping[str, UnitMetric]
    times: Timing

    @property
    def primary(self) -> UnitMetric:
        """The metric that decides."""
        return self.metrics[self.design.primary]

    @property
    def treatments(self) -> list[str]:
        """The variants that are compared with control."""
        return treatments_of(self.design)

    @property
    def is_adjusted(self) -> bool:
        """Whether the adjusted effect decides: that is fixed by the design, not by the results."""
        return self.design.covariate_days > 0 and set(COVARIATES) <= set(self.mature.columns)

    def deciding(self) -> dict[str, LookEffect]:
        """Return the effect that decides about each variant."""
        return self._primary(self._levels(), is_adjusted=self.is_adjusted)

    def others(self) -> Iterator[LookEffect]:
        """Yield all other effects."""
        if self.is_adjusted:
            raw = self._primary(self._levels(), is_adjusted=False)
            yield from (one._replace(verdict=None) for one in raw.values())
        yield from self._secondary()
        yield from self._guardrails()
        yield from self._slices()

    @cached_property
    def _groups(self) -> dict[str, Groups]:
        """Summaries of all columns over all units, by variant: one pass serves every metric."""
        names = [self.design.primary, *self.design.secondary, *(one.metric for one in self.design.guardrails)]
        columns = [column for name in names for column in self.metrics[name].columns]
        covariates = COVARIATES if self.is_adjusted else ()
        return self._summarized(list(dict.fromkeys([*columns, *covariates])))

    def _summarized(self, names: list[str], rows: Int64 | None = None) -> dict[str, Groups]:
        by_epoch = self.design.kind == "bandit"
        found = {
            variant: summaries(self.mature, names, variant, by_epoch=by_epoch, rows=rows)
            for variant in self.design.variants
        }
        control = found[self.design.control]
        return {name: paired(found[name], control) for name in self.treatments}

    def _compare(
        self, metric: UnitMetric, variant: str, role: Role, *, is_adjusted: bool
    ) -> VariantComparison:
        return VariantComparison(metric, variant, role, "", is_adjusted, self._groups[variant])

    def _any_day(self) -> float:
        return decision.any_day_alpha(self.times, self.design.alpha / len(self.treatments))

    def _levels(self) -> dict[str, float]:
        """Return the α of this look alone by which each variant is tested."""
        if not self.times.is_due:
            return dict.fromkeys(self.treatments, self._any_day())
        p = {}
        for name in self.treatments:
            pair = self._compare(self.primary, name, "primary", is_adjusted=self.is_adjusted)
            effect = pair.effect(self.design.alpha)
            p[name] = 1.0 if effect is None else effect.p
        return decision.step_down(self.times, self.design.alpha, p)

    def _primary(self, levels: Mapping[str, float], *, is_adjusted: bool) -> dict[str, LookEffect]:
        rows = {}
        for name, level in levels.items():
            pair = self._compare(self.primary, name, "primary", is_adjusted=is_adjusted)
            effect, sequence = pair.effect(level), pair.effect(self._any_day())
            if effect is None or sequence is None:
                rows[name] = pair.row(None)._replace(verdict="undecided")
                continue
            ends = {"sequence_low": sequence.low, "sequence_high": sequence.high}
            rows[name] = pair.row(effect, **ends, verdict=self._verdict(effect.low, effect.high))
        corrected = holm([1.0 if one.p is None else one.p for one in rows.values()])
        return {
            name: one._replace(p_adjusted=None if one.p is None else float(p))
            for (name, one), p in zip(rows.items(), corrected, strict=True)
        }

    def _verdict(self, low: float, high: float) -> str:
        found = verdict_of(self.primary, low, high) if self.times.is_due else "undecided"
        return "equal" if found == "undecided" and self.times.is_last else found

    def _secondary(self) -> Iterator[LookEffect]:
        names = [name for name in dict.fromkeys(self.design.secondary) if name not in self._decisive]
        for is_adjusted in sorted({False, self.is_adjusted}):
            rows = []
            for name in names:
                for variant in self.treatments:
                    pair = self._compare(self.metrics[name], variant, "secondary", is_adjusted=is_adjusted)
                    rows.append(pair.row(pair.effect(self.design.alpha)))
            known = [one.p for one in rows if one.p is not None]
            corrected = iter(false_discovery_control(known).tolist() if known else [])
            for row in rows:
                yield row if row.p is None else row._replace(p_adjusted=next(corrected))

    @property
    def _decisive(self) -> set[str]:
        """Metrics whose role is primary or guardrail; a metric has the first role that it is given."""
        return {self.design.primary, *(one.metric for one in self.design.guardrails)}

    def _guardrails(self) -> Iterator[LookEffect]:
        for guardrail in self.design.guardrails:
            if guardrail.metric == self.design.primary:
                continue
            for variant in self.treatments:
                metric = self.metrics[guardrail.metric]
                pair = self._compare(metric, variant, "guardrail", is_adjusted=self.is_adjusted)
                effect = pair.effect(2 * self.design.alpha)
                verdict = "unknown" if effect is None else guardrail_verdict(metric, effect, guardrail.margin)
                yield pair.row(effect)._replace(verdict=verdict)

    def _slices(self) -> Iterator[LookEffect]:
        names = [*self.primary.columns, *(COVARIATES if self.is_adjusted else ())]
        for name, rows in self._slices_of_units():
            for variant, groups in self._summarized(names, rows).items():
                pair = VariantComparison(self.primary, variant, "exploratory", name, self.is_adjusted, groups)
                if min(pair.units) >= FEWEST_IN_SLICE:
                    yield pair.row(pair.effect(self.design.alpha))
        for day, found in enumerate(novelty.by_day(self.mature, self.primary)):
            control = {0: found[self.design.control]}
            for variant in self.treatments:
                groups = paired({0: found[variant]}, control)
                pair = VariantComparison(self.primary, variant, "exploratory", f"day={day}", False, groups)
                if min(pair.units) >= FEWEST_IN_SLICE:
                    yield pair.row(pair.effect(self.design.alpha))

    def _slices_of_units(self) -> Iterator[tuple[str, Int64]]:
        """Yield slices by columns of users, and units by the day of their first exposure."""
        for name, values in self.mature.slices.items():
            counts = np.bincount(values.number[values.number >= 0], minlength=len(values.names))
            for number in np.argsort(-counts, kind="stable")[:MOST_SLICES].tolist():
                yield f"{name}={values.names[number]}"[:200], np.flatnonzero(values.number == number)
        days = (self.mature.exposed_at // DAY_SECONDS).astype(np.int64)
        for day in np.unique(days).tolist():
            first, end = np.searchsorted(days, (day, day + 1))
            date = datetime.fromtimestamp(day * DAY_SECONDS, UTC).date()
            yield f"exposed={date.isoformat()}", np.arange(first, end)


def treatments_of(design: Design) -> list[str]:
    """Return the variants that are compared with control, in the order of the design."""
    return [name for name in design.variants if name != design.control]

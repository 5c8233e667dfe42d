"""Runs of a designed experiment whose truth is known: how often would it have decided right?

Units are drawn with replacement from a pool, each gets its variant by a hash as in production, and the looks
are taken as planned, until one decides. Whoever knows the pool knows the truth.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, get_args

import numpy as np

from tastemaker.errors import TastemakerError
from tastemaker.experiments.analysis.comparison import LookEffect
from tastemaker.experiments.analysis.decision import LookVerdict
from tastemaker.experiments.analysis.effect_rows import treatments_of
from tastemaker.experiments.analysis.look import Look, look_at, shares_of
from tastemaker.experiments.analysis.unit_table import Int64, UnitTable
from tastemaker.experiments.assignment import bucket
from tastemaker.experiments.design import Design
from tastemaker.experiments.plan import BUCKETS
from tastemaker.experiments.unit_metrics import UnitMetric
from tastemaker.stats.bootstrap import Interval
from tastemaker.stats.shares import wilson
from tastemaker.stats.unit_summary import Float64
from tastemaker.util.durations import DAY_SECONDS

ENROLMENT_DAYS = 14.0
"""Days over which a run's units come; only their order matters for what is decided."""
DECIDED = ("better", "worse", "equal", "invalid")
_CHUNK = 100_000


class UnitPool(Protocol):
    """Units whose outcomes can be drawn under each variant."""

    def draw(self, variant: Int64, rng: np.random.Generator) -> dict[str, Float64]:
        """Return name -> float64[n]: columns of n units, drawn with replacement.

        Args:
            variant: int64[n]: the number of each unit's variant, in the order of the design.
            rng: The source of chance.
        """


class SimulatedRun(NamedTuple):
    """One run of the experiment."""

    verdict: LookVerdict
    """Of the look that decided, or of the last one."""
    looks: int
    units: int
    """Mature units at that look."""
    covered: bool | None
    """Whether the interval of the first treatment's effect held the truth; None without an interval."""


@dataclass(frozen=True)
class SimulatedRuns:
    """What the runs of one design came to."""

    truth: dict[str, float]
    """Treatment -> true relative difference from control, of the primary metric."""
    right: LookVerdict
    """The verdict that the truth demands; `equal` where no variant differs."""
    runs: tuple[SimulatedRun, ...]

    def share(self, *verdicts: LookVerdict) -> Interval:
        """Return the share of runs with one of these verdicts, with its 95 % interval.

        No unit is lost in a simulation: every `invalid` run is a false alarm of the sample ratio.
        """
        found = Counter(one.verdict for one in self.runs)
        return wilson(sum(found[one] for one in verdicts), len(self.runs))

    @property
    def verdicts(self) -> dict[str, Interval]:
        """The share of the runs with each verdict."""
        return {one: self.share(one) for one in get_args(LookVerdict)}

    @property
    def coverage(self) -> Interval:
        """The share of runs whose last interval held the truth."""
        known = [one.covered for one in self.runs if one.covered is not None]
        return wilson(sum(known), len(known))

    @property
    def mean_units(self) -> float:
        """Mean of the mature units when a run ended."""
        return sum(one.units for one in self.runs) / len(self.runs)

    @property
    def mean_looks(self) -> float:
        """Mean number of looks until a run ended."""
        return sum(one.looks for one in self.runs) / len(self.runs)


def require_simulated_kind(design: Design) -> None:
    """Raise TastemakerError for a kind of experiment whose looks are not those of fixed shares."""
    if design.kind not in ("ab", "aa"):
        raise TastemakerError(
            f"{design.name} is of kind {design.kind}: only ab and aa can be simulated",
            fix="simulate the same variants as kind ab",
        )


def true_effects(
    design: Design, metric: UnitMetric, pool: UnitPool, *, units: int = 200_000, seed: int = 0
) -> tuple[dict[str, float], dict[str, float]]:
    """Return each treatment's true relative effect, and its simulation error.

    The same chance under each variant would need coupled draws; independent ones give an error that is known.

    Args:
        design: Names the variants.
        metric: The primary metric.
        pool: Draws outcomes.
        units: Units per variant. They are drawn in chunks.
        seed: Of the draws.

    Returns:
        Treatment -> difference from control relative to control, and treatment -> standard error of that.

    Raises:
        TastemakerError: The primary metric of control is 0, so that no effect is relative to it.
    """
    means: dict[str, tuple[float, float]] = {}
    for number, name in enumerate(design.variants):
        rng = np.random.default_rng((seed, number))
        sums, squares, n = np.zeros(2), np.zeros((2, 2)), 0
        for start in range(0, units, _CHUNK):
            drawn = pool.draw(np.full(min(_CHUNK, units - start), number), rng)
            under = np.ones(len(drawn[metric.over])) if metric.under is None else drawn[metric.under]
            rows = np.stack([drawn[metric.over], under])
            sums, squares, n = sums + rows.sum(axis=1), squares + rows @ rows.T, n + rows.shape[1]
        ratio = sums[0] / sums[1] if sums[1] else math.nan
        spread = squares[0, 0] - 2 * ratio * squares[0, 1] + ratio**2 * squares[1, 1]
        means[name] = float(ratio), math.sqrt(max(spread, 0.0)) / float(sums[1]) if sums[1] else math.nan
    control, control_error = means[design.control]
    if not control:
        raise TastemakerError(
            f"{design.control} earns nothing in {design.primary}: no effect can be simulated",
            fix="choose another primary metric, or other variants",
        )
    effects = {name: means[name][0] / control - 1 for name in treatments_of(design)}
    errors = {
        name: math.hypot(means[name][1], (1 + effects[name]) * control_error) / abs(control)
        for name in effects
    }
    return effects, errors


def right_verdict(metric: UnitMetric, truth: Mapping[str, float], errors: Mapping[str, float]) -> LookVerdict:
    """Return the verdict that the truth demands.

    Args:
        metric: Says which direction is better.
        truth: Treatment -> relative effect.
        errors: Their simulation errors: an effect within three of them is none.
    """
    sign = -1 if metric.direction == "down" else 1
    signs = [0 if abs(truth[name]) <= 3 * errors[name] else sign * truth[name] for name in truth]
    if any(one > 0 for one in signs):
        return "better"
    return "worse" if signs and all(one < 0 for one in signs) else "equal"


def simulate_runs(
    design: Design,
    metrics: Mapping[str, UnitMetric],
    pool: UnitPool,
    truth: Mapping[str, float],
    numbers: Iterable[int],
    *,
    seed: int = 0,
    on_run: Callable[[SimulatedRun], None] = lambda run: None,
) -> list[SimulatedRun]:
    """Run a design many times, each until a look decides or the plan ends.

    Args:
        design: The design, of kind ab or aa.
        metrics: Its metrics by name.
        pool: Draws outcomes.
        truth: Treatment -> true relative effect.
        numbers: The runs, by number: a run depends on its number and the seed alone.
        seed: Of all runs.
        on_run: Called after each run.

    Returns:
        The runs, in the order of the numbers.

    Raises:
        TastemakerError: The design is of another kind.
    """
    require_simulated_kind(design)
    found = []
    for number in numbers:
        run = _run(design, metrics, pool, truth, (seed, number))
        on_run(run)
        found.append(run)
    return found


def _run(
    design: Design,
    metrics: Mapping[str, UnitMetric],
    pool: UnitPool,
    truth: Mapping[str, float],
    seed: tuple[int, int],
) -> SimulatedRun:
    rng = np.random.default_rng(seed)
    units = _enrolled(design, pool, rng, f"{seed[0]}/{seed[1]}")
    past: list[float] = []
    for until in _look_times(units, design):
        look = look_at(units.as_of(until), design, metrics, past=past)
        if look.verdict in DECIDED:
            break
        if look.is_planned:
            past.append(look.information)
    return SimulatedRun(look.verdict, look.number, sum(look.units.values()), _covers(look, design, truth))


def _enrolled(design: Design, pool: UnitPool, rng: np.random.Generator, salt: str) -> UnitTable:
    """Return the planned units, assigned by the hash of production and dated evenly."""
    ends = np.cumsum([one.share for one in design.variants.values()])
    part = ends[-1] / BUCKETS
    asked = math.ceil(design.planned_units / part * 1.02) + 50
    buckets = np.array([bucket(f"{salt}/variant/0", str(unit)) for unit in range(asked)])
    variant = np.searchsorted(ends, buckets, side="right")
    kept = variant < len(ends)
    # The plan ends with the planned units: those who would come later are not drawn.
    variant = variant[kept][: design.planned_units]
    days = np.sort(rng.uniform(0.0, ENROLMENT_DAYS * DAY_SECONDS, len(variant)))
    return UnitTable.of(
        tuple(design.variants),
        variant,
        days,
        pool.draw(variant, rng),
        window_days=design.window_days,
        until=days[-1] + design.window_days * DAY_SECONDS + 1.0,
        shares=list(shares_of(design).values()),
    )


def _look_times(units: UnitTable, design: Design) -> Sequence[float]:
    """Return when each planned look has its units, mature, in seconds."""
    counts = [math.ceil(len(units) * (k + 1) / design.looks) for k in range(design.looks)]
    return [float(units.exposed_at[n - 1]) + units.window_seconds + 1e-3 for n in counts]


def _covers(look: Look, design: Design, truth: Mapping[str, float]) -> bool | None:
    """Return whether the first treatment's deciding interval holds the truth."""
    name = treatments_of(design)[0]
    found: list[LookEffect] = [
        one
        for one in look.effects
        if one.role == "primary" and one.variant == name and not one.slice and one.verdict is not None
    ]
    if not found or found[0].relative_low is None or found[0].relative_high is None:
        return None
    return found[0].relative_low <= truth[name] <= found[0].relative_high

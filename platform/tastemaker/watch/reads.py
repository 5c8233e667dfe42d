"""What the rules read: which series of a scraped page are kept, and for how long."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from typing import NamedTuple

from tastemaker.alerting.expression import Expression
from tastemaker.alerting.expressions import Offset
from tastemaker.alerting.rule import Rule
from tastemaker.alerting.series import STALE_AFTER_SECONDS, Selector

RAW_SECONDS = 900.0
"""How long every scraped sample is kept."""
FINEST_SECONDS, COARSEST_SECONDS = 60.0, 3_600.0
"""Limits of the distance of the samples that are kept for longer."""
SAMPLES_PER_WINDOW = 400
"""How many samples of a long window are enough."""
MOST_SAMPLES = 2_000
"""The most samples of one series in memory; further ones are read from the database when they are needed."""


class Read(NamedTuple):
    """The samples of a selector that one expression reads."""

    selector: Selector
    window_seconds: float
    """0 for the newest sample."""
    offset_seconds: float

    @property
    def oldest_seconds(self) -> float:
        """Age of the oldest sample that is read."""
        return self.offset_seconds + (self.window_seconds or STALE_AFTER_SECONDS)

    @property
    def spacing_seconds(self) -> float:
        """Distance of samples that is enough."""
        if not self.window_seconds:
            return FINEST_SECONDS
        enough = min(self.window_seconds / SAMPLES_PER_WINDOW, COARSEST_SECONDS)
        return max(FINEST_SECONDS, enough // FINEST_SECONDS * FINEST_SECONDS)


def reads(expression: Expression, offset: float = 0.0) -> Iterator[Read]:
    """Yield what an expression reads.

    Args:
        expression: The expression; its parts are searched, too.
        offset: By how many seconds earlier it is evaluated.
    """
    parts = [getattr(expression, field.name) for field in fields(expression)]  # type: ignore[arg-type]
    inner = [part for part in parts if isinstance(part, Expression)]
    if isinstance(expression, Offset):
        offset += expression.seconds
    for part in inner:
        yield from reads(part, offset)
    if not inner:
        window = float(getattr(expression, "seconds", 0.0))
        yield from (Read(selector, window, offset) for selector in expression.selectors())


@dataclass(frozen=True)
class Kept:
    """How the series of one metric are kept."""

    selectors: tuple[Selector, ...]
    """A series that none of them selects is dropped."""
    spacing_seconds: float = FINEST_SECONDS
    """Distance of the samples that are older than RAW_SECONDS."""
    coarser: tuple[tuple[float, float], ...] = ()
    """Age and distance of the samples that are older than that, ascending in age."""
    memory_seconds: float = RAW_SECONDS
    """Age up to which samples are in memory."""
    stored_seconds: float = 0.0
    """Age up to which samples are in the database; 0: none are."""
    far: tuple[tuple[float, float], ...] = ()
    """Ages, from and to, that are read from the database: too many samples lie between them and now."""


def kept_series(rules: Iterable[Rule], *others: Expression) -> dict[str, Kept]:
    """Return metric -> how its series are kept, for the metrics that rules and other expressions read.

    Args:
        rules: The rules that are evaluated.
        *others: Further expressions that are evaluated.
    """
    found: dict[str, list[Read]] = {}
    conditions = (one for rule in rules for one in (rule.condition.fires, rule.condition.holds))
    for expression in (*conditions, *others):
        for read in reads(expression):
            found.setdefault(read.selector.name, []).append(read)
    return {name: _kept(several) for name, several in found.items()}


def _kept(several: list[Read]) -> Kept:
    selectors = tuple(dict.fromkeys(read.selector for read in several))
    long = [read for read in several if read.oldest_seconds > RAW_SECONDS]
    if not long:
        return Kept(selectors)
    spacing = min(read.spacing_seconds for read in long)
    far = [read for read in long if read.oldest_seconds / spacing > MOST_SAMPLES and read.offset_seconds]
    near = [read for read in long if read not in far]
    ages = sorted({read.oldest_seconds for read in near})
    coarser: list[tuple[float, float]] = []
    for age in ages[:-1]:
        enough = min(read.spacing_seconds for read in near if read.oldest_seconds > age)
        if enough > (coarser[-1][1] if coarser else spacing):
            coarser.append((age, enough))
    return Kept(
        selectors,
        spacing_seconds=spacing,
        coarser=tuple(coarser),
        memory_seconds=max(ages, default=RAW_SECONDS),
        stored_seconds=max(read.oldest_seconds for read in long),
        far=tuple(sorted({(read.offset_seconds, read.oldest_seconds) for read in far})),
    )

"""Conditions that many rules share: a share or a value above a limit, of enough things that were counted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from tastemaker.alerting.expression import Expression
from tastemaker.alerting.expressions import Aggregate, Compare, Increase, Rate, Ratio, all_of
from tastemaker.alerting.rule import RESOLVE_RATIO, Condition
from tastemaker.alerting.series import Selector

UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))


class ShareLimits(Protocol):
    """The thresholds of a rule about a share."""

    @property
    def above(self) -> float:
        """The share above which the rule fires."""

    @property
    def minimum(self) -> int:
        """Fewest things in the window for the rule to fire."""


@dataclass(frozen=True)
class Total:
    """Things that are counted, of which a rule watches a share."""

    things: str
    """What is counted, such as "lists"."""
    counter: Selector
    by: tuple[str, ...]
    """The labels that distinguish the rule's alerts."""

    def increase(self, seconds: float) -> Expression:
        """Return how many there were in a window."""
        return increase(self.by, self.counter, seconds)

    def share(self, part: Selector, seconds: float) -> Expression:
        """Return the share of them that other counters have counted in a window.

        Args:
            part: The counters of the numerator.
            seconds: The length of the window.
        """
        one, other = (Aggregate("sum", self.by, Rate(counter, seconds)) for counter in (part, self.counter))
        return Ratio(one, other)


def increase(by: tuple[str, ...], counter: Selector, seconds: float) -> Expression:
    """Return the increase of counters over a window, summed by labels.

    Args:
        by: The labels that the sums keep.
        counter: Selects the counters.
        seconds: The length of the window, in seconds.
    """
    return Aggregate("sum", by, Increase(counter, seconds))


def share_above(
    total: Total, part: Selector | Expression, seconds: float, limits: ShareLimits, what: str
) -> Condition:
    """Return the condition that a share of enough things is above its limit.

    Args:
        total: Counts all things, of which the others are a share.
        part: The counters of the things in question, or their share.
        seconds: The length of the window, in seconds.
        limits: The share above which the rule fires, and the fewest things in the window.
        what: What is true of the share, such as "are not the model's".
    """
    signal = total.share(part, seconds) if isinstance(part, Selector) else part
    words = (
        f"More than {percent(limits.above)} of the {total.things} of the last {lasting(seconds)}, of "
        f"{limits.minimum} or more, {what}."
    )
    return above(signal, limits.above, words, at_least(total.increase(seconds), limits.minimum))


def above(
    signal: Expression,
    limit: float,
    words: str,
    *guards: Expression,
    resolve_ratio: float = RESOLVE_RATIO,
) -> Condition:
    """Return the condition that a signal is above a limit.

    Args:
        signal: What is measured, with a value per alert.
        limit: The value above which the rule fires, in the unit of the signal.
        words: The condition in words, guards included.
        *guards: What else must be true for the rule to fire, but not for it to stay.
        resolve_ratio: The part of the limit below which it resolves.
    """
    fires = all_of(Compare(signal, ">", limit), *guards)
    return Condition(fires, Compare(signal, ">", round(resolve_ratio * limit, 9)), words)


def at_least(signal: Expression, minimum: float) -> Expression:
    """Return the guard that a signal has a minimum.

    Args:
        signal: What is measured, such as the number of requests in a window.
        minimum: The least value, itself included, in the unit of the signal.
    """
    return Compare(signal, ">=", minimum)


def same(condition: Expression, words: str) -> Condition:
    """Return a condition that resolves as soon as it is false.

    Args:
        condition: Has a value per alert while it is true.
        words: The condition in words, for the runbook and the message.
    """
    return Condition(condition, condition, words)


def percent(share: float) -> str:
    """Return a share in per cent.

    >>> percent(0.05), percent(0.0144)
    ('5 %', '1.44 %')
    """
    return f"{share * 100:.4g} %"


def lasting(seconds: float) -> str:
    """Return the length of a window in words, as they follow "the last".

    >>> lasting(60), lasting(300), lasting(7_200), lasting(259_200)
    ('minute', '5 minutes', '2 hours', '3 days')
    """
    unit, size = next((unit, size) for unit, size in UNITS if seconds % size == 0)
    number = round(seconds / size)
    return unit if number == 1 else f"{number} {unit}s"

"""Evaluation of the rules that are due."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

from tastemaker.alerting.expression import Expression
from tastemaker.alerting.rule import Rule
from tastemaker.alerting.series import Labels, SeriesByName
from tastemaker.util.failure_log import FailureLog
from tastemaker.watch.incident import AlertState, ConditionReading

logger = logging.getLogger("tastemaker.watch")


class RuleEvaluation:
    """The rules, and when each was evaluated last."""

    def __init__(self, rules: Sequence[Rule], interval_seconds: float) -> None:
        """Begin with every rule due.

        Args:
            rules: The rules that this process evaluates.
            interval_seconds: How often `readings` is called; each call evaluates the rules that are due.
        """
        self._rules, self._interval = rules, interval_seconds
        self._evaluated: dict[str, float] = {}
        self._logs = {
            rule.name: FailureLog(logger, f"the rule {rule.name} can be evaluated again") for rule in rules
        }

    @property
    def failed(self) -> int:
        """Number of rules that can't be evaluated."""
        return sum(log.trouble is not None for log in self._logs.values())

    def readings(
        self, series: SeriesByName, now: float, known: Callable[[str], Sequence[AlertState]]
    ) -> Mapping[str, ConditionReading]:
        """Return rule -> what its condition says now, for the rules that are due.

        A rule that fails is left out and logged: its alerts stay as they are.

        Args:
            series: What was scraped.
            now: Seconds since 1970 UTC.
            known: Returns the alerts of a rule that are not ok.
        """
        found = {}
        for rule in self._rules:
            last = self._evaluated.get(rule.name)
            if last is not None and now - last < rule.evaluate_every_seconds - self._interval / 2:
                continue
            self._evaluated[rule.name] = now
            try:
                found[rule.name] = _reading(rule, series, now, known(rule.name))
                self._logs[rule.name].succeeded()
            except Exception as error:  # also of a plugin's rule: the others are evaluated
                self._logs[rule.name].failed(f"the rule {rule.name} can't be evaluated", error=error)
        return found


def _reading(rule: Rule, series: SeriesByName, now: float, known: Sequence[AlertState]) -> ConditionReading:
    """Return what a condition says; what only alerts that are not ok need is computed only for them."""
    fires = rule.condition.fires.evaluate(series, now)
    if not known:
        return ConditionReading(fires, {}, frozenset(), frozenset())
    same = rule.condition.holds is rule.condition.fires
    return ConditionReading(
        fires,
        fires if same else rule.condition.holds.evaluate(series, now),
        _data(rule.condition.fires, series, now),
        _data(rule.condition.holds, series, now),
    )


def _data(condition: Expression, series: SeriesByName, now: float) -> frozenset[Labels]:
    return condition.data(series, now)

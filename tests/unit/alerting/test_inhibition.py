"""Prometheus' own states of rules that inhibit each other: one fault pages once, and nothing pages late."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from tastemaker.alerting.rule import Rule
from tastemaker.alerting.rules import all_rules
from tastemaker.alerting.series import Series, SeriesByName
from tastemaker.settings import Settings

STEP = 15
LISTS_PER_STEP = 300
SETTLED_SECONDS = 1_500
"""How long after its end a fault is followed."""


def lists(history: int, fault: int, share: float) -> SeriesByName:
    """The counters of lists before, during and after a fault that takes a share of them from the model."""
    times = np.arange(0, history + fault + SETTLED_SECONDS + STEP, STEP)
    faulty = (times > history) & (times <= history + fault)
    bad = np.cumsum(np.where(faulty, LISTS_PER_STEP * share, 0.0))
    good = np.cumsum(np.where(faulty, LISTS_PER_STEP * (1 - share), LISTS_PER_STEP))
    labels = {"job": "tastemaker", "instance": "shop", "model": "ease"}
    return {
        "tastemaker_answers_total": [
            Series(frozenset((labels | more).items()), times.tolist(), values.tolist())
            for more, values in (
                ({"stage": "model", "reason": "none"}, good),
                ({"stage": "popular", "reason": "model_invalid"}, bad),
            )
        ]
    }


def states(rule: Rule, series: SeriesByName, times: Iterator[int]) -> dict[int, bool]:
    """Return whether Prometheus has the alert firing at each time, by `for` and `keep_firing_for`."""
    found: dict[int, bool] = {}
    since: int | None = None
    kept_since: int | None = None
    firing = False
    for now in times:
        if now % rule.evaluate_every_seconds:
            found[now] = firing
            continue
        if rule.condition.fires.evaluate(series, now):
            since, kept_since = now if since is None else since, None
            firing = firing or now - since >= rule.for_seconds
        elif firing:
            kept_since = now if kept_since is None else kept_since
            firing = now - kept_since < rule.keep_firing_seconds
            since = since if firing else None
        else:
            since = None
        found[now] = firing
    return found


@pytest.mark.parametrize("share", [0.06, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("fault", [60, 120, 600])
@pytest.mark.parametrize("history", [120, 7_200])
def test_a_fault_of_the_model_pages_by_one_rule(history: int, fault: int, share: float) -> None:
    found = {rule.name: rule for rule in all_rules(Settings())}
    series = lists(history, fault, share)
    paging = [found[name] for name in ("fallback_share", "fallback_share_quiet", "fallback_budget_burn")]
    timestamps = range(history, history + fault + SETTLED_SECONDS, 5)
    firing = {rule.name: states(rule, series, iter(timestamps)) for rule in paging}
    assert any(firing["fallback_share"].values())
    assert not any(firing["fallback_share_quiet"].values())
    alone = [
        now for now in timestamps if firing["fallback_budget_burn"][now] and not firing["fallback_share"][now]
    ]
    assert alone == []

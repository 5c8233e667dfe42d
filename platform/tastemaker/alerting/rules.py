"""All alert rules, with the thresholds of the settings."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from tastemaker.alerting import (
    answer_rules,
    data_rules,
    dependency_rules,
    drift_rules,
    experiment_rules,
    feature_rules,
    job_rules,
    list_rules,
    log_rules,
    machine_rules,
    model_rules,
    privacy_rules,
    report_rules,
    request_rules,
    rollout_rules,
    service_rules,
    watch_rules,
)
from tastemaker.alerting.plugin_rules import plugin_rules
from tastemaker.alerting.rule import Rule
from tastemaker.errors import TastemakerError
from tastemaker.settings import Settings
from tastemaker.util.spelling import did_you_mean

Provider = Callable[[Settings], Iterable[Rule]]
"""Returns rules with the thresholds of the settings."""
PROVIDERS: Final[tuple[Provider, ...]] = (
    service_rules.rules,
    answer_rules.rules,
    list_rules.rules,
    feature_rules.rules,
    request_rules.rules,
    log_rules.rules,
    dependency_rules.rules,
    drift_rules.rules,
    data_rules.rules,
    model_rules.rules,
    report_rules.rules,
    experiment_rules.rules,
    rollout_rules.rules,
    job_rules.rules,
    privacy_rules.rules,
    machine_rules.rules,
    watch_rules.rules,
)


def all_rules(settings: Settings) -> tuple[Rule, ...]:
    """Return the rules, those of installed plugins too, that the settings do not disable.

    Raises:
        PluginError: If a plugin's rules can't work.
        TastemakerError: If `alerts.disabled` names a rule that does not exist.
    """
    alerts = settings.alerts
    rules = [rule for provide in PROVIDERS for rule in provide(settings)]
    rules += plugin_rules(settings, rules)
    names = [rule.name for rule in rules]
    for name in alerts.disabled:
        if name not in names:
            raise TastemakerError(
                f"alerts.disabled has {name!r}, which is not a rule",
                fix=did_you_mean(name, names, f"the rules are {', '.join(names)}"),
            )
    return tuple(rule for rule in rules if rule.name not in alerts.disabled)

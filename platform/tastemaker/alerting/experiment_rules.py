"""Rules about experiments: what guardrails did, and whether they are checked at all."""

from __future__ import annotations

from tastemaker.alerting.conditions import same
from tastemaker.alerting.example import Example, Track, age, gauge
from tastemaker.alerting.expressions import Age, Aggregate, Compare, Gauge
from tastemaker.alerting.rule import Condition, Rule, Runbook
from tastemaker.alerting.series import metric
from tastemaker.settings import Settings

BY = ("experiment",)
MINUTE = 60
UNCHECKED_SECONDS = 15 * MINUTE
"""How old the newest check may be: one that finds nothing new is stored every five minutes."""
_SHOW = "`tastemaker experiment show NAME`, or the dashboard's page of the experiment"


def rules(settings: Settings) -> tuple[Rule, ...]:
    """Return the rules; they have no thresholds in the settings."""
    return _rolled_back(), _held(), _ratio(), _stale(), _unguarded()


def _rolled_back() -> Rule:
    return Rule(
        name="experiment_rolled_back",
        severity="ticket",
        labels=BY,
        condition=_is_above_0("experiment_rolled_back", "A guardrail rolled an experiment back."),
        summary="{experiment}: a guardrail rolled it back",
        unit="none",
        cause="experiments",
        owner="recommendations",
        runbook=Runbook(
            "Nothing: all users get what they got before the experiment.",
            f"{_SHOW}: the last change names the guardrail and its figures. `crash`: the controller could "
            "not reach the variant's service, or it answered by fallbacks; its log has the reason.",
            "Repair the variant and begin a new epoch, whose units are assigned again, or drop the "
            'experiment: `tastemaker experiment drop NAME --reason "..."`.',
            "The experiment runs again, or is decided.",
        ),
        exporter="watch",
        example=Example((_track("experiment_rolled_back"),)),
    )


def _held() -> Rule:
    return Rule(
        name="experiment_held",
        severity="ticket",
        labels=BY,
        condition=_is_above_0("experiment_held", "A guardrail holds an experiment."),
        summary="{experiment}: a guardrail holds it, so that it takes no new units",
        unit="none",
        cause="experiments",
        owner="recommendations",
        runbook=Runbook(
            "Nothing: units keep their variants, and no new ones are enrolled.",
            f"{_SHOW}: the last change names the guardrail. `sample_ratio`: units are not divided as "
            "planned. `incident`: control and all other variants were faulty at once; it is the platform's "
            "fault, and other alerts say why.",
            "After an incident: resume it. After `sample_ratio`: see `experiment_ratio`; what is resumed "
            "without a repair is not held again by the same guardrail in the epoch.",
            "The experiment runs again, or is decided.",
        ),
        exporter="watch",
        example=Example((_track("experiment_held"),)),
    )


def _ratio() -> Rule:
    return Rule(
        name="experiment_ratio",
        severity="ticket",
        labels=BY,
        condition=_is_above_0(
            "experiment_ratio_failed", "The units of an experiment are not divided as planned (p < 0.001)."
        ),
        summary="{experiment}: its units are not divided as planned, so its result can't be believed",
        unit="none",
        cause="experiments",
        owner="recommendations",
        runbook=Runbook(
            "Usually nothing; but a variant that loses users by crashes looks like this.",
            f"{_SHOW}: units by variant and by day. Compare them by country, page and kind of request. Does "
            "a variant lose requests before they are logged? Does a cache answer for one of them? Do bots "
            "take part?",
            "Repair the cause and begin a new epoch. The units until now can't be used: which ones are "
            "missing is not known.",
            "The new epoch's units are divided as planned.",
        ),
        exporter="watch",
        example=Example((_track("experiment_ratio_failed"),)),
    )


def _stale() -> Rule:
    return Rule(
        name="experiment_stale",
        severity="ticket",
        labels=BY,
        condition=_is_above_0(
            "experiment_stale_guardrails", "Guardrails of an experiment have had no current data."
        ),
        summary="{experiment}: {value} guardrails have no current data",
        unit="count",
        cause="experiments",
        owner="recommendations",
        runbook=Runbook(
            "Nothing. While it lasts, harm to users would not be seen, and no step is made.",
            f"{_SHOW}: which guardrails are `stale`. All: does the variant get traffic, is the log written "
            "(`tastemaker log search experiment:NAME`)? Those of users alone: do events arrive? The guard's "
            "log has errors of files and databases.",
            "Bring the data back. If the shop is closed at night, nothing is to be done.",
            "The newest checks are `safe` or `unknown`.",
        ),
        for_seconds=30 * MINUTE,
        evaluate_every_seconds=30,
        exporter="watch",
        example=Example(
            (_track("experiment_stale_guardrails", 5),),
            step_seconds=60,
            healthy_steps=10,
            faulty_steps=60,
            healed_steps=40,
        ),
    )


def _unguarded() -> Rule:
    checked = Aggregate("max", BY, Gauge(metric("tastemaker_experiment_checked_timestamp_seconds")))
    return Rule(
        name="experiment_unguarded",
        severity="page",
        labels=BY,
        condition=same(
            Compare(Age(checked), ">", UNCHECKED_SECONDS),
            f"The guardrails of an experiment that runs were not checked for {UNCHECKED_SECONDS // MINUTE} "
            "minutes.",
        ),
        summary="{experiment}: its guardrails were last checked {value} ago",
        unit="duration",
        cause="experiments",
        owner="operations",
        runbook=Runbook(
            "Nothing. Harm by a variant would only be stopped if its service can't be reached or answers by "
            "fallbacks alone.",
            "Does `tastemaker experiment guard --follow` run? Its log says whether the database or the log "
            "of requests can't be read.",
            "Start it: `tastemaker experiment guard --follow`. It begins with a check of everything. If it "
            "can't run: `tastemaker experiment hold NAME`, or `kill`.",
            "`tastemaker_experiment_checked_timestamp_seconds` is new.",
        ),
        for_seconds=MINUTE,
        exporter="watch",
        example=Example((age("experiment_checked_timestamp_seconds", 60, 3_600, experiment="ranker"),)),
    )


def _is_above_0(name: str, words: str) -> Condition:
    return same(Compare(Aggregate("max", BY, Gauge(metric(f"tastemaker_{name}"))), ">", 0), words)


def _track(name: str, faulty: float = 1) -> Track:
    return gauge(name, 0, faulty, experiment="ranker")

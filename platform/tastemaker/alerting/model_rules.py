"""Rules about what models are worth: the reward of their lists, what they learned, and the baseline."""

from __future__ import annotations

from tastemaker.alert_settings import AlertsSettings
from tastemaker.alerting.conditions import percent, same
from tastemaker.alerting.example import Example, age, gauge
from tastemaker.alerting.expression import Expression
from tastemaker.alerting.expressions import Age, Aggregate, And, Compare, Gauge, Ratio
from tastemaker.alerting.rule import Rule, Runbook
from tastemaker.alerting.series import metric
from tastemaker.alerting.time_of_day import by_day, day_example
from tastemaker.settings import Settings

BY_MODEL = ("model",)
VERSION = ("model", "version")


def rules(settings: Settings) -> tuple[Rule, ...]:
    """Return the rules with the thresholds of the settings."""
    return _reward_fell(settings.alerts), _model_stale(settings.alerts), _below_baseline()


def _reward(end: str, window: str) -> Expression:
    return Aggregate("max", BY_MODEL, Gauge(metric(f"tastemaker_reward_per_request{end}", window=window)))


def _reward_fell(alerts: AlertsSettings) -> Rule:
    limit = alerts.reward_fell.below
    usual = _reward("", "28d")
    fell = And(Compare(Ratio(_reward("_high", "1d"), usual), "<", limit), Compare(usual, ">", 0))
    return Rule(
        name="reward_fell",
        severity="page",
        labels=BY_MODEL,
        condition=by_day(
            alerts,
            "reward_fell",
            BY_MODEL,
            fell,
            f"The whole 95 % interval of the newest day's reward per request lies below {percent(limit)} of "
            "the reward of the 28 days before.",
        ),
        summary="{model}: the reward per request is at most {value} of that of the 28 days before",
        unit="share",
        cause="reward",
        owner="recommendations",
        runbook=Runbook(
            "Lists that they use less than before, or a shop that records less of what they do.",
            "The asset `reward_figures` has both numbers with intervals. Did feedback fall too "
            "(`feedback_gone`, `feedback_refused`)? Which version since when (`tastemaker models list`)? Do "
            "prices or the catalogue look different in the drift report? Is it a holiday?",
            'If it began with a deployment: `tastemaker models rollback --reason "..."`. If feedback is '
            "missing, repair the shop's page. If the data changed, repair the source and run again.",
            "The newest day's reward is back: `tastemaker_reward_per_request` by `window`.",
        ),
        exporter="watch",
        example=day_example(
            alerts,
            gauge("reward_per_request_high", 0.32, 0.11, model="ease", window="1d"),
            gauge("reward_per_request", 0.3, 0.3, model="ease", window="28d"),
        ),
    )


def _model_stale(alerts: AlertsSettings) -> Rule:
    loss = alerts.model_stale.loss
    learned = Aggregate("max", VERSION, Gauge(metric("tastemaker_version_data_end_timestamp_seconds")))
    stale = Aggregate("max", VERSION, Gauge(metric("tastemaker_version_stale_after_seconds")))
    return Rule(
        name="model_stale",
        severity="ticket",
        labels=VERSION,
        condition=same(
            Compare(Age(learned), ">", stale),
            f"What a served version learned is older than the age at which {percent(loss)} of the metric are "
            "lost, as `tastemaker learning-curve` measured it.",
        ),
        summary="{model} {version}: what it learned is {value} old, and that costs too much",
        unit="duration",
        cause="models",
        owner="recommendations",
        runbook=Runbook(
            "Lists that follow older tastes.",
            "Did the last run succeed (`job_failed`, `job_late`)? Is promotion frozen after a rollback "
            "(`tastemaker models list`)? Did newer versions lose to the champion (`tastemaker leaderboard`)?",
            "Train: `tastemaker run`. To end a freeze: `tastemaker models unfreeze`.",
            "A newer version is served: `tastemaker_version_data_end_timestamp_seconds`.",
        ),
        exporter="watch",
        example=Example(
            (
                age("version_data_end_timestamp_seconds", 86_400, 40 * 86_400, model="ease", version="v1"),
                gauge("version_stale_after_seconds", 35 * 86_400, 35 * 86_400, model="ease", version="v1"),
            )
        ),
    )


def _below_baseline() -> Rule:
    worse = Aggregate("max", VERSION, Gauge(metric("tastemaker_champion_below_baseline")))
    return Rule(
        name="below_baseline",
        severity="ticket",
        labels=VERSION,
        condition=same(
            Compare(worse, "==", 1),
            "The champion's recipe is significantly worse than the baseline, in the backtests that the last "
            "run compared. No newer fit of it is promoted.",
        ),
        summary="{model} {version}: the champion's recipe is worse than the baseline",
        unit="none",
        cause="models",
        owner="recommendations",
        runbook=Runbook(
            "Perhaps lists that suit them less than those of the baseline. What is served gets older.",
            "`tastemaker leaderboard` and the dashboard's page Models have the difference with its interval. "
            "Did tastes or the catalogue change (`drift`)? Then the backtest trains on days before that and "
            "is tested on days after it, which passes as days go by. Is the data right (`quarantine`, "
            "`dependency_changed`)? Do users click less, too (`reward_fell`)?",
            "If the data is wrong, repair the source and run again. If it lasts, serve the baseline: "
            "`tastemaker models promote VERSION --force REASON`, with a version that `tastemaker models "
            "versions BASELINE` lists; or find another recipe: `tastemaker tune MODEL`. A forced promotion "
            "freezes automatic promotion until `tastemaker models unfreeze --reason REASON`.",
            "After the next run `tastemaker_champion_below_baseline` is 0, or another champion is served.",
        ),
        exporter="watch",
        example=Example((gauge("champion_below_baseline", 0, 1, model="ease", version="v1"),)),
    )

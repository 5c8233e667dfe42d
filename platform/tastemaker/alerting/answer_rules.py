"""Rules about lists: whether the model answers, and on time."""

from __future__ import annotations

from typing import Final

from tastemaker.alert_settings import AlertsSettings
from tastemaker.alerting.conditions import (
    Total,
    above,
    at_least,
    increase,
    percent,
    same,
    share_above,
)
from tastemaker.alerting.example import Example, Track, counter, gauge
from tastemaker.alerting.expression import Expression
from tastemaker.alerting.expressions import Aggregate, And, Compare, Gauge, Or, Ratio, all_of
from tastemaker.alerting.rule import Condition, Rule, Runbook
from tastemaker.alerting.series import metric, one_of
from tastemaker.settings import Settings

BY = ("job", "model")
FALLBACK_REASONS: Final = (
    "model_error", "model_invalid", "model_timeout", "model_overloaded", "model_resting", "no_model",
)  # fmt: skip
"""Reasons for which a list is not the model's. `model_short` is not a fault: fewer items were allowed."""
LISTS = Total("lists", metric("tastemaker_answers_total"), BY)
FALLBACKS = metric("tastemaker_answers_total", one_of("reason", FALLBACK_REASONS))
MINUTE, HOUR, DAY = 60, 3_600, 86_400
_LOOK = (
    "`sum by (reason) (rate(tastemaker_answers_total[1m]))` says why: `model_error` (the service's log has "
    "the stack trace), `model_invalid` (scores that are not numbers, unknown items), `model_timeout` and "
    "`model_resting` (slow; see `slow`), `model_overloaded` (see `overloaded`), `no_model`. Compare its "
    "start with the last deployment: `tastemaker models versions`."
)
_ACT = (
    'If it began with a deployment: `tastemaker models rollback --reason "..."`. If not: is the machine out '
    "of processors or memory, is the feature store slow, did the data change?"
)
_PROVE = "The share of answers with another reason than `none` is back at its usual level for five minutes."


def rules(settings: Settings) -> tuple[Rule, ...]:
    """Return the rules with the thresholds of the settings."""
    alerts = settings.alerts
    return (
        _no_model(),
        _fallback_share(alerts),
        _fallback_share_quiet(alerts),
        _budget_burn(alerts),
        _budget_slow(alerts),
        _queue_choked(alerts),
        _overloaded(alerts),
    )


def _answers(
    healthy: float, faulty: float, reason: str, bad: float, stage: str = "popular"
) -> tuple[Track, Track]:
    """Return the counters of a model's lists.

    Args:
        healthy: Lists per step that the model answers, while the service is healthy.
        faulty: Lists per step that the model answers during the fault.
        reason: Why the model does not answer the others, as the label `reason` names it.
        bad: Lists per step during the fault that the model does not answer.
        stage: The stage that answers these.
    """
    return (
        counter("answers_total", healthy, faulty, model="ease", stage="model", reason="none"),
        counter("answers_total", 0, bad, model="ease", stage=stage, reason=reason),
    )


def _no_model() -> Rule:
    missing = increase(BY, metric("tastemaker_answers_total", reason="no_model"), MINUTE)
    ready = Aggregate("min", BY, Gauge(metric("tastemaker_ready")))
    return Rule(
        name="no_model",
        severity="page",
        labels=BY,
        condition=same(
            Or(Compare(ready, "==", 0), Compare(missing, ">", 0)),
            "Some worker has no version of the model loaded, or answered a list without one in the last "
            "minute.",
        ),
        summary="{model}: some worker has no version loaded, and answers without the model",
        unit="none",
        cause="answers",
        owner="recommendations",
        runbook=Runbook(
            "All users get the static list, or none.",
            "`GET /readyz` and the service's log say why no version could be loaded: damaged, missing, or of "
            "another interface version. `tastemaker models versions` has the versions.",
            'Deploy a version that loads: `tastemaker models rollback --reason "..."`. If the artifacts are '
            "damaged: `tastemaker models rebuild`, or train again.",
            "`/readyz` answers 200 with a version, and answers with reason `no_model` no longer increase.",
        ),
        for_seconds=5,
        keep_firing_seconds=2 * MINUTE,
        inhibited_by=(),
        example=Example((gauge("ready", 1, 0, model="ease"), *_answers(100, 0, "no_model", 100, "static"))),
    )


def _fallback_share(alerts: AlertsSettings) -> Rule:
    return Rule(
        name="fallback_share",
        severity="page",
        labels=BY,
        condition=share_above(LISTS, FALLBACKS, MINUTE, alerts.fallback_share, "are not the model's"),
        summary="{model}: {value} of lists are not the model's",
        unit="share",
        cause="answers",
        owner="recommendations",
        runbook=Runbook(
            "Users get precomputed or popular items in place of their own. A caller that drops lists with a "
            "`fallback` shows nothing.",
            _LOOK,
            _ACT,
            _PROVE,
        ),
        for_seconds=10,
        keep_firing_seconds=2 * MINUTE,
        inhibited_by=("no_model",),
        example=Example(_answers(100, 80, "model_error", 20)),
    )


def _fallback_share_quiet(alerts: AlertsSettings) -> Rule:
    limits, window = alerts.fallback_share_quiet, 15 * MINUTE
    busy = 15 * alerts.fallback_share.minimum
    bad = increase(BY, FALLBACKS, window)
    signal = LISTS.share(FALLBACKS, window)
    return Rule(
        name="fallback_share_quiet",
        severity="page",
        labels=BY,
        condition=above(
            signal,
            limits.above,
            f"More than {percent(limits.above)} of the lists of the last 15 minutes, and {limits.minimum} or "
            f"more, are not the model's, some of them in the last two minutes; there were fewer than {busy} "
            "lists.",
            at_least(bad, limits.minimum),
            Compare(LISTS.increase(window), "<", busy),
            Compare(increase(BY, FALLBACKS, 2 * MINUTE), ">", 0),
        ),
        summary="{model}: {value} of the few lists of the last 15 minutes are not the model's",
        unit="share",
        cause="answers",
        owner="recommendations",
        runbook=Runbook(
            "As for `fallback_share`; the service has little traffic, so that it takes longer to see.",
            _LOOK,
            _ACT,
            _PROVE,
        ),
        for_seconds=MINUTE,
        keep_firing_seconds=10 * MINUTE,
        inhibited_by=("no_model", "fallback_share"),
        example=Example(_answers(3, 2, "model_invalid", 1), faulty_steps=60, healed_steps=120),
    )


def _burns(budget: float, rate: float, *windows: float) -> Expression:
    """Return the condition that the budget burns so many times too fast in each of these windows.

    (Beyer et al., The Site Reliability Workbook, 2018, chapter 5: multiple windows, multiple burn rates.)
    """
    first, *more = (
        Compare(LISTS.share(FALLBACKS, seconds), ">", round(rate * budget, 9)) for seconds in windows
    )
    return all_of(first, *more)


def _budget_burn(alerts: AlertsSettings) -> Rule:
    budget = 1 - alerts.fallback_budget.objective
    enough = at_least(increase(BY, FALLBACKS, 5 * MINUTE), 5)
    fast = _burns(budget, 14.4, HOUR, 5 * MINUTE, 2 * MINUTE)
    slow = _burns(budget, 6, 6 * HOUR, 30 * MINUTE, 2 * MINUTE)
    return Rule(
        name="fallback_budget_burn",
        severity="page",
        labels=BY,
        condition=Condition(
            And(Or(fast, slow), enough),
            Or(fast, slow),
            f"More than {percent(14.4 * budget)} of the lists of the last hour, or more than "
            f"{percent(6 * budget)} of those of the last six hours, are not the model's; the same holds for "
            "the last minutes, and five lists or more of the last five minutes are not the model's.",
        ),
        summary="{model}: {value} of lists are not the model's, too many for the month's error budget",
        unit="share",
        cause="answers",
        owner="recommendations",
        runbook=Runbook(
            "A few per cent of users get precomputed or popular items in place of their own.",
            _LOOK + " A leak of this size often belongs to one version, one worker or one kind of user.",
            _ACT,
            _PROVE,
        ),
        evaluate_every_seconds=30,
        for_seconds=2 * MINUTE,  # not kept firing: it would outlive what inhibits it, and page late
        inhibited_by=("no_model", "fallback_share", "fallback_share_quiet"),
        example=Example(
            _answers(100, 97, "model_timeout", 3), healthy_steps=20, faulty_steps=60, healed_steps=60
        ),
    )


def _budget_slow(alerts: AlertsSettings) -> Rule:
    budget = 1 - alerts.fallback_budget.objective
    return Rule(
        name="fallback_budget_slow",
        severity="ticket",
        labels=BY,
        condition=same(
            _burns(budget, 1, 3 * DAY, 6 * HOUR),
            f"More than {percent(budget)} of the lists of the last three days and of the last six hours are "
            "not the model's.",
        ),
        summary="{model}: {value} of lists in three days are not the model's: above the budget",
        unit="share",
        cause="answers",
        owner="recommendations",
        runbook=Runbook(
            "Hardly anything; over a month it adds up.",
            _LOOK,
            "Fix it in working hours: a slow query, a model that is too slow for its deadline, rare inputs "
            "that the model can't rank.",
            "The share over six hours is below the budget.",
        ),
        evaluate_every_seconds=5 * MINUTE,
        for_seconds=HOUR,
        inhibited_by=("no_model", "fallback_share", "fallback_share_quiet", "fallback_budget_burn"),
        example=Example(
            _answers(1_000, 998, "model_timeout", 2),
            step_seconds=60,
            healthy_steps=20,
            faulty_steps=100,
            healed_steps=150,
        ),
    )


def _queue_choked(alerts: AlertsSettings) -> Rule:
    limit = alerts.queue_choked.above
    waiting, most = (
        Aggregate("max", BY, Gauge(metric(f"tastemaker_waiting_{name}")))
        for name in ("requests", "limit_requests")
    )
    return Rule(
        name="queue_choked",
        severity="page",
        labels=BY,
        condition=above(
            Ratio(waiting, most),
            limit,
            f"In a worker, more than {percent(limit)} of the requests that may wait for the model do wait.",
        ),
        summary="{model}: the queue of requests that wait for the model is {value} full",
        unit="share",
        cause="answers",
        owner="operations",
        runbook=Runbook(
            "Lists come late, and then they are not the model's.",
            "As for `overloaded`. `tastemaker_model_batch_duration_seconds` says how long the model takes.",
            "Start more workers or machines. Limit a key that floods the service: `tastemaker keys`. A "
            'version that is slower than the one before: `tastemaker models rollback --reason "..."`.',
            "`tastemaker_waiting_requests` is near 0.",
        ),
        for_seconds=20,
        keep_firing_seconds=2 * MINUTE,
        inhibited_by=("no_model", "fallback_share"),
        example=Example((
            gauge("waiting_requests", 3, 900, model="ease"),
            gauge("waiting_limit_requests", 1_000, 1_000, model="ease"),
        )),
    )  # fmt: skip


def _overloaded(alerts: AlertsSettings) -> Rule:
    refused = metric("tastemaker_answers_total", reason="model_overloaded")
    return Rule(
        name="overloaded",
        severity="page",
        labels=BY,
        condition=share_above(
            LISTS,
            refused,
            MINUTE,
            alerts.overloaded,
            "did not wait for the model, because too many requests did",
        ),
        summary="{model}: {value} of lists did not wait for the model, because too many did",
        unit="share",
        cause="answers",
        owner="operations",
        runbook=Runbook(
            "Users get precomputed or popular items in place of their own.",
            "Is there more traffic than usual (`rate(tastemaker_requests_total[1m])`), or is the model "
            "slower (`slow`)? Which worker has no processor time left "
            "(`rate(tastemaker_process_cpu_seconds_total[1m])`)?",
            "Start more workers or machines. Limit a key that floods the service: `tastemaker keys`. Large "
            "catalogues: lower `retrieval.index_items`.",
            "Answers with reason `model_overloaded` no longer increase at the day's peak.",
        ),
        for_seconds=30,
        keep_firing_seconds=2 * MINUTE,
        inhibited_by=("no_model", "fallback_share", "queue_choked"),
        example=Example(_answers(100, 98, "model_overloaded", 2)),
    )

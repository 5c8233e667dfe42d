"""Rules about what is in the lists: whether they have items, enough of them, and the model's own."""

from __future__ import annotations

from tastemaker.alert_settings import AlertsSettings
from tastemaker.alerting.answer_rules import BY, LISTS, MINUTE
from tastemaker.alerting.conditions import Total, share_above
from tastemaker.alerting.example import Example, counter
from tastemaker.alerting.rule import Rule, Runbook
from tastemaker.alerting.series import Matcher, metric, one_of
from tastemaker.settings import Settings

_OUR_ITEMS = Matcher("kind", "!=", "rank")
"""Not the caller's own items, of which the service may know none."""
ITEMS = Total("items in lists", metric("tastemaker_shown_items_total"), BY)
_LOOK = (
    "Which kind: `sum by (kind) (rate({metric}[5m]))`. What was sold out, blocked or excluded lately: an "
    "import of items, `POST /items`, the callers' `exclude` and `candidates`, a larger `k`. `tastemaker "
    "log` has the requests."
)
_ACT = (
    "Put the items back: import again, or repeat `POST /items` with the items that are available. A caller "
    "that excludes all: correct the caller. If it began with a deployment: "
    '`tastemaker models rollback --reason "..."`.'
)


def rules(settings: Settings) -> tuple[Rule, ...]:
    """Return the rules with the thresholds of the settings."""
    alerts = settings.alerts
    return _empty_lists(alerts), _short_lists(alerts), _filled_items(alerts)


def _empty_lists(alerts: AlertsSettings) -> Rule:
    empty = metric("tastemaker_empty_answers_total", _OUR_ITEMS)
    return Rule(
        name="empty_lists",
        severity="page",
        labels=BY,
        condition=share_above(LISTS, empty, MINUTE, alerts.empty_lists, "are empty"),
        summary="{model}: {value} of lists are empty",
        unit="share",
        cause="answers",
        owner="recommendations",
        runbook=Runbook(
            "Pages with an empty place for recommendations.",
            _LOOK.format(metric="tastemaker_empty_answers_total"),
            _ACT,
            "`tastemaker_empty_answers_total` no longer increases.",
        ),
        for_seconds=10,
        keep_firing_seconds=2 * MINUTE,
        inhibited_by=("no_model",),
        example=Example((
            counter("answers_total", 100, 100, model="ease", stage="model", reason="none"),
            counter("empty_answers_total", 0, 5, model="ease", kind="recommend"),
            counter("empty_answers_total", 50, 50, model="ease", kind="rank"),
        )),
    )  # fmt: skip


def _short_lists(alerts: AlertsSettings) -> Rule:
    short = metric("tastemaker_short_answers_total", _OUR_ITEMS)
    return Rule(
        name="short_lists",
        severity="ticket",
        labels=BY,
        condition=share_above(
            LISTS, short, 15 * MINUTE, alerts.short_lists, "have fewer items than were asked for"
        ),
        summary="{model}: {value} of lists have fewer items than were asked for",
        unit="share",
        cause="answers",
        owner="recommendations",
        runbook=Runbook(
            "Lists with gaps.",
            _LOOK.format(metric="tastemaker_short_answers_total"),
            _ACT,
            "`tastemaker_short_answers_total` increases as it did before.",
        ),
        for_seconds=5 * MINUTE,
        keep_firing_seconds=5 * MINUTE,
        inhibited_by=("no_model", "empty_lists"),
        example=Example(
            (
                counter("answers_total", 100, 100, model="ease", stage="model", reason="none"),
                counter("short_answers_total", 0, 50, model="ease", kind="session"),
            ),
            faulty_steps=80,
            healed_steps=100,
        ),
    )


def _filled_items(alerts: AlertsSettings) -> Rule:
    filled = metric("tastemaker_shown_items_total", one_of("source", ("precomputed", "popular", "static")))
    return Rule(
        name="filled_items",
        severity="ticket",
        labels=BY,
        condition=share_above(
            ITEMS, filled, 15 * MINUTE, alerts.filled_items, "fill gaps that the model left"
        ),
        summary="{model}: {value} of the items in lists fill gaps that the model left",
        unit="share",
        cause="answers",
        owner="recommendations",
        runbook=Runbook(
            "Part of each list is the same for all users.",
            "`sum by (source) (rate(tastemaker_shown_items_total[5m]))`, and with the reason: `sum by "
            "(reason) (rate(tastemaker_answers_total[5m]))`. `model_short`: the model ranks fewer items "
            "than are asked for, since few are left by the filters, or since it knows few.",
            "Lower `k` of the callers, train on more items, or choose a model that ranks the whole "
            "catalogue.",
            'The share of `source="model"` is back at its usual level.',
        ),
        for_seconds=5 * MINUTE,
        keep_firing_seconds=5 * MINUTE,
        inhibited_by=("no_model", "fallback_share", "fallback_share_quiet", "fallback_budget_burn"),
        example=Example(
            (
                counter("shown_items_total", 1_000, 700, model="ease", source="model"),
                counter("shown_items_total", 0, 300, model="ease", source="popular"),
            ),
            faulty_steps=80,
            healed_steps=100,
        ),
    )

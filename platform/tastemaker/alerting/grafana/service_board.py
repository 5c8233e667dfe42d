"""The board of a service: requests, lists, feedback."""

from __future__ import annotations

from tastemaker.alerting.answer_rules import FALLBACK_REASONS
from tastemaker.alerting.grafana.panel import (
    Board,
    BoardRow,
    Panel,
    PanelQuery,
    Threshold,
    chosen,
    quantile,
    rate,
    share,
)
from tastemaker.alerting.request_rules import LISTS, NOT_OF_CALLERS, REQUESTS
from tastemaker.alerting.series import Matcher, one_of
from tastemaker.settings import Settings

DURATION = "tastemaker_request_duration_seconds"
ANSWERS = "tastemaker_answers_total"
SHOWN = "tastemaker_shown_items_total"
_CALLERS = Matcher("endpoint", "!~", one_of("endpoint", NOT_OF_CALLERS).text).promql()
_OF_LISTS = one_of("endpoint", LISTS).promql()
_FEEDBACK = 'endpoint="/feedback"'
_NOT_ALL_THE_MODELS = 'reason!="none"'
FELL_BACK = one_of("reason", FALLBACK_REASONS).promql()


def service_board(settings: Settings) -> Board:
    """Return the board, with the thresholds of the settings."""
    rows = (_requests(settings), _lists(settings), _feedback(settings))
    return Board("service", "Tastemaker: service", "Requests, lists and feedback of the services.", rows)


def _requests(settings: Settings) -> BoardRow:
    alerts = settings.alerts
    slow = f"{alerts.slow.seconds:g}"
    fast = rate(f"{DURATION}_bucket", _OF_LISTS, f'le="{slow}"')
    is_list = rate(f"{DURATION}_count", _OF_LISTS)
    refused = rate(REQUESTS, _CALLERS, 'status=~"4.."')
    return BoardRow(
        "Requests",
        (
            Panel(
                "Requests",
                "HTTP requests per second by endpoint, without probes.",
                "reqps",
                (PanelQuery(f"sum by (endpoint) ({rate(REQUESTS, _CALLERS)})", "{{endpoint}}"),),
                is_stacked=True,
            ),
            Panel(
                "Errors",
                "Share of the requests that failed with a 5xx status.",
                "percentunit",
                (
                    PanelQuery(
                        share(rate(REQUESTS, _CALLERS, 'status=~"5.."'), rate(REQUESTS, _CALLERS), "job"),
                        "{{job}}",
                    ),
                ),
                Threshold(alerts.errors.above, "errors"),
            ),
            Panel(
                "Refused requests",
                "Requests per second that were refused, by status: wrong (400, 422), without a key (401, "
                "403), of an unknown host (421), or too many (429).",
                "reqps",
                (PanelQuery(f"sum by (status) ({refused})", "{{status}}"),),
            ),
            Panel(
                "Duration of lists",
                "From a request for a list to its answer: half, 95 % and 99 % of them are faster.",
                "s",
                tuple(
                    PanelQuery(quantile(q, DURATION, "job", _OF_LISTS), f"{{{{job}}}} {q:.0%}")
                    for q in (0.5, 0.95, 0.99)
                ),
                Threshold(alerts.slow.seconds, "slow"),
            ),
            Panel(
                "Slow lists",
                f"Share of the lists that took longer than {slow} s.",
                "percentunit",
                (PanelQuery(f"1 - {share(fast, is_list, 'job')}", "{{job}}"),),
                Threshold(alerts.slow.above, "slow"),
            ),
            Panel(
                "Requests for lists against last week",
                "Requests for lists per second, now and a week ago.",
                "reqps",
                (
                    PanelQuery(f"sum by (job) ({rate(REQUESTS, _OF_LISTS)})", "{{job}} now"),
                    PanelQuery(
                        f"sum by (job) ({rate(REQUESTS, _OF_LISTS, offset='7d')})", "{{job}} a week ago"
                    ),
                ),
            ),
        ),
    )


def _lists(settings: Settings) -> BoardRow:
    alerts = settings.alerts
    empty = rate("tastemaker_empty_answers_total", 'kind!="rank"')
    short = rate("tastemaker_short_answers_total", 'kind!="rank"')
    filled = rate(SHOWN, 'source=~"precomputed|popular|static"')
    waiting = chosen("tastemaker_waiting_requests")
    limit = chosen("tastemaker_waiting_limit_requests")
    return BoardRow(
        "Lists",
        (
            Panel(
                "Lists that are not the model's",
                "Share of the lists that the model did not answer, or not with sound items enough.",
                "percentunit",
                (PanelQuery(share(rate(ANSWERS, FELL_BACK), rate(ANSWERS), "model"), "{{model}}"),),
                Threshold(alerts.fallback_share.above, "fallback_share"),
            ),
            Panel(
                "Reasons",
                "Lists per second that are not (all) the model's, by reason.",
                "ops",
                (
                    PanelQuery(
                        f"sum by (model, reason) ({rate(ANSWERS, _NOT_ALL_THE_MODELS)})",
                        "{{model}} {{reason}}",
                    ),
                ),
                is_stacked=True,
            ),
            Panel(
                "Lists by what chose their first items",
                "The model, its precomputed list, popularity, or the static list.",
                "ops",
                (PanelQuery(f"sum by (stage) ({rate(ANSWERS)})", "{{stage}}"),),
                is_stacked=True,
            ),
            Panel(
                "Empty lists",
                "Share of the lists that have no item; lists that rank a caller's own items do not count.",
                "percentunit",
                (PanelQuery(share(empty, rate(ANSWERS), "model"), "{{model}}"),),
                Threshold(alerts.empty_lists.above, "empty_lists"),
            ),
            Panel(
                "Short lists",
                "Share of the lists that have items, and fewer than were asked for.",
                "percentunit",
                (PanelQuery(share(short, rate(ANSWERS), "model"), "{{model}}"),),
                Threshold(alerts.short_lists.above, "short_lists"),
            ),
            Panel(
                "Items by source",
                "Items in lists per second, by what chose each.",
                "ops",
                (PanelQuery(f"sum by (source) ({rate(SHOWN)})", "{{source}}"),),
                is_stacked=True,
            ),
            Panel(
                "Items that fill gaps",
                "Share of the items in lists that the model did not choose.",
                "percentunit",
                (PanelQuery(share(filled, rate(SHOWN), "model"), "{{model}}"),),
                Threshold(alerts.filled_items.above, "filled_items"),
            ),
            Panel(
                "Queue of the model",
                "Requests that wait for the model in the fullest worker, as a share of the most that may.",
                "percentunit",
                (PanelQuery(f"max by (model) ({waiting}) / max by (model) ({limit})", "{{model}}"),),
                Threshold(alerts.queue_choked.above, "queue_choked"),
            ),
        ),
    )


def _feedback(settings: Settings) -> BoardRow:
    events = rate("tastemaker_feedback_events_total", 'outcome="accepted"')
    refused = rate(REQUESTS, _FEEDBACK, 'status=~"429|503"')
    return BoardRow(
        "Feedback",
        (
            Panel(
                "Feedback",
                "Events of feedback per second that were acknowledged, by type.",
                "ops",
                (PanelQuery(f"sum by (event_type) ({events})", "{{event_type}}"),),
                is_stacked=True,
            ),
            Panel(
                "Refused feedback",
                "Share of the feedback requests that were refused because the log has no room (429) or can't "
                "be written (503).",
                "percentunit",
                (PanelQuery(share(refused, rate(REQUESTS, _FEEDBACK), "job"), "{{job}}"),),
                Threshold(settings.alerts.feedback_refused.above, "feedback_refused"),
            ),
            Panel(
                "Events of feedback per list",
                "Acknowledged events of feedback, divided by lists.",
                "short",
                (PanelQuery(f"sum ({events}) / sum ({rate(ANSWERS)})", "events per list"),),
            ),
        ),
    )

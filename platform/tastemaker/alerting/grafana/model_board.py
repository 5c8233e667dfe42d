"""The board of models: what is served, its features, its age, its reward, drift."""

from __future__ import annotations

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
from tastemaker.settings import Settings

USERS = "tastemaker_user_features_total"
VALUES = "tastemaker_feature_values_total"
NIGHTLY = "the nightly run writes it, from which `tastemaker watch` reads it"


def model_board(settings: Settings) -> Board:
    """Return the board, with the thresholds of the settings."""
    rows = (_versions(settings), _features(settings), _quality())
    description = "Versions, features, age, reward and drift of the models that are served."
    return Board("model", "Tastemaker: models", description, rows)


def _versions(settings: Settings) -> BoardRow:
    lag = settings.alerts.learner_behind.above_seconds
    lag = lag or 2 * settings.learning.feedback_delay_seconds + 300
    return BoardRow(
        "Versions",
        (
            Panel(
                "Served versions",
                "Processes that serve a version, by version.",
                "short",
                (
                    PanelQuery(
                        f"count by (model, version) ({chosen('tastemaker_served_version_info')})",
                        "{{model}} {{version}}",
                    ),
                ),
            ),
            Panel(
                "Another version than is wanted",
                "1 while some worker serves another version than was promoted or deployed.",
                "short",
                (
                    PanelQuery(
                        f"max by (job, instance) ({chosen('tastemaker_version_differs')})",
                        "{{job}} {{instance}}",
                    ),
                ),
                Threshold(1, "version_split"),
            ),
            Panel(
                "Changes of the served version",
                "Versions in the last hour that workers took up or refused.",
                "short",
                (
                    PanelQuery(
                        f"sum by (model, outcome) (increase({chosen('tastemaker_swaps_total')}[1h]))",
                        "{{model}} {{outcome}}",
                    ),
                ),
            ),
            Panel(
                "Duration of the model",
                "From the start of a batch to its lists: half and 99 % of the batches are faster.",
                "s",
                tuple(
                    PanelQuery(
                        quantile(q, "tastemaker_model_batch_duration_seconds", "model"),
                        f"{{{{model}}}} {q:.0%}",
                    )
                    for q in (0.5, 0.99)
                ),
            ),
            Panel(
                "Online learning behind",
                "Age of the oldest answer that the served state of a model has not learned; 0 for models "
                "that do not learn online.",
                "s",
                (PanelQuery(f"max by (model) ({chosen('tastemaker_learning_lag_seconds')})", "{{model}}"),),
                Threshold(lag, "learner_behind"),
            ),
            Panel(
                "Age of what the served version learned",
                "Time since the end of the version's data, and the age at which it is stale, as measured by "
                "`tastemaker learning-curve`.",
                "s",
                (
                    PanelQuery(
                        "time() - max by (model, version) (tastemaker_version_data_end_timestamp_seconds)",
                        "{{model}} {{version}}",
                    ),
                    PanelQuery(
                        "max by (model, version) (tastemaker_version_stale_after_seconds)",
                        "{{model}} {{version}} stale after",
                    ),
                ),
            ),
        ),
    )


def _features(settings: Settings) -> BoardRow:
    alerts = settings.alerts
    late = rate(USERS, 'outcome=~"late|failed"')
    missing = rate(VALUES, 'state!="present"')
    return BoardRow(
        "Features",
        (
            Panel(
                "Users whose features came too late",
                "Share of the users whose features the online store did not return in time.",
                "percentunit",
                (PanelQuery(share(late, rate(USERS), "model"), "{{model}}"),),
                Threshold(alerts.feature_store.above, "feature_store"),
            ),
            Panel(
                "Values that are not a number",
                "Share of the values of each user feature that were missing or not finite.",
                "percentunit",
                (PanelQuery(share(missing, rate(VALUES), "model, feature"), "{{model}} {{feature}}"),),
            ),
            Panel(
                "Missing more often than in training",
                "Share of the last day's requests without a user feature, less the share in training.",
                "percentunit",
                (
                    PanelQuery(
                        "max by (model, version, feature) (tastemaker_feature_missing_ratio) - "
                        "max by (model, version, feature) (tastemaker_feature_missing_learned_ratio)",
                        "{{model}} {{feature}}",
                    ),
                ),
                Threshold(alerts.feature_nulls.above, "feature_nulls"),
            ),
        ),
    )


def _quality() -> BoardRow:
    day = 'window="1d"'
    return BoardRow(
        "Quality",
        (
            Panel(
                "Reward per request",
                f"Of the newest day with its 95 % interval, and of the 28 days before; {NIGHTLY}.",
                "short",
                (
                    PanelQuery(f"max by (model) (tastemaker_reward_per_request{{{day}}})", "{{model}}"),
                    PanelQuery(
                        f"max by (model) (tastemaker_reward_per_request_low{{{day}}})", "{{model}} low"
                    ),
                    PanelQuery(
                        f"max by (model) (tastemaker_reward_per_request_high{{{day}}})", "{{model}} high"
                    ),
                    PanelQuery(
                        'max by (model) (tastemaker_reward_per_request{window="28d"})', "{{model}} 28 days"
                    ),
                ),
                width=12,
            ),
            Panel(
                "Drift",
                f"Distance of each column divided by its threshold; {NIGHTLY}.",
                "short",
                (
                    PanelQuery(
                        "max by (model, side, column) "
                        "(tastemaker_drift_distance / tastemaker_drift_threshold)",
                        "{{model}} {{side}} {{column}}",
                    ),
                ),
                Threshold(1, "drift"),
                width=12,
            ),
        ),
    )

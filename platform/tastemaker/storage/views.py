"""Views that BI tools read: stable names and columns over the metadata tables, without ids of users.

The migrations make them. A view only gains columns, at its end; a change that breaks readers is a new view
with the next number. What is here describes the columns, and lets Python read them.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Date, Float, Integer, MetaData, String, Table
from sqlalchemy.types import TypeEngine

from tastemaker.storage.tables.columns import UtcDateTime

views = MetaData()

KEY = (
    ("source", String, "tastemaker, or the key that reported it"),
    ("problem", String, "the problem's name"),
    ("model", String, "the model's name; empty: all models"),
    ("version", String, "the version; empty: all versions of the model"),
    ("experiment", String, "the experiment's id; empty: all requests"),
    ("variant", String, "the experiment's variant; empty: all"),
)
WINDOW = (
    ("window_start", UtcDateTime, "start of the window (included)"),
    ("window_end", UtcDateTime, "end of the window (not included)"),
)
DAY = "in the shop's time zone, for zones from UTC-10 to UTC+13:59"
WINDOW_DAYS = (
    ("first_day", Date, f"date of the window's first day {DAY}"),
    ("window_days", Float, "length of the window in days; not whole where the clock was changed"),
)
FIGURES = (
    ("unit", String, "unit of the value, such as share, days or GBP"),
    ("value", Float, "the figure; null: too little data for one"),
    ("low", Float, "lower end of the 95 % interval; null: no interval"),
    ("high", Float, "upper end of the 95 % interval; null: no interval"),
    ("n", BigInteger, "users behind the figure; null: not reported"),
)
STATE = (
    ("is_complete", Boolean, "false: later data may change it"),
    ("computed_at", UtcDateTime, "when it was computed or reported"),
)
_Columns = tuple[tuple[str, type[TypeEngine[Any]], str], ...]


def _view(name: str, meaning: str, *parts: _Columns) -> Table:
    columns = [Column(column, kind, doc=doc) for part in parts for column, kind, doc in part]
    return Table(name, views, *columns, comment=meaning)


def _figure(name: str, meaning: str) -> _Columns:
    return (
        (name, Float, meaning),
        (f"{name}_low", Float, "lower end of its 95 % interval"),
        (f"{name}_high", Float, "upper end of its 95 % interval"),
    )


v1_models = _view(
    "v1_models",
    "One row per model, ours and foreign ones.",
    (
        ("source", String, "tastemaker, or the key that reported it"),
        ("problem", String, "the problem's name"),
        ("model", String, "the model's name"),
        ("is_foreign", Boolean, "whether another system serves and reports it"),
        ("versions", BigInteger, "how many versions are known"),
        ("newest_version", String, "the newest version; null: none"),
        (
            "newest_version_at",
            UtcDateTime,
            "when it was made; of a foreign version: the first window reported",
        ),
        ("champion_version", String, "the champion, if it is a version of this model"),
        ("measured_until", UtcDateTime, "end of the newest window with a measurement"),
        ("measured_at", UtcDateTime, "when a measurement was last computed or reported"),
    ),
)
v1_versions = _view(
    "v1_versions",
    "One row per trained version.",
    (
        ("problem", String, "the problem's name"),
        ("model", String, "the model's name"),
        ("version", String, "the version"),
        ("created_at", UtcDateTime, "when it was trained"),
        ("trained_from", UtcDateTime, "start of the training window"),
        ("trained_until", UtcDateTime, "end of the training window"),
        ("training_events", Float, "events that it was trained on"),
        ("training_users", Float, "users that it was trained on"),
        ("training_items", Float, "items that it was trained on"),
        ("code_version", String, "the commit, or the versions of the distributions"),
        ("parent_version", String, "the version that was the newest before"),
        ("backtest_id", String, "its row in v1_offline; null: it has no backtest"),
        ("is_champion", Boolean, "whether it is the champion now"),
        ("promoted_at", UtcDateTime, "when it was last made the champion; null: never"),
        ("promotions", BigInteger, "how often it was made the champion"),
    ),
)
v1_offline = _view(
    "v1_offline",
    "One row per backtest and metric.",
    (
        ("backtest_id", String, "the backtest"),
        ("problem", String, "the problem's name"),
        ("model", String, "the model's name"),
        ("metric", String, "the metric's name, such as ndcg"),
        ("value", Float, "mean over users"),
        ("low", Float, "lower end of the 95 % interval; null: no interval"),
        ("high", Float, "upper end of the 95 % interval; null: no interval"),
        ("users", Integer, "evaluated users"),
        ("train_start", UtcDateTime, "start of the training window; null: the data's start"),
        ("train_end", UtcDateTime, "end of the training window"),
        ("test_end", UtcDateTime, "end of the test period"),
        ("train_seconds", Float, "time of the fit"),
        ("score_seconds", Float, "time of ranking for all users"),
        ("artifact_bytes", BigInteger, "size of the saved model"),
        ("created_at", UtcDateTime, "when the backtest was made"),
        ("listed_at", UtcDateTime, "when it was last the model's figure on the leaderboard; null: never"),
    ),
)
v1_measurements = _view(
    "v1_measurements",
    "One row per figure and window: everything that was measured or reported, except for slices by user.",
    KEY,
    (
        ("slice", String, "such as position=1; empty: no slice"),
        ("metric", String, "the metric's name"),
    ),
    WINDOW,
    WINDOW_DAYS,
    FIGURES,
    STATE,
)
v1_daily = _view(
    "v1_daily",
    "One row per model, version, experiment, variant and day.",
    KEY,
    (("day", Date, f"the day {DAY}"),),
    WINDOW,
    (
        ("users", Float, "users who were answered"),
        ("requests", Float, "requests that were answered"),
        ("impressions", Float, "items shown"),
    ),
    _figure("ctr_impression", "rewarded impressions per impression"),
    _figure("ctr_list", "share of lists with a rewarded item"),
    _figure("reward_per_request", "mean reward per request"),
    (
        ("model_answer_share", Float, "share of lists that the model filled"),
        ("fallback_share", Float, "share of lists that a fallback filled"),
        ("empty_share", Float, "share of lists without an item"),
        ("p99_ms", Float, "99th percentile of the time of an answer, in milliseconds"),
        ("lists_per_user_day", Float, "lists per user and day"),
    ),
    STATE,
)
v1_retention = _view(
    "v1_retention",
    "One row per cohort and period after its users' first day.",
    KEY,
    (
        ("metric", String, "the metric's name"),
        ("kind", String, "day, days, week, or unbounded (at least once in the period)"),
        ("first_day", Integer, "first day of the period, counted from the user's first day"),
        ("last_day", Integer, "last day of the period"),
        ("cohort_start", Date, f"date of the cohort's first day {DAY}"),
    ),
    WINDOW,
    (
        ("users", BigInteger, "users of the cohort"),
        ("share", Float, "share of them who came back in the period; null: too few users"),
        ("low", Float, "lower end of the 95 % interval"),
        ("high", Float, "upper end of the 95 % interval"),
    ),
    STATE,
)
v1_growth = _view(
    "v1_growth",
    "One row per day of the whole shop.",
    (
        ("source", String, "tastemaker, or the key that reported it"),
        ("problem", String, "the problem's name"),
        ("day", Date, f"the day, which is the last of longer windows, {DAY}"),
        ("dau", Float, "active users of the day"),
        ("wau", Float, "active users of 7 days"),
        ("mau", Float, "active users of 28 days"),
    ),
    _figure("stickiness", "mean daily active users of 28 days, as a share of mau"),
    (
        ("new_users_28", Float, "active users of 28 days who were never active before"),
        ("retained_users_28", Float, "active users of 28 days who were active in the 28 days before"),
        ("resurrected_users_28", Float, "active users of 28 days who were active only earlier"),
        ("lost_users_28", Float, "users of the 28 days before who were not active in 28 days"),
    ),
    _figure("churn_28", "lost users as a share of the users of the 28 days before"),
    _figure("resurrection_28", "resurrected users as a share of mau"),
    _figure("days_between_visits", "median of the days between two active days of a user"),
    STATE,
)
v1_experiments = _view(
    "v1_experiments",
    "One row per experiment, variant, figure and window.",
    (
        ("source", String, "tastemaker, or the key that reported it"),
        ("problem", String, "the problem's name"),
        ("experiment", String, "the experiment's id"),
        ("variant", String, "the experiment's variant; empty: all"),
        ("model", String, "the model's name; empty: all models"),
        ("version", String, "the version; empty: all versions"),
        ("slice", String, "such as position=1; empty: no slice"),
        ("metric", String, "the metric's name"),
    ),
    WINDOW,
    WINDOW_DAYS,
    FIGURES,
    STATE,
)
v1_drift = _view(
    "v1_drift",
    "One row per drift report and compared column.",
    (
        ("report_id", Integer, "the report"),
        ("problem", String, "the problem's name"),
        ("model", String, "the model's name"),
        ("version", String, "the version"),
        ("window_start", UtcDateTime, "start of the days that are compared; null: too few requests"),
        ("window_end", UtcDateTime, "end of these days"),
        ("created_at", UtcDateTime, "when the report was made"),
        ("side", String, "users, lists, choices or features"),
        ("column_name", String, "the compared column"),
        ("distance", Float, "distance from the weeks before the training ended"),
        ("threshold", Float, "distance that only a change exceeds; null: too little data for one"),
        ("relative_change", Float, "change of the mean, as a share; null: it has no mean"),
        ("n", Float, "rows that are compared"),
        ("n_reference", Float, "rows of the reference"),
        ("direction", String, "how it changed, such as higher or lower"),
        ("is_alarm", Boolean, "whether the change is more than usual"),
    ),
)
v1_alerts = _view(
    "v1_alerts",
    "One row per incident.",
    (
        ("incident", Integer, "the incident's number"),
        ("rule", String, "the rule's name"),
        ("severity", String, "page or ticket"),
        ("cause", String, "the rule's cause"),
        ("evaluated_by", String, "watch or alertmanager"),
        ("model", String, "the model that it is about; null: none"),
        ("version", String, "the version that it is about; null: none"),
        ("opened_at", UtcDateTime, "when the alert fired"),
        ("closed_at", UtcDateTime, "when it resolved; null: it is open"),
        ("is_open", Boolean, "whether it is open"),
        ("acknowledged_at", UtcDateTime, "when a person took it over"),
        ("seconds_open", BigInteger, "how long it was open; null: it still is"),
        ("seconds_to_acknowledge", BigInteger, "seconds until a person took it over"),
        ("value", Float, "the condition's value when it fired"),
        ("summary", String, "one sentence with the value"),
        ("condition", String, "the rule's condition in words"),
        ("ending", String, "why it was closed, in words"),
        ("reminders", Integer, "number of reminders"),
    ),
)
v1_jobs = _view(
    "v1_jobs",
    "One row per run of a job.",
    (
        ("run_id", String, "the run's id in the orchestrator"),
        ("job_name", String, "everything, or another job that has a name"),
        ("succeeded", Boolean, "false where it failed or was canceled"),
        ("ended_at", UtcDateTime, "when it ended"),
    ),
)

"""Views for BI tools: v1_models, v1_versions, v1_daily and others, which `storage.views` describes."""

# ruff: noqa: S608 - what the queries are put together from are constants of this file

from __future__ import annotations

from typing import NamedTuple

from alembic import op

revision = "0010"
down_revision = "0009"


class _Dialect(NamedTuple):
    """How a database writes what the two do not write alike."""

    day: str
    """Date of a time. Midnight in the shop's time zone falls on its own date if 839 minutes are added to its
    time in UTC, in every zone from UTC-10:00 to UTC+13:59."""
    day_before: str
    """Date of the day before that date."""
    seconds: str
    """Whole seconds from one time to another."""
    at_seconds: str
    """Time at so many seconds since 1970."""
    all_true: str
    text: str
    """Member of a JSON object, as text."""
    number: str
    path: str
    """Member of a member, as a number."""
    metrics: str
    """The rows (key, value) of a backtest's metrics."""
    columns: str
    """The rows (value) of a drift report's columns; none where an earlier release wrote something else."""
    is_true: str


SQLITE = _Dialect(
    day="date({0}, '+839 minutes')",
    day_before="date({0}, '+839 minutes', '-1 day')",
    seconds="(strftime('%s', {1}) - strftime('%s', {0}))",
    at_seconds="strftime('%Y-%m-%d %H:%M:%S.000000', {0}, 'unixepoch')",
    all_true="min({0})",
    text="json_extract({0}, '$.{1}')",
    number="json_extract({0}, '$.{1}')",
    path="json_extract({0}, '$.{1}.{2}')",
    metrics="json_each(b.metrics) AS m",
    columns="json_each(CASE json_type(r.summary, '$.columns') WHEN 'array' "
    "THEN json_extract(r.summary, '$.columns') ELSE '[]' END) AS c",
    is_true="json_extract({0}, '$.{1}')",
)
POSTGRES = _Dialect(
    day="CAST({0} AT TIME ZONE 'UTC' + INTERVAL '839 minutes' AS DATE)",
    day_before="CAST({0} AT TIME ZONE 'UTC' + INTERVAL '839 minutes' AS DATE) - 1",
    seconds="CAST(floor(extract(epoch FROM {1})) - floor(extract(epoch FROM {0})) AS BIGINT)",
    at_seconds="to_timestamp({0})",
    all_true="bool_and({0})",
    text="({0} ->> '{1}')",
    number="CAST({0} ->> '{1}' AS DOUBLE PRECISION)",
    path="CAST({0} -> '{1}' ->> '{2}' AS DOUBLE PRECISION)",
    metrics="LATERAL json_each(b.metrics) AS m",
    columns="LATERAL json_array_elements(CASE json_typeof(r.summary -> 'columns') WHEN 'array' "
    "THEN r.summary -> 'columns' ELSE '[]' END) AS c",
    is_true="CAST({0} ->> '{1}' AS BOOLEAN)",
)

OWN = "'tastemaker'"
KEY = "source, problem, model, version, experiment, variant"
FIGURES = "unit, value, low, high, n, is_complete, computed_at"
NO_USER = "lower(slice) NOT LIKE 'user%'"
"""A slice that names a user is left out: no view has ids of users."""
DAILY_FIGURES = ("ctr_impression", "ctr_list", "reward_per_request")
DAILY = ("model_answer_share", "fallback_share", "empty_share", "p99_ms", "lists_per_user_day")
COUNTS = ("users", "requests", "impressions")
GROWTH = {
    1: ("dau",),
    7: ("wau",),
    28: (
        "mau",
        "stickiness",
        "new_users_28",
        "retained_users_28",
        "resurrected_users_28",
        "lost_users_28",
        "churn_28",
        "resurrection_28",
        "days_between_visits",
    ),
}
WITH_INTERVAL = ("stickiness", "churn_28", "resurrection_28", "days_between_visits")
RETENTION = {
    ("retention_day_1", ""): ("day", 1, 1),
    ("retention_day_7", ""): ("day", 7, 7),
    ("retention_day_28", ""): ("day", 28, 28),
    ("retention_days_1_7", ""): ("days", 1, 7),
    ("retention_days_8_14", ""): ("days", 8, 14),
    ("retention_days_15_28", ""): ("days", 15, 28),
    ("retention_unbounded_28", ""): ("unbounded", 28, 55),
    **{("retention_week", f"week={week}"): ("week", 7 * week, 7 * week + 6) for week in range(13)},
}
"""(metric, slice) -> (kind, first day, last day after the user's first day)."""


def upgrade() -> None:
    """Create the views."""
    dialect = SQLITE if op.get_bind().dialect.name == "sqlite" else POSTGRES
    for name, query in {
        "v1_models": _models(),
        "v1_versions": _versions(dialect),
        "v1_offline": _offline(dialect),
        "v1_measurements": _measurements(dialect),
        "v1_daily": _daily(dialect),
        "v1_retention": _retention(dialect),
        "v1_growth": _growth(dialect),
        "v1_experiments": _experiments(dialect),
        "v1_drift": _drift(dialect),
        "v1_alerts": _alerts(dialect),
        "v1_jobs": "SELECT run_id, job_name, succeeded, ended_at FROM job_runs",
    }.items():
        op.execute(f"CREATE VIEW {name} AS {query}".replace(":", r"\:"))


def _models() -> str:
    return f"""
        WITH known AS (
            SELECT {OWN} AS source, problem, model FROM versions
            UNION SELECT {OWN}, problem, model FROM backtests
            UNION SELECT source, problem, model FROM measurements WHERE model <> ''
        ), made AS (
            SELECT {OWN} AS source, problem, model, id AS version, created_at FROM versions
            UNION ALL
            SELECT source, problem, model, version, min(window_start) FROM measurements
            WHERE source <> {OWN} AND model <> '' AND version <> ''
            GROUP BY source, problem, model, version
        ), numbered AS (
            SELECT source, problem, model, version, created_at,
                count(*) OVER (PARTITION BY source, problem, model) AS versions,
                row_number() OVER (
                    PARTITION BY source, problem, model ORDER BY created_at DESC, version DESC
                ) AS place
            FROM made
        ), measured AS (
            SELECT source, problem, model, max(window_end) AS measured_until, max(computed_at) AS measured_at
            FROM measurements GROUP BY source, problem, model
        ), champions AS (
            SELECT p.problem, v.model, p.version_id FROM promotions p JOIN versions v ON v.id = p.version_id
            WHERE p.id IN (SELECT max(id) FROM promotions GROUP BY problem)
        )
        SELECT k.source, k.problem, k.model, k.source <> {OWN} AS is_foreign,
            coalesce(n.versions, 0) AS versions, n.version AS newest_version,
            n.created_at AS newest_version_at, c.version_id AS champion_version,
            m.measured_until, m.measured_at
        FROM known k
        LEFT JOIN numbered n ON n.source = k.source AND n.problem = k.problem AND n.model = k.model
            AND n.place = 1
        LEFT JOIN measured m ON m.source = k.source AND m.problem = k.problem AND m.model = k.model
        LEFT JOIN champions c ON k.source = {OWN} AND c.problem = k.problem AND c.model = k.model"""


def _versions(sql: _Dialect) -> str:
    start, end = (sql.path.format("v.manifest", "window", edge) for edge in ("start", "end"))
    counts = ", ".join(
        f"{sql.path.format('v.manifest', 'counts', name)} AS training_{name}"
        for name in ("events", "users", "items")
    )
    return f"""
        SELECT v.problem, v.model, v.id AS version, v.created_at,
            {sql.at_seconds.format(start)} AS trained_from, {sql.at_seconds.format(end)} AS trained_until,
            {counts}, {sql.text.format("v.manifest", "code_version")} AS code_version,
            {sql.text.format("v.manifest", "parent")} AS parent_version, v.backtest_id,
            c.id IS NOT NULL AS is_champion, l.promoted_at,
            coalesce(l.promotions, 0) AS promotions
        FROM versions v
        LEFT JOIN promotions c ON c.version_id = v.id
            AND c.id IN (SELECT max(id) FROM promotions GROUP BY problem)
        LEFT JOIN (
            SELECT version_id, max(at) AS promoted_at, count(*) AS promotions FROM promotions
            WHERE action <> 'unfreeze' GROUP BY version_id
        ) l ON l.version_id = v.id"""


def _offline(sql: _Dialect) -> str:
    figures = ", ".join(
        f"{sql.number.format('m.value', name)} AS {name}" for name in ("value", "low", "high")
    )
    return f"""
        SELECT b.id AS backtest_id, b.problem, b.model, m.key AS metric, {figures}, b.users, b.train_start,
            b.train_end, b.test_end, b.train_seconds, b.score_seconds, b.artifact_bytes, b.created_at,
            b.listed_at
        FROM backtests b CROSS JOIN {sql.metrics}"""


def _measurements(sql: _Dialect) -> str:
    return f"""
        SELECT {KEY}, slice, metric, window_start, window_end,
            {sql.day.format("window_start")} AS first_day,
            {sql.seconds.format("window_start", "window_end")} / 86400.0 AS window_days, {FIGURES}
        FROM measurements WHERE {NO_USER}"""


def _experiments(sql: _Dialect) -> str:
    return f"""
        SELECT source, problem, experiment, variant, model, version, slice, metric, window_start, window_end,
            {sql.day.format("window_start")} AS first_day,
            {sql.seconds.format("window_start", "window_end")} / 86400.0 AS window_days, {FIGURES}
        FROM measurements WHERE experiment <> '' AND {NO_USER}"""


def _daily(sql: _Dialect) -> str:
    figures = [f"{_of(name)} AS {name}" for name in COUNTS]
    for name in DAILY_FIGURES:
        figures += _with_interval(name)
    figures += [f"{_of(name)} AS {name}" for name in DAILY]
    metrics = ", ".join(f"'{name}'" for name in (*COUNTS, *DAILY_FIGURES, *DAILY))
    return f"""
        SELECT {KEY}, {sql.day.format("window_start")} AS day, window_start, window_end, {", ".join(figures)},
            {sql.all_true.format("is_complete")} AS is_complete, max(computed_at) AS computed_at
        FROM measurements
        WHERE slice = '' AND metric IN ({metrics}) AND {_lasts(sql, 1)}
        GROUP BY {KEY}, window_start, window_end"""


def _growth(sql: _Dialect) -> str:
    figures = []
    for days, names in GROWTH.items():
        for name in names:
            width = f" AND {_lasts(sql, days)}"
            figures += (
                _with_interval(name, width) if name in WITH_INTERVAL else [f"{_of(name, width)} AS {name}"]
            )
    rows = " OR ".join(
        f"(metric IN ({', '.join(repr(name) for name in names)}) AND {_lasts(sql, days)})"
        for days, names in GROWTH.items()
    )
    return f"""
        SELECT source, problem, {sql.day_before.format("window_end")} AS day, {", ".join(figures)},
            {sql.all_true.format("is_complete")} AS is_complete, max(computed_at) AS computed_at
        FROM measurements
        WHERE model = '' AND version = '' AND experiment = '' AND variant = '' AND slice = '' AND ({rows})
        GROUP BY source, problem, window_end"""


def _retention(sql: _Dialect) -> str:
    kinds = " UNION ALL ".join(
        f"SELECT '{metric}' AS metric, '{part}' AS slice, '{kind}' AS kind, {first} AS first_day, "
        f"{last} AS last_day"
        for (metric, part), (kind, first, last) in RETENTION.items()
    )
    return f"""
        SELECT {", ".join(f"m.{name}" for name in KEY.split(", "))}, m.metric,
            k.kind, k.first_day, k.last_day,
            {sql.day.format("m.window_start")} AS cohort_start, m.window_start, m.window_end, m.n AS users,
            m.value AS share, m.low, m.high, m.is_complete, m.computed_at
        FROM measurements m JOIN ({kinds}) k ON k.metric = m.metric AND k.slice = m.slice"""


def _drift(sql: _Dialect) -> str:
    number = ", ".join(
        f"{sql.number.format('c.value', key)} AS {name}"
        for key, name in (
            ("distance", "distance"),
            ("threshold", "threshold"),
            ("relative_change", "relative_change"),
            ("n", "n"),
            ("n_reference", "n_reference"),
        )
    )
    return f"""
        SELECT r.id AS report_id, r.problem, v.model, r.version_id AS version, r.window_start, r.window_end,
            r.created_at, {sql.text.format("c.value", "side")} AS side,
            {sql.text.format("c.value", "column")} AS column_name, {number},
            {sql.text.format("c.value", "direction")} AS direction,
            {sql.is_true.format("c.value", "alarm")} AS is_alarm
        FROM reports r LEFT JOIN versions v ON v.id = r.version_id CROSS JOIN {sql.columns}
        WHERE r.kind = 'drift'"""


def _alerts(sql: _Dialect) -> str:
    return f"""
        SELECT id AS incident, rule, severity, cause, source AS evaluated_by,
            {sql.text.format("labels", "model")} AS model, {sql.text.format("labels", "version")} AS version,
            opened_at, closed_at, closed_at IS NULL AS is_open, acknowledged_at,
            {sql.seconds.format("opened_at", "closed_at")} AS seconds_open,
            {sql.seconds.format("opened_at", "acknowledged_at")} AS seconds_to_acknowledge,
            value, summary, condition, ending, reminders
        FROM alert_incidents"""


def _of(metric: str, and_where: str = "", column: str = "value") -> str:
    return f"max(CASE WHEN metric = '{metric}'{and_where} THEN {column} END)"


def _with_interval(metric: str, and_where: str = "") -> list[str]:
    ends = [f"{_of(metric, and_where, end)} AS {metric}_{end}" for end in ("low", "high")]
    return [f"{_of(metric, and_where)} AS {metric}", *ends]


def _lasts(sql: _Dialect, days: int) -> str:
    """Return the condition that a window has so many days; the clock may be changed within."""
    seconds = sql.seconds.format("window_start", "window_end")
    return f"{seconds} BETWEEN {(24 * days - 1) * 3600} AND {(24 * days + 1) * 3600}"

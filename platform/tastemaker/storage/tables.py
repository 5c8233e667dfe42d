"""The metadata tables, for SQLite and Postgres. A change here needs a migration in `migrations/`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)


class Moment(TypeDecorator[datetime]):
    """A time with a zone, read in UTC. Without it, SQLite would drop the zone without a conversion."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone, must have one")
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

ingested_days = Table(
    "ingested_days",
    metadata,
    Column("source", String(100), primary_key=True),
    Column("day", Date, primary_key=True),
    Column(
        "digest",
        String(64),
        nullable=False,
        doc="of the day's rows at the source: unchanged, it is not read again",
    ),
    Column("rows_read", BigInteger, nullable=False, doc="rows that the source had"),
    Column("rows_accepted", BigInteger, nullable=False, doc="rows that became events"),
    Column("rows_quarantined", JSON, nullable=False, doc="reason -> rows"),
    Column("ingested_at", Moment, nullable=False, doc="when the day was read"),
)

backtests = Table(
    "backtests",
    metadata,
    Column("id", String(64), primary_key=True, doc="hash of problem, model, config, data and code"),
    Column("problem", String(200), nullable=False, doc="the problem's name"),
    Column("model", String(100), nullable=False, doc="the model's name"),
    Column("config", JSON, nullable=False, doc="the model's hyperparameters"),
    Column("data_hash", String(64), nullable=False, doc="of the arrays that were trained and tested on"),
    Column("train_start", Moment, doc="start of the training window; null: the data's start"),
    Column(
        "train_end",
        Moment,
        nullable=False,
        doc="the cutoff: end of the training window, start of the test period",
    ),
    Column("test_end", Moment, nullable=False, doc="end of the test period"),
    Column(
        "metrics", JSON, nullable=False, doc="metric -> {value, low, high}: mean over users, 95 % interval"
    ),
    Column(
        "users_path",
        Text,
        nullable=False,
        doc="per-user metrics as .npz beside the artifacts, for paired tests",
    ),
    Column("users", Integer, nullable=False, doc="evaluated users"),
    Column("train_seconds", Float, nullable=False, doc="time of the fit"),
    Column("score_seconds", Float, nullable=False, doc="time of ranking for all users"),
    Column("artifact_bytes", BigInteger, nullable=False, doc="size of the saved model"),
    Column("created_at", Moment, nullable=False, doc="when the row was written"),
    Column(
        "listed_at",
        Moment,
        doc="when it was last used as the model's figure; null: never, such as one with another seed",
    ),
    Index(None, "problem", "created_at"),
)

failed_backtests = Table(
    "failed_backtests",
    metadata,
    Column("problem", String(200), primary_key=True),
    Column("model", String(100), primary_key=True),
    Column("reason", Text, nullable=False, doc="what went wrong in the model's last backtest"),
    Column("failed_at", Moment, nullable=False, doc="when it failed"),
)

seed_spreads = Table(
    "seed_spreads",
    metadata,
    Column("backtest_id", String(64), ForeignKey("backtests.id"), primary_key=True, doc="of the first seed"),
    Column("seeds", JSON, nullable=False, doc="the seeds"),
    Column("metrics", JSON, nullable=False, doc="metric -> the figure with each seed"),
    Column("created_at", Moment, nullable=False, doc="when the row was written"),
)

stalenesses = Table(
    "stalenesses",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("problem", String(200), nullable=False, doc="the problem's name"),
    Column("model", String(100), nullable=False, doc="the model's name"),
    Column("config", JSON, nullable=False, doc="the model's hyperparameters"),
    Column("data_hash", String(64), nullable=False, doc="of the arrays that were trained and tested on"),
    Column("metric", String(50), nullable=False, doc="the metric's name"),
    Column("trained_until", Moment, nullable=False, doc="the cut of the model that was not trained again"),
    Column("fresh", JSON, nullable=False, doc="{value, low, high} of the model trained again each week"),
    Column("loss_per_week", JSON, nullable=False, doc="{value, low, high} in the metric's unit"),
    Column("weeks", JSON, nullable=False, doc="a list of {age_days, difference, low, high, n, fresh, stale}"),
    Column("created_at", Moment, nullable=False, doc="when the row was written"),
    Index(None, "problem", "model", "created_at"),
)

versions = Table(
    "versions",
    metadata,
    Column("id", String(64), primary_key=True, doc="time of creation and start of the content hash"),
    Column("model", String(100), nullable=False, doc="the model's name"),
    Column("problem", String(200), nullable=False, doc="the problem's name"),
    Column("content_hash", String(64), nullable=False, doc="of all files of the version"),
    Column("manifest", JSON, nullable=False, doc="the version's manifest.json"),
    Column("backtest_id", String(64), ForeignKey("backtests.id")),
    Column("created_at", Moment, nullable=False, doc="when the row was written"),
    Index(None, "model", "created_at"),
)

promotions = Table(
    "promotions",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("problem", String(200), nullable=False, doc="the problem's name"),
    Column("version_id", String(64), ForeignKey("versions.id"), nullable=False),
    Column(
        "action",
        String(20),
        nullable=False,
        doc="promote, rollback or unfreeze; the newest row's version is the champion",
    ),
    Column("forced", Boolean, nullable=False, doc="whether the tests were overridden"),
    Column("reason", Text, nullable=False, doc="given by the person, or the figures of the tests"),
    Column("at", Moment, nullable=False, doc="when it was done"),
    Index(None, "problem", "at"),
)

reports = Table(
    "reports",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("kind", String(50), nullable=False, doc="drift, ..."),
    Column("problem", String(200), nullable=False, doc="the problem's name"),
    Column("version_id", String(64), ForeignKey("versions.id")),
    Column("summary", JSON, nullable=False, doc="what the report says, as JSON"),
    Column("path", Text, nullable=False, doc="the HTML page"),
    Column("window_start", Moment, doc="start of the rows that it covers"),
    Column("window_end", Moment, doc="end of the rows that it covers"),
    Column("created_at", Moment, nullable=False, doc="when the row was written"),
    Index(None, "kind", "created_at"),
)

forecasts = Table(
    "forecasts",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("problem", String(200), nullable=False, doc="the problem's name"),
    Column("version_id", String(64), ForeignKey("versions.id"), nullable=False),
    Column(
        "against_id",
        String(64),
        ForeignKey("versions.id"),
        doc="null: the policies that answered the requests",
    ),
    Column("estimator", String(50), nullable=False, doc="the estimator of the uplift"),
    Column(
        "estimates", JSON, nullable=False, doc="estimator -> {value, low, high}: mean reward of a request"
    ),
    Column(
        "uplift", JSON, nullable=False, doc="{difference, low, high, n}: paired by request, 95 % interval"
    ),
    Column("diagnostics", JSON, nullable=False, doc="of the log, as JSON"),
    Column("requests", Integer, nullable=False, doc="how many requests were used"),
    Column("window_start", Moment, nullable=False, doc="the first and the last request"),
    Column("window_end", Moment, nullable=False, doc="see window_start"),
    Column("created_at", Moment, nullable=False, doc="when the row was written"),
    Index(None, "version_id", "created_at"),
)

log_records = Table(
    "log_records",
    metadata,
    Column(
        "number",
        BigInteger().with_variant(Integer, "sqlite"),
        primary_key=True,
        autoincrement=True,
        doc="in the order of commits: all rows after a number are new since it was read",
    ),
    Column("kind", String(10), nullable=False, doc="request, feedback, item or user"),
    Column("key", Text, nullable=False, doc="request or event id; else the spool and the record's number"),
    Column("user_id", Text, doc="null where only the request is known"),
    Column("at", Moment, nullable=False, doc="time of the request or report, by the service's clock"),
    Column("record", JSON, nullable=False, doc="the record as JSON"),
    UniqueConstraint("kind", "key", name="uq_log_records_kind_key"),
    Index(None, "user_id"),
    Index(None, "at"),
)

alert_incidents = Table(
    "alert_incidents",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True, doc="the incident's number"),
    Column("uid", String(32), nullable=False, doc="identity before the database gave a number"),
    Column("key", String(255), nullable=False, doc="the alert's identity for receivers"),
    Column("rule", String(100), nullable=False, doc="the rule's name"),
    Column("labels", JSON, nullable=False, doc="the alert's labels"),
    Column("severity", String(10), nullable=False, doc="page or ticket"),
    Column("cause", String(50), nullable=False, doc="the rule's cause"),
    Column("source", String(20), nullable=False, doc="watch or alertmanager: who evaluated the rule"),
    Column("opened_at", Moment, nullable=False, doc="when the alert fired"),
    Column("closed_at", Moment, doc="when it resolved; null: open"),
    Column("ending", Text, doc="why it was closed, in words"),
    Column("value", Float, doc="the condition's value when it fired"),
    Column("summary", Text, nullable=False, doc="one sentence with the value"),
    Column("condition", Text, nullable=False, doc="the rule's condition in words"),
    Column("acknowledged_at", Moment, doc="when a person took it over"),
    Column("acknowledged_by", String(100), doc="who"),
    Column("notified", JSON, nullable=False, doc="names of the channels that got its trigger"),
    Column("notified_at", Moment, doc="when its trigger was due; null: it was silenced, or has no channel"),
    Column("reminders", Integer, nullable=False, doc="number of reminders"),
    UniqueConstraint("uid"),
    Index(
        "uq_alert_incidents_open_key",
        "key",
        unique=True,
        sqlite_where=text("closed_at IS NULL"),
        postgresql_where=text("closed_at IS NULL"),
    ),
    Index(None, "closed_at"),
)

alert_notes = Table(
    "alert_notes",
    metadata,
    Column("uid", String(32), primary_key=True),
    Column("incident_id", Integer, ForeignKey("alert_incidents.id"), nullable=False),
    Column("at", Moment, nullable=False, doc="when it happened"),
    Column("text", Text, nullable=False, doc="what happened, such as a related alert"),
    Index(None, "incident_id"),
)

alert_states = Table(
    "alert_states",
    metadata,
    Column("key", String(255), primary_key=True, doc="the alert's identity"),
    Column("rule", String(100), nullable=False, doc="the rule's name"),
    Column("labels", JSON, nullable=False, doc="the alert's labels"),
    Column("phase", String(10), nullable=False, doc="pending or firing; without a row: ok"),
    Column("since", Moment, nullable=False, doc="since when it is in this phase"),
    Column("quiet_since", Moment, doc="since when the condition to stay firing is false; null: it is true"),
    Column("value", Float, doc="the newest value of the condition"),
    Column("data_at", Moment, nullable=False, doc="when there was data last"),
    Column("blocked_at", Moment, doc="when another alert last kept it from being an incident of its own"),
    Column("incident_uid", String(32), doc="the incident that it belongs to"),
    Column("joined", Boolean, nullable=False, doc="whether that is another alert's incident"),
    Column("updated_at", Moment, nullable=False, doc="when the row was written"),
)

alert_outbox = Table(
    "alert_outbox",
    metadata,
    Column(
        "id", Integer, primary_key=True, autoincrement=True, doc="messages of one alert go out in this order"
    ),
    Column("incident_id", Integer, ForeignKey("alert_incidents.id"), nullable=False),
    Column("channel", String(50), nullable=False, doc="the channel's name"),
    Column("event", String(20), nullable=False, doc="trigger, reminder, acknowledge or resolve"),
    Column("n", Integer, nullable=False, doc="number of the reminder; else 0"),
    Column("key", String(255), nullable=False, doc="the alert's identity for the receiver"),
    Column(
        "delivery_id", String(120), nullable=False, doc="identity of the message, the same in every attempt"
    ),
    Column("payload", JSON, doc="the message; null until the first attempt"),
    Column("created_at", Moment, nullable=False, doc="when the event happened"),
    Column("due_at", Moment, nullable=False, doc="not before; by the database's clock"),
    Column("tries", Integer, nullable=False, doc="attempts"),
    Column("claimed_until", Moment, doc="until when one process may send it"),
    Column("finished_at", Moment, doc="when it was sent or given up; null: waiting"),
    Column("outcome", String(10), doc="sent, rejected, expired or skipped"),
    Column("detail", Text, doc="the receiver's last words"),
    UniqueConstraint("incident_id", "channel", "event", "n"),
    UniqueConstraint("delivery_id"),
    Index(None, "channel", "finished_at"),
)

alert_silences = Table(
    "alert_silences",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True, doc="the silence's number"),
    Column(
        "matchers", JSON, nullable=False, doc="label -> value; all must match, and `rule` is the rule's name"
    ),
    Column("starts_at", Moment, nullable=False, doc="from when on no person is notified"),
    Column("ends_at", Moment, nullable=False, doc="at most seven days after its start"),
    Column("created_by", String(100), nullable=False, doc="who silenced it"),
    Column("reason", Text, nullable=False, doc="why"),
    Index(None, "ends_at"),
)

watch_leases = Table(
    "watch_leases",
    metadata,
    Column("name", String(50), primary_key=True, doc="what only one process may do: evaluate"),
    Column("holder", String(100), nullable=False, doc="the process that does it"),
    Column("expires_at", Moment, nullable=False, doc="until when, by the database's clock"),
)

watch_beats = Table(
    "watch_beats",
    metadata,
    Column("watcher", String(100), primary_key=True, doc="the process: host, process id and start"),
    Column("role", String(20), nullable=False, doc="evaluates, waits or facts"),
    Column("started_at", Moment, nullable=False, doc="when the process started"),
    Column("beat_at", Moment, nullable=False, doc="when it last wrote here, by the database's clock"),
    Column("evaluated_at", Moment, doc="when it last evaluated the rules"),
)

watch_samples = Table(
    "watch_samples",
    metadata,
    Column("target", String(500), primary_key=True, doc="the scraped address"),
    Column("start_at", Moment, primary_key=True, doc="start of the hour"),
    Column(
        "block", LargeBinary, nullable=False, doc="samples of that hour, packed; see tastemaker.watch.archive"
    ),
)

gate_results = Table(
    "gate_results",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("source", String(100), nullable=False, doc="a source, user_features or item_features"),
    Column("passed", Boolean, nullable=False, doc="whether the batch was accepted"),
    Column("reason", Text, nullable=False, doc="why it was refused; empty if it was accepted"),
    Column("rows_read", BigInteger, nullable=False, doc="rows of the batch; 0 if nothing was new"),
    Column("rows_quarantined", JSON, nullable=False, doc="reason -> rows of the batch"),
    Column("checked_at", Moment, nullable=False, doc="when the row was written"),
    Index(None, "source", "id"),
)

dependency_changes = Table(
    "dependency_changes",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("kind", String(20), nullable=False, doc="source or packages"),
    Column("name", String(200), nullable=False, doc="the source's name; installed for packages"),
    Column("state", JSON, nullable=False, doc="property -> value, from then on"),
    Column("changes", JSON, nullable=False, doc="what differs from the state before, in words"),
    Column("observed_at", Moment, nullable=False, doc="when it was noticed"),
    Index(None, "kind", "name", "id"),
)

job_runs = Table(
    "job_runs",
    metadata,
    Column("run_id", String(64), primary_key=True, doc="of the orchestrator"),
    Column("job_name", String(200), nullable=False, doc="everything, or another job that has a name"),
    Column("succeeded", Boolean, nullable=False, doc="false where it failed or was canceled"),
    Column("ended_at", Moment, nullable=False, doc="when it ended"),
    Index(None, "job_name", "ended_at"),
)

queue_lengths = Table(
    "queue_lengths",
    metadata,
    Column("queue", String(200), primary_key=True, doc="runs: the runs that wait to be started"),
    Column("length", Integer, nullable=False, doc="how many wait"),
    Column("observed_at", Moment, nullable=False, doc="when that was so"),
)

reward_figures = Table(
    "reward_figures",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("problem", String(200), nullable=False, doc="the problem's name"),
    Column("model", String(100), nullable=False, doc="the model's name"),
    Column("period", String(10), nullable=False, doc="1d, or 28d for the 28 days before"),
    Column("period_start", Moment, nullable=False, doc="start of the period; impressions from then on"),
    Column("period_end", Moment, nullable=False, doc="end of the period; impressions before it"),
    Column("users", Integer, nullable=False, doc="users who were answered"),
    Column("requests", Integer, nullable=False, doc="requests that were answered"),
    Column("value", Float, nullable=False, doc="mean reward per request, of the events of the next day"),
    Column("low", Float, doc="lower end of the 95 % interval; null with too few users"),
    Column("high", Float, doc="upper end of the 95 % interval; null with too few users"),
    Column("computed_at", Moment, nullable=False, doc="the same for all figures of one computation"),
    Index(None, "problem", "computed_at"),
)

feature_cutoffs = Table(
    "feature_cutoffs",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("cutoff", Moment, nullable=False, doc="the newest cutoff that had a snapshot then"),
    Column("fingerprint", String(64), nullable=False, doc="of that snapshot's inputs and definitions"),
    Column("made_at", Moment, nullable=False, doc="when the snapshots were ready"),
)

skew_checks = Table(
    "skew_checks",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("model", String(100), nullable=False, doc="the model's name"),
    Column("version", String(64), nullable=False, doc="the version that answered the requests"),
    Column("requests", Integer, nullable=False, doc="requests whose features were compared"),
    Column("feature_values", Integer, nullable=False, doc="values that were compared"),
    Column("differing", Integer, nullable=False, doc="values that differ"),
    Column("summary", JSON, nullable=False, doc="{features, skipped, examples}, see `monitoring.skew`"),
    Column("window_start", Moment, nullable=False, doc="time of the first request"),
    Column("window_end", Moment, nullable=False, doc="time of the last request"),
    Column("checked_at", Moment, nullable=False, doc="the same for all versions of one check"),
)

"""Facts of data, models and jobs, which `monitoring` stores where they arise."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    String,
    Table,
    Text,
)

from tastemaker.storage.tables.columns import UtcDateTime, metadata

gate_results = Table(
    "gate_results",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("source", String(100), nullable=False, doc="a source, user_features or item_features"),
    Column("passed", Boolean, nullable=False, doc="whether the batch was accepted"),
    Column("reason", Text, nullable=False, doc="why it was refused; empty if it was accepted"),
    Column("rows_read", BigInteger, nullable=False, doc="rows of the batch; 0 if nothing was new"),
    Column("rows_quarantined", JSON, nullable=False, doc="reason -> rows of the batch"),
    Column("checked_at", UtcDateTime, nullable=False, doc="when the row was written"),
    Index(None, "source", "id"),
    Index(None, "passed", "checked_at"),
)

dependency_changes = Table(
    "dependency_changes",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("kind", String(20), nullable=False, doc="source or packages"),
    Column("name", String(200), nullable=False, doc="the source's name; installed for packages"),
    Column("state", JSON, nullable=False, doc="property -> value, from then on"),
    Column("changes", JSON, nullable=False, doc="what differs from the state before, in words"),
    Column("observed_at", UtcDateTime, nullable=False, doc="when it was noticed"),
    Index(None, "kind", "name", "id"),
)

job_runs = Table(
    "job_runs",
    metadata,
    Column("run_id", String(64), primary_key=True, doc="of the orchestrator"),
    Column("job_name", String(200), nullable=False, doc="everything, or another job that has a name"),
    Column("succeeded", Boolean, nullable=False, doc="false where it failed or was canceled"),
    Column("ended_at", UtcDateTime, nullable=False, doc="when it ended"),
    Index(None, "job_name", "ended_at"),
)

queue_lengths = Table(
    "queue_lengths",
    metadata,
    Column("queue", String(200), primary_key=True, doc="runs: the runs that wait to be started"),
    Column("length", Integer, nullable=False, doc="how many wait"),
    Column("observed_at", UtcDateTime, nullable=False, doc="when that was so"),
)

reward_figures = Table(
    "reward_figures",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("problem", String(200), nullable=False, doc="the problem's name"),
    Column("model", String(100), nullable=False, doc="the model's name"),
    Column("period", String(10), nullable=False, doc="1d, or 28d for the 28 days before"),
    Column("period_start", UtcDateTime, nullable=False, doc="start of the period; impressions from then on"),
    Column("period_end", UtcDateTime, nullable=False, doc="end of the period; impressions before it"),
    Column("users", Integer, nullable=False, doc="users who were answered"),
    Column("requests", Integer, nullable=False, doc="requests that were answered"),
    Column("value", Float, nullable=False, doc="mean reward per request, of the events of the next day"),
    Column("low", Float, doc="lower end of the 95 % interval; null with too few users"),
    Column("high", Float, doc="upper end of the 95 % interval; null with too few users"),
    Column("computed_at", UtcDateTime, nullable=False, doc="the same for all figures of one computation"),
    Index(None, "problem", "computed_at"),
)

feature_cutoffs = Table(
    "feature_cutoffs",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("cutoff", UtcDateTime, nullable=False, doc="the newest cutoff that had a snapshot then"),
    Column("fingerprint", String(64), nullable=False, doc="of that snapshot's inputs and definitions"),
    Column("made_at", UtcDateTime, nullable=False, doc="when the snapshots were ready"),
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
    Column("window_start", UtcDateTime, nullable=False, doc="time of the first request"),
    Column("window_end", UtcDateTime, nullable=False, doc="time of the last request"),
    Column("checked_at", UtcDateTime, nullable=False, doc="the same for all versions of one check"),
    Index(None, "checked_at"),
)

lake_readings = Table(
    "lake_readings",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("newest_events", JSON, nullable=False, doc="source -> time of its newest event, seconds UTC"),
    Column("answering", JSON, nullable=False, doc="[model, version, time of the last request], last day"),
    Column("missing_features", JSON, nullable=False, doc="shares by feature, see `monitoring.lake_reading`"),
    Column("errors", JSON, nullable=False, doc="part that could not be read -> why"),
    Column("read_at", UtcDateTime, nullable=False, doc="when the lake was read; only the newest is kept"),
)

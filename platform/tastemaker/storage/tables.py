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
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
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
    Column("rows_read", BigInteger, nullable=False),
    Column("rows_accepted", BigInteger, nullable=False),
    Column("rows_quarantined", JSON, nullable=False, doc="reason -> rows"),
    Column("ingested_at", Moment, nullable=False),
)

backtests = Table(
    "backtests",
    metadata,
    Column("id", String(64), primary_key=True, doc="hash of problem, model, config, data and code"),
    Column("problem", String(200), nullable=False),
    Column("model", String(100), nullable=False),
    Column("config", JSON, nullable=False),
    Column("data_hash", String(64), nullable=False, doc="of the arrays that were trained and tested on"),
    Column("train_start", Moment),
    Column("train_end", Moment, nullable=False),
    Column("test_end", Moment, nullable=False),
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
    Column("train_seconds", Float, nullable=False),
    Column("score_seconds", Float, nullable=False),
    Column("artifact_bytes", BigInteger, nullable=False),
    Column("created_at", Moment, nullable=False),
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
    Column("failed_at", Moment, nullable=False),
)

seed_spreads = Table(
    "seed_spreads",
    metadata,
    Column("backtest_id", String(64), ForeignKey("backtests.id"), primary_key=True, doc="of the first seed"),
    Column("seeds", JSON, nullable=False),
    Column("metrics", JSON, nullable=False, doc="metric -> the figure with each seed"),
    Column("created_at", Moment, nullable=False),
)

stalenesses = Table(
    "stalenesses",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("problem", String(200), nullable=False),
    Column("model", String(100), nullable=False),
    Column("config", JSON, nullable=False),
    Column("data_hash", String(64), nullable=False),
    Column("metric", String(50), nullable=False),
    Column("trained_until", Moment, nullable=False, doc="the cut of the model that was not trained again"),
    Column("fresh", JSON, nullable=False, doc="{value, low, high} of the model trained again each week"),
    Column("loss_per_week", JSON, nullable=False, doc="{value, low, high} in the metric's unit"),
    Column("weeks", JSON, nullable=False, doc="a list of {age_days, difference, low, high, n, fresh, stale}"),
    Column("created_at", Moment, nullable=False),
    Index(None, "problem", "model", "created_at"),
)

versions = Table(
    "versions",
    metadata,
    Column("id", String(64), primary_key=True, doc="time of creation and start of the content hash"),
    Column("model", String(100), nullable=False),
    Column("problem", String(200), nullable=False),
    Column("content_hash", String(64), nullable=False),
    Column("manifest", JSON, nullable=False),
    Column("backtest_id", String(64), ForeignKey("backtests.id")),
    Column("created_at", Moment, nullable=False),
    Index(None, "model", "created_at"),
)

promotions = Table(
    "promotions",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("problem", String(200), nullable=False),
    Column("version_id", String(64), ForeignKey("versions.id"), nullable=False),
    Column(
        "action",
        String(20),
        nullable=False,
        doc="promote, rollback or unfreeze; the newest row's version is the champion",
    ),
    Column("forced", Boolean, nullable=False),
    Column("reason", Text, nullable=False),
    Column("at", Moment, nullable=False),
    Index(None, "problem", "at"),
)

reports = Table(
    "reports",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("kind", String(50), nullable=False, doc="drift, ..."),
    Column("problem", String(200), nullable=False),
    Column("version_id", String(64), ForeignKey("versions.id")),
    Column("summary", JSON, nullable=False),
    Column("path", Text, nullable=False, doc="the HTML page"),
    Column("window_start", Moment),
    Column("window_end", Moment),
    Column("created_at", Moment, nullable=False),
    Index(None, "kind", "created_at"),
)

forecasts = Table(
    "forecasts",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("problem", String(200), nullable=False),
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
    Column("diagnostics", JSON, nullable=False),
    Column("requests", Integer, nullable=False),
    Column("window_start", Moment, nullable=False, doc="the first and the last request"),
    Column("window_end", Moment, nullable=False),
    Column("created_at", Moment, nullable=False),
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
    Column("record", JSON, nullable=False),
    UniqueConstraint("kind", "key", name="uq_log_records_kind_key"),
    Index(None, "user_id"),
    Index(None, "at"),
)

"""Backtests, versions, promotions, comparisons with the baseline, reports and forecasts."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
)

from tastemaker.storage.tables.columns import UtcDateTime, metadata

backtests = Table(
    "backtests",
    metadata,
    Column("id", String(64), primary_key=True, doc="hash of problem, model, config, data and code"),
    Column("problem", String(200), nullable=False, doc="the problem's name"),
    Column("model", String(100), nullable=False, doc="the model's name"),
    Column("config", JSON, nullable=False, doc="the model's hyperparameters"),
    Column("data_hash", String(64), nullable=False, doc="of the arrays that were trained and tested on"),
    Column("train_start", UtcDateTime, doc="start of the training window; null: the data's start"),
    Column(
        "train_end",
        UtcDateTime,
        nullable=False,
        doc="the cutoff: end of the training window, start of the test period",
    ),
    Column("test_end", UtcDateTime, nullable=False, doc="end of the test period"),
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
    Column("created_at", UtcDateTime, nullable=False, doc="when the row was written"),
    Column(
        "listed_at",
        UtcDateTime,
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
    Column("failed_at", UtcDateTime, nullable=False, doc="when it failed"),
)

seed_spreads = Table(
    "seed_spreads",
    metadata,
    Column("backtest_id", String(64), ForeignKey("backtests.id"), primary_key=True, doc="of the first seed"),
    Column("seeds", JSON, nullable=False, doc="the seeds"),
    Column("metrics", JSON, nullable=False, doc="metric -> the figure with each seed"),
    Column("created_at", UtcDateTime, nullable=False, doc="when the row was written"),
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
    Column(
        "trained_until", UtcDateTime, nullable=False, doc="the cut of the model that was not trained again"
    ),
    Column("fresh", JSON, nullable=False, doc="{value, low, high} of the model trained again each week"),
    Column("loss_per_week", JSON, nullable=False, doc="{value, low, high} in the metric's unit"),
    Column("weeks", JSON, nullable=False, doc="a list of {age_days, difference, low, high, n, fresh, stale}"),
    Column("created_at", UtcDateTime, nullable=False, doc="when the row was written"),
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
    Column("created_at", UtcDateTime, nullable=False, doc="when the row was written"),
    Index(None, "model", "created_at"),
)

deployments = Table(
    "deployments",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("model", String(100), nullable=False, doc="the model, whose services switch to the version"),
    Column("version_id", String(64), nullable=False, doc="the version's id"),
    Column("at", UtcDateTime, nullable=False, doc="when it was deployed, by `tastemaker models deploy`"),
    Index(None, "at"),
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
    Column("at", UtcDateTime, nullable=False, doc="when it was done"),
    Column("actor", String(200), doc="a person, schedule or rollout:ID; null: not recorded"),
    Index(None, "problem", "at"),
    Index(None, "problem", "id"),
)

baseline_comparisons = Table(
    "baseline_comparisons",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("problem", String(200), nullable=False, doc="the problem's name"),
    Column(
        "backtest_id",
        String(64),
        ForeignKey("backtests.id"),
        nullable=False,
        doc="of the recipe of the champion after a run",
    ),
    Column("baseline", String(100), nullable=False, doc="the baseline's model"),
    Column("metric", String(50), nullable=False, doc="the primary metric"),
    Column("difference", Float, nullable=False, doc="recipe - baseline, paired by user"),
    Column("low", Float, doc="lower end of its 95 % interval; null: there is none"),
    Column("high", Float, doc="upper end"),
    Column("n", Integer, nullable=False, doc="users who were compared"),
    Column("p", Float, nullable=False, doc="p-value, corrected for all candidates on the data"),
    Column("verdict", String(20), nullable=False, doc="better, tied or worse than the baseline"),
    Column("compared_at", UtcDateTime, nullable=False, doc="when it was compared"),
    Index(None, "problem", "id"),
)

reports = Table(
    "reports",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("kind", String(50), nullable=False, doc="drift, data_quality, ranking or ablation"),
    Column("problem", String(200), nullable=False, doc="the problem's name"),
    Column("version_id", String(64), ForeignKey("versions.id")),
    Column("summary", JSON, nullable=False, doc="what the report says, as JSON"),
    Column("path", Text, nullable=False, doc="the HTML page"),
    Column("window_start", UtcDateTime, doc="start of the rows that it covers"),
    Column("window_end", UtcDateTime, doc="end of the rows that it covers"),
    Column("created_at", UtcDateTime, nullable=False, doc="when the row was written"),
    Index(None, "kind", "created_at"),
    Index(None, "created_at"),
    Index(None, "version_id", "kind", "created_at"),
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
    Column("window_start", UtcDateTime, nullable=False, doc="the first and the last request"),
    Column("window_end", UtcDateTime, nullable=False, doc="see window_start"),
    Column("created_at", UtcDateTime, nullable=False, doc="when the row was written"),
    Index(None, "version_id", "created_at"),
)

"""Trainings with their reasons and costs, requests for trainings, and rollouts of versions."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, Float, ForeignKey, Index, Integer, String, Table, Text

from tastemaker.storage.tables.columns import UtcDateTime, metadata

trainings = Table(
    "trainings",
    metadata,
    Column("run_id", String(64), primary_key=True, doc="the orchestrator's run"),
    Column("model", String(100), primary_key=True, doc="the model's name"),
    Column("problem", String(200), nullable=False, doc="the problem's name"),
    Column(
        "reasons",
        JSON,
        nullable=False,
        doc="a list of {reason, detail}: new_data, changed_code, changed_config, stale, drift, requested, "
        "first or backfill",
    ),
    Column(
        "outcome",
        String(20),
        nullable=False,
        doc="running, evaluated (its version is not fitted yet), registered, unchanged, failed or killed",
    ),
    Column("version_id", String(64), doc="the version that was registered or found; null: none"),
    Column("problem_text", Text, doc="why it failed"),
    Column("started_at", UtcDateTime, nullable=False, doc="when it started"),
    Column("ended_at", UtcDateTime, doc="when it ended; null: it runs, or the run was killed"),
    Column("seconds", Float, doc="wall time"),
    Column("cpu_seconds", Float, doc="processor time of the child process"),
    Column("peak_bytes", BigInteger, doc="largest resident memory of the child process"),
    Column("estimated_bytes", BigInteger, doc="memory that was expected before the start"),
    Column("limit_bytes", BigInteger, doc="memory at which the child process is ended"),
    Column("events", BigInteger, doc="events of the data"),
    Column("recipe", String(32), doc="digest of the model's code and config; null: its config is wrong"),
    Index(None, "problem", "model", "started_at"),
    Index(None, "model", "started_at"),
    Index(None, "started_at"),
    Index(None, "version_id", "started_at"),
)

training_requests = Table(
    "training_requests",
    metadata,
    Column("id", String(64), primary_key=True, doc="the id that POST /train answers"),
    Column("problem", String(200), nullable=False, doc="the problem's name"),
    Column("models", JSON, nullable=False, doc="a list of models' names; empty: all enabled ones"),
    Column("actor", String(200), nullable=False, doc="the API key's name, or the person"),
    Column("reason", Text, nullable=False, doc="given by the caller"),
    Column("state", String(20), nullable=False, doc="waiting, running, done or failed"),
    Column("run_id", String(64), doc="the orchestrator's run; null: not started yet"),
    Column("problem_text", Text, doc="why it failed"),
    Column("requested_at", UtcDateTime, nullable=False, doc="when it was requested"),
    Column("ended_at", UtcDateTime, doc="when its run ended"),
    Index(None, "state", "requested_at"),
)

retraining_decisions = Table(
    "retraining_decisions",
    metadata,
    Column("problem", String(200), primary_key=True, doc="the problem's name"),
    Column("model", String(100), primary_key=True, doc="the model's name"),
    Column("decision", String(20), nullable=False, doc="trains, waits or up_to_date"),
    Column(
        "conditions",
        JSON,
        nullable=False,
        doc="a list of {name, is_met, detail}, in the order of the automation's module",
    ),
    Column("evaluated_at", UtcDateTime, nullable=False, doc="when the conditions were evaluated last"),
    Column(
        "next_at", UtcDateTime, doc="when the model is trained next at the latest; null: on an event only"
    ),
)

rollouts = Table(
    "rollouts",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("problem", String(200), nullable=False, doc="the problem's name"),
    Column("version_id", String(64), ForeignKey("versions.id"), nullable=False, doc="the new version"),
    Column(
        "champion_id",
        String(64),
        ForeignKey("versions.id"),
        doc="the champion at the start; null: there was none",
    ),
    Column("path", String(20), nullable=False, doc="rollout, experiment or offline"),
    Column(
        "state",
        String(20),
        nullable=False,
        doc="approval, shadow, canary, ramp, held, promoted, rolled_back, declined or failed",
    ),
    Column("why", Text, nullable=False, doc="why this path was taken"),
    Column(
        "advice", JSON, nullable=False, doc="the planner's figures: traffic, units, days, smallest effect"
    ),
    Column("experiment", String(100), doc="the experiment that takes the steps; null: none"),
    Column("started_at", UtcDateTime, nullable=False, doc="when it started"),
    Column("ended_at", UtcDateTime, doc="when it reached an end; null: it runs"),
    Index(None, "problem", "started_at"),
)

rollout_changes = Table(
    "rollout_changes",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("rollout_id", Integer, ForeignKey("rollouts.id"), nullable=False),
    Column("at", UtcDateTime, nullable=False, doc="when it was done"),
    Column("actor", String(200), nullable=False, doc="a person, or schedule, guardrail:NAME"),
    Column("state", String(20), nullable=False, doc="the state from then on"),
    Column("reason", Text, nullable=False, doc="why, in words"),
    Column("evidence", JSON, nullable=False, doc="the figures that it rests on"),
    Index(None, "rollout_id", "id"),
)

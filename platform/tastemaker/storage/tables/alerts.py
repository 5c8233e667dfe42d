"""Incidents, alert states, messages, silences, and the watchers."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from tastemaker.storage.tables.columns import UtcDateTime, metadata

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
    Column("source", String(20), nullable=False, doc="watch, alertmanager or orchestrator: who found it"),
    Column("opened_at", UtcDateTime, nullable=False, doc="when the alert fired"),
    Column("closed_at", UtcDateTime, doc="when it resolved; null: open"),
    Column("ending", Text, doc="why it was closed, in words"),
    Column("value", Float, doc="the condition's value when it fired"),
    Column("summary", Text, nullable=False, doc="one sentence with the value"),
    Column("condition", Text, nullable=False, doc="the rule's condition in words"),
    Column("acknowledged_at", UtcDateTime, doc="when a person took it over"),
    Column("acknowledged_by", String(100), doc="who"),
    Column("notified", JSON, nullable=False, doc="names of the channels that got its trigger"),
    Column(
        "notified_at", UtcDateTime, doc="when its trigger was due; null: it was silenced, or has no channel"
    ),
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
    Column("at", UtcDateTime, nullable=False, doc="when it happened"),
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
    Column("since", UtcDateTime, nullable=False, doc="since when it is in this phase"),
    Column(
        "quiet_since", UtcDateTime, doc="since when the condition to stay firing is false; null: it is true"
    ),
    Column("value", Float, doc="the newest value of the condition"),
    Column("data_at", UtcDateTime, nullable=False, doc="when there was data last"),
    Column(
        "blocked_at", UtcDateTime, doc="when another alert last kept it from being an incident of its own"
    ),
    Column("incident_uid", String(32), doc="the incident that it belongs to"),
    Column("joined", Boolean, nullable=False, doc="whether that is another alert's incident"),
    Column("updated_at", UtcDateTime, nullable=False, doc="when the row was written"),
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
    Column("created_at", UtcDateTime, nullable=False, doc="when the event happened"),
    Column("due_at", UtcDateTime, nullable=False, doc="not before; by the database's clock"),
    Column("tries", Integer, nullable=False, doc="attempts"),
    Column("claimed_until", UtcDateTime, doc="until when one process may send it"),
    Column("finished_at", UtcDateTime, doc="when it was sent or given up; null: waiting"),
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
    Column("starts_at", UtcDateTime, nullable=False, doc="from when on no person is notified"),
    Column("ends_at", UtcDateTime, nullable=False, doc="at most seven days after its start"),
    Column("created_by", String(100), nullable=False, doc="who silenced it"),
    Column("reason", Text, nullable=False, doc="why"),
    Index(None, "ends_at"),
)

watch_leases = Table(
    "watch_leases",
    metadata,
    Column("name", String(50), primary_key=True, doc="what only one process may do: evaluate"),
    Column("holder", String(100), nullable=False, doc="the process that does it"),
    Column("expires_at", UtcDateTime, nullable=False, doc="until when, by the database's clock"),
)

watch_beats = Table(
    "watch_beats",
    metadata,
    Column("watcher", String(100), primary_key=True, doc="the process: host, process id and start"),
    Column("role", String(20), nullable=False, doc="evaluates, waits or facts"),
    Column("started_at", UtcDateTime, nullable=False, doc="when the process started"),
    Column("beat_at", UtcDateTime, nullable=False, doc="when it last wrote here, by the database's clock"),
    Column("evaluated_at", UtcDateTime, doc="when it last evaluated the rules"),
)

watch_samples = Table(
    "watch_samples",
    metadata,
    Column("target", String(500), primary_key=True, doc="the scraped address"),
    Column("start_at", UtcDateTime, primary_key=True, doc="start of the hour"),
    Column(
        "block", LargeBinary, nullable=False, doc="samples of that hour, packed; see tastemaker.watch.archive"
    ),
)

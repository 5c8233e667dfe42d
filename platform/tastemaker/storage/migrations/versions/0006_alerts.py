"""Alerts: states, incidents, the outbox, silences, and who evaluates."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "alert_incidents",
        sa.Column("id", sa.Integer, nullable=False, autoincrement=True),
        sa.Column("uid", sa.String(32), nullable=False),
        sa.Column("key", sa.String(255), nullable=False),
        sa.Column("rule", sa.String(100), nullable=False),
        sa.Column("labels", sa.JSON, nullable=False),
        sa.Column("severity", sa.String(10), nullable=False),
        sa.Column("cause", sa.String(50), nullable=False),
        sa.Column("source", sa.String(20), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True)),
        sa.Column("ending", sa.Text),
        sa.Column("value", sa.Float),
        sa.Column("summary", sa.Text, nullable=False),
        sa.Column("condition", sa.Text, nullable=False),
        sa.Column("acknowledged_at", sa.DateTime(timezone=True)),
        sa.Column("acknowledged_by", sa.String(100)),
        sa.Column("notified", sa.JSON, nullable=False),
        sa.Column("notified_at", sa.DateTime(timezone=True)),
        sa.Column("reminders", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_alert_incidents"),
        sa.UniqueConstraint("uid", name="uq_alert_incidents_uid"),
    )
    op.create_index("ix_alert_incidents_closed_at", "alert_incidents", ["closed_at"])
    still_open = sa.text("closed_at IS NULL")
    op.create_index(
        "uq_alert_incidents_open_key",
        "alert_incidents",
        ["key"],
        unique=True,
        sqlite_where=still_open,
        postgresql_where=still_open,
    )
    op.create_table(
        "alert_notes",
        sa.Column("uid", sa.String(32), nullable=False),
        sa.Column("incident_id", sa.Integer, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("uid", name="pk_alert_notes"),
        sa.ForeignKeyConstraint(["incident_id"], ["alert_incidents.id"], name="fk_alert_notes_incident_id"),
    )
    op.create_index("ix_alert_notes_incident_id", "alert_notes", ["incident_id"])
    op.create_table(
        "alert_states",
        sa.Column("key", sa.String(255), nullable=False),
        sa.Column("rule", sa.String(100), nullable=False),
        sa.Column("labels", sa.JSON, nullable=False),
        sa.Column("phase", sa.String(10), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("quiet_since", sa.DateTime(timezone=True)),
        sa.Column("value", sa.Float),
        sa.Column("data_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("blocked_at", sa.DateTime(timezone=True)),
        sa.Column("incident_uid", sa.String(32)),
        sa.Column("joined", sa.Boolean, nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_alert_states"),
    )
    op.create_table(
        "alert_outbox",
        sa.Column("id", sa.Integer, nullable=False, autoincrement=True),
        sa.Column("incident_id", sa.Integer, nullable=False),
        sa.Column("channel", sa.String(50), nullable=False),
        sa.Column("event", sa.String(20), nullable=False),
        sa.Column("n", sa.Integer, nullable=False),
        sa.Column("key", sa.String(255), nullable=False),
        sa.Column("delivery_id", sa.String(120), nullable=False),
        sa.Column("payload", sa.JSON),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("claimed_until", sa.DateTime(timezone=True)),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.Column("outcome", sa.String(10)),
        sa.Column("detail", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_alert_outbox"),
        sa.ForeignKeyConstraint(["incident_id"], ["alert_incidents.id"], name="fk_alert_outbox_incident_id"),
        sa.UniqueConstraint("delivery_id", name="uq_alert_outbox_delivery_id"),
        sa.UniqueConstraint(
            "incident_id", "channel", "event", "n", name="uq_alert_outbox_incident_id_channel_event_n"
        ),
    )
    op.create_index("ix_alert_outbox_channel_finished_at", "alert_outbox", ["channel", "finished_at"])
    op.create_table(
        "alert_silences",
        sa.Column("id", sa.Integer, nullable=False, autoincrement=True),
        sa.Column("matchers", sa.JSON, nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(100), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_alert_silences"),
    )
    op.create_index("ix_alert_silences_ends_at", "alert_silences", ["ends_at"])
    op.create_table(
        "watch_leases",
        sa.Column("name", sa.String(50), nullable=False),
        sa.Column("holder", sa.String(100), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_watch_leases"),
    )
    op.create_table(
        "watch_beats",
        sa.Column("watcher", sa.String(100), nullable=False),
        sa.Column("role", sa.String(20), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("beat_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("evaluated_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("watcher", name="pk_watch_beats"),
    )
    op.create_table(
        "watch_samples",
        sa.Column("target", sa.String(500), nullable=False),
        sa.Column("start_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("block", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("target", "start_at", name="pk_watch_samples"),
    )

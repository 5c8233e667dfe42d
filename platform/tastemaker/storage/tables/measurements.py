"""Measurements: figures of models, versions and variants over a window, ours and those of foreign models."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Date, Float, Index, String, Table

from tastemaker.storage.tables.columns import UtcDateTime, metadata

OWN_SOURCE = "tastemaker"
"""The source of the platform's own measurements."""

measurements = Table(
    "measurements",
    metadata,
    Column("source", String(100), primary_key=True, doc="tastemaker, or the key that reported it"),
    Column("problem", String(200), primary_key=True, doc="the problem's name"),
    Column("model", String(100), primary_key=True, doc="the model's name; empty: all models"),
    Column("version", String(200), primary_key=True, doc="the version; empty: all versions of the model"),
    Column("experiment", String(100), primary_key=True, doc="the experiment's id; empty: all requests"),
    Column("variant", String(100), primary_key=True, doc="the experiment's variant; empty: all"),
    Column("slice", String(200), primary_key=True, doc="such as position=1; empty: no slice"),
    Column("metric", String(100), primary_key=True, doc="the metric's name; see the page Definitions"),
    Column("window_start", UtcDateTime, primary_key=True, doc="start of the window (included)"),
    Column("window_end", UtcDateTime, primary_key=True, doc="end of the window (not included)"),
    Column("unit", String(50), nullable=False, doc="unit of the value, such as share, days or GBP"),
    Column("value", Float, doc="the figure; null: too little data for one"),
    Column("low", Float, doc="lower end of the 95 % interval; null: no interval"),
    Column("high", Float, doc="upper end of the 95 % interval; null: no interval"),
    Column("n", BigInteger, doc="users behind the figure; null: not reported"),
    Column(
        "is_complete",
        Boolean,
        nullable=False,
        doc="false: later data may change it",
    ),
    Column("computed_at", UtcDateTime, nullable=False, doc="when it was computed or reported"),
    Index(None, "metric", "window_end"),
    Index(None, "model", "version", "metric", "window_end"),
    Index("ix_measurements_source_metric", "source", "metric", "is_complete", "window_end", "window_start"),
)

measured_days = Table(
    "measured_days",
    metadata,
    Column("problem", String(200), primary_key=True, doc="the problem's name"),
    Column("part", String(20), primary_key=True, doc="log: requests and what came of them; activity: events"),
    Column("day", Date, primary_key=True, doc="the day, in the shop's time zone"),
    Column(
        "digest",
        String(64),
        nullable=False,
        doc="of what the day depends on: unchanged, measurements of it are not computed again",
    ),
)

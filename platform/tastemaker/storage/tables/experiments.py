"""Experiments: their plans, their changes, looks at their results, their guardrails and forecasts."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    String,
    Table,
    Text,
)

from tastemaker.storage.tables.columns import UtcDateTime, metadata

namespaces = Table(
    "namespaces",
    metadata,
    Column("name", String(100), primary_key=True, doc="the namespace: a surface, such as home"),
    Column("unit", String(10), nullable=False, doc="what is assigned: user, device, session or request"),
    Column("salt", String(100), nullable=False, unique=True, doc="of the hash of its buckets"),
    Column(
        "cool_down_seconds",
        Integer,
        nullable=False,
        doc="how long released buckets stay free, because people carry over what they saw",
    ),
    Column("created_at", UtcDateTime, nullable=False, doc="when it was made"),
)

holdouts = Table(
    "holdouts",
    metadata,
    Column("name", String(100), primary_key=True, doc="the holdout"),
    Column("unit", String(10), nullable=False, doc="what is held out: user, device or session"),
    Column("salt", String(100), nullable=False, unique=True, doc="of the hash of its buckets"),
    Column("share", Integer, nullable=False, doc="how many of the 1,000,000 buckets are held out"),
    Column("namespaces", JSON, nullable=False, doc="names of the namespaces that it covers; empty: all"),
    Column("reason", Text, nullable=False, doc="what it is for"),
    Column("starts_at", UtcDateTime, nullable=False, doc="from when on"),
    Column("ends_at", UtcDateTime, doc="until when; null: until it is ended"),
)

experiments = Table(
    "experiments",
    metadata,
    Column("name", String(100), primary_key=True, doc="the experiment"),
    Column("problem", String(200), nullable=False, doc="the problem's name"),
    Column("namespace", String(100), ForeignKey("namespaces.name"), nullable=False, doc="its namespace"),
    Column("kind", String(20), nullable=False, doc="ab, aa, interleaving, bandit, shadow or rollout"),
    Column("salt", String(100), nullable=False, unique=True, doc="of the hashes of its units"),
    Column("owner", String(200), nullable=False, doc="who answers for it"),
    Column("created_at", UtcDateTime, nullable=False, doc="when it was made"),
    Column("state", String(20), nullable=False, doc="the state after its last change"),
    Column("epoch", Integer, nullable=False, doc="the epoch in force, from 0"),
    Column("enrolment", Integer, nullable=False, doc="how many of the 1,000,000 enrolment buckets are in"),
    Column("revision", Integer, nullable=False, doc="the plan in force"),
    Column("changes", Integer, nullable=False, doc="how many changes it has had: rises with each"),
    Index(None, "state"),
)

experiment_plans = Table(
    "experiment_plans",
    metadata,
    Column("experiment", String(100), ForeignKey("experiments.name"), primary_key=True, doc="the experiment"),
    Column("revision", Integer, primary_key=True, doc="from 1; a revision is never changed"),
    Column("epoch", Integer, nullable=False, doc="the epoch that it describes"),
    Column("digest", String(64), nullable=False, doc="SHA-256 of the design"),
    Column("design", JSON, nullable=False, doc="hypothesis, variants, metrics, guardrails, looks"),
    Column("author", String(200), nullable=False, doc="who wrote it"),
    Column("created_at", UtcDateTime, nullable=False, doc="when it was written"),
)

namespace_claims = Table(
    "namespace_claims",
    metadata,
    Column("id", Integer, primary_key=True, doc="number of the claim"),
    Column("namespace", String(100), ForeignKey("namespaces.name"), nullable=False, doc="the namespace"),
    Column("experiment", String(100), ForeignKey("experiments.name"), nullable=False, doc="who claims"),
    Column("start", Integer, nullable=False, doc="first bucket"),
    Column("end", Integer, nullable=False, doc="the bucket after the last"),
    Column("claimed_at", UtcDateTime, nullable=False, doc="since when"),
    Column("released_at", UtcDateTime, doc="until when; null: still claimed"),
    Column("free_at", UtcDateTime, doc="when others may claim them: after the cool-down"),
    Index(None, "namespace"),
)

experiment_changes = Table(
    "experiment_changes",
    metadata,
    Column("experiment", String(100), ForeignKey("experiments.name"), primary_key=True, doc="the experiment"),
    Column("number", Integer, primary_key=True, doc="from 1, without gaps; a change is never edited"),
    Column("at", UtcDateTime, nullable=False, doc="when"),
    Column("actor", String(200), nullable=False, doc="a person, or guardrail:NAME, schedule or rollout:ID"),
    Column("action", String(30), nullable=False, doc="what was done, such as start, step or roll_back"),
    Column("from_state", String(20), doc="the state before; null: it was made"),
    Column("to_state", String(20), nullable=False, doc="the state after"),
    Column("epoch", Integer, nullable=False, doc="the epoch after"),
    Column("enrolment", Integer, nullable=False, doc="the enrolment buckets after"),
    Column("revision", Integer, nullable=False, doc="the plan after"),
    Column("reason", Text, nullable=False, doc="why, in words"),
    Column("evidence", JSON, nullable=False, doc="figures that it rests on; empty: none"),
    Column("previous_digest", String(64), nullable=False, doc="digest of the change before; empty: none"),
    Column("digest", String(64), nullable=False, doc="SHA-256 of this change and of the digest before"),
)

looks = Table(
    "looks",
    metadata,
    Column("experiment", String(100), ForeignKey("experiments.name"), primary_key=True, doc="the experiment"),
    Column("epoch", Integer, primary_key=True, doc="the epoch"),
    Column("number", Integer, primary_key=True, doc="of the look, from 1"),
    Column("at", UtcDateTime, nullable=False, doc="when it was computed"),
    Column("log_until", UtcDateTime, nullable=False, doc="what was logged before this time counts"),
    Column("is_planned", Boolean, nullable=False, doc="whether it spends alpha and may decide"),
    Column("units", JSON, nullable=False, doc="matured units by variant"),
    Column("pending_units", BigInteger, nullable=False, doc="units whose window is not over"),
    Column("crossed_units", BigInteger, nullable=False, doc="units that were seen in two variants"),
    Column("information", Float, nullable=False, doc="matured units over planned units, at most 1"),
    Column("alpha_spent", Float, nullable=False, doc="up to and with this look"),
    Column("bound", Float, doc="the z that a primary metric must pass; null: it may not decide"),
    Column("ratio_p", Float, doc="p-value of the sample ratio, by the plans in force"),
    Column("ratio_anytime_p", Float, doc="p-value of the sample ratio that may be read any day"),
    Column("verdict", String(20), nullable=False, doc="undecided, better, worse, equal or invalid"),
    Column("sentence", Text, nullable=False, doc="the result in one sentence"),
    Column(
        "details",
        JSON,
        nullable=False,
        doc="warnings; units cut, and raw means; the slope of the effect by day; why units are not divided",
    ),
)

look_effects = Table(
    "look_effects",
    metadata,
    Column("experiment", String(100), primary_key=True, doc="the experiment"),
    Column("epoch", Integer, primary_key=True, doc="the epoch"),
    Column("number", Integer, primary_key=True, doc="of the look"),
    Column("metric", String(100), primary_key=True, doc="the metric"),
    Column("variant", String(100), primary_key=True, doc="the variant that is compared with control"),
    Column("slice", String(200), primary_key=True, doc="such as country=GB, or day=3; empty: all units"),
    Column(
        "is_adjusted", Boolean, primary_key=True, doc="whether what units did before is taken out (CUPED)"
    ),
    Column("role", String(20), nullable=False, doc="primary, secondary, guardrail or exploratory"),
    Column("unit", String(50), nullable=False, doc="unit of the values"),
    Column("units", BigInteger, nullable=False, doc="matured units of the variant"),
    Column("control_units", BigInteger, nullable=False, doc="matured units of control"),
    Column("value", Float, doc="of the variant; null: too little data"),
    Column("control_value", Float, doc="of control"),
    Column("difference", Float, doc="value - control_value"),
    Column("low", Float, doc="lower end of the interval of the difference"),
    Column("high", Float, doc="upper end of the interval of the difference"),
    Column("relative", Float, doc="difference over control_value"),
    Column("relative_low", Float, doc="lower end of the relative interval"),
    Column("relative_high", Float, doc="upper end of the relative interval"),
    Column("p", Float, doc="two-sided p-value of this look alone"),
    Column("p_adjusted", Float, doc="p-value corrected for the number of comparisons"),
    Column("sequence_low", Float, doc="lower end of the interval that may be read any day"),
    Column("sequence_high", Float, doc="upper end of the interval that may be read any day"),
    Column(
        "verdict",
        String(20),
        doc="primary: undecided, better, worse or equal; guardrail: safe, harm or unknown; null: none",
    ),
    ForeignKeyConstraint(
        ["experiment", "epoch", "number"],
        ["looks.experiment", "looks.epoch", "looks.number"],
        name="fk_look_effects_looks",
        ondelete="CASCADE",
    ),
)

guardrail_checks = Table(
    "guardrail_checks",
    metadata,
    Column("id", Integer, primary_key=True, doc="number of the check"),
    Column("experiment", String(100), ForeignKey("experiments.name"), nullable=False, doc="the experiment"),
    Column("epoch", Integer, nullable=False, doc="the epoch"),
    Column("variant", String(100), nullable=False, doc="the variant that is compared with control"),
    Column("guardrail", String(100), nullable=False, doc="the guardrail"),
    Column("at", UtcDateTime, nullable=False, doc="when"),
    Column("units", BigInteger, nullable=False, doc="units of the variant"),
    Column("control_units", BigInteger, nullable=False, doc="units of control"),
    Column("value", Float, doc="of the variant; null: no data"),
    Column("control_value", Float, doc="of control; null: no data"),
    Column("low", Float, doc="lower end of the anytime-valid interval of the difference"),
    Column("high", Float, doc="upper end of that interval"),
    Column("margin", Float, nullable=False, doc="how much worse is still accepted"),
    Column("verdict", String(10), nullable=False, doc="safe, harm, unknown or stale"),
    Column("action", String(20), nullable=False, doc="none, hold or roll_back"),
    Index(None, "experiment", "epoch", "at"),
)

experiment_forecasts = Table(
    "experiment_forecasts",
    metadata,
    Column("experiment", String(100), ForeignKey("experiments.name"), primary_key=True, doc="the experiment"),
    Column("epoch", Integer, primary_key=True, doc="the epoch"),
    Column("variant", String(100), primary_key=True, doc="the variant that is compared with control"),
    Column("method", String(20), primary_key=True, doc="offline (backtest) or off_policy"),
    Column("metric", String(100), nullable=False, doc="the metric of forecast and outcome"),
    Column("forecast", Float, nullable=False, doc="the relative difference from control that was expected"),
    Column("forecast_error", Float, nullable=False, doc="its standard error over users"),
    Column("made_at", UtcDateTime, nullable=False, doc="when: before the experiment started"),
    Column("outcome", Float, doc="the relative difference that was measured; null: not over"),
    Column("outcome_error", Float, doc="its standard error over users"),
    Column("look", Integer, doc="the look that measured it"),
)

learned_lists = Table(
    "learned_lists",
    metadata,
    Column("experiment", String(100), ForeignKey("experiments.name"), primary_key=True, doc="the experiment"),
    Column("epoch", Integer, primary_key=True, doc="the epoch"),
    Column("variant", String(100), primary_key=True, doc="the variant whose version learned"),
    Column("learned_in", String(10), primary_key=True, doc="training, or online since then"),
    Column("from_version", String(200), primary_key=True, doc="the version that showed the lists"),
    Column(
        "from_variant",
        String(100),
        primary_key=True,
        doc="the variant of this experiment that their users were assigned to; empty: none",
    ),
    Column("version", String(200), nullable=False, doc="the version that learned"),
    Column("lists", BigInteger, nullable=False, doc="how many lists"),
    Column("counted_at", UtcDateTime, nullable=False, doc="when"),
)

shadow_figures = Table(
    "shadow_figures",
    metadata,
    Column("experiment", String(100), primary_key=True, doc="the experiment, as the log names it"),
    Column("epoch", Integer, primary_key=True, doc="the epoch"),
    Column("variant", String(100), primary_key=True, doc="the variant whose answers no user saw"),
    Column(
        "metric", String(50), primary_key=True, doc="overlap, rank_biased_overlap, fallback_share, latency_ms"
    ),
    Column("unit", String(50), nullable=False, doc="unit of the values"),
    Column("value", Float, nullable=False, doc="of the variant, or of both lists compared"),
    Column("low", Float, doc="lower end of the 95 % interval over users; null: there is none"),
    Column("high", Float, doc="upper end of that interval"),
    Column("served_value", Float, doc="of the lists that users saw; null: the figure compares both"),
    Column("users", BigInteger, nullable=False, doc="users whose requests were compared"),
    Column("requests", BigInteger, nullable=False, doc="requests that were compared: the newest"),
    Column("computed_at", UtcDateTime, nullable=False, doc="when"),
)

"""What surrounds an experiment's effects: whether to believe them, guardrails, forecasts, plan, changes."""

from __future__ import annotations

from typing import Any

from tastemaker.dashboard.content import (
    DataTable,
    Figure,
    Figures,
    Notes,
    TableCell,
    TableColumn,
)
from tastemaker.dashboard.formats import number
from tastemaker.experiments.agreement import ForecastOutcome
from tastemaker.experiments.plan import BUCKETS
from tastemaker.experiments.result import ExperimentResult
from tastemaker.experiments.unit_metrics import unit_metric_title
from tastemaker.util.durations import in_words

_SHADOW_TITLES = {
    "overlap": "Common items",
    "rank_biased_overlap": "Rank-biased overlap",
    "fallback_share": "Lists with a fallback",
    "latency_ms": "Time to answer",
}
METHODS = {"offline": "test on past data", "off_policy": "log of requests"}
"""What a forecast was made from, by its method."""


def soundness(result: ExperimentResult) -> Figures:
    """Return what must be known before an effect is believed."""
    return Figures(
        [_ratio(result), _crossed(result), _pending(result), _unguarded(result), _information(result)],
        title="Can the figures be believed?",
    )


def concerns(result: ExperimentResult) -> list[Notes]:
    """Return what casts doubt on the figures; nothing where nothing does."""
    found = result.concerns()
    return [Notes(items=found, title="Before you read a figure")] if found else []


def _ratio(result: ExperimentResult) -> Figure:
    title, look = "Sample ratio, p", result.look
    if look is None or look.ratio_p is None:
        return Figure("", title, None, "", "", missing="no look has counted units", without_value="Not known")
    counted = ", ".join(f"{name} {units:,}" for name, units in look.units.items())
    daily = "" if look.ratio_anytime_p is None else f"; over daily looks {look.ratio_anytime_p:.2g}"
    divided = "not as planned" if result.is_invalid else "as planned"
    return Figure("", title, look.ratio_p, "", counted, comparison=f"units are divided {divided}{daily}")


def _crossed(result: ExperimentResult) -> Figure:
    share, title = result.crossed_share, "Units seen in two variants"
    if share is None or result.look is None:
        return Figure("", title, None, "share", "", missing="no units yet", without_value="None")
    return Figure(
        "", title, share, "share", f"at most 1 % is usual; {result.look.crossed_units:,} of them",
        n=result.mature_units + result.look.pending_units, counted="units",
    )  # fmt: skip


def _pending(result: ExperimentResult) -> Figure:
    title, window = "Pending units", in_words(result.design.window_days)
    if result.look is None:
        return Figure("", title, None, "units", "", missing="no units yet", without_value="None")
    return Figure(
        "", title, result.look.pending_units, "units",
        f"their {window} are not over: they don't count", n=result.mature_units, counted="units count",
        comparison="; ".join(f"waiting for {one}" for one in result.waiting),
    )  # fmt: skip


def _unguarded(result: ExperimentResult) -> Figure:
    title = "Guardrails without current data"
    if not result.checks:
        return Figure("", title, None, "", "", missing="no guardrail was checked", without_value="Not known")
    stale = ", ".join(f"{one.guardrail} of {one.variant}" for one in result.stale)
    return Figure(
        "", title, len(result.stale), "", stale or "all have data", n=len(result.checks), counted="checks",
        as_of=max(one.at for one in result.checks),
    )  # fmt: skip


def _information(result: ExperimentResult) -> Figure:
    title = "Information"
    if result.look is None:
        return Figure("", title, None, "share", "", missing="no look was taken", without_value="None")
    return Figure(
        "", title, result.look.information, "share", f"looks: {result.look_of}", n=result.mature_units,
        counted=f"of {result.design.planned_units:,} planned units",
    )  # fmt: skip


def guardrail_table(result: ExperimentResult) -> DataTable:
    """Return the newest check of each guardrail and variant."""
    return DataTable(
        name="guardrails",
        title="Guardrails",
        columns=[
            TableColumn("guardrail", "Guardrail", "name"),
            TableColumn("variant", "Variant"),
            TableColumn("verdict", "Verdict"),
            TableColumn("value", "Variant's", "number"),
            TableColumn("control_value", "Control's", "number"),
            TableColumn("low", "Difference, low", "number"),
            TableColumn("high", "Difference, high", "number"),
            TableColumn("margin", "Margin", "number"),
            TableColumn("units", "Units", "number"),
            TableColumn("action", "Action"),
            TableColumn("at", "Checked", "time"),
        ],
        rows=[
            [
                unit_metric_title(one.guardrail),
                one.variant,
                TableCell(one.verdict, look="too_little" if one.verdict in ("unknown", "stale") else ""),
                *(
                    one._mapping[name]
                    for name in ("value", "control_value", "low", "high", "margin", "units")
                ),
                one.action,
                one.at,
            ]
            for one in result.checks
        ],
        note="safe: worse by less than the margin. harm: worse; two in a row roll the variant back. unknown: "
        "too little data for either. stale: no current data, which is not the same as 0.",
        empty="No guardrail was checked yet.",
    )


def forecast_table(result: ExperimentResult) -> DataTable:
    """Return the forecasts of the variants beside what came."""
    return DataTable(
        name="forecasts",
        title="Forecast and outcome",
        columns=[
            TableColumn("variant", "Variant"),
            TableColumn("method", "Forecast from"),
            TableColumn("metric", "Metric", "name"),
            *forecast_columns(),
        ],
        rows=[
            [
                one.variant,
                METHODS.get(one.method, one.method),
                unit_metric_title(one.metric),
                *forecast_cells(one),
            ]
            for one in result.forecasts
        ],
        note="Differences from control, relative, in the same metric. The forecast was stored before the "
        "experiment started.",
        empty="No forecast was stored before it started.",
    )


def forecast_columns() -> list[TableColumn]:
    """Return the columns of a forecast beside its outcome."""
    return [
        TableColumn("forecast", "Forecast", "share"),
        TableColumn("forecast_error", "Its error", "share"),
        TableColumn("outcome", "Outcome", "share"),
        TableColumn("outcome_error", "Its error", "share"),
        TableColumn("z", "z", "number"),
        TableColumn("covered", "Within both errors"),
        TableColumn("same_sign", "Same direction"),
    ]


def forecast_cells(one: ForecastOutcome) -> list[Any]:
    """Return the cells of `forecast_columns`."""
    words = {True: "yes", False: "no", None: None}
    return [
        one.forecast,
        one.forecast_error,
        TableCell(one.outcome, small="" if one.outcome is not None else "not measured yet"),
        one.outcome_error,
        one.z,
        words[one.is_covered],
        words[one.has_same_sign],
    ]


def shadow_table(result: ExperimentResult) -> list[DataTable]:
    """Return the figures of variants whose answers no user saw; nothing where there are none."""
    if not result.shadows and result.experiment.kind != "shadow":
        return []
    columns = [
        TableColumn("variant", "Variant"),
        TableColumn("figure", "Figure", "name"),
        TableColumn("value", "Value", "number"),
        TableColumn("low", "Low", "number"),
        TableColumn("high", "High", "number"),
        TableColumn("served_value", "Served lists", "number"),
        TableColumn("users", "Users", "number"),
        TableColumn("requests", "Requests", "number"),
        TableColumn("computed_at", "Computed", "time"),
    ]
    figures = ("value", "low", "high", "served_value")
    rows = [
        [
            one.variant,
            _SHADOW_TITLES.get(one.metric, one.metric),
            *(TableCell(one._mapping[name], unit=one.unit) for name in figures),
            one.users,
            one.requests,
            one.computed_at,
        ]
        for one in result.shadows
    ]
    return [
        DataTable(
            "shadows",
            "In the shadow",
            columns,
            rows,
            note="Copies of requests were answered by the variant, and no user saw the answers: this says "
            "how its lists differ from those that were served, not what users would do.",
            empty="No answer of a variant has been compared yet: figures come when a day is over.",
        )
    ]


def learned_table(result: ExperimentResult) -> list[DataTable]:
    """Return what the versions of the variants learned from; nothing where it was not counted."""
    if not result.learned:
        return []
    rows = [
        [one.variant, one.learned_in, one.lists, one.from_version, one.from_variant or "none", one.counted_at]
        for one in result.learned
    ]
    return [
        DataTable(
            "learned",
            "What each variant learned from",
            [
                TableColumn("variant", "Variant"),
                TableColumn("learned_in", "Learned in"),
                TableColumn("lists", "Lists", "number"),
                TableColumn("from_version", "Shown by", "name"),
                TableColumn("from_variant", "To users of"),
                TableColumn("counted_at", "Counted", "time"),
            ],
            rows,
            note="A variant that learns from the other's lists does not show what it would be alone.",
        )
    ]


def plan_table(result: ExperimentResult) -> DataTable:
    """Return what was written down before the start."""
    design = result.design
    shares = ", ".join(
        f"{name} {number(one.share / BUCKETS, 'share')}"
        + (f" ({one.model} {one.version or one.recipe})" if one.model else "")
        for name, one in design.variants.items()
    )
    facts = {
        "Hypothesis": design.hypothesis,
        "Variants": f"{shares}; control is {design.control}",
        "Unit": f"{result.unit}, in the namespace {design.namespace}",
        "Primary metric": unit_metric_title(design.primary),
        "Smallest effect that matters": number(design.minimum_effect, "share"),
        "Planned units": f"{design.planned_units:,}",
        "Window": f"{in_words(design.window_days)} from a unit's first exposure",
        "Planned looks": f"{design.looks}; alpha {design.alpha:g} over all of them, power {design.power:g}",
        "Enrolment": result.step,
    }
    columns = [TableColumn("what", "What"), TableColumn("text", "Planned", "sentence")]
    return DataTable("plan", "Plan", columns, [list(one) for one in facts.items()])


def change_table(result: ExperimentResult) -> DataTable:
    """Return all changes, the newest first."""
    return DataTable(
        name="changes",
        title="Changes",
        columns=[
            TableColumn("number", "Change", "number"),
            TableColumn("at", "When", "time"),
            TableColumn("actor", "By"),
            TableColumn("action", "What"),
            TableColumn("state", "State after"),
            TableColumn("epoch", "Epoch", "number"),
            TableColumn("enrolment", "Enrolled", "share"),
            TableColumn("reason", "Why", "sentence"),
        ],
        rows=[
            [
                one.number,
                one.at,
                one.actor,
                one.action,
                one.to_state,
                one.epoch,
                one.enrolment / BUCKETS,
                one.reason,
            ]
            for one in reversed(result.changes)
        ],
        note="A change is never edited: each carries the digest of the one before.",
    )

"""What a Dagster run says about its trainings: why it was started, in a tag; what they cost, as metadata."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import dagster as dg

from tastemaker.errors import TastemakerError
from tastemaker.trainings.records import FIRST, REQUESTED, Cost, Reason
from tastemaker.workflows.training.trainer import Run
from tastemaker.workflows.workspace import Workspace

REASONS = "tastemaker/reasons"
"""The run's tag: a JSON list of {reason, detail}; one with {model, reason, detail} is of that model only."""
_STARTED_BY = {
    "dagster/schedule_name": "schedule",
    "dagster/sensor_name": "sensor",
    "dagster/backfill": "backfill",
}


def reason_tags(reasons: Iterable[Reason]) -> dict[str, str]:
    """Return the tags of a run that is started for these reasons."""
    return {REASONS: json.dumps([reason._asdict() for reason in reasons])}


def training_run(run: dg.DagsterRun, opened: Workspace, model: str) -> Run:
    """Return what a model's training in a run is part of.

    Args:
        run: Dagster's run, whose tags hold the reasons for its trainings.
        opened: Knows the model's versions.
        model: The model's name.

    Raises:
        TastemakerError: The tag with the reasons can't be read.
    """
    found = _reasons(run.tags, model)
    is_first = not opened.registry.list(model, problem=opened.problem.name)
    if is_first and all(reason.reason != FIRST for reason in found):
        found = (Reason(FIRST, "the model has no version yet"), *found)
    return Run(run.run_id, found)


def cost_metadata(cost: Cost) -> dict[str, Any]:
    """Return the metadata of an asset whose training cost this; of one that fitted nothing, none."""
    if cost.peak_bytes is None:
        return {}
    return {
        "seconds": cost.seconds,
        "cpu_seconds": cost.cpu_seconds,
        "peak_memory_bytes": cost.peak_bytes,
    }


def _reasons(tags: Mapping[str, str], model: str) -> tuple[Reason, ...]:
    if (text := tags.get(REASONS)) is None:
        by = [f"{what} {tags[tag]}" for tag, what in _STARTED_BY.items() if tag in tags]
        return (Reason(REQUESTED, f"by the {by[0]}" if by else "in Dagster"),)
    try:
        listed = [one for one in json.loads(text) if one.get("model", model) == model]
        return tuple(Reason(str(one["reason"]), str(one["detail"])) for one in listed)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise TastemakerError(
            f"the run's tag {REASONS} is {text!r}, must be a JSON list of objects with reason and detail",
            fix='write for example [{"reason": "requested", "detail": "a new catalogue"}]',
        ) from error

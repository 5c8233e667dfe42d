"""The asset check of the drift report, by which drift may cause a training."""

from __future__ import annotations

from datetime import datetime

import dagster as dg

DRIFT_REPORT, DRIFT_CHECK = "drift_report", "no_drift"
MODEL, SINCE = "model", "since"
"""Keys of the check's metadata: the model that the report is about, and since when its reports find drift."""


def drift_spec() -> dg.AssetCheckSpec:
    """Return what Dagster shows of the check."""
    return dg.AssetCheckSpec(
        DRIFT_CHECK,
        asset=DRIFT_REPORT,
        description="The newest report of the model that compared something found no drift.",
    )


def drift_result(model: str, since: datetime | None, verdict: str) -> dg.AssetCheckResult:
    """Return the check's result.

    Args:
        model: The model that the report is about.
        since: When the first of the model's newest reports was written that all found drift; None: no drift.
        verdict: What the report says, in a sentence for Dagster's page.
    """
    found = {} if since is None else {SINCE: dg.MetadataValue.timestamp(since)}
    return dg.AssetCheckResult(
        check_name=DRIFT_CHECK,
        passed=since is None,
        severity=dg.AssetCheckSeverity.WARN,
        description=verdict,
        metadata={MODEL: model, **found},
    )

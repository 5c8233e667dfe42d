"""The table `guardrail_checks`: what each check found, and what was done."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine, insert

from tastemaker.experiments.guardrails.checks import GuardrailCheck
from tastemaker.experiments.guardrails.decisions import GuardDecision
from tastemaker.experiments.guardrails.verdicts import Verdict
from tastemaker.experiments.lifecycle.records import Experiment
from tastemaker.storage.tables import guardrail_checks

REPEAT_SECONDS = 300.0
"""How often a check is stored whose verdict has not changed."""


class CheckStore:
    """Writer of checks: those whose verdict is new, those that were acted on, and the others now and then."""

    def __init__(self, engine: Engine) -> None:
        """Begin as if nothing was stored yet."""
        self._engine = engine
        self._stored: dict[tuple[str, int, str, str], tuple[Verdict | None, float]] = {}

    def add(
        self, experiment: Experiment, checks: Iterable[GuardrailCheck], decision: GuardDecision | None
    ) -> None:
        """Store checks; after a change of the experiment all of them.

        Args:
            experiment: The experiment as it was checked.
            checks: What was found.
            decision: What was done about it; None: nothing.
        """
        now, at = time.monotonic(), datetime.now(UTC)
        rows, stored = [], {}
        for check in checks:
            key = experiment.name, experiment.changes, check.variant, check.guardrail
            verdict, stored_at = self._stored.get(key, (None, 0.0))
            action = "none" if decision is None or not _is_cause(check, decision) else decision.action
            if (action, verdict) != ("none", check.found.verdict) or now - stored_at >= REPEAT_SECONDS:
                stored[key] = check.found.verdict, now
                rows.append(_row(experiment, check, at, action))
        if rows:
            with self._engine.begin() as connection:
                connection.execute(insert(guardrail_checks), rows)
        self._stored |= stored


def _is_cause(check: GuardrailCheck, decision: GuardDecision) -> bool:
    return check.guardrail == decision.guardrail and decision.variant in (None, check.variant)


def _row(experiment: Experiment, check: GuardrailCheck, at: datetime, action: str) -> dict[str, Any]:
    return check.found._asdict() | {
        "experiment": experiment.name,
        "epoch": experiment.epoch,
        "variant": check.variant,
        "guardrail": check.guardrail,
        "at": at,
        "margin": check.margin,
        "action": action,
    }

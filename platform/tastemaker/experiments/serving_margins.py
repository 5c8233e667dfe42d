"""The metrics of the service that every experiment over services guards, and what an unsafe one stops."""

from __future__ import annotations

from tastemaker.experiments.plan import Kind

SERVING_MARGINS = {
    "fallback_share": 0.01,
    "empty_share": 0.01,
    "short_share": 0.02,
    "slow_share": 0.02,
    "wrong_version_share": 0.01,
}
"""Metric of the service -> by how much of the lists it may be worse, unless the design says otherwise."""


def allows_step(kind: Kind, guardrail: str, verdict: str) -> bool:
    """Return whether a check lets an experiment take its next step.

    It has to be safe. In a rollout what users do need not be known to be safe, for which a canary has too few
    users: it is enough that no harm is found.

    Args:
        kind: The kind of the experiment.
        guardrail: The guardrail's name.
        verdict: What the check found.
    """
    is_of_users = guardrail not in SERVING_MARGINS
    return verdict == "safe" or (kind == "rollout" and is_of_users and verdict == "unknown")

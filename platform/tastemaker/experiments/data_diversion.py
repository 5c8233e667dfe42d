"""Data diversion: a version in an experiment learns online from its own lists only.

Without it, each variant learns from what the others showed, and the difference between them is not that of
variants that are used alone.
"""

from __future__ import annotations

from tastemaker.experiments.plan import ControlPlan


def diverted_versions(plan: ControlPlan) -> frozenset[str]:
    """Return the ids of the versions that learn from no other version's lists, by a plan."""
    versions = {service.name: service.version for service in plan.services}
    return frozenset(
        versions[variant.service]
        for experiment in plan.experiments
        if experiment.data_diversion
        for variant in experiment.variants
        if variant.service in versions
    )
